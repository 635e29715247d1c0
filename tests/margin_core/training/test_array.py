"""Arrays: each of their trials is trained as a plain loop would train it, and reports what it reports alone."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from margin_core.data import DatasetConfig, Imbalance, Manifold
from margin_core.knobs import Schedule
from margin_core.losses import get_family, list_losses
from margin_core.training import Cell, Record, Setting, array
from margin_core.training.array import why_alone
from tests.digit_tasks import installed
from tests.margin_core.training.array_cases import (
    KNOBS,
    alone,
    array_of,
    assert_as_alone,
    assert_same_reports,
    assert_same_state,
    begin,
    cell,
    run,
    state,
    varied,
)
from tests.margin_core.training.plain_training import Plain, train_plainly

# Values at which a formula may take another way.
MORE_KNOBS: dict[str, dict[str, Setting]] = {
    "ce": {"label_smoothing": Schedule("linear", 0.3, 0.0)},
    "gds": {"lam": 0.0, "hardest": "detached"},
    "gradient_decay": {"beta": 1.0},
    "two_scale": {"eta": Schedule("step", 0.01, 5.0, 0.1)},
    "focal": {"gamma": 0.0},
    "gce": {"q": 1.0},
    "truncated_ce": {"k": 0.3},
    "ohem": {"keep": Schedule("linear", 1.0, 0.01, 0.3)},
    "cos_face": {"m": 0.0},
    "arc_face": {"m": 3.0, "beyond_pi": "none"},
    "sphere_face": {"m": 1.0},
    "margin_softmax": {"m1": 2.0, "m2": 1.5},
    "l_softmax": {"m": 4.0, "lam": 20.0},
    "gm_softmax": {"alpha1": 1.0, "beta2": Schedule("cosine", 0.0, -0.5)},
    "ldam": {"max_margin": 0.0},
}


def assert_as_plain_loops(cells: list[Cell], epochs: int, replicates: Sequence[int] = ()) -> list[Plain]:
    """Trials of these cells in one array come to what a plain loop comes to for each, which is returned."""
    seeds = replicates or [0] * len(cells)
    trials = [begin(each, replicate) for each, replicate in zip(cells, seeds, strict=True)]
    plain = [train_plainly(begin(each, replicate), epochs) for each, replicate in zip(cells, seeds, strict=True)]
    reports = run(array_of(trials), epochs)
    for trial, expected in zip(trials, plain, strict=True):
        assert_same_state(trial, expected.state)
        assert [report.metrics["train_loss"] for report in reports[trial]] == pytest.approx(expected.train_loss, rel=1e-10)
    return plain


def test_all_families_in_one_array_come_to_what_plain_loops_come_to() -> None:
    plain = assert_as_plain_loops(varied(cell(family) for family in list_losses()), epochs=7)
    clipped = [sum(each.clipped) for each in plain]
    assert min(clipped) == 0 < max(clipped)
    assert {len(each.clipped) for each in plain} == {56}


def test_trials_of_one_family_have_knobs_of_their_own() -> None:
    cells = [cell(family, knobs, batch_size=125) for family in list_losses() for knobs in (KNOBS[family], MORE_KNOBS.get(family, {}))]
    assert_as_plain_loops(varied(cells), epochs=2)


def test_an_array_under_adamw_comes_to_what_plain_loops_come_to() -> None:
    recipe = {"optimizer": "adamw", "lr": 0.01, "warm_up": 1, "lr_schedule": "step", "lr_steps": [3, 0.5], "clip_norm": None}
    families = ("ce", "two_scale", "ohem", "arc_face", "l_softmax", "ldam")
    assert_as_plain_loops(varied(cell(family, **recipe) for family in families), epochs=4)


REGULARIZERS: list[dict[str, float | Schedule]] = [
    {},
    {"sample_margin": 0.5},
    {"zero_centroid": 10.0, "sample_margin": 0.0},
    {"sample_margin": Schedule("step", 0.0, 0.3, 0.2), "zero_centroid": Schedule("linear", 2.0, 0.0, 0.2)},
]


def test_each_trial_has_regularisers_of_its_own() -> None:
    cells = [cell(family, regularizers=weights, batch_size=125) for family in ("ce", "arc_face") for weights in REGULARIZERS]
    assert_as_plain_loops(varied(cells), epochs=3)


def test_no_length_of_a_prototype_shows_in_the_objective_of_a_family_on_cosines() -> None:
    cells = [cell(family, regularizers={"zero_centroid": 500.0}, batch_size=1000) for family in ("norm_face", "arc_face")]
    trials = [begin(each) for each in cells for _ in range(2)]
    for longer in trials[1::2]:
        longer.model.head.weight.data.mul_(torch.linspace(0.1, 30.0, 10, dtype=torch.float64).unsqueeze(1))
    reports = run(array_of(trials), epochs=1)  # one step: its loss is that of the beginning
    losses = [reports[trial][0].metrics["train_loss"] for trial in trials]
    assert losses[1::2] == pytest.approx(losses[::2], rel=1e-12)


TWO_SCALE: list[dict[str, Setting]] = [
    {"eta": 0.1, "ratio": 3.0},
    {"mode": "fixed"},
    {"mode": "separation", "ratio": 3.0},
    {"mode": "separation", "first_scale": "fixed", "eta": 1.0},
]


@pytest.mark.parametrize("clip_norm", [None, 0.3])
def test_each_trial_trains_scales_of_its_own_in_each_mode_of_two_scale(clip_norm: float | None) -> None:
    assert_as_plain_loops(varied(cell("two_scale", knobs, clip_norm=clip_norm, batch_size=125) for knobs in TWO_SCALE), epochs=3)


@pytest.mark.parametrize(
    "recipe",
    [
        {"momentum": 0.0, "clip_norm": 0.5},
        {"lr": Schedule("path", 0.05, then=((0.2, 0.1), (0.5, 0.01))), "lr_schedule": "constant"},
        {"warm_up": 0.25, "augment": "crop_flip_rotate"},
        {"batch_size": 1000, "lr": 0.5},
        {"batch_size": 71},  # the last batch has three examples
    ],
    ids=lambda recipe: "-".join(recipe),
)
def test_every_recipe_that_steps_are_made_by(recipe: dict[str, Any]) -> None:
    cells = [cell(family, **recipe) for family in ("ce", "ohem", "arc_face")]
    assert_as_plain_loops(cells if isinstance(recipe.get("lr"), Schedule) else varied(cells), epochs=3)


def test_trials_have_schedules_clipping_and_ends_of_their_own() -> None:
    recipes: list[dict[str, Any]] = [
        {"epochs": 3, "clip_norm": None, "lr_schedule": "constant"},
        {"epochs": 9, "clip_norm": 0.1, "warm_up": 2},
        {"epochs": 2, "lr_schedule": "step", "lr_steps": [1], "lr_factor": 0.5},
        {"lr": Schedule("path", 0.05, then=((0.2, 0.1),)), "clip_norm": 1.0},
    ]
    assert_as_plain_loops([cell(family, **recipe) for family in ("two_scale", "cos_face") for recipe in recipes], epochs=2)


@pytest.mark.parametrize(
    "dataset",
    [
        DatasetConfig("digits", 0.3, images_per_class=50),
        DatasetConfig("digits", imbalance=Imbalance("long_tailed", 20)),
        DatasetConfig("digits", pretext="rotation"),
        DatasetConfig("digits", validation=0),
    ],
    ids=lambda dataset: dataset.key,
)
def test_every_dial_of_a_dataset_that_labels_depend_on(dataset: DatasetConfig) -> None:
    assert_as_plain_loops([cell(family, dataset=dataset, batch_size=200) for family in ("ce", "ldam", "gds")], epochs=1)


PICTURES = DatasetConfig("manifold", manifold=Manifold("rigid"), images_per_class=10, classes=4)
TINY = DatasetConfig("digits", images_per_class=6, classes=3)
MODELS: list[tuple[int, dict[str, Any]]] = [
    (3, {"model": "linear-3"}),
    (3, {"model": "mlp-30-20", "backbone": "frozen"}),
    (4, {"model": "lenet5", "dataset": PICTURES, "batch_size": 8}),
    (1, {"model": "resnet32", "dataset": TINY, "batch_size": 9}),
    (4, {"model": "wrn-10-1", "dataset": TINY, "batch_size": 5}),
]


@pytest.mark.parametrize(("epochs", "of"), MODELS, ids=lambda value: value["model"] if isinstance(value, dict) else "")
def test_every_model_comes_to_what_a_plain_one_comes_to(epochs: int, of: dict[str, Any]) -> None:
    cells = [cell("ce", **of), cell("arc_face", regularizers={"sample_margin": 0.5}, **of), cell("two_scale", **of)]
    # Some networks see the same batches, others not.
    assert_as_plain_loops(varied(cells), epochs, replicates=[0, 1, 0])


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("of", [of for _, of in MODELS], ids=lambda of: of["model"])
def test_every_model_comes_to_what_a_plain_one_comes_to_after_fifty_steps(of: dict[str, Any], optimizer: str) -> None:
    families = ("ce", "two_scale", "l_softmax", "ldam") if of["model"] == "resnet32" else list_losses()
    recipe = {"epochs": 26, "optimizer": optimizer, "lr": 0.02 if optimizer == "sgd" else 1e-3}
    plain = assert_as_plain_loops(
        varied(cell(family, **of, **recipe) for family in families), epochs=26 if of["model"] == "resnet32" else 17
    )
    assert all(len(each.clipped) > 50 for each in plain)


OPTIONS = [(name, {option.name: choice}) for name in list_losses() for option in get_family(name).options for choice in option.choices[1:]]


def test_every_option_of_a_family_is_trained_and_reported_as_alone() -> None:
    # At a ratio of 1 one scale serves all, and the other has no gradient yet.
    scales: list[dict[str, Setting]] = [
        {"ratio": Schedule("linear", 1.0, 4.0)},
        {"parametrisation": "log", "mode": "separation", "ratio": Schedule("step", 1.0, 4.0, 0.2)},
    ]
    cells = [cell(family, knobs, batch_size=250) for family, knobs in [*OPTIONS, *(("two_scale", knobs) for knobs in scales)]]
    assert_as_alone(cells, epochs=2)


RECORDS = [
    Record(),
    Record(train=True, top_k=(2, 3), close_enough=(0.1,), scales=True),
    Record(test=True, first_steps=3, every_steps=5, scales=True),
    Record(confidence=True, samples=4, class_counts=True, every_steps=8),
]


@pytest.mark.parametrize("most", [array.MOST_VALUES, 15_000])  # all splits fit, or those of 359 examples
def test_each_trial_reports_what_its_own_record_asks_for(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array, "MOST_VALUES", most)
    cells = [cell("two_scale"), cell("cos_face"), cell("gradient_decay"), cell("two_scale", {"mode": "fixed"})]
    together, apart = ([begin(of, record=record) for of, record in zip(cells, RECORDS, strict=True)] for _ in range(2))
    reports = run(array_of(together), epochs=2)
    for trial, twin in zip(together, apart, strict=True):
        expected = alone(twin, epochs=2)
        assert_same_reports(reports[trial], expected)
        assert_same_state(trial, state(twin))
        for split in ("train", "val", "test"):
            assert trial.evaluate(split) == pytest.approx(twin.evaluate(split), rel=1e-9, abs=1e-9)
    assert [len(report.steps) for report in reports[together[2]]] == [4, 2]


def test_batch_norm_is_evaluated_within_an_epoch_with_each_trials_own_statistics() -> None:
    record = Record(first_steps=1)
    assert_as_alone(
        varied(cell(family, model="wrn-10-1", dataset=TINY, batch_size=9) for family in ("ce", "cos_face")), epochs=2, record=record
    )


def test_a_validation_split_of_several_batches_is_evaluated_as_alone() -> None:
    cells = [cell(family, dataset=DatasetConfig("points"), model="linear-3", batch_size=1200) for family in ("ce", "arc_face", "two_scale")]
    assert len(list(begin(cells[0]).pictures("val"))) == 2
    assert_as_alone(cells, epochs=1)


def test_trials_of_a_dataset_with_a_task_report_its_metrics(tmp_path: Path) -> None:
    with installed(tmp_path):
        cells = [cell(family, dataset=DatasetConfig("digits-found"), batch_size=200) for family in ("ce", "arc_face")]
        assert_as_alone(cells, epochs=1, record=Record(test=True))


@pytest.mark.slow
@pytest.mark.parametrize("model", ["resnet18", "wrn-16-2"])
def test_a_wide_model_is_trained_and_reported_as_alone(model: str) -> None:
    pictures = DatasetConfig("manifold", images_per_class=4, classes=2)
    cells = [cell(family, dataset=pictures, model=model, batch_size=4, lr=0.01) for family in ("ce", "arc_face")]
    assert [why_alone(of) for of in cells] == ["", ""]
    assert_as_alone(cells, epochs=2)


def distance(one: list[Tensor], other: list[Tensor]) -> float:
    return max(float((a.double() - b.double()).abs().max()) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("families", "of"),
    [(list_losses(), {"batch_size": 200}), (["ce", "ohem", "arc_face"], {"model": "wrn-10-1", "dataset": TINY, "batch_size": 6})],
    ids=["mlp", "wrn"],
)
def test_after_three_steps_in_single_precision_an_array_is_as_near_to_the_truth_as_trials_alone(
    families: list[str], of: dict[str, Any]
) -> None:
    cells = varied(cell(family, **of) for family in families)
    together, apart, exact = ([begin(each, dtype=dtype) for each in cells] for dtype in (torch.float32, torch.float32, torch.float64))
    assert {trial.steps_per_epoch for trial in together} == {3}
    run(array_of(together), epochs=1)
    for trial, twin, truth in zip(together, apart, exact, strict=True):
        twin.run_epoch(), truth.run_epoch()
        # Both round each operation, in other orders; so they err alike, and never by less than a last digit.
        own = max(distance(state(twin), state(truth)), torch.finfo(torch.float32).eps)
        assert distance(state(trial), state(truth)) <= 4 * own


@pytest.mark.parametrize("of", [{}, {"model": "wrn-10-1", "dataset": TINY, "batch_size": 6}], ids=["mlp", "wrn"])
def test_in_half_precision_an_array_is_as_near_to_the_truth_as_trials_alone(of: dict[str, Any]) -> None:
    cells = varied(cell(family, precision="bfloat16", **of) for family in ("ce", "two_scale", "arc_face"))
    exact_cells = [replace(each, recipe=replace(each.recipe, precision="float32")) for each in cells]
    together, apart = ([begin(each, dtype=torch.float32) for each in cells] for _ in range(2))
    exact = [begin(each) for each in exact_cells]
    reports = run(array_of(together), epochs=1)
    for trial, twin, truth in zip(together, apart, exact, strict=True):
        expected = twin.run_epoch().metrics["train_loss"]
        truth.run_epoch()
        own = distance(state(twin), state(truth))
        assert own > 1e-5, "bfloat16 has three digits"
        assert own / 4 <= distance(state(trial), state(truth)) <= 2 * own
        assert reports[trial][0].metrics["train_loss"] == pytest.approx(expected, rel=1e-2)


def test_trials_of_different_precision_are_in_no_array_together() -> None:
    array = array_of([begin(cell(), dtype=torch.float32)])
    with pytest.raises(ValueError, match="have not the same batches and precision"):
        array.join(begin(cell(precision="bfloat16"), dtype=torch.float32))


def test_in_single_precision_knobs_are_not_rounded() -> None:
    # 0.9 of a batch of 45 are 40.5 examples, of which ohem keeps 41; of 0.9 in single precision it would keep 40.
    together, apart = ([begin(cell("ohem", {"keep": keep}, batch_size=45), dtype=torch.float32) for keep in (0.9, 0.5)] for _ in range(2))
    reports = run(array_of(together), epochs=1)
    for trial, twin in zip(together, apart, strict=True):
        assert reports[trial][0].metrics["train_loss"] == pytest.approx(twin.run_epoch().metrics["train_loss"], rel=1e-5)


def test_at_the_end_accuracies_differ_from_those_of_trials_alone_by_less_than_seeds_do() -> None:
    families, replicates = ("two_scale", "arc_face"), range(3)
    differences, noise = [], []
    for family in families:
        of = cell(family, lr=0.1, batch_size=125)
        accuracies = [alone(begin(of, replicate, dtype=torch.float32), 7)[-1].metrics["val_accuracy"] for replicate in replicates]
        trials = [begin(of, replicate, dtype=torch.float32) for replicate in replicates]
        reports = run(array_of(trials), 7)
        differences += [reports[trial][-1].metrics["val_accuracy"] - own for trial, own in zip(trials, accuracies, strict=True)]
        noise.append(statistics.stdev(accuracies))
    assert min(noise) > 0.0
    assert max(map(abs, differences)) <= statistics.mean(noise)
    assert abs(statistics.mean(differences)) <= statistics.mean(noise) / len(differences) ** 0.5
