"""Two-scale loss: samples classified with confidence eta or more are judged at a larger scale R2, and so weigh less.

The pure function takes the scales as logarithms; `TwoScaleLoss` holds them as parameters that train with the network. The
network's own scale R comes from the caller, who knows the network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from margin_core.knobs import Knob, Option
from margin_core.losses.energies import KnobValue, cross_entropy_of_gap, energies, knob_tensor, target_gap, widen
from margin_core.losses.family import Family, Loss, Reduction

SMALLEST_SCALE = 1e-9
"""Where a step has carried R1 or R2 below this, the loss is taken at this scale: eq. (13) has no meaning at 0 and beyond."""


def two_scale(
    scores: Tensor,
    target: Tensor,
    *,
    eta: KnobValue = 0.01,
    ratio: KnobValue = 10.0,
    log_r1: KnobValue = 0.0,
    log_r2: KnobValue | None = None,
    log_scale: KnobValue = 0.0,
) -> Tensor:
    """Two-scale loss, the paper's eq. (13): cross-entropy of R_k X / R, with k chosen by the sample's confidence.

    k is 1 where the confidence dX = x_y - max_{j != y} x_j is below ``eta``, else 2. The confidence is that of the scores as
    they are, not divided by R, and the choice passes no gradient. The scales enter as exp(log R_k - log R), since R, a product
    over layers, overflows float32 in networks that are in use.

    Args:
        scores: Logits X (..., K); half precision is widened to float32.
        target: Class indices (...).
        eta: > 0, a number or a tensor that broadcasts over (...), as all that follow.
        ratio: R2 / R1 >= 1, used where ``log_r2`` is not given.
        log_r1: log R1, the scale of samples below eta and of predictions.
        log_r2: log R2, the scale of samples from eta on.
        log_scale: log R, the network's scale, eq. (9). Left out, R = 1.

    Returns:
        The loss of each sample (...).

    Example:
        >>> x, y = torch.tensor([[2.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 0])
        >>> [round(v, 4) for v in two_scale(x, y, eta=1.0, ratio=10.0).tolist()]  # softplus(-10 * 2), softplus(2)
        [0.0, 2.1269]
    """
    scores = widen(scores)
    # log R_k - log R may be a small difference of large numbers, so it is taken in float64.
    small, network = (knob_tensor(x, scores, torch.float64) for x in (log_r1, log_scale))
    large = small + knob_tensor(ratio, small).log() if log_r2 is None else knob_tensor(log_r2, small)
    energy = energies(scores.detach(), target)
    confident = energy.target - energy.hardest >= knob_tensor(eta, scores)
    factor = (torch.where(confident, large, small) - network).exp().to(scores.dtype)
    return cross_entropy_of_gap(target_gap(scores, target, factor))


class TwoScaleLoss(Loss):
    """`two_scale` with R1 and R2 as parameters, trained beside the network's as in the paper's eq. (14).

    Call it as ``loss(scores, target, log_scale)`` with the network's log R. Before training, `initialise_scales` sets R1 to the
    network's initial scale and R2 to ``ratio`` times that; until then R1 is 1. Hand its parameters to the optimiser with the
    network's, without weight decay: shrinking a scale is not shrinking a weight.

    At ``ratio`` = 1 there is one scale: R1 serves all samples and R2 gets no gradient. That is the paper's one-scale baseline.

    R1 and R2 themselves are the parameters, in float64, and not their logarithms: training a logarithm is another algorithm. A
    step that carries one below `SMALLEST_SCALE` does not end the training: the loss is taken at that smallest scale, and the
    gradient is the one there, so the scale can grow again.
    """

    def __init__(self, family: Family, *, num_classes: int, reduction: Reduction, values: Mapping[str, object]) -> None:
        super().__init__(family, num_classes=num_classes, reduction=reduction, values=values)
        self.R1 = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
        self.R2 = nn.Parameter(torch.tensor(self.knobs["ratio"], dtype=torch.float64))

    def initialise_scales(self, log_scale: KnobValue) -> None:
        """Set R1 = R, the scale of the network before training, and R2 = ratio R1.

        Args:
            log_scale: log R of the initial network, one number.

        Raises:
            ValueError: If R or ratio R is no positive finite number in float64.
        """
        number = knob_tensor(log_scale, self.R1).detach().item()
        limit = math.log(torch.finfo(torch.float64).max) - math.log(self.knobs["ratio"])
        if not math.log(SMALLEST_SCALE) <= number < limit:
            lowest = math.log(SMALLEST_SCALE)
            raise ValueError(f"two_scale: log_scale must be in [{lowest:.4g}, {limit:.4g}), got {number!r}")
        with torch.no_grad():
            self.R1.fill_(math.exp(number))
            self.R2.copy_(self.R1 * self.knobs["ratio"])

    def set_knobs(self, **values: float) -> None:
        """Change knobs during training; a ``ratio`` that differs from the present one sets R2 = ratio R1 anew."""
        before = self.knobs["ratio"]
        super().set_knobs(**values)
        if self.knobs["ratio"] != before:
            with torch.no_grad():
                self.R2.copy_(self.R1 * self.knobs["ratio"])

    def forward(self, scores: Tensor, target: Tensor, log_scale: KnobValue = 0.0) -> Tensor:
        """The loss of ``scores`` (..., K) for integer ``target`` (...), given the network's log R."""
        log_r1, log_r2 = self._log_scales()
        eta = self.knobs["eta"]
        return self.reduce(two_scale(scores, target, eta=eta, log_r1=log_r1, log_r2=log_r2, log_scale=log_scale))

    def prediction_logits(self, scores: Tensor, log_scale: KnobValue = 0.0) -> Tensor:
        """Logits at the scale R1, which predictions always use: a new sample's confidence in its true class is not known."""
        log_r1, _ = self._log_scales()
        factor = (log_r1 - knob_tensor(log_scale, log_r1)).exp()
        scores = widen(scores)
        return scores * factor.to(scores.dtype)

    def _log_scales(self) -> tuple[Tensor, Tensor]:
        """Log R1 and log R2, each taken at `SMALLEST_SCALE` at least, with the gradient of the scale where it is taken."""
        r1, r2 = (r.detach().clamp_min(SMALLEST_SCALE) + (r - r.detach()) for r in (self.R1, self.R2))
        log_r1 = r1.log()
        return log_r1, log_r1 if self.knobs["ratio"] == 1.0 else r2.log()


FAMILY = Family(
    name="two_scale",
    title="Two-scale loss",
    reads="logits",
    function=two_scale,
    module=TwoScaleLoss,
    knobs=(
        Knob(
            name="eta",
            symbol="η",
            default=0.01,
            low=0.0,
            high=float("inf"),
            open_low=True,
            grid=(0.01, 0.1, 1.0, 10.0, 100.0),
            search=(0.01, 100.0),
            scale="log",
            source="Two-scale loss, eq. (13); section 3 tries eta from 0.01 to 100",
        ),
        Knob(
            name="ratio",
            symbol="R₂/R₁",
            default=10.0,
            low=1.0,
            high=float("inf"),
            grid=(10.0,),
            search=(1.0, 100.0),
            scale="log",
            baseline=1.0,
            source="Two-scale loss, section 3.2, where R2 = 10 R1 at the start; 1 is its one-scale baseline",
        ),
    ),
    options=(
        Option(
            name="mode",
            choices=("adaptive",),
            default="adaptive",
            source="Two-scale loss, eq. (14): R1 and R2 are both trained",
        ),
    ),
    reference=(
        "Berlyand, Creese and Jabin, A novel multi-scale loss function for classification problems in machine learning, 2021, eqs. (9)-(15)"
    ),
)
