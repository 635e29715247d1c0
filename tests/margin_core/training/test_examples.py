"""Files of test examples: they hold what the network says, in few bytes, and a torn one is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from margin_core import metrics
from margin_core.training import Examples, Trial
from tests.margin_core.training.test_trial import cell, run


@pytest.fixture(scope="module")
def trial() -> Trial:
    trial = Trial(cell("cos_face"), study_seed=0, replicate=0)
    run(trial)
    return trial


def test_a_file_gives_back_what_the_network_says_of_each_test_example(trial: Trial, tmp_path: Path) -> None:
    Examples.of(trial).write(tmp_path / "new" / "one.npz")
    read, seen = Examples.read(tmp_path / "new" / "one.npz"), trial.predict("test")
    assert read.places.tolist() == trial.data.test_indices.tolist()
    assert 100.0 * read.right.mean() == pytest.approx(trial.evaluate("test")["test_accuracy"])
    margins = metrics.sample_margin(seen.cosines, seen.target).numpy()
    assert np.abs(read.margins - margins).max() < 1e-3
    assert ((read.margins > 0) == read.right).all()
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["one.npz"]


@pytest.mark.parametrize("examples", [0, 1, 7, 8, 9, 10_000])
def test_any_number_of_examples_comes_back_and_takes_about_two_bytes_each(tmp_path: Path, examples: int) -> None:
    random = np.random.default_rng(0)
    right, margins = random.random(examples) < 0.9, random.uniform(-2.0, 2.0, examples).astype(np.float16)
    made = Examples(60_000 + np.arange(examples), right, margins)
    made.write(tmp_path / "made.npz")
    read = Examples.read(tmp_path / "made.npz")
    assert (read.places.tolist(), read.right.tolist(), read.margins.tolist()) == (
        made.places.tolist(),
        made.right.tolist(),
        made.margins.tolist(),
    )
    assert (tmp_path / "made.npz").stat().st_size < 2.2 * examples + 1000


@pytest.mark.parametrize("kept", [0, 10, 500])
def test_a_torn_file_is_told_in_one_sentence(trial: Trial, tmp_path: Path, kept: int) -> None:
    path = tmp_path / "torn.npz"
    Examples.of(trial).write(path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"torn.npz is not a whole file of test examples: [^\n]*$"):
        Examples.read(path)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Examples.read(tmp_path / "none.npz")
