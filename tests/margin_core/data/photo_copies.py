"""Small made-up copies of the datasets of photos, each in its official layout.

Every photo is 24 by 20 pixels of one colour, which tells its class and its part; `told` reads it back.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterable
from io import BytesIO
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.io import savemat
from torch import Tensor

TRAIN, VAL, TEST = 40, 120, 200
Listed = list[tuple[str, int]]
"""Names of photos, and their classes from 0 on."""


def photo(label: int, part: int) -> Image.Image:
    """A photo of class ``label``, which red and blue tell in sixteenths; green tells the part."""
    return Image.new("RGB", (24, 20), (16 * (label % 16) + 8, part, 16 * (label // 16) + 8))


def told(images: Tensor) -> tuple[Tensor, Tensor]:
    """The class and the part of each image, (N,), from its mean colour, which JPEG changes by a little."""
    red, green, blue = images.double().mean(dim=(2, 3)).unbind(dim=1)
    parts = torch.tensor([TRAIN, VAL, TEST])
    return (red // 16 + 16 * (blue // 16)).long(), parts[(green.unsqueeze(1) - parts).abs().argmin(dim=1)]


def write_photos(folder: Path, samples: Listed, part: int) -> None:
    """One JPEG for each name."""
    for name, label in samples:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        photo(label, part).save(folder / name, quality=95, subsampling=0)


def samples(classes: int, part: str, count: int, path: Callable[[int, str], str]) -> Listed:
    """Photos of a part, the last class first, so that no order that is read is the alphabet's."""
    return [(path(label, f"{part}_{number}"), label) for label in reversed(range(classes)) for number in range(count)]


def write_cub(root: Path) -> None:
    """200 classes, 2 + 1 photos of each, numbered from 1 on (layout: https://www.vision.caltech.edu/datasets/cub_200_2011)."""
    folder = root / "CUB_200_2011"
    names = [f"{label + 1:03d}.Bird_{label:03d}" for label in range(200)]
    parts = [samples(200, part, count, lambda label, name: f"{names[label]}/{name}.jpg") for part, count in (("train", 2), ("test", 1))]
    write_photos(folder / "images", parts[0], TRAIN)
    write_photos(folder / "images", parts[1], TEST)
    # Test photos stand between the others, as they do there.
    listed = sorted([(*sample, 1) for sample in parts[0]] + [(*sample, 0) for sample in parts[1]], key=lambda entry: (-entry[1], entry[0]))
    for name, lines in {
        "classes": [f"{label + 1} {name}" for label, name in enumerate(names)],
        "images": [f"{number} {path}" for number, (path, _, _) in enumerate(listed, start=1)],
        "image_class_labels": [f"{number} {label + 1}" for number, (_, label, _) in enumerate(listed, start=1)],
        "train_test_split": [f"{number} {trains}" for number, (_, _, trains) in enumerate(listed, start=1)],
    }.items():
        (folder / f"{name}.txt").write_text("\n".join([*lines, ""]))


def write_stanford_dogs(root: Path) -> None:
    """120 classes, 2 + 1 photos of each (layout: http://vision.stanford.edu/aditya86/ImageNetDogs, lists.tar)."""
    folder = root / "stanford_dogs"
    for part, count, green in (("train", 2, TRAIN), ("test", 1, TEST)):
        listed = samples(120, part, count, lambda label, name: f"n{label:08d}-Dog_{label:03d}/n{label:08d}_{name}.jpg")
        write_photos(folder / "Images", listed, green)
        files = np.empty((len(listed), 1), dtype=object)
        files[:, 0] = [path for path, _ in listed]
        savemat(folder / f"{part}_list.mat", {"file_list": files, "labels": np.array([[label + 1] for _, label in listed])})


def write_stanford_cars(root: Path) -> None:
    """196 classes, 2 + 1 photos of each (layout: torchvision.datasets.StanfordCars)."""
    folder = root / "stanford_cars"
    (folder / "devkit").mkdir(parents=True)
    for part, count, green, file in (
        ("train", 2, TRAIN, "devkit/cars_train_annos.mat"),
        ("test", 1, TEST, "cars_test_annos_withlabels.mat"),
    ):
        listed = samples(196, part, count, lambda label, name: f"{label:03d}_{name}.jpg")
        write_photos(folder / f"cars_{part}", listed, green)
        annotations = np.array([(label + 1, name) for name, label in listed], dtype=[("class", object), ("fname", object)])
        savemat(folder / file, {"annotations": annotations})
    savemat(folder / "devkit" / "cars_meta.mat", {"class_names": np.array([f"Car {label:03d}" for label in range(196)], dtype=object)})


