"""Reads a ledger into what the study found (`studies.findings`), so far or at the end.

Each stage is judged on its own trials, and only what an earlier stage settled is carried into a later one: which cells to measure. The
statistics are `studies.analysis`'s; how it looks is `studies.reporting`'s.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from margin_core.knobs import Knob
from margin_core.losses import get_family
from search_spaces import Config
from studies.analysis import Gain, Summary, Verdict, judge, judge_each, paired_gain, summarise
from studies.analysis.rule import level
from studies.claim import recorded_study
from studies.described import describe
from studies.disagreement import metric_choices
from studies.findings import Answer, Contender, Curve, Followed, StageMean, Tested, Winner
from studies.later_stages import metric_on_test, tested_arms, zoom_arms
from studies.looks import afterthoughts, looks
from studies.lost_cells import lost_cells
from studies.nomination import chosen_beforehand, zoomed_beforehand
from studies.pareto import pareto_front
from studies.plan import Arm, Stage, confirm_arms, confirmed_arms, response_knob, surface_arms, with_pairs
from studies.relating import topology_of
from studies.screened import Screened, measured_in, screen_means, screen_table, screen_winner
from studies.shifting import shifts_between
from studies.spec import StudySpec
from studies.spending import costs, spent
from studies.surfaces import judged_surfaces
from studies.tracking.ledger import Ledger
from studies.tracking.page import RunsPage
from studies.warm_start import recorded_warm_start

Numbers = NDArray[np.float64]

# Where a ledger holds the configurations that were chosen to be tested.
_CHOSEN = "chosen_for_test"


@dataclass(frozen=True)
class _Measured:
    """What one stage measured of its cells.

    Attributes:
        stage: The stage.
        spec: The study.
        arms: The stage's cells.
        table: Every ended trial of the study.
        metric: What is read of them.
        beforehand: Ids of the nominees' cells that were chosen before the seeds that measure them.
        looks: For each dataset how many times its results are looked at, this time included; once where it is not among them.
    """

    stage: Stage
    spec: StudySpec
    arms: Sequence[Arm]
    table: pd.DataFrame
    metric: str
    beforehand: Collection[str] = ()
    looks: Mapping[str, int] = field(default_factory=dict)

    def alpha(self, dataset: str) -> float:
        """One minus the confidence of gains."""
        return level(self.spec.alpha, self.looks.get(dataset, 1))

    @cached_property
    def _cells(self) -> dict[str, pd.DataFrame]:
        rows = measured_in(self.table, self.stage, self.metric).sort_values("seed")
        return {str(cell_id): group[["seed", self.metric]].reset_index(drop=True) for cell_id, group in rows.groupby("cell_id")}

    def values(self, arm: Arm) -> pd.DataFrame:
        """Columns ``seed`` and the metric, NaN where a replicate was lost."""
        return self._cells.get(arm.cell.cell_id, pd.DataFrame({"seed": [], self.metric: []}))

    def of(self, dataset: str) -> list[Arm]:
        """The cells of one dataset."""
        return [arm for arm in self.arms if arm.dataset == dataset]

    def baseline(self, dataset: str) -> pd.DataFrame:
        """The values of the ``ce`` arm of one dataset; an empty table where there is no such arm."""
        arm = next((arm for arm in self.of(dataset) if arm.family == "ce"), None)
        return pd.DataFrame({"seed": [], self.metric: []}) if arm is None else self.values(arm)

    def baselines(self) -> dict[str, pd.DataFrame]:
        """For each dataset the replicates of the ``ce`` arm that ended well."""
        return {arm.dataset: self.values(arm).dropna() for arm in self.arms if arm.family == "ce"}

    def ended_well(self, arm: Arm) -> tuple[Numbers, Numbers]:
        """Seeds and values of the replicates that did, by rising seed."""
        values = self.values(arm)
        seeds, measured = values["seed"].to_numpy(), values[self.metric].to_numpy()
        well = ~np.isnan(measured)
        return seeds[well], measured[well]

    def summary(self, arm: Arm) -> Summary | None:
        """Mean and interval of a cell; None where no replicate of it ended well."""
        _, values = self.ended_well(arm)
        return summarise(values, alpha=self.spec.alpha) if len(values) else None

    def gain(self, arm: Arm, alpha: float) -> Gain | None:
        """A cell's paired gain over the ``ce`` arm; None where they share fewer than two seeds."""
        ce = next((other for other in self.of(arm.dataset) if other.family == "ce"), None)
        if ce is None:
            return None
        (seeds, ours), (other_seeds, theirs) = self.ended_well(arm), self.ended_well(ce)
        shared, mine, other = np.intersect1d(seeds, other_seeds, assume_unique=True, return_indices=True)
        return paired_gain(ours[mine], theirs[other], alpha=alpha) if len(shared) >= 2 else None

    def leader(self, arms: Sequence[Arm]) -> Arm | None:
        """The best mean among those of ``arms`` that have the most replicates; None where none has any."""
        sign = 1.0 if self.spec.maximize else -1.0
        measured = [(arm, self.ended_well(arm)[1]) for arm in arms]
        most = max((len(values) for _, values in measured), default=0)
        whole = [(sign * float(values.mean()), -index, arm) for index, (arm, values) in enumerate(measured) if len(values) == most > 0]
        return max(whole, key=lambda item: item[:2])[2] if whole else None


