"""Judges a table of results that comes from elsewhere, a paper's or another program's, as a study's own is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from studies.analysis import ShiftVerdict, Verdict, judge, judge_each, shift
from studies.analysis.rule import DEFAULT_SESOI, Scale
from studies.preflight import CallError


@dataclass(frozen=True)
class Judged:
    """What a table says.

    Attributes:
        verdicts: For each dataset that on the knob, by Holm's rule over them.
        shift: Whether the best value moves between them; None with a single dataset.
    """

    verdicts: Mapping[str, Verdict]
    shift: ShiftVerdict | None

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        verdicts = {dataset: verdict.to_dict() for dataset, verdict in self.verdicts.items()}
        return {"verdicts": verdicts, "shift": None if self.shift is None else self.shift.to_dict()}


def judge_table(
    path: Path,
    *,
    knob: str,
    metric: str,
    baseline: float,
    sesoi: float | None = None,
    alpha: float = 0.05,
    strict: bool = False,
    maximize: bool = True,
    scale: Scale = "linear",
) -> Judged:
    """Judge a file of comma-separated values, one row per run.

    Args:
        path: The file, with columns ``knob`` and ``metric``; with ``dataset`` where there are several, and with ``seed``, without which
            every row is the one run of its cell. An empty metric is a run that failed.
        knob: Name of the knob's column.
        metric: Name of the metric's column.
        baseline: The knob value that is the baseline.
        sesoi: Smallest effect of interest, by default 0.2 percentage points for an accuracy.
        alpha: One minus the confidence.
        strict: Whether all values that are equally best should be kept.
        maximize: Whether higher is better.
        scale: Whether the knob or its logarithm is looked at.

    Raises:
        FileNotFoundError: if there is no such file.
        CallError: if it cannot be judged.
    """
    try:
        table = pd.read_csv(path)
        for column in (knob, metric):
            if column not in table.columns:
                raise CallError(f"{path} has no column {column!r}; its columns are {', '.join(map(str, table.columns))}")
        if "seed" not in table.columns:
            table["seed"] = 0
        asked = partial(
            judge,
            knob=knob,
            metric=metric,
            baseline=baseline,
            sesoi=DEFAULT_SESOI if sesoi is None else sesoi,
            strict=strict,
            maximize=maximize,
            scale=scale,
        )
        parts = {str(name): rows for name, rows in table.groupby("dataset", sort=False)} if "dataset" in table.columns else {"": table}
        verdicts = judge_each({name: _at(asked, rows) for name, rows in parts.items()}, alpha=alpha)
        moves = shift(table, knob=knob, metric=metric, alpha=alpha, maximize=maximize, scale=scale) if len(parts) > 1 else None
    except (ValueError, pd.errors.ParserError) as error:
        raise CallError(f"{path}: {error}") from error
    return Judged(verdicts, moves)


def _at(asked: partial[Verdict], rows: pd.DataFrame) -> Any:
    return lambda alpha: asked(rows, alpha=alpha)
