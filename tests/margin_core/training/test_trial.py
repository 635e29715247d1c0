"""Trials: what they report, that seeds fix them to the last bit, and how they end."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, log_loss
from torch import Tensor

from margin_core.data import DatasetConfig
from margin_core.knobs import Schedule
from margin_core.losses import get_family, list_losses
from margin_core.training import Cell, EpochReport, Recipe, Setting, Trial
from margin_core.training.batches import batch_sizes
from tests.margin_core.data.small_copies import write_mnist

KEYS = ["train_loss", "val_accuracy", "val_nll", "val_ece", "class_margin", "val_sample_margin"]


def cell(
    family: str = "ce",
    knobs: dict[str, Setting] | None = None,
    regularizers: dict[str, float | Schedule] | None = None,
    *,
    dataset: DatasetConfig = DatasetConfig("digits"),  # noqa: B008 -- a frozen value
    model: str = "mlp-50-20",
    **recipe: object,
) -> Cell:
    settings = {"epochs": 2, "batch_size": 64, **recipe}
    return Cell(dataset, model, family, knobs or {}, regularizers or {}, Recipe(**settings))  # type: ignore[arg-type]


def run(trial: Trial) -> list[EpochReport]:
    reports = []
    while not trial.done:
        reports.append(trial.run_epoch())
    return reports


def images_in_order(trial: Trial) -> Tensor:
    """The images of one epoch as the network is given them in training."""
    seen: list[Tensor] = []
    hook = trial.model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]) if module.training else None)
    trial.run_epoch()
    hook.remove()
    return torch.cat(seen)


# Two epochs are few for the two families that are slow to start: GCE weighs a sample by its probability, which is small at first, and
# large-margin softmax needs the plain cosine beside the margin's.
FIRST_STEPS: dict[str, dict[str, Setting]] = {"gce": {"q": 0.3}, "l_softmax": {"lam": 20.0}}


@pytest.mark.parametrize("family", list_losses())
def test_every_family_trains_and_reports_the_same_metrics(family: str) -> None:
    reports = run(Trial(cell(family, FIRST_STEPS.get(family)), study_seed=0, replicate=0))
    assert [report.epoch for report in reports] == [1, 2]
    for report in reports:
        assert list(report.metrics) == KEYS
        assert all(math.isfinite(value) for value in report.metrics.values())
        assert report.seconds > 0.0
        assert not report.diverged
    assert reports[1].metrics["train_loss"] < reports[0].metrics["train_loss"]
    assert 50.0 < reports[1].metrics["val_accuracy"] <= 100.0
    assert 0.0 <= reports[1].metrics["val_ece"] <= 1.0
    assert 0.0 < reports[1].metrics["class_margin"] < 97.0


@pytest.mark.parametrize(
    ("family", "option", "choice"),
    [(name, option.name, choice) for name in list_losses() for option in get_family(name).options for choice in option.choices],
)
def test_every_option_of_a_family_trains(family: str, option: str, choice: str) -> None:
    first, last = run(Trial(cell(family, {option: choice}), study_seed=0, replicate=0))
    assert last.metrics["train_loss"] < first.metrics["train_loss"]
    assert last.metrics["val_accuracy"] > 50.0


def test_every_mode_of_two_scale_is_the_same_on_its_first_step_and_none_later() -> None:
    settings: list[dict[str, Setting]] = [{}, {"mode": "fixed"}, {"mode": "separation"}, {"mode": "separation", "first_scale": "fixed"}]
    trials = [Trial(cell("two_scale", setting, batch_size=1500, epochs=3), study_seed=0, replicate=0) for setting in settings]
    reports = [run(trial) for trial in trials]
    assert len({report[0].metrics["train_loss"] for report in reports}) == 1
    assert len({report[-1].metrics["train_loss"] for report in reports}) == len(reports)


def test_cross_entropy_learns_digits() -> None:
    trial = Trial(cell(epochs=20), study_seed=0, replicate=0)
    assert run(trial)[-1].metrics["val_accuracy"] > 93.0
    assert trial.evaluate("test")["test_accuracy"] > 93.0


def test_a_trial_ends_after_its_epochs() -> None:
    trial = Trial(cell(epochs=1), study_seed=0, replicate=0)
    assert (trial.epoch, trial.done) == (0, False)
    trial.run_epoch()
    assert (trial.epoch, trial.done) == (1, True)
    with pytest.raises(RuntimeError, match="replicate 0 is done after epoch 1"):
        trial.run_epoch()


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_an_evaluation_agrees_with_scikit_learn(split: str) -> None:
    trial = Trial(cell("arc_face"), study_seed=0, replicate=0)
    last = run(trial)[-1]
    measured, predictions = trial.evaluate(split), trial.predict(split)  # type: ignore[arg-type]
    target, logits = predictions.target.numpy(), predictions.logits.double()
    assert measured[f"{split}_accuracy"] == pytest.approx(100.0 * accuracy_score(target, logits.argmax(dim=1).numpy()))
    assert measured[f"{split}_nll"] == pytest.approx(log_loss(target, logits.softmax(dim=1).numpy()))
    if split == "val":
        assert {"train_loss": last.metrics["train_loss"], **measured} == last.metrics


def test_an_unknown_split_is_named() -> None:
    with pytest.raises(ValueError, match="split must be one of train, val, test, got 'valid'"):
        Trial(cell(), study_seed=0, replicate=0).evaluate("valid")  # type: ignore[arg-type]


def test_the_test_examples_are_not_those_of_training_or_validation() -> None:
    trial = Trial(cell(), study_seed=0, replicate=0)
    assert torch.equal(trial.predict("test").target, trial.data.dataset.labels[trial.data.test_indices])


@pytest.mark.parametrize("family", ["ce", "two_scale", "arc_face"])
def test_equal_seeds_give_equal_numbers_and_other_replicates_others(family: str) -> None:
    cell_ = cell(family, regularizers={"sample_margin": 0.1}, dataset=DatasetConfig("digits", 0.1))
    runs = {}
    for name, (study_seed, replicate) in {"first": (0, 0), "again": (0, 0), "replicate": (0, 1), "study": (1, 0)}.items():
        torch.manual_seed(len(name))  # no trial may read the global generator
        runs[name] = [report.metrics for report in run(Trial(cell_, study_seed=study_seed, replicate=replicate))]
    assert runs["first"] == runs["again"]
    assert runs["replicate"] != runs["first"]
    assert runs["study"] != runs["first"]


def test_a_trial_leaves_the_global_generator_as_it_was() -> None:
    before = torch.random.get_rng_state()
    run(Trial(cell(), study_seed=0, replicate=0))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_cells_of_a_replicate_share_split_noise_backbone_and_order() -> None:
    noisy = DatasetConfig("digits", 0.2)
    one = Trial(cell("ce", dataset=noisy, lr=0.01), study_seed=0, replicate=4)
    other = Trial(cell("arc_face", dataset=noisy, optimizer="adamw", batch_size=50, epochs=7), study_seed=0, replicate=4)
    for name in ("train_indices", "val_indices", "test_indices", "train_y"):
        assert torch.equal(getattr(one.data, name), getattr(other.data, name))
    start, same = one.model.backbone.state_dict(), other.model.backbone.state_dict()
    assert all(torch.equal(start[key], same[key]) for key in start)
    assert torch.equal(one.model.head.weight, other.model.head.weight)
    first, second = images_in_order(one), images_in_order(one)
    assert torch.equal(first, images_in_order(other))
    assert torch.equal(second, images_in_order(other))
    assert not torch.equal(first, second)


def test_an_epoch_shows_each_training_example_once() -> None:
    trial = Trial(cell(), study_seed=0, replicate=0)
    seen = images_in_order(trial).flatten(1)
    assert sorted(seen.tolist()) == sorted(trial.data.train_x.flatten(1).tolist())


def test_stored_bytes_reach_the_network_standardised_to_the_last_bit_as_if_they_had_been_read_so(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    trial = Trial(cell(dataset=DatasetConfig("mnist")), study_seed=0, replicate=0, data_root=tmp_path)
    seen: list[Tensor] = []
    trial.model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    trial.run_epoch()
    trial.evaluate("test")
    training, validation, test = seen
    read_so = trial.data.dataset.images.to(torch.float32).div_(255.0).sub_(0.1307).div_(0.3081)
    assert sorted(training.flatten(1).tolist()) == sorted(read_so[trial.data.train_indices].flatten(1).tolist())
    assert torch.equal(validation, read_so[trial.data.val_indices])
    assert torch.equal(test, read_so[trial.data.test_indices])


@pytest.mark.parametrize("family", list_losses())
@pytest.mark.parametrize("recipe", [{"optimizer": "sgd"}, {"optimizer": "adamw"}, {"optimizer": "sgd", "clip_norm": None}])
def test_a_learning_rate_beyond_all_reason_diverges_and_says_so(family: str, recipe: dict[str, object]) -> None:
    trial = Trial(cell(family, lr=1e30, regularizers={"sample_margin": 0.1, "zero_centroid": 0.1}, **recipe), study_seed=0, replicate=0)
    reports = run(trial)
    assert [report.diverged for report in reports] == [False] * (len(reports) - 1) + [True]
    assert list(reports[-1].metrics) == KEYS
    assert trial.done
    assert trial.evaluate("test").keys() == {"test_accuracy", "test_nll", "test_ece", "class_margin", "test_sample_margin"}


def test_a_weight_that_is_not_finite_is_divergence_though_no_output_shows_it() -> None:
    trial = Trial(cell(), study_seed=0, replicate=0)
    # A unit that its ReLU keeps at 0 for every image.
    next(layer for layer in trial.model.backbone if isinstance(layer, torch.nn.Linear)).bias.data[0] = -math.inf
    report = trial.run_epoch()
    assert all(math.isfinite(value) for value in report.metrics.values())
    assert report.diverged


def test_a_weight_of_0_trains_as_if_the_regulariser_were_not_there() -> None:
    without = run(Trial(cell(), study_seed=0, replicate=0))
    zero = run(Trial(cell(regularizers={"sample_margin": 0.0, "zero_centroid": 0.0}), study_seed=0, replicate=0))
    assert [report.metrics for report in without] == [report.metrics for report in zero]


def test_the_sample_margin_regulariser_widens_the_margins() -> None:
    plain, pulled = (
        run(Trial(cell(regularizers={"sample_margin": weight}, epochs=10), study_seed=0, replicate=0))[-1] for weight in (0.0, 0.5)
    )
    for metric in ("class_margin", "val_sample_margin"):
        assert pulled.metrics[metric] > plain.metrics[metric]


def test_scheduled_knobs_are_reported_as_they_were_at_the_last_step_of_the_epoch() -> None:
    beta = Schedule("step", start=1.0, end=0.1, length=0.5)
    weight = Schedule("linear", start=0.0, end=1.0)
    reports = run(Trial(cell("gradient_decay", {"beta": beta, "tau": 1.0}, {"zero_centroid": weight}, epochs=4), study_seed=0, replicate=0))
    assert list(reports[0].metrics) == [*KEYS, "knob.beta", "knob.zero_centroid.weight"]
    assert [report.metrics["knob.beta"] for report in reports] == [1.0, 1.0, 0.1, 0.1]
    # 1079 training examples are 17 steps of 64.
    expected = [(17 * epoch - 1) / 68 for epoch in (1, 2, 3, 4)]
    assert [report.metrics["knob.zero_centroid.weight"] for report in reports] == pytest.approx(expected)


def test_clipping_bounds_the_length_of_a_step() -> None:
    trial = Trial(cell(epochs=1, batch_size=2000, momentum=0.0, lr=1.0, clip_norm=1e-3), study_seed=0, replicate=0)
    before = torch.cat([parameter.detach().flatten() for parameter in trial.model.parameters()])
    trial.run_epoch()
    after = torch.cat([parameter.detach().flatten() for parameter in trial.model.parameters()])
    assert (after - before).norm().item() == pytest.approx(1e-3, rel=1e-2)


def test_the_scales_of_two_scale_are_trained() -> None:
    trial = Trial(cell("two_scale", {"eta": 0.01}), study_seed=0, replicate=0)
    before = [parameter.item() for parameter in trial.loss.parameters()]
    run(trial)
    assert all(parameter.item() != start for parameter, start in zip(trial.loss.parameters(), before, strict=True))


@pytest.mark.parametrize("family", ["ce", "arc_face"])
def test_a_network_with_batch_norm_trains_though_one_example_is_left_over(family: str) -> None:
    # 1079 = 14 * 77 + 1
    trial = Trial(cell(family, model="timm:test_resnet", batch_size=77, epochs=1, lr=0.01), study_seed=0, replicate=0)
    assert not trial.run_epoch().diverged


@given(st.integers(1, 500), st.integers(1, 100))
def test_batches_hold_every_example_once_and_only_the_last_has_another_size(examples: int, batch_size: int) -> None:
    sizes = batch_sizes(examples, batch_size)
    assert sum(sizes) == examples
    assert set(sizes[:-1]) <= {batch_size}
    assert sizes[-1] <= batch_size + 1
    assert sizes[-1] > 1 or batch_size == 1 or examples == 1


def test_a_bad_cell_is_refused_before_anything_is_built() -> None:
    with pytest.raises(ValueError, match="gds: lam must be"):
        Trial(cell("gds", {"lam": -1.0}), study_seed=0, replicate=0)


def test_missing_data_are_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MARGIN_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="mnist: no data root was given"):
        Trial(cell(dataset=DatasetConfig("mnist")), study_seed=0, replicate=0)


def test_training_imports_neither_other_models_nor_data_nor_the_studies_libraries() -> None:
    script = """
import sys
import margin_core.training
found = {"timm", "torchvision", "ray", "mlflow", "optuna", "sklearn"} & set(sys.modules)
assert not found, found
"""
    subprocess.run([sys.executable, "-c", script], check=True)
