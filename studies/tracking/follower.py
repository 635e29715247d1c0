"""The process that shows a study in MLflow while it runs.

It is one of its own, so that MLflow takes nothing of the driver's interpreter and memory, and can neither hold the driver up nor end it.
It reads the ledger, and sends what is new in batches (`studies.tracking.session`). It learns on its standard input where all is, for a
tracking URI may hold a password and command lines can be read by everybody; there it is told to end, and it ends at once where the driver
is gone: whoever comes next finds in the store what was sent, and sends the rest.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from studies.tracking.address import told, without_credentials
from studies.tracking.asking import LONGEST_PAUSE, GivenUpError, Patience, connect

logger = logging.getLogger(__name__)

_FIRST_LOOK = 20.0  # seconds; importing MLflow takes a processor for some of them, which Ray needs to start
_PAUSE = 2.0
_LONGEST_REST = 600.0  # between one process that ended by itself and the next
_OVER = "over"
_NICENESS = 19  # trials go first: Ray gives their processes 15


class Follower:
    """The process, as the driver has it.

    Args:
        ledger: The study's ledger.
        uri: MLflow's tracking URI.
        artifact_location: Where a new experiment keeps its artifacts, if it has to be told.
    """

    def __init__(self, ledger: Path, uri: str, artifact_location: str | None) -> None:
        self._order = json.dumps([str(ledger.resolve()), uri, artifact_location])
        self._over = threading.Event()
        self._changing = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it; it lets Ray start first."""
        threading.Thread(target=self._keep, name="mlflow-follower", daemon=True).start()

    def stop(self, within: float) -> None:
        """Let it end the request that it is making, for so many seconds, and end it."""
        with self._changing:
            self._over.set()
            process, self._process = self._process, None
        if process is None:
            return
        _write(process, _OVER)
        try:
            process.wait(within)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _keep(self) -> None:
        """Log what the process says, and start another where it ends by itself: killed, perhaps, as memory was short."""
        pause = _PAUSE
        while True:
            try:
                with self._changing:
                    if self._over.is_set():
                        return
                    process = self._process = self._new()
                ended = _log_until_it_ends(process)
            except OSError as error:
                ended = f"could not be started: {error}"
            if not self._over.is_set():
                logger.warning("the process that shows the study in MLflow %s; the study goes on, and it is started again", ended)
            self._over.wait(pause)
            pause = min(2.0 * pause, _LONGEST_REST)

    def _new(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "studies.tracking.follower"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # What this process finds, be it by a relative path, that one finds too.
            env={**os.environ, "PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path if isinstance(entry, str))},
            start_new_session=True,  # Ctrl-C is for the driver, which then ends in order
            text=True,
        )
        _write(process, self._order)
        return process


def _write(process: subprocess.Popen[str], line: str) -> None:
    """Tell a process something; one that is gone need not know it."""
    assert process.stdin is not None
    with suppress(OSError, ValueError):  # its end of the pipe is closed, or ours
        process.stdin.write(f"{line}\n")
        process.stdin.flush()


def _log_until_it_ends(process: subprocess.Popen[str]) -> str:
    """Log a process's lines; returns how it ended."""
    assert process.stdout is not None
    assert process.stdin is not None
    for line in process.stdout:
        logger.warning("%s", line.rstrip())
    status = process.wait()
    for pipe in (process.stdout, process.stdin):
        with suppress(OSError):  # what it was told last may not have reached it
            pipe.close()
    return f"ended with status {status}"


def main() -> None:
    """What the process does."""
    os.nice(_NICENESS)
    ledger, uri, artifact_location = json.loads(sys.stdin.readline())
    patience, talking = Patience(uri), threading.Event()
    threading.Thread(target=_end_with_driver, args=(patience, talking), daemon=True).start()
    logging.getLogger("studies").addHandler(logging.StreamHandler(sys.stdout))
    try:
        patience.wait(_FIRST_LOOK)
        import_module("studies.tracking.session")  # takes seconds, in which nobody need wait for the end
        talking.set()
        follow(Path(ledger), uri, artifact_location, patience)
    except GivenUpError:
        pass
    except Exception as error:
        print(told(error, uri), flush=True)
        sys.exit(1)


def _end_with_driver(patience: Patience, talking: threading.Event) -> None:
    """End when the driver says so, after the request that is being made; at once where there is none, or no driver."""
    if sys.stdin.readline().strip() != _OVER or not talking.is_set():
        os._exit(1)
    patience.give_up()


def follow(path: Path, uri: str, artifact_location: str | None, patience: Patience) -> None:
    """Send to a store what is new in a ledger, until `GivenUpError`."""
    from studies.claim import recorded_study
    from studies.tracking.ledger import Ledger
    from studies.tracking.sent import Sent
    from studies.tracking.session import Session

    client = connect(uri)
    with Ledger(path, read_only=True) as ledger, Sent(path, without_credentials(uri)) as sent:
        spec = recorded_study(ledger)
        session: Session | None = None
        pause = _PAUSE
        while True:
            try:
                session = session or Session(client, ledger, sent, spec, patience, artifact_location)
                session.send_trials(wait=True)
                pause = _PAUSE
            except GivenUpError:
                raise
            except Exception as error:  # the store is not as the session knew it: look anew
                session, patience.error = None, told(error, uri)
                pause = min(2.0 * pause, LONGEST_PAUSE)
            patience.wait(pause)


if __name__ == "__main__":
    main()
