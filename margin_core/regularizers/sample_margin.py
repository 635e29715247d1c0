"""Sample-margin regulariser: pulls every sample's cosine to its prototype above that to the nearest other prototype."""

from __future__ import annotations

from torch import Tensor

from margin_core.knobs import Knob
from margin_core.losses.energies import hardest_competitor, target_score, widen
from margin_core.papers import LARGEST_MARGINS_TABLE_1
from margin_core.regularizers.regularizer import Regularizer


def sample_margin(cosines: Tensor, target: Tensor) -> Tensor:
    """R_sm = -(c_y - max_{j != y} c_j), the negative sample margin.

    Where several competitors tie, the gradient goes to the one of the lowest index.

    Args:
        cosines: Cosines (..., K) of features and prototypes, in [-1, 1]; half precision is widened to float32.
        target: Class indices (...).

    Returns:
        The term of each sample (...), in [-2, 2].

    Example:
        >>> import torch
        >>> sample_margin(torch.tensor([[0.75, 0.25, -0.5]]), torch.tensor([0])).tolist()
        [-0.5]
    """
    cosines = widen(cosines)
    return target_score(cosines, hardest_competitor(cosines, target)) - target_score(cosines, target)


REGULARIZER = Regularizer(
    name="sample_margin",
    title="Sample-margin regulariser",
    reads="cosines",
    function=sample_margin,
    weight=Knob(
        name="weight",
        symbol="μ",
        default=0.0,
        low=0.0,
        high=float("inf"),
        grid=(0.0, 0.1, 0.25, 0.5, 1.0),
        search=(0.0, 2.0),
        baseline=0.0,
        source="Largest margins, table 1, where it is 0.5; the grid fills in around it",
    ),
    reference="Zhou et al., Learning Towards the Largest Margins, ICLR 2022, eq. (3.4)",
    formula=(r"R = \mu \left( \max_{j \neq y} c_j - c_y \right)",),
    when=(
        "With any family, for larger margins: it pulls each sample towards its prototype and away from the nearest other one, however "
        "well it is classified. Its paper trains with 0.5 of it, and finds that alone it is unstable on large data."
    ),
    reported=(
        LARGEST_MARGINS_TABLE_1.with_rows(
            ("with 0.5 of it", "99.13", "95.41°", "94.45", "96.31°", "74.96", "90.00°"),
            ("NormFace, s = 10", "99.06", "94.34°", "94.16", "94.40°", "74.23", "79.10°"),
            ("with 0.5 of it", "99.16", "95.38°", "94.23", "96.28°", "74.54", "90.10°"),
            ("NormFace, s = 20", "99.09", "89.27°", "94.09", "74.32°", "73.87", "77.47°"),
            ("with 0.5 of it", "99.19", "95.37°", "94.38", "96.17°", "74.75", "88.86°"),
            ("NormFace, s = 64", "99.00", "82.08°", "94.01", "36.50°", "73.42", "52.37°"),
            ("with 0.5 of it", "99.34", "95.29°", "94.42", "93.87°", "74.33", "76.02°"),
            ("CosFace, s = 10", "98.98", "95.93°", "94.39", "96.00°", "74.44", "83.31°"),
            ("with 0.5 of it", "99.16", "95.56°", "94.42", "96.26°", "73.76", "90.21°"),
            ("CosFace, s = 20", "99.06", "93.24°", "94.13", "91.22°", "73.26", "79.17°"),
            ("with 0.5 of it", "99.24", "95.41°", "94.27", "96.18°", "74.41", "89.02°"),
            ("CosFace, s = 64", "99.25", "89.50°", "93.53", "64.14°", "73.87", "72.56°"),
            ("with 0.5 of it", "99.27", "95.35°", "94.20", "95.48°", "74.53", "85.31°"),
            ("ArcFace, s = 10", "99.05", "94.64°", "94.50", "91.23°", "73.96", "76.91°"),
            ("with 0.5 of it", "99.14", "95.42°", "94.21", "96.27°", "74.47", "90.13°"),
        ),
    ),
)
