"""What a study found, as plain records: curves, verdicts, the cell to export per dataset, and what went wrong.

They are gathered from a ledger by `studies.answer`; the terminal, the report, ``verdicts.json`` and the export all read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from margin_core.knobs import Knob
from studies.analysis import Gain, ShiftVerdict, Summary, SurfaceVerdict, Verdict
from studies.difference import Difference
from studies.disagreement import MetricChoice
from studies.lost_cells import LostCell
from studies.plan import Stage
from studies.spec import StudySpec
from studies.spending import Spent
from studies.topology import Topology
from studies.tracking.page import RunsPage
from studies.tracking.records import Change
from studies.warm_start import WarmStart


@dataclass(frozen=True)
class Contender:
    """A measured cell and what it gains over ``ce``.

    Attributes:
        cell_id: The cell.
        setting: Its knob values in words: ``λ = 1.5`` or ``β = 0.001 → 0.01 (linear, first 50 %)``.
        summary: Mean of the metric over its seeds, with an interval.
        gain: Paired difference from the ``ce`` arm; None where the cell was picked on these seeds or they share fewer than two.
        optimistic_gain: The same of a cell that was picked on these seeds: too good on average, with an interval that is widened to hold
            for the best of all the cells it was picked among.
        chosen_before: Whether the cell was chosen before these seeds.
    """

    cell_id: str
    setting: str
    summary: Summary
    gain: Gain | None
    optimistic_gain: Gain | None
    chosen_before: bool

    @property
    def any_gain(self) -> Gain | None:
        """Either gain, for the side of zero that its interval lies on; its mean is not to be told."""
        return self.gain or self.optimistic_gain


@dataclass(frozen=True)
class Curve:
    """One family on one dataset: the metric against its knob.

    Attributes:
        stage: The stage that measured it, ``confirm`` or ``zoom``.
        dataset: What the study calls the dataset.
        family: The family's name.
        title: The family's name in prose.
        knob: The knob's declaration.
        table: Columns ``seed``, the knob's name and the metric; one row per replicate, NaN where it diverged or failed.
        lost: Replicates that diverged or failed, by knob value.
        verdict: What the analysis says.
        contender: The cell that stands for the family: the choice of an earlier stage, or the best of the curve where there was none.
        held: The other values of the family's cells that are the same along the whole curve.
        tuned: Those that are not, by name and knob value.
    """

    stage: Stage
    dataset: str
    family: str
    title: str
    knob: Knob
    table: pd.DataFrame
    lost: Mapping[float, int]
    verdict: Verdict
    contender: Contender | None
    held: Mapping[str, float | str]
    tuned: Mapping[str, Mapping[float, float | str]]

    @property
    def regularizers(self) -> dict[str, float]:
        """The weights, other than none, of regularisers that the whole curve has."""
        weights = {name: value for name, value in self.held.items() if name.endswith(".weight")}
        return {name: float(value) for name, value in weights.items() if value}


@dataclass(frozen=True)
class Surface:
    """Two knobs of one family on one dataset, every pair of their values a cell.

    Attributes:
        dataset: What the study calls the dataset.
        family: The family's name.
        knobs: The declarations of both knobs.
        means: The mean of the metric over the replicates that ended well, by pair of values.
        lost: Replicates that diverged or failed, by pair of values.
        held: The other values of the cells.
        verdict: What the analysis says.
    """

    dataset: str
    family: str
    knobs: tuple[Knob, Knob]
    means: Mapping[tuple[float, float], float]
    lost: Mapping[tuple[float, float], int]
    held: Mapping[str, float | str]
    verdict: SurfaceVerdict


@dataclass(frozen=True)
class Shift:
    """Whether one family's best knob value moves between datasets.

    Attributes:
        family: The family's name.
        knob: The knob's declaration.
        tried: The knob values of its curves, rising.
        verdict: What the analysis says.
    """

    family: str
    knob: Knob
    tried: tuple[float, ...]
    verdict: ShiftVerdict


@dataclass(frozen=True)
class Winner:
    """The cell to export for a dataset: the highest mean over whole replicates in the last stage.

    Attributes:
        dataset: What the study calls the dataset.
        family: The winning family.
        cell_id: The winning cell.
        setting: Its knob values in words.
        summary: Its mean, interval and seeds.
        optimistic_gain: Its paired gain over ``ce``, too good on average since the cell was picked on the same seeds, with an interval that
            allows for that; None for ``ce`` itself, in the screen and where there are fewer than two seeds.
        stage: The stage that measured it.
        reason: Why this cell, and how surely, in one sentence.
    """

    dataset: str
    family: str
    cell_id: str
    setting: str
    summary: Summary
    optimistic_gain: Gain | None
    stage: str
    reason: str


@dataclass(frozen=True)
class StageMean:
    """What one stage said of a cell: the study's metric on that stage's own seeds.

    Attributes:
        stage: The stage.
        summary: Mean of the metric over its seeds, with an interval.
        optimistic_gain: Paired difference from the stage's ``ce`` arm, too good on average where the cell came out best of the stage; None
            where it has none, in the screen, on the test split, which picks nothing, and with fewer than two seeds.
    """

    stage: Stage
    summary: Summary
    optimistic_gain: Gain | None


@dataclass(frozen=True)
class Tested:
    """What the test split says of the cell that was chosen for a dataset, on seeds that chose nothing.

    Attributes:
        dataset: What the study calls the dataset.
        family: The chosen family.
        cell_id: The chosen cell.
        setting: Its knob values in words.
        metric: The metric, as it is called on the test split.
        summary: Its mean over the chosen cell's seeds, with an interval.
        baseline: The same of the ``ce`` arm; None where none of its replicates ended well.
        gain: Paired difference from the ``ce`` arm, unbiased; None for ``ce`` itself and with fewer than two seeds.
        stages: What each stage said of the cell by the study's own metric, in order: how far choosing made it look better than it is.
    """

    dataset: str
    family: str
    cell_id: str
    setting: str
    metric: str
    summary: Summary
    baseline: Summary | None
    gain: Gain | None
    stages: tuple[StageMean, ...]


@dataclass(frozen=True)
class Followed:
    """A cell that one stage chose and a later one measured again: how far choosing made it look better than it is.

    Attributes:
        dataset: What the study calls the dataset.
        family: The family.
        cell_id: The cell.
        setting: Its knob values in words.
        stages: What each stage said of it, in order; the test stage by the metric of the test split.
    """

    dataset: str
    family: str
    cell_id: str
    setting: str
    stages: tuple[StageMean, ...]


@dataclass(frozen=True)
class Answer:
    """Everything that a study's report says.

    Attributes:
        spec: The study file.
        curves: One per confirmed dataset and family.
        surfaces: One per dataset and family of which two knobs were asked for at once.
        zooms: One per dataset and family that the zoom stage looked at closer.
        shifts: One per family with curves on several datasets.
        topology: What the datasets are like, and whether the optima go with it.
        tested: What the test split says, for each dataset that has been tested.
        followed: The chosen cells that more than one stage measured.
        choices: For each curve of the confirm stage which values may be best by each metric that a study can go by.
        baselines: For each dataset the ``ce`` arm: columns ``seed`` and the metric, of the replicates that ended well.
        zoom_baselines: The same of the zoom stage.
        winners: For each dataset the cell to export.
        screen: One row per screened configuration: ``dataset, family, setting, value, config``.
        front: Where the screen trades metrics off, its Pareto front on each dataset: ``dataset, family, setting, cell_id, seeds`` and each
            metric.
        counts: Trials by ``stage`` and ``status``.
        lost: Trials that diverged or failed: ``key, dataset, family, seed, status, reason``.
        lost_cells: The cells that they are of, with the share that each lost.
        seconds: Trial time, summed over trials.
        costs: The same of trials that have ended, by ``stage``, ``dataset`` and ``family``, with how many ``trials`` there were.
        spent: What the study's runs have taken.
        ended_early: Why the last run ended before the study was complete, by its budget or its failed trials; or empty.
        history: How the study came to be what it is, where it was branched or extended.
        afterthoughts: What ``alpha``, ``sesoi`` and ``strict`` were changed to when trials of the confirm stage had ended already.
        parent: The study that it is a branch of, or empty.
        copied: Trials that were run there.
        superseded: Confirm trials of cells that a screen which was extended no longer chooses; they count nowhere else.
        warm_start: What the search began with from an earlier study, which counts nowhere here.
        runs_page: Where MLflow shows the runs, if they were sent anywhere.
    """

    spec: StudySpec
    curves: tuple[Curve, ...]
    surfaces: tuple[Surface, ...]
    zooms: tuple[Curve, ...]
    shifts: tuple[Shift, ...]
    topology: Topology
    tested: tuple[Tested, ...]
    followed: tuple[Followed, ...]
    choices: tuple[MetricChoice, ...]
    baselines: Mapping[str, pd.DataFrame]
    zoom_baselines: Mapping[str, pd.DataFrame]
    winners: tuple[Winner, ...]
    screen: pd.DataFrame
    front: pd.DataFrame
    counts: pd.DataFrame
    lost: pd.DataFrame
    lost_cells: tuple[LostCell, ...]
    seconds: float
    costs: pd.DataFrame
    spent: Spent
    ended_early: str
    history: tuple[Change, ...]
    afterthoughts: tuple[Difference, ...]
    parent: str
    copied: int
    superseded: int
    warm_start: WarmStart | None
    runs_page: RunsPage | None

    @property
    def datasets(self) -> list[str]:
        """The study's datasets, in its order."""
        return [entry.config().key for entry in self.spec.datasets]

    def closer(self) -> Answer:
        """The same with the curves and ``ce`` arms of the zoom stage in the place of those of the confirm stage."""
        return replace(self, curves=self.zooms, baselines=self.zoom_baselines)

    def gain_of(self, curve: Curve) -> Gain | None:
        """The gain of the setting that stands for a curve; of one that was picked there, what the zoom stage's fresh seeds say of it."""
        contender = curve.contender
        if contender is None:
            return None
        if contender.gain is not None:
            return contender.gain
        again = [zoom.contender for zoom in self.zooms if zoom.contender and zoom.dataset == curve.dataset]
        return next((each.gain for each in again if each.cell_id == contender.cell_id), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain data: what ``verdicts.json`` holds."""
        return {
            "study": self.spec.name,
            "metric": self.spec.metric,
            "sesoi": self.spec.smallest_effect,
            "alpha": self.spec.alpha,
            **({"strict": True} if self.spec.strict else {}),
            **({"changed_after_confirming": [str(entry) for entry in self.afterthoughts]} if self.afterthoughts else {}),
            "verdicts": [_curve_dict(curve) for curve in self.curves],
            **({"surfaces": [_surface_dict(surface) for surface in self.surfaces]} if self.surfaces else {}),
            **({"zoom": [_curve_dict(curve) for curve in self.zooms]} if self.zooms else {}),
            **({"shifts": [_shift_dict(shift) for shift in self.shifts]} if self.shifts else {}),
            **({"topology": self.topology.to_dict()} if self.topology else {}),
            "winners": [
                {
                    "dataset": winner.dataset,
                    "family": winner.family,
                    "cell_id": winner.cell_id,
                    "setting": winner.setting,
                    "stage": winner.stage,
                    **_measured(winner.summary, None, winner.optimistic_gain),
                    "reason": winner.reason,
                }
                for winner in self.winners
            ],
            **({"test": [_tested_dict(tested) for tested in self.tested]} if self.tested else {}),
            **({"lost": [cell.to_dict() for cell in self.lost_cells]} if self.lost_cells else {}),
            **({"branch_of": self.parent} if self.parent else {}),
            **({"front": self.front.to_dict("records")} if len(self.front) else {}),
            **({"warm_start": self.warm_start.to_dict()} if self.warm_start else {}),
            **({"history": [change.to_dict() for change in self.history]} if self.history else {}),
        }


def _curve_dict(curve: Curve) -> dict[str, Any]:
    return {
        "dataset": curve.dataset,
        "family": curve.family,
        "knob": curve.knob.name,
        "held": dict(curve.held),
        **({"tuned": {name: dict(values) for name, values in curve.tuned.items()}} if curve.tuned else {}),
        **curve.verdict.to_dict(),
        "contender": _contender_dict(curve.contender),
    }


def _surface_dict(surface: Surface) -> dict[str, Any]:
    return {
        "dataset": surface.dataset,
        "family": surface.family,
        "knobs": [knob.name for knob in surface.knobs],
        "held": dict(surface.held),
        "means": [[*pair, mean] for pair, mean in surface.means.items()],
        **surface.verdict.to_dict(),
    }


def _shift_dict(shift: Shift) -> dict[str, Any]:
    return {"family": shift.family, "knob": shift.knob.name, **shift.verdict.to_dict()}


def _tested_dict(tested: Tested) -> dict[str, Any]:
    return {
        "dataset": tested.dataset,
        "family": tested.family,
        "cell_id": tested.cell_id,
        "setting": tested.setting,
        "metric": tested.metric,
        **_measured(tested.summary, tested.gain),
        "ce_mean": None if tested.baseline is None else tested.baseline.mean,
        "stages": [{"stage": seen.stage, **_measured(seen.summary, None, seen.optimistic_gain)} for seen in tested.stages],
    }


def _contender_dict(contender: Contender | None) -> dict[str, Any] | None:
    if contender is None:
        return None
    return {
        "cell_id": contender.cell_id,
        "setting": contender.setting,
        "chosen_before": contender.chosen_before,
        **_measured(contender.summary, contender.gain, contender.optimistic_gain),
    }


def _measured(summary: Summary, gain: Gain | None, optimistic: Gain | None = None) -> dict[str, Any]:
    plain = {
        "mean": summary.mean,
        "interval": [summary.low, summary.high],
        "seeds": summary.n,
        "gain_over_ce": None if gain is None else gain.mean,
        "gain_interval": None if gain is None else [gain.low, gain.high],
    }
    if optimistic is not None:
        plain |= {"optimistic_gain_over_ce": optimistic.mean, "optimistic_gain_interval": [optimistic.low, optimistic.high]}
    return plain