def answer(ledger: Ledger, table: pd.DataFrame | None = None) -> Answer:
    """Read ``ledger`` as it stands; a study that still runs gives the answer so far.

    Args:
        ledger: The study's.
        table: Its final metrics, where they have been read.
    """
    spec = recorded_study(ledger)
    table = ledger.final_metrics() if table is None else table
    trials, changes = ledger.trials(), ledger.changes()
    results = ledger.screen_results(spec.metric) if spec.screen is not None else []
    arms = confirm_arms(spec, results) if spec.confirm is not None else []
    pairs = surface_arms(spec, results) if spec.confirm is not None else []
    beforehand = chosen_beforehand(spec, ledger, trials, arms)
    confirm = _Measured("confirm", spec, arms, table, spec.metric, beforehand, looks("confirm", changes, trials))
    whole = replace(confirm, arms=with_pairs(arms, pairs))
    curves = _curves(confirm)
    finer = zoom_arms(spec, arms, curves)
    zoom = _Measured("zoom", spec, finer, table, spec.metric, zoomed_beforehand(trials, finer), looks("zoom", changes, trials))
    screened = screen_means(trials, table, spec.metric)
    closer = _curves(zoom)
    shifts = shifts_between(curves, closer, alpha=spec.alpha)
    tested = _tested(ledger, looks("test", changes, trials), screened, whole, zoom)
    return Answer(
        spec=spec,
        curves=tuple(curves),
        surfaces=tuple(judged_surfaces(spec, pairs, whole.values, whole.baseline, whole.looks)),
        zooms=tuple(closer),
        shifts=shifts,
        topology=topology_of(ledger, spec, curves, shifts),
        tested=tuple(tested),
        followed=tuple(_followed(screened, whole, zoom, tested)),
        choices=tuple(metric_choices(spec, arms, table, {(curve.dataset, curve.family): curve.verdict.question.level for curve in curves})),
        baselines=confirm.baselines(),
        zoom_baselines=zoom.baselines(),
        winners=tuple(_winners(whole, zoom, screened)),
        screen=screen_table(spec, results),
        front=pareto_front(spec, trials, table),
        counts=pd.DataFrame(ledger.counts(), columns=["stage", "status", "trials"]),
        lost=pd.DataFrame(ledger.lost(), columns=["key", "dataset", "family", "seed", "status", "reason"]),
        lost_cells=tuple(lost_cells(trials, alpha=spec.alpha)),
        seconds=float(table["seconds"].sum()),
        costs=costs(table),
        spent=spent(ledger),
        ended_early=ledger.meta("ended_early") or "",
        history=tuple(changes),
        afterthoughts=afterthoughts(changes, trials),
        parent=ledger.parent(),
        copied=ledger.copied(),
        superseded=int((~table.loc[table["stage"] == "confirm", "cell_id"].isin([arm.cell.cell_id for arm in whole.arms])).sum()),
        warm_start=recorded_warm_start(ledger),
        runs_page=RunsPage.of(ledger.path),
    )


def stage_arms(spec: StudySpec, stage: Stage, ledger: Ledger) -> list[Arm]:
    """The cells of the stage ``confirm``, ``zoom`` or ``test``, by what the ledger holds of the stages before it.

    What is to be tested is chosen once, when it is first asked for, and the ledger keeps it: the test split judges one choice, whatever
    is measured later.
    """
    results = ledger.screen_results(spec.metric) if spec.screen is not None else []
    if stage == "confirm":
        return confirmed_arms(spec, results)
    arms = confirm_arms(spec, results)
    table, trials, changes = ledger.final_metrics(), ledger.trials(), ledger.changes()
    confirm = _Measured("confirm", spec, arms, table, spec.metric, looks=looks("confirm", changes, trials))
    finer = zoom_arms(spec, arms, _curves(confirm))
    if stage == "zoom":
        return finer
    zoom = _Measured("zoom", spec, finer, table, spec.metric)
    whole = replace(confirm, arms=with_pairs(arms, surface_arms(spec, results)))
    chosen = _chosen(ledger)
    for winner in _winners(whole, zoom, {}):
        configs = {arm.cell.cell_id: arm.config for arm in (*finer, *whole.arms)}
        ce = [arm.config for arm in confirm.of(winner.dataset) if arm.family == "ce"]
        chosen.setdefault(winner.dataset, [*ce, *([] if winner.family == "ce" else [configs[winner.cell_id]])])
    ledger.set_meta(_CHOSEN, json.dumps(chosen))
    return tested_arms(spec, chosen)


