"""Loss families: one file each, with its formula, its knobs and its reference.

A new family is its file, its name in `FAMILIES` below and its line in `functional`. What is the same for all of them - checking
knobs, reducing - is in `family`; the quantities that their formulas share are in `energies`.
"""

from __future__ import annotations

from margin_core.losses import arc_face, ce, cos_face, gds, gradient_decay, lm_softmax, norm_face, two_scale
from margin_core.losses.family import Family, Loss, Reduction

FAMILIES: dict[str, Family] = {
    module.FAMILY.name: module.FAMILY for module in (ce, gds, gradient_decay, two_scale, norm_face, cos_face, arc_face, lm_softmax)
}
"""Every family by name, the baseline first."""


def list_losses() -> list[str]:
    """The names of all families, the baseline first."""
    return list(FAMILIES)


def get_family(name: str) -> Family:
    """The family called ``name``; raises `ValueError` naming it and the known ones."""
    if name not in FAMILIES:
        raise ValueError(f"unknown loss family {name!r}; known families: {', '.join(FAMILIES)}")
    return FAMILIES[name]


def loss_info(family: str) -> Family:
    """What is declared of a family: its knobs and options, whether it reads logits or cosines, its reference.

    Example:
        >>> info = loss_info("gradient_decay")
        >>> info.reads, [(knob.name, knob.allowed, knob.grid) for knob in info.knobs][0]
        ('logits', ('beta', '> 0', (0.01, 0.1, 1.0, 2.0, 5.0)))
    """
    return get_family(family)


def build_loss(family: str, *, num_classes: int, reduction: Reduction = "mean", **knobs: float | str) -> Loss:
    """A family with its knobs set, as a module called as ``loss(scores, target)``.

    Args:
        family: One of `list_losses`.
        num_classes: K, at least 2.
        reduction: ``mean``, ``sum`` or ``none``.
        **knobs: The family's knobs and options by name; those left out have their defaults.

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
    declaration = get_family(family)
    module = declaration.module or Loss
    return module(declaration, num_classes=num_classes, reduction=reduction, values=knobs)


__all__ = ["FAMILIES", "Family", "Loss", "build_loss", "get_family", "list_losses", "loss_info"]
