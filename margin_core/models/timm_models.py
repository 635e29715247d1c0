"""Any model of timm as a backbone: ``timm:resnet18``. timm is imported only when such a model is asked for."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any

from torch import nn

from margin_core.models.source import ModelSource, Shape
from margin_core.models.weights import read_weights

PREFIX = "timm:"
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")
_PATIENCE = 5.0  # seconds


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
    architecture, _, tag = wanted.partition(".")
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{architecture}.*")] if tag else []
    if tag and tag not in tags:
        raise ValueError(f"model {name!r}: timm {timm.__version__} has no weights {tag!r} of {architecture}; known: {', '.join(tags)}")


def build(name: str, in_shape: Shape) -> nn.Module:
    """A timm model without its classifier, which gives pooled features; random weights.

    Args:
        name: The name with its prefix.
        in_shape: The shape of one image, (C, H, W).
    """
    return _create(name, in_shape)


def check_pretrained(name: str) -> None:
    """Raise `ValueError` where timm knows of no published weights of this model."""
    import timm

    if not timm.is_model_pretrained(name.removeprefix(PREFIX)):
        raise ValueError(
            f"model {name!r}: timm {timm.__version__} has no pretrained weights of it; weights must be random or a file's name"
        )


def find_pretrained(name: str) -> None:
    """Raise `FileNotFoundError` where the published weights are neither in the cache of the Hugging Face hub nor offered by it now.

    Nothing is downloaded. Weights that timm has from elsewhere are not asked for.
    """
    import timm
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

    published = timm.get_pretrained_cfg(name.removeprefix(PREFIX))
    repository, _, revision = (published.hf_hub_id or "").partition("@") if published is not None else ("", "", "")
    if not repository or any(isinstance(try_to_load_from_cache(repository, file, revision=revision or None), str) for file in _HUB_FILES):
        return
    try:
        get_hf_file_metadata(hf_hub_url(repository, _HUB_FILES[0], revision=revision or None), timeout=_PATIENCE)
    except Exception as error:  # whatever a library raises of a net or a server
        raise FileNotFoundError(f"model {name}: its pretrained weights can be neither downloaded nor found here: {error}") from error


def build_pretrained(name: str, in_shape: Shape, file: Path | None) -> nn.Module:
    """The same with the weights that timm names, or with those of a file, fitted to the images as timm does it.

    The input layer is summed or repeated over the channels, and embeddings of position are resampled.

    Args:
        name: The name with its prefix, and after a dot which of several published weights are meant: ``timm:resnet18.a1_in1k``.
        in_shape: The shape of one image, (C, H, W).
        file: Of timm's own names of tensors, with or without a classifier; None for the published weights.

    Raises:
        FileNotFoundError: Where the published weights can neither be downloaded nor are in the cache of the Hugging Face hub.
        ValueError: Where a file's tensors are not those of the model.
    """
    if file is None:
        try:
            return _create(name, in_shape, pretrained=True)
        except OSError as error:
            reason = str(error).partition("\n")[0]
            raise FileNotFoundError(f"model {name}: its pretrained weights can be neither downloaded nor found here: {reason}") from error
    tensors, channels = read_weights(file), in_shape[0]
    fresh = _create(name, in_shape)
    if missing := sorted(fresh.state_dict().keys() - tensors.keys()):
        raise ValueError(f"weights {file.name}: not those of {name}, for they lack {missing[0]!r}")
    if all(tensor.shape == tensors[key].shape for key, tensor in fresh.state_dict().items()):
        fresh.load_state_dict({key: tensors[key] for key in fresh.state_dict()})
        return fresh
    source = {"file": str(file), "custom_load": False}
    try:
        return _create(name, in_shape, pretrained=True, pretrained_cfg_overlay=source)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"weights {file.name}: not those of {name} for {channels} channels: {reason}") from error


def _create(name: str, in_shape: Shape, **options: Any) -> nn.Module:
    import timm

    wanted = name.removeprefix(PREFIX)
    channels, height, width = in_shape
    # Transformers with a fixed grid of patches are built for one image size; convolutional networks take any and know no such argument.
    published = timm.get_pretrained_cfg(wanted)
    if published is not None and published.fixed_input_size:
        options["img_size"] = (height, width)
    return timm.create_model(wanted, **{"pretrained": False, **options}, num_classes=0, in_chans=channels)


MODEL = ModelSource(
    name="timm",
    title="Any model of timm",
    reference="Wightman, PyTorch Image Models, https://github.com/huggingface/pytorch-image-models",
    build=build,
    arguments=":<name>",
    check=check,
    check_pretrained=check_pretrained,
    find_pretrained=find_pretrained,
    build_pretrained=build_pretrained,
)
