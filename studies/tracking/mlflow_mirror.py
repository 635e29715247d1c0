"""The MLflow mirror: shows a ledger in MLflow, and never holds a study up.

While the study runs, a process beside the driver reads the ledger and sends what is new (`studies.tracking.follower`), with all the
patience that a store in trouble needs (`studies.tracking.asking`). What has been sent is noted beside the ledger's own tables
(`studies.tracking.sent`), so a server that was down gets the rest later, once. When the study is over the driver sends what is left,
waits a bounded time, and `MlflowMirror.finish` says what is missing.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from studies.spec import StudySpec
from studies.tracking.address import is_server, told, without_credentials
from studies.tracking.asking import GivenUpError, Patience, connect
from studies.tracking.follower import Follower
from studies.tracking.ledger import Ledger
from studies.tracking.sent import Sent
from studies.tracking.session import Session

_PAUSES = (0.0, 2.0, 4.0)  # seconds before each try, where a store refuses something
_LONGEST_PAUSE = 4.0  # seconds, where it does not answer
LAST_WAIT = 30.0
"""Seconds that a study which is over waits for MLflow."""
_OWN_WAIT = 120.0  # for an answer of a store of its own, whose tables take a busy machine long to make

Closing = Callable[[Session], None]
"""What is sent when all trials are: figures, reports and the like."""


class MlflowMirror:
    """Sends a ledger to MLflow, by another process while the study runs, and what is left when it is over.

    Args:
        ledger_path: The study's ledger.
        spec: The study.
        uri: MLflow's tracking URI.
        workdir: Where the embedded store keeps its artifacts.

    Attributes:
        patience: How requests are made, and how many were.
    """

    def __init__(self, ledger_path: Path, spec: StudySpec, *, uri: str, workdir: Path) -> None:
        self._path = ledger_path
        self._spec = spec
        self._uri = uri
        self._workdir = workdir
        self._closing: Closing | None = None
        self._complete = False
        self._done = False
        self._connected = threading.Event()
        self._follower = Follower(ledger_path, uri, self._artifact_location())
        self.patience = Patience(uri, _LONGEST_PAUSE)

    def __enter__(self) -> MlflowMirror:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._follower.stop(0.0)

    def start(self) -> None:
        """Begin to follow the ledger."""
        self._follower.start()

    def finish(self, closing: Closing | None = None, *, complete: bool, last_wait: float = LAST_WAIT) -> str:
        """Send what is left, for as long as ``last_wait``.

        A store of its own, a file on this machine, gets as long as it takes while it goes on.

        Args:
            closing: What to send when all trials and cells are.
            complete: Whether the study is.
            last_wait: Seconds to wait for the store.

        Returns:
            What the store lacks and why, or empty.
        """
        return self._finish(closing, complete=complete, wait=last_wait, patiently=not is_server(self._uri))

    def send_all(self, closing: Closing | None = None, *, complete: bool, wait: float = LAST_WAIT) -> str:
        """Send everything that the store lacks, as long as an answer comes within ``wait`` seconds; returns what it lacks still."""
        return self._finish(closing, complete=complete, wait=wait, patiently=True)

    def _finish(self, closing: Closing | None, *, complete: bool, wait: float, patiently: bool) -> str:
        self._closing, self._complete = closing, complete
        if not is_server(self._uri):
            wait = max(wait, _OWN_WAIT)
        began = time.monotonic()
        self._follower.stop(wait)
        if not patiently:
            wait = max(wait - (time.monotonic() - began), 1.0)
        thread = threading.Thread(target=self._send, name="mlflow-mirror", daemon=True)
        thread.start()
        self._connected.wait()  # the time that the import of MLflow takes is not the store's
        answers = -1
        while thread.is_alive() and self.patience.answers > answers:
            answers = self.patience.answers if patiently else sys.maxsize
            thread.join(wait)
        self.patience.give_up()
        return "" if self._done else self._lacking()

    def _lacking(self) -> str:
        with Sent(self._path, without_credentials(self._uri)) as sent:
            trials = len(sent.pending())
        missing = f"{trials} trial{'s' * (trials != 1)}" if trials else "the end of the study"
        return f"{missing} missing there: {self.patience.error or 'it is too slow'}"

    def _send(self) -> None:
        """What the thread does."""
        try:
            client = connect(self._uri)
        except Exception as error:
            self.patience.error = told(error, self._uri)
            return
        finally:
            self._connected.set()
        with Ledger(self._path, read_only=True) as ledger, Sent(self._path, without_credentials(self._uri)) as sent, suppress(GivenUpError):
            for pause in _PAUSES:
                self.patience.wait(pause)
                try:
                    self._end(Session(client, ledger, sent, self._spec, self.patience, self._artifact_location()))
                    return
                except GivenUpError:
                    raise
                except Exception as error:  # the store is not as the session knew it: look anew
                    self.patience.error = told(error, self._uri)

    def _end(self, session: Session) -> None:
        session.send_trials(wait=False)
        session.send_summaries()
        session.close(complete=self._complete)
        if self._closing is not None:
            self._closing(session)
        session.agree()
        self.patience.error = next(iter(session.refused.values()), "")
        self._done = not session.refused

    def _artifact_location(self) -> str | None:
        return (self._workdir / "mlflow-artifacts").resolve().as_uri() if not self._uri.startswith(("http", "databricks")) else None
