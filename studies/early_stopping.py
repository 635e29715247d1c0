"""Which trials of a screen end early: rules that compare a trial with those of the same dataset and seed, and with no others.

A rule knows nothing of Ray. It is told every report, those in the ledger first, so a resumed study stops what it would have stopped.
What is decided depends on which reports are in by then, hence on the order in which trials run.
"""

from __future__ import annotations

import math
from collections import defaultdict
from statistics import fmean, median
from typing import NamedTuple, Protocol

from margin_core.seeds import numpy_generator
from studies.screen_section import HalvingSection, MedianSection
from studies.spec import StudySpec


class Contestant(NamedTuple):
    """A trial, as far as it matters for whether it goes on."""

    key: str
    cell_id: str
    dataset: str
    seed: int

    @property
    def group(self) -> tuple[str, int]:
        """What trials have in common that may be compared."""
        return self.dataset, self.seed


class StoppingRule(Protocol):
    """Says of each report whether its trial shall end."""

    def stops(self, trial: Contestant, epoch: int, value: float) -> bool:
        """Take a report in, and whether the trial shall not go on.

        Args:
            trial: The trial.
            epoch: The epoch that it has reached, from 1.
            value: The study's metric after it.
        """


def stopping_rule(spec: StudySpec) -> StoppingRule | None:
    """The rule of a study's screen, or None where all trials run to their end."""
    screen = spec.screen
    if screen is None:
        return None
    if screen.median is not None:
        return Median(screen.median, maximize=spec.maximize)
    halving = screen.asha or screen.hyperband
    if halving is None:
        return None
    return Halving(halving, epochs=spec.recipe.epochs, maximize=spec.maximize, every_bracket=screen.hyperband is not None, seed=spec.seed)


class Halving:
    """Asynchronous successive halving (ASHA), and HyperBand as several of them with first rungs at different epochs.

    A rung is an epoch: the first is ``grace_epochs``, each further one ``reduction`` times the one before. A trial that reaches a rung
    goes on if it is among the best 1 / ``reduction`` of those of its group that have reached it so far, rounded up. From Li et al., A
    System for Massively Parallel Hyperparameter Tuning, MLSys 2020, section 3.3, in the form that stops trials rather than pausing them.

    With ``every_bracket``, as in Li et al., Hyperband, JMLR 2018, algorithm 1, there is a bracket for each rung at which halving may
    begin, and cells are shared out among them as there; which one a cell is in follows from the study's seed and the cell.

    Args:
        section: Grace and reduction.
        epochs: Epochs of a whole trial.
        maximize: Whether more of the metric is better.
        every_bracket: Whether to run all brackets of HyperBand, or the one that begins at ``grace_epochs``.
        seed: The study's seed.
    """

    def __init__(self, section: HalvingSection, *, epochs: int, maximize: bool, every_bracket: bool = False, seed: int = 0) -> None:
        self._reduction = section.reduction
        self._sign = 1.0 if maximize else -1.0
        self._seed = seed
        rungs = [section.grace_epochs]
        while rungs[-1] * section.reduction < epochs:
            rungs.append(rungs[-1] * section.reduction)
        rungs = [rung for rung in rungs if rung < epochs]
        # The last bracket has no rung: its trials all run to the end.
        self._brackets = [rungs[first:] for first in range(len(rungs) + 1)] if every_bracket else [rungs]
        self._shares = _shares(len(self._brackets), section.reduction)
        self._seen: dict[tuple[tuple[str, int], int, int], dict[str, float]] = defaultdict(dict)

    def bracket(self, cell_id: str) -> int:
        """The bracket that a cell is in."""
        draw = numpy_generator(self._seed, cell_id, "bracket").random()
        return next((place for place, end in enumerate(self._shares) if draw < end), len(self._shares) - 1)

    def stops(self, trial: Contestant, epoch: int, value: float) -> bool:
        """Take a report in, and whether the trial shall not go on."""
        bracket = self.bracket(trial.cell_id)
        if epoch not in self._brackets[bracket]:
            return False
        seen = self._seen[trial.group, bracket, epoch]
        seen.setdefault(trial.key, -math.inf if math.isnan(value) else self._sign * value)
        better = sum(other > seen[trial.key] for other in seen.values())
        return better >= math.ceil(len(seen) / self._reduction)


class Median:
    """The median rule: a trial ends whose best value so far is worse than the median of the others' running means at that epoch.

    From Golovin et al., Google Vizier, KDD 2017, section 3.2.2.

    Args:
        section: From which epoch on, and among how many trials at least.
        maximize: Whether more of the metric is better.
    """

    def __init__(self, section: MedianSection, *, maximize: bool) -> None:
        self._section = section
        self._sign = 1.0 if maximize else -1.0
        self._curves: dict[tuple[str, int], dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))

    def stops(self, trial: Contestant, epoch: int, value: float) -> bool:
        """Take a report in, and whether the trial shall not go on."""
        curves = self._curves[trial.group]
        mine = curves[trial.key]
        mine.setdefault(epoch, -math.inf if math.isnan(value) else self._sign * value)
        others = [
            fmean(reached for at, reached in curve.items() if at <= epoch)
            for key, curve in curves.items()
            if key != trial.key and epoch in curve
        ]
        if epoch < self._section.grace_epochs or len(others) < self._section.least:
            return False
        return max(reached for at, reached in mine.items() if at <= epoch) < median(others)


def _shares(brackets: int, reduction: int) -> list[float]:
    """Upper ends of the brackets' shares of [0, 1): those of HyperBand's first rounds, the most cells where halving begins soonest."""
    last = brackets - 1
    sizes = [math.ceil(brackets / (last - place + 1) * reduction ** (last - place)) for place in range(brackets)]
    return [sum(sizes[: place + 1]) / sum(sizes) for place in range(brackets)]
