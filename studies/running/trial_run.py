"""A trial on its way: epochs into rows for the ledger, its own checkpoints, and what is written at its end.

It batches epochs, goes on from where an earlier process stopped, or from where another trial was that is the same up to there, and turns
every exception of a trial into a result. Who calls it is left to others: an actor of Ray Tune's, each process of a group, or an array.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from margin_core.machine import prepare_to_train
from margin_core.training import CheckpointError, EpochReport, Examples, Record, Trial, checkpoint_files
from margin_core.training.processes import Processes
from studies.plan import PlannedTrial
from studies.running.progress import Progress
from studies.running.trial_copies import TrialCopies, own_folder

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrialSetting:
    """What is the same for every trial of a stage.

    Attributes:
        study_seed: The study's seed.
        checkpoints: Directory of the trials' checkpoints; every node must see it, unless there is a storage.
        data_root: Where datasets lie, or None.
        threads: CPU threads of a process; part of what makes its numbers repeatable.
        device: ``cpu`` or ``cuda``.
        metric: The metric that a scheduler compares.
        every_epoch: Report each epoch at once (a scheduler needs that), else about once a second.
        keep_final: Keep the checkpoint of a trial that ended well.
        checkpoint_seconds: Least time between two checkpoints of a running trial.
        record: What trials measure beside their own metrics.
        examples: Directory of what trials make of each test example, or None where that is not asked for; as of checkpoints.
        cpu: Processors that are reserved for a process.
        gpu: GPUs that are reserved for a process.
        scratch: Directory for what Ray Train writes of trials of several processes; every node must see it.
        storage: The URL of a storage through which checkpoints and examples go, or None; nodes then work in folders of their own.
        study: The study's folder there.
        memory_gib: How much memory a process of a trial may have for itself, or None.
        own_order: Each trial of an array begins at the beginning of its replicate's order of the data, in the screen too.
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
    cpu: float = 1.0
    gpu: float = 0.0
    scratch: str | None = None
    storage: str | None = None
    study: str = ""
    memory_gib: float | None = None
    own_order: bool = False

    @property
    def on_this_node(self) -> TrialSetting:
        """The same, with folders of this process where a storage connects the nodes."""
        if self.storage is None:
            return self
        return replace(self, checkpoints=own_folder(), examples=None if self.examples is None else own_folder())


def encode(planned: PlannedTrial, setting: TrialSetting, elsewhere: Collection[str] = (), phase: int | None = None) -> dict[str, str]:
    """A Ray config: strings, so that Ray neither flattens nor samples anything in it.

    Args:
        planned: The trial.
        setting: How it is run.
        elsewhere: The nodes that shall not run it.
        phase: At which epoch of its replicate's stream of batches it began, where it had begun before.
    """
    config = {"trial": json.dumps(planned.to_dict()), "setting": json.dumps(asdict(setting))}
    config |= {"elsewhere": json.dumps(sorted(elsewhere))} if elsewhere else {}
    return config | ({} if phase is None else {"phase": str(phase)})


def begun_at(config: dict[str, Any]) -> int | None:
    """The phase in a Ray config, or None."""
    phase = config.get("phase")
    return None if phase is None else int(phase)


def note_name(planned: PlannedTrial, setting: TrialSetting) -> str:
    """By what a note about the trial's end is found; no other study has the same."""
    return f"{setting.checkpoints}:{planned.key}"


def planned_trial(config: dict[str, Any]) -> PlannedTrial:
    """The trial in a Ray config."""
    return _decoded(config["trial"])


@lru_cache(maxsize=1024)
def _decoded(trial: str) -> PlannedTrial:
    """Each event of a trial asks for it anew."""
    return PlannedTrial.from_dict(json.loads(trial))


def trial_setting(config: dict[str, Any]) -> TrialSetting:
    """The setting in a Ray config."""
    setting = json.loads(config["setting"])
    return TrialSetting(**{**setting, "record": Record(**setting["record"])})


