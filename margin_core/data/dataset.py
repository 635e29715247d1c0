"""What a dataset is: its declaration (`DatasetSource`), its tensors (`Dataset`) and how a study asks for it (`DatasetConfig`).

One dataset is one file beside this one, which declares a `DatasetSource`; `margin_core.data` lists them. Splitting and label noise
are left to `splits` and `label_noise`, what datasets in files share to `files`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

Noise = Literal["symmetric", "nearest"]
NOISES: tuple[Noise, ...] = get_args(Noise)
DATA_ROOT_VARIABLE = "MARGIN_DATA"


@dataclass(frozen=True)
class Superclasses:
    """Which classes belong together.

    Args:
        of_class: The superclass of each class, int64 in [0, number of superclasses), (K,).
        names: One name per superclass.
    """

    of_class: Tensor
    names: tuple[str, ...]


@dataclass(frozen=True)
class Dataset:
    """All examples of a dataset, in memory. Shared within a process: do not write into its tensors.

    Where the source has bytes, bytes are kept, a quarter of the memory, and `standardiser` makes of them what a network sees.

    Args:
        name: The dataset's name.
        images: Bytes as in the source (uint8), or standardised float32, (N, C, H, W).
        labels: int64 classes in [0, num_classes), (N,).
        class_names: One name per class.
        test_indices: int64 places of the official test split, or None where there is none.
        mean: Of each channel on the scale [0, 1], C of them; of bytes only.
        std: Standard deviation of each channel on the scale [0, 1]; of bytes only.
        superclasses: The superclass of each class, or None where there are none.
        groups: Coarser still, the group of each class, or None where there are none.

    Raises:
        ValueError: Where bytes have no mean and std of each channel, or other images have them.
    """

    name: str
    images: Tensor
    labels: Tensor
    class_names: tuple[str, ...]
    test_indices: Tensor | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    superclasses: Superclasses | None = None
    groups: Superclasses | None = None

    def __post_init__(self) -> None:
        wanted = self.images.shape[1] if self.images.dtype == torch.uint8 else 0
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != wanted:
                raise ValueError(f"{self.name}: {name} must hold {wanted} numbers for images of {self.images.dtype}, got {values!r}")

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.class_names)

    @property
    def in_shape(self) -> tuple[int, int, int]:
        """The shape of one image: (C, H, W)."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def standardiser(self, device: torch.device | str = "cpu") -> Callable[[Tensor], Tensor]:
        """A function from stored images that lie on ``device`` to those that a network sees: float32, and standardised by channel.

        Example:
            >>> image = torch.tensor([0, 255], dtype=torch.uint8).reshape(1, 1, 1, 2)
            >>> dataset = Dataset("two pixels", image, torch.zeros(1, dtype=torch.int64), ("only",), mean=(0.5,), std=(0.25,))
            >>> dataset.standardiser()(image).flatten().tolist()
            [-2.0, 2.0]
        """
        if self.images.dtype != torch.uint8:
            return lambda images: images
        # Tensors on the device: CUDA multiplies by the reciprocal of a number, which rounds otherwise than a division.
        white = torch.tensor(255.0, device=device)
        mean = torch.tensor(self.mean, device=device).reshape(-1, 1, 1)
        std = torch.tensor(self.std, device=device).reshape(-1, 1, 1)
        return lambda images: images.to(torch.float32).div_(white).sub_(mean).div_(std)


@dataclass(frozen=True)
class DatasetSource:
    """A dataset, declared beside the code that reads it.

    Args:
        name: What a study file calls it.
        title: Its name in prose.
        num_classes: K.
        in_shape: The shape of one image, (C, H, W).
        examples: The number of examples, the official test split included.
        reference: Where it comes from.
        read: Reads it from a data root (None where it needs none).
        check: Raises `FileNotFoundError` in one sentence where ``read`` would not find its files; what it returns is not read.
    """

    name: str
    title: str
    num_classes: int
    in_shape: tuple[int, int, int]
    examples: int
    reference: str
    read: Callable[[Path | None], Dataset]
    check: Callable[[Path | None], object] = lambda data_root: None


@dataclass(frozen=True)
class DatasetConfig:
    """A dataset as a study asks for it: which one, and how noisy its training labels are made.

    Args:
        name: One of `list_datasets()`.
        label_noise: Share of the training labels that are made wrong, in [0, 1).
        noise: ``symmetric`` (any other class) or ``nearest`` (the class whose training centroid is nearest).
        label: The name in reports; by default one that says what was asked for.

    Example:
        >>> DatasetConfig("digits", label_noise=0.2, noise="nearest").key
        'digits-nearest0.2'
    """

    name: str
    label_noise: float = 0.0
    noise: Noise = "symmetric"
    label: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.label_noise, bool) or not isinstance(self.label_noise, (int, float)) or not 0.0 <= self.label_noise < 1.0:
            raise ValueError(f"{self.name}: label_noise must be in [0, 1), got {self.label_noise!r}")
        if self.noise not in NOISES:
            raise ValueError(f"{self.name}: noise must be one of {', '.join(NOISES)}, got {self.noise!r}")
        if self.label == "":
            raise ValueError(f"{self.name}: label must not be empty")

    @property
    def key(self) -> str:
        """What tells this dataset from the others of a study: the label, or name and noise."""
        if self.label is not None:
            return self.label
        kind = "noise" if self.noise == "symmetric" else self.noise
        return self.name if self.label_noise == 0.0 else f"{self.name}-{kind}{self.label_noise:g}"

    def to_dict(self) -> dict[str, str | float | None]:
        """The same as plain JSON data."""
        return {**asdict(self), "label_noise": float(self.label_noise)}

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> DatasetConfig:
        """The config that `to_dict` wrote; raises `ValueError` on an unknown or missing key."""
        known = [field.name for field in fields(cls)]
        for key in data:
            if key not in known:
                raise ValueError(f"dataset: unknown key {key!r}; its keys are: {', '.join(known)}")
        if "name" not in data:
            raise ValueError("dataset: name is missing")
        return cls(**data)  # type: ignore[arg-type]  # checked by __post_init__


def resolve_data_root(given: str | Path | None = None) -> Path | None:
    """The folder that datasets are read from: ``given``, else the environment's ``MARGIN_DATA``, else None."""
    root = given if given is not None else os.environ.get(DATA_ROOT_VARIABLE)
    return Path(root).expanduser() if root else None
