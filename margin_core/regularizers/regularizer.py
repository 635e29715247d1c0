"""What a regulariser is (`Regularizer`): a term that goes with any family, and the knob that weighs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from margin_core.knobs import Knob
from margin_core.papers import Reported

Reads = Literal["cosines", "prototypes"]


@dataclass(frozen=True)
class Regularizer:
    """A regulariser, declared beside its formula.

    Args:
        name: Its name; a study's knob is ``<name>.weight``.
        title: Its name in prose.
        reads: ``cosines``: called as ``function(cosines, target)``, with the cosines (..., K) of features and prototypes, and gives
            one value per sample. ``prototypes``: called as ``function(prototypes)``, with the prototypes (..., K, d) at unit length
            whatever the head, and gives one value: a length that a cosine head's scores do not show is nothing to lower a term by.
        function: The pure function.
        weight: The knob that multiplies it; 0 is the family alone.
        reference: Paper and equation.
        formula: The term in TeX, weight included, its equations one by one.
        when: When to use it, what it does to training and what to beware of, in a few sentences.
        reported: What papers report of it.
    """

    name: str
    title: str
    reads: Reads
    function: Callable[..., Tensor]
    weight: Knob
    reference: str
    formula: tuple[str, ...] = ()
    when: str = ""
    reported: tuple[Reported, ...] = ()
