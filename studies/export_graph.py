"""A trained network as a graph that runs without this package: an ONNX file, or a program of `torch.export`.

What was written is run on validation images, or training images where none validates, beside the network itself; a file whose scores are
others is not left behind.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from margin_core.training import Trial
from studies.preflight import CallError

Format = Literal["onnx", "torch"]
FORMATS: tuple[Format, ...] = get_args(Format)
FILES: dict[Format, str] = {"onnx": "model.onnx", "torch": "model.pt2"}
IMAGES = 16
CLOSE = 1e-4
"""How far scores may be apart, as a share of the largest."""


@dataclass(frozen=True)
class Graph:
    """What was written.

    Attributes:
        file: The file's name.
        reads: What goes in: standardised ``images``, or the ``features`` of a frozen backbone.
        shape: The shape of one of them.
        examples: On how many of them the graph was run beside the network.
        furthest: How far scores were apart at most, as a share of the largest.
    """

    file: str
    reads: str
    shape: tuple[int, ...]
    examples: int
    furthest: float


def check_format(name: Format) -> None:
    """Raise `CallError` where what writes the format is not installed."""
    lacking = [package for package in ("onnx", "onnxscript", "onnxruntime") if find_spec(package) is None] if name == "onnx" else []
    if lacking:
        raise CallError(f"ONNX needs {', '.join(lacking)}: pip install 'margin-studies[onnx]'")


def write_graph(trial: Trial, directory: Path, name: Format) -> Graph:
    """Write a trained trial's network in a format, for any number of images at once.

    Args:
        trial: The trial, trained.
        directory: Where the file goes.
        name: The format.

    Raises:
        CallError: The network cannot be written in this format, or what was written gives other scores.
    """
    path, data = directory / FILES[name], trial.data
    examples = data.dataset.standardiser()((data.val_x if len(data.val_indices) else data.train_x)[:IMAGES])
    network = _Scores(trial.model).cpu().eval()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what the libraries themselves will do otherwise one day
            written = _onnx(network, examples, path) if name == "onnx" else _program(network, examples, path)
        with torch.inference_mode():
            batches = (examples, examples[:1])
            furthest = max(float((written(batch) - network(batch)).abs().max() / network(batch).abs().max()) for batch in batches)
    except Exception as error:
        path.unlink(missing_ok=True)
        first = str(error).strip().splitlines()[:1]
        raise CallError(f"{trial.cell.model} cannot be written as {path.name}: {''.join(first) or type(error).__name__}") from error
    if not furthest <= CLOSE:
        path.unlink(missing_ok=True)
        raise CallError(f"{path.name} gives scores that are {furthest:.1e} of the largest apart from the network's; it was removed")
    reads = "features" if trial.cell.backbone == "frozen" else "images"
    return Graph(path.name, reads, tuple(examples.shape[1:]), len(examples), furthest)


class _Scores(nn.Module):
    """The network without its features."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.model(images).scores
        return scores


def _program(network: nn.Module, examples: Tensor, path: Path) -> Callable[[Tensor], Tensor]:
    sizes = {"images": {0: torch.export.Dim("batch")}}
    torch.export.save(torch.export.export(network, (examples,), dynamic_shapes=sizes), path)
    return torch.export.load(path).module()


def _onnx(network: nn.Module, examples: Tensor, path: Path) -> Callable[[Tensor], Tensor]:
    import onnxruntime

    sizes = {"images": {0: torch.export.Dim("batch")}}
    torch.onnx.export(
        network,
        (examples,),
        path,
        input_names=["images"],
        output_names=["scores"],
        dynamic_shapes=sizes,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(["scores"], {"images": images.numpy()})[0])
