"""What a dataset is: its declaration (`DatasetSource`), its tensors (`Dataset`) and how a study asks for it (`DatasetConfig`).

One dataset is one file beside this one, which declares a `DatasetSource`; `margin_core.data` lists them. Splitting is left
to `splits`, what a study's dials do to files of their own, what datasets in files share to `files`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, TypeGuard, get_args

import torch
from torch import Tensor

from margin_core.data.class_sizes import Imbalance
from margin_core.data.manifold_points import Manifold
from margin_core.data.pretext import TURNS, turn
from margin_core.data.tasks import Task, TaskName

Noise = Literal["symmetric", "nearest"]
NOISES: tuple[Noise, ...] = get_args(Noise)
Choice = Literal["first", "nearest", "farthest"]
CHOICES: tuple[Choice, ...] = get_args(Choice)
Merge = Literal["superclasses", "groups"]
MERGES: tuple[Merge, ...] = get_args(Merge)
Pretext = Literal["rotation"]
PRETEXTS: tuple[Pretext, ...] = get_args(Pretext)
VALIDATION = 0.2
"""The share that validates where nothing else is asked for."""
Official = Literal["official"]
OFFICIAL: Official = "official"
"""What is asked for in the place of a share where the official validation split validates."""
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

    def keep(self, classes: Sequence[int]) -> Superclasses:
        """Those of some of the classes, in that order, and of their superclasses alone."""
        kept = self.of_class[list(classes)].tolist()
        left = sorted(set(kept))
        return Superclasses(of_class=torch.tensor([left.index(number) for number in kept]), names=tuple(self.names[n] for n in left))


@dataclass(frozen=True)
class Dataset:
    """All examples of a dataset, in memory or mapped from a file. Shared within a process: do not write into its tensors.

    Where the source has bytes, bytes are kept, a quarter of the memory, and `standardiser` makes of them what a network sees.

    Args:
        name: The dataset's name.
        images: Bytes as in the source (uint8), or standardised float32, (N, C, H, W).
        labels: int64 classes in [0, num_classes), of each example, (N,). A test image of a dataset with a task may be of none of them: -1.
        class_names: One name per class.
        test_indices: int64 places of the official test split, or None where there is none.
        val_indices: int64 places of the official validation split, none of which tests, or None where there is none.
        mean: Of each channel on the scale [0, 1], C of them; of bytes only.
        std: Standard deviation of each channel on the scale [0, 1]; of bytes only.
        superclasses: The superclass of each class, or None where there are none.
        groups: Coarser still, the group of each class, or None where there are none.
        task: What embeddings are measured by on test images, beside classification, or None.
        pretext: None where an example is an image, or ``rotation`` where each image is four examples, see `pretext.rotation_task`.

    Raises:
        ValueError: Where bytes have no mean and std of each channel, or other images have them, a task is on images that do not test, or
            an example of the official validation split tests.
    """

    name: str
    images: Tensor
    labels: Tensor
    class_names: tuple[str, ...]
    test_indices: Tensor | None = None
    val_indices: Tensor | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    superclasses: Superclasses | None = None
    groups: Superclasses | None = None
    task: Task | None = None
    pretext: Pretext | None = None

    def __post_init__(self) -> None:
        wanted = self.images.shape[1] if self.images.dtype == torch.uint8 else 0
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != wanted:
                raise ValueError(f"{self.name}: {name} must hold {wanted} numbers for images of {self.images.dtype}, got {values!r}")
        tests = torch.zeros(0, dtype=torch.int64) if self.test_indices is None else self.test_indices
        if self.task is not None and not bool(torch.isin(self.task.images, tests).all()):
            raise ValueError(f"{self.name}: test_indices must hold every image of the task {self.task.name}")
        if self.val_indices is not None and bool(torch.isin(self.val_indices, tests).any()):
            raise ValueError(f"{self.name}: val_indices must hold no example that is among test_indices")

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.class_names)

    @property
    def in_shape(self) -> tuple[int, int, int]:
        """The shape of one image: (C, H, W)."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def images_of(self, examples: Tensor) -> Tensor:
        """Places in ``images`` of what some examples show, (n,)."""
        return examples if self.pretext is None else examples // TURNS

    def shown(self, images: Tensor, labels: Tensor) -> Tensor:
        """What examples of ``labels`` (n,) show of their images (n, C, H, W): with a pretext turned as the labels say, else as they are."""
        return images if self.pretext is None else turn(images, labels)

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
    """A dataset, or a kind of datasets, declared beside the code that reads it.

    Args:
        name: What a study file calls it; of a kind of datasets, what stands before the ``:``.
        title: Its name in prose.
        num_classes: K, or None where only its files tell.
        in_shape: The shape of one image, (C, H, W).
        examples: The number of examples, the official test split included, or None where only its files tell.
        reference: Where it comes from.
        read: Reads it from a data root (None where it needs none).
        check: Raises `FileNotFoundError` in one sentence where ``read`` would not find its files; what it returns is not read.
        superclasses: The number of superclasses, or 0 where its classes have none.
        groups: The number of groups, or 0 where its classes have none.
        task: ``retrieval`` or ``verification`` where `Dataset.task` is one.
        official_validation: Whether `Dataset.val_indices` are some, or None where only its files tell.
        decodes: Whether ``read`` may decode pictures into the cache, which takes long: a study has it done before its trials start.
        size: The size of photos that was asked for, in pixels of the shorter side, or None.
        resize: Makes the same dataset at another size, or None where its images have one size.
        arguments: What stands in a study file after ``name``, for people, ``:<path>`` say; of a kind of datasets only.
        named: Makes the dataset of what stands after the ``:``; of a kind of datasets only.
        download: Puts its files below a data root, or None where people must. No study ever calls it.
    """

    name: str
    title: str
    num_classes: int | None
    in_shape: tuple[int, int, int]
    examples: int | None
    reference: str
    read: Callable[[Path | None], Dataset]
    check: Callable[[Path | None], object] = lambda data_root: None
    superclasses: int = 0
    groups: int = 0
    task: TaskName = "classification"
    official_validation: bool | None = False
    decodes: bool = False
    size: int | None = None
    resize: Callable[[int], DatasetSource] | None = None
    arguments: str = ""
    named: Callable[[str], DatasetSource] | None = None
    download: Callable[[Path], object] | None = None

    @property
    def written(self) -> str:
        """How a study file writes it; what stands in angle brackets is the user's to fill in."""
        return self.name + self.arguments


