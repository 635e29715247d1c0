"""A trial as Ray Tune runs it: a thin shell around `margin_core.training.Trial`.

It batches epoch reports, keeps the trial's own checkpoints, and turns every exception of a trial into a result, so that an actor
outlives a bad trial and is used again for the next one (a new actor costs seconds, a reused one hundredths). What is done with
the reports is left to `studies.running.callback`.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from ray import tune

from margin_core.training import CheckpointError, EpochReport, Examples, Record, Trial, checkpoint_files
from studies.plan import PlannedTrial
from studies.running.trial_copies import TrialCopies, own_folder

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrialSetting:
    """What is the same for every trial of a stage.

    Attributes:
        study_seed: The study's seed.
        checkpoints: Directory of the trials' checkpoints; every node must see it, unless there is a storage.
        data_root: Where datasets lie, or None.
        threads: CPU threads of a trial; part of what makes its numbers repeatable.
        device: ``cpu`` or ``cuda``.
        metric: The metric that a scheduler compares.
        every_epoch: Report each epoch at once (a scheduler needs that), else about once a second.
        keep_final: Keep the checkpoint of a trial that ended well.
        checkpoint_seconds: Least time between two checkpoints of a running trial.
        record: What trials measure beside their own metrics.
        examples: Directory of what trials make of each test example, or None where that is not asked for; as of checkpoints.
        storage: The URL of a storage through which checkpoints and examples go, or None; nodes then work in folders of their own.
        study: The study's folder there.
    """

    study_seed: int
    checkpoints: str
    data_root: str | None
    threads: int
    device: str
    metric: str
    every_epoch: bool
    keep_final: bool
    checkpoint_seconds: float = 10.0
    record: Record = field(default_factory=Record)
    examples: str | None = None
    storage: str | None = None
    study: str = ""

    @property
    def on_this_node(self) -> TrialSetting:
        """The same, with folders of this process where a storage connects the nodes."""
        if self.storage is None:
            return self
        return replace(self, checkpoints=own_folder(), examples=None if self.examples is None else own_folder())


def encode(planned: PlannedTrial, setting: TrialSetting) -> dict[str, str]:
    """A Ray config: two strings, so that Ray neither flattens nor samples anything in it."""
    return {"trial": json.dumps(planned.to_dict()), "setting": json.dumps(asdict(setting))}


def planned_trial(config: dict[str, Any]) -> PlannedTrial:
    """The trial in a Ray config."""
    return PlannedTrial.from_dict(json.loads(config["trial"]))


class TrialActor(tune.Trainable):
    """Runs one trial after another; each call of `step` is one report of one or more epochs."""

    def setup(self, config: dict[str, Any]) -> None:
        """Take the first trial."""
        self._take(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial in the same process."""
        self._take(new_config)
        return True

    def _take(self, config: dict[str, Any]) -> None:
        self._planned = planned_trial(config)
        setting = json.loads(config["setting"])
        self._setting = TrialSetting(**{**setting, "record": Record(**setting["record"])}).on_this_node
        self._copies = TrialCopies(self._setting.storage, self._setting.study)
        self._trial: Trial | None = None
        self._history: list[dict[str, Any]] = []
        self._saved_at = time.monotonic()

    def step(self) -> dict[str, Any]:
        """Train one or more epochs and report them, with the status once the trial has ended."""
        rows: list[dict[str, Any]] = []
        try:
            status = self._run(rows)
        except Exception as error:
            logger.exception("trial %s raised", self._planned.key)
            return self._result(rows, "failed", f"{type(error).__name__}: {error}".splitlines()[0])
        reason = f"loss or weights not finite in epoch {rows[-1]['epoch']}" if status == "diverged" else ""
        return self._result(rows, status, reason)

    def _run(self, rows: list[dict[str, Any]]) -> str:
        torch.set_num_threads(self._setting.threads)
        if self._trial is None:
            self._trial = self._open()
            rows.extend(self._history)  # the driver may have gone before these reached it
        trial = self._trial
        until = time.monotonic() + (0.0 if self._setting.every_epoch else 1.0)
        diverged = False
        while not trial.done:
            report = trial.run_epoch()
            diverged = report.diverged
            rows.append(_row(report, trial))
            self._history.append(rows[-1])
            if time.monotonic() >= until:
                break
        if self._setting.examples is not None and trial.done and not diverged:
            # Before the end is reported: a process that dies in between does it again.
            path = Path(self._setting.examples) / f"{self._planned.key}.npz"
            Examples.of(trial).write(path)
            self._copies.send_examples(path)
        self._checkpoint(trial, diverged)
        return "running" if not trial.done else "diverged" if diverged else "finished"

    def _begin(self) -> Trial:
        return Trial(
            self._planned.cell,
            study_seed=self._setting.study_seed,
            replicate=self._planned.replicate,
            data_root=self._setting.data_root,
            device=self._setting.device,
            record=self._setting.record,
        )

    def _open(self) -> Trial:
        """The trial where its checkpoint left it, with the reports up to there, or at its beginning."""
        trial = self._begin()
        try:
            self._copies.fetch(self._path)
            if not any(file.exists() for file in checkpoint_files(self._path)):
                return trial
            trial.load(self._path)
            history = json.loads(self._history_path.read_text())[: trial.epoch]
            if len(history) < trial.epoch:
                raise CheckpointError(f"the reports of epochs {len(history) + 1} to {trial.epoch} are gone")
        except (CheckpointError, OSError, ValueError) as error:
            logger.warning("trial %s starts again: %s", self._planned.key, error)
            return self._begin()
        self._history = history
        return trial

    @property
    def _path(self) -> Path:
        return Path(self._setting.checkpoints) / f"{self._planned.key}.pt"

    @property
    def _history_path(self) -> Path:
        return self._path.with_suffix(".json")

    def _checkpoint(self, trial: Trial, diverged: bool) -> None:
        if trial.done and (diverged or not self._setting.keep_final):
            for file in (*checkpoint_files(self._path), self._history_path):
                file.unlink(missing_ok=True)
            self._copies.remove(self._path)
        elif trial.done or time.monotonic() - self._saved_at >= self._setting.checkpoint_seconds:
            # Written first: a history longer than its checkpoint is cut, a shorter one is of no use.
            self._history_path.with_suffix(".new").write_text(json.dumps(self._history))
            self._history_path.with_suffix(".new").replace(self._history_path)
            trial.save(self._path)
            self._copies.send(self._path)
            self._saved_at = time.monotonic()

    def _result(self, rows: list[dict[str, Any]], status: str, reason: str) -> dict[str, Any]:
        result: dict[str, Any] = {"rows": rows, "status": status, "reason": reason, "done": status != "running"}
        if rows:
            result["epoch"] = rows[-1]["epoch"]
            value = rows[-1]["metrics"].get(self._setting.metric)
            if value is not None and status != "diverged":
                result[self._setting.metric] = value
        return result


def _row(report: EpochReport, trial: Trial) -> dict[str, Any]:
    """An epoch as it travels to the ledger, with what was recorded beside its metrics where that was asked for."""
    row: dict[str, Any] = {"epoch": report.epoch, "at": time.time(), "seconds": report.seconds, "metrics": report.metrics}
    if report.steps:
        row["steps"] = [asdict(step) for step in report.steps]
    if trial.record.class_counts and report.epoch == 1:
        row["class_counts"] = trial.class_counts
    return row
