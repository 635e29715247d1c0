"""Trials on a frozen backbone: its features are computed once, kept in the cache, and a head is trained on them.

A feature file is called by a digest of all that its numbers depend on: the images as they are stored and standardised, the network and its
weights, and what computed them. So a file is never of something else, and none is ever out of date.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from margin_core.cache import CACHE_VARIABLE, cache_directory, make_once
from margin_core.data import Dataset, Prepared
from margin_core.models import Classifier

# To be raised whenever the same key stands for other numbers.
FORMAT = 1
# Images that go through the backbone together. The last bits of a feature may depend on it, and so does the key.
BATCH = 256
# The digests of images, which nobody writes into: a process that runs many trials on one dataset reads all of it once.
_OF_IMAGES = WeakTensorKeyDictionary()


def on_features(data: Prepared, model: Classifier, name: str, device: torch.device) -> tuple[Prepared, Classifier]:
    """The same data with features, (d, 1, 1) each, in the place of images, and the model's head alone, which takes them.

    Features are those of the backbone in evaluation mode. It is not part of the model that is returned.

    Args:
        data: With images.
        model: Backbone and head.
        name: The model's name.
        device: Where features are computed, if they are not kept yet.
    """
    features = frozen_features(model.backbone, data.dataset, name, device)
    dataset = replace(data.dataset, images=features[:, :, None, None], mean=(), std=())
    return replace(data, dataset=dataset), Classifier(nn.Flatten(), model.head)


def frozen_features(backbone: nn.Module, dataset: Dataset, name: str, device: torch.device) -> Tensor:
    """The features of all images of a dataset, float32 (N, d), mapped from the cache's file.

    One process computes them while others that want the same wait.

    Args:
        backbone: Maps images (N, C, H, W) to features (N, d); it is left on ``device`` and in evaluation mode.
        dataset: The images.
        name: The network's name, for the key.
        device: Where to compute.

    Raises:
        OSError: Where the cache cannot be used; in one sentence.
    """
    key = features_key(backbone, dataset, name, device)
    path = cache_directory() / "features" / f"{re.sub('[^A-Za-z0-9_.-]+', '-', name)}-{key[:24]}.npy"
    try:
        make_once(path, lambda: _write(path, _compute(backbone, dataset, device)))
        # Copy on write: torch wants memory that it may write to, and the file stays as it is.
        return torch.from_numpy(np.load(path, mmap_mode="c"))
    except ValueError as error:
        raise OSError(f"{path} is not whole ({error}); remove it, and it is made anew") from error
    except OSError as error:
        raise OSError(f"the cache cannot be used ({error}); set {CACHE_VARIABLE} to a folder with more room or rights") from error


def features_key(backbone: nn.Module, dataset: Dataset, name: str, device: torch.device) -> str:
    """A digest of all that the features depend on, 64 hexadecimal digits."""
    where = f"cpu with {torch.get_num_threads()} threads" if device.type == "cpu" else torch.cuda.get_device_name(device)
    how = (FORMAT, BATCH, name, dataset.mean, dataset.std, torch.__version__, version("timm"), version("torchvision"), where)
    if dataset.images not in _OF_IMAGES:
        _OF_IMAGES[dataset.images] = _digest(dataset.images)
    parts = [f"{key} {_digest(tensor)}" for key, tensor in sorted(backbone.state_dict().items())]
    return hashlib.sha256("\n".join([repr(how), _OF_IMAGES[dataset.images], *parts]).encode()).hexdigest()


def _digest(tensor: Tensor) -> str:
    numbers = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return f"{tensor.dtype} {tuple(tensor.shape)} {hashlib.sha256(numbers.data).hexdigest()}"


@torch.inference_mode()
def _compute(backbone: nn.Module, dataset: Dataset, device: torch.device) -> np.ndarray:
    backbone.to(device).eval()
    standardise = dataset.standardiser(device)
    batches = torch.split(dataset.images, BATCH)
    return torch.cat([backbone(standardise(batch.to(device))).float().cpu() for batch in batches]).numpy()


def _write(path: Path, features: np.ndarray) -> None:
    """Whole or not at all: beside its name, out to the disk, and then to its name."""
    part = path.with_name(f".{path.name}.part")  # the lock is ours: a file there is of a process that died
    try:
        with part.open("wb") as file:
            np.save(file, features)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
