"""What the driver counts of the time and the devices that its trials take, from Ray Tune's events."""

from __future__ import annotations

import time
from typing import Any

from ray import tune

from studies.running.driver_only import DriverOnly
from studies.spending import Account

SECONDS = 1.0


class SpendingCallback(DriverOnly, tune.Callback):
    """Tells a study's account how many trials hold devices, when that changes and every second.

    Args:
        account: The study's.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._running: set[str] = set()
        self._counted = 0.0

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial begins to hold them."""
        self._running.add(trial.trial_id)
        self._count()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial has ended."""
        self._running.discard(trial.trial_id)
        self._count()

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial's process has died."""
        self._running.discard(trial.trial_id)
        self._count()

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Count, if that was not done just now; Ray Tune comes by here all the time."""
        if time.monotonic() - self._counted >= SECONDS:
            self._count()

    def _count(self) -> None:
        self._account.count(len(self._running))
        self._counted = time.monotonic()
