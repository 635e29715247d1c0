"""Which changes of a study file a study goes on with, and which would mix two studies."""

from __future__ import annotations

from typing import Any

import pytest

from studies.difference import Difference
from studies.extension import differences, extends, hindrances
from tests.studies.builders import STUDY, TWO_DATASETS, WITHOUT_SCREEN, study

GRID: dict[str, Any] = {"screen": {"searcher": "grid"}}
DRAWN: list[dict[str, Any]] = [{"screen": {"searcher": searcher, "trials": 18}} for searcher in ("sobol", "random", "tpe")]


def hinder(was: dict[str, Any], now: dict[str, Any]) -> list[str]:
    return [difference.key for difference in hindrances(study(**was), study(**{**was, **now}))]


@pytest.mark.parametrize("screen", [GRID, *DRAWN])
@pytest.mark.parametrize(
    "more",
    [
        {"datasets": TWO_DATASETS},
        {"datasets": [*reversed(TWO_DATASETS)]},
        {"confirm": {**STUDY["confirm"], "seeds": 10}},
        {"confirm": {**STUDY["confirm"], "values": {"gds": [0, 0.5, 1], "cos_face": [0.1, 0.2, 0.3]}}},
        {"confirm": {**STUDY["confirm"], "families": 3}},
        {"description": "another", "alpha": 0.1, "sesoi": 0.5, "strict": True, "tolerance": {"retries": 5}, "budget": {"hours": 2}},
        {"resources": {"cpu": 0.5}},
    ],
)
def test_a_study_goes_on_with_more(screen: dict[str, Any], more: dict[str, Any]) -> None:
    was, now = study(**screen), study(**{**screen, **more})
    assert hindrances(was, now) == []
    assert differences(was, now) != []


@pytest.mark.parametrize(
    ("change", "extended"),
    [
        ({"budget": {"hours": 2}, "tolerance": {"retries": 5}, "failures": {"hang": {"tries": 3}}, "resources": {"cpu": 0.5}}, False),
        ({"budget": {"hours": 2}, "alpha": 0.1}, True),
        ({"confirm": {**STUDY["confirm"], "seeds": 10}}, True),
    ],
)
def test_what_only_says_how_a_study_is_run_is_no_extension(change: dict[str, Any], extended: bool) -> None:
    assert extends(differences(study(), study(**change))) == extended


@pytest.mark.parametrize("screen", DRAWN)
def test_a_screen_goes_on_to_more_trials_and_seeds(screen: dict[str, Any]) -> None:
    longer = {"screen": {**screen["screen"], "trials": 30, "seeds": 2}}
    assert hinder(screen, longer) == []
    assert hinder(longer, screen) == ["screen.trials", "screen.seeds"]


def test_a_stage_may_be_added_behind_a_screen_and_no_stage_may_go() -> None:
    alone = {"confirm": None}
    assert hinder(alone, {"confirm": STUDY["confirm"]}) == []
    assert hinder({}, alone) == ["confirm.families", "confirm.seeds", "confirm.values.gds", "confirm.values.cos_face", "confirm.tuned"]
    assert "screen.searcher" in hinder(WITHOUT_SCREEN, {"screen": STUDY["screen"]})


@pytest.mark.parametrize(
    ("change", "keys"),
    [
        ({"seed": 1}, ["seed"]),
        ({"model": "mlp-9"}, ["model.name"]),
        ({"recipe": {"epochs": 2, "batch_size": 64}}, ["recipe.epochs", "recipe.batch_size"]),
        ({"record": {"test": True}}, ["record.test"]),
        ({"metric": "val_nll", "sesoi": 0.1}, ["metric"]),
        ({"datasets": ["manifold"]}, ["datasets.digits"]),
        ({"datasets": [{"dataset": "digits", "label_noise": 0.1, "label": "digits"}]}, ["datasets.digits"]),
        ({"resources": {"cpu": 2}}, ["resources.cpu"]),
        ({"resources": {"gpu": 0.5}}, ["resources.gpu"]),
        ({"screen": {"searcher": "random", "trials": 18}}, ["screen.searcher"]),
        ({"screen": {"searcher": "sobol", "trials": 17}}, ["screen.trials"]),
        ({"screen": {"searcher": "sobol", "trials": 18, "asha": {}}}, ["screen.asha.grace_epochs", "screen.asha.reduction"]),
        ({"confirm": {**STUDY["confirm"], "seeds": 2}}, ["confirm.seeds"]),
        ({"confirm": {**STUDY["confirm"], "families": 1}}, ["confirm.families"]),
        ({"confirm": {**STUDY["confirm"], "families": ["gds", "cos_face"]}}, ["confirm.families"]),
        ({"confirm": {**STUDY["confirm"], "values": {"gds": [0, 2], "cos_face": [0.1, 0.2]}}}, ["confirm.values.gds"]),
        ({"nuisance": {"lr": [0.05, 0.1, 0.2]}}, ["nuisance.lr"]),
        ({"families": {**STUDY["families"], "focal": None}}, ["families.focal"]),
        ({"families": dict(reversed(STUDY["families"].items()))}, ["families"]),
    ],
)
def test_what_would_mix_two_studies_hinders(change: dict[str, Any], keys: list[str]) -> None:
    assert hinder({}, change) == keys


def test_what_is_not_known_to_be_harmless_hinders_though_something_else_only_adds() -> None:
    changed = {"seed": 1, "datasets": TWO_DATASETS, "confirm": {**STUDY["confirm"], "seeds": 10}}
    assert hinder({}, changed) == ["seed"]
    assert [difference.key for difference in differences(study(), study(**changed))] == ["seed", "confirm.seeds", "datasets.noisy"]


def test_the_space_of_a_grid_may_grow_and_may_not_shrink() -> None:
    more = {"nuisance": {"lr": [0.2, 0.05, 0.1]}, "families": {"focal": None, **STUDY["families"]}}
    assert hinder(GRID, more) == []
    assert hinder({**GRID, **more}, {"families": STUDY["families"]}) == ["families.focal"]
    assert hinder(GRID, {"nuisance": {"lr": [0.1, 0.2]}}) == ["nuisance.lr"]


def test_values_that_are_written_otherwise_are_the_same_space() -> None:
    was = {"families": {"ce": {"label_smoothing": 0}, "gds": {"lam": "grid"}}, "confirm": None}
    assert hinder(was, {"families": {"ce": {"label_smoothing": 0}, "gds": None}}) == []


def test_without_a_screen_families_may_be_added_behind_those_that_are_measured() -> None:
    families = WITHOUT_SCREEN["families"]
    confirm = {**STUDY["confirm"], "families": 3}
    assert hinder(WITHOUT_SCREEN, {"families": {**families, "focal": None}, "confirm": confirm}) == []
    first = {"ce": families["ce"], "focal": None, "gds": families["gds"], "cos_face": families["cos_face"]}
    assert hinder(WITHOUT_SCREEN, {"families": first}) == ["families.focal"]
    assert hinder(WITHOUT_SCREEN, {"nuisance": {"lr": 0.2}}) == ["nuisance.lr"]


def test_a_difference_is_a_line() -> None:
    assert str(Difference("confirm.seeds", 3, 5)) == "confirm.seeds: was 3, is 5"
    assert str(Difference("datasets.noisy", None, {"dataset": "digits"})) == 'datasets.noisy: was nothing, is {"dataset": "digits"}'
    assert str(Difference("metric", "val_accuracy", "val_nll")) == "metric: was val_accuracy, is val_nll"
