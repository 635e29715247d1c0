"""What a study found, gathered from its ledger: curves, verdicts, the cell to export per dataset, and what went wrong.

This is the one reading of a ledger that the terminal, the report, ``verdicts.json`` and the export all share. The statistics are
`studies.analysis`'s; how it looks is `studies.reporting`'s.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from margin_core.knobs import Knob
from margin_core.losses import get_family
from studies.analysis import Gain, Summary, Verdict, judge, paired_gain, summarise
from studies.claim import recorded_study
from studies.described import describe
from studies.nomination import chosen_beforehand
from studies.plan import Arm, confirm_arms, response_knob
from studies.spec import StudySpec
from studies.tracking.ledger import Change, Ledger, TrialRecord

Measured = Mapping[str, pd.DataFrame]  # frames with the seed and the metric, by cell or by dataset


@dataclass(frozen=True)
class Contender:
    """A measured cell and what it gains over ``ce``.

    Attributes:
        cell_id: The cell.
        setting: Its knob values in words: ``λ = 1.5`` or ``β = 0.001 → 0.01 (linear, first 50 %)``.
        summary: Mean of the metric over its seeds, with an interval.
        gain: Paired difference from the ``ce`` arm; None where they share fewer than two seeds.
        chosen_before: Whether the cell was chosen before these seeds. If not, the interval is widened to hold for the best of all
            the cells it was chosen among, and the mean gain is still optimistic.
    """

    cell_id: str
    setting: str
    summary: Summary
    gain: Gain | None
    chosen_before: bool


@dataclass(frozen=True)
class Curve:
    """One family on one dataset: the metric against its knob.

    Attributes:
        dataset: What the study calls the dataset.
        family: The family's name.
        title: The family's name in prose.
        knob: The knob's declaration.
        table: Columns ``seed``, the knob's name and the metric; one row per replicate, NaN where it diverged or failed.
        lost: Replicates that diverged or failed, by knob value.
        verdict: What the analysis says.
        contender: The cell that stands for the family: the screen's choice, or the best of the curve where there was no screen.
        held: The other values of the family's cells, the same along the whole curve.
    """

    dataset: str
    family: str
    title: str
    knob: Knob
    table: pd.DataFrame
    lost: Mapping[float, int]
    verdict: Verdict
    contender: Contender | None
    held: Mapping[str, float | str]


@dataclass(frozen=True)
class Winner:
    """The cell to export for a dataset: the highest mean over whole replicates in the last stage.

    Attributes:
        dataset: What the study calls the dataset.
        family: The winning family.
        cell_id: The winning cell.
        setting: Its knob values in words.
        summary: Its mean, interval and seeds.
        gain: Its paired gain over ``ce``, optimistic since the cell was picked on the same seeds, with an interval that allows for that;
            None for ``ce`` itself, in the screen and where there are fewer than two seeds.
        stage: The stage that measured it.
        reason: Why this cell, and how surely, in one sentence.
    """

    dataset: str
    family: str
    cell_id: str
    setting: str
    summary: Summary
    gain: Gain | None
    stage: str
    reason: str


@dataclass(frozen=True)
class Answer:
    """Everything that a study's report says.

    Attributes:
        spec: The study file.
        curves: One per confirmed dataset and family.
        baselines: For each dataset the ``ce`` arm: columns ``seed`` and the metric, of the replicates that ended well.
        winners: For each dataset the cell to export.
        screen: One row per screened configuration: ``dataset, family, setting, value, config``.
        counts: Trials by ``stage`` and ``status``.
        lost: Trials that diverged or failed: ``key, dataset, family, seed, status, reason``.
        seconds: Trial time, summed over trials.
        history: How the study came to be what it is, where it was branched or extended.
        parent: The study that it is a branch of, or empty.
        copied: Trials that were run there.
        superseded: Confirm trials of cells that a screen which was extended no longer chooses; they count nowhere else.
    """

    spec: StudySpec
    curves: tuple[Curve, ...]
    baselines: Mapping[str, pd.DataFrame]
    winners: tuple[Winner, ...]
    screen: pd.DataFrame
    counts: pd.DataFrame
    lost: pd.DataFrame
    seconds: float
    history: tuple[Change, ...]
    parent: str
    copied: int
    superseded: int

    @property
    def datasets(self) -> list[str]:
        """The study's datasets, in its order."""
        return [entry.config().key for entry in self.spec.datasets]

    def to_dict(self) -> dict[str, Any]:
        """Plain data: what ``verdicts.json`` holds."""
        return {
            "study": self.spec.name,
            "metric": self.spec.metric,
            "sesoi": self.spec.smallest_effect,
            "alpha": self.spec.alpha,
            "verdicts": [
                {
                    "dataset": curve.dataset,
                    "family": curve.family,
                    "knob": curve.knob.name,
                    "held": dict(curve.held),
                    **curve.verdict.to_dict(),
                    "contender": _contender_dict(curve.contender),
                }
                for curve in self.curves
            ],
            "winners": [
                {
                    "dataset": winner.dataset,
                    "family": winner.family,
                    "cell_id": winner.cell_id,
                    "setting": winner.setting,
                    "stage": winner.stage,
                    **_measured(winner.summary, winner.gain),
                    "reason": winner.reason,
                }
                for winner in self.winners
            ],
            **({"branch_of": self.parent} if self.parent else {}),
            **({"history": [change.to_dict() for change in self.history]} if self.history else {}),
        }


