"""Datasets and how they are asked for: names, roots, and small copies in the official layouts read by torchvision itself."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import rmtree

import numpy as np
import pytest
import torch
from torchvision import datasets

from margin_core.data import (
    Dataset,
    DatasetConfig,
    Imbalance,
    Manifold,
    Superclasses,
    check_dataset,
    dataset_info,
    list_datasets,
    load_dataset,
    prepare,
    resolve_data_root,
)
from tests.margin_core.data.small_copies import (
    CIFAR100_COARSE,
    GROCERY_COARSE,
    pattern,
    small_copies,
    write_cifar10_images,
    write_grocery,
    write_grocery_folders,
    write_mnist,
)


@pytest.fixture
def small_mnist(tmp_path: Path) -> Path:
    """A data root with an MNIST of 40 training and 20 test images."""
    write_mnist(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data root with small copies."""
    with small_copies(tmp_path_factory.mktemp("copies"), "mnist", "fashion_mnist", "cifar10", "cifar100", "svhn", "grocery") as root:
        yield root


def test_digits_are_standardised() -> None:
    images = load_dataset("digits").images
    assert abs(images.mean().item()) < 1e-3
    assert abs(images.std().item() - 1.0) < 1e-3


def test_digits_are_what_they_were() -> None:
    from sklearn.datasets import load_digits

    pixels = torch.from_numpy(load_digits().images).to(torch.float32) / 16.0
    dataset = load_dataset("digits")
    assert torch.equal(dataset.standardiser()(dataset.images), ((pixels - 0.3053) / 0.3760).unsqueeze(1))


@pytest.mark.parametrize(
    ("name", "training", "examples"),
    [("mnist", 40, 60), ("fashion_mnist", 40, 60), ("cifar10", 50, 70), ("cifar100", 400, 600), ("svhn", 40, 60)],
)
def test_all_images_are_read_in_order_with_the_official_test_part_last(copies: Path, name: str, training: int, examples: int) -> None:
    dataset = load_dataset(name, copies)
    assert torch.equal(dataset.images, torch.from_numpy(pattern(np.arange(examples), dataset_info(name).in_shape)))
    assert dataset.images.is_contiguous()
    assert dataset.labels.tolist() == [number % dataset.num_classes for number in range(examples)]
    assert dataset.test_indices is not None
    assert dataset.test_indices.tolist() == list(range(training, examples))


def test_a_network_sees_mnist_as_it_always_did_bit_for_bit() -> None:
    every_byte = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    once = every_byte.to(torch.float32).div_(255.0).sub_(0.1307).div_(0.3081)
    dataset = Dataset("bytes", every_byte, torch.zeros(1, dtype=torch.int64), ("only",), mean=(0.1307,), std=(0.3081,))
    assert torch.equal(dataset.standardiser()(every_byte), once)
    assert every_byte.flatten().tolist() == list(range(256))


def test_each_channel_is_standardised_by_its_own_mean_and_standard_deviation(copies: Path) -> None:
    dataset = load_dataset("svhn", copies)
    seen = dataset.standardiser()(dataset.images)
    for channel, (mean, std) in enumerate(zip((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970), strict=True)):
        exact = (dataset.images[:, channel].double() / 255.0 - mean) / std
        torch.testing.assert_close(seen[:, channel].double(), exact, atol=1e-6, rtol=1e-6)


def test_bytes_need_a_mean_and_std_of_each_channel_and_other_images_none() -> None:
    images, labels = torch.zeros(1, 3, 2, 2, dtype=torch.uint8), torch.zeros(1, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"grey: mean must hold 3 numbers for images of torch.uint8, got \(0.5,\)"):
        Dataset("grey", images, labels, ("only",), mean=(0.5,), std=(0.2,))
    with pytest.raises(ValueError, match=r"floats: std must hold 0 numbers for images of torch.float32, got \(0.2,\)"):
        Dataset("floats", images.float(), labels, ("only",), std=(0.2,))


def test_cifar100_has_the_published_superclasses(copies: Path) -> None:
    dataset = load_dataset("cifar100", copies)
    assert isinstance(dataset.superclasses, Superclasses)
    assert dataset.superclasses.of_class.tolist() == list(CIFAR100_COARSE)
    assert dataset.superclasses.of_class.bincount().tolist() == [5] * 20
    of = dict(zip(dataset.class_names, [dataset.superclasses.names[label] for label in dataset.superclasses.of_class], strict=True))
    assert (of["beaver"], of["rocket"], of["maple_tree"]) == ("aquatic_mammals", "vehicles_2", "trees")


