"""Pictures decoded once: bytes in a file of the cache, which every process of a machine maps, so that they share its pages.

What is kept belongs to the pictures' signatures and to how they are cut; it may be removed at any time, and is then made anew. Which
pictures a dataset has, and of which classes, is left to the datasets.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from margin_core.cache import CACHE_VARIABLE, cache_directory, make_once

if TYPE_CHECKING:
    from PIL import Image

# To be raised whenever the same key stands for other bytes.
FORMAT = 1
# Pictures between two looks at the clock, and seconds between two lines of progress.
CHUNK, PROGRESS = 256, 5.0
MOST_THREADS = 8

logger = logging.getLogger(__name__)


class PictureError(OSError):
    """Pictures that cannot be read, or cannot be kept; the message is one sentence."""


class Picture(Protocol):
    """A picture that is not yet read. As a string it says where it is."""

    def signature(self) -> str:
        """What changes whenever the picture does."""
        ...

    def open(self) -> Image.Image:
        """The picture in RGB; raises `OSError`, `ValueError` or `SyntaxError`, as Pillow does, where it cannot be read."""
        ...


Fit = Callable[["Image.Image", int, int], "Image.Image"]
"""A function that makes a picture of a height and width in pixels out of one of any size; its name is part of the key."""


@dataclass(frozen=True)
class ImageFile:
    """A picture in a file of its own."""

    path: str

    def __str__(self) -> str:
        return self.path

    def signature(self) -> str:
        """Path, size and time of the last change."""
        found = os.stat(self.path)
        return f"{os.path.abspath(self.path)}|{found.st_size}|{found.st_mtime_ns}"

    def open(self) -> Image.Image:
        """As `Picture.open`."""
        from PIL import Image

        with Image.open(self.path) as image:
            return image.convert("RGB")


@dataclass(frozen=True)
class Decoded:
    """Pictures as bytes.

    Args:
        images: uint8, (N, 3, H, W), mapped from the cache's file. What is written into them stays in the process.
        moments: Sum and sum of squares of the pixels of each picture by channel, int64, (N, 3, 2).
    """

    images: Tensor
    moments: Tensor

    def mean_and_std(self, places: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Of the pixels of some pictures on the scale [0, 1], by channel, to four digits; the std of a channel of one value is 1."""
        pixels = len(places) * self.images[0, 0].numel()
        first, second = (self.moments[places].sum(dim=0).double() / pixels).unbind(dim=1)
        mean, std = first / 255.0, (second - first * first).clamp(min=0.0).sqrt() / 255.0
        return tuple(round(value, 4) for value in mean.tolist()), tuple(round(value, 4) or 1.0 for value in std.tolist())


def decode(dataset: str, pictures: Sequence[Picture], *, height: int, width: int, fit: Fit) -> Decoded:
    """Pictures as bytes, from the cache, or decoded and kept there. One process decodes while others that want the same wait.

    Args:
        dataset: The dataset's name, for messages and for the name of what is kept.
        pictures: At least one; in this order they are in what is returned.
        height: Of each, in pixels.
        width: Of each, in pixels.
        fit: How a picture of another size comes to this one.

    Raises:
        PictureError: Where pictures are missing or cannot be read, or the cache cannot be written; in one sentence.
    """
    import PIL

    try:
        signatures = [picture.signature() for picture in pictures]
    except OSError as error:
        raise PictureError(f"{dataset}: {error.filename} is listed but cannot be found ({error.strerror})") from None
    how = f"{height}x{width} {fit.__module__}.{fit.__qualname__} Pillow {PIL.__version__} format {FORMAT}"
    digest = hashlib.sha256("\n".join([how, *signatures]).encode()).hexdigest()[:16]
    entry = cache_directory() / f"{re.sub('[^A-Za-z0-9_.-]+', '-', dataset)}-{height}x{width}-{digest}"
    try:
        make_once(entry, lambda: _make(entry, dataset, pictures, (height, width), fit))
        # Copy on write: torch wants memory that it may write to, and the file stays as it is.
        images, moments = (torch.from_numpy(np.load(entry / name, mmap_mode="c")) for name in ("images.npy", "moments.npy"))
    except ValueError as error:
        raise PictureError(f"{dataset}: {entry} is not whole ({error}); remove it, and it is made anew") from None
    except PictureError:
        raise
    except OSError as error:
        raise PictureError(
            f"{dataset}: the cache cannot be used ({error}); set {CACHE_VARIABLE} to a folder with more room or rights"
        ) from None
    return Decoded(images, moments)


def _make(entry: Path, dataset: str, pictures: Sequence[Picture], size: tuple[int, int], fit: Fit) -> None:
    """Decode into a folder beside the entry, which takes its name only when it is whole."""
    part = entry.with_name(f".{entry.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # of a process that died; the lock is ours
    part.mkdir()
    try:
        shape = (len(pictures), 3, *size)
        file = part / "images.npy"
        images = np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=shape)
        if hasattr(os, "posix_fallocate"):  # a full disk is told here, and not by a signal that kills the process
            with file.open("r+b") as whole:
                os.posix_fallocate(whole.fileno(), 0, file.stat().st_size)
        moments = np.zeros((*shape[:2], 2), dtype=np.int64)
        _fill(images, moments, dataset, pictures, fit)
        images.flush()
        np.save(part / "moments.npy", moments)
        about = {"dataset": dataset, "pictures": len(pictures), "first": str(pictures[0]), "fit": fit.__qualname__}
        (part / "about.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        part.rename(entry)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _fill(images: np.ndarray, moments: np.ndarray, dataset: str, pictures: Sequence[Picture], fit: Fit) -> None:
    """Decode every picture into its place, by several threads: Pillow lets others run while it decodes."""
    height, width = images.shape[2:]

    def read(place: int) -> str | None:
        try:
            pixels = np.asarray(fit(pictures[place].open(), height, width), dtype=np.uint8).transpose(2, 0, 1)
        except (OSError, ValueError, SyntaxError) as error:
            return f"{pictures[place]} ({error})"
        images[place] = pixels
        whole = pixels.reshape(3, -1).astype(np.int64)
        moments[place] = np.stack([whole.sum(axis=1), (whole * whole).sum(axis=1)], axis=1)
        return None

    faults: list[str] = []
    told = started = time.monotonic()
    with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as threads:
        for start in range(0, len(pictures), CHUNK):
            faults += filter(None, threads.map(read, range(start, min(start + CHUNK, len(pictures)))))
            if time.monotonic() - told > PROGRESS and start + CHUNK < len(pictures):
                told = time.monotonic()
                logger.info("%s: %d of %d images decoded", dataset, start + CHUNK, len(pictures))
    if faults:
        raise PictureError(f"{dataset}: {len(faults)} of {len(pictures)} images cannot be read, first {faults[0]}")
    if told > started:
        logger.info("%s: %d images decoded, kept in %s", dataset, len(pictures), cache_directory())
