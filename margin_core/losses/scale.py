"""The scale s that turns cosines into logits: one declaration for every family that has it."""

from __future__ import annotations

from margin_core.knobs import Knob

SCALE = Knob(
    name="s",
    symbol="s",
    default=20.0,
    low=0.0,
    high=float("inf"),
    open_low=True,
    grid=(10.0, 20.0, 64.0),
    search=(5.0, 100.0),
    scale="log",
    source="Largest margins, tables 1 and 3",
)
