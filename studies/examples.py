"""What the trials of a study made of each test example, as one table.

The files are written by the trials (`margin_core.training.Examples`) where the study file says ``record: {examples: true}``. They
tell of networks, and never choose one.
"""

from __future__ import annotations

import pandas as pd

from margin_core.training import Examples
from studies.tracking.ledger import Ledger
from studies.workspace import StudyFiles

COLUMNS = ("key", "stage", "dataset", "family", "cell_id", "seed", "place", "right", "margin")


def example_table(files: StudyFiles, *, dataset: str | None = None) -> pd.DataFrame:
    """One row for each test example of each trial that recorded them.

    Args:
        files: The study's files.
        dataset: What the study calls a dataset, to read the trials on it alone.

    Returns:
        Columns ``key``, ``stage``, ``dataset``, ``family``, ``cell_id`` and ``seed`` of the trial; ``place`` of the example in the dataset,
        ``right`` (bool) and ``margin`` (float16). No rows where nothing was recorded.

    Raises:
        ValueError: Where a file is torn.
    """
    with Ledger(files.ledger, read_only=True) as ledger:
        trials = [trial for trial in ledger.trials() if dataset in (None, trial.dataset)]
    frames = []
    for trial in trials:
        path = files.examples / f"{trial.key}.npz"
        if path.exists():
            seen = Examples.read(path)
            table = pd.DataFrame({"place": seen.places, "right": seen.right, "margin": seen.margins})
            frames.append(table.assign(**{name: getattr(trial, name) for name in COLUMNS[:6]})[list(COLUMNS)])
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(COLUMNS))
