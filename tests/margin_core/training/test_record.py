"""Records: what is asked for is measured, by the metrics' own functions, and what is trained stays the same to the last bit."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from margin_core import metrics
from margin_core.data import DatasetConfig
from margin_core.training import Record, Trial
from tests.margin_core.training.test_trial import KEYS, cell, run

EVERYTHING = Record(train=True, test=True, top_k=(2, 5), close_enough=(0.0, 0.25), first_steps=2, every_steps=10)
INSIDE = Record(scales=True, confidence=True, samples=4)
BOTH = replace(EVERYTHING, scales=True, confidence=True, samples=4, class_counts=True)
VALIDATION = [*KEYS[1:], "val_top_2_accuracy", "val_top_5_accuracy", "val_close_enough_0", "val_close_enough_0.25"]


def others(split: str) -> list[str]:
    return [name.replace("val_", f"{split}_") for name in VALIDATION if name != "class_margin"]


def test_a_record_changes_no_step_of_the_training() -> None:
    plain = Trial(cell("two_scale", model="timm:test_resnet", epochs=1), study_seed=0, replicate=0)
    recorded = Trial(cell("two_scale", model="timm:test_resnet", epochs=1), study_seed=0, replicate=0, record=BOTH)
    [report], [more] = run(plain), run(recorded)
    assert {name: more.metrics[name] for name in KEYS} == report.metrics
    assert report.steps == ()
    before, after = plain.model.state_dict(), recorded.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_an_epoch_and_a_step_report_all_splits_and_metrics_that_are_asked_for() -> None:
    trial = Trial(cell(), study_seed=0, replicate=0, record=EVERYTHING)
    first, second = run(trial)
    wanted = [*VALIDATION, *others("train"), *others("test")]
    assert list(first.metrics) == ["train_loss", *wanted]
    assert [step.step for step in first.steps] == [1, 2, 10]
    assert [step.step for step in second.steps] == [20, 30]
    assert all(list(step.metrics) == wanted for step in (*first.steps, *second.steps))


@pytest.mark.parametrize("lr", [0.1, 1e30])
def test_where_nothing_validates_the_class_margin_and_the_other_splits_are_told(lr: float) -> None:
    trial = Trial(cell(dataset=DatasetConfig("digits", validation=0), lr=lr), study_seed=0, replicate=0, record=EVERYTHING)
    last = run(trial)[-1]
    wanted = ["class_margin", *others("train"), *others("test")]
    assert sorted(last.metrics) == sorted(["train_loss", *wanted])
    assert all(sorted(step.metrics) == sorted(wanted) for step in last.steps)
    assert last.diverged == (lr > 1.0) == math.isnan(last.metrics["class_margin"])
    assert list(trial.evaluate("val")) == ["class_margin"]


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_what_is_recorded_is_what_the_metrics_give(split: Any) -> None:
    trial = Trial(cell(epochs=1), study_seed=0, replicate=0, record=EVERYTHING)
    [report] = run(trial)
    seen = trial.predict(split)
    assert report.metrics[f"{split}_top_2_accuracy"] == metrics.top_k_accuracy(seen.logits, seen.target, k=2)
    close = metrics.close_enough_accuracy(seen.logits.double().softmax(dim=1), seen.target, at=0.25)
    assert report.metrics[f"{split}_close_enough_0.25"] == close
    assert report.metrics[f"{split}_accuracy"] <= report.metrics[f"{split}_close_enough_0"]


@pytest.mark.parametrize("recipe", [{}, {"ema": 0.9}])
def test_the_last_step_of_an_epoch_is_measured_as_the_epoch_is(recipe: dict[str, Any]) -> None:
    # 1079 training examples are 17 steps of 64.
    trial = Trial(cell(**recipe), study_seed=0, replicate=0, record=Record(train=True, every_steps=17))
    for report in run(trial):
        [step] = report.steps
        assert {"train_loss": report.metrics["train_loss"], **step.metrics} == report.metrics


def test_a_trial_that_goes_on_reports_the_steps_that_it_would_have() -> None:
    record = Record(first_steps=20, every_steps=6)
    whole = run(Trial(cell(), study_seed=0, replicate=0, record=record))[1]
    stopped = Trial(cell(), study_seed=0, replicate=0, record=record)
    stopped.run_epoch()
    assert stopped.run_epoch().steps == whole.steps
    assert [step.step for step in whole.steps] == [18, 19, 20, 24, 30]


def test_metrics_of_a_diverged_trial_are_nan_and_none_is_missing() -> None:
    trial = Trial(cell(lr=1e30), study_seed=0, replicate=0, record=EVERYTHING)
    last = run(trial)[-1]
    assert last.diverged
    assert list(last.metrics) == ["train_loss", *VALIDATION, *others("train"), *others("test")]
    assert all(math.isnan(last.metrics[name]) for name in ("val_top_2_accuracy", "test_close_enough_0"))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"top_k": (1,)}, "top_k must be whole numbers >= 2, got 1"),
        ({"close_enough": (1.5,)}, r"close_enough must be in \[0, 1\], got 1.5"),
        ({"first_steps": -1}, "first_steps must be >= 0, got -1"),
        ({"samples": -1}, "samples must be >= 0, got -1"),
        ({"every_steps": 0}, "every_steps must be >= 1, or None, got 0"),
    ],
)
def test_a_record_that_cannot_be_measured_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Record(**changes)


def test_more_ranks_than_classes_are_refused_before_anything_is_trained() -> None:
    with pytest.raises(ValueError, match="top_k must be at most 10, the number of classes, got 11"):
        Trial(cell(), study_seed=0, replicate=0, record=Record(top_k=(11,)))


def test_more_samples_than_training_examples_are_refused() -> None:
    with pytest.raises(ValueError, match="samples must be at most 1079, the number of training examples, got 1080"):
        Trial(cell(), study_seed=0, replicate=0, record=Record(samples=1080))


def test_the_scales_of_two_scale_and_of_the_network_are_followed_step_by_step() -> None:
    trial = Trial(cell("two_scale", epochs=1), study_seed=0, replicate=0, record=Record(scales=True, first_steps=17))
    start = trial.objective.scales()
    assert start["log_R2"] == pytest.approx(start["log_R1"] + math.log(10.0))
    assert start["log_R1"] == pytest.approx(start["log_R"])
    [report] = run(trial)
    paths = {name: [step.metrics[name] for step in report.steps] for name in start}
    assert all(len(set(path)) == 17 for path in paths.values())
    assert trial.objective.scales() == {name: path[-1] for name, path in paths.items()} == {name: report.metrics[name] for name in paths}


def test_any_other_family_has_the_scale_of_its_network_alone() -> None:
    trial = Trial(cell("arc_face", epochs=1), study_seed=0, replicate=0, record=Record(scales=True))
    assert list(run(trial)[0].metrics) == [*KEYS, "log_R"]


def test_the_confidence_of_all_training_examples_is_counted_and_averaged_in_fifths() -> None:
    trial = Trial(cell(dataset=DatasetConfig("digits", label_noise=0.2)), study_seed=0, replicate=0, record=INSIDE)
    report = run(trial)[-1]
    seen = trial.predict("train")
    own = seen.logits.double().softmax(dim=1)[torch.arange(1079), seen.target].numpy()
    counts = [report.metrics[f"train_confidence_to_{edge}"] for edge in ("0.2", "0.4", "0.6", "0.8", "1")]
    assert counts == [int(((own > edge) & (own <= edge + 0.2)).sum()) for edge in (0.0, 0.2, 0.4, 0.6, 0.8)]
    means = [report.metrics[f"train_confidence_group_{number}"] for number in (1, 2, 3, 4, 5)]
    assert means == pytest.approx([part.mean() for part in np.array_split(np.sort(own), 5)])
    assert not any(name.startswith("train_") and "confidence" not in name for name in report.metrics if name != "train_loss")


def test_the_confidence_of_the_same_samples_is_told_whatever_the_cell() -> None:
    trials = [Trial(cell(family, epochs=1), study_seed=0, replicate=0, record=Record(samples=4)) for family in ("ce", "arc_face")]
    told = [
        {name: value for name, value in run(trial)[0].metrics.items() if "sample_" in name and name.startswith("train")} for trial in trials
    ]
    assert told[0].keys() == told[1].keys()
    trial, seen = trials[0], trials[0].predict("train")
    for row in (0, 359, 719, 1078):
        own = float(seen.logits[row].double().softmax(dim=0)[seen.target[row]])
        assert told[0][f"train_confidence_sample_{int(trial.data.train_indices[row])}"] == pytest.approx(own)
    assert len(told[0]) == 4


def test_what_a_diverged_network_says_of_its_training_examples_is_nan() -> None:
    last = run(Trial(cell(lr=1e30), study_seed=0, replicate=0, record=INSIDE))[-1]
    assert last.diverged
    assert math.isnan(last.metrics["train_confidence_to_1"])
    assert math.isnan(last.metrics["train_confidence_group_5"])
