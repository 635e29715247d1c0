"""What a study has spent, kept in its ledger: wall time and device-hours, run by run.

A run adds its own to what the ledger has of the runs before, every few seconds, so that a driver which is killed leaves all but the last
of them. Who asks and stops is left to `studies.running`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studies.tracking.ledger import Ledger

if TYPE_CHECKING:  # who asks how far a study is does not wait for torch
    import pandas as pd

    from studies.budget import BudgetSection
    from studies.spec import StudySpec

# Where a ledger keeps it, and how often a run writes, in seconds.
_RUNS, _EVERY = "runs", 10.0


@dataclass(frozen=True)
class Spent:
    """What the runs of a study have come to.

    Attributes:
        hours: Their wall time.
        device_hours: Time that their trials held devices.
        runs: How many there were.
    """

    hours: float
    device_hours: float
    runs: int

    def used_up(self, budget: BudgetSection) -> str:
        """Which bound of a budget is reached, in words, or empty.

        Example:
            >>> from studies.budget import BudgetSection
            >>> Spent(2.5, 8.0, runs=1).used_up(BudgetSection(hours=2.0))
            'budget.hours is 2, and the study has run for 2.5 hours'
            >>> Spent(2.5, 8.0, runs=1).used_up(BudgetSection(device_hours=9.0))
            ''
        """
        if budget.hours is not None and self.hours >= budget.hours:
            return f"budget.hours is {budget.hours:g}, and the study has run for {self.hours:.3g} hours"
        if budget.device_hours is not None and self.device_hours >= budget.device_hours:
            return f"budget.device_hours is {budget.device_hours:g}, and its trials have held devices for {self.device_hours:.3g} hours"
        return ""


def devices(spec: StudySpec) -> float:
    """How many devices a trial holds: GPUs, or processors where it holds no GPU."""
    return (spec.resources.gpu or spec.resources.cpu) * spec.recipe.processes


def device(gpu: float) -> str:
    """What a device-hour is an hour of, where a trial holds so much of a GPU."""
    return "GPU" if gpu else "processor"


def spent_words(spent: Spent, study_file: Mapping[str, Any]) -> str:
    """What was spent, of how much a study file, as plain data, allows.

    Example:
        >>> spent_words(Spent(1.5, 3.0, runs=2), {"budget": {"hours": 8.0}, "resources": {"gpu": 0.0}})
        'spent in 2 runs: 1.5 of 8 hours, 3 processor-hours'
    """
    budget = study_file.get("budget", {})
    hours, device_hours = (f" of {budget[name]:g}" if budget.get(name) else "" for name in ("hours", "device_hours"))
    runs = f"{spent.runs} run{'' if spent.runs == 1 else 's'}"
    kind = device(study_file.get("resources", {}).get("gpu", 0.0))
    return f"spent in {runs}: {spent.hours:.3g}{hours} hours, {spent.device_hours:.3g}{device_hours} {kind}-hours"


def spent(ledger: Ledger) -> Spent:
    """What a ledger has of it; nothing of runs by releases that did not count."""
    runs = json.loads(ledger.meta(_RUNS) or "[]")
    return Spent(sum(run["seconds"] for run in runs) / 3600.0, sum(run["device_seconds"] for run in runs) / 3600.0, len(runs))


def costs(table: pd.DataFrame) -> pd.DataFrame:
    """What trials that have ended took: columns ``stage, dataset, family, trials, seconds``, from `Ledger.final_metrics`."""
    groups = table.groupby(["stage", "dataset", "family"], sort=False)
    return groups["seconds"].agg(trials="size", seconds="sum").reset_index()


class Account:
    """Counts what one run of a study spends; a context manager around the run.

    Args:
        ledger: The study's ledger.
        spec: The study.
        clock: Tells the time in seconds.
    """

    def __init__(self, ledger: Ledger, spec: StudySpec, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._budget = spec.budget
        self._devices = devices(spec)
        self._clock = clock
        self._before = spent(ledger)
        self._runs = json.loads(ledger.meta(_RUNS) or "[]")
        self._run = {"started": time.time(), "seconds": 0.0, "device_seconds": 0.0}
        self._running = 0
        self._counted = self._written = clock()

    def __enter__(self) -> Account:
        return self

    def __exit__(self, *_: object) -> None:
        self.count(0)
        self._write()

    def count(self, running: int) -> None:
        """Count what was spent since the last call; from now on so many trials, or arrays of trials, hold devices."""
        now = self._clock()
        self._run["seconds"] += now - self._counted
        self._run["device_seconds"] += (now - self._counted) * self._running * self._devices
        self._counted, self._running = now, running
        if now - self._written >= _EVERY:
            self._write()

    def used_up(self) -> str:
        """Which bound of the study's budget is reached, in words, or empty."""
        return self.spent.used_up(self._budget)

    @property
    def spent(self) -> Spent:
        """What the study has spent by the last count, in this run and before."""
        return Spent(
            self._before.hours + self._run["seconds"] / 3600.0,
            self._before.device_hours + self._run["device_seconds"] / 3600.0,
            self._before.runs + 1,
        )

    def _write(self) -> None:
        self._ledger.set_meta(_RUNS, json.dumps([*self._runs, self._run]))
        self._written = self._counted
