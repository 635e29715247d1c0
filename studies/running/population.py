"""A screen by population based training: a source of trials, as those of `studies.running.sources`.

Each family has a population on each dataset, which goes through generations together: all members train for the same epochs, then the worst
are replaced by changed copies of the best, and so on. A member is a cell whose knobs and learning rate follow paths. All cells share their
seeds, so to go on from another member's checkpoint with other values is to train the path that both of them make, from its beginning: a
copy is a cell like any other, and one whose checkpoint is gone is trained anew, with the same numbers. Who is copied and how is left to
`search_spaces.population`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from margin_core.data import DatasetConfig
from margin_core.seeds import numpy_generator
from margin_core.training import checkpoint_files
from search_spaces import Changes, Config, Outcome, changed, replaced, replacements
from studies.plan import PlannedTrial, Segment, first_members, screen_replicates
from studies.running.sources import ANY, Wanted
from studies.running.trial_copies import TrialCopies
from studies.running.trial_run import pause_file
from studies.spec import StudySpec
from studies.tracking.ledger import Ledger
from studies.tracking.records import ENDED, TrialRecord

if TYPE_CHECKING:
    import numpy as np

    from studies.running.callback import Watcher

# How many copies are looked at for one that is new.
_ATTEMPTS = 100

Reached = dict[tuple[str, int], Outcome]
"""What came of trials, by key, up to the ends of generations."""


class Settlement:
    """What is done when a generation is over: trials that were replaced end, and checkpoints that nobody will go on from are removed.

    Both may be done again, for what was done before a driver died is not known.

    Args:
        ledger: The study's.
        checkpoints: Directory of its checkpoints.
        copies: Their copies on a storage.
        watcher: Is told what has ended.
    """

    def __init__(self, ledger: Ledger, checkpoints: Path, copies: TrialCopies, watcher: Watcher) -> None:
        self._ledger = ledger
        self._checkpoints = checkpoints
        self._copies = copies
        self._watcher = watcher

    def stop(self, trial: PlannedTrial, epoch: int) -> None:
        """End a trial that pauses after ``epoch``, unless it has ended."""
        if self._ledger.trial(trial.key).status not in ENDED:
            reason = f"by the population after epoch {epoch}"
            self._ledger.end(trial.key, "stopped", reason)
            self._watcher.trial_ended(trial, "stopped", reason, self._ledger.epochs(trial.key)[-1]["metrics"])

    def clear(self, trial: PlannedTrial, epoch: int) -> None:
        """Remove the checkpoint that a trial left when it paused after ``epoch``."""
        path = self._checkpoints / pause_file(trial.stage, trial.cell.cell_id, trial.replicate, epoch)
        for file in (*checkpoint_files(path), path.with_suffix(".json")):
            file.unlink(missing_ok=True)
        self._copies.remove(path)


class PopulationTrials:
    """The trials of a screen with populations, a segment at a time.

    Which segments there are follows from the study's seed, the dataset, the family, the generation and the results of the generations
    before, whatever the number of workers and the order in which trials end.

    Args:
        spec: The study.
        reached: What the ledger holds, see `reached`; what the source is told is added to it.
        ended: Keys of trials that have ended.
        settlement: Does what is to be done after a generation; None leaves it.
    """

    def __init__(self, spec: StudySpec, reached: Reached, ended: Collection[str] = (), settlement: Settlement | None = None) -> None:
        self._settlement = settlement
        self._populations = {
            (entry.config().key, family): _Population(spec, entry.config(), family, configs, reached)
            for entry in spec.datasets
            for family, configs in first_members(spec).items()
        }
        for population in self._populations.values():
            population.catch_up()
        self.done = len({*ended} & {key for population in self._populations.values() for key in population.keys})

    @property
    def total(self) -> int:
        """How many trials there are, those that ended before included, where no further one is lost."""
        return sum(population.total for population in self._populations.values())

    def next(self, wanted: Wanted = ANY) -> PlannedTrial | None:
        """The next segment of the population that is furthest behind, of those that are wanted, or None while all wait for results."""
        for population in self._populations.values():
            population.catch_up()
            if self._settlement is not None:
                population.settle(self._settlement)
        ready = [population for population in self._populations.values() if population.waiting and wanted.takes(population.waiting[0])]
        return min(ready, key=lambda population: population.progress).waiting.popleft() if ready else None

    def tell(self, trial: PlannedTrial, outcome: Outcome) -> None:
        """Pass the result to the trial's population."""
        self._populations[trial.dataset, trial.cell.family].tell(trial, outcome)

    @property
    def exhausted(self) -> bool:
        """Whether every population has come to its end."""
        return all(population.over for population in self._populations.values())


