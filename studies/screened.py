"""What a ledger's screen stage found, as tables and means; nothing of it judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from studies.analysis import summarise
from studies.described import describe
from studies.findings import Winner
from studies.plan import ScreenResult
from studies.spec import StudySpec
from studies.tracking.records import TrialRecord

Screened = Mapping[str, tuple[TrialRecord, list[float]]]
"""Screened cells by their ids, each with one of its trials and the metric of its replicates."""


def measured_in(table: pd.DataFrame, stage: str, metric: str) -> pd.DataFrame:
    """Every ended trial of the stage; the metric of one that was lost is NaN."""
    rows = table[table["stage"] == stage]
    values = pd.to_numeric(rows[metric]) if metric in rows else pd.Series(dtype=float, index=rows.index)
    return rows[["cell_id", "seed"]].assign(**{metric: values})


def screen_means(trials: Sequence[TrialRecord], table: pd.DataFrame, metric: str) -> Screened:
    """Each screened cell with the metric of its replicates that ended well; none that was stopped early."""
    values: dict[str, list[float]] = {}
    for cell_id, value in measured_in(table, "screen", metric).dropna()[["cell_id", metric]].itertuples(index=False):
        values.setdefault(cell_id, []).append(value)
    stopped = set(table.loc[(table["stage"] == "screen") & (table["status"] == "stopped"), "cell_id"])
    screened = {trial.cell_id: trial for trial in trials if trial.stage == "screen"}
    return {cell_id: (trial, values[cell_id]) for cell_id, trial in screened.items() if cell_id in values and cell_id not in stopped}


def screen_winner(spec: StudySpec, dataset: str, screened: Screened) -> list[Winner]:
    """The best mean of a dataset's screened cells, among those with the most replicates; none where nothing ended well."""
    sign = 1.0 if spec.maximize else -1.0
    mine = [(summarise(values, alpha=spec.alpha), trial) for trial, values in screened.values() if trial.dataset == dataset]
    if not mine:
        return []
    most = max(summary.n for summary, _ in mine)
    summary, trial = max((item for item in mine if item[0].n == most), key=lambda item: sign * item[0].mean)
    reason = f"best of {len(mine)} screened cells; a screen's best is optimistic and was not confirmed on fresh seeds"
    return [Winner(dataset, trial.family, trial.cell_id, describe(trial.config), summary, None, "screen", reason)]


def screen_table(spec: StudySpec, results: Sequence[ScreenResult]) -> pd.DataFrame:
    """Every screened configuration, the best first: columns ``dataset, family, setting, value, config``."""
    records = [
        {"dataset": r.dataset, "family": r.family, "setting": describe(r.config), "value": r.value, "config": r.config} for r in results
    ]
    columns = ["dataset", "family", "setting", "value", "config"]
    table = pd.DataFrame(records, columns=columns)
    return table.sort_values("value", ascending=not spec.maximize, kind="stable", ignore_index=True)
