"""Prototypes and features on the unit sphere: the simplex, what is drawn around it, and what is drawn from everywhere."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

Configuration = tuple[Tensor, Tensor, Tensor]


def simplex(classes: int, width: int | None = None) -> Tensor:
    """The simplex equiangular tight frame: K unit vectors (K, width) whose cosines are all -1 / (K - 1)."""
    corners = normalize(torch.eye(classes, dtype=torch.float64) - 1.0 / classes, dim=-1)
    return torch.nn.functional.pad(corners, (0, (width or classes) - classes))


def disturbed(around: Tensor, size: float, generator: torch.Generator, *leading: int) -> Tensor:
    """Unit vectors (*leading, *around.shape) at about ``size`` radians from ``around``; wholly random where that is large."""
    noise = torch.randn(*leading, *around.shape, generator=generator, dtype=torch.float64)
    return normalize(around + size * noise, dim=-1)


@st.composite
def configurations(draw: st.DrawFn) -> Configuration:
    """Unit prototypes (K, d), unit features (N, d) and targets (N,), every class as often; from close to the simplex to random."""
    classes, each = draw(st.integers(2, 12)), draw(st.integers(1, 3))
    width = draw(st.integers(1, 14))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    size = draw(st.sampled_from([1e-9, 1e-4, 0.1, 1.0, 1e6]))
    # In fewer dimensions than it needs, the simplex is cut down to those there are.
    around = simplex(classes, max(width, classes))[:, :width]
    prototypes, target = disturbed(around, size, generator), torch.arange(classes).repeat(each)
    return prototypes, disturbed(prototypes[target], size, generator), target