def test_cifar10_is_read_from_folders_of_images_where_there_are_no_batches(tmp_path: Path) -> None:
    write_cifar10_images(tmp_path)
    dataset = load_dataset("cifar10", tmp_path)
    assert dataset.images.shape == (80, 3, 32, 32)
    assert dataset.labels.tolist() == [label for count in (6, 2) for label in range(10) for _ in range(count)]
    assert dataset.test_indices is not None
    assert dataset.test_indices.tolist() == list(range(60, 80))
    grey = torch.cat([20 * dataset.labels[:60] + 20, 20 * dataset.labels[60:] + 25]).reshape(-1, 1, 1, 1)
    assert int((dataset.images.int() - grey).abs().max()) <= 1  # JPEG rounds
    rmtree(tmp_path / "cifar10-images" / "test" / "cat")
    with pytest.raises(FileNotFoundError, match=r"cifar10: data_batch_1, .* not found in .*cifar-10-batches-py; .*cifar10-images"):
        check_dataset("cifar10", tmp_path)


@pytest.mark.parametrize("write", [write_grocery, write_grocery_folders])
def test_grocery_is_read_from_a_clone_or_from_folders_of_images(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path)
    dataset = load_dataset("grocery", tmp_path)
    assert dataset.labels.tolist() == [*np.repeat(range(81), 2), *range(0, 81, 2), *range(81)]
    assert dataset.test_indices is not None
    assert dataset.test_indices.tolist() == list(range(203, 284))
    assert dataset.val_indices is not None
    assert dataset.val_indices.tolist() == list(range(162, 203))
    assert dataset.class_names == tuple(f"Class-{label:02d}" for label in range(81))
    assert dataset.superclasses is not None and dataset.groups is not None
    assert dataset.superclasses.of_class.tolist() == list(GROCERY_COARSE)
    assert dataset.superclasses.names == tuple(f"Superclass-{label:02d}" for label in range(43))
    assert dataset.groups.of_class.tolist() == [0] * 28 + [1] * 31 + [2] * 22
    assert dataset.groups.names == ("Fruit", "Packages", "Vegetables")


def test_of_a_grocery_photo_the_middle_is_taken_whatever_its_size_and_shape(copies: Path) -> None:
    dataset = load_dataset("grocery", copies)
    assert dataset.images.shape == (284, 3, 64, 64)
    green = torch.tensor([50] * 162 + [120] * 41 + [200] * 81)
    middle = torch.stack([2 * dataset.labels + 40, green, torch.full_like(green, 100)], dim=1).reshape(-1, 3, 1, 1)
    assert int((dataset.images.int() - middle).abs().max()) <= 2  # JPEG rounds


def test_cifar10_is_read_from_the_batches_where_folders_of_images_are_there_too(tmp_path: Path) -> None:
    with small_copies(tmp_path, "cifar10"):
        write_cifar10_images(tmp_path)
        assert len(load_dataset("cifar10", tmp_path).labels) == 70


def test_files_with_another_checksum_are_refused(tmp_path: Path) -> None:
    with small_copies(tmp_path, "svhn"):
        (tmp_path / "test_32x32.mat").write_bytes(b"torn")
        with pytest.raises(RuntimeError, match="corrupted"):
            load_dataset("svhn", tmp_path)


def test_mnist_trains_on_its_training_part_only(small_mnist: Path) -> None:
    data = prepare(DatasetConfig("mnist", validation=0.25), data_root=small_mnist, study_seed=0, replicate=0)
    assert data.test_indices.tolist() == list(range(40, 60))
    assert sorted([*data.train_indices.tolist(), *data.val_indices.tolist()]) == list(range(40))
    assert len(data.val_indices) == 10


@pytest.mark.parametrize(("name", "reader"), [("mnist", datasets.MNIST), ("fashion_mnist", datasets.FashionMNIST)])
def test_idx_files_are_read_as_torchvision_reads_them(copies: Path, name: str, reader: type[datasets.MNIST]) -> None:
    found = load_dataset(name, data_root=copies)
    parts = [reader(copies, train=train) for train in (True, False)]
    assert torch.equal(found.images[:, 0], torch.cat([part.data for part in parts]))
    assert torch.equal(found.labels, torch.cat([part.targets for part in parts]))
    assert (found.images.dtype, found.labels.dtype) == (torch.uint8, torch.int64)


@pytest.mark.parametrize("cut", [0, 3, 9, 1000, None], ids=str)
def test_an_idx_file_that_is_not_whole_is_named(tmp_path: Path, cut: int | None) -> None:
    write_mnist(tmp_path)
    file = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    content = file.read_bytes()
    file.write_bytes(b"\x1f\x8b" + content if cut is None else content[:cut])  # packed, or what was there of it
    with pytest.raises(ValueError) as raised:
        load_dataset("mnist", data_root=tmp_path)
    assert str(raised.value) == f"{file} is not a whole file of bytes in the IDX format: delete it, and download it again"


