"""One trial of several processes outside a study, as an exported configuration asks for: a Ray of its own, and one group."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from margin_core.training import Record, Trial
from studies.plan import PlannedTrial
from studies.preflight import CallError
from studies.running.driver import ray_session
from studies.running.group import Group
from studies.running.trial_run import TrialSetting, encode


def train_together(trial: Trial, *, threads: int, record: Record, data_root: Path | None) -> Iterator[dict[str, Any]]:
    """Train a trial on this machine's processors from its beginning to its end.

    Args:
        trial: It has the trained weights when all is over.
        threads: CPU threads of each process.
        record: What is measured beside the metrics that always are.
        data_root: Where datasets lie, or None.

    Yields:
        The rows of its epochs, as they are made.

    Raises:
        CallError: Where the trial raises; with the reason.
    """
    processes = trial.cell.recipe.processes
    planned = PlannedTrial("confirm", trial.cell, {}, trial.replicate)
    with tempfile.TemporaryDirectory() as folder, ray_session(None):
        setting = TrialSetting(
            study_seed=trial.study_seed,
            checkpoints=folder,
            data_root=None if data_root is None else str(data_root.resolve()),
            threads=threads,
            device="cpu",
            metric="val_accuracy",
            every_epoch=True,
            keep_final=True,
            record=record,
        )
        # Nobody else is on this Ray: a machine of fewer processors takes longer, but runs it.
        group = Group(processes, cpu=min(float(threads), (os.cpu_count() or 1) / processes), gpu=0.0, scratch=None)
        try:
            progress = group.advance(encode(planned, setting))
            yield from progress.rows
            while progress.status == "running":
                progress = group.advance({})
                yield from progress.rows
        finally:
            group.close()
        if progress.status == "failed":
            raise CallError(f"the trial failed: {progress.reason}")
        if progress.status == "finished":
            trial.load(Path(folder) / f"{planned.key}.pt")
