"""One trial: a cell and its seeds in, a report after each epoch out.

A trial can be saved after any epoch and continued by another process, bit for bit. Where the recipe says so several processes train one
trial, each with a `Trial` of its own. When to stop, where to save and whom to tell is left to `studies`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from margin_core import metrics
from margin_core.data import prepare, resolve_data_root
from margin_core.losses import Loss, get_family
from margin_core.models import Output, build_model
from margin_core.seeds import numpy_generator, seeded_initialisation, torch_generator
from margin_core.training.augmentation import Augmentation
from margin_core.training.batches import Batches, batch_sizes
from margin_core.training.cell import Cell
from margin_core.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from margin_core.training.confidence import confidence_distribution, confidence_of_samples, spaced_places
from margin_core.training.embeddings import embeddings_of_test, embeddings_of_validation
from margin_core.training.forward import Forward
from margin_core.training.frozen import on_features
from margin_core.training.objective import Objective
from margin_core.training.processes import Processes
from margin_core.training.record import SPLITS, Record, Split
from margin_core.training.reports import EpochReport, Predictions, StepReport
from margin_core.training.step import Step

# Of photos fewer, so that a batch has at most so many numbers.
EVALUATION_BATCH, EVALUATION_VALUES = 1024, 2**26


class Trial:
    """The training of one cell under one bundle of seeds.

    Args:
        cell: What is trained.
        study_seed: The study's seed.
        replicate: Number of the replicate. All its cells share split, label noise, the backbone's start and the order of the data.
        phase: At which epoch of the replicate's stream of batches the trial begins; epoch e of the trial sees the order and the pictures of
            epoch ``phase`` + e of the stream. 0, but for a trial that has taken the place of another in an array.
        data_root: Folder of the datasets; by default the environment's ``MARGIN_DATA``.
        device: Where to compute.
        record: What is measured beside the metrics that always are; it changes nothing in the training.

    Raises:
        ValueError: On a bad value in the cell or the record.
        FileNotFoundError: Where the dataset's files are not there, or the weights.

    Example:
        >>> from margin_core.data import DatasetConfig
        >>> from margin_core.training import Recipe
        >>> cell = Cell(DatasetConfig("digits"), "mlp-50-20", "ce", {}, {}, Recipe(epochs=2))
        >>> trial = Trial(cell, study_seed=0, replicate=0)
        >>> while not trial.done:
        ...     report = trial.run_epoch()
        >>> report.epoch, report.diverged
        (2, False)
    """

    def __init__(
        self,
        cell: Cell,
        *,
        study_seed: int,
        replicate: int,
        phase: int = 0,
        data_root: str | Path | None = None,
        device: str | torch.device = "cpu",
        record: Record = Record(),  # noqa: B008 -- a frozen value
    ) -> None:
        cell.check()
        self.cell = cell
        self.study_seed = study_seed
        self.replicate = replicate
        self.phase = phase
        self.device = torch.device(device)
        self.record = record
        self.epoch = 0
        self.diverged = False
        self.data = prepare(cell.dataset, data_root=data_root, study_seed=study_seed, replicate=replicate)
        record.check(self.data.num_classes)
        model = build_model(
            cell.model,
            in_shape=self.data.in_shape,
            num_classes=self.data.num_classes,
            reads=get_family(cell.family).reads,
            seed_parts=(study_seed, replicate),
            weights=cell.weights,
            data_root=resolve_data_root(data_root),
        )
        if cell.backbone == "frozen":
            self.data, model = on_features(self.data, model, cell.model, self.device)
        self.model = model.to(self.device)
        self.class_counts: list[int] = self.data.train_y.bincount(minlength=self.data.num_classes).tolist()
        self.objective = Objective(cell, self.model, self.class_counts)
        self.loss: Loss = self.objective.loss.to(self.device)
        self._forward = Forward(cell.recipe, self.model, self.device)
        self._step = Step(cell.recipe, self._forward, self.objective)
        self._samples = spaced_places(record.samples, len(self.data.train_y))
        self._embeddings = {
            "val": embeddings_of_validation(self.data, study_seed=study_seed, replicate=replicate),
            "test": embeddings_of_test(self.data),
        }
        self._standardise = self.data.dataset.standardiser(self.device)
        self._train = self._batches(self.data.train_indices), self.data.train_y.to(self.device)
        self._val = self._batches(self.data.val_indices), self.data.val_y.to(self.device)
        # Bytes are black at 0. Images that are stored in other units have a black pixel somewhere.
        self._black = 0.0 if self.data.dataset.images.dtype == torch.uint8 else float(self.data.train_x.min())
        self.batch_sizes = batch_sizes(len(self.data.train_y), cell.recipe.batch_size)

    @property
    def done(self) -> bool:
        """Whether all epochs are run, or the trial diverged."""
        return self.diverged or self.epoch >= self.cell.recipe.epochs

    def run_epoch(self) -> EpochReport:
        """Train for one epoch, then evaluate on the validation examples.

        Of a recipe with several processes all must call this, in one process group of `torch.distributed`. The first one evaluates; the
        others report ``train_loss`` alone. Then all have the same weights and the same state.

        Raises:
            RuntimeError: Where the trial is done, or the process group is not of the recipe's number of processes.
            ConnectionError: Where another of the processes is gone.
        """
        if self.done:
            raise RuntimeError(f"{self.cell.cell_id} replicate {self.replicate} is done after epoch {self.epoch}")
        processes = Processes.joined(self.cell.recipe.processes)
        started = time.perf_counter()
        train_loss, steps = self._train_epoch(processes)
        report = self.end_epoch(train_loss, steps, processes=processes)
        return replace(report, seconds=time.perf_counter() - started)

    def end_epoch(
        self,
        train_loss: float,
        steps: tuple[StepReport, ...] = (),
        *,
        seen: Mapping[Split, Predictions] = MappingProxyType({}),
        processes: Processes = Processes(),  # noqa: B008 -- nothing in it changes
    ) -> EpochReport:
        """Report an epoch whose steps have been made, of 0 seconds: for `run_epoch`, and for an array, which makes the steps itself.

        Args:
            train_loss: Mean over the epoch of loss plus regularisers.
            steps: What was measured within it.
            seen: What the trial says of the examples of splits now, as far as that is known already.
            processes: Those of the trial.
        """
        self.epoch += 1
        measured = {"train_loss": train_loss}
        if processes.first:
            measured |= self._metrics("val", seen.get("val") or self.predict("val"))
        finite = all(math.isfinite(value) for value in [*measured.values(), float(get_total_norm(self._step.parameters))])
        self.diverged = processes.any(not finite, self.device)
        measured.update(self._recorded(seen) if processes.first else {})
        return EpochReport(self.epoch, measured, 0.0, self.diverged, steps)

    def rehearse(self, steps: int) -> None:
        """Take so many steps, at most an epoch's, to see what they cost. The trial has changed, and is to be thrown away after it.

        Args:
            steps: At least 1.
        """
        self._train_epoch(Processes.joined(1), steps)

    def _recorded(self, known: Mapping[Split, Predictions] = MappingProxyType({})) -> dict[str, float]:
        """What an epoch or a step reports beside the validation split's metrics."""
        measured: dict[str, float] = {}
        for split in SPLITS:
            if self.record.looks_at(split):
                seen = known.get(split) or self.predict(split)
                measured |= self._metrics(split, seen) if split in self.record.splits else {}
                measured |= self._confidence(seen) if split == "train" else {}
        if self.record.scales:
            measured |= self.objective.scales()
        return measured | self._scheduled()

    def _scheduled(self) -> dict[str, float]:
        return {f"knob.{name}": value for name, value in self.objective.scheduled_values().items()}

    def _confidence(self, seen: Predictions) -> dict[str, float]:
        """What the record asks for of the training examples' own probabilities."""
        measured = confidence_distribution(seen.logits, seen.target) if self.record.confidence else {}
        chosen = self._samples.to(self.device)
        return measured | confidence_of_samples(seen.logits[chosen], seen.target[chosen], self.data.train_indices[self._samples])

    def evaluate(self, split: Split) -> dict[str, float]:
        """Metrics on the examples of ``split``: those of an `EpochReport`, named by the split, with the record's among them.

        ``train`` has the labels that are trained on, label noise included. ``test`` is for the last stage of a study only.
        """
        return self._metrics(split, self.predict(split))

    def _metrics(self, split: Split, seen: Predictions) -> dict[str, float]:
        task = self._embeddings.get(split)
        if task is not None and seen.features is not None:
            return {**self._class_metrics(split, seen.of_a_class()), **task.measure(seen.features)}
        return self._class_metrics(split, seen)

    def _class_metrics(self, split: Split, seen: Predictions) -> dict[str, float]:
        """What classification is measured by; of no example, the class margin alone."""
        logits, cosines, target = seen.logits.double(), seen.cosines, seen.target
        if len(target) == 0:
            return {"class_margin": metrics.class_margin(self.model.head.weight)}
        names = [f"{split}_accuracy", f"{split}_nll", f"{split}_ece", "class_margin", f"{split}_sample_margin"]
        if not bool(logits.isfinite().all() & cosines.isfinite().all()):
            return dict.fromkeys([*names, *self.record.names(split)], math.nan)
        values = (
            metrics.top_k_accuracy(logits, target, k=1),
            metrics.negative_log_likelihood(logits, target),
            metrics.expected_calibration_error(logits.softmax(dim=1), target),
            metrics.class_margin(self.model.head.weight),
            float(metrics.sample_margin(cosines, target).mean()),
        )
        return {**dict(zip(names, values, strict=True)), **self.record.measure(split, logits, target)}

    @torch.inference_mode()
    def predict(self, split: Split) -> Predictions:
        """Logits and cosines of each example of ``split``, in the order of ``data.<split>_indices``."""
        self.model.eval()
        with self._forward.settings():
            return self.predictions(split, (self._forward(pictures) for pictures in self.pictures(split)))

    def pictures(self, split: Split) -> Iterator[Tensor]:
        """What the network sees of the examples of ``split``, a batch (N, C, H, W) at a time, in the order of ``data.<split>_indices``."""
        images, target = self._examples(split)
        size = max(1, min(EVALUATION_BATCH, EVALUATION_VALUES // math.prod(self.data.in_shape)))
        for batch, stored in images.batches(torch.arange(len(images)), size) if len(images) else ():
            yield self._seen(stored, target[batch])

    @torch.inference_mode()
    def predictions(self, split: Split, outputs: Iterable[Output]) -> Predictions:
        """What the trial says, given what its network gives for each batch of `pictures`."""
        embedded = self._embeddings.get(split) is not None
        logits, cosines, features = [], [], []
        for output in outputs:
            logits.append(self.objective.prediction_logits(output))
            cosines.append(self.model.cosines(output))
            features += [output.features] if embedded else []
        target = self._examples(split)[1]
        if not logits:  # nothing validates
            nothing = target.new_empty((0, self.data.num_classes), dtype=torch.float32)
            return Predictions(nothing, nothing, target)
        return Predictions(torch.cat(logits), torch.cat(cosines), target, torch.cat(features) if embedded else None)

    def save(self, path: str | Path) -> None:
        """Write all that `load` needs to ``path``, whole or not at all."""
        write_checkpoint(
            path,
            Checkpoint(
                cell_id=self.cell.cell_id,
                study_seed=self.study_seed,
                replicate=self.replicate,
                phase=self.phase,
                epoch=self.epoch,
                diverged=self.diverged,
                model=self.model.state_dict(),
                loss=self.loss.state_dict(),
                step=self._step.state_dict(),
            ),
        )

    def load(self, path: str | Path, *, cell_id: str | None = None) -> None:
        """Go on from what `save` wrote, exactly as if the trial had never stopped; where that is torn, from what it wrote before.

        Args:
            path: Where from.
            cell_id: The cell that was saved there, where it is another one whose training up to there is the same: its knobs and its
                learning rate differ from this one's in later pieces of their paths alone.

        Raises:
            FileNotFoundError: Where nothing was saved there.
            CheckpointError: Where what was saved is torn, or of another cell, study seed or replicate.
        """
        of = self.cell.cell_id if cell_id is None else cell_id
        checkpoint = read_checkpoint(path, cell_id=of, study_seed=self.study_seed, replicate=self.replicate)
        self.phase = checkpoint["phase"]
        self.epoch = checkpoint["epoch"]
        self.diverged = checkpoint["diverged"]
        if self.epoch > 0:
            self.knobs_after(self.epoch * self.steps_per_epoch)  # before the loss's own parameters, which a knob may set anew
        self.model.load_state_dict(checkpoint["model"])
        self.loss.load_state_dict(checkpoint["loss"])
        self._step.load_state_dict(checkpoint["step"])

    def knobs_after(self, step: int) -> dict[str, float]:
        """Move the scheduled knobs to where they are in a step, counted from 1; what the report after it says of them."""
        self.objective.set_progress(self.progress(step - 1))
        return self._scheduled()

    @property
    def steps_per_epoch(self) -> int:
        """How many steps an epoch has."""
        return len(self.batch_sizes)

    @property
    def optimizer(self) -> Optimizer:
        """What makes the steps, with what it carries from one to the next."""
        return self._step.optimizer

    def _train_epoch(self, processes: Processes, most: int | None = None) -> tuple[float, tuple[StepReport, ...]]:
        """Train on every example once, or for ``most`` steps; the mean of the objective, and what was measured on the way."""
        mixup_generator = numpy_generator(self.study_seed, self.replicate, "mixup", self.phase + self.epoch)
        # Dropout draws from the global generator: of each process other numbers, for each has other examples.
        of_its_own = [] if processes.first else [processes.rank]
        first_step = self.epoch * self.steps_per_epoch
        losses, reports = [], []
        self.model.train()
        with (
            seeded_initialisation(self.study_seed, self.replicate, "dropout", self.phase + self.epoch, *of_its_own),
            self._step.epoch(mixup_generator, processes),
        ):
            for step, (pictures, labels) in enumerate(islice(self.training_batches(processes), most), start=first_step):
                whole = self.batch_sizes[step - first_step]
                losses.append(self._step(pictures, labels, self.progress(step), whole) * whole)
                if processes.first and self.record.at_step(step + 1):
                    with self._step.evaluation():
                        reports.append(self.step_report(step + 1))
                    self.model.train()
        return float(torch.stack(losses).double().sum()) / len(self.data.train_y), tuple(reports)

    def training_batches(self, processes: Processes = Processes()) -> Iterator[tuple[Tensor, Tensor]]:  # noqa: B008 -- nothing in it changes
        """What the network sees in the steps of the present epoch, (N, C, H, W), and the labels, (N,).

        Of several processes, this one's parts; with mixup the whole batches.
        """
        images, labels = self._train
        epoch = self.phase + self.epoch
        # From the epoch alone, so that a trial that is continued needs no generator's state.
        order = torch.randperm(len(labels), generator=torch_generator(self.study_seed, self.replicate, "order", epoch))
        sizes = self.batch_sizes
        if self.cell.recipe.mixup is None:
            order, sizes = processes.parts(order, sizes)
        augment = Augmentation(
            self.cell.recipe.augment,
            len(labels),
            black=self._black,
            generator=torch_generator(self.study_seed, self.replicate, "augment", epoch),
            device=self.device,
        )
        for batch, stored in images.batches(order, sizes):
            yield self._seen(augment(stored, batch), labels[batch]), labels[batch]

    def step_report(self, step: int) -> StepReport:
        """What is measured after a step, counted from 1."""
        return StepReport(step, {**self.evaluate("val"), **self._recorded()})

    def progress(self, step: int) -> float:
        """The share (0 to 1) of the training's steps that have been made before a step, counted from 0."""
        return step / (self.steps_per_epoch * self.cell.recipe.epochs)

    def _batches(self, examples: Tensor) -> Batches:
        dataset = self.data.dataset
        return Batches(dataset.images, dataset.images_of(examples), self.device)

    def _seen(self, images: Tensor, labels: Tensor) -> Tensor:
        """What the network sees of stored images of examples with these labels."""
        shown: Tensor = self._standardise(self.data.dataset.shown(images, labels))
        return shown.to(self.model.head.weight.dtype)

    def _examples(self, split: Split) -> tuple[Batches, Tensor]:
        if split == "train":
            return self._train
        if split == "val":
            return self._val
        if split == "test":
            tests = self.data.test_indices
            return self._batches(tests), self.data.dataset.labels[tests].to(self.device)
        raise ValueError(f"split must be one of train, val, test, got {split!r}")
