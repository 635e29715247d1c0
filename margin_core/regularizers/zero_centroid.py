"""Zero-centroid regulariser: draws the mean of the prototypes to the origin, against the pull of large classes."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn.functional import normalize

from margin_core.knobs import Knob, Option
from margin_core.losses.energies import widen
from margin_core.papers import LARGEST_MARGINS_TABLE_2
from margin_core.regularizers.regularizer import Regularizer


def zero_centroid(prototypes: Tensor, *, form: Literal["mean", "sum"] = "mean") -> Tensor:
    """R_W = |(1 / K) sum_j w_j|^2, the squared norm of the mean prototype.

    The paper's prototypes are unit vectors, and the term of K unit vectors is at most 1. Its public code takes the sum of the
    normalised prototypes, which is K^2 times as much: a weight of 5 in the code is one of 5 K^2 in the paper. A study has the
    paper's, of prototypes at unit length, also with a linear head: there too it is about where they point, and one weight is the
    same in every family.

    Args:
        prototypes: w (..., K, d), taken as they are by ``mean``; half precision is widened to float32.
        form: ``mean``, or ``sum``: |sum_j w_j / |w_j||^2, as the public code has it.

    Returns:
        The term (...): one number for one set of prototypes.

    Raises:
        ValueError: If ``prototypes`` has fewer than two axes, or ``form`` is neither.

    Example:
        >>> import torch
        >>> zero_centroid(torch.tensor([[1.0, 0.0], [0.0, 1.0]])).item()
        0.5
    """
    if prototypes.ndim < 2:
        raise ValueError(f"prototypes must have the shape (..., K, d), got {tuple(prototypes.shape)}")
    FORM.check(form, "zero_centroid")
    prototypes = widen(prototypes)
    centroid = prototypes.mean(dim=-2) if form == "mean" else normalize(prototypes, dim=-1).sum(dim=-2)
    return centroid.square().sum(dim=-1)


FORM = Option(
    name="form",
    choices=("mean", "sum"),
    default="mean",
    source="Largest margins: mean in the paper; sum of normalised prototypes in its public code",
)


REGULARIZER = Regularizer(
    name="zero_centroid",
    title="Zero-centroid regulariser",
    reads="prototypes",
    function=zero_centroid,
    weight=Knob(
        name="weight",
        symbol="λ_W",
        default=0.0,
        low=0.0,
        high=float("inf"),
        grid=(0.0, 50.0, 500.0, 5000.0, 50000.0),
        search=(1.0, 100000.0),
        scale="log",
        baseline=0.0,
        source="Largest margins, which names no value; the 5 of its public code is 5 K²: 500 for 10 classes, 50000 for 100",
    ),
    reference="Zhou et al., Learning Towards the Largest Margins, ICLR 2022, zero-centroid regularisation (theorem 8)",
    formula=(r"R = \lambda_W \left\Vert \frac{1}{K} \sum_j w_j \right\Vert^2",),
    when=(
        "With a cosine head and classes of very unequal size, where the prototypes of the rare ones move together. Balanced data "
        "hardly needs it. The paper names no weight, and that of its public code, which takes the sum and not the mean, is 5 K² here: "
        "search over orders of magnitude."
    ),
    reported=(
        LARGEST_MARGINS_TABLE_2.with_rows(
            ("NormFace", "72.37", "62.72°", "89.19", "82.60°", "63.69", "51.00°", "86.37", "77.82°"),
            ("with it", "72.07", "94.95°", "89.30", "94.50°", "64.07", "93.06°", "86.49", "96.28°"),
            ("CosFace", "69.28", "58.77°", "87.02", "81.61°", "53.64", "19.78°", "84.86", "75.96°"),
            ("with it", "69.52", "91.90°", "87.55", "95.46°", "62.49", "95.86°", "85.59", "96.12°"),
            ("ArcFace", "72.20", "65.86°", "89.00", "85.23°", "62.48", "54.29°", "86.32", "80.51°"),
            ("with it", "72.23", "92.30°", "89.22", "96.23°", "64.38", "93.51°", "86.65", "96.23°"),
            ("LDAM", "72.86", "73.30°", "88.92", "88.19°", "63.27", "61.42°", "87.04", "85.21°"),
            ("with it", "72.86", "91.75°", "89.51", "96.26°", "64.99", "96.04°", "86.74", "96.26°"),
            ("LM-Softmax", "65.32", "4.420°", "88.69", "68.91°", "50.47", "0.452°", "86.08", "52.20°"),
            ("with it", "73.21", "92.57°", "89.12", "95.73°", "65.91", "93.84°", "87.07", "96.05°"),
        ),
    ),
)