def answer(ledger: Ledger) -> Answer:
    """Read ``ledger`` as it stands; a study that still runs gives the answer so far."""
    spec = recorded_study(ledger)
    table, trials = ledger.final_metrics(), ledger.trials()
    results = ledger.screen_results(spec.metric) if spec.screen is not None else []
    arms = confirm_arms(spec, results) if spec.confirm is not None else []
    measured = _measured_in(table, "confirm", spec.metric)
    confirm = _by_cell(measured, arms, spec.metric)
    chosen = chosen_beforehand(spec, ledger, trials, arms)
    baselines = {arm.dataset: confirm[arm.cell.cell_id] for arm in arms if arm.family == "ce"}
    return Answer(
        spec=spec,
        curves=tuple(_curves(spec, arms, chosen, table, confirm, baselines)),
        baselines={dataset: values.dropna() for dataset, values in baselines.items()},
        winners=tuple(_winners(spec, arms, confirm, baselines, _screen_means(trials, table, spec.metric))),
        screen=_screen_table(spec, results),
        counts=_counts(trials),
        lost=table.loc[table["status"].isin(["diverged", "failed"]), ["key", "dataset", "family", "seed", "status", "reason"]],
        seconds=float(table["seconds"].fillna(0.0).sum()),
        history=tuple(ledger.changes()),
        parent=json.loads(ledger.meta("parent") or "{}").get("study", ""),
        copied=sum(bool(trial.copied_from) for trial in trials),
        superseded=len(measured) - sum(len(confirm[cell_id]) for cell_id in {arm.cell.cell_id for arm in arms}),
    )


def open_answer(path: Path) -> Answer:
    """The answer of the study in directory ``path``."""
    with Ledger(path / "ledger.sqlite", read_only=True) as ledger:
        return answer(ledger)


def _measured_in(table: pd.DataFrame, stage: str, metric: str) -> pd.DataFrame:
    """Every ended trial of the stage; the metric of one that was lost is NaN."""
    rows = table[table["stage"] == stage]
    values = pd.to_numeric(rows[metric]) if metric in rows else pd.Series(dtype=float, index=rows.index)
    return rows[["cell_id", "seed"]].assign(**{metric: values})


def _by_cell(rows: pd.DataFrame, arms: list[Arm], metric: str) -> Measured:
    """For each arm's cell its replicates: ``seed`` and the metric, sorted by seed; no rows where it has none yet."""
    found = {str(cell_id): group for cell_id, group in rows.sort_values("seed").groupby("cell_id")}
    cells = {arm.cell.cell_id for arm in arms}
    return {cell_id: found.get(cell_id, rows.iloc[:0])[["seed", metric]].reset_index(drop=True) for cell_id in cells}


