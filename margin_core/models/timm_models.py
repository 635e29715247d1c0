"""Any model of timm as a backbone: ``timm:resnet18``. timm is imported only when such a model is asked for."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from torch import nn

from margin_core.models.source import ModelSource, Shape

PREFIX = "timm:"


def check(name: str, in_shape: Shape | None) -> None:
    """Raise `ValueError` where timm has no model of this name, with the names that come nearest.

    Args:
        name: The name with its prefix.
        in_shape: Not looked at: timm tells what images a model takes by taking them.
    """
    import timm

    wanted = name.removeprefix(PREFIX)
    if not timm.is_model(wanted):
        nearest = get_close_matches(wanted, timm.list_models(), n=3)
        hint = f"; did you mean {' or '.join(nearest)}?" if nearest else ""
        raise ValueError(f"model {name!r}: timm {timm.__version__} has no model {wanted!r}{hint}")


def build(name: str, in_shape: Shape) -> nn.Module:
    """A timm model without its classifier, which gives pooled features; random weights.

    Args:
        name: The name with its prefix.
        in_shape: The shape of one image, (C, H, W).
    """
    import timm

    wanted = name.removeprefix(PREFIX)
    channels, height, width = in_shape
    # Transformers with a fixed grid of patches are built for one image size; convolutional networks take any and know no such argument.
    pretrained = timm.get_pretrained_cfg(wanted)
    size: dict[str, Any] = {"img_size": (height, width)} if pretrained is not None and pretrained.fixed_input_size else {}
    return timm.create_model(wanted, pretrained=False, num_classes=0, in_chans=channels, **size)


MODEL = ModelSource(
    name="timm",
    title="Any model of timm",
    reference="Wightman, PyTorch Image Models, https://github.com/huggingface/pytorch-image-models",
    build=build,
    arguments=":<name>",
    check=check,
)