def write_fgvc_aircraft(root: Path) -> None:
    """100 variants in 70 families of 30 manufacturers, 1 + 1 + 1 photos of each (layout: torchvision.datasets.FGVCAircraft).

    The lowest 20 rows of each photo are white, as the banner there.
    """
    data = root / "fgvc-aircraft-2013b" / "data"
    levels = {
        "variant": [f"Variant {label:02d}" for label in range(100)],
        "family": [f"Family {label % 70:02d}" for label in range(100)],
        "manufacturer": [f"Manufacturer {label % 70 % 30:02d}" for label in range(100)],
    }
    (data / "images").mkdir(parents=True)
    for number, part in enumerate(("train", "val", "test")):
        listed = samples(100, str(number), 1, lambda label, name: f"{label:03d}{name[0]}")
        for name, label in listed:
            above = Image.new("RGB", (30, 40), (255, 255, 255))
            above.paste(photo(label, (TRAIN, VAL, TEST)[number]), (0, 0))
            above.paste(photo(label, (TRAIN, VAL, TEST)[number]), (6, 0))
            above.save(data / "images" / f"{name}.jpg", quality=95, subsampling=0)
        for level, of_class in levels.items():
            lines = "".join(f"{name} {of_class[label]}\n" for name, label in listed)
            for file in {part, "test" if part == "test" else "trainval"}:
                with (data / f"images_{level}_{file}.txt").open("a") as text:
                    text.write(lines)
    for plural, level in (("variants", "variant"), ("families", "family"), ("manufacturers", "manufacturer")):
        (data / f"{plural}.txt").write_text("".join(f"{name}\n" for name in dict.fromkeys(levels[level])))


def write_oxford_flowers(root: Path) -> None:
    """102 classes, 1 + 1 + 1 photos of each (layout: torchvision.datasets.Flowers102, which knows the checksums of the two .mat files)."""
    folder = root / "flowers-102"
    numbers = np.arange(1, 307)
    labels = (numbers - 1) % 102
    for number, label in zip(numbers, labels, strict=True):
        write_photos(folder / "jpg", [(f"image_{number:05d}.jpg", int(label))], (VAL, TEST, TRAIN)[(number - 1) // 102])
    savemat(folder / "imagelabels.mat", {"labels": labels[None] + 1})
    savemat(folder / "setid.mat", {"valid": numbers[None, :102], "tstid": numbers[None, 102:204], "trnid": numbers[None, :203:-1]})


def write_oxford_pets(root: Path) -> None:
    """37 classes, 2 + 1 photos of each; every third is a cat (layout: torchvision.datasets.OxfordIIITPet)."""
    folder = root / "oxford-iiit-pet"
    (folder / "annotations").mkdir(parents=True)
    for part, count, green in (("trainval", 2, TRAIN), ("test", 1, TEST)):
        listed = samples(37, part, count, lambda label, name: f"pet_{label:02d}_{name.replace('_', '')}")
        write_photos(folder / "images", [(f"{name}.jpg", label) for name, label in listed], green)
        lines = [f"{name} {label + 1} {1 if label % 3 == 0 else 2} {label // 3 + 1}" for name, label in listed]
        (folder / "annotations" / f"{part}.txt").write_text("\n".join([*lines, ""]))


def write_folder(root: Path) -> None:
    """Three classes, 2 + 1 + 1 photos of each."""
    for part, count, green in (("train", 2, TRAIN), ("val", 1, VAL), ("test", 1, TEST)):
        write_photos(root / "leaves" / part, samples(3, part, count, lambda label, name: f"leaf {label}/{name}.jpg"), green)


def write_hugging_face(root: Path) -> None:
    """Three classes, 2 + 1 + 1 photos of each, in files of Parquet (layout: https://huggingface.co/docs/datasets/image_dataset)."""
    import datasets

    datasets.disable_progress_bars()
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["ash", "elm", "oak"])})
    for part, count, green in (("train", 2, TRAIN), ("validation", 1, VAL), ("test", 1, TEST)):
        labels = [label for label in range(3) for _ in range(count)]
        table = datasets.Dataset.from_dict({"image": [photo(label, green) for label in labels], "label": labels}, features=features)
        path = root / "hf" / "owner" / "trees" / "data" / f"{part}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_parquet(path)


