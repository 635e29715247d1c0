"""How MLflow is asked: one request at a time, again and later where it is in trouble, until the study has no more time for it.

MLflow's own client would repeat a request whose answer was lost without telling, and so make a run twice. Here it repeats nothing, and
whoever asks learns that a request is being made again.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from studies.tracking.address import told, without_credentials

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

T = TypeVar("T")

LONGEST_PAUSE = 64.0
"""Seconds between requests to a store that does not answer, while the study runs."""
_HOPELESS = ("INVALID_PARAMETER_VALUE", "INVALID_STATE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "ENDPOINT_NOT_FOUND")
"""What MLflow says of a request that it understood, and would refuse again."""


class GivenUpError(Exception):
    """Nobody waits for MLflow any longer."""


def connect(uri: str) -> MlflowClient:
    """A client of the store at ``uri`` that makes each request once, and prints nothing."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def hopeless(error: Exception) -> bool:
    """Whether MLflow refused a request for what it is, so that making it again is no use."""
    return getattr(error, "error_code", "") in _HOPELESS


class Patience:
    """How long is waited for a store that is in trouble: until `give_up`.

    Pauses double from a second, with a quarter more or less by chance, so that many studies do not come back to a server all at once.

    Args:
        uri: MLflow's tracking URI.
        longest_pause: Seconds to which they double.

    Attributes:
        error: What is wrong with the store now, in one line, or empty.
        requests: How many requests were made, those made again included.
        answers: How many of them were answered.
    """

    def __init__(self, uri: str, longest_pause: float = LONGEST_PAUSE) -> None:
        self._uri = uri
        self._longest_pause = longest_pause
        self._given_up = threading.Event()
        self.error = ""
        self.requests = 0
        self.answers = 0

    def give_up(self) -> None:
        """Let every later request raise `GivenUpError`, and whoever pauses wake up to it."""
        self._given_up.set()

    def wait(self, seconds: float) -> None:
        """Pause; raises `GivenUpError` where the store is given up meanwhile."""
        self._given_up.wait(seconds)
        self._check()

    def ask(self, request: Callable[[bool], T]) -> T:
        """Make a request until it is answered.

        Args:
            request: Called with whether it was made before, in which case the store may have carried it out.

        Raises:
            GivenUpError: The store was given up.
            Exception: MLflow's own, where the store refuses the request.
        """
        pause, again = 1.0, False
        while True:
            self._check()
            self.requests += 1
            try:
                answer = request(again)
            except Exception as error:
                self.error = told(error, self._uri)
                if hopeless(error):
                    raise
                again = True
                if pause == LONGEST_PAUSE / 2:
                    logger.warning("MLflow at %s does not answer; the study goes on (%s)", without_credentials(self._uri), self.error)
                self.wait(pause * random.uniform(0.75, 1.25))
                pause = min(2.0 * pause, self._longest_pause)
            else:
                self.error = ""
                self.answers += 1
                return answer

    def _check(self) -> None:
        if self._given_up.is_set():
            raise GivenUpError


def milliseconds(seconds: float | None = None) -> int:
    """A time as MLflow wants it; by default now."""
    return int(1000 * (time.time() if seconds is None else seconds))
