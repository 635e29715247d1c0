"""Datasets of photos: what is read of each official layout, at any size, and of folders, repositories and shards of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree

import pytest
import torch

from margin_core.data import Dataset, DatasetConfig, PictureError, check_dataset, check_dials, dataset_info, load_dataset, prepare
from margin_core.data.tasks import RetrievalTask, VerificationTask
from tests.margin_core.data.photo_copies import TEST, TRAIN, VAL, told, write_folder, write_hugging_face, write_shard, write_webdataset
from tests.margin_core.data.small_copies import small_copies

# Of each dataset how many photos a class of the copy has in each part, and the name of its sixth class.
OFFICIAL = {
    "cub": ({TRAIN: 2, TEST: 1}, "006.Bird_005"),
    "stanford_dogs": ({TRAIN: 2, TEST: 1}, "n00000005-Dog_005"),
    "stanford_cars": ({TRAIN: 2, TEST: 1}, "Car 005"),
    "fgvc_aircraft": ({TRAIN: 1, VAL: 1, TEST: 1}, "Variant 05"),
    "oxford_flowers": ({TRAIN: 1, VAL: 1, TEST: 1}, "tiger lily"),
    "oxford_pets": ({TRAIN: 2, TEST: 1}, "pet_05"),
}
# Of these the test part is of other people than the classes.
PEOPLE = ("market1501", "dukemtmc", "lfw")


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with small_copies(tmp_path_factory.mktemp("copies"), *OFFICIAL) as root:
        yield root


def assert_is_read(dataset: Dataset, parts: dict[int, int]) -> None:
    """Every photo is there, in its class, and the official splits are the parts."""
    classes, greens = told(dataset.images)
    assert torch.equal(dataset.labels, classes)
    for places, part in ((dataset.test_indices, TEST), (dataset.val_indices, VAL)):
        official = torch.zeros(len(greens), dtype=torch.bool)
        if places is not None:
            official[places] = True
        assert torch.equal(official, greens == part)
    for green, count in parts.items():
        assert dataset.labels[greens == green].bincount(minlength=dataset.num_classes).tolist() == [count] * dataset.num_classes
    assert len(dataset.labels) == sum(parts.values()) * dataset.num_classes


@pytest.mark.parametrize("name", OFFICIAL)
def test_every_photo_is_read_in_its_class_and_its_official_part(copies: Path, name: str) -> None:
    dataset = load_dataset(name, copies, size=16)
    parts, sixth = OFFICIAL[name]
    assert_is_read(dataset, parts)
    assert dataset.class_names[5] == sixth
    assert dataset.images.shape[2:] == (16, 16)


def test_aircraft_are_in_families_of_manufacturers_and_pets_are_cats_or_dogs(copies: Path) -> None:
    aircraft, pets = load_dataset("fgvc_aircraft", copies, size=16), load_dataset("oxford_pets", copies, size=16)
    assert aircraft.superclasses is not None and aircraft.groups is not None and pets.superclasses is not None
    assert [aircraft.superclasses.names[of] for of in aircraft.superclasses.of_class] == [
        f"Family {label % 70:02d}" for label in range(100)
    ]
    assert len(aircraft.groups.names) == 30
    assert [pets.superclasses.names[of] for of in pets.superclasses.of_class] == ["dog" if label % 3 else "cat" for label in range(37)]


def test_the_banner_of_an_aircraft_is_cut_off(copies: Path) -> None:
    images = load_dataset("fgvc_aircraft", copies, size=16).images
    assert int((images.amax(dim=(2, 3)).int() - images.amin(dim=(2, 3)).int()).max()) <= 4  # the banner is white; JPEG rounds


def test_declared_counts_are_the_published_ones() -> None:
    declared = {name: (dataset_info(name).num_classes, dataset_info(name).examples) for name in (*OFFICIAL, *PEOPLE)}
    assert declared == {
        "cub": (200, 5994 + 5794),
        "stanford_dogs": (120, 12000 + 8580),
        "stanford_cars": (196, 8144 + 8041),
        "fgvc_aircraft": (100, 6667 + 3333),
        "oxford_flowers": (102, 1020 + 1020 + 6149),
        "oxford_pets": (37, 3680 + 3669),
        "market1501": (751, 12936 + 3368 + 15913),
        "dukemtmc": (702, 16522 + 2228 + 17661),
        "lfw": (4038, 9525 + 3708),
    }


def test_a_size_is_chosen_by_the_study_or_else_by_the_dataset(copies: Path) -> None:
    assert dataset_info("cub").in_shape == (3, 224, 224)
    assert dataset_info("grocery").in_shape == (3, 64, 64)
    assert dataset_info("grocery", 128).in_shape == (3, 128, 128)
    data = prepare(DatasetConfig("oxford_pets", size=24), data_root=copies, study_seed=0, replicate=0)
    assert data.in_shape == (3, 24, 24)
    assert data.test()[0].shape == (37, 3, 24, 24)
    with pytest.raises(ValueError, match="digits: size must be left out, for its images have one size, got 32"):
        check_dials(DatasetConfig("digits", size=32))


@pytest.mark.parametrize(
    ("name", "where"),
    [("cub", "CUB_200_2011"), ("stanford_dogs", "stanford_dogs"), ("oxford_pets", "oxford-iiit-pet"), ("lfw", "lfw-py")],
)
def test_missing_photos_are_told_with_where_they_are_looked_for_how_they_are_had_and_their_size(
    tmp_path: Path, name: str, where: str
) -> None:
    with pytest.raises(FileNotFoundError, match=rf"{name}: .* not found in {tmp_path}/{where}; .* \([0-9.]+ GB\)"):
        check_dataset(name, tmp_path)


def test_a_listed_photo_that_is_not_there_is_named(tmp_path: Path) -> None:
    with small_copies(tmp_path, "oxford_pets"):
        (tmp_path / "oxford-iiit-pet" / "images" / "pet_07_test0.jpg").unlink()
        with pytest.raises(PictureError, match=r"oxford_pets: .*pet_07_test0.jpg is listed but cannot be found"):
            load_dataset("oxford_pets", tmp_path, size=8)


def test_a_folder_is_read_in_parts_or_as_one(tmp_path: Path) -> None:
    write_folder(tmp_path)
    dataset = load_dataset("folder:leaves", tmp_path, size=16)
    assert_is_read(dataset, {TRAIN: 2, VAL: 1, TEST: 1})
    assert dataset.class_names == ("leaf 0", "leaf 1", "leaf 2")
    one = load_dataset("folder:leaves/train", tmp_path, size=16)
    assert_is_read(one, {TRAIN: 2})
    assert one.test_indices is None
    config = DatasetConfig("folder:leaves/train", size=16)
    data = prepare(config, data_root=tmp_path, study_seed=0, replicate=0, test=0.2)
    assert len(data.train_y) + len(data.val_y) + len(data.test_indices) == 6


def test_the_channels_of_a_folder_are_standardised_by_what_is_measured_on_its_training_images(tmp_path: Path) -> None:
    write_folder(tmp_path)
    dataset = load_dataset("folder:leaves", tmp_path, size=16)
    assert dataset.test_indices is not None
    trained = torch.ones(len(dataset.labels), dtype=torch.bool)
    trained[dataset.test_indices] = False
    seen = dataset.standardiser()(dataset.images[trained]).double()
    for channel in (0, 1):  # the blue is the same in all
        assert abs(seen[:, channel].mean().item()) < 1e-2
        assert abs(seen[:, channel].std().item() - 1.0) < 1e-2


def test_a_folder_that_is_none_of_images_is_told_in_a_sentence(tmp_path: Path) -> None:
    for path in ("nowhere", "leaves"):
        (tmp_path / "leaves" / "only one").mkdir(parents=True, exist_ok=True)
        with pytest.raises(FileNotFoundError, match=f"folder:{path}: no folders of two or more classes were found in {tmp_path}/{path}; "):
            check_dataset(f"folder:{path}", tmp_path)
    write_folder(tmp_path / "other")
    rmtree(tmp_path / "other" / "leaves" / "train" / "leaf 1")
    (tmp_path / "other" / "leaves" / "train" / "leaf 1").mkdir()
    rmtree(tmp_path / "other" / "leaves" / "val")
    with pytest.raises(PictureError, match="folder:leaves: no image to train on was found of class 'leaf 1'"):
        load_dataset("folder:leaves", tmp_path / "other")
    with pytest.raises(FileNotFoundError, match=r"folder:leaves: no data root was given \(--data-root or MARGIN_DATA\)"):
        dataset_info("folder:leaves").check(None)


@pytest.mark.parametrize("name", ["folder", "folder:", "digits:8x8", "webdataset", "hf"])
def test_a_name_that_is_not_written_as_it_should_be_is_told(name: str) -> None:
    kind = dataset_info("digits").written if name.startswith("digits") else f"{name.partition(':')[0]}:<"
    with pytest.raises(ValueError, match=f"dataset must be written {kind}.*, got '{name}'"):
        check_dataset(name)


def test_more_classes_than_a_folder_has_are_refused_when_it_is_read(tmp_path: Path) -> None:
    write_folder(tmp_path)
    config = DatasetConfig("folder:leaves", size=8, classes=4)
    check_dials(config)
    with pytest.raises(ValueError, match="folder:leaves: classes must be at most 3, the number of its classes, got 4"):
        prepare(config, data_root=tmp_path, study_seed=0, replicate=0)


def test_shards_are_read_in_their_order_and_those_called_test_test(tmp_path: Path) -> None:
    write_webdataset(tmp_path)
    dataset = load_dataset("webdataset:shards", tmp_path, size=16)
    assert_is_read(dataset, {TRAIN: 2, VAL: 1, TEST: 1})
    assert dataset.class_names == ("ash", "elm", "oak")
    assert dataset.labels.tolist() == [2, 0, 1, 0, 1, 2, 1, 0, 2, 0, 1, 2]
    (tmp_path / "shards" / "classnames.txt").unlink()
    assert dataset_info("webdataset:shards").read(tmp_path).class_names == ("0", "1", "2")


def test_a_shard_that_is_none_or_lacks_a_class_is_told_in_a_sentence(tmp_path: Path) -> None:
    source = dataset_info("webdataset:shards", 8)
    with pytest.raises(FileNotFoundError, match=rf"webdataset:shards: no \*.tar was found in {tmp_path}/shards; "):
        source.check(tmp_path)
    (tmp_path / "shards").mkdir()
    shard = tmp_path / "shards" / "0.tar"
    shard.write_bytes(b"no tar")
    with pytest.raises(PictureError, match=f"webdataset:shards: {shard} is no whole tar file"):
        source.read(tmp_path)
    write_shard(shard, [("a", 0), ("b", 7)], TRAIN)
    (tmp_path / "shards" / "classnames.txt").write_text("only\n")
    with pytest.raises(PictureError, match=r"classnames.txt must name every class up to 7, the highest in the shards, got 1 names"):
        source.read(tmp_path)


def test_a_repository_of_the_hub_is_read_from_its_copy(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    write_hugging_face(tmp_path)
    dataset = load_dataset("hf:owner/trees", tmp_path, size=16)
    assert_is_read(dataset, {TRAIN: 2, VAL: 1, TEST: 1})
    assert dataset.class_names == ("ash", "elm", "oak")
    (tmp_path / "hf" / "owner" / "words").mkdir(parents=True)
    (tmp_path / "hf" / "owner" / "words" / "train.csv").write_text("text,label\nash,0\nelm,1\n")
    with pytest.raises(PictureError, match="hf:owner/words: a column of images is needed, its columns are text, label"):
        load_dataset("hf:owner/words", tmp_path)
    with pytest.raises(
        FileNotFoundError, match=r"hf:owner/none: no files found in .*; margin-studies datasets --download hf:owner/none puts it"
    ):
        check_dataset("hf:owner/none", tmp_path)


@pytest.mark.parametrize(("name", "people"), [("market1501", 751), ("dukemtmc", 702)])
def test_people_to_train_on_are_classes_and_others_are_looked_for_in_the_gallery(tmp_path: Path, name: str, people: int) -> None:
    with small_copies(tmp_path, name):
        dataset = load_dataset(name, tmp_path, size=8)
    assert dataset.images.shape == (2 * people + 2 + 4, 3, 16, 8)  # what shows nobody whole is left out
    assert dataset.labels[: 2 * people].bincount().tolist() == [2] * people
    assert dataset.labels[2 * people :].tolist() == [-1] * 6
    assert dataset.class_names[:2] == ("0002", "0004")
    task = dataset.task
    assert isinstance(task, RetrievalTask) and task.cameras is not None
    assert task.identities[task.query].tolist() == [1, 3]
    assert task.cameras[task.query].tolist() == [1, 6]
    assert task.identities[task.gallery].tolist() == [0, 1, 1, 3]
    assert task.cameras[task.gallery].tolist() == [1, 1, 2, 3]
    assert told(dataset.images)[0][task.images].tolist() == [1, 3, 0, 1, 1, 3]
    assert dataset_info(name).in_shape == (3, 256, 128)


def test_a_part_without_photos_of_people_is_told(tmp_path: Path) -> None:
    for part in ("bounding_box_train", "query", "bounding_box_test"):
        (tmp_path / "Market-1501-v15.09.15" / part).mkdir(parents=True)
    with pytest.raises(PictureError, match=r"market1501: no photo called <person>_c<camera>\*.jpg was found in .*/bounding_box_train"):
        load_dataset("market1501", tmp_path)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with small_copies(tmp_path_factory.mktemp("faces"), "lfw") as root:
        yield root


def test_people_of_the_development_training_set_are_classes_and_photos_of_others_are_paired(faces: Path) -> None:
    dataset = load_dataset("lfw", faces, size=8)
    photos = torch.tensor([1 if label % 10 else 10 if label % 100 == 0 else 2 for label in range(4038)])
    assert dataset.images.shape == (int(photos.sum()) + 50, 3, 8, 8)
    assert torch.equal(dataset.labels[:-50], torch.repeat_interleave(torch.arange(4038), photos))
    assert dataset.labels[-50:].tolist() == [-1] * 50
    assert dataset.class_names[:2] == ("Person_0000", "Person_0001")
    shown, parts = told(dataset.images)
    assert torch.equal(shown[:-50], dataset.labels[:-50] % 256)
    assert torch.equal(torch.nonzero(parts == TEST).squeeze(1), torch.arange(len(shown) - 50, len(shown)))
    task = dataset.task
    assert isinstance(task, VerificationTask)
    assert task.same.tolist() == [True] * 100 + [False] * 100
    assert torch.equal(shown[task.pairs[:, 0]] == shown[task.pairs[:, 1]], task.same)
    assert len(set(map(tuple, task.pairs.tolist()))) == 200
    assert task.pairs[0].tolist() == [len(shown) - 50, len(shown) - 49]


def test_of_whom_there_is_one_photo_it_trains_in_every_replicate(faces: Path) -> None:
    few = torch.tensor([label for label in range(4038) if label % 10])
    for replicate in range(3):
        data = prepare(DatasetConfig("lfw", size=8), data_root=faces, study_seed=0, replicate=replicate)
        validates = data.val_y.bincount(minlength=4038)
        assert not bool(validates[few].any())
        assert set(validates[::100].tolist()) == {2}
        assert len(data.val_y) == round(0.2 * (41 * 10 + 363 * 2))


def test_faces_whose_list_is_another_are_told_in_a_sentence(tmp_path: Path) -> None:
    with small_copies(tmp_path, "lfw"):
        (tmp_path / "lfw-py" / "pairsDevTest.txt").write_text("0\n")
        with pytest.raises(PictureError, match=rf"lfw: a list or lfw-funneled.tgz in {tmp_path}/lfw-py has not the checksum"):
            load_dataset("lfw", tmp_path)