def _chosen(ledger: Ledger) -> dict[str, list[Config]]:
    return dict(json.loads(ledger.meta(_CHOSEN) or "{}"))


def open_answer(path: Path) -> Answer:
    """The answer of the study in directory ``path``."""
    with Ledger(path / "ledger.sqlite", read_only=True) as ledger:
        return answer(ledger)


def _curves(measured: _Measured) -> list[Curve]:
    """A curve for each dataset and family of which a replicate has ended well, by dataset."""
    families = dict.fromkeys(arm.family for arm in measured.arms if arm.family != "ce")
    curves = {(curve.dataset, curve.family): curve for family in families for curve in _family_curves(measured, family)}
    return [curves[key] for key in dict.fromkeys((arm.dataset, arm.family) for arm in measured.arms) if key in curves]


def _family_curves(measured: _Measured, family: str) -> list[Curve]:
    """The curves of one family, judged at a level that its datasets share."""
    knob, metric = response_knob(family), measured.spec.metric
    asked, drawn = dict[str, Callable[[float], Verdict]](), dict[str, Callable[[Verdict], Curve]]()
    datasets = dict.fromkeys(arm.dataset for arm in measured.arms if arm.family == family)
    for dataset in datasets:
        mine = [arm for arm in measured.of(dataset) if arm.family == family]
        points = [arm for arm in mine if arm.value is not None]
        frames = [measured.values(arm).assign(**{knob.name: arm.value}) for arm in points] if knob else []
        frames = [frame for frame in frames if not frame.empty]
        rows = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
        if knob is None or rows.empty or rows[metric].isna().all():
            continue
        nominee = next((arm for arm in mine if arm.nominee), None)
        beforehand = nominee is not None and nominee.cell.cell_id in measured.beforehand
        asked[dataset] = _question(measured, dataset, knob, rows, points, nominee if beforehand else None)
        drawn[dataset] = partial(
            Curve,
            measured.stage,
            dataset,
            family,
            get_family(family).title,
            knob,
            rows[["seed", knob.name, metric]],
            _lost(measured, points),
            contender=_contender(measured, mine, nominee, beforehand),
            held=_held(along := _others(points, knob)),
            tuned={name: values for name, values in along.items() if len(set(values.values())) > 1},
        )
    verdicts = judge_each(asked, alpha=measured.spec.alpha, datasets=len(datasets))
    return [drawn[dataset](verdict) for dataset, verdict in verdicts.items()]


def _question(
    measured: _Measured, dataset: str, knob: Knob, rows: pd.DataFrame, points: list[Arm], nominee: Arm | None
) -> Callable[[float], Verdict]:
    """What is asked of one curve, but for the level."""
    spec = measured.spec
    # A study that still runs may not have measured them yet.
    there = set(rows[knob.name])
    on_curve = knob.baseline if knob.baseline in there else None
    return lambda alpha: judge(
        rows,
        knob=knob.name,
        metric=spec.metric,
        baseline=measured.baseline(dataset) if on_curve is None else on_curve,
        sesoi=spec.smallest_effect,
        alpha=alpha,
        strict=spec.strict,
        maximize=spec.maximize,
        scale=knob.scale,
        extendable=knob.extendable([arm.value for arm in points if arm.value is not None]),
        fixed=nominee.value if nominee and nominee.value in there else None,
        looks=measured.looks.get(dataset, 1),
    )


def _others(arms: Sequence[Arm], knob: Knob) -> dict[str, dict[float, float | str]]:
    """The other values of a curve's cells, by name and the curve's own value."""
    names = [name for name in arms[0].config if name not in ("family", f"{arms[0].family}.{knob.name}")]
    return {name: {arm.value: arm.config[name] for arm in arms if arm.value is not None and name in arm.config} for name in names}


def _held(along: Mapping[str, Mapping[float, float | str]]) -> dict[str, float | str]:
    return {name: next(iter(values.values())) for name, values in along.items() if len(set(values.values())) == 1}


def _lost(measured: _Measured, arms: list[Arm]) -> dict[float, int]:
    table = measured.table
    bad = table[(table["stage"] == measured.stage) & table["status"].isin(["diverged", "failed"])]
    counts = bad["cell_id"].value_counts()
    return {arm.value: int(counts[arm.cell.cell_id]) for arm in arms if arm.value is not None and arm.cell.cell_id in counts}