class TrialRun:
    """Runs one trial: opens it, takes its epochs one by one, and does what is to be done after them.

    Alone, each call of `advance` trains one or more epochs. In an array it is the array that trains; see `ArrayRun`.

    Args:
        planned: The trial.
        setting: How it is run.
        device: Where to compute, by default the setting's.
        phase: At which epoch of its replicate's stream of batches it begins, where there is no checkpoint that says so.
    """

    def __init__(self, planned: PlannedTrial, setting: TrialSetting, device: str | torch.device | None = None, *, phase: int = 0) -> None:
        self._planned = planned
        self._setting = setting.on_this_node
        self._copies = TrialCopies(setting.storage, setting.study)
        self._device = setting.device if device is None else device
        self._number = planned.cell.recipe.processes
        self._phase = phase
        self._trial: Trial | None = None
        self._history: list[dict[str, Any]] = []
        self._untold: list[dict[str, Any]] = []
        self._saved_at = time.monotonic()
        self._saved_epoch = 0

    def advance(self) -> Progress:
        """Train one or more epochs, of a trial of several processes one: these have not the same clock.

        Raises:
            ConnectionError: Where another process of the trial is gone.
        """
        try:
            trial = self._trial or self.open()
            until = time.monotonic() + (0.0 if self._setting.every_epoch or self._number > 1 else 1.0)
            while not self.at_the_end:
                self.take(trial.run_epoch())
                if time.monotonic() >= until:
                    break
            return self.progress()
        except Exception as error:
            if self._number > 1 and isinstance(error, ConnectionError):
                self._trial = None
                raise
            return self.failed(error)

    def open(self) -> Trial:
        """The trial where its checkpoint left it, or at its beginning; from now on it is this run's."""
        prepare_to_train(self._setting.threads)
        self._trial = self._open()
        self._saved_epoch = self._trial.epoch
        self._untold = list(self._history)  # the driver may have gone before these reached it
        return self._trial

    @property
    def is_open(self) -> bool:
        """Whether there is a trial to go on with."""
        return self._trial is not None

    @property
    def trial(self) -> Trial:
        """The trial that was opened.

        Raises:
            RuntimeError: Where none was, or where it failed.
        """
        if self._trial is None:
            raise RuntimeError(f"the trial {self._planned.key} is not open")
        return self._trial

    @property
    def at_the_end(self) -> bool:
        """Whether the trial, or the segment that is asked for, is at its end."""
        segment = self._planned.segment
        return self.trial.done or (segment is not None and self.trial.epoch >= segment.end)

    def take(self, report: EpochReport) -> None:
        """Take an epoch of the trial that was just trained."""
        row = _row(report, self.trial)
        if self._planned.stage == "test" and self.trial.done and not report.diverged and self._first:
            row["metrics"] = {**report.metrics, **self.trial.evaluate("test")}
        self._history.append(row)
        self._untold.append(row)

    def progress(self) -> Progress:
        """What the trial has come to since the last call; writes what has to be on a disk before that is told."""
        trial, rows = self.trial, self._untold
        paused = self.at_the_end and not trial.done
        if self._first and paused:
            self._pause(trial)
        elif self._first:
            self._write(trial)
        self._untold = []
        if trial.diverged:
            return Progress(rows, "diverged", f"loss or weights in epoch {trial.epoch}", "diverged")
        return Progress(rows, "paused" if paused else "finished" if trial.done else "running")

    def failed(self, error: Exception) -> Progress:
        """The end of a trial that raised."""
        logger.error("trial %s raised", self._planned.key, exc_info=error)
        self._trial = None  # somewhere within an epoch: nothing to go on from, and its memory is wanted
        rows, self._untold = self._untold, []
        return Progress.of_error(error, rows)

    def leave(self) -> None:
        """Write a checkpoint of a trial that has not ended, where it is now, for whoever goes on with it."""
        if self._trial is not None and not self._trial.done and self._trial.epoch > self._saved_epoch:
            self._save(self._trial, self._path)

    @property
    def _first(self) -> bool:
        """Whether this process is the one of the trial's that measures and writes."""
        return Processes.joined(self._number).first

    def _begin(self) -> Trial:
        self._history = []
        return Trial(
            self._planned.cell,
            study_seed=self._setting.study_seed,
            replicate=self._planned.replicate,
            phase=self._phase,
            data_root=self._setting.data_root,
            device=self._device,
            record=self._setting.record,
        )

    def _open(self) -> Trial:
        """The trial where its checkpoint left it, with the reports up to there, or at its beginning."""
        trial = self._left_off() or self._begin()
        # Each process reads the files for itself, and a former one may have been about to write.
        if Processes.joined(self._number).differ(trial.epoch, trial.device):
            logger.warning("trial %s starts again: its processes read checkpoints of two epochs", self._planned.key)
            return self._begin()
        return trial

    def _left_off(self) -> Trial | None:
        for path, cell_id in self._places():
            try:
                self._copies.fetch(path)
                if any(file.exists() for file in checkpoint_files(path)):
                    return self._read(path, cell_id)
            except (CheckpointError, OSError, ValueError) as error:
                logger.warning("trial %s does not go on from %s: %s", self._planned.key, path.name, error)
        return None

    def _places(self) -> Iterator[tuple[Path, str]]:
        """Where there may be a checkpoint to go on from, and of which cell, the furthest first."""
        own, segment = self._planned.cell.cell_id, self._planned.segment
        yield self._path, own
        if segment is not None:
            yield self._after(own, segment.end), own
        if segment is not None and segment.start > 0:
            yield self._after(segment.origin, segment.start), segment.origin

    def _read(self, path: Path, cell_id: str) -> Trial:
        """The trial as a checkpoint has it, with the reports up to there."""
        trial, segment = self._begin(), self._planned.segment
        trial.load(path, cell_id=cell_id)
        if segment is not None and trial.epoch > segment.end:
            raise CheckpointError(f"it is of epoch {trial.epoch}, and epoch {segment.end} is asked for")
        history = json.loads(path.with_suffix(".json").read_text())[: trial.epoch]
        if len(history) < trial.epoch:
            raise CheckpointError(f"the reports of epochs {len(history) + 1} to {trial.epoch} are gone")
        self._history = history if cell_id == trial.cell.cell_id else [_taken_over(row, trial) for row in history]
        if path != self._path:
            self._leave_to_storage(path)
        return trial

    @property
    def _path(self) -> Path:
        return Path(self._setting.checkpoints) / f"{self._planned.key}.pt"

    def _after(self, cell_id: str, epoch: int) -> Path:
        """The checkpoint that this replicate of a cell leaves where it pauses."""
        return Path(self._setting.checkpoints) / pause_file(self._planned.stage, cell_id, self._planned.replicate, epoch)

    def _pause(self, trial: Trial) -> None:
        """Leave the checkpoint that the next segment of this trial, and of others, begins at."""
        path = self._after(trial.cell.cell_id, trial.epoch)
        self._save(trial, path)
        self._remove(self._path)
        self._leave_to_storage(path)

    def _leave_to_storage(self, path: Path) -> None:
        """Remove what is here of a checkpoint that trials hand on to each other, where they find it on a storage."""
        if self._setting.storage is not None:
            for file in (path, path.with_suffix(".json")):
                file.unlink(missing_ok=True)

    def _remove(self, path: Path) -> None:
        for file in (*checkpoint_files(path), path.with_suffix(".json")):
            file.unlink(missing_ok=True)
        self._copies.remove(path)

    def _write(self, trial: Trial) -> None:
        if self._setting.examples is not None and trial.done and not trial.diverged:
            # Before the end is reported: a process that dies in between does it again.
            path = Path(self._setting.examples) / f"{self._planned.key}.npz"
            Examples.of(trial).write(path)
            self._copies.send_examples(path)
        if trial.done and (trial.diverged or not self._setting.keep_final):
            self._remove(self._path)
        elif trial.done or time.monotonic() - self._saved_at >= self._setting.checkpoint_seconds:
            self._save(trial, self._path)

    def _save(self, trial: Trial, path: Path) -> None:
        """Save a checkpoint; a full disk costs the trial this one, and nothing else."""
        new = path.with_suffix(".new")
        try:
            # Written first: a history longer than its checkpoint is cut, a shorter one is of no use.
            new.write_text(json.dumps(self._history))
            new.replace(path.with_suffix(".json"))
            trial.save(path)
        except OSError as error:
            with suppress(OSError):
                new.unlink()
            logger.warning("trial %s goes on without a checkpoint: %s", self._planned.key, error)
        else:
            self._copies.send(path)
            self._saved_epoch = trial.epoch
        self._saved_at = time.monotonic()


