"""Regularisers: terms that go with any loss family, one file each, weighed by a knob of their own.

A new one is its file and its name in `REGULARIZERS` below. Adding them up with the loss is the training's matter.
"""

from __future__ import annotations

from margin_core.regularizers import sample_margin, zero_centroid
from margin_core.regularizers.regularizer import Regularizer

REGULARIZERS: dict[str, Regularizer] = {module.REGULARIZER.name: module.REGULARIZER for module in (sample_margin, zero_centroid)}
"""Every regulariser by name."""


def list_regularizers() -> list[str]:
    """The names of all regularisers."""
    return list(REGULARIZERS)


def get_regularizer(name: str) -> Regularizer:
    """The regulariser called ``name``; raises `ValueError` naming it and the known ones."""
    if name not in REGULARIZERS:
        raise ValueError(f"unknown regulariser {name!r}; known regularisers: {', '.join(REGULARIZERS)}")
    return REGULARIZERS[name]


__all__ = ["REGULARIZERS", "Regularizer", "get_regularizer", "list_regularizers"]
