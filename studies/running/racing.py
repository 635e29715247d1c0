"""A screen in which promising cells get more seeds: a source of trials, as those of `studies.running.sources`.

The cells of a family race against each other on each dataset, in rounds. All of them have the same seeds in a round, so a cell is
compared with the leader on the leader's own seeds, and only one that has had all of them can come out best. What a round keeps follows
from its results alone, not from the order in which they came in: the same study runs the same trials whatever the number of workers.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence

from search_spaces import Outcome
from studies.plan import PlannedTrial, race_rounds, screen_configs, screen_replicates
from studies.running.sources import ANY, Wanted
from studies.spec import StudySpec


class RacingTrials:
    """The trials of a screen with a race.

    Args:
        spec: The study.
        ended: What came of those trials that have ended, by key.
    """

    def __init__(self, spec: StudySpec, ended: Mapping[str, Outcome]) -> None:
        races: dict[tuple[str, str], dict[str, list[PlannedTrial]]] = {}
        for config in screen_configs(spec):
            for entry in spec.datasets:
                replicates = screen_replicates(spec, entry.config(), config)
                first = replicates[0]
                races.setdefault((first.dataset, first.cell.family), {}).setdefault(first.cell.cell_id, replicates)
        self._races = {key: _Race(spec, list(cells.values()), ended) for key, cells in races.items()}
        self.done = sum(race.ended for race in self._races.values())

    @property
    def total(self) -> int:
        """How many trials there are, those that ended before included."""
        return sum(race.total for race in self._races.values())

    @property
    def exhausted(self) -> bool:
        """Whether every race has handed out its last trial."""
        return all(race.exhausted for race in self._races.values())

    def next(self, wanted: Wanted = ANY) -> PlannedTrial | None:
        """The next trial of the race that is furthest behind, of those that are wanted, or None while all wait for results."""
        ready = [race for race in self._races.values() if race.waiting and wanted.takes(race.waiting[0])]
        return min(ready, key=lambda race: race.progress).waiting.popleft() if ready else None

    def tell(self, trial: PlannedTrial, outcome: Outcome) -> None:
        """Pass the result to the trial's race."""
        race = self._races.get((trial.dataset, trial.cell.family))
        if race is not None:
            race.tell(trial, outcome)


class _Race:
    """The cells of one family on one dataset."""

    def __init__(self, spec: StudySpec, cells: Sequence[Sequence[PlannedTrial]], ended: Mapping[str, Outcome]) -> None:
        assert spec.screen is not None and spec.screen.racing is not None
        self._sign = 1.0 if spec.maximize else -1.0
        self._rounds = race_rounds(len(cells), spec.screen)
        self._place = 0
        self._alive = list(cells)
        self._values = {trial.key: ended[trial.key].value for cell in cells for trial in cell if trial.key in ended}
        self.waiting: deque[PlannedTrial] = deque()
        self.total = sum(count * (seeds - before) for count, before, seeds in self._rounds)
        self._begin()

    @property
    def exhausted(self) -> bool:
        return not self.waiting and self._place == len(self._rounds) - 1

    @property
    def ended(self) -> int:
        return len(self._values)

    @property
    def progress(self) -> float:
        return self.ended / self.total

    def tell(self, trial: PlannedTrial, outcome: Outcome) -> None:
        self._values[trial.key] = outcome.value
        self._go_on()

    def _begin(self) -> None:
        """Hand out what the round is missing."""
        _, _, seeds = self._rounds[self._place]
        missing = [cell[seed] for seed in range(seeds) for cell in self._alive if cell[seed].key not in self._values]
        self.waiting.extend(missing)
        self._go_on()

    def _go_on(self) -> None:
        """Begin the next round once all trials of this one have ended."""
        _, _, seeds = self._rounds[self._place]
        if self._place == len(self._rounds) - 1 or not all(t.key in self._values for cell in self._alive for t in cell[:seeds]):
            return
        self._place += 1
        count = self._rounds[self._place][0]
        # Sorting keeps the order of equals, which is that of the search.
        self._alive = sorted(self._alive, key=lambda cell: self._badness(cell[:seeds]))[:count]
        self._begin()

    def _badness(self, replicates: Sequence[PlannedTrial]) -> float:
        """Minus the mean over a round's seeds; a cell that lost one of them is behind all that did not."""
        values = [self._values[trial.key] for trial in replicates]
        if any(value is None or math.isnan(value) for value in values):
            return math.inf
        return -self._sign * math.fsum(value for value in values if value is not None) / len(values)