def _curves(spec: StudySpec, arms: list[Arm], chosen: set[str], table: pd.DataFrame, confirm: Measured, baselines: Measured) -> list[Curve]:
    curves = []
    for dataset, family in dict.fromkeys((arm.dataset, arm.family) for arm in arms if arm.family != "ce"):
        mine = [arm for arm in arms if (arm.dataset, arm.family) == (dataset, family)]
        knob = response_knob(family)
        points = [arm for arm in mine if arm.value is not None]
        frames = [confirm[arm.cell.cell_id].assign(**{knob.name: arm.value}) for arm in points] if knob else []
        frames = [frame for frame in frames if not frame.empty]
        rows = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
        if knob is None or rows.empty or rows[spec.metric].isna().all():
            continue
        nominee = next((arm for arm in mine if arm.nominee), None)
        beforehand = nominee is not None and nominee.cell.cell_id in chosen
        # A study that still runs may not have measured them yet.
        measured = set(rows[knob.name])
        on_curve = knob.baseline if knob.baseline in measured else None
        verdict = judge(
            rows,
            knob=knob.name,
            metric=spec.metric,
            baseline=baselines[dataset] if on_curve is None else on_curve,
            sesoi=spec.smallest_effect,
            alpha=spec.alpha,
            maximize=spec.maximize,
            scale=knob.scale,
            extendable=_extendable(knob, [arm.value for arm in points if arm.value is not None]),
            fixed=nominee.value if nominee and beforehand and nominee.value in measured else None,
        )
        curves.append(
            Curve(
                dataset=dataset,
                family=family,
                title=get_family(family).title,
                knob=knob,
                table=rows[["seed", knob.name, spec.metric]],
                lost=_lost(points, table),
                verdict=verdict,
                contender=_contender(spec, mine, nominee, beforehand, confirm, baselines[dataset]),
                held=_held(points[0], knob),
            )
        )
    return curves


def _extendable(knob: Knob, values: list[float]) -> tuple[bool, bool]:
    return (min(values) > knob.low, max(values) < knob.high)


def _held(arm: Arm, knob: Knob) -> dict[str, float | str]:
    varied = f"{arm.family}.{knob.name}"
    return {name: value for name, value in arm.config.items() if name not in ("family", varied)}


def _lost(arms: list[Arm], table: pd.DataFrame) -> dict[float, int]:
    bad = table[(table["stage"] == "confirm") & table["status"].isin(["diverged", "failed"])]
    counts = bad["cell_id"].value_counts()
    return {arm.value: int(counts[arm.cell.cell_id]) for arm in arms if arm.value is not None and arm.cell.cell_id in counts}


def _contender(
    spec: StudySpec, arms: list[Arm], nominee: Arm | None, beforehand: bool, confirm: Measured, baseline: pd.DataFrame
) -> Contender | None:
    arm = nominee or _leader(spec, arms, confirm)
    if arm is None:
        return None
    values = confirm[arm.cell.cell_id].dropna()
    if values.empty:
        return None
    alpha = spec.alpha if beforehand else spec.alpha / len(arms)
    return Contender(
        cell_id=arm.cell.cell_id,
        setting=describe(arm.config),
        summary=summarise(values[spec.metric].to_numpy(), alpha=spec.alpha),
        gain=_gain(spec, values, baseline, alpha),
        chosen_before=beforehand,
    )


def _gain(spec: StudySpec, values: pd.DataFrame, baseline: pd.DataFrame, alpha: float) -> Gain | None:
    pairs = values.dropna().merge(baseline.dropna(), on="seed", suffixes=("", "_baseline"))
    if len(pairs) < 2:
        return None
    return paired_gain(pairs[spec.metric].to_numpy(), pairs[f"{spec.metric}_baseline"].to_numpy(), alpha=alpha)


def _leader(spec: StudySpec, arms: list[Arm], confirm: Measured) -> Arm | None:
    sign = 1.0 if spec.maximize else -1.0
    measured = [(arm, confirm[arm.cell.cell_id][spec.metric].dropna()) for arm in arms]
    most = max((len(values) for _, values in measured), default=0)
    whole = [(sign * float(values.mean()), -index, arm) for index, (arm, values) in enumerate(measured) if len(values) == most > 0]
    return max(whole, key=lambda item: item[:2])[2] if whole else None


