"""Everything that a dataset holds, in one class to subclass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from margin_core.data import (
    OFFICIAL,
    Dataset,
    DatasetConfig,
    DatasetSource,
    Imbalance,
    check_dataset,
    dataset_info,
    load_dataset,
    prepare,
    resolve_data_root,
)


class DatasetConformance:
    """The tests that every dataset passes; a subclass names the datasets, whose files must be there.

    Attributes:
        sources: The declarations of the datasets that are tested; those of photos at any size, which may be a small one.
        data_root: Folder of the datasets; by default the environment's ``MARGIN_DATA``.
        whole: Whether the files there are the whole datasets. False for small copies in the same layout, with a training example of
            each class: then neither their number nor their mean and standard deviation is compared with the declaration.
    """

    sources: ClassVar[Sequence[DatasetSource]] = ()
    data_root: ClassVar[Path | None] = None
    whole: ClassVar[bool] = True

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Called by pytest for each test of the class."""
        if not self.sources:
            raise ValueError(f"{type(self).__name__}.sources must name at least one dataset")
        if "source" in metafunc.fixturenames:
            metafunc.parametrize("source", [pytest.param(source, id=source.name) for source in self.sources])

    @property
    def root(self) -> Path | None:
        """Where the datasets are read from."""
        return resolve_data_root(self.data_root)

    def config(self, source: DatasetSource) -> DatasetConfig:
        """The dataset with no dial turned."""
        return DatasetConfig(source.name, size=source.size)

    def load(self, source: DatasetSource) -> Dataset:
        """The dataset as a study has it."""
        return load_dataset(source.name, self.root, size=source.size)

    def test_the_declaration_is_complete(self, source: DatasetSource) -> None:
        assert source.name
        assert source.title
        assert source.reference
        assert source.num_classes is None or source.num_classes >= 2
        assert min(source.in_shape) >= 1

    def test_a_study_finds_it_by_its_name(self, source: DatasetSource) -> None:
        assert dataset_info(source.name, source.size) is source

    def test_what_is_read_is_what_the_declaration_says(self, source: DatasetSource) -> None:
        dataset = source.read(self.root)
        assert dataset.name == source.name
        examples = source.examples if self.whole and source.examples else len(dataset.labels)
        assert dataset.images.shape == (examples, *source.in_shape)
        assert dataset.images.dtype in (torch.uint8, torch.float32)
        assert dataset.labels.shape == (examples,)
        assert dataset.labels.dtype == torch.int64
        assert dataset.num_classes == (source.num_classes or dataset.num_classes)
        assert len(set(dataset.class_names)) == dataset.num_classes
        of_none = {-1} if dataset.task is not None else set()
        assert set(dataset.labels.tolist()) - of_none == set(range(dataset.num_classes))
        assert source.task == ("classification" if dataset.task is None else dataset.task.name)

    def test_a_network_sees_finite_and_standardised_images(self, source: DatasetSource) -> None:
        dataset = self.load(source)
        images = dataset.standardiser()(dataset.images)
        assert images.dtype == torch.float32
        assert images.isfinite().all()
        if self.whole:
            assert abs(images.mean().item()) < 0.1
            spread = images.std().item()
            # A declared deviation is that of the pictures at their own size; smaller ones are smoother.
            assert abs(spread - 1.0) < 0.1 if source.in_shape == dataset_info(source.name).in_shape else 0.5 < spread < 1.1

    def test_superclasses_and_groups_have_names_and_every_class_is_in_one(self, source: DatasetSource) -> None:
        dataset = self.load(source)
        for level, declared in ((dataset.superclasses, source.superclasses), (dataset.groups, source.groups)):
            assert (0 if level is None else len(level.names)) == declared
        for level in (dataset.superclasses, dataset.groups):
            if level is not None:
                assert level.of_class.dtype == torch.int64
                assert level.of_class.shape == (dataset.num_classes,)
                assert len(set(level.names)) == len(level.names) < dataset.num_classes
                assert set(level.of_class.tolist()) == set(range(len(level.names)))

    def test_an_official_test_split_holds_places_of_examples_each_once(self, source: DatasetSource) -> None:
        dataset = self.load(source)
        examples, tests = len(dataset.labels), dataset.test_indices
        if tests is not None:
            assert tests.dtype == torch.int64
            assert 0 < len(tests) < examples
            assert len(set(tests.tolist())) == len(tests)
            assert 0 <= int(tests.min()) <= int(tests.max()) < examples

    def test_reading_twice_gives_the_same_and_draws_no_random_number(self, source: DatasetSource) -> None:
        one = source.read(self.root)
        torch.rand(1)
        np.random.rand(1)
        before, numpy_before = torch.random.get_rng_state(), np.random.get_state(legacy=False)
        other = source.read(self.root)
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.labels, other.labels)
        assert torch.equal(torch.random.get_rng_state(), before)
        assert str(np.random.get_state(legacy=False)) == str(numpy_before)

    def test_it_is_read_once_per_process(self, source: DatasetSource) -> None:
        assert self.load(source) is self.load(source)

    def test_files_that_are_not_there_are_told_in_a_sentence_without_reading(self, source: DatasetSource, tmp_path: Path) -> None:
        check_dataset(source.name, self.root)
        for nowhere in (None, tmp_path / "nowhere"):
            sentence = refusal(source, nowhere)
            if sentence is None:  # it needs no files, and is read without them
                assert len(source.read(nowhere).labels) == source.examples
            else:
                assert sentence.startswith(f"{source.name}: ")
                assert "\n" not in sentence

    def test_splits_hold_every_example_once_and_test_examples_never_train(self, source: DatasetSource) -> None:
        dataset = self.load(source)
        replicates = [prepare(self.config(source), data_root=self.root, study_seed=0, replicate=replicate) for replicate in range(3)]
        for data in replicates:
            places = torch.cat([data.train_indices, data.val_indices, data.test_indices])
            assert torch.equal(places.sort().values, torch.arange(len(dataset.labels)))
            assert torch.equal(data.test_indices, replicates[0].test_indices)
            assert set(data.train_y.tolist()) == set(range(dataset.num_classes))
        if dataset.test_indices is not None:
            assert torch.equal(replicates[0].test_indices, dataset.test_indices.sort().values)

    def test_an_official_validation_split_validates_in_every_replicate_and_where_there_is_none_it_is_refused(
        self, source: DatasetSource
    ) -> None:
        dataset, config = self.load(source), replace(self.config(source), validation=OFFICIAL)
        assert source.official_validation in (None, dataset.val_indices is not None)
        if dataset.val_indices is None:
            with pytest.raises(ValueError, match=f"{source.name}: validation must be .* there is no official validation split"):
                prepare(config, data_root=self.root, study_seed=0, replicate=0)
            return
        assert dataset.val_indices.dtype == torch.int64
        for replicate in range(3):
            data = prepare(config, data_root=self.root, study_seed=0, replicate=replicate)
            places = torch.cat([data.train_indices, data.val_indices, data.test_indices])
            assert torch.equal(places.sort().values, torch.arange(len(dataset.labels)))
            assert torch.equal(data.val_indices, dataset.val_indices.sort().values)
            assert data.val_y.min() >= 0
            assert set(data.train_y.tolist()) == set(range(dataset.num_classes))
            if dataset.test_indices is not None:
                assert torch.equal(data.test_indices, dataset.test_indices.sort().values)

    @pytest.mark.parametrize("noise", ["symmetric", "nearest"])
    def test_label_noise_makes_training_labels_wrong_and_no_other(self, source: DatasetSource, noise: str) -> None:
        config = replace(self.config(source), label_noise=0.2, noise=noise)  # type: ignore[arg-type]
        clean, noisy = (prepare(c, data_root=self.root, study_seed=0, replicate=0) for c in (self.config(source), config))
        assert torch.equal(noisy.train_indices, clean.train_indices)
        assert int((noisy.train_y != clean.train_y).sum()) == round(0.2 * len(clean.train_y))
        assert torch.equal(noisy.val_y, clean.val_y)
        assert torch.equal(noisy.test()[1], clean.test()[1])

    def test_merged_classes_keep_their_examples_in_every_split_and_labels_become_the_level_s(self, source: DatasetSource) -> None:
        dataset = self.load(source)
        plain = prepare(self.config(source), data_root=self.root, study_seed=0, replicate=0)
        for name, level in (("superclasses", dataset.superclasses), ("groups", dataset.groups)):
            config = replace(self.config(source), merge=name)  # type: ignore[arg-type]
            if level is None:
                with pytest.raises(ValueError, match=f"{source.name}: merge must be left out"):
                    prepare(config, data_root=self.root, study_seed=0, replicate=0)
                continue
            merged = prepare(config, data_root=self.root, study_seed=0, replicate=0)
            assert merged.dataset.class_names == level.names
            for one, other in ((merged.train_x, plain.train_x), (merged.val_x, plain.val_x), (merged.test()[0], plain.test()[0])):
                assert torch.equal(one, other)
            for one, other in ((merged.train_y, plain.train_y), (merged.val_y, plain.val_y), (merged.test()[1], plain.test()[1])):
                assert torch.equal(one, level.of_class[other])

    def test_all_dials_can_be_turned_and_those_on_pictures_change_no_label(self, source: DatasetSource) -> None:
        few = replace(self.config(source), classes=2, choose="nearest", images_per_class=1, imbalance=Imbalance("step", 1), validation=0.0)
        kept = prepare(few, data_root=self.root, study_seed=0, replicate=0)
        assert sorted(kept.train_y.tolist()) == [0, 1]
        assert set(kept.dataset.class_names) < set(self.load(source).class_names) or self.load(source).num_classes == 2
        pictures = prepare(replace(few, clutter=0.25, deform=0.2), data_root=self.root, study_seed=0, replicate=0)
        for before, after in ((kept.train_x, pictures.train_x), (kept.val_x, pictures.val_x), (kept.test()[0], pictures.test()[0])):
            assert after.shape == before.shape
            assert after.isfinite().all()
        for before, after in ((kept.train_y, pictures.train_y), (kept.val_y, pictures.val_y), (kept.test()[1], pictures.test()[1])):
            assert torch.equal(after, before)

    def test_square_images_are_turned_within_their_split_and_others_are_not_turned(self, source: DatasetSource) -> None:
        config = replace(self.config(source), pretext="rotation")
        if source.in_shape[1] != source.in_shape[2] or source.task != "classification":
            with pytest.raises(ValueError, match=f"{source.name}: pretext must be left out"):
                prepare(config, data_root=self.root, study_seed=0, replicate=0)
            return
        plain, turned = (prepare(c, data_root=self.root, study_seed=0, replicate=0) for c in (self.config(source), config))
        for split in ("train_indices", "val_indices", "test_indices"):
            examples = getattr(turned, split)
            assert torch.equal(turned.dataset.images_of(examples), getattr(plain, split).repeat_interleave(4))
            assert torch.equal(turned.dataset.labels[examples], torch.arange(4).repeat(len(examples) // 4))


def refusal(source: DatasetSource, root: Path | None) -> str | None:
    """What the dataset's check says of a data root, or None where it says that all is there."""
    try:
        source.check(root)
    except FileNotFoundError as error:
        return str(error)
    return None
