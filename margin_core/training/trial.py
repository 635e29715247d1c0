"""One trial: a cell and its seeds in, a report after each epoch out.

A trial can be saved after any epoch and continued by another process, bit for bit. When to stop, where to save and whom to tell is left to
`studies`.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_, get_total_norm

from margin_core import metrics
from margin_core.data import prepare
from margin_core.losses import Loss, get_family
from margin_core.models import build_model
from margin_core.seeds import seeded_initialisation, torch_generator
from margin_core.training.batches import Batches
from margin_core.training.cell import Cell
from margin_core.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from margin_core.training.objective import Objective
from margin_core.training.recipe import build_optimizer
from margin_core.training.record import Record, Split

# Of photos fewer, so that a batch has at most so many numbers.
EVALUATION_BATCH, EVALUATION_VALUES = 1024, 2**26


@dataclass(frozen=True)
class StepReport:
    """What is measured after a step within an epoch, where the trial's record asks for it.

    Args:
        step: Its number, from 1 at the beginning of the training.
        metrics: Those of an `EpochReport`, less ``train_loss``.
    """

    step: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class EpochReport:
    """What one epoch came to.

    Args:
        epoch: Its number, from 1.
        metrics: ``train_loss`` (mean over the epoch of loss plus regularisers), ``val_accuracy`` (percent), ``val_nll``, ``val_ece``
            (fraction), ``class_margin`` (degrees), ``val_sample_margin`` (mean), what the trial's record asks for, and for each scheduled
            knob ``knob.<name>``, as it was at the epoch's last step.
        seconds: Wall time of the epoch, evaluation included.
        diverged: Whether loss, weights or a metric of the validation split are not finite. Metrics that cannot be measured are then NaN.
        steps: What was measured within the epoch.
    """

    epoch: int
    metrics: dict[str, float]
    seconds: float
    diverged: bool
    steps: tuple[StepReport, ...] = ()


@dataclass(frozen=True)
class Predictions:
    """What a trial says of some examples.

    Args:
        logits: Their softmax is the prediction, (N, K).
        cosines: Between features and prototypes, (N, K).
        target: The labels, (N,).
    """

    logits: Tensor
    cosines: Tensor
    target: Tensor


class Trial:
    """The training of one cell under one bundle of seeds.

    Args:
        cell: What is trained.
        study_seed: The study's seed.
        replicate: Number of the replicate. All its cells share split, label noise, the backbone's start and the order of the data.
        data_root: Folder of the datasets; by default the environment's ``MARGIN_DATA``.
        device: Where to compute.
        record: What is measured beside the metrics that always are; it changes nothing in the training.

    Raises:
        ValueError: On a bad value in the cell or the record.
        FileNotFoundError: Where the dataset's files are not there.

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
        data_root: str | Path | None = None,
        device: str | torch.device = "cpu",
        record: Record = Record(),  # noqa: B008 -- a frozen value
    ) -> None:
        cell.check()
        self.cell = cell
        self.study_seed = study_seed
        self.replicate = replicate
        self.device = torch.device(device)
        self.record = record
        self.epoch = 0
        self.diverged = False
        self.data = prepare(cell.dataset, data_root=data_root, study_seed=study_seed, replicate=replicate)
        record.check(self.data.num_classes)
        self.model = build_model(
            cell.model,
            in_shape=self.data.in_shape,
            num_classes=self.data.num_classes,
            reads=get_family(cell.family).reads,
            seed_parts=(study_seed, replicate),
        ).to(self.device)
        self.objective = Objective(cell, self.model, self.data.train_y.bincount(minlength=self.data.num_classes).tolist())
        self.loss: Loss = self.objective.loss.to(self.device)
        self.optimizer = build_optimizer(cell.recipe, self.model.parameters(), self.loss.parameters())
        self._parameters = [*self.model.parameters(), *self.loss.parameters()]
        self._standardise = self.data.dataset.standardiser(self.device)
        images = self.data.dataset.images
        self._train = Batches(images, self.data.train_indices, self.device), self.data.train_y.to(self.device)
        self._val = Batches(images, self.data.val_indices, self.device), self.data.val_y.to(self.device)
        self._batch_sizes = batch_sizes(len(self.data.train_y), cell.recipe.batch_size)

    @property
    def done(self) -> bool:
        """Whether all epochs are run, or the trial diverged."""
        return self.diverged or self.epoch >= self.cell.recipe.epochs

    def run_epoch(self) -> EpochReport:
        """Train for one epoch, then evaluate on the validation examples.

        Raises:
            RuntimeError: Where the trial is done.
        """
        if self.done:
            raise RuntimeError(f"{self.cell.cell_id} replicate {self.replicate} is done after epoch {self.epoch}")
        started = time.perf_counter()
        train_loss, steps = self._train_epoch()
        self.epoch += 1
        measured = {"train_loss": train_loss, **self.evaluate("val")}
        self.diverged = not all(math.isfinite(value) for value in [*measured.values(), float(get_total_norm(self._parameters))])
        measured.update(self._recorded())
        return EpochReport(self.epoch, measured, time.perf_counter() - started, self.diverged, steps)

    def _recorded(self) -> dict[str, float]:
        """What an epoch or a step reports beside the validation split's metrics."""
        measured: dict[str, float] = {}
        for split in self.record.splits:
            measured |= self.evaluate(split)
        return measured | {f"knob.{name}": value for name, value in self.objective.scheduled_values().items()}

    def evaluate(self, split: Split) -> dict[str, float]:
        """Metrics on the examples of ``split``: those of an `EpochReport`, named by the split, with the record's among them.

        ``train`` has the labels that are trained on, label noise included. ``test`` is for the last stage of a study only.
        """
        predictions = self.predict(split)
        logits, cosines, target = predictions.logits.double(), predictions.cosines, predictions.target
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
        images, target = self._examples(split)
        logits, cosines = [], []
        self.model.eval()
        size = max(1, min(EVALUATION_BATCH, EVALUATION_VALUES // math.prod(self.data.in_shape)))
        for _, batch in images.batches(torch.arange(len(images)), size):
            output = self.model(self._standardise(batch))
            logits.append(self.objective.prediction_logits(output))
            cosines.append(self.model.cosines(output))
        return Predictions(torch.cat(logits), torch.cat(cosines), target)

    def save(self, path: str | Path) -> None:
        """Write all that `load` needs to ``path``, whole or not at all."""
        write_checkpoint(
            path,
            Checkpoint(
                cell_id=self.cell.cell_id,
                study_seed=self.study_seed,
                replicate=self.replicate,
                epoch=self.epoch,
                diverged=self.diverged,
                model=self.model.state_dict(),
                loss=self.loss.state_dict(),
                optimizer=self.optimizer.state_dict(),
            ),
        )

    def load(self, path: str | Path) -> None:
        """Go on from what `save` wrote, exactly as if the trial had never stopped.

        Raises:
            FileNotFoundError: Where there is no such file.
            CheckpointError: Where the file is torn, or of another cell, study seed or replicate.
        """
        checkpoint = read_checkpoint(path, cell_id=self.cell.cell_id, study_seed=self.study_seed, replicate=self.replicate)
        self.model.load_state_dict(checkpoint["model"])
        self.loss.load_state_dict(checkpoint["loss"])
        self.optimizer.load_state_dict(checkpoint["optimizer"])
        self.epoch = checkpoint["epoch"]
        self.diverged = checkpoint["diverged"]
        if self.epoch > 0:
            self.objective.set_progress(self._progress(self.epoch * len(self._batch_sizes) - 1))

    def _train_epoch(self) -> tuple[float, tuple[StepReport, ...]]:
        """Train on every example once; the mean of the objective over them, and what was measured on the way."""
        images, labels = self._train
        # From the epoch alone, so that a trial that is continued needs no generator's state.
        order = torch.randperm(len(labels), generator=torch_generator(self.study_seed, self.replicate, "order", self.epoch))
        first_step = self.epoch * len(self._batch_sizes)
        losses, reports = [], []
        self.model.train()
        # Dropout draws from the global generator.
        with seeded_initialisation(self.study_seed, self.replicate, "dropout", self.epoch):
            for step, (batch, pictures) in enumerate(images.batches(order, self._batch_sizes), start=first_step):
                losses.append(self._train_step(self._standardise(pictures), labels[batch], self._progress(step)) * len(batch))
                if self.record.at_step(step + 1):
                    reports.append(StepReport(step + 1, {**self.evaluate("val"), **self._recorded()}))
                    self.model.train()
        return float(torch.stack(losses).double().sum()) / len(labels), tuple(reports)

    def _train_step(self, images: Tensor, labels: Tensor, progress: float) -> Tensor:
        """One step of the optimiser; the objective stays on the device, since looking at it would wait for the device."""
        recipe = self.cell.recipe
        self.objective.set_progress(progress)
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.learning_rate(progress)
        self.optimizer.zero_grad()
        value = self.objective(self.model(images), labels)
        torch.autograd.backward(value)
        if recipe.clip_norm is not None:
            clip_grad_norm_(self._parameters, recipe.clip_norm, foreach=True)
        self.optimizer.step()
        return value.detach()

    def _progress(self, step: int) -> float:
        return step / (len(self._batch_sizes) * self.cell.recipe.epochs)

    def _examples(self, split: Split) -> tuple[Batches, Tensor]:
        if split == "train":
            return self._train
        if split == "val":
            return self._val
        if split == "test":
            dataset, places = self.data.dataset, self.data.test_indices
            return Batches(dataset.images, places, self.device), dataset.labels[places].to(self.device)
        raise ValueError(f"split must be one of train, val, test, got {split!r}")


def batch_sizes(examples: int, batch_size: int) -> list[int]:
    """The sizes of an epoch's batches: the last holds what is left over.

    A single example left over joins the batch before it: batch norm cannot be trained on one.

    Example:
        >>> batch_sizes(10, 4), batch_sizes(9, 4)
        ([4, 4, 2], [4, 5])
    """
    whole, left_over = divmod(examples, batch_size)
    sizes = [batch_size] * whole
    if left_over == 1 and whole > 0 and batch_size > 1:
        sizes[-1] += 1
    elif left_over > 0:
        sizes.append(left_over)
    return sizes
