"""Two-scale loss: samples classified with confidence eta or more are judged at a larger scale R2, and so weigh less.

The pure function takes the scales as numbers; `TwoScaleLoss` holds them as parameters, in the paper's three modes. The network's
own scale R comes from the caller, who knows the network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from margin_core.knobs import Knob, Option
from margin_core.losses.closed_form import closed_form, cross_entropy
from margin_core.losses.energies import SMALLEST_SCALE, ByConfidence, KnobValue, at_least_smallest, knob_tensor, widen
from margin_core.losses.family import Family, Loss, Reduction
from margin_core.papers import Reported


def two_scale(
    scores: Tensor,
    target: Tensor,
    *,
    eta: KnobValue = 0.01,
    ratio: KnobValue = 10.0,
    r1: KnobValue = 1.0,
    r2: KnobValue | None = None,
    log_scale: KnobValue = 0.0,
) -> Tensor:
    """Two-scale loss, the paper's eq. (13): cross-entropy of R_k X / R, with k chosen by the sample's confidence.

    k is 1 where the confidence dX = x_y - max_{j != y} x_j is below ``eta``, else 2. The confidence is that of the scores as
    they are, not divided by R, and the choice passes no gradient. R enters as its logarithm, since R, a product over layers, overflows
    float32 in networks that are in use; R_k / R is taken in float64.

    A scale below `SMALLEST_SCALE`, where a step of training may have carried it, is taken there, and its gradient is the one there.

    Args:
        scores: Logits X (..., K); half precision is widened to float32.
        target: Class indices (...).
        eta: > 0, a number or a tensor that broadcasts over (...), as all that follow.
        ratio: R2 / R1 >= 1, used where ``r2`` is not given.
        r1: R1, the scale of samples below eta and of predictions; a tensor in float64, where it may be large.
        r2: R2, the scale of samples from eta on.
        log_scale: log R, the network's scale, eq. (9). Left out, R = 1.

    Returns:
        The loss of each sample (...).

    Example:
        >>> x, y = torch.tensor([[2.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 0])
        >>> [round(v, 4) for v in two_scale(x, y, eta=1.0, ratio=10.0).tolist()]  # softplus(-10 * 2), softplus(2)
        [0.0, 2.1269]
    """
    if r2 is None:
        r2 = knob_tensor(r1, scores, torch.float64) * knob_tensor(ratio, scores, torch.float64)
    scale = ByConfidence(eta, r1, r2, log_unit=log_scale)
    return closed_form(cross_entropy, scores, target, scale=scale, compiled=("cross_entropy",))


class TwoScaleLoss(Loss):
    """`two_scale` with R1 and R2 of its own, which train with the network or stay, as ``mode`` says.

    Call it as ``loss(scores, target, log_scale=log_R)`` with the network's log R. Before training, `initialise_scales` sets R1 to the
    network's initial scale and R2 to ``ratio`` times that; until then R1 is 1. Hand its parameters to the optimiser with the
    network's, without weight decay: shrinking a scale is not shrinking a weight.

    - ``adaptive``, eq. (14): the parameters `R1` and `R2` are trained.
    - ``fixed``, eq. (16): they keep their first values.
    - ``separation``, eq. (18): the parameters are `R1` and the separation `Rs` = R2 / R1, which is trained. R1 is trained beside it, as in
      section 3.5, or with ``first_scale="fixed"`` keeps its first value, as in eq. (17).

    At ``ratio`` = 1 there is one scale: R1 serves all samples and the other gets no gradient. That is the paper's one-scale baseline.

    The parameters are the scales themselves, in float64, and a step moves them by as much as any weight: hardly, where R is in the
    hundreds. With ``parametrisation="log"`` they are the scales' logarithms, `log_R1`, `log_R2` and `log_Rs`, which is another algorithm.
    A step that carries a scale below `SMALLEST_SCALE` does not end the training: the loss is taken at that smallest scale, and the
    gradient is the one there, so the scale can grow again.
    """

    R1: nn.Parameter
    R2: nn.Parameter
    Rs: nn.Parameter
    log_R1: nn.Parameter
    log_R2: nn.Parameter
    log_Rs: nn.Parameter

    def __init__(self, family: Family, *, num_classes: int, reduction: Reduction, values: Mapping[str, object]) -> None:
        super().__init__(family, num_classes=num_classes, reduction=reduction, values=values)
        mode = self.options["mode"]
        prefix = "log_" if self.options["parametrisation"] == "log" else ""
        self._first, self._second = f"{prefix}R1", f"{prefix}{'Rs' if mode == 'separation' else 'R2'}"
        first_trained = mode == "adaptive" or (mode == "separation" and self.options["first_scale"] == "trained")
        for name, trained in ((self._first, first_trained), (self._second, mode != "fixed")):
            self.register_parameter(name, nn.Parameter(torch.zeros((), dtype=torch.float64), requires_grad=trained))
        self.initialise_scales(0.0)

    def initialise_scales(self, log_scale: KnobValue) -> None:
        """Set R1 = R, the scale of the network before training, and R2 = ratio R1.

        Args:
            log_scale: log R of the initial network, one number.

        Raises:
            ValueError: If R or ratio R is no positive finite number in float64.
        """
        first = self.get_parameter(self._first)
        number = knob_tensor(log_scale, first).detach().item()
        limit = math.log(torch.finfo(torch.float64).max) - math.log(self.knobs["ratio"])
        if not math.log(SMALLEST_SCALE) <= number < limit:
            lowest = math.log(SMALLEST_SCALE)
            raise ValueError(f"two_scale: log_scale must be in [{lowest:.4g}, {limit:.4g}), got {number!r}")
        with torch.no_grad():
            first.fill_(number if self._in_logs else math.exp(number))
        self._separate()

    def scales(self) -> tuple[float, float]:
        """R1 and R2 as they are now."""
        r1, r2 = (max(r.item(), SMALLEST_SCALE) for r in self._scales())
        return r1, r2

    def set_knobs(self, **values: float) -> None:
        """Change knobs during training; a ``ratio`` that differs from the present one sets R2 = ratio R1 anew."""
        before = self.knobs["ratio"]
        super().set_knobs(**values)
        if self.knobs["ratio"] != before:
            self._separate()

    def arguments(self) -> dict[str, object]:
        """What `two_scale` is called with besides scores, target and the network's scale."""
        r1, r2 = self._scales()
        return {"eta": self.knobs["eta"], "r1": r1, "r2": r2}

    def prediction_logits(self, scores: Tensor, **inputs: KnobValue) -> Tensor:
        """Logits at the scale R1, which predictions always use: a new sample's confidence in its true class is not known."""
        r1, _ = self._scales()
        factor = at_least_smallest(r1) / knob_tensor(inputs.get("log_scale", 0.0), r1).exp()
        scores = widen(scores)
        return scores * factor.to(scores.dtype)

    @property
    def _in_logs(self) -> bool:
        return self.options["parametrisation"] == "log"

    def _separate(self) -> None:
        """Set R2 = ratio R1."""
        first, second, ratio = self.get_parameter(self._first), self.get_parameter(self._second), self.knobs["ratio"]
        with torch.no_grad():
            if self.options["mode"] == "separation":
                second.fill_(math.log(ratio) if self._in_logs else ratio)
            else:
                second.copy_(first + math.log(ratio) if self._in_logs else first * ratio)

    def _scales(self) -> tuple[Tensor, Tensor]:
        """R1 and R2; of ``separation`` their factors are at least `SMALLEST_SCALE`, as a product of two that are below 0 is above."""
        first: Tensor = getattr(self, self._first)
        second: Tensor = getattr(self, self._second)
        if self._in_logs:
            first, second = first.exp(), second.exp()
        if self.knobs["ratio"] == 1.0:
            return first, first
        if self.options["mode"] == "separation":
            second = at_least_smallest(first) * at_least_smallest(second)
        return first, second


FAMILY = Family(
    name="two_scale",
    title="Two-scale loss",
    reads="logits",
    function=two_scale,
    module=TwoScaleLoss,
    inputs=("log_scale",),
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
            choices=("adaptive", "fixed", "separation"),
            default="adaptive",
            source="Two-scale loss, eq. (14): R1 and R2 are trained; eq. (16): neither; eqs. (17), (18): R1 and the separation R2 / R1",
        ),
        Option(
            name="first_scale",
            choices=("trained", "fixed"),
            default="trained",
            source="Two-scale loss, of mode separation: R1 is trained as in section 3.5, or fixed as in eq. (17)",
        ),
        Option(
            name="parametrisation",
            choices=("linear", "log"),
            default="linear",
            source="Two-scale loss trains the scales themselves; their logarithms are ours",
        ),
        Option(
            name="network_scale",
            choices=("all_weights", "homogeneous", "last_layer"),
            default="all_weights",
            source="Which weights make up the R that a trial gives the loss: two-scale loss, eq. (9), literally, or see `log_scale`",
        ),
    ),
    reference=(
        "Berlyand, Creese and Jabin, A novel multi-scale loss function for classification problems in machine learning, 2021, eqs. (9)-(18)"
    ),
    formula=(
        r"L = -\log \frac{e^{R_k x_y / R}}{\sum_j e^{R_k x_j / R}}",
        r"k = 1 \;\mathrm{if}\; x_y - \max_{j \neq y} x_j < \eta \;\mathrm{else}\; 2",
    ),
    when=(
        "To spend the training on samples that are wrong or nearly so: one that leads by η or more is taken at the larger scale R2 "
        "and soon stops pulling. The paper gains most in the training accuracy of small networks, after a slower start; as η grows, "
        "the plain loss comes back. R, the product of the norms of all weights, says little of a network with biases or norm layers."
    ),
    reported=(
        Reported(
            what="Accuracy with R1 and R2 trained less that with one scale, in percentage points, mean over seeds",
            source="Berlyand, Creese and Jabin, A novel multi-scale loss function, sections 3.2 and 3.3",
            columns=("data and network", "η", "training", "test", "seeds"),
            rows=(
                ("MNIST, two fully connected layers, 1000 steps", "0.01", "+7.1", "+6.7", "30"),
                ("the same", "10", "within 0.1", "—", "30"),
                ("CIFAR-10, LeNet-5, about 50 epochs", "0.01", "+12", "+1.5", "10"),
                ("CIFAR-100, LeNet-5, 128 epochs", "0.01", "+13.4", "+0.1; top 10: +1.5", "10"),
                ("CIFAR-100, wide ResNet with ASAM, 200 epochs", "several", "—", "about -0.5; within 0.1 of right: up to +10", "5"),
                ("CIFAR-10, wide ResNet with ASAM, 200 epochs", "several", "—", "less than 0.2 lower", "5"),
            ),
        ),
    ),
)
