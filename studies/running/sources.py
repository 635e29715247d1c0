"""Where a stage's trials come from, one at a time: a list laid out beforehand, or a searcher that learns.

A source knows nothing of Ray. Told what the ledger holds already, it hands out only what is missing, which is all that resuming is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import optuna

from margin_core.data import DatasetConfig
from margin_core.seeds import derive_seed
from search_spaces import Config, Space, frozen_trial, grid_size, sobol, suggest, tpe_sampler
from studies.plan import PlannedTrial, screen_replicates
from studies.spec import StudySpec

# How often TPE may repeat itself before a Sobol point is taken, and how many points are looked at for a new one.
_REPEATS = 10
_DRAWS = 1000


class TrialSource(Protocol):
    """Hands out a stage's trials and is told their results."""

    done: int
    """How many of them had ended before."""

    @property
    def total(self) -> int:
        """How many trials the stage has, those that ended before included."""

    def next(self) -> PlannedTrial | None:
        """The next trial, or None while there is none to hand out."""

    def tell(self, trial: PlannedTrial, value: float | None) -> None:
        """A trial's final metric; None where it failed or diverged."""

    @property
    def exhausted(self) -> bool:
        """Whether no further trial will ever come."""


class ListedTrials:
    """Trials that are known before the stage starts (grid, Sobol, random, confirm).

    Args:
        planned: Every trial of the stage.
        ended: Keys of those that have ended already.
    """

    def __init__(self, planned: Sequence[PlannedTrial], ended: Iterable[str] = ()) -> None:
        done = set(ended)
        self.total = len(planned)
        self._waiting = deque(trial for trial in planned if trial.key not in done)
        self.done = self.total - len(self._waiting)

    def next(self) -> PlannedTrial | None:
        """The next trial in the plan's order."""
        return self._waiting.popleft() if self._waiting else None

    def tell(self, trial: PlannedTrial, value: float | None) -> None:
        """Results change nothing here."""

    @property
    def exhausted(self) -> bool:
        """Whether the list has been handed out."""
        return not self._waiting


@dataclass
class _OpenCell:
    """A suggested cell, until all its replicates have ended."""

    config: Config
    asked: optuna.Trial | None
    replicates: int
    values: dict[str, float | None]


class TpeTrials:
    """Optuna's conditional TPE, one model per dataset, over cells: it is told a cell's mean over its seeds.

    Every cell is measured once, so a small space is exhausted before all the study's trials are used. Where TPE only repeats itself,
    a Sobol point takes its turn.

    A suggestion depends on the study's seed, the dataset, its number and the results that are in by then, hence on the order in which
    trials end.

    Args:
        spec: The study.
        history: Configurations already suggested per dataset, in order.
        ended: Results by trial key of those trials that have ended; None for one that was lost.
    """

    def __init__(self, spec: StudySpec, history: Mapping[str, Sequence[Config]], ended: Mapping[str, float | None]) -> None:
        screen = spec.screen
        assert screen is not None and screen.trials is not None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._searches = [
            _TpeSearch(spec, entry.config(), history.get(entry.config().key, ()), ended, screen.trials) for entry in spec.datasets
        ]
        self.done = sum(search.handed_out for search in self._searches)

    @property
    def total(self) -> int:
        """How many trials there are, those that ended before included."""
        return sum(search.total for search in self._searches)

    def next(self) -> PlannedTrial | None:
        """The next trial of the dataset that is furthest behind."""
        open_searches = [search for search in self._searches if not search.exhausted]
        return min(open_searches, key=lambda search: search.handed_out).next() if open_searches else None

    def tell(self, trial: PlannedTrial, value: float | None) -> None:
        """Pass the result to the dataset's search."""
        for search in self._searches:
            if search.dataset.key == trial.dataset:
                search.tell(trial, value)

    @property
    def exhausted(self) -> bool:
        """Whether every dataset has had all its trials."""
        return all(search.exhausted for search in self._searches)


class _TpeSearch:
    """The search of one dataset."""

    def __init__(
        self, spec: StudySpec, dataset: DatasetConfig, history: Sequence[Config], ended: Mapping[str, float | None], trials: int
    ) -> None:
        self.dataset = dataset
        self.handed_out = 0
        self._spec = spec
        self._seeds = spec.screen.seeds if spec.screen else 0
        self._space = spec.space()
        self._limit = _least_cells(self._space, trials)
        self._study = optuna.create_study(
            direction="maximize" if spec.maximize else "minimize", sampler=tpe_sampler(derive_seed(spec.seed, dataset.key, "tpe"))
        )
        self._waiting: deque[PlannedTrial] = deque()
        self._open: dict[str, _OpenCell] = {}
        self._means: dict[str, float | None] = {}
        for config in history:
            self._add(config, None, ended)

    @property
    def total(self) -> int:
        return self._limit * self._seeds

    @property
    def exhausted(self) -> bool:
        return not self._waiting and self._cells >= self._limit

    @property
    def _cells(self) -> int:
        return len(self._open) + len(self._means)

    def next(self) -> PlannedTrial | None:
        if not self._waiting and self._cells < self._limit:
            self._suggest()
        if not self._waiting:
            return None
        self.handed_out += 1
        return self._waiting.popleft()

    def _suggest(self) -> None:
        """Add a cell that is new."""
        for _ in range(_REPEATS):
            asked = self._study.ask()
            if self._add(suggest(self._space, asked), asked, {}):
                return
        if not any(self._add(sobol(self._space, seed=self._spec.seed, index=index), None, {}) for index in range(_DRAWS)):
            self._limit = self._cells

    def tell(self, trial: PlannedTrial, value: float | None) -> None:
        cell = self._open.get(trial.cell.cell_id)
        if cell is None:
            return
        cell.values[trial.key] = value
        if len(cell.values) == cell.replicates:
            del self._open[trial.cell.cell_id]
            good = [value for value in cell.values.values() if value is not None]
            self._means[trial.cell.cell_id] = sum(good) / len(good) if good else None
            self._record(cell, self._means[trial.cell.cell_id])

    def _add(self, config: Config, asked: optuna.Trial | None, ended: Mapping[str, float | None]) -> bool:
        """Take a configuration up; returns whether its cell is new."""
        replicates = screen_replicates(self._spec, self.dataset, config)
        cell, cell_id = _OpenCell(config, asked, len(replicates), {}), replicates[0].cell.cell_id
        if cell_id in self._open or cell_id in self._means:
            if asked is not None:
                self._record(cell, self._means.get(cell_id))
            return False
        self._open[cell_id] = cell
        for replicate in replicates:
            if replicate.key in ended:
                self.handed_out += 1
                self.tell(replicate, ended[replicate.key])
            else:
                self._waiting.append(replicate)
        return True

    def _record(self, cell: _OpenCell, value: float | None) -> None:
        if cell.asked is None:
            self._study.add_trial(frozen_trial(self._space, cell.config, value))
        elif value is None:
            self._study.tell(cell.asked, state=optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(cell.asked, value)


def _least_cells(space: Space, trials: int) -> int:
    """As many cells as are asked for, or as there are."""
    try:
        return min(trials, grid_size(space))
    except ValueError:  # a range, which has no end of them
        return trials
