"""Where a backbone's weights come from: drawn at random, published with the model, or kept in a file below the data root.

A file is called ``<name>-<digest>.safetensors`` after its own SHA-256, in the manner of torch's hub, so that a cell that names it names
what is in it; a file that holds something else is refused. How a kind of model takes weights is its own file's.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from pathlib import Path

from torch import Tensor, nn

RANDOM, PRETRAINED = "random", "pretrained"
FOLDER = "weights"
FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*-([0-9a-f]{8,64})\.safetensors")


def check_weights(weights: str) -> None:
    """Raise `ValueError` unless ``weights`` is ``random``, ``pretrained`` or the name of a file; whether it is there is not looked at."""
    if weights not in (RANDOM, PRETRAINED) and not FILE.fullmatch(weights):
        raise ValueError(
            f"weights must be random, pretrained or the name of a file, <name>-<8 to 64 digits of its SHA-256>.safetensors, got {weights!r}"
        )


def find_weights(weights: str, data_root: Path | None) -> Path:
    """The file of these weights, ``<data root>/weights/<name>-<digest>.safetensors``.

    Raises:
        FileNotFoundError: Where there is no data root or no such file.
        ValueError: Where the file has another digest than its name says.
    """
    if data_root is None:
        raise FileNotFoundError(f"weights {weights}: no data root was given (--data-root or MARGIN_DATA), in whose folder {FOLDER} it lies")
    path = data_root / FOLDER / weights
    if not path.is_file():
        raise FileNotFoundError(f"weights {weights}: not found in {path.parent}")
    named = FILE.fullmatch(weights)
    status = path.stat()
    digest = _digest(path, status.st_mtime_ns, status.st_size)
    if named is None or not digest.startswith(named[1]):
        raise ValueError(f"weights {weights}: the file's SHA-256 begins with {digest[:12]}, not as its name says")
    return path


def save_weights(backbone: nn.Module, folder: Path, name: str) -> Path:
    """Write the weights of a backbone to ``<folder>/<name>-<12 digits of their digest>.safetensors``, which is returned."""
    from safetensors.torch import save

    contents = save({key: tensor.detach().cpu().contiguous() for key, tensor in backbone.state_dict().items()})
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{hashlib.sha256(contents).hexdigest()[:12]}.safetensors"
    path.write_bytes(contents)
    return path


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file; raises `ValueError` where it is none."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"weights {path.name}: not a file of safetensors ({error})") from error


def load_exactly(backbone: nn.Module, path: Path) -> None:
    """Put the tensors of a file, which must be those of the backbone in name and shape, into it; raises `ValueError`."""
    tensors, wanted = read_weights(path), backbone.state_dict()
    if missing := sorted(wanted.keys() ^ tensors.keys()):
        raise ValueError(f"weights {path.name}: not those of this network, which differs in {missing[0]!r}")
    for key, tensor in wanted.items():
        if tensor.shape != tensors[key].shape:
            shapes = f"{tuple(tensors[key].shape)} in the file and {tuple(tensor.shape)} in the network"
            raise ValueError(f"weights {path.name}: not those of this network: {key!r} is {shapes}")
    backbone.load_state_dict(tensors)


@lru_cache(maxsize=16)
def _digest(path: Path, changed: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