def write_webdataset(root: Path) -> None:
    """Three classes, 2 + 1 + 1 photos of each, in four shards (layout: https://github.com/webdataset/webdataset)."""
    (root / "shards").mkdir(parents=True)
    for shard, part, labels in (
        ("train-000", TRAIN, [2, 0, 1]),
        ("train-001", TRAIN, [0, 1, 2]),
        ("val-000", VAL, [1, 0, 2]),
        ("test-000", TEST, [0, 1, 2]),
    ):
        write_shard(root / "shards" / f"{shard}.tar", [(f"{number:06d}", label) for number, label in enumerate(labels)], part)
    (root / "shards" / "classnames.txt").write_text("ash\nelm\noak\n")


def write_shard(path: Path, listed: Iterable[tuple[str, int]], part: int) -> None:
    """A photo and its class for each name."""
    with tarfile.open(path, "w") as tar:
        for name, label in listed:
            encoded = BytesIO()
            photo(label, part).save(encoded, format="JPEG", quality=95, subsampling=0)
            for ending, content in (("jpg", encoded.getvalue()), ("cls", str(label).encode())):
                member = tarfile.TarInfo(f"{name}.{ending}")
                member.size = len(content)
                tar.addfile(member, BytesIO(content))


def write_people(folder: Path, classes: int, frame: str) -> None:
    """People to train on and two others: 2 photos of each by two cameras, 2 queries, a gallery with a distractor and, if any, junk."""
    train = [(f"{2 * label + 2:04d}_c{camera}{frame}.jpg", label) for label in range(classes) for camera in (1, 2)]
    write_photos(folder / "bounding_box_train", train, TRAIN)
    write_photos(folder / "query", [(f"0001_c1{frame}.jpg", 1), (f"0003_c6{frame}.jpg", 3)], TEST)
    gallery = [(f"0001_c1{frame}_1.jpg", 1), (f"0001_c2{frame}.jpg", 1), (f"0003_c3{frame}.jpg", 3), (f"0000_c1{frame}.jpg", 0)]
    write_photos(folder / "bounding_box_test", [*gallery, (f"-1_c2{frame}.jpg", 15)], TEST)
    (folder / "query" / "Thumbs.db").touch()


def write_market1501(root: Path) -> None:
    """751 people to train on (layout: Market-1501-v15.09.15/readme.txt)."""
    write_people(root / "Market-1501-v15.09.15", 751, "s1_000151_00")


def write_dukemtmc(root: Path) -> None:
    """702 people to train on (layout: https://github.com/sxzrt/DukeMTMC-reID_evaluation)."""
    write_people(root / "DukeMTMC-reID", 702, "_f0044158")


def write_lfw(root: Path) -> None:
    """4038 people to train on, of nine in ten one photo, and ten others, 5 photos of each (layout: torchvision.datasets.LFWPeople).

    100 pairs are of one of the ten and as many of two. The packed photos are an empty file, for their checksum alone is asked for.
    """
    folder = root / "lfw-py"
    people = {f"Person_{label:04d}": 1 if label % 10 else 10 if label % 100 == 0 else 2 for label in range(4038)}
    others = {f"Stranger_{label:02d}": 5 for label in range(10)}
    for shown, green in ((people, TRAIN), (others, TEST)):
        listed = [(f"{name}/{name}_{number:04d}.jpg", label) for label, name in enumerate(shown) for number in range(1, shown[name] + 1)]
        write_photos(folder / "lfw_funneled", [(name, label % 256) for name, label in listed], green)
    (folder / "lfw-funneled.tgz").touch()
    same = [f"{name}\t{one}\t{two}" for name in others for one, two in combinations(range(1, 6), 2)]
    two_people = [f"{one}\t{number}\t{two}\t{number}" for one, two in combinations(others, 2) for number in (1, 2, 3)][: len(same)]
    for name, lines in {
        "lfw-names": [f"{person}\t{count}" for person, count in {**others, **people}.items()],
        "peopleDevTrain": [f"{len(people)}", *(f"{person}\t{count}" for person, count in people.items())],
        "peopleDevTest": [f"{len(others)}", *(f"{person}\t{count}" for person, count in others.items())],
        "pairsDevTest": [f"{len(same)}", *same, *two_people],
    }.items():
        (folder / f"{name}.txt").write_text("\n".join([*lines, ""]))