@dataclass(frozen=True)
class _Member:
    """A member of a population.

    Attributes:
        config: Its configuration.
        replicates: Its trials, without segments.
        origin: Id of the cell that it goes on from.
    """

    config: Config
    replicates: tuple[PlannedTrial, ...]
    origin: str

    @property
    def cell_id(self) -> str:
        return self.replicates[0].cell.cell_id


class _Population:
    """The members of one family on one dataset."""

    def __init__(self, spec: StudySpec, dataset: DatasetConfig, family: str, configs: Sequence[Config], reached: Reached) -> None:
        assert spec.screen is not None and spec.screen.pbt is not None
        self._spec, self._dataset, self._family = spec, dataset, family
        self._pbt, self._space, self._maximize = spec.screen.pbt, spec.space(), spec.maximize
        self._changes = Changes(self._pbt.step, self._pbt.resample)
        self._ends = self._pbt.ends(spec.recipe.epochs)
        self._reached = reached
        self._generation = 0
        self._members = [self._member(config) for config in configs]
        self._cells = {member.cell_id for member in self._members}
        self._later = (len(self._ends) - 1) * replaced(len(configs), self._pbt.exploit)
        self.keys = {trial.key for member in self._members for trial in member.replicates}
        self.waiting: deque[PlannedTrial] = deque()
        self._to_stop: list[tuple[PlannedTrial, int]] = []
        self._to_clear: list[tuple[PlannedTrial, int]] = []
        self._paused: list[tuple[PlannedTrial, int]] = []
        self._enter()

    @property
    def total(self) -> int:
        return len(self.keys) + self._later * self._seeds

    @property
    def over(self) -> bool:
        return not self._members or (self._generation == len(self._ends) - 1 and self._generation_over)

    @property
    def progress(self) -> float:
        """How many generations have been handed out, the present one in part; the same after an interruption as before."""
        return self._generation + 1 - len(self.waiting) / (len(self._members) * self._seeds)

    def tell(self, trial: PlannedTrial, outcome: Outcome) -> None:
        """Take a result in, unless the trial was stopped within its segment, as it is when a study is interrupted."""
        assert trial.segment is not None
        if outcome.stopped_after in (None, trial.segment.end):
            self._reached[trial.key, trial.segment.end] = outcome

    def catch_up(self) -> None:
        """Go through the generations that are over."""
        while self._members and self._generation_over:
            if self._paused:
                self._to_clear, self._paused = self._paused, []
            if self._generation == len(self._ends) - 1:
                return
            self._breed()

    def settle(self, settlement: Settlement) -> None:
        """Do what is to be done after the generations that are over."""
        for trial, epoch in self._to_stop:
            settlement.stop(trial, epoch)
        for trial, epoch in self._to_clear:
            settlement.clear(trial, epoch)
        self._to_stop, self._to_clear = [], []

    @property
    def _seeds(self) -> int:
        return self._spec.screen.seeds if self._spec.screen else 0

    @property
    def _end(self) -> int:
        return self._ends[self._generation]

    @property
    def _generation_over(self) -> bool:
        return all((trial.key, self._end) in self._reached for member in self._members for trial in member.replicates)

    def _enter(self) -> None:
        """Hand out what the generation is missing."""
        start = self._ends[self._generation - 1] if self._generation else 0
        for seed in range(self._seeds):
            for member in self._members:
                if ((trial := member.replicates[seed]).key, self._end) not in self._reached:
                    self.waiting.append(replace(trial, segment=Segment(start, self._end, member.origin)))

    def _breed(self) -> None:
        """Replace members, and begin the next generation."""
        outcomes = [self._outcome(member) for member in self._members]
        worst, best = replacements(outcomes, self._pbt.exploit, maximize=self._maximize)
        parents = [self._members[place] for place in best]
        draws = numpy_generator(self._spec.seed, self._dataset.key, self._family, "population", self._generation)
        self._paused = [(trial, self._end) for member in self._members for trial in member.replicates]
        after: list[_Member | None] = [replace(member, origin=member.cell_id) for member in self._members]
        for place in worst:
            lost = outcomes[place].values is None
            copy = self._copy(parents, draws)
            if copy is not None or lost:  # where nothing new is found, whoever can goes on
                self._to_stop += [(trial, self._end) for trial in self._members[place].replicates if not self._lost(trial)]
                after[place] = copy
        self._members = [member for member in after if member is not None]
        self._later = max(0, self._later - replaced(len(outcomes), self._pbt.exploit))
        self._generation += 1
        self._enter()

    def _copy(self, parents: Sequence[_Member], draws: np.random.Generator) -> _Member | None:
        """A changed copy of one of the parents that is no member and never was; None where none is found."""
        place = self._end / self._spec.recipe.epochs
        for _ in range(_ATTEMPTS if parents else 0):
            parent = parents[int(draws.integers(len(parents)))]
            copy = self._member(changed(self._space, parent.config, place, self._changes, draws), parent.cell_id)
            if copy.cell_id not in self._cells:
                self._cells.add(copy.cell_id)
                self.keys |= {trial.key for trial in copy.replicates}
                return copy
        return None

    def _member(self, config: Config, origin: str = "") -> _Member:
        replicates = tuple(screen_replicates(self._spec, self._dataset, config))
        return _Member(config, replicates, origin or replicates[0].cell.cell_id)

    def _outcome(self, member: _Member) -> Outcome:
        """The mean over a member's seeds; one that lost any of them is lost."""
        values = [self._reached[trial.key, self._end].value for trial in member.replicates]
        there = [value for value in values if value is not None]
        return Outcome((fmean(there),) if len(there) == len(values) else None)

    def _lost(self, trial: PlannedTrial) -> bool:
        return self._reached[trial.key, self._end].value is None


