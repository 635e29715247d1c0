"""Datasets and how they are asked for: names, roots, and MNIST read by torchvision itself."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from margin_core.data import DatasetConfig, Imbalance, check_dataset, load_dataset, prepare, resolve_data_root


def write_idx(path: Path, values: np.ndarray) -> None:
    """The IDX format: two zero bytes, type 8 (unsigned byte), the number of axes, their lengths, the bytes."""
    header = struct.pack(">BBBB", 0, 0, 8, values.ndim) + struct.pack(f">{values.ndim}I", *values.shape)
    path.write_bytes(header + values.astype(np.uint8).tobytes())


@pytest.fixture
def small_mnist(tmp_path: Path) -> Path:
    """A data root with an MNIST of 40 training and 20 test images, of which pixel (0, 0) holds the image's number."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, numbers in (("train", np.arange(40)), ("t10k", np.arange(40, 60))):
        images = np.zeros((len(numbers), 28, 28))
        images[:, 0, 0] = numbers
        write_idx(raw / f"{part}-images-idx3-ubyte", images)
        write_idx(raw / f"{part}-labels-idx1-ubyte", numbers % 10)
    return tmp_path


def test_digits_are_standardised() -> None:
    images = load_dataset("digits").images
    assert abs(images.mean().item()) < 1e-3
    assert abs(images.std().item() - 1.0) < 1e-3


def test_mnist_is_read_from_idx_files_in_order_with_the_official_test_part_last(small_mnist: Path) -> None:
    dataset = load_dataset("mnist", small_mnist)
    assert dataset.images.shape == (60, 1, 28, 28)
    assert dataset.labels.tolist() == [number % 10 for number in range(60)]
    assert dataset.test_indices is not None
    assert dataset.test_indices.tolist() == list(range(40, 60))
    pixels = dataset.images[:, 0, 0, 0] * 0.3081 + 0.1307
    torch.testing.assert_close(pixels * 255.0, torch.arange(60.0), atol=1e-4, rtol=1e-5)


def test_mnist_trains_on_its_training_part_only(small_mnist: Path) -> None:
    data = prepare(DatasetConfig("mnist"), data_root=small_mnist, study_seed=0, replicate=0, validation=0.25)
    assert data.test_indices.tolist() == list(range(40, 60))
    assert sorted([*data.train_indices.tolist(), *data.val_indices.tolist()]) == list(range(40))
    assert len(data.val_indices) == 10


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
        assert str(caught.value).startswith(f"mnist: t10k-labels-idx1-ubyte not found in {raw}; ")


def test_an_unknown_dataset_is_named_with_the_ones_there_are() -> None:
    with pytest.raises(ValueError, match="dataset must be one of digits, mnist, got 'cifar11'"):
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
    ],
)
def test_a_key_says_what_was_asked_for_and_a_config_survives_writing(config: DatasetConfig, key: str) -> None:
    assert config.key == key
    assert DatasetConfig.from_dict(config.to_dict()) == config


def test_bad_values_of_a_config_are_named() -> None:
    for share in (1.0, -0.1, float("nan"), True, "half"):
        with pytest.raises(ValueError, match=r"digits: label_noise must be in \[0, 1\), got"):
            DatasetConfig("digits", share)
    with pytest.raises(ValueError, match="noise must be one of symmetric, nearest, got 'pairs'"):
        DatasetConfig("digits", 0.1, "pairs")  # type: ignore[arg-type]
    keys = "name, label_noise, noise, label, imbalance, images_per_class, classes, choose, clutter, deform"
    with pytest.raises(ValueError, match=f"unknown key 'nois'; its keys are: {keys}"):
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
    for number in (1, 3.0, False):
        with pytest.raises(ValueError, match="digits: classes must be a whole number >= 2, got"):
            DatasetConfig("digits", classes=number)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="digits: choose must be one of first, nearest, farthest, got 'last'"):
        DatasetConfig("digits", classes=3, choose="last")  # type: ignore[arg-type]


def test_a_dial_that_is_not_turned_is_not_written_so_that_cells_keep_their_names_as_dials_are_added() -> None:
    assert DatasetConfig("digits").to_dict() == {"name": "digits", "label_noise": 0.0, "noise": "symmetric", "label": None}


@pytest.mark.data
def test_the_real_mnist_is_all_there_and_standardised(data_root: Path) -> None:
    dataset = load_dataset("mnist", data_root)
    assert dataset.images.shape == (70_000, 1, 28, 28)
    assert torch.bincount(dataset.labels[:60_000]).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert torch.bincount(dataset.labels[60_000:]).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert abs(dataset.images[:60_000].mean().item()) < 1e-3
    assert abs(dataset.images[:60_000].std().item() - 1.0) < 1e-3
