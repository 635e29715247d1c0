"""The section ``screen`` of a study file, with those of the rules by which a screen stops, repeats or changes its trials.

The searchers' own part is left to `search_spaces`, the rules' to `studies.early_stopping` and `studies.running`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from search_spaces import METHODS
from studies.sections import MOST_SEEDS, STUDY_NAME, Section

Searcher = Literal["grid", "sobol", "random", "tpe", "gp", "cma_es"]
LEARNING: tuple[Searcher, ...] = METHODS
"""Searchers that learn from what came of what they asked for."""


class HalvingSection(Section):
    """Successive halving in the screen stage.

    Attributes:
        grace_epochs: Epochs that every trial gets.
        reduction: One in this many trials goes on at each rung.
    """

    grace_epochs: int = Field(1, ge=1)
    reduction: int = Field(3, ge=2)


class MedianSection(Section):
    """The median rule in the screen stage.

    Attributes:
        grace_epochs: Epochs that every trial gets.
        least: Other trials of the same dataset and seed that must have come as far before one is stopped.
    """

    grace_epochs: int = Field(1, ge=1)
    least: int = Field(3, ge=1)


class RacingSection(Section):
    """A race in the screen stage: after each round the best cells of each family go on, with twice as many seeds.

    Attributes:
        first: Seeds of the first round, which every cell gets.
        keep: The share of a family's cells that each round keeps.
    """

    first: int = Field(1, ge=1)
    keep: float = Field(0.5, gt=0.0, lt=1.0)


class PopulationSection(Section):
    """Population based training in the screen stage: knobs and learning rate change over training as the members that do best say.

    Attributes:
        population: Members of each family on each dataset, at least 4.
        interval: Epochs after which members are compared, again and again.
        exploit: The share that is replaced each time, and the share that the copies are of.
        step: How far a value of a copy moves, as a share of its range.
        resample: How often it is drawn anew instead.
    """

    population: int = Field(ge=4)
    interval: int = Field(ge=1)
    exploit: float = Field(0.25, gt=0.0, le=0.5)
    step: float = Field(0.1, gt=0.0, le=1.0)
    resample: float = Field(0.25, ge=0.0, le=1.0)

    def ends(self, epochs: int) -> list[int]:
        """The last epochs of the generations.

        Example:
            >>> PopulationSection(population=4, interval=2).ends(6)
            [2, 4, 6]
        """
        return list(range(self.interval, epochs + 1, self.interval))

    def words(self, epochs: int) -> str:
        """What a preview and a report say of it.

        Example:
            >>> PopulationSection(population=16, interval=2).words(10)
            'populations of up to 16, 5 generations of 2 epochs; the worst 25% are replaced by changed copies of the best 25%'
        """
        share, epoch = f"{self.exploit:.0%}", "epoch" if self.interval == 1 else "epochs"
        return (
            f"populations of up to {self.population}, {len(self.ends(epochs))} generations of {self.interval} {epoch}; "
            f"the worst {share} are replaced by changed copies of the best {share}"
        )


class ScreenSection(Section):
    """The search: few seeds, many cells.

    Attributes:
        searcher: ``grid``, ``sobol`` (quasi-random), ``random``, ``tpe`` (Optuna's TPE, which chooses among families too), or, for each
            family by itself, ``gp`` (Optuna's Gaussian process) or ``cma_es``.
        trials: Configurations per dataset; the grid searcher takes its whole grid and needs none, and a population says itself how many.
        batch: Of a searcher that learns: how many configurations it suggests together, for suggestions that do not depend on the number of
            workers; or none.
        warm_start: Of a searcher that learns: a study of the same work directory, whose screened cells it begins with; or none.
        trade_off: Of ``tpe``: further metrics, for whose Pareto front with the study's own it looks.
        seeds: Replicates of each configuration, or of those that win their race.
        racing: More seeds for promising cells only, or none.
        asha: Early stopping by asynchronous successive halving, or none.
        hyperband: Early stopping by several halvings that begin at different epochs, or none.
        median: Early stopping by the median rule, or none.
        pbt: Population based training, for schedules of knobs and learning rate, or none.
        order: Where a fused trial that takes a free place begins in its seed's order of the data: ``shared``, where the others are, so that
            it has their batches; or ``own``, at the beginning, as in the later stages and as by itself.
    """

    searcher: Searcher = "sobol"
    trials: int | None = Field(None, ge=1)
    batch: int | None = Field(None, ge=1)
    warm_start: str | None = Field(None, pattern=STUDY_NAME)
    trade_off: list[str] = Field(default_factory=list)
    seeds: int = Field(1, ge=1, le=MOST_SEEDS)
    racing: RacingSection | None = None
    asha: HalvingSection | None = None
    hyperband: HalvingSection | None = None
    median: MedianSection | None = None
    pbt: PopulationSection | None = None
    order: Literal["shared", "own"] = "shared"

    @model_validator(mode="after")
    def _a_population_goes_alone(self) -> ScreenSection:
        if self.pbt is None:
            return self
        if self.searcher not in ("sobol", "random"):
            raise ValueError(f"pbt draws its first members by searcher sobol or random, got {self.searcher}")
        if self.trials is not None:
            raise ValueError(f"trials must be left out with pbt, whose population says how many there are, got {self.trials}")
        if other := next((name for name in ("asha", "hyperband", "median", "racing") if getattr(self, name) is not None), None):
            raise ValueError(f"pbt says by itself which trials end early and which go on, and does not go with {other}")
        return self

    @model_validator(mode="after")
    def _trials_fit_the_searcher(self) -> ScreenSection:
        if self.pbt is None and self.searcher != "grid" and self.trials is None:
            raise ValueError(f"trials must be given with searcher {self.searcher}")
        return self

    @model_validator(mode="after")
    def _rules_go_together(self) -> ScreenSection:
        asked = [name for name in ("asha", "hyperband", "median") if getattr(self, name) is not None]
        if len(asked) > 1:
            raise ValueError(f"only one of asha, hyperband and median can stop trials, got {' and '.join(asked)}")
        alone = [name for name in ("batch", "warm_start") if getattr(self, name) is not None]
        if alone and self.searcher not in LEARNING:
            raise ValueError(f"{alone[0]} is of searchers that learn ({', '.join(LEARNING)}), got searcher {self.searcher}")
        if self.trade_off and self.searcher != "tpe":
            raise ValueError(f"trade_off needs searcher tpe, got {self.searcher}")
        if asked and (self.batch is not None or self.trade_off or self.searcher in ("gp", "cma_es")):
            learner = "batch" if self.batch is not None else "trade_off" if self.trade_off else f"searcher {self.searcher}"
            raise ValueError(f"{learner} goes by whole trials, and does not go with {asked[0]}, which stops some of them")
        if self.racing is not None and (asked or self.searcher in LEARNING):
            other = f"searcher {self.searcher}" if self.searcher in LEARNING else asked[0]
            raise ValueError(f"racing compares whole trials of cells that are known beforehand, and does not go with {other}")
        if self.racing is not None and self.racing.first >= self.seeds:
            raise ValueError(f"racing needs more seeds than its first round has ({self.racing.first}), got seeds {self.seeds}")
        return self
