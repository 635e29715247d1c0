"""Loss families: one file each, with its formula, its knobs and its reference.

A new family here is its file, its name in one of the lists below and its line in `functional`; one of another package is found by its entry
point in the group ``margin_core.families``. What is the same for all of them - checking knobs, reducing - is in `family`; the
quantities that their formulas share are in `energies`, and what turns formulas into gradients is in `closed_form`.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from margin_core.entry_points import Declarations
from margin_core.losses import (
    arc_face,
    ce,
    cos_face,
    focal,
    gce,
    gds,
    gm_softmax,
    gradient_decay,
    l_softmax,
    ldam,
    lm_softmax,
    margin_softmax,
    norm_face,
    ohem,
    sphere_face,
    truncated_ce,
    two_scale,
)
from margin_core.losses.family import Family, Loss, Reduction

LOGIT_FAMILIES = (ce, gds, gradient_decay, two_scale, focal, gce, truncated_ce, ohem)
COSINE_FAMILIES = (norm_face, cos_face, arc_face, sphere_face, margin_softmax, l_softmax, gm_softmax, lm_softmax, ldam)
OURS: tuple[Family, ...] = tuple(module.FAMILY for module in (*LOGIT_FAMILIES, *COSINE_FAMILIES))
FAMILIES = Declarations("margin_core.families", "loss family", Family, OURS)
"""Every family, the baseline first, and those of other packages after ours."""


def list_losses() -> list[str]:
    """The names of all families, the baseline first."""
    return FAMILIES.names()


def get_family(name: str) -> Family:
    """The family called ``name``; raises `ValueError` naming it and the known ones, or telling why another package's cannot be had."""
    family = FAMILIES.find(name)
    if family is None:
        raise ValueError(f"unknown loss family {name!r}; known families: {', '.join(list_losses())}")
    return family


def loss_info(family: str) -> Family:
    """What is declared of a family: its knobs and options, whether it reads logits or cosines, its reference.

    Example:
        >>> info = loss_info("gradient_decay")
        >>> info.reads, [(knob.name, knob.allowed, knob.grid) for knob in info.knobs][0]
        ('logits', ('beta', '> 0', (0.01, 0.1, 1.0, 2.0, 5.0)))
    """
    return get_family(family)


def build_loss(family: str, *, num_classes: int, reduction: Reduction = "mean", **settings: float | str | Sequence[int] | Tensor) -> Loss:
    """A family with its knobs set, as a module called as ``loss(scores, target)``, and for some with more (`Family.inputs`).

    Args:
        family: One of `list_losses`.
        num_classes: K, at least 2.
        reduction: ``mean``, ``sum`` or ``none``.
        **settings: The family's knobs and options by name; those left out have their defaults. Besides, what the family ``needs``:
            ``ldam`` the ``class_counts``, the number of training samples of each class.

    Raises:
        ValueError: For an unknown family, an unknown knob or a value out of bounds; it names the family, the knob, the value and
            what is allowed.

    Example:
        >>> build_loss("gds", num_classes=10, lam=1.5)
        Loss(gds(lam=1.5, tau=1.0, hardest=attached), num_classes=10, reduction=mean)
        >>> build_loss("gds", num_classes=10, lam=-1)
        Traceback (most recent call last):
            ...
        ValueError: gds: lam must be >= 0, got -1
    """
    return get_family(family).build(num_classes=num_classes, reduction=reduction, **settings)


__all__ = ["FAMILIES", "Family", "Loss", "build_loss", "get_family", "list_losses", "loss_info"]
