"""The decode cache: pictures are decoded once, kept whole or not at all, and shared."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, PILToTensor, Resize

from margin_core.cache import cache_directory
from margin_core.data import PictureError, decoded
from margin_core.data.decoded import Decoded, ImageFile, decode
from margin_core.data.photos import Photos, folder_of_classes, middle, read_photos


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with nothing in it."""
    monkeypatch.setenv("MARGIN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def pictures(tmp_path: Path) -> list[ImageFile]:
    """Five pictures of noise, of several shapes."""
    random = np.random.default_rng(0)
    for number, shape in enumerate([(20, 30, 3), (30, 20, 3), (8, 8, 3), (9, 40, 3), (16, 16, 3)]):
        Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8)).save(tmp_path / f"{number}.png")
    return [ImageFile(str(tmp_path / f"{number}.png")) for number in range(5)]


def read(pictures: list[ImageFile]) -> Decoded:
    return decode("some", pictures, height=8, width=8, fit=middle)


def entries(cache: Path) -> list[Path]:
    return [path for path in cache.iterdir() if not path.name.startswith(".")]


def test_pictures_are_resized_by_their_shorter_side_and_their_middle_is_taken(cache: Path, pictures: list[ImageFile]) -> None:
    transform = Compose([Resize(8), CenterCrop(8), PILToTensor()])
    assert torch.equal(read(pictures).images, torch.stack([transform(Image.open(picture.path)) for picture in pictures]))


def test_what_is_decoded_once_is_mapped_from_then_on(cache: Path, pictures: list[ImageFile]) -> None:
    first = read(pictures).images.clone()
    (entry,) = entries(cache)
    file = entry / "images.npy"
    np.save(file, 255 - np.load(file))
    assert torch.equal(read(pictures).images, 255 - first)


def test_what_is_written_into_the_images_stays_in_the_process(cache: Path, pictures: list[ImageFile]) -> None:
    first = read(pictures).images
    before = first.clone()
    first.fill_(7)
    assert torch.equal(read(pictures).images, before)


@pytest.mark.parametrize("change", ["content", "time", "order", "fewer"])
def test_other_pictures_are_decoded_anew(cache: Path, pictures: list[ImageFile], change: str) -> None:
    read(pictures)
    if change == "content":
        Image.new("RGB", (8, 8)).save(pictures[0].path)
    elif change == "time":
        os.utime(pictures[0].path, ns=(1, 1))
    read({"order": pictures[::-1], "fewer": pictures[1:]}.get(change, pictures))
    assert len(entries(cache)) == 2


def test_mean_and_std_are_those_of_the_chosen_pictures(cache: Path, pictures: list[ImageFile]) -> None:
    kept = read(pictures)
    mean, std = kept.mean_and_std(torch.tensor([0, 3]))
    pixels = (kept.images[[0, 3]].double() / 255.0).transpose(0, 1).flatten(1)
    torch.testing.assert_close(torch.tensor(mean).double(), pixels.mean(dim=1), atol=5.1e-5, rtol=0.0)
    torch.testing.assert_close(torch.tensor(std).double(), pixels.std(dim=1, correction=0), atol=5.1e-5, rtol=0.0)
    assert Decoded(torch.zeros(1, 3, 1, 1), torch.zeros(1, 3, 2)).mean_and_std(torch.tensor([0])) == ((0.0,) * 3, (1.0,) * 3)


def test_many_that_start_at_once_decode_once_and_get_the_same(cache: Path, pictures: list[ImageFile]) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: read(pictures).images, range(8)))
    assert all(torch.equal(images, found[0]) for images in found)
    assert len(entries(cache)) == 1
    assert not list(cache.glob("*.part"))


@pytest.mark.slow
def test_several_processes_that_start_at_once_get_the_same(cache: Path, pictures: list[ImageFile]) -> None:
    code = (
        "import sys; from margin_core.data.decoded import *; from margin_core.data.photos import middle; "
        "print(decode('some', [ImageFile(p) for p in sys.argv[1:]], height=8, width=8, fit=middle).images.flatten().tolist())"
    )
    command = [sys.executable, "-c", code, *map(str, pictures)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert {process.communicate()[0] for process in started} == {f"{read(pictures).images.flatten().tolist()}\n"}
    assert len(entries(cache)) == 1


def test_what_a_killed_process_left_behind_is_cleared(cache: Path, pictures: list[ImageFile]) -> None:
    expected = read(pictures).images.clone()
    (entry,) = entries(cache)
    left = entry.rename(cache / f".{entry.name}.part")
    (left / "images.npy").write_bytes(b"torn")
    assert torch.equal(read(pictures).images, expected)
    assert entries(cache) == [entry]
    assert not left.exists()


def test_a_torn_file_of_the_cache_is_named(cache: Path, pictures: list[ImageFile]) -> None:
    read(pictures)
    (entry,) = entries(cache)
    os.truncate(entry / "images.npy", 200)
    with pytest.raises(PictureError, match=f"some: {entry} is not whole .*; remove it, and it is made anew"):
        read(pictures)


def test_pictures_that_cannot_be_read_are_counted_and_the_first_is_named(cache: Path, pictures: list[ImageFile]) -> None:
    Path(pictures[1].path).write_bytes(b"no picture")
    Path(pictures[3].path).write_bytes(Path(pictures[3].path).read_bytes()[:200])
    with pytest.raises(PictureError, match=f"some: 2 of 5 images cannot be read, first {pictures[1]} ") as caught:
        read(pictures)
    assert "\n" not in str(caught.value)
    assert entries(cache) == []
    Path(pictures[2].path).unlink()
    with pytest.raises(PictureError, match=f"some: {pictures[2]} is listed but cannot be found"):
        read(pictures)


def test_a_cache_that_cannot_be_written_is_named_with_what_to_set(
    tmp_path: Path, pictures: list[ImageFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MARGIN_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(PictureError, match=r"some: the cache cannot be used .*; set MARGIN_CACHE to a folder with more room or rights"):
        read(pictures)


def test_the_cache_is_where_programs_keep_what_they_can_make_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARGIN_CACHE", "~/elsewhere")
    assert cache_directory() == Path.home() / "elsewhere"
    monkeypatch.delenv("MARGIN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache_directory() == Path("/caches/margin-studies")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_directory() == Path.home() / ".cache" / "margin-studies"


def test_long_decoding_tells_how_far_it_is(
    cache: Path, pictures: list[ImageFile], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoded, "PROGRESS", 0.0)
    monkeypatch.setattr(decoded, "CHUNK", 2)
    caplog.set_level(logging.INFO, logger="margin_core.data")
    read(pictures)
    told = [f"some: {done} of 5 images decoded" for done in (2, 4)]
    assert caplog.messages == [*told, f"some: 5 images decoded, kept in {cache}"]


def test_a_class_without_an_image_to_train_on_is_named(cache: Path, tmp_path: Path) -> None:
    for name in ("cat", "dog", "emu"):
        (tmp_path / "train" / name).mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "train" / "cat" / "0.jpg")
    (tmp_path / "train" / "dog" / "note.txt").touch()
    photos = Photos(folder_of_classes(tmp_path / "train", ("cat", "dog", "emu")), [], ("cat", "dog", "emu"))
    with pytest.raises(PictureError, match="pets: no image to train on was found of class 'dog' and 1 more of its 3 classes"):
        read_photos("pets", photos, height=8, width=8)
