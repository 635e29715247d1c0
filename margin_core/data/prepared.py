"""One replicate's data: a dataset, split and changed by its dials as the seeds say. All cells of a replicate get the same."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from margin_core.data import manifold
from margin_core.data.class_sizes import class_sizes, thin
from margin_core.data.clutter import clutter_images
from margin_core.data.dataset import OFFICIAL, Dataset, DatasetConfig, no_official_validation
from margin_core.data.deform import deform_images
from margin_core.data.granularity import keep_classes
from margin_core.data.label_noise import corrupt_labels
from margin_core.data.listing import check_dials, load_dataset
from margin_core.data.parts import merge, present
from margin_core.data.pretext import rotation_task, turned_examples
from margin_core.data.splits import official_split, split
from margin_core.seeds import numpy_generator, torch_generator


@dataclass(frozen=True)
class Prepared:
    """What one trial trains on, chooses by and is tested on.

    Images are as the dataset stores them: `Dataset.standardiser` makes of a batch what a network sees.

    Args:
        dataset: Where the examples come from: as it was read, or what the dials make of it.
        train_indices: Places of the training examples in ``dataset``, in rising order.
        val_indices: Places of the validation examples; none where the config's ``validation`` is 0, and the same in every replicate
            where it is ``official``.
        test_indices: Places of the test examples; the same in every replicate.
        train_y: Training labels, (N,) int64, label noise included.
        val_y: Validation labels, as they are in the dataset.
    """

    dataset: Dataset
    train_indices: Tensor
    val_indices: Tensor
    test_indices: Tensor
    train_y: Tensor
    val_y: Tensor

    @property
    def num_classes(self) -> int:
        """K."""
        return self.dataset.num_classes

    @property
    def in_shape(self) -> tuple[int, int, int]:
        """The shape of one image: (C, H, W)."""
        return self.dataset.in_shape

    @property
    def train_x(self) -> Tensor:
        """The training images, (N, C, H, W): a copy in memory."""
        return self._pictures(self.train_indices)

    @property
    def val_x(self) -> Tensor:
        """The validation images: a copy in memory."""
        return self._pictures(self.val_indices)

    def test(self) -> tuple[Tensor, Tensor]:
        """Test images and labels: a call, because only the last stage of a study may look at them."""
        return self._pictures(self.test_indices), self.dataset.labels[self.test_indices]

    def _pictures(self, examples: Tensor) -> Tensor:
        return self.dataset.shown(self.dataset.images[self.dataset.images_of(examples)], self.dataset.labels[examples])


def prepare(
    config: DatasetConfig,
    *,
    data_root: str | Path | None = None,
    study_seed: int,
    replicate: int,
    test: float = 0.2,
) -> Prepared:
    """The data of one replicate.

    Args:
        config: Which dataset, and its dials.
        data_root: Folder of the datasets; by default the environment's ``MARGIN_DATA``.
        study_seed: The study's seed.
        replicate: Number of the replicate.
        test: Share of all examples that test, or of those outside the official validation split where that validates; not used where
            there is an official test split.

    Raises:
        ValueError: On an unknown dataset, a share out of range, an official validation split that is not there, or a dial that asks
            for more than there is.
        FileNotFoundError: Where the dataset's files are not there.

    Example:
        >>> data = prepare(DatasetConfig("digits", label_noise=0.1), study_seed=0, replicate=3)
        >>> len(data.train_y), len(data.val_y), len(data.test_indices)
        (1079, 359, 359)
        >>> int((data.train_y != data.dataset.labels[data.train_indices]).sum())
        108
    """
    check_dials(config)
    dataset = load_dataset(config.name, data_root, size=config.size) if config.manifold is None else manifold.build(config.manifold)
    train, val, tests = _split(config, dataset, study_seed=study_seed, replicate=replicate, test=test)
    # After the split, so that merged classes have the training, validation and test examples of those that they are made of.
    if config.merge is not None:
        dataset = merge(dataset, config.merge)
    if config.classes is not None:
        check_dials(config, dataset.num_classes)
        dataset, places = keep_classes(dataset, tests, config.classes, config.choose)
        train, val, tests = (present(places[indices]) for indices in (train, val, tests))
        if config.validation != 0.0 and not len(val):
            raise ValueError(
                f"{config.key}: validation must be 0 or leave an example of the {config.classes} classes, got {config.validation!r}"
            )
    if config.sizes_classes:
        train = train[_thinned(config, dataset, dataset.labels[train], numpy_generator(study_seed, replicate, "class sizes"))]
    train_y = dataset.labels[train]
    if config.label_noise > 0.0:
        train_y = corrupt_labels(
            train_y,
            dataset.images[train] if config.noise == "nearest" else dataset.images[:0],
            num_classes=dataset.num_classes,
            share=config.label_noise,
            noise=config.noise,
            generator=numpy_generator(study_seed, replicate, "noise"),
        )
    # Last, so that the classes and the wrong labels are those of the plain pictures.
    if config.deform > 0.0:
        dataset = replace(dataset, images=deform_images(dataset.images, config.deform, torch_generator(study_seed, "deform")))
    if config.clutter > 0.0:
        dataset = replace(dataset, images=clutter_images(dataset.images, config.clutter, train, torch_generator(study_seed, "clutter")))
    # Very last: images are split, not turns, and split as they are without the dial.
    if config.pretext is not None:
        dataset = rotation_task(dataset)
        train, val, tests = (turned_examples(places) for places in (train, val, tests))
        train_y = dataset.labels[train]
    return Prepared(
        dataset=dataset,
        train_indices=train,
        val_indices=val,
        test_indices=tests,
        train_y=train_y,
        val_y=dataset.labels[val],
    )


def _split(config: DatasetConfig, dataset: Dataset, *, study_seed: int, replicate: int, test: float) -> tuple[Tensor, Tensor, Tensor]:
    tests, validation = dataset.test_indices, config.validation
    if validation != OFFICIAL:
        return split(dataset.labels, tests, study_seed=study_seed, replicate=replicate, validation=validation, test=test)
    if dataset.val_indices is None:
        raise no_official_validation(config.name)
    return official_split(dataset.labels, dataset.val_indices, tests, study_seed=study_seed, test=test)


def _thinned(config: DatasetConfig, dataset: Dataset, labels: Tensor, generator: np.random.Generator) -> Tensor:
    try:
        sizes = class_sizes(labels, num_classes=dataset.num_classes, images_per_class=config.images_per_class, imbalance=config.imbalance)
    except ValueError as error:
        raise ValueError(f"{config.name}: {error}") from None
    return thin(labels, sizes, generator)
