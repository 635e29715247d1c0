"""The best configuration of each dataset as files that run.

``margin-studies run config.yaml`` repeats the exported trial; the values come from the study's own ledger, never from MLflow, so
they keep their types and every digit. How the model card reads is left to `studies.reporting.card`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml

from margin_core.knobs import Schedule
from margin_core.losses import get_family
from margin_core.machine import prepare_to_train
from margin_core.models import Classifier, save_weights
from margin_core.training import Cell, CheckpointError, Record, Setting, Trial
from margin_core.training.array import TrialArray, why_alone
from studies.answer import answer
from studies.export_graph import FILES, Format, Graph, check_format, write_graph
from studies.extension import processor
from studies.findings import Answer, Winner
from studies.flat_args import flat_args
from studies.preflight import CallError
from studies.runner import was_fused
from studies.tracking.ledger import Ledger
from studies.whole_cell import every_key, left_out, read_whole_cell, whole_cell
from studies.workspace import StudyFiles

TRIAL_KIND = "trial"
ROUNDING = 2.0**-23
"""The distance of two neighbouring float32, as a share of them."""
_REPRODUCE = """#!/bin/sh
# Trains the exported trial again and says whether it came to the recorded numbers.
# Needs margin-studies; requirements.txt has the versions that the study ran with. Options go to `margin-studies run`: --data-root DIR.
set -eu
cd "$(dirname "$0")"
exec margin-studies run config.yaml "$@"
"""
_WHAT = {
    "config.yaml": "the whole trial, which `margin-studies run` repeats",
    "args.yaml": "the same in the flat style of timm",
    "loss.yaml": "the loss alone",
    "verdict.json": "why this setting, how surely, and which others may be as good",
    "model.safetensors": "the weights, and the loss's own parameters",
    "requirements.txt": "the versions that the study ran with",
    "reproduce.sh": "trains it again",
}


@dataclass(frozen=True)
class ExportedTrial:
    """One replicate, whole: what ``config.yaml`` holds.

    Attributes:
        cell: The cell.
        study_seed: Seed of the study that it comes from.
        replicate: Its seed within the study.
        threads: CPU threads that it ran with; part of what makes its numbers repeatable.
        result: The metrics of its last epoch, as the study recorded them.
        record: What the study asked to be recorded.
        phase: At which epoch of its replicate's stream of batches it began: 0, but of a trial that took another's place in an array.
        fused: Whether it was trained in an array. By itself it would come to other digits, so it is repeated in an array of its own.
        first_epoch: The metrics of its first epoch, as the study recorded them; empty where that is not known.
    """

    cell: Cell
    study_seed: int
    replicate: int
    threads: int
    result: dict[str, float]
    record: Record = field(default_factory=Record)
    phase: int = 0
    fused: bool = False
    first_epoch: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, with every key: another release, whose defaults may be others, trains the same by it."""
        return {
            "kind": TRIAL_KIND,
            "study_seed": self.study_seed,
            "replicate": self.replicate,
            "phase": self.phase,
            "threads": self.threads,
            "fused": self.fused,
            "cell": whole_cell(self.cell),
            "left_out": left_out(self.cell),
            "record": every_key(self.record),
            "first_epoch": self.first_epoch,
            "result": self.result,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ExportedTrial:
        """The trial that ``data`` describes; raises `CallError` with one sentence."""
        try:
            cell = read_whole_cell(data["cell"], data.get("left_out", ()))
            cell.check()
            if int(data["threads"]) < 1:
                raise ValueError(f"threads must be >= 1, got {data['threads']!r}")
            seeds = int(data["study_seed"]), int(data["replicate"])
            return cls(
                cell,
                *seeds,
                int(data["threads"]),
                dict(data.get("result", {})),
                Record(**data.get("record", {})),
                phase=int(data.get("phase", 0)),
                fused=bool(data.get("fused", False)),
                first_epoch=dict(data.get("first_epoch", {})),
            )
        except KeyError as error:
            raise CallError(f"the configuration lacks the key {error.args[0]!r}") from error
        except (TypeError, ValueError) as error:
            raise CallError(f"the configuration cannot be run: {error}") from error

    def open(self, data_root: Path | None) -> Trial:
        """The trial, ready to train, with its threads set."""
        prepare_to_train(self.threads)
        root = None if data_root is None else str(data_root)
        return Trial(self.cell, study_seed=self.study_seed, replicate=self.replicate, phase=self.phase, data_root=root, record=self.record)

    def repeats(self, value: float | None, recorded: float) -> bool:
        """Whether a last metric of the trial, trained again, is the recorded one; of a fused trial, within one percent.

        Example:
            >>> from margin_core.data import DatasetConfig
            >>> from margin_core.training import Recipe
            >>> trial = ExportedTrial(Cell(DatasetConfig("digits"), "mlp-8", "ce", {}, {}, Recipe(1)), 0, 0, 1, {}, fused=True)
            >>> trial.repeats(90.1, 90.0), trial.repeats(92.0, 90.0)
            (True, False)
        """
        if value is None:
            return False
        return math.isclose(value, recorded, rel_tol=0.01) if self.fused else value == recorded

    def begins_alike(self, metrics: Mapping[str, float], steps: int) -> bool:
        """Whether the first epoch, trained again, is the recorded one; of a fused trial, within the rounding of its steps.

        A step may round otherwise by the distance of two neighbouring float32: in all by ``steps`` times 2^-23 of a metric.

        Args:
            metrics: Those of the first epoch.
            steps: How many it has.

        Example:
            >>> from margin_core.data import DatasetConfig
            >>> from margin_core.training import Recipe
            >>> cell = Cell(DatasetConfig("digits"), "mlp-8", "ce", {}, {}, Recipe(1))
            >>> trial = ExportedTrial(cell, 0, 0, 1, {}, fused=True, first_epoch={"val_nll": 0.5})
            >>> trial.begins_alike({"val_nll": 0.500001}, steps=20), trial.begins_alike({"val_nll": 0.50001}, steps=20)
            (True, False)
        """
        allowed = steps * ROUNDING if self.fused else 0.0
        return all(name in metrics and math.isclose(metrics[name], value, rel_tol=allowed) for name, value in self.first_epoch.items())

    def train(self, trial: Trial, data_root: Path | None) -> Iterator[tuple[int, dict[str, float]]]:
        """Train what `open` gave to its end, a fused trial in an array of its own; the number and the metrics of each epoch, as made."""
        if self.cell.recipe.processes > 1 and not trial.done:
            from studies.running.repeat import train_together  # imports Ray: not for what one process does

            for row in train_together(trial, threads=self.threads, record=self.record, data_root=data_root):
                yield row["epoch"], row["metrics"]
            return
        array = TrialArray()
        together = self.fused and not trial.done and not why_alone(self.cell)
        if together:
            array.join(trial)
        while not trial.done:
            epoch = array.run_epoch()[0][1] if together else trial.run_epoch()
            yield epoch.epoch, epoch.metrics
        if together:
            array.leave(trial)


def export_study(
    files: StudyFiles, *, data_root: Path | None, dataset: str | None = None, formats: Sequence[Format] = ()
) -> dict[str, Path]:
    """Write the export of every dataset, or of one; returns the directory of each.

    Args:
        files: The study.
        data_root: Folder of the datasets.
        dataset: What the study calls the dataset; by default all.
        formats: In which formats the network is written besides.

    Raises:
        CallError: The study has no measured cell, or no such dataset; or the network cannot be written in one of the formats.
    """
    for name in formats:
        check_format(name)
    with Ledger(files.ledger, read_only=True) as ledger:
        found = answer(ledger)
        winners = [winner for winner in found.winners if dataset in (None, winner.dataset)]
        if not winners:
            known = ", ".join(winner.dataset for winner in found.winners) or "none yet"
            raise CallError(f"nothing to export{'' if dataset is None else f' for {dataset!r}'}; datasets with a result: {known}")
        return {winner.dataset: _export(winner, found, ledger, files, data_root, formats) for winner in winners}


def read_export(directory: Path, data_root: Path | None = None) -> Classifier:
    """The network of an export, ready to be asked.

    Args:
        directory: The export of one dataset.
        data_root: Folder of the datasets: the trial's own data tell the network's shape.

    Raises:
        CallError: The configuration cannot be run.
        FileNotFoundError: The dataset, or a file of the export, is not there.
    """
    from safetensors.torch import load_file

    trial = ExportedTrial.from_dict(yaml.safe_load((directory / "config.yaml").read_text())).open(data_root)
    tensors = load_file(directory / "model.safetensors")
    trial.model.load_state_dict({name: tensor for name, tensor in tensors.items() if not name.startswith("loss.")})
    return trial.model.eval()


def _export(winner: Winner, found: Answer, ledger: Ledger, files: StudyFiles, data_root: Path | None, formats: Sequence[Format]) -> Path:
    exported, key = _first_replicate(winner, found, ledger)
    trial = _trained(exported, files.checkpoints / f"{key}.pt", data_root)  # before anything is written: its data may be missing
    directory = files.export / winner.dataset
    directory.mkdir(parents=True, exist_ok=True)
    _write_yaml(directory / "config.yaml", exported.to_dict())
    plain = found.to_dict()
    verdict: dict[str, Any] = {
        "winner": next(entry for entry in plain["winners"] if entry["dataset"] == winner.dataset),
        **{
            kind: [entry for entry in plain[kind] if entry["dataset"] == winner.dataset]
            for kind in ("verdicts", "surfaces", "zoom", "test")
            if kind in plain
        },
        "study": found.spec.name,
        "metric": found.spec.metric,
    }
    (directory / "verdict.json").write_text(json.dumps(verdict, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    needs: dict[str, Any] = {name: trial.loss.get_buffer(name).tolist() for name in trial.loss.family.needs}
    _write_yaml(directory / "loss.yaml", {**loss_settings(exported.cell), **needs})
    _write_yaml(directory / "args.yaml", flat_args(trial))
    _save_model(trial, directory / "model.safetensors")
    _save_backbone(trial, directory / "weights", winner.dataset)
    (directory / "requirements.txt").write_text(_requirements(json.loads(ledger.meta("environment") or "{}")))
    script = directory / "reproduce.sh"
    script.write_text(_REPRODUCE)
    readable = script.stat().st_mode & 0o444
    script.chmod(script.stat().st_mode | readable >> 2)  # to be run by whoever may read it
    for file in FILES.values():
        (directory / file).unlink(missing_ok=True)  # of an earlier export, whose network may have been another
    graphs = [write_graph(trial, directory, name) for name in formats]
    (directory / "README.md").write_text(_card(trial, winner, found, exported, graphs))
    return directory


def _requirements(environment: Mapping[str, str]) -> str:
    """The versions that the study was begun with."""
    lines = [f"{name}=={version}" for name, version in environment.items() if name != "python"]
    return "\n".join([f"# Python {environment.get('python', 'of unknown version')}", *lines]) + "\n"


def _card(trial: Trial, winner: Winner, found: Answer, exported: ExportedTrial, graphs: Sequence[Graph]) -> str:
    from studies.reporting.card import model_card  # brings what draws the report: not for a trial that is run again

    data = trial.data
    bytes_in = data.dataset.images.dtype == torch.uint8
    written = {
        graph.file: f"the network for {'ONNX' if graph.file == FILES['onnx'] else '`torch.export`'}: {graph.reads} to scores, any number"
        f" at once; on {graph.examples} examples within {graph.furthest:.0e} of the largest score"
        for graph in graphs
    }
    return model_card(
        found,
        winner,
        dataset=trial.cell.dataset.name,
        seed=exported.replicate,
        result=exported.result,
        reads="features" if trial.cell.backbone == "frozen" else "images",
        shape=data.in_shape,
        standardised=(data.dataset.mean, data.dataset.std) if bytes_in else None,
        files=_WHAT | ({"weights/": "the backbone's weights alone"} if trial.cell.backbone == "trained" else {}) | written,
    )


def loss_settings(cell: Cell) -> dict[str, Any]:
    """What `margin_core.losses.build_loss` takes, and the regularisers' weights; a schedule is told by the value that it ends with."""
    return {
        "family": cell.family,
        "reads": get_family(cell.family).reads,
        "knobs": {name: _at_the_end(setting) for name, setting in cell.knobs.items()},
        "regularizers": {name: _at_the_end(weight) for name, weight in cell.regularizers.items()},
    }


def _at_the_end(setting: Setting) -> float | str:
    return setting.value(1.0) if isinstance(setting, Schedule) else setting


def _first_replicate(winner: Winner, found: Answer, ledger: Ledger) -> tuple[ExportedTrial, str]:
    table = ledger.final_metrics(winner.stage, winner.cell_id)
    rows = table[table[found.spec.metric].notna()].sort_values("seed")
    seed, key = int(rows["seed"].iloc[0]), str(rows["key"].iloc[0])
    epochs = ledger.epochs(key)
    (threads, _), record = processor(found.spec), found.spec.record.record()
    cell, phase = Cell.from_dict(ledger.cell(winner.cell_id)), ledger.trial(key).phase
    first = epochs[0]["metrics"] if epochs[0]["epoch"] == 1 else {}
    fused = was_fused(ledger)
    return ExportedTrial(cell, found.spec.seed, seed, threads, epochs[-1]["metrics"], record, phase, fused, first), key


def _trained(exported: ExportedTrial, checkpoint: Path, data_root: Path | None) -> Trial:
    """The trained trial: from its final checkpoint, or trained again where that is gone."""
    trial = exported.open(data_root)
    try:
        trial.load(checkpoint)
    except (FileNotFoundError, CheckpointError):
        trial = exported.open(data_root)
    for _ in exported.train(trial, data_root):
        pass
    return trial


def _save_model(trial: Trial, path: Path) -> None:
    from safetensors.torch import save  # whose save_file leaves a file to its owner alone, whatever the umask

    tensors = {name: tensor.contiguous() for name, tensor in trial.model.state_dict().items()}
    tensors |= {f"loss.{name}": tensor.contiguous() for name, tensor in trial.loss.state_dict().items()}
    path.write_bytes(save(tensors))


def _save_backbone(trial: Trial, folder: Path, dataset: str) -> None:
    """The backbone's weights under a name that a study file can give, or none where they are what the study began with."""
    for former in folder.glob("*.safetensors"):
        former.unlink()
    if trial.cell.backbone == "trained":
        save_weights(trial.model.backbone, folder, re.sub("[^A-Za-z0-9_.+-]+", "-", f"{trial.cell.model}-{dataset}"))


def _write_yaml(path: Path, data: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True))