def reached(spec: StudySpec, ledger: Ledger, trials: Sequence[TrialRecord]) -> Reached:
    """What a ledger holds of the generations: for each trial and the end of each generation what came of it, as far as it is known.

    A trial whose last epoch was reported, and its end not, is handed out once more, to end.

    Args:
        spec: The study.
        ledger: Its ledger.
        trials: The screen's trials.
    """
    assert spec.screen is not None and spec.screen.pbt is not None
    found: Reached = {}
    for trial in trials:
        values = {row["epoch"]: row["metrics"].get(spec.metric) for row in ledger.epochs(trial.key)}
        last = max(values, default=0)
        for end in spec.screen.pbt.ends(spec.recipe.epochs):
            if (trial.status == "failed" and end > last) or (trial.status == "diverged" and end >= last):
                found[trial.key, end] = Outcome(None)
            elif end in values and (end < spec.recipe.epochs or trial.status in ENDED):
                found[trial.key, end] = Outcome.of(values[end])
    return found


def end_former_members(ledger: Ledger) -> None:
    """End what waits to go on although all populations have come to their ends.

    Where failed trials were retried, generations may have come out otherwise than before, with other copies.
    """
    for trial in ledger.trials("screen"):
        if trial.status not in ENDED:
            ledger.end(trial.key, "stopped", "no member of a population any more")
