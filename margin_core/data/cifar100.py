"""CIFAR-100: a hundred classes of things, five to each of 20 superclasses."""

from __future__ import annotations

from pathlib import Path

import torch

from margin_core.data.cifar10 import examples
from margin_core.data.dataset import Dataset, DatasetSource, Superclasses
from margin_core.data.files import Files, join_parts

# As https://www.cs.toronto.edu/~kriz/cifar.html lists them, in the words of the dataset's own file of names.
SUPERCLASSES = {
    "aquatic_mammals": ("beaver", "dolphin", "otter", "seal", "whale"),
    "fish": ("aquarium_fish", "flatfish", "ray", "shark", "trout"),
    "flowers": ("orchid", "poppy", "rose", "sunflower", "tulip"),
    "food_containers": ("bottle", "bowl", "can", "cup", "plate"),
    "fruit_and_vegetables": ("apple", "mushroom", "orange", "pear", "sweet_pepper"),
    "household_electrical_devices": ("clock", "keyboard", "lamp", "telephone", "television"),
    "household_furniture": ("bed", "chair", "couch", "table", "wardrobe"),
    "insects": ("bee", "beetle", "butterfly", "caterpillar", "cockroach"),
    "large_carnivores": ("bear", "leopard", "lion", "tiger", "wolf"),
    "large_man-made_outdoor_things": ("bridge", "castle", "house", "road", "skyscraper"),
    "large_natural_outdoor_scenes": ("cloud", "forest", "mountain", "plain", "sea"),
    "large_omnivores_and_herbivores": ("camel", "cattle", "chimpanzee", "elephant", "kangaroo"),
    "medium_mammals": ("fox", "porcupine", "possum", "raccoon", "skunk"),
    "non-insect_invertebrates": ("crab", "lobster", "snail", "spider", "worm"),
    "people": ("baby", "boy", "girl", "man", "woman"),
    "reptiles": ("crocodile", "dinosaur", "lizard", "snake", "turtle"),
    "small_mammals": ("hamster", "mouse", "rabbit", "shrew", "squirrel"),
    "trees": ("maple_tree", "oak_tree", "palm_tree", "pine_tree", "willow_tree"),
    "vehicles_1": ("bicycle", "bus", "motorcycle", "pickup_truck", "train"),
    "vehicles_2": ("lawn_mower", "rocket", "streetcar", "tank", "tractor"),
}
CLASSES = tuple(sorted(name for names in SUPERCLASSES.values() for name in names))
# Of the training pixels on the scale [0, 1], by channel.
MEAN, STD = (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)
FILES = Files(
    "cifar100",
    "cifar-100-python",
    ("train", "test", "meta"),
    "torchvision.datasets.CIFAR100(root, download=True) puts them there (169 MB to download, 355 MB on disk)",
)


def read(data_root: Path | None) -> Dataset:
    """All images, the 50000 for training first; the other 10000 are the official test split."""
    root = FILES.find(data_root)
    from torchvision.datasets import CIFAR100

    train, test = (CIFAR100(root, train=train) for train in (True, False))
    of_class = [label for name in CLASSES for label, names in enumerate(SUPERCLASSES.values()) if name in names]
    return join_parts(
        "cifar100",
        examples(train),
        examples(test),
        class_names=CLASSES,
        mean=MEAN,
        std=STD,
        superclasses=Superclasses(torch.tensor(of_class), tuple(SUPERCLASSES)),
    )


def download(data_root: Path) -> None:
    """Put the files below the data root, by torchvision."""
    from torchvision.datasets import CIFAR100

    CIFAR100(data_root, download=True)


SOURCE = DatasetSource(
    name="cifar100",
    title="CIFAR-100",
    num_classes=100,
    in_shape=(3, 32, 32),
    examples=60000,
    reference="Krizhevsky, Learning multiple layers of features from tiny images, University of Toronto 2009",
    read=read,
    check=FILES.find,
    superclasses=20,
    download=download,
)
