"""Neural collapse: how near a network's last layer is to the simplex that training tends to (Papyan, Han and Donoho, PNAS 2020).

`neural_collapse` measures features that are all there. Over batches, `ClassMoments` adds up a first pass and
`NearestCentreAgreement` a second, since its centres are known only after the first; `collapse_of_moments` reads both.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from margin_core.metrics.streaming import Percentage, Streaming, check_examples, length


class NeuralCollapse(NamedTuple):
    """The four properties; all but the last are 0 at collapse."""

    nc1: float
    """tr(S_W S_B^+) / K: the variation of features within classes, by that of class means. NaN where all class means are equal."""
    nc2_equinorm: float
    """Standard deviation by mean of the lengths of the centred class means."""
    nc2_equiangular: float
    """Mean of |cos + 1 / (K - 1)| over pairs of centred class means: their distance from a simplex's angles."""
    nc3: float
    """Squared distance between prototypes and centred class means, each scaled to Frobenius norm 1; in [0, 4]."""
    nc4: float
    """Percent of examples whose nearest class mean is the class that the last layer predicts: 100 at collapse."""


def neural_collapse(features: Tensor, target: Tensor, prototypes: Tensor, bias: Tensor | None = None) -> NeuralCollapse:
    """The four properties of neural collapse, in double precision.

    With class means mu_c, their mean mu_G, S_B = mean_c (mu_c - mu_G)(mu_c - mu_G)^T and S_W = mean_i (h_i - mu_y)(h_i - mu_y)^T
    over all examples::

        NC1   tr(S_W S_B^+) / K
        NC2   std / mean of |mu_c - mu_G|,   and   mean of |cos(mu_c - mu_G, mu_k - mu_G) + 1 / (K - 1)| over pairs
        NC3   | W / |W|_F - M / |M|_F |_F^2,   M having the rows mu_c - mu_G
        NC4   percent of examples where argmin_c |h - mu_c| = argmax_c (w_c . h + b_c)

    Every class weighs the same in the means, however many examples it has. For a cosine head hand over normalised features and
    prototypes. Papyan, Han and Donoho, Prevalence of neural collapse, PNAS 2020, figures 2 to 7.

    Args:
        features: What the last layer reads, (N, d).
        target: Integer classes, (N,); every class has to occur.
        prototypes: Rows of the last layer, (K, d) with K >= 2.
        bias: Of the last layer, (K,), where it has one; read by NC4 only.

    Returns:
        The measures. NaN where features or prototypes are not finite, or lengths vanish that they divide by.

    Raises:
        ValueError: On shapes that do not fit, or a class without an example.

    Example:
        >>> import torch
        >>> measured = neural_collapse(torch.eye(3).repeat(2, 1), torch.arange(3).repeat(2), prototypes=torch.eye(3) - 1 / 3)
        >>> [round(value, 6) for value in measured]
        [0.0, 0.0, 0.0, 0.0, 100.0]
    """
    moments = ClassMoments(len(prototypes))
    moments.update(features, target)
    read = moments.compute()
    agreement = NearestCentreAgreement(read.centres, prototypes, bias)
    agreement.update(features)
    return collapse_of_moments(read, prototypes, nc4=agreement.compute())


class Moments(NamedTuple):
    """What neural collapse reads of features: `ClassMoments.compute`."""

    counts: Tensor
    """Examples of each class, int64 (K,)."""
    centres: Tensor
    """Class means, float64 (K, d)."""
    within: Tensor
    """S_W: the mean over examples of (h - mu_y)(h - mu_y)^T, float64 (d, d)."""


class ClassMoments(Streaming[Moments]):
    """Class means and the scatter about them, over batches.

    Each batch is centred on its own class means before it is squared, and batches are combined as Chan, Golub and LeVeque do, so
    that means far from 0 cost no digits. Memory is K d + d^2 numbers.

    Args:
        num_classes: K, at least 2.
    """

    def __init__(self, num_classes: int) -> None:
        if num_classes < 2:
            raise ValueError(f"num_classes must be >= 2, got {num_classes!r}")
        super().__init__(num_classes=num_classes)
        self.num_classes = num_classes

    def update(self, features: Tensor, target: Tensor) -> None:
        """Add a batch: features (N, d), target (N,)."""
        features, target = check_examples("features", features, target, self.num_classes)
        wide = features.double()
        counts = torch.zeros(self.num_classes, dtype=torch.int64, device=wide.device).index_add_(0, target, torch.ones_like(target))
        sums = wide.new_zeros(self.num_classes, wide.shape[1]).index_add_(0, target, wide)
        means = sums / counts.clamp_min(1).unsqueeze(1)
        residuals = wide - means[target]
        self.add(counts=counts, means=means, scatter=residuals.T @ residuals, examples=length(target))

    def add(self, **sums: Tensor) -> None:
        """Combine with another part of the examples: W = W_1 + W_2 + sum_c (n_1 n_2 / (n_1 + n_2)) (mu_2 - mu_1)(mu_2 - mu_1)^T."""
        if not self.sums or not sums:
            self.sums = self.sums or sums
            return
        mine, device = self.sums, self.sums["means"].device
        other = {name: value.to(device) for name, value in sums.items()}
        if other["means"].shape != mine["means"].shape:
            raise ValueError(f"features must be (N, {mine['means'].shape[1]}) as before, got width {other['means'].shape[1]}")
        counts = mine["counts"] + other["counts"]
        share = (other["counts"].double() / counts.clamp_min(1)).unsqueeze(1)
        step = other["means"] - mine["means"]
        between = (step * share * mine["counts"].unsqueeze(1)).T @ step
        self.sums = {
            "counts": counts,
            "means": mine["means"] + share * step,
            "scatter": mine["scatter"] + other["scatter"] + between,
            "examples": mine["examples"] + other["examples"],
        }

    def compute(self) -> Moments:
        """The moments; raises `ValueError` where a class has no example."""
        examples = self.require_examples()
        counts: Tensor = self.sums["counts"]
        missing = (counts == 0).nonzero().flatten().tolist()
        if missing:
            raise ValueError(f"target must hold every class of {self.num_classes}, got no example of {missing}")
        return Moments(counts, self.sums["means"], self.sums["scatter"] / examples)


