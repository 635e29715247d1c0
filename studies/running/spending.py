"""What the driver counts of the time and the devices that its trials take, from Ray Tune's events."""

from __future__ import annotations

from typing import Any

from ray import tune

from studies.spending import Account


class SpendingCallback(tune.Callback):
    """Tells a study's account how many processes hold devices, when that changes and now and then.

    A trial has a process of its own, or shares that of its array.

    Args:
        account: The study's.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._running: dict[str, Any] = {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial begins to hold them."""
        self._running[trial.trial_id] = trial.temporary_state.ray_actor
        self._count()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial has ended."""
        self._running.pop(trial.trial_id, None)
        self._count()

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial's process has died."""
        self._running.pop(trial.trial_id, None)
        self._count()

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Count the time that has gone by."""
        self._count()

    def _count(self) -> None:
        self._account.count(len(set(self._running.values())))