@dataclass(frozen=True)
class DatasetConfig:
    """A dataset as a study asks for it: which one, and the dials that are turned on it.

    Args:
        name: One of `list_datasets()`, what stands in angle brackets filled in.
        label_noise: Share of the training labels that are made wrong, in [0, 1).
        noise: ``symmetric`` (any other class) or ``nearest`` (the class whose training centroid is nearest).
        label: The name in reports; by default one that says what was asked for.
        imbalance: How unequal in size the training classes are made, or None.
        images_per_class: How many training examples each class keeps (the largest one, with an imbalance), or None for all.
        classes: How many classes are kept, or None for all.
        choose: Which ones: the ``first``, or those whose mean images are ``nearest`` to or ``farthest`` from each other.
        clutter: Share of every picture that patches of training pictures cover: 0, or from 1 to 15 sixteenths.
        deform: How strongly every picture is deformed, in [0, 1]; see `deform`.
        merge: What the classes are merged into, their ``superclasses`` or their ``groups``, before any other dial acts; or None.
        manifold: Of the dataset ``manifold``: what its pictures are drawn by, or None for the default.
        size: Pixels of the shorter side that photos are resized to, or None for the dataset's own default.
        pretext: ``rotation`` where each image is shown in four turns and the turn is its label, or None for the dataset's own labels.
        validation: Share of the examples outside an official test split that validate, in [0, 1); at 0 all of them may train. Or
            ``official``: in every replicate the official validation split validates, and none of its examples trains.

    Example:
        >>> DatasetConfig("digits", label_noise=0.2, noise="nearest").key
        'digits-nearest0.2'
        >>> DatasetConfig("digits", imbalance=Imbalance("long_tailed", 10)).key
        'digits-lt10'
    """

    name: str
    label_noise: float = 0.0
    noise: Noise = "symmetric"
    label: str | None = None
    imbalance: Imbalance | None = None
    images_per_class: int | None = None
    classes: int | None = None
    choose: Choice = "first"
    clutter: float = 0.0
    deform: float = 0.0
    merge: Merge | None = None
    manifold: Manifold | None = None
    size: int | None = None
    pretext: Pretext | None = None
    validation: float | Official = VALIDATION

    def __post_init__(self) -> None:
        if not _is_number(self.label_noise) or not 0.0 <= self.label_noise < 1.0:
            raise ValueError(f"{self.name}: label_noise must be in [0, 1), got {self.label_noise!r}")
        if not _is_number(self.clutter) or (self.clutter != 0.0 and not 1 / 16 <= self.clutter <= 15 / 16):
            raise ValueError(f"{self.name}: clutter must be 0 or in [0.0625, 0.9375], got {self.clutter!r}")
        if not _is_number(self.deform) or not 0.0 <= self.deform <= 1.0:
            raise ValueError(f"{self.name}: deform must be in [0, 1], got {self.deform!r}")
        if self.validation != OFFICIAL and (not _is_number(self.validation) or not 0.0 <= self.validation < 1.0):
            raise ValueError(f"{self.name}: validation must be in [0, 1) or {OFFICIAL}, got {self.validation!r}")
        if self.noise not in NOISES:
            raise ValueError(f"{self.name}: noise must be one of {', '.join(NOISES)}, got {self.noise!r}")
        if self.label is not None and (self.label in ("", ".", "..") or "/" in str(self.label)):  # it names files
            raise ValueError(f"{self.name}: label must be a name, not empty and no path, got {self.label!r}")
        if not isinstance(self.imbalance, Imbalance | None):
            raise ValueError(f"{self.name}: imbalance must be a mapping with kind and ratio, got {self.imbalance!r}")
        if not isinstance(self.manifold, Manifold | None):
            raise ValueError(f"{self.name}: manifold must be a mapping with kind, dimension and pixel_noise, got {self.manifold!r}")
        if self.manifold is not None and self.name != "manifold":
            raise ValueError(f"{self.name}: manifold must be left out, for only the dataset manifold is drawn by it")
        for name, number, least in (("images_per_class", self.images_per_class, 1), ("classes", self.classes, 2), ("size", self.size, 1)):
            if number is not None and (type(number) is not int or number < least):
                raise ValueError(f"{self.name}: {name} must be a whole number >= {least}, got {number!r}")
        if self.merge is not None and self.merge not in MERGES:
            raise ValueError(f"{self.name}: merge must be one of {', '.join(MERGES)}, got {self.merge!r}")
        if self.choose not in CHOICES:
            raise ValueError(f"{self.name}: choose must be one of {', '.join(CHOICES)}, got {self.choose!r}")
        if self.pretext is not None:
            self._check_pretext()

    def _check_pretext(self) -> None:
        if self.pretext not in PRETEXTS:
            raise ValueError(f"{self.name}: pretext must be one of {', '.join(PRETEXTS)}, got {self.pretext!r}")
        for dial in ("label_noise", "imbalance", "images_per_class", "classes", "merge"):
            if value := getattr(self, dial):
                raise ValueError(
                    f"{self.name}: {dial} must be left out with a pretext, for which the dataset's classes do not count, got {value!r}"
                )

    @property
    def sizes_classes(self) -> bool:
        """Whether a dial on the sizes of the training classes is turned."""
        return self.imbalance is not None or self.images_per_class is not None

    @property
    def key(self) -> str:
        """What tells this dataset from the others of a study: the label, or the name and each dial that is turned."""
        if self.label is not None:
            return self.label
        # It names files too, where a path or an owner's name would be folders.
        parts = [re.sub("[^A-Za-z0-9_.-]+", "-", self.name) if ":" in self.name else self.name]
        if self.size is not None:
            parts.append(f"{self.size}px")
        if self.manifold is not None:
            parts.append(self.manifold.key)
        if self.validation != VALIDATION:
            parts.append(f"val-{OFFICIAL}" if self.validation == OFFICIAL else f"val{self.validation:g}")
        if self.merge is not None:
            parts.append(self.merge)
        if self.classes is not None:
            parts.append(f"{self.classes}{self.choose}")
        if self.images_per_class is not None:
            parts.append(f"{self.images_per_class}each")
        if self.imbalance is not None:
            parts.append(self.imbalance.key)
        if self.label_noise > 0.0:
            parts.append(f"{'noise' if self.noise == 'symmetric' else self.noise}{self.label_noise:g}")
        parts += [f"{name}{level:g}" for name, level in (("clutter", self.clutter), ("deform", self.deform)) if level > 0.0]
        if self.pretext is not None:
            parts.append(self.pretext)
        return "-".join(parts)

    def to_dict(self) -> dict[str, object]:
        """The same as plain JSON data.

        A dial that came after label noise is written only where it is turned, so that no cell changes its name as dials are added.
        """
        dials = {
            "imbalance": None if self.imbalance is None else self.imbalance.to_dict(),
            "images_per_class": self.images_per_class,
            "classes": self.classes,
            "choose": None if self.choose == "first" else self.choose,
            "clutter": float(self.clutter) or None,
            "deform": float(self.deform) or None,
            "merge": self.merge,
            "manifold": None if self.manifold is None else self.manifold.to_dict(),
            "size": self.size,
            "pretext": self.pretext,
            "validation": None if self.validation == VALIDATION else OFFICIAL if self.validation == OFFICIAL else float(self.validation),
        }
        turned = {name: value for name, value in dials.items() if value is not None}
        return {"name": self.name, "label_noise": float(self.label_noise), "noise": self.noise, "label": self.label, **turned}

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> DatasetConfig:
        """The config that `to_dict` wrote; raises `ValueError` on an unknown or missing key."""
        known = [field.name for field in fields(cls)]
        for key in data:
            if key not in known:
                raise ValueError(f"dataset: unknown key {key!r}; its keys are: {', '.join(known)}")
        if "name" not in data:
            raise ValueError("dataset: name is missing")
        if isinstance(imbalance := data.get("imbalance"), Mapping):
            data = {**data, "imbalance": Imbalance.from_dict(imbalance)}
        if isinstance(manifold := data.get("manifold"), Mapping):
            data = {**data, "manifold": Manifold.from_dict(manifold)}
        return cls(**data)  # type: ignore[arg-type]  # checked by __post_init__


def no_official_validation(name: str) -> ValueError:
    """What is raised where the official validation split is asked for of a dataset that has none."""
    return ValueError(f"{name}: validation must be in [0, 1), for there is no official validation split, got {OFFICIAL!r}")


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def resolve_data_root(given: str | Path | None = None) -> Path | None:
    """The folder that datasets are read from: ``given``, else the environment's ``MARGIN_DATA``, else None."""
    root = given if given is not None else os.environ.get(DATA_ROOT_VARIABLE)
    return Path(root).expanduser() if root else None