class NearestCentreAgreement(Percentage):
    """NC4 over batches: how often the nearest class mean is the class that the last layer predicts.

    Ties go to the class of smaller index; an example that is not finite is a miss.

    Args:
        centres: Class means, (K, d): `Moments.centres`.
        prototypes: Rows of the last layer, (K, d).
        bias: Of the last layer, (K,), where it has one.
    """

    def __init__(self, centres: Tensor, prototypes: Tensor, bias: Tensor | None = None) -> None:
        if prototypes.shape != centres.shape:
            raise ValueError(f"prototypes must be {tuple(centres.shape)} to go with features and classes, got {tuple(prototypes.shape)}")
        if bias is not None and bias.shape != centres.shape[:1]:
            raise ValueError(f"bias must be ({len(centres)},) to go with prototypes, got {tuple(bias.shape)}")
        super().__init__()
        self.origin = centres.detach().double().mean(dim=0)
        self.centres = centres.detach().double() - self.origin
        self.prototypes = prototypes.detach().double().to(centres.device)
        self.bias = 0.0 if bias is None else bias.detach().double().to(centres.device)

    def update(self, features: Tensor) -> None:
        """Count a batch: features (N, d)."""
        if features.ndim != 2 or features.shape[1] != len(self.origin):
            raise ValueError(f"features must be (N, {len(self.origin)}) to go with centres, got {tuple(features.shape)}")
        wide = features.detach().double()
        predicted = (wide @ self.prototypes.T + self.bias).argmax(dim=1)
        # |h - mu|^2 = |h|^2 - 2 (h . mu - |mu|^2 / 2), taken about the mean of the centres to keep digits.
        nearness = (wide - self.origin) @ self.centres.T - self.centres.square().sum(dim=1) / 2.0
        self.count((predicted == nearness.argmax(dim=1)) & wide.isfinite().all(dim=1))


def collapse_of_moments(moments: Moments, prototypes: Tensor, nc4: float = math.nan) -> NeuralCollapse:
    """`neural_collapse` of moments that were added up over batches.

    Args:
        moments: `ClassMoments.compute`.
        prototypes: Rows of the last layer, (K, d).
        nc4: `NearestCentreAgreement.compute`, where that pass was made.
    """
    if prototypes.shape != moments.centres.shape:
        raise ValueError(f"prototypes must be {tuple(moments.centres.shape)} to go with moments, got {tuple(prototypes.shape)}")
    rows = prototypes.detach().double().to(moments.centres.device)
    centred = moments.centres - moments.centres.mean(dim=0)
    lengths = torch.linalg.vector_norm(centred, dim=1)
    units = centred / lengths.unsqueeze(1)
    first, second = torch.triu_indices(len(units), len(units), offset=1, device=units.device)
    cosines = (units @ units.T)[first, second]
    return NeuralCollapse(
        nc1=_variability(moments, centred),
        nc2_equinorm=float(lengths.std(correction=0) / lengths.mean()),
        nc2_equiangular=float((cosines + 1.0 / (len(units) - 1)).abs().mean()),
        nc3=float((rows / torch.linalg.matrix_norm(rows) - centred / torch.linalg.matrix_norm(centred)).square().sum()),
        nc4=nc4,
    )


def _variability(moments: Moments, centred: Tensor) -> float:
    """tr(S_W S_B^+) / K, by the singular vectors of the centred means: S_B = V diag(s^2) V^T / K, which is never inverted.

    The means' rank is K - 1 at most. What is left of the last singular value is rounding of the means before they were centred, and
    so is cut by their size: its square in a denominator would be all that is seen.
    """
    if not bool(centred.isfinite().all() & moments.within.isfinite().all()):
        return math.nan
    _, sizes, directions = torch.linalg.svd(centred, full_matrices=False)
    noise = max(centred.shape) * torch.finfo(torch.float64).eps * torch.linalg.matrix_norm(moments.centres)
    kept = sizes[: len(centred) - 1] > noise
    if not bool(kept.any()):
        return math.nan
    axes, sizes = directions[: len(kept)][kept], sizes[: len(kept)][kept]
    return float((((axes @ moments.within) * axes).sum(dim=1) / sizes.square()).sum())
