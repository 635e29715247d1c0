"""Which screened cells are best where a search trades several metrics off against each other: those that no other beats in all.

It is what the screen saw, on few seeds, and judges nothing: verdicts are of the study's one metric.
"""

from __future__ import annotations

import pandas as pd

from studies.described import describe
from studies.spec import StudySpec
from studies.tracking.records import TrialRecord


def pareto_front(spec: StudySpec, trials: list[TrialRecord], table: pd.DataFrame) -> pd.DataFrame:
    """The Pareto front of each dataset, the best by the study's metric first.

    Cells count by their means over replicates that ran to their end, and only those that have as many of them as any cell of the dataset:
    a mean over fewer seeds is luckier.

    Args:
        spec: The study.
        trials: Its trials.
        table: Those that have ended, as `Ledger.final_metrics` gives them.

    Returns:
        Columns ``dataset``, ``family``, ``setting``, ``cell_id``, ``seeds`` and each metric; no rows where the study trades nothing off.
    """
    metrics = [name for name, _ in spec.objectives]
    columns = ["dataset", "family", "setting", "cell_id", "seeds", *metrics]
    if len(metrics) == 1:
        return pd.DataFrame(columns=columns)
    whole = table[(table["stage"] == "screen") & (table["status"] == "finished")].reindex(
        columns=["dataset", "family", "cell_id", *metrics]
    )
    cells = whole.dropna().astype(dict.fromkeys(metrics, float)).groupby(["dataset", "family", "cell_id"], sort=False)[metrics]
    means = cells.mean().assign(seeds=cells.size()).reset_index()
    settings = {trial.cell_id: describe(trial.config) for trial in trials}
    means["setting"] = [settings[cell_id] for cell_id in means["cell_id"]]
    fronts = [_undominated(spec, group[group["seeds"] == group["seeds"].max()]) for _, group in means.groupby("dataset", sort=False)]
    return pd.concat(fronts, ignore_index=True)[columns] if fronts else pd.DataFrame(columns=columns)


def _undominated(spec: StudySpec, cells: pd.DataFrame) -> pd.DataFrame:
    """Those rows than which no other is at least as good in everything and better in something."""
    signs = [1.0 if maximize else -1.0 for _, maximize in spec.objectives]
    worth = cells[[name for name, _ in spec.objectives]].to_numpy() * signs
    beaten = [bool(((worth >= mine).all(axis=1) & (worth > mine).any(axis=1)).any()) for mine in worth]
    return cells[[not lost for lost in beaten]].sort_values(spec.metric, ascending=not spec.maximize, kind="stable")
