"""Shards of WebDataset: ``webdataset:<path>``, a folder of tar files, whose images are read where they lie, without unpacking.

In a shard an image and its class are neighbours of one name: ``0001.jpg`` and ``0001.cls``, in which the number of the class stands.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from margin_core.data.dataset import DatasetSource
from margin_core.data.decoded import Picture, PictureError
from margin_core.data.photos import IMAGE_ENDINGS, Photos, below, declare, declare_kind

if TYPE_CHECKING:
    from PIL import Image

TITLE, REFERENCE = "Shards of WebDataset", "https://github.com/webdataset/webdataset"
HOW = (
    "a folder below the data root of *.tar files with images and their numbers of classes (*.cls), whose paths from there on "
    "start with train, val or test if there are such parts, and perhaps classnames.txt"
)


@dataclass(frozen=True)
class TarMember:
    """A picture in a tar file."""

    shard: Path
    name: str
    changed: int
    offset: int
    size: int

    def __str__(self) -> str:
        return f"{self.name} in {self.shard}"

    def signature(self) -> str:
        """The shard, the time of its last change, and the picture's place in it."""
        return f"{self.shard.absolute()}|{self.changed}|{self.name}|{self.offset}|{self.size}"

    def open(self) -> Image.Image:
        """As `Picture.open`."""
        from PIL import Image

        with self.shard.open("rb") as file:
            file.seek(self.offset)
            with Image.open(BytesIO(file.read(self.size))) as image:
                return image.convert("RGB")


def named(path: str) -> DatasetSource:
    """The dataset in the shards of a folder."""
    name = f"webdataset:{path}"

    def find(data_root: Path | None) -> Path:
        folder = below(name, path, data_root)
        if not any(folder.rglob("*.tar")):
            raise FileNotFoundError(f"{name}: no *.tar was found in {folder}; it is to be {HOW}")
        return folder

    def listed(folder: Path) -> Photos:
        try:
            return photos(folder)
        except (tarfile.TarError, ValueError) as error:
            raise PictureError(f"{name}: {error}") from None

    return declare(
        name=name, title=TITLE, num_classes=None, examples=None, reference=REFERENCE, find=find, listed=listed, official_validation=None
    )


def photos(folder: Path) -> Photos:
    """All images in the order of the shards; a path that starts with ``val`` or ``test`` tells the official split that a shard is of."""
    parts: dict[bool, list[tuple[Picture, int]]] = {False: [], True: []}
    val: list[int] = []
    for shard in sorted(folder.rglob("*.tar")):
        path = shard.relative_to(folder).as_posix()
        part = parts[path.startswith("test")]
        known = len(part)
        part += samples(shard)
        if path.startswith("val"):
            val += range(known, len(part))
    listing = folder / "classnames.txt"
    highest = max((label for part in parts.values() for _, label in part), default=-1)
    names = listing.read_text(encoding="utf-8").splitlines() if listing.is_file() else [str(label) for label in range(highest + 1)]
    if highest >= len(names):
        raise ValueError(f"{listing} must name every class up to {highest}, the highest in the shards, got {len(names)} names")
    return Photos(parts[False], parts[True], names, val=val)


def samples(shard: Path) -> Iterator[tuple[Picture, int]]:
    """The images of a shard and their classes; raises `ValueError` where an image has no class or a class is no whole number >= 0."""
    changed = shard.stat().st_mtime_ns
    pictures: dict[str, TarMember] = {}
    labels: dict[str, int] = {}
    try:
        with tarfile.open(shard, "r:") as members:
            for member in filter(tarfile.TarInfo.isfile, members):
                # Of ``a/b.seg.png`` the key is ``a/b``, and what follows tells what it is.
                directory, slash, file = member.name.rpartition("/")
                key, _, ending = file.partition(".")
                key = f"{directory}{slash}{key}"
                if ending == "cls" and (content := members.extractfile(member)) is not None:
                    text = content.read().decode(errors="replace").strip()
                    if not text.isdecimal():
                        raise ValueError(f"{member.name} in {shard} must hold a whole number >= 0, got {text[:20]!r}")
                    labels[key] = int(text)
                elif f".{ending.lower()}" in IMAGE_ENDINGS:
                    pictures[key] = TarMember(shard, member.name, changed, member.offset_data, member.size)
    except tarfile.TarError as error:
        raise ValueError(f"{shard} is no whole tar file ({error})") from None
    if without := [picture for key, picture in pictures.items() if key not in labels]:
        raise ValueError(f"{without[0]} has no class beside it, as have {len(without)} of the {len(pictures)} images there")
    return ((picture, labels[key]) for key, picture in pictures.items())


SOURCE = declare_kind(name="webdataset", title=TITLE, reference=REFERENCE, arguments=":<path>", how=f"<path> is {HOW}", named=named)