def _winners(
    spec: StudySpec, arms: list[Arm], confirm: Measured, baselines: Measured, screened: Sequence[tuple[TrialRecord, list[float]]]
) -> list[Winner]:
    winners = []
    for entry in spec.datasets:
        dataset = entry.config().key
        mine = [arm for arm in arms if arm.dataset == dataset]
        arm = _leader(spec, mine, confirm)
        if arm is None:
            winners += _screen_winner(spec, dataset, screened)
            continue
        values = confirm[arm.cell.cell_id].dropna()
        # Picked as the best of all cells on the seeds that measure it, whoever chose it before.
        gain = None if arm.family == "ce" else _gain(spec, values, baselines[dataset], spec.alpha / len(mine))
        summary = summarise(values[spec.metric].to_numpy(), alpha=spec.alpha)
        reason = f"highest mean {spec.metric} of {len(mine)} confirmed cells over {summary.n} seeds; {_sureness(arm, gain)}"
        winners.append(Winner(dataset, arm.family, arm.cell.cell_id, describe(arm.config), summary, gain, "confirm", reason))
    return winners


def _sureness(arm: Arm, gain: Gain | None) -> str:
    if arm.family == "ce":
        return "no family was measured above cross-entropy"
    if gain is None:
        return "too few seeds to tell it from cross-entropy"
    told = "is told apart from none" if gain.different else "cannot be told from none"
    return f"its gain over ce, optimistic for being the best of them, {told} ({gain.mean:+.2f}, {gain.low:+.2f} to {gain.high:+.2f})"


def _screen_means(trials: list[TrialRecord], table: pd.DataFrame, metric: str) -> list[tuple[TrialRecord, list[float]]]:
    """Each screened cell, by one of its trials, with the metric of its replicates that ended well."""
    values = _measured_in(table, "screen", metric).dropna().groupby("cell_id")[metric].apply(list).to_dict()
    screened = {trial.cell_id: trial for trial in trials if trial.stage == "screen"}
    return [(trial, values[cell_id]) for cell_id, trial in screened.items() if cell_id in values]


def _screen_winner(spec: StudySpec, dataset: str, screened: Sequence[tuple[TrialRecord, list[float]]]) -> list[Winner]:
    sign = 1.0 if spec.maximize else -1.0
    mine = [(summarise(values, alpha=spec.alpha), trial) for trial, values in screened if trial.dataset == dataset]
    if not mine:
        return []
    most = max(summary.n for summary, _ in mine)
    summary, trial = max((item for item in mine if item[0].n == most), key=lambda item: sign * item[0].mean)
    reason = f"best of {len(mine)} screened cells; a screen's best is optimistic and was not confirmed on fresh seeds"
    return [Winner(dataset, trial.family, trial.cell_id, describe(trial.config), summary, None, "screen", reason)]


def _screen_table(spec: StudySpec, results: list[Any]) -> pd.DataFrame:
    records = [
        {"dataset": r.dataset, "family": r.family, "setting": describe(r.config), "value": r.value, "config": r.config} for r in results
    ]
    columns = ["dataset", "family", "setting", "value", "config"]
    table = pd.DataFrame(records, columns=columns)
    return table.sort_values("value", ascending=not spec.maximize, kind="stable", ignore_index=True)


def _counts(trials: list[TrialRecord]) -> pd.DataFrame:
    records = pd.DataFrame([{"stage": trial.stage, "status": trial.status} for trial in trials], columns=["stage", "status"])
    return records.value_counts(["stage", "status"], sort=False).reset_index(name="trials")


def _contender_dict(contender: Contender | None) -> dict[str, Any] | None:
    if contender is None:
        return None
    return {
        "cell_id": contender.cell_id,
        "setting": contender.setting,
        "chosen_before": contender.chosen_before,
        **_measured(contender.summary, contender.gain),
    }


def _measured(summary: Summary, gain: Gain | None) -> dict[str, Any]:
    return {
        "mean": summary.mean,
        "interval": [summary.low, summary.high],
        "seeds": summary.n,
        "gain_over_ce": None if gain is None else gain.mean,
        "gain_interval": None if gain is None else [gain.low, gain.high],
    }
