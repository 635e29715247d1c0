"""Asks of each family that was confirmed on several datasets whether its optimum moves along their dials or goes with their descriptors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from margin_core.topology import list_descriptors
from studies.analysis import OptimumEvidence, relate, trend
from studies.descriptors import recorded_descriptors, recorded_problem
from studies.dials import Dial, dials, undialled
from studies.findings import Curve, Shift
from studies.shifting import joined
from studies.spec import StudySpec
from studies.topology import Described, Optimum, Relation, Topology, Trend
from studies.tracking.ledger import Ledger


def topology_of(ledger: Ledger, spec: StudySpec, curves: Sequence[Curve], shifts: Sequence[Shift]) -> Topology:
    """What is to be said of the datasets of a study and the optima on them.

    Args:
        ledger: The study's ledger, which holds the datasets' descriptors.
        spec: The study.
        curves: Those of the confirm stage.
        shifts: The verdicts across datasets, which hold where each family's optimum is on each of them.
    """
    configs = [entry.config() for entry in spec.datasets]
    described, turned = recorded_descriptors(ledger), dials(configs)
    optima = {shift.family: _optima(shift) for shift in shifts}
    trends = [
        found
        for family in optima
        for dial in turned
        if (found := _trend([curve for curve in curves if curve.family == family], dial, optima[family], spec.alpha)) is not None
    ]
    apart = [config.key for config in undialled(configs)]
    relations = [_relation(shift, optima[shift.family], apart, each, spec.alpha) for shift in shifts for each in described]
    return Topology(tuple(described), optima, tuple(trends), tuple(relations), recorded_problem(ledger))


def _optima(shift: Shift) -> dict[str, Optimum]:
    found = {each.dataset: _optimum(shift, each) for each in shift.verdict.datasets}
    return {dataset: optimum for dataset, optimum in found.items() if optimum is not None}


def _optimum(shift: Shift, evidence: OptimumEvidence) -> Optimum | None:
    """The optimum of one curve, between the values that may be best where its slopes allow none."""
    if evidence.optimum is None:
        return None
    low, high = evidence.interval or (min(evidence.optimum_set), max(evidence.optimum_set))
    return Optimum(evidence.optimum, min(low, evidence.optimum), max(high, evidence.optimum))


def _trend(curves: Sequence[Curve], dial: Dial, optima: Mapping[str, Optimum], alpha: float) -> Trend | None:
    """The verdict along a dial; None where a level has no curve yet."""
    along = {curve.dataset: curve for curve in curves if curve.dataset in dial.datasets}
    if set(along) != set(dial.datasets):
        return None
    first, asked = curves[0], curves[0].verdict.question
    verdict = trend(
        joined(along.values()),
        levels=dial.datasets,
        knob=asked.knob,
        metric=asked.metric,
        alpha=alpha,
        maximize=asked.maximize,
        scale=asked.scale,
        looks=max(curve.verdict.question.looks for curve in along.values()),
    )
    tried = sorted({float(value) for curve in along.values() for value in curve.table[asked.knob]})
    return Trend(first.family, first.knob, tuple(tried), dial, verdict, tuple(optima.get(dataset) for dataset in dial.datasets))


def _relation(shift: Shift, optima: Mapping[str, Optimum], apart: Sequence[str], described: Described, alpha: float) -> Relation:
    logarithmic = shift.knob.scale == "log"
    rows = []
    for dataset in apart:
        optimum, estimates = optima.get(dataset), described.datasets.get(dataset)
        if optimum is None or estimates is None:
            continue
        at = [math.log(end) if logarithmic else end for end in (optimum.value, optimum.low, optimum.high)]
        # An interval of no width is one of a curve that leaves no room to turn; a quarter of a step is as near as its grid tells.
        error = max((at[2] - at[1]) / 4.0, _step(shift) / 4.0)
        rows.append({"dataset": dataset, "optimum": at[0], "error": error, **{name: each.value for name, each in estimates.items()}})
    primary = [each.name for each in list_descriptors() if each.role == "primary"]
    names = list(dict.fromkeys(name for row in rows for name in row if name not in ("dataset", "optimum", "error")))
    table = pd.DataFrame(rows, columns=["dataset", "optimum", "error", *dict.fromkeys([*primary, *names])])
    exploratory = [name for name in names if name not in primary]
    return Relation(shift.family, shift.knob, described.network, relate(table, primary=primary, exploratory=exploratory, alpha=alpha))


def _step(shift: Shift) -> float:
    tried = [value for value in shift.tried if shift.knob.scale == "linear" or value > 0.0]
    return float(np.diff(np.log(tried) if shift.knob.scale == "log" else tried).mean()) if len(tried) > 1 else 1.0
