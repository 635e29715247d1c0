"""What a trial tells: after an epoch, after a step within one, and of single examples. What is in a report, `trial` and `record` say."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


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
            knob ``knob.<name>``, as it was at the epoch's last step. Where nothing validates no metric is called ``val_``.
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
        target: The labels, (N,); -1 of a test image that is of no class.
        features: Their embeddings, (N, d), where the dataset has a task that they are measured by.
    """

    logits: Tensor
    cosines: Tensor
    target: Tensor
    features: Tensor | None = None

    def of_a_class(self) -> Predictions:
        """Of those examples that are of a class; embeddings are left out."""
        kept = self.target >= 0
        return Predictions(self.logits[kept], self.cosines[kept], self.target[kept])
