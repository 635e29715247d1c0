"""Asks of each family that was confirmed on several datasets whether its best knob value moves between them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from studies.analysis import shift
from studies.findings import Curve, Shift


def shifts_between(curves: Sequence[Curve], zooms: Sequence[Curve], *, alpha: float) -> tuple[Shift, ...]:
    """The verdicts across datasets, one per family with two curves or more.

    Args:
        curves: Those of the confirm stage.
        zooms: Those of the zoom stage, which may decide what the coarser ones leave open.
        alpha: One minus the confidence of each verdict.
    """
    families = dict.fromkeys(curve.family for curve in curves)
    by_family = {family: [curve for curve in curves if curve.family == family] for family in families}
    return tuple(
        _shift(mine, [curve for curve in zooms if curve.family == family], alpha) for family, mine in by_family.items() if len(mine) > 1
    )


def _shift(curves: Sequence[Curve], zooms: Sequence[Curve], alpha: float) -> Shift:
    first, asked = curves[0], curves[0].verdict.question
    verdict = shift(
        joined(curves),
        knob=asked.knob,
        metric=asked.metric,
        alpha=alpha,
        maximize=asked.maximize,
        scale=asked.scale,
        looks=max(curve.verdict.question.looks for curve in curves),
        zoom=joined(zooms) if zooms else None,
        called=first.knob.symbol,
    )
    tried = sorted({float(value) for curve in curves for value in curve.table[asked.knob]})
    return Shift(first.family, first.knob, tuple(tried), verdict)


def joined(curves: Iterable[Curve]) -> pd.DataFrame:
    """The replicates of curves as one table, with a column ``dataset``."""
    return pd.concat([curve.table.assign(dataset=curve.dataset) for curve in curves], ignore_index=True)