def _contender(measured: _Measured, arms: list[Arm], nominee: Arm | None, beforehand: bool) -> Contender | None:
    arm = nominee or measured.leader(arms)
    summary = measured.summary(arm) if arm else None
    if arm is None or summary is None:
        return None
    gain = measured.gain(arm, measured.alpha(arm.dataset) / (1 if beforehand else len(arms)))
    fixed, picked = (gain, None) if beforehand else (None, gain)
    return Contender(arm.cell.cell_id, describe(arm.config), summary, fixed, picked, chosen_before=beforehand)


def _winners(confirm: _Measured, zoom: _Measured, screened: Screened) -> list[Winner]:
    """For each dataset the best mean of the last stage that measured it, each stage by itself; a zoom has nothing to say of pairs."""
    winners = []
    for entry in confirm.spec.datasets:
        dataset = entry.config().key
        first = confirm.leader(confirm.of(dataset))
        found = (None if first and first.pair else _leader_of(zoom, dataset)) or _leader_of(confirm, dataset)
        winners += [found] if found else screen_winner(confirm.spec, dataset, screened)
    return winners


def _leader_of(measured: _Measured, dataset: str) -> Winner | None:
    mine = measured.of(dataset)
    arm = measured.leader(mine)
    summary = measured.summary(arm) if arm else None
    if arm is None or summary is None:
        return None
    # Picked as the best of all cells on the seeds that measure it, whoever chose it before.
    gain = None if arm.family == "ce" else measured.gain(arm, measured.alpha(dataset) / len(mine))
    cells = {"confirm": "confirmed", "zoom": "zoomed"}[measured.stage]
    reason = f"highest mean {measured.metric} of {len(mine)} {cells} cells over {summary.n} seeds; {_sureness(arm, gain)}"
    return Winner(dataset, arm.family, arm.cell.cell_id, describe(arm.config), summary, gain, measured.stage, reason)


def _sureness(arm: Arm, gain: Gain | None) -> str:
    if arm.family == "ce":
        return "no family was measured above cross-entropy"
    if gain is None:
        return "too few seeds to tell it from cross-entropy"
    told = "is told apart from none" if gain.different else "cannot be told from none"
    return f"its gain over ce {told}, at a level that allows for having been picked as the best of them"


def _tested(ledger: Ledger, looked: Mapping[str, int], screened: Screened, *stages: _Measured) -> list[Tested]:
    """What the test split says of the chosen cells, and beside it what the stages said that chose them."""
    spec, table = stages[0].spec, stages[0].table
    tested = _Measured("test", spec, tested_arms(spec, _chosen(ledger)), table, metric_on_test(spec.metric), looks=looked)
    found = []
    for arm in tested.arms:
        summary = tested.summary(arm)
        if not arm.nominee or summary is None:
            continue
        ce = next((other for other in tested.of(arm.dataset) if other.family == "ce"), None)
        found.append(
            Tested(
                dataset=arm.dataset,
                family=arm.family,
                cell_id=arm.cell.cell_id,
                setting=describe(arm.config),
                metric=tested.metric,
                summary=summary,
                baseline=tested.summary(ce) if ce else None,
                gain=None if arm.family == "ce" else tested.gain(arm, tested.alpha(arm.dataset)),
                stages=tuple(_stage_means(arm, screened, stages)),
            )
        )
    return found


def _stage_means(arm: Arm, screened: Screened, stages: Sequence[_Measured]) -> list[StageMean]:
    spec, cell_id = stages[0].spec, arm.cell.cell_id
    means = [StageMean("screen", summarise(screened[cell_id][1], alpha=spec.alpha), None)] if cell_id in screened else []
    for measured in stages:
        summary = measured.summary(arm)
        if summary is not None:
            means.append(
                StageMean(measured.stage, summary, None if arm.family == "ce" else measured.gain(arm, measured.alpha(arm.dataset)))
            )
    return means


def _followed(screened: Screened, confirm: _Measured, zoom: _Measured, tested: Sequence[Tested]) -> list[Followed]:
    """What the stages said of each cell that one of them chose and a later one measured again, and of ``ce`` beside them."""
    judged = {(entry.dataset, entry.cell_id): entry for entry in tested}
    found: list[Followed] = []
    for arm in (*confirm.arms, *zoom.arms):
        entry = judged.pop((arm.dataset, arm.cell.cell_id), None)
        if not (arm.family == "ce" or arm.nominee or entry) or any(one.cell_id == arm.cell.cell_id for one in found):
            continue
        means = _stage_means(arm, screened, (confirm, zoom)) + ([StageMean("test", entry.summary, None)] if entry else [])
        if len(means) > 1:
            found.append(Followed(arm.dataset, arm.family, arm.cell.cell_id, describe(arm.config), tuple(means)))
    chosen = {one.dataset for one in found if one.family != "ce"}
    return [one for one in found if one.dataset in chosen]