def test_a_process_that_trains_on_mnist_does_without_torchvision(small_mnist: Path) -> None:
    train = (
        "import sys\n"
        "from margin_core.data import DatasetConfig\n"
        "from margin_core.training import Cell, Recipe, Trial\n"
        "cell = Cell(DatasetConfig('mnist', validation=0.25), 'mlp-8', 'ce', {}, {}, Recipe(1))\n"
        f"Trial(cell, study_seed=0, replicate=0, data_root={str(small_mnist)!r}).run_epoch()\n"
        "assert 'torchvision' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", train], check=True)


def test_the_data_root_may_come_from_the_environment(small_mnist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARGIN_DATA", str(small_mnist))
    check_dataset("mnist")
    assert len(load_dataset("mnist").labels) == 60
    assert resolve_data_root() == small_mnist
    assert resolve_data_root("elsewhere") == Path("elsewhere")


def test_without_a_data_root_the_error_is_one_sentence_that_says_how_to_give_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MARGIN_DATA", raising=False)
    check_dataset("digits")
    with pytest.raises(FileNotFoundError) as caught:
        check_dataset("mnist")
    message = str(caught.value)
    assert "\n" not in message
    assert "no data root was given (--data-root or MARGIN_DATA)" in message


def test_missing_files_are_named_with_the_folder_they_are_looked_for_in(small_mnist: Path) -> None:
    raw = small_mnist / "MNIST" / "raw"
    (raw / "t10k-labels-idx1-ubyte").unlink()
    for read in (check_dataset, load_dataset):
        with pytest.raises(FileNotFoundError) as caught:
            read("mnist", small_mnist)
        assert str(caught.value) == (
            f"mnist: t10k-labels-idx1-ubyte not found in {raw}; "
            "torchvision.datasets.MNIST(root, download=True) puts them there (12 MB to download, 67 MB on disk)"
        )


def test_an_unknown_dataset_is_named_with_the_ones_there_are() -> None:
    with pytest.raises(ValueError, match=f"dataset must be one of {', '.join(list_datasets())}, got 'cifar11'"):
        check_dataset("cifar11")


@pytest.mark.parametrize(
    ("config", "key"),
    [
        (DatasetConfig("digits"), "digits"),
        (DatasetConfig("digits", 0.2), "digits-noise0.2"),
        (DatasetConfig("digits", 0.2, "nearest"), "digits-nearest0.2"),
        (DatasetConfig("digits", 0.0, "nearest"), "digits"),
        (DatasetConfig("digits", 0.2, label="hard digits"), "hard digits"),
        (DatasetConfig("digits", imbalance=Imbalance("long_tailed", 100)), "digits-lt100"),
        (DatasetConfig("digits", 0.2, imbalance=Imbalance("step", 2.5)), "digits-step2.5-noise0.2"),
        (DatasetConfig("digits", images_per_class=50), "digits-50each"),
        (DatasetConfig("digits", classes=4), "digits-4first"),
        (DatasetConfig("digits", choose="nearest"), "digits"),
        (DatasetConfig("digits", deform=0.3), "digits-deform0.3"),
        (DatasetConfig("digits", 0.1, clutter=0.25, deform=1), "digits-noise0.1-clutter0.25-deform1"),
        (DatasetConfig("digits", 0.2, "nearest", classes=4, choose="farthest"), "digits-4farthest-nearest0.2"),
        (DatasetConfig("digits", images_per_class=50, imbalance=Imbalance("step", 5)), "digits-50each-step5"),
        (DatasetConfig("manifold"), "manifold"),
        (DatasetConfig("manifold", manifold=Manifold()), "manifold-deformable3"),
        (DatasetConfig("manifold", 0.2, manifold=Manifold("rigid", 2, pixel_noise=0.1)), "manifold-rigid2-pixelnoise0.1-noise0.2"),
        (DatasetConfig("cifar100", merge="superclasses"), "cifar100-superclasses"),
        (DatasetConfig("grocery", 0.1, merge="superclasses", classes=5, choose="nearest"), "grocery-superclasses-5nearest-noise0.1"),
        (DatasetConfig("cub", size=448), "cub-448px"),
        (DatasetConfig("cub", size=96, classes=10), "cub-96px-10first"),
        (DatasetConfig("cub", size=96, deform=0.2, pretext="rotation"), "cub-96px-deform0.2-rotation"),
        (DatasetConfig("digits", validation=0), "digits-val0"),
        (DatasetConfig("digits", imbalance=Imbalance("step", 5), validation=0.02), "digits-val0.02-step5"),
        (DatasetConfig("oxford_flowers", 0.2, validation="official"), "oxford_flowers-val-official-noise0.2"),
        (DatasetConfig("folder:my photos/leaves"), "folder-my-photos-leaves"),
        (DatasetConfig("hf:owner/trees", 0.2), "hf-owner-trees-noise0.2"),
    ],
)
def test_a_key_says_what_was_asked_for_and_a_config_survives_writing(config: DatasetConfig, key: str) -> None:
    assert config.key == key
    assert DatasetConfig.from_dict(config.to_dict()) == config


def test_what_validates_is_written_only_where_it_is_not_a_fifth() -> None:
    assert DatasetConfig("digits", validation=0.2).to_dict() == {"name": "digits", "label_noise": 0.0, "noise": "symmetric", "label": None}
    assert DatasetConfig("digits", validation=0).to_dict()["validation"] == 0.0
    assert DatasetConfig("cub", validation="official").to_dict()["validation"] == "official"


def test_bad_values_of_a_config_are_named() -> None:
    for share in (1.0, -0.1, float("nan"), True, "half"):
        with pytest.raises(ValueError, match=r"digits: label_noise must be in \[0, 1\), got"):
            DatasetConfig("digits", share)
        with pytest.raises(ValueError, match=r"digits: validation must be in \[0, 1\) or official, got"):
            DatasetConfig("digits", validation=share)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="noise must be one of symmetric, nearest, got 'pairs'"):
        DatasetConfig("digits", 0.1, "pairs")  # type: ignore[arg-type]
    keys = "name, label_noise, noise, label, imbalance, images_per_class, classes, choose, clutter, deform, merge, manifold, size, pretext"
    with pytest.raises(ValueError, match=f"unknown key 'nois'; its keys are: {keys}, validation"):
        DatasetConfig.from_dict({"name": "digits", "nois": "nearest"})
    with pytest.raises(ValueError, match="name is missing"):
        DatasetConfig.from_dict({"label_noise": 0.1})
    with pytest.raises(ValueError, match="digits: imbalance must be a mapping with kind and ratio, got 100"):
        DatasetConfig.from_dict({"name": "digits", "imbalance": 100})
    for number in (0, 2.0, True, "ten"):
        with pytest.raises(ValueError, match="digits: images_per_class must be a whole number >= 1, got"):
            DatasetConfig("digits", images_per_class=number)  # type: ignore[arg-type]
    for share in (0.01, 0.95, -0.1, float("nan"), True, "half"):
        with pytest.raises(ValueError, match=r"digits: clutter must be 0 or in \[0.0625, 0.9375\], got"):
            DatasetConfig("digits", clutter=share)  # type: ignore[arg-type]
    for strength in (-0.1, 1.1, float("nan"), True, "much"):
        with pytest.raises(ValueError, match=r"digits: deform must be in \[0, 1\], got"):
            DatasetConfig("digits", deform=strength)  # type: ignore[arg-type]
    for number in (0, 2.5, True):
        with pytest.raises(ValueError, match="cub: size must be a whole number >= 1, got"):
            DatasetConfig("cub", size=number)  # type: ignore[arg-type]
    for number in (1, 3.0, False):
        with pytest.raises(ValueError, match="digits: classes must be a whole number >= 2, got"):
            DatasetConfig("digits", classes=number)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="digits: choose must be one of first, nearest, farthest, got 'last'"):
        DatasetConfig("digits", classes=3, choose="last")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="manifold: manifold must be a mapping with kind, dimension and pixel_noise, got 3"):
        DatasetConfig.from_dict({"name": "manifold", "manifold": 3})
    with pytest.raises(ValueError, match="digits: manifold must be left out, for only the dataset manifold is drawn by it"):
        DatasetConfig("digits", manifold=Manifold())
    with pytest.raises(ValueError, match="digits: merge must be one of superclasses, groups, got 'classes'"):
        DatasetConfig("digits", merge="classes")  # type: ignore[arg-type]


def test_a_dial_that_is_not_turned_is_not_written_so_that_cells_keep_their_names_as_dials_are_added() -> None:
    assert DatasetConfig("digits").to_dict() == {"name": "digits", "label_noise": 0.0, "noise": "symmetric", "label": None}


@pytest.mark.data
def test_the_real_mnist_is_all_there_and_standardised(data_root: Path) -> None:
    dataset = load_dataset("mnist", data_root)
    assert dataset.images.shape == (70_000, 1, 28, 28)
    assert torch.bincount(dataset.labels[:60_000]).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert torch.bincount(dataset.labels[60_000:]).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    seen = dataset.standardiser()(dataset.images[:60_000])
    assert abs(seen.mean().item()) < 1e-3
    assert abs(seen.std().item() - 1.0) < 1e-3
