"""Where metrics disagree: which knob values of a curve may be best by each metric that a study could go by.

The study is judged by one metric, chosen before it began. The others are only told, each at the confidence of the curve's verdict and none
of them a verdict: of many metrics some disagree by chance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from margin_core.knobs import Knob
from studies.analysis.best import Array, compare_with_best, degrees_of_freedom
from studies.plan import Arm, response_knob
from studies.spec import StudySpec


@dataclass(frozen=True)
class MetricChoice:
    """Which values of a curve may be best by one metric.

    Attributes:
        dataset: What the study calls the dataset.
        family: The family.
        knob: Its knob.
        metric: The metric.
        tried: The knob values that were compared, rising.
        best: The one with the best mean.
        optimum_set: Those that may be best.
    """

    dataset: str
    family: str
    knob: Knob
    metric: str
    tried: tuple[float, ...]
    best: float
    optimum_set: tuple[float, ...]


def metric_choices(
    spec: StudySpec, arms: Sequence[Arm], table: pd.DataFrame, levels: Mapping[tuple[str, str], float]
) -> Iterator[MetricChoice]:
    """The choices by every metric, curve by curve, the study's own metric first.

    Args:
        spec: The study.
        arms: The cells of the confirm stage.
        table: The trials that have ended, as `Ledger.final_metrics` gives them.
        levels: One minus the confidence of each curve's verdict, by dataset and family; `StudySpec.alpha` where there is none.
    """
    rows = table[table["stage"] == "confirm"]
    metrics = {spec.metric: spec.maximize, **spec.comparable()}
    there = [metric for metric in metrics if metric in rows]
    for dataset, family in dict.fromkeys((arm.dataset, arm.family) for arm in arms if arm.value is not None):
        mine = {arm.cell.cell_id: arm.value for arm in arms if (arm.dataset, arm.family) == (dataset, family) and arm.value is not None}
        knob, runs, level = response_knob(family), rows[rows["cell_id"].isin(list(mine))], levels.get((dataset, family), spec.alpha)
        if knob is None or runs.empty or len(mine) < 2:
            continue
        seeds, cells = runs["seed"].rank(method="dense").to_numpy().astype(int) - 1, sorted(mine, key=lambda cell: mine[cell])
        columns = runs["cell_id"].map({cell: place for place, cell in enumerate(cells)}).to_numpy()
        for metric in there:
            scores = np.full((seeds.max() + 1, len(cells)), np.nan)
            scores[seeds, columns] = runs[metric].to_numpy(dtype=float)
            found = _may_be_best(scores if metrics[metric] else -scores, level, spec.strict)
            if found is not None:
                kept, best = found
                tried = tuple(mine[cell] for cell, (whole, _) in zip(cells, kept, strict=True) if whole)
                chosen = tuple(mine[cell] for cell, (_, chosen) in zip(cells, kept, strict=True) if chosen)
                yield MetricChoice(dataset, family, knob, metric, tried, mine[cells[best]], chosen)


def _may_be_best(scores: Array, alpha: float, strict: bool) -> tuple[list[tuple[bool, bool]], int] | None:
    """For each cell whether it can be compared and whether it may be best, and which has the best mean; None where noise is unknown."""
    finished = np.isfinite(scores).sum(axis=0)
    whole = (finished >= 2) & (2 * finished > len(scores))
    compared = scores[:, whole]
    compared = compared[np.isfinite(compared).sum(axis=1) >= 2]
    if not compared.size or degrees_of_freedom(np.isfinite(compared)) < 1:
        return None
    fit = compare_with_best(compared, alpha=alpha, strict=strict)
    kept = np.zeros(len(whole), dtype=bool)
    kept[whole] = fit.may_be_best(fit.allowance())
    return list(zip(whole.tolist(), kept.tolist(), strict=True)), int(np.flatnonzero(whole)[fit.means.argmax()])
