"""What the trials of a study recorded, as tables to draw from: paths over epochs and steps, and single test examples.

What is recorded, the study file's section ``record`` says; the result of a trial is `Ledger.final_metrics`. Nothing here chooses.
"""

from __future__ import annotations

import pandas as pd

from margin_core.training import Examples
from studies.tracking.ledger import Ledger
from studies.workspace import StudyFiles

TRIAL = ("key", "stage", "dataset", "family", "cell_id", "seed")


def path_table(files: StudyFiles, *, by_step: bool = False) -> pd.DataFrame:
    """How the metrics of each trial went: one row for each epoch, or for each step that was measured after.

    Args:
        files: The study's files.
        by_step: Whether to read what was measured after steps (``first_steps`` and ``every_steps`` of the record).

    Returns:
        Columns ``key``, ``stage``, ``dataset``, ``family``, ``cell_id`` and ``seed`` of the trial, ``epoch``, with ``by_step`` the
        ``step``, counted from 1, and one column for each metric.
    """
    rows = []
    with Ledger(files.ledger, read_only=True) as ledger:
        for trial in ledger.trials():
            known = {name: getattr(trial, name) for name in TRIAL}
            for row in ledger.steps(trial.key) if by_step else ledger.epochs(trial.key):
                place = {name: row[name] for name in ("epoch", "step") if name in row}
                rows.append({**known, **place, **row["metrics"]})
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=[*TRIAL, "epoch", *(["step"] if by_step else [])])


def example_table(files: StudyFiles, *, dataset: str | None = None) -> pd.DataFrame:
    """One row for each test example of each trial that recorded them.

    Args:
        files: The study's files.
        dataset: What the study calls a dataset, to read the trials on it alone.

    Returns:
        Columns ``key``, ``stage``, ``dataset``, ``family``, ``cell_id`` and ``seed`` of the trial; ``place`` of the example in the dataset,
        ``right`` (bool) and ``margin`` (float16). No rows where ``examples`` were not asked for.

    Raises:
        ValueError: Where a file is torn.
    """
    columns = [*TRIAL, "place", "right", "margin"]
    with Ledger(files.ledger, read_only=True) as ledger:
        trials = [trial for trial in ledger.trials() if dataset in (None, trial.dataset)]
    frames = []
    for trial in trials:
        path = files.examples / f"{trial.key}.npz"
        if path.exists():
            seen = Examples.read(path)
            table = pd.DataFrame({"place": seen.places, "right": seen.right, "margin": seen.margins})
            frames.append(table.assign(**{name: getattr(trial, name) for name in TRIAL})[columns])
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)
