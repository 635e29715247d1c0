"""A screen whose searcher learns from it: a source of trials, as those of `studies.running.sources`.

Each dataset has a search of its own, over cells: the searcher is told a cell's mean over its seeds. What it makes of that is left to
`search_spaces.learning`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from types import MappingProxyType

from margin_core.data import DatasetConfig
from margin_core.seeds import derive_seed
from search_spaces import METHODS, Config, Learner, Method, Outcome, Space, grid_size, sobol
from studies.plan import PlannedTrial, screen_replicates
from studies.running.sources import ANY, Wanted
from studies.spec import StudySpec

# How often a searcher may repeat itself before any Sobol point is taken, and how many points are looked at for a new one.
_REPEATS = 10
_DRAWS = 1000

Note = Callable[[str, int, Config], None]


@dataclass
class _Cell:
    """A suggested cell, and what came of its replicates so far."""

    config: Config
    replicates: int
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        return len(self.outcomes) == self.replicates

    def outcome(self) -> Outcome:
        """The mean over replicates that ended well; where some were stopped, over those that were stopped first."""
        good = [outcome for outcome in self.outcomes.values() if outcome.values is not None]
        first = min((outcome.stopped_after for outcome in good if outcome.stopped_after is not None), default=None)
        alike = [outcome.values for outcome in good if outcome.stopped_after == first and outcome.values is not None]
        return Outcome(tuple(fmean(column) for column in zip(*alike, strict=True)) or None, first)


class LearningTrials:
    """The trials of a screen whose searcher learns.

    Every cell is measured once, so a small space is exhausted before all the study's trials are used. Where the searcher only repeats
    itself, a Sobol point takes its turn.

    With batches, a suggestion depends on the study's seed, the dataset, its number and the results of earlier batches, whatever the number
    of workers. Without them it depends on the results that are in by then, hence on the order in which trials end.

    Args:
        spec: The study.
        history: Configurations already suggested per dataset, in order.
        ended: What came of those trials that have ended, by key.
        known: Per dataset configurations that an earlier study has measured, and what came of them.
        note: Called with dataset, number and configuration of each cell that is suggested, before it is handed out.
    """

    def __init__(
        self,
        spec: StudySpec,
        history: Mapping[str, Sequence[Config]],
        ended: Mapping[str, Outcome],
        known: Mapping[str, Sequence[tuple[Config, Outcome]]] = MappingProxyType({}),
        note: Note = lambda dataset, number, config: None,
    ) -> None:
        datasets = [entry.config() for entry in spec.datasets]
        self._searches = {dataset.key: _Search(spec, dataset, known.get(dataset.key, ()), note) for dataset in datasets}
        for dataset, search in self._searches.items():
            search.go_on(history.get(dataset, ()), ended)
        self.done = sum(search.handed_out for search in self._searches.values())

    @property
    def total(self) -> int:
        """How many trials there are, those that ended before included."""
        return sum(search.total for search in self._searches.values())

    def next(self, wanted: Wanted = ANY) -> PlannedTrial | None:
        """The next trial of the dataset that is furthest behind, or is wanted, among those that need not wait for results."""
        searches = self._searches.values() if wanted.dataset is None else [self._searches[wanted.dataset]]
        for search in sorted(searches, key=lambda search: search.handed_out):
            if (trial := search.next()) is not None:
                return trial
        return None

    def tell(self, trial: PlannedTrial, outcome: Outcome) -> None:
        """Pass the result to the dataset's search."""
        if trial.dataset in self._searches:
            self._searches[trial.dataset].tell(trial, outcome)

    @property
    def exhausted(self) -> bool:
        """Whether every dataset has had all its trials."""
        return all(search.exhausted for search in self._searches.values())


class _Search:
    """The search of one dataset."""

    def __init__(self, spec: StudySpec, dataset: DatasetConfig, known: Sequence[tuple[Config, Outcome]], note: Note) -> None:
        screen = spec.screen
        assert screen is not None and screen.trials is not None
        self.handed_out = 0
        self._dataset = dataset
        self._spec = spec
        self._seeds = screen.seeds
        self._space = spec.space()
        self._limit = _least_cells(self._space, screen.trials)
        self._learner = Learner(
            self._space,
            _method(screen.searcher),
            seed=derive_seed(spec.seed, dataset.key, screen.searcher),
            maximize=tuple(more for _, more in spec.objectives),
            batch=screen.batch,
        )
        self._note = note
        self._waiting: deque[PlannedTrial] = deque()
        self._cells: list[_Cell] = []
        self._numbers: dict[str, int] = {}
        self._told = 0
        for config, outcome in known:
            self._learner.recall(config, outcome)

    @property
    def total(self) -> int:
        return self._limit * self._seeds

    @property
    def exhausted(self) -> bool:
        return not self._waiting and len(self._cells) >= self._limit

    def go_on(self, history: Sequence[Config], ended: Mapping[str, Outcome]) -> None:
        """Take up what was suggested before, as it was then."""
        for config in history:
            self._catch_up()
            self._add(config, ended)

    def next(self) -> PlannedTrial | None:
        if not self._waiting and len(self._cells) < self._limit and self._catch_up():
            self._suggest()
        if not self._waiting:
            return None
        self.handed_out += 1
        return self._waiting.popleft()

    def tell(self, trial: PlannedTrial, outcome: Outcome) -> None:
        number = self._numbers.get(trial.cell.cell_id)
        if number is None or self._cells[number].ended:
            return
        cell = self._cells[number]
        cell.outcomes[trial.key] = outcome
        if cell.ended and not self._learner.in_batches:
            self._learner.tell(number, cell.outcome())

    def _catch_up(self) -> bool:
        """Tell the learner what it has to know before the next cell, in order; returns whether all of that is there."""
        if not self._learner.in_batches:
            return True
        wanted = self._learner.waits_for(len(self._cells))
        while self._told < wanted and self._cells[self._told].ended:
            self._learner.tell(self._told, self._cells[self._told].outcome())
            self._told += 1
        return self._told >= wanted

    def _suggest(self) -> None:
        """Add a cell that is new."""
        number = len(self._cells)
        suggested = (self._learner.ask(number, attempt) for attempt in range(_REPEATS))
        anywhere = (sobol(self._space, seed=self._spec.seed, index=index) for index in range(_DRAWS))
        for draws in (suggested, anywhere):
            if any(config is not None and self._add(config, {}) for config in draws):
                self._note(self._dataset.key, number, self._cells[number].config)
                return
        self._limit = number

    def _add(self, config: Config, ended: Mapping[str, Outcome]) -> bool:
        """Take a configuration up; returns whether its cell is new."""
        replicates = screen_replicates(self._spec, self._dataset, config)
        cell_id, number = replicates[0].cell.cell_id, len(self._cells)
        if cell_id in self._numbers:
            return False
        self._numbers[cell_id] = number
        self._cells.append(_Cell(config, len(replicates)))
        self._learner.begin(number, config)
        for replicate in replicates:
            if replicate.key in ended:
                self.handed_out += 1
                self.tell(replicate, ended[replicate.key])
            else:
                self._waiting.append(replicate)
        return True


def _method(searcher: str) -> Method:
    return next(method for method in METHODS if method == searcher)


def _least_cells(space: Space, trials: int) -> int:
    """As many cells as are asked for, or as there are."""
    try:
        return min(trials, grid_size(space))
    except ValueError:  # a range, which has no end of them
        return trials
