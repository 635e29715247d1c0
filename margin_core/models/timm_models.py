"""Any model of timm as a backbone: ``timm:resnet18``. timm is imported only when such a model is asked for."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from torch import nn

PREFIX = "timm:"
PATTERN = "timm:<name>"


def check_timm_model(name: str) -> None:
    """Raise `ValueError` where timm has no model of this name, with the names that come nearest.

    Args:
        name: The name with its prefix.
    """
    import timm

    wanted = name.removeprefix(PREFIX)
    if not timm.is_model(wanted):
        nearest = get_close_matches(wanted, timm.list_models(), n=3)
        hint = f"; did you mean {' or '.join(nearest)}?" if nearest else ""
        raise ValueError(f"model {name!r}: timm {timm.__version__} has no model {wanted!r}{hint}")


def build_timm_backbone(name: str, in_shape: tuple[int, int, int]) -> nn.Module:
    """A timm model without its classifier, which gives pooled features; random weights.

    Args:
        name: The name with its prefix.
        in_shape: The shape of one image, (C, H, W).

    Raises:
        ValueError: On an unknown name.
    """
    check_timm_model(name)
    import timm

    wanted = name.removeprefix(PREFIX)
    channels, height, width = in_shape
    # Transformers with a fixed grid of patches are built for one image size; convolutional networks take any and know no such argument.
    pretrained = timm.get_pretrained_cfg(wanted)
    size: dict[str, Any] = {"img_size": (height, width)} if pretrained is not None and pretrained.fixed_input_size else {}
    return timm.create_model(wanted, pretrained=False, num_classes=0, in_chans=channels, **size)
