"""Online hard example mining: of each batch, only the hardest samples' cross-entropy counts."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from margin_core.knobs import Knob
from margin_core.losses.closed_form import closed_form, cross_entropy
from margin_core.losses.energies import KnobValue, knob_tensor
from margin_core.losses.family import Family, Loss


def ohem(scores: Tensor, target: Tensor, *, keep: KnobValue = 0.5) -> Tensor:
    """-log p_y of the hardest samples of each batch, 0 of the others.

    The batch is the last axis of ``target``; axes before it are batches of their own. Of its B samples, keep B are kept (rounded, at
    least one): those of the largest loss and, where losses tie, of the lowest index. The choice passes no gradient.

    Args:
        scores: Logits (..., B, K), or (K) for a single sample; half precision is widened to float32.
        target: Class indices (..., B).
        keep: The fraction that is kept, in (0, 1], a number or a tensor that broadcasts over (..., 1), one for
            each batch. 1 is cross-entropy.

    Returns:
        The loss of each sample (..., B). Their sum is that of the kept samples; their mean divides it by all, which `OhemLoss` mends.

    Example:
        >>> x, y = torch.tensor([[0.0, 0.0], [9.0, -9.0], [-1.0, 1.0], [1.0, -1.0]]), torch.tensor([0, 0, 0, 0])
        >>> [round(value, 4) for value in ohem(x, y, keep=0.5).tolist()]
        [0.6931, 0.0, 2.1269, 0.0]
    """
    loss = closed_form(cross_entropy, scores, target, compiled=("cross_entropy",))
    if loss.ndim == 0:
        return loss
    hardest_first, kept = loss.detach().argsort(dim=-1, descending=True, stable=True), number_kept(keep, loss)
    if isinstance(kept, Tensor):
        return loss.masked_fill(hardest_first.argsort(dim=-1) >= kept, 0.0)
    return loss.scatter(-1, hardest_first[..., kept:], 0.0)


def number_kept(keep: KnobValue, loss: Tensor) -> int | Tensor:
    """How many of each batch of ``loss`` (..., B) are kept."""
    if isinstance(keep, Tensor):
        return (knob_tensor(keep, loss, torch.float64) * loss.shape[-1] + 0.5).floor().clamp_min(1.0)
    return max(1, math.floor(keep * loss.shape[-1] + 0.5))


class OhemLoss(Loss):
    """`ohem` with a mean over the samples that are kept; ``none`` and ``sum`` are those of `ohem`."""

    def reduce(self, per_sample: Tensor) -> Tensor:
        """``per_sample`` reduced as the module was told."""
        if self.reduction == "mean" and per_sample.numel() > 0 and per_sample.ndim > 0:
            batches = per_sample.numel() // per_sample.shape[-1]
            return per_sample.sum() / (batches * number_kept(self.knobs["keep"], per_sample))
        return super().reduce(per_sample)


FAMILY = Family(
    name="ohem",
    title="Online hard example mining",
    reads="logits",
    function=ohem,
    module=OhemLoss,
    per_sample=False,
    knobs=(
        Knob(
            name="keep",
            symbol="kept",
            default=0.5,
            low=0.0,
            high=1.0,
            open_low=True,
            grid=(0.1, 0.25, 0.5, 0.75, 1.0),
            search=(0.1, 1.0),
            baseline=1.0,
            source="OHEM keeps a fixed number of regions of interest; the fractions are ours, and 1 is cross-entropy",
        ),
    ),
    reference="Shrivastava, Gupta and Girshick, Training Region-based Object Detectors with Online Hard Example Mining, CVPR 2016",
    formula=(
        r"L_i = -\log p_{y_i} \;\mathrm{if}\; i \;\mathrm{is\ among\ the\ keep} \cdot B \;\mathrm{hardest\ of\ its\ batch,\ else}\; 0",
    ),
    when=(
        "Where most samples are easy and would drown the others, as in detection. Only the hardest share of each batch trains, so a "
        "small share of a small batch is a noisy step. Wrong labels are the hardest samples of all: not for data that has many of "
        "them."
    ),
)