def pause_file(stage: str, cell_id: str, replicate: int, epoch: int) -> str:
    """What the checkpoint is called that a trial leaves where it pauses; its history is called alike."""
    return f"{stage}-{cell_id}-{replicate}.after-{epoch}.pt"


def _taken_over(row: dict[str, Any], trial: Trial) -> dict[str, Any]:
    """An epoch that another trial reported, as this one would have: the same numbers, its own scheduled knobs, and no time spent."""

    def own(metrics: dict[str, float], step: int) -> dict[str, float]:
        return {name: value for name, value in metrics.items() if not name.startswith("knob.")} | trial.knobs_after(step)

    steps = [{**step, "metrics": own(step["metrics"], step["step"])} for step in row.get("steps", ())]
    mine = {**row, "seconds": 0.0, "metrics": own(row["metrics"], row["epoch"] * trial.steps_per_epoch)}
    return mine | ({"steps": steps} if steps else {})


def _row(report: EpochReport, trial: Trial) -> dict[str, Any]:
    """An epoch as it travels to the ledger, with what was recorded beside its metrics where that was asked for."""
    row: dict[str, Any] = {"epoch": report.epoch, "at": time.time(), "seconds": report.seconds, "metrics": report.metrics}
    if report.steps:
        row["steps"] = [asdict(step) for step in report.steps]
    if trial.record.class_counts and report.epoch == 1:
        row["class_counts"] = trial.class_counts
    if trial.phase and report.epoch == 1:
        row["phase"] = trial.phase
    return row
