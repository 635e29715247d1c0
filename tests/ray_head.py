"""A Ray cluster of one node in processes of its own, as `ray start --head` makes it, for as long as a test wants it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from studies.running.address import check_address


@contextmanager
def ray_head(**environment: str) -> Iterator[str]:
    """The address of a head that was started with ``environment`` added to this process's."""
    address = f"127.0.0.1:{free_port()}"
    words = [str(Path(sys.executable).parent / "ray"), "start", "--head", "--block", "--num-cpus=2", "--disable-usage-stats"]
    words += [f"--port={address.partition(':')[2]}", "--include-dashboard=false"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(words, env={**os.environ, **environment}, **quiet) as head:  # type: ignore[call-overload]
        try:
            wait_for_head(head, address)
            yield address
        finally:
            head.terminate()
            head.wait(timeout=60)


def wait_for_head(head: subprocess.Popen[bytes], address: str) -> None:
    while not answers(address):
        assert head.poll() is None
        time.sleep(0.2)


def free_port() -> int:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def answers(address: str) -> bool:
    try:
        check_address(address)
    except ConnectionError:
        return False
    return True
