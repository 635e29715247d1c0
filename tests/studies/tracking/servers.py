"""Real servers for the tests of the mirror: MLflow's own, PostgreSQL's, and a reverse proxy in front of MLflow that makes trouble.

Everything listens on this machine alone and is ended by its process id when the test is over.
"""

from __future__ import annotations

import http.client
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

Trouble = Literal["", "500", "429", "slow", "cut before", "cut after"]


def free_port() -> int:
    """A port of this machine on which nobody listens."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class MlflowServer:
    """A real ``mlflow server`` that can be killed and started again at its place.

    Args:
        directory: Where its artifacts lie, and its database unless ``store`` names another.
        store: The backend store's URI.
        options: Further options of the command.
        env: Further variables of its environment.
    """

    def __init__(self, directory: Path, store: str | None = None, options: Sequence[str] = (), env: dict[str, str] | None = None) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._directory = directory
        self._command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        self._command += ["--backend-store-uri", store or f"sqlite:///{directory / 'server.db'}"]
        self._command += ["--artifacts-destination", str(directory / "artifacts"), *options]
        self._env = {**os.environ, **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        log = (self._directory / "server.log").open("ab")
        self._process = subprocess.Popen(self._command, stdout=log, stderr=log, cwd=self._directory, env=self._env, start_new_session=True)
        log.close()
        while not self._answers():
            assert self._process.poll() is None, (self._directory / "server.log").read_text()
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        """Kill it and its workers."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@contextmanager
def mlflow_server(
    directory: Path, store: str | None = None, options: Sequence[str] = (), env: dict[str, str] | None = None
) -> Iterator[MlflowServer]:
    """A running server, killed at the end of the block."""
    server = MlflowServer(directory, store, options, env)
    server.start()
    try:
        yield server
    finally:
        server.kill()


class Proxy:
    """Forwards every request to the server at ``target``, but for the trouble that ``plan`` makes of it.

    Args:
        target: The real server's port.
        plan: Called with each request's number from 0 and its path; says what shall go wrong with it.
        slowness: Seconds by which a slow request is held back.

    Attributes:
        seen: Method and path of every request.
        authorizations: The ``Authorization`` headers that came.
    """

    def __init__(self, target: int, plan: Callable[[int, str], Trouble] = lambda number, path: "", slowness: float = 10.0) -> None:
        self.plan = plan
        self.seen: list[str] = []
        self.authorizations: set[str] = set()
        self._lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _forward(self) -> None:
                with proxy._lock:
                    number = len(proxy.seen)
                    proxy.seen.append(f"{self.command} {self.path.partition('?')[0]}")
                    proxy.authorizations.add(self.headers.get("Authorization", ""))
                trouble = proxy.plan(number, self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if trouble in ("500", "429"):
                    self.send_response(int(trouble))
                    self.send_header("Retry-After", "1")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                if trouble == "slow":
                    time.sleep(slowness)
                if trouble == "cut before":
                    self._cut()
                    return
                with closing(http.client.HTTPConnection("127.0.0.1", target, timeout=60)) as server:
                    server.request(self.command, self.path, body, dict(self.headers))
                    response = server.getresponse()
                    answer = response.read()
                if trouble == "cut after":
                    self._cut()
                    return
                self.send_response(response.status)
                for name, value in response.getheaders():
                    if name.lower() in ("content-type", "www-authenticate"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def _cut(self) -> None:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _forward

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._listening.daemon_threads = True
        self.port = self._listening.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._listening.serve_forever, daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown()
        self._thread.join()
        self._listening.server_close()


def postgres_programs() -> Path | None:
    """The folder of PostgreSQL's programs: where Debian puts them, or of the path."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = shutil.which("initdb")
    return installed[-1].parent if installed else Path(found).parent if found else None


@contextmanager
def postgres(directory: Path) -> Iterator[str]:
    """A PostgreSQL of its own below ``directory``, with the empty database ``postgres``; gives its URI.

    It does not run as root, so root becomes ``nobody`` for it, who must be able to reach ``directory``.
    """
    programs = postgres_programs()
    assert programs is not None
    data, port = directory / "data", free_port()
    data.mkdir(parents=True)
    user = None
    if os.geteuid() == 0:
        user = "nobody"
        os.chown(data, pwd.getpwnam(user).pw_uid, -1)
        for folder in (directory, *directory.parents):
            if folder.stat().st_uid == 0 and folder != Path("/"):
                folder.chmod(folder.stat().st_mode | 0o011)
    password = directory / "password"
    password.write_text("plain-sailing")
    password.chmod(0o644)

    def call(program: str, *arguments: str) -> None:
        command = [str(programs / program), *arguments]
        subprocess.run(command, check=True, user=user, cwd=data, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)

    call("initdb", "-D", str(data), "-U", "mlflow", "--auth=scram-sha-256", f"--pwfile={password}", "--no-sync", "--encoding=UTF8")
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories='' -c fsync=off"
    call("pg_ctl", "-D", str(data), "-w", "-o", options, "-l", str(data / "log"), "start")
    try:
        yield f"postgresql+psycopg2://mlflow:plain-sailing@127.0.0.1:{port}/postgres"
    finally:
        call("pg_ctl", "-D", str(data), "-m", "immediate", "stop")
