"""What follows the confirm stage: a closer look around the optimum (zoom), and the test split, once.

Both are laid out from what earlier stages settled, and measured on seeds of their own. Like `studies.plan`, nothing here runs anything.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from margin_core.data import DatasetConfig
from margin_core.knobs import Knob
from search_spaces import Config
from studies.findings import Curve
from studies.plan import Arm, build_cell, curve_arm
from studies.spec import StudySpec

_WORTH_A_LOOK = ("EDGE", "LOCATED", "BETTER", "UNDECIDED")


def zoom_arms(spec: StudySpec, confirmed: Sequence[Arm], curves: Sequence[Curve]) -> list[Arm]:
    """The cells of the zoom stage: for each dataset the ``ce`` arm, and a finer curve of each leading family around its optimum set.

    A family whose curve was FLAT or WORSE has no optimum to look for; a dataset without any other has no zoom.

    Args:
        spec: The study.
        confirmed: The arms of the confirm stage.
        curves: What the confirm stage said of them.
    """
    if spec.zoom is None:
        return []
    arms = []
    for entry in spec.datasets:
        dataset = entry.config()
        mine = [arm for arm in confirmed if arm.dataset == dataset.key]
        leaders = _leading(spec, [curve for curve in curves if curve.dataset == dataset.key])[: spec.zoom.families]
        if leaders:
            arms += [arm for arm in mine if arm.family == "ce"]
        for curve in leaders:
            arms += _finer_curve(spec, dataset, curve, mine)
    return arms


def tested_arms(spec: StudySpec, chosen: Mapping[str, Sequence[Config]]) -> list[Arm]:
    """The cells of the test stage: for each dataset the chosen cell, which is the nominee, and the ``ce`` arm.

    Args:
        spec: The study.
        chosen: For each dataset the configurations to test, the chosen one last.
    """
    arms = []
    for entry in spec.datasets:
        dataset = entry.config()
        configs = list(chosen.get(dataset.key, ()))
        for config in configs:
            cell = build_cell(spec, dataset, config)
            arms.append(Arm(dataset.key, cell.family, None, config == configs[-1], config, cell))
    return arms


def metric_on_test(metric: str) -> str:
    """What a study's metric is called where the test split is measured.

    Example:
        >>> metric_on_test("val_accuracy"), metric_on_test("class_margin")
        ('test_accuracy', 'class_margin')
    """
    return f"test_{metric.removeprefix('val_')}" if metric.startswith("val_") else metric


def finer_values(knob: Knob, tried: Iterable[float], kept: Sequence[float], best: float, points: int) -> list[float]:
    """Values between the last ones that were ruled out on either side of those that may be best.

    Where the best value is the last of the curve, they go one step beyond it, as far as the knob allows. The best value itself is one
    of them; the others are evenly spaced on the knob's scale, to three digits.

    Args:
        knob: The knob.
        tried: The values of the curve.
        kept: Those of them that may be best.
        best: The one with the best mean.
        points: How many values there shall be, at least 3; fewer where the knob has no more.

    Example:
        >>> lam = Knob("lam", "λ", 1.0, 0.0, math.inf, grid=(0.0, 1.0, 2.0), search=(0.0, 3.0))
        >>> finer_values(lam, [0.0, 0.5, 1.0, 1.5, 2.0], [1.0, 1.5], 1.0, 7)
        [0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0]
        >>> finer_values(lam, [0.0, 1.0, 2.0], [2.0], 2.0, 5)
        [1.0, 1.5, 2.0, 2.5, 3.0]
    """
    values = sorted({*tried, best})
    low = max((value for value in values if value < min([*kept, best])), default=values[0])
    high = min((value for value in values if value > max([*kept, best])), default=values[-1])
    low = _one_step_beyond(knob, values[1::-1]) if best == values[0] else low
    high = _one_step_beyond(knob, values[-2:]) if best == values[-1] else high
    forth, back = (math.log, math.exp) if knob.scale == "log" and low > 0 else (float, float)
    start, end = forth(low), forth(high)
    spaced = [back(start + (end - start) * i / (points - 1)) for i in range(points)]
    rounded = [float(round(value)) if knob.integer else float(f"{value:.3g}") for value in spaced]
    nearest = min(range(points), key=lambda i: abs(forth(max(rounded[i], low)) - forth(best)))
    rounded[nearest] = best
    return sorted({value for value in rounded if _allowed(knob, value)})


def _one_step_beyond(knob: Knob, last: Sequence[float]) -> float:
    """One step beyond the end of a curve, whose last two values these are; the end itself where the knob allows no more."""
    if len(last) < 2:
        return last[-1]
    before, end = last
    beyond = end * end / before if knob.scale == "log" and min(last) > 0 else 2.0 * end - before
    return beyond if _allowed(knob, beyond) else min(max(beyond, knob.low), knob.high) if _closed(knob, beyond) else end


def _closed(knob: Knob, beyond: float) -> bool:
    return not (knob.open_low if beyond < knob.low else knob.open_high)


def _allowed(knob: Knob, value: float) -> bool:
    try:
        knob.check(value, "")
    except ValueError:
        return False
    return True


def _leading(spec: StudySpec, curves: Sequence[Curve]) -> list[Curve]:
    """The curves with something to look for, the best mean first."""
    sign = -1.0 if spec.maximize else 1.0

    def badness(curve: Curve) -> float:
        return min(sign * cell.mean for cell in curve.verdict.cells if cell.value == curve.verdict.best and cell.mean is not None)

    return sorted((curve for curve in curves if curve.verdict.label in _WORTH_A_LOOK and curve.verdict.best is not None), key=badness)


def _finer_curve(spec: StudySpec, dataset: DatasetConfig, curve: Curve, arms: Sequence[Arm]) -> list[Arm]:
    verdict, points = curve.verdict, spec.zoom.points if spec.zoom else 0
    assert verdict.best is not None
    mine = [arm for arm in arms if arm.family == curve.family and arm.value is not None]
    base = next(arm for arm in mine if arm.value == verdict.best)
    tried = [arm.value for arm in mine if arm.value is not None]
    arms = [
        curve_arm(spec, dataset, curve.family, base.config, value, nominee=value == verdict.best)
        for value in finer_values(curve.knob, tried, verdict.optimum_set, verdict.best, points)
    ]
    return [arm for arm in arms if _possible(arm)]


def _possible(arm: Arm) -> bool:
    """Whether the family's knobs may have these values together, beyond the curve that the study file was checked for."""
    try:
        arm.cell.check()
    except ValueError:
        return False
    return True
