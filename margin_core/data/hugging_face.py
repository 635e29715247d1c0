"""Any image dataset of the Hugging Face Hub: ``hf:<owner>/<name>``, from a copy of its repository below the data root.

The library ``datasets`` reads what is there, and is imported only then; a study downloads nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from margin_core.cache import cache_directory
from margin_core.data.dataset import DATA_ROOT_VARIABLE, DatasetSource
from margin_core.data.decoded import Picture, PictureError
from margin_core.data.photos import VALIDATION_PARTS, Photos, declare, declare_kind

if TYPE_CHECKING:
    from PIL import Image

TITLE, REFERENCE = "A dataset of the Hugging Face Hub", "https://huggingface.co/datasets"
LIBRARY = "pip install 'margin-studies[hf]'"
# A label of a split whose labels are not published.
UNKNOWN = -1


@dataclass(frozen=True)
class Row:
    """A picture in a row of a table."""

    table: Any
    column: str
    number: int
    where: str
    version: str

    def __str__(self) -> str:
        return f"row {self.number} of {self.where}"

    def signature(self) -> str:
        """The copy's files as they are, and the row."""
        return f"{self.version}|{self.where}|{self.column}|{self.number}"

    def open(self) -> Image.Image:
        """As `Picture.open`."""
        image: Image.Image = self.table[self.number][self.column]
        return image.convert("RGB")


def named(repository: str) -> DatasetSource:
    """The dataset of a repository."""
    name = f"hf:{repository}"
    how = f"margin-studies datasets --download {name} puts it there"

    def find(data_root: Path | None) -> Path:
        if data_root is None:
            raise FileNotFoundError(f"{name}: no data root was given (--data-root or {DATA_ROOT_VARIABLE}); {how}")
        folder = data_root / "hf" / repository
        if not any(folder.rglob("*.*")):
            raise FileNotFoundError(f"{name}: no files found in {folder}; {how}")
        if find_spec("datasets") is None:
            raise FileNotFoundError(f"{name}: the library datasets is not installed; {LIBRARY} installs it")
        return folder

    def listed(folder: Path) -> Photos:
        return photos(name, folder)

    def download(data_root: Path) -> None:
        from huggingface_hub import snapshot_download

        snapshot_download(repository, repo_type="dataset", local_dir=data_root / "hf" / repository)

    return declare(
        name=name,
        title=TITLE,
        num_classes=None,
        examples=None,
        reference=REFERENCE,
        find=find,
        listed=listed,
        download=download,
        official_validation=None,
    )


def photos(name: str, folder: Path) -> Photos:
    """All images; those of the splits ``test`` and ``validation`` are the official ones, if their labels are published."""
    import datasets

    datasets.disable_progress_bars()
    try:
        splits = datasets.load_dataset(str(folder), cache_dir=str(cache_directory() / "hf"))
    except (ValueError, OSError, datasets.exceptions.DatasetsError) as error:
        raise PictureError(f"{name}: {folder} cannot be read as a dataset ({' '.join(str(error).split())})") from None
    image, label = columns(name, next(iter(splits.values())).features)
    labels = {split: table[label] for split, table in splits.items()}
    feature = next(iter(splits.values())).features[label]
    names = feature.names if hasattr(feature, "names") else sorted({value for values in labels.values() for value in values} - {UNKNOWN})
    number = {value: place for place, value in enumerate(range(len(names)) if hasattr(feature, "names") else names)}
    version = _version(folder)
    parts: dict[bool, list[tuple[Picture, int]]] = {False: [], True: []}
    val: list[int] = []
    for split, table in splits.items():
        rows = (Row(table, image, place, f"{split} in {folder}", version) for place in range(len(table)))
        part = parts[split == "test"]
        known = len(part)
        part += [(row, number[value]) for row, value in zip(rows, labels[split], strict=True) if value != UNKNOWN]
        if split in VALIDATION_PARTS:
            val += range(known, len(part))
    return Photos(parts[False], parts[True], [str(value) for value in names], val=val)


def columns(name: str, features: Any) -> tuple[str, str]:
    """The first column of images, and that of labels: the one called ``label``, or else the first of classes."""
    import datasets

    images = [column for column, feature in features.items() if isinstance(feature, datasets.Image)]
    labels = [column for column, feature in features.items() if isinstance(feature, datasets.ClassLabel)]
    labels = ["label"] if "label" in features else labels
    for what, found in (("images", images), ("classes", labels)):
        if not found:
            raise PictureError(f"{name}: a column of {what} is needed, its columns are {', '.join(features)}")
    return images[0], labels[0]


def _version(folder: Path) -> str:
    """What changes whenever a file of the copy does."""
    files: Sequence[Path] = sorted(path for path in folder.rglob("*") if path.is_file() and ".cache" not in path.parts)
    told = "\n".join(f"{path}|{path.stat().st_size}|{path.stat().st_mtime_ns}" for path in files)
    return hashlib.sha256(told.encode()).hexdigest()


SOURCE = declare_kind(
    name="hf",
    title=TITLE,
    reference=REFERENCE,
    arguments=":<owner>/<name>",
    how=f"<owner>/<name> is its repository, a copy of which lies in hf/<owner>/<name> below the data root; {LIBRARY} is needed",
    named=named,
)
