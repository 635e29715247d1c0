"""The plan: which trials a study asks for, in which order, with which seeds, and that it is the same whenever it is laid out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin_core.knobs import Schedule
from search_spaces import Config
from studies.plain_yaml import StudyFileError
from studies.plan import (
    FIRST_REPLICATE,
    Arm,
    PlannedTrial,
    ScreenResult,
    build_cell,
    confirm_arms,
    confirm_trials,
    leading_families,
    screen_configs,
    screen_trials,
)
from studies.spec import StudySpec
from studies.stage_sizes import stage_sizes
from tests.studies.builders import BETA_SCHEDULE, STUDY, TWO_DATASETS, WITHOUT_SCREEN, noise, study

Value = Callable[[str, Config], float | None]


def found(spec: StudySpec, value: Value) -> list[ScreenResult]:
    """What a screen of ``spec`` would have found."""
    return [
        ScreenResult(entry.config().key, config, value(entry.config().key, config))
        for config in screen_configs(spec)
        for entry in spec.datasets
    ]


def by_family(**scores: float | None) -> Value:
    """Every configuration of a family has the family's score, the first drawn being the best by a hair."""
    counter = iter(range(10**6))

    def value(dataset: str, config: Config) -> float | None:
        score = scores.get(str(config["family"]))
        return None if score is None else score - 1e-6 * next(counter)

    return value


def by_lr(dataset: str, config: Config) -> float:
    """The greater learning rate is better, and no regulariser is."""
    return 90.0 + 10.0 * float(config["lr"]) + 0.01 * float(config.get("sample_margin.weight", 0.0))


def arms_of(arms: list[Arm], family: str, dataset: str = "digits") -> list[Arm]:
    return [arm for arm in arms if (arm.family, arm.dataset) == (family, dataset)]


MANY_FAMILIES = {"ce": None, "gds": None, "gradient_decay": {"beta": BETA_SCHEDULE}, "two_scale": None, "lm_softmax": None}


@st.composite
def specs(draw: st.DrawFn) -> StudySpec:
    """Studies with a screen and a confirm stage."""
    families = ["ce", *draw(st.lists(st.sampled_from([name for name in MANY_FAMILIES if name != "ce"]), min_size=1, unique=True))]
    others = families[1:]
    chosen = draw(st.integers(1, 4) | st.lists(st.sampled_from(others), min_size=1, unique=True))
    searcher = draw(st.sampled_from(["sobol", "random", "grid"]))
    values = {"gds": draw(st.lists(st.sampled_from([0.0, 0.5, 1, 2]), min_size=1))} if "gds" in families else {}
    return study(
        families={name: MANY_FAMILIES[name] for name in families},
        regularizers=draw(st.sampled_from([{}, STUDY["regularizers"]])),
        datasets=draw(st.sampled_from([["digits"], TWO_DATASETS])),
        screen={"searcher": searcher, "trials": draw(st.integers(1, 24)), "seeds": draw(st.integers(1, 2))},
        confirm={"families": chosen, "seeds": draw(st.integers(1, 3)), "values": values},
        seed=draw(st.integers(0, 3)),
    )


def known_in_part(spec: StudySpec, seed: int) -> list[ScreenResult]:
    """A screen of which a quarter of the cells was lost."""

    def value(dataset: str, config: Config) -> float | None:
        score = noise(seed, dataset, sorted(config.items()), scale=1.0)
        return None if score < -0.7 else score

    return found(spec, value)


@settings(max_examples=40)
@given(specs(), st.integers(0, 5))
def test_trial_keys_are_unique_and_confirm_seeds_are_never_screen_seeds(spec: StudySpec, seed: int) -> None:
    screen, confirm = screen_trials(spec), confirm_trials(spec, known_in_part(spec, seed))
    assert Counter(trial.key for trial in [*screen, *confirm]).most_common(1)[0][1] == 1
    assert {trial.replicate for trial in screen} == {FIRST_REPLICATE["screen"] + n for n in range(spec.screen.seeds if spec.screen else 0)}
    assert {trial.replicate for trial in confirm}.isdisjoint(trial.replicate for trial in screen)


@settings(max_examples=40)
@given(specs(), st.integers(0, 5))
def test_the_sizes_told_beforehand_are_never_exceeded(spec: StudySpec, seed: int) -> None:
    real = {"screen": screen_trials(spec), "confirm": confirm_trials(spec, known_in_part(spec, seed))}
    for size in stage_sizes(spec):
        cells = {trial.cell.cell_id for trial in real[size.stage]}
        assert len(real[size.stage]) <= size.trials and len(cells) <= size.cells
        assert size.at_most or (len(real[size.stage]), len(cells)) == (size.trials, size.cells)


@settings(max_examples=40)
@given(specs(), st.integers(0, 5))
def test_a_plan_laid_out_again_is_the_same_plan(spec: StudySpec, seed: int) -> None:
    assert screen_trials(spec) == screen_trials(spec)
    results = known_in_part(spec, seed)
    assert confirm_trials(spec, results) == confirm_trials(spec, results)


@settings(max_examples=40)
@given(specs(), st.integers(0, 5))
def test_every_confirmed_dataset_has_one_pure_ce_arm_and_at_most_one_nominee_per_family(spec: StudySpec, seed: int) -> None:
    arms = confirm_arms(spec, known_in_part(spec, seed))
    for dataset in {arm.dataset for arm in arms}:
        (ce,) = arms_of(arms, "ce", dataset)
        assert ce.value is None and not ce.nominee
        assert ce.cell.knobs.get("label_smoothing", 0.0) == 0.0
        assert [weight for weight in ce.cell.regularizers.values() if weight != 0.0] == []
        for family in {arm.family for arm in arms} - {"ce"}:
            assert sum(arm.nominee for arm in arms_of(arms, family, dataset)) == bool(arms_of(arms, family, dataset))


@settings(max_examples=40)
@given(specs())
def test_every_planned_cell_passes_its_own_check(spec: StudySpec) -> None:
    for trial in [*screen_trials(spec), *confirm_trials(spec, known_in_part(spec, 0))]:
        trial.cell.check()
        assert PlannedTrial.from_dict(trial.to_dict()) == trial


def test_the_screen_covers_every_dataset_with_the_same_configurations() -> None:
    trials = screen_trials(study(datasets=TWO_DATASETS))
    configs = {dataset: [trial.config for trial in trials if trial.dataset == dataset] for dataset in ("digits", "noisy")}
    assert configs["digits"] == configs["noisy"]
    assert configs["digits"]


def test_the_ce_arm_is_pure_at_the_learning_rate_that_ce_was_best_with() -> None:
    spec = study(screen={"searcher": "grid"})

    def value(dataset: str, config: Config) -> float:
        # Smoothed and regularised cross-entropy does best, at the smaller rate; the other families like the greater one.
        smoothing, weight = float(config.get("ce.label_smoothing", 0.0)), float(config["sample_margin.weight"])
        sign = -1.0 if config["family"] == "ce" else 1.0
        return 90.0 + smoothing + weight + sign * float(config["lr"])

    arms = confirm_arms(spec, found(spec, value))
    (ce,) = arms_of(arms, "ce")
    assert ce.config == {"family": "ce", "ce.label_smoothing": 0.0, "sample_margin.weight": 0.0, "lr": 0.05}
    assert (ce.cell.recipe.lr, ce.cell.knobs, ce.cell.regularizers) == (0.05, {"label_smoothing": 0.0}, {"sample_margin": 0.0})
    assert {arm.cell.recipe.lr for arm in arms_of(arms, "gds")} == {0.1}
    assert {arm.cell.regularizers["sample_margin"] for arm in arms_of(arms, "gds")} == {0.1}


@pytest.mark.parametrize("kind", ["constant", "linear"])
def test_the_ce_arm_is_pure_where_smoothing_and_weights_were_scheduled(kind: str) -> None:
    schedule = {"schedule": {"kind": kind, "start": [0.1, 0.2], **({} if kind == "constant" else {"end": 0.3})}}
    spec = study(
        families={"ce": {"label_smoothing": schedule}, "gds": {"tau": 1}},
        regularizers={"sample_margin": {"weight": schedule}},
        confirm={"families": 1},
    )
    (ce,) = arms_of(confirm_arms(spec, found(spec, by_lr)), "ce")
    assert ce.config == {"family": "ce", "lr": 0.1}
    assert (ce.cell.knobs, ce.cell.regularizers) == ({}, {})


def test_each_value_of_a_curve_may_have_the_learning_rate_that_suits_it_best() -> None:
    values = {"gds": [0, 1, 2], "cos_face": [0.1, 0.2]}
    spec = study(screen={"searcher": "grid"}, confirm={"families": 2, "values": values, "tuned": "value"}, regularizers={})

    def value(dataset: str, config: Config) -> float | None:
        lam, lr = float(config.get("gds.lam", 0.0)), float(config["lr"])
        if lam == 2.0:
            return None
        return 90.0 - 100.0 * abs(lr - (0.1 if lam == 1.0 else 0.05)) + lam

    arms = arms_of(confirm_arms(spec, found(spec, value)), "gds")
    assert {arm.value: arm.cell.recipe.lr for arm in arms} == {0.0: 0.05, 1.0: 0.1, 2.0: 0.1}  # the family's best where a value was lost
    assert [arm.value for arm in arms if arm.nominee] == [1.0]
    family = spec.model_copy(update={"confirm": spec.confirm.model_copy(update={"tuned": "family"})}) if spec.confirm else spec
    held = arms_of(confirm_arms(family, found(family, value)), "gds")
    assert {arm.cell.recipe.lr for arm in held} == {0.1}
    assert [arm for arm in held if arm.nominee] == [arm for arm in arms if arm.nominee]


def test_where_every_ce_trial_was_lost_the_ce_arm_takes_the_best_nuisance_values() -> None:
    spec = study(screen={"searcher": "grid"})

    def value(dataset: str, config: Config) -> float | None:
        return None if config["family"] == "ce" else by_lr(dataset, config)

    (ce,) = arms_of(confirm_arms(spec, found(spec, value)), "ce")
    assert ce.config == {"family": "ce", "lr": 0.1}


def test_a_screen_without_any_result_leaves_nothing_to_confirm() -> None:
    spec = study()
    assert confirm_trials(spec, found(spec, by_family())) == []
    assert confirm_trials(spec, []) == []


@pytest.mark.parametrize(("metric", "order"), [("val_accuracy", ["cos_face", "gds"]), ("val_nll", ["gds", "cos_face"])])
def test_the_families_of_the_best_mean_rank_lead(metric: str, order: list[str]) -> None:
    spec = study(metric=metric, sesoi=0.1, datasets=TWO_DATASETS)
    assert leading_families(spec, found(spec, by_family(ce=99.0, gds=80.0, cos_face=90.0))) == order


def test_ranks_and_not_scores_are_averaged_over_datasets() -> None:
    families = {"ce": None, "gds": {"lam": [1]}, "cos_face": {"m": [0.1], "s": 20}, "norm_face": {"s": [10]}}
    spec = study(families=families, datasets=[*TWO_DATASETS, {"dataset": "digits", "label": "third"}], confirm={"families": 1})
    scores = {
        "digits": {"gds": 91.0, "cos_face": 90.9, "norm_face": 90.8},
        "noisy": {"gds": 91.0, "cos_face": 90.9, "norm_face": 90.8},
        "third": {"gds": 20.0, "cos_face": 90.0, "norm_face": 10.0},
    }
    results = found(spec, lambda dataset, config: scores[dataset].get(str(config["family"]), 50.0))
    # gds has ranks 0, 0, 1 and cos_face 1, 1, 0, though the mean score of cos_face is far ahead.
    assert leading_families(spec, results) == ["gds"]


def test_a_family_whose_trials_were_all_lost_does_not_lead() -> None:
    spec = study()
    assert leading_families(spec, found(spec, by_family(ce=80.0, gds=None, cos_face=10.0))) == ["cos_face"]
    arms = confirm_arms(spec, found(spec, by_family(ce=80.0, gds=None, cos_face=10.0)))
    assert {arm.family for arm in arms} == {"ce", "cos_face"}


def test_a_family_lost_on_one_dataset_ranks_last_there_and_is_not_confirmed_there() -> None:
    spec = study(datasets=TWO_DATASETS)

    def value(dataset: str, config: Config) -> float | None:
        return None if (dataset, config["family"]) == ("noisy", "gds") else {"gds": 99.0}.get(str(config["family"]), 90.0)

    assert leading_families(spec, found(spec, value)) == ["cos_face", "gds"]
    arms = confirm_arms(spec, found(spec, value))
    assert arms_of(arms, "gds", "digits") and not arms_of(arms, "gds", "noisy")


def test_families_that_are_named_are_confirmed_whatever_the_screen_says() -> None:
    spec = study(confirm={"families": ["cos_face", "ce"], "seeds": 1})
    assert leading_families(spec, found(spec, by_family(ce=80.0, gds=99.0, cos_face=10.0))) == ["cos_face"]


def test_the_nominee_is_marked_and_stands_on_the_curve() -> None:
    spec = study(families={**STUDY["families"], "gds": {"lam": [0.7], "tau": 1}})
    arms = arms_of(confirm_arms(spec, found(spec, by_lr)), "gds")
    assert [(arm.value, arm.nominee) for arm in arms] == [(0.0, False), (0.7, True), (1.0, False)]
    assert [arm.cell.knobs["lam"] for arm in arms] == [0.0, 0.7, 1.0]
    others = [{name: value for name, value in arm.config.items() if name != "gds.lam"} for arm in arms]
    assert others[0] == others[1] == others[2]


def test_the_nominee_is_the_very_cell_that_the_screen_measured() -> None:
    spec = study()
    best = max(found(spec, by_lr), key=lambda result: (result.family == "gds", result.value))
    (nominee,) = [arm for arm in arms_of(confirm_arms(spec, found(spec, by_lr)), "gds") if arm.nominee]
    assert nominee.cell == build_cell(spec, spec.datasets[0].config(), best.config)
    assert nominee.cell.cell_id in {trial.cell.cell_id for trial in screen_trials(spec)}


def test_a_scheduled_nominee_is_an_arm_of_its_own_beside_the_curve() -> None:
    beta = {"schedule": {"kind": "linear", "start": 0.1, "end": 2, "length": 0.5}}
    spec = study(
        families={"ce": None, "gradient_decay": {"beta": beta}},
        confirm={"families": 1, "seeds": 2, "values": {"gradient_decay": [0.1, 1, 1.0]}},
    )
    arms = arms_of(confirm_arms(spec, found(spec, by_lr)), "gradient_decay")
    assert [(arm.value, arm.nominee) for arm in arms] == [(None, True), (0.1, False), (1.0, False)]
    assert arms[0].cell.knobs["beta"] == Schedule("linear", 0.1, 2.0, 0.5)
    assert [name for arm in arms[1:] for name in arm.config if name.startswith("gradient_decay.beta.")] == []


def test_a_constant_schedule_is_a_point_of_the_curve() -> None:
    beta = {"schedule": {"kind": "constant", "start": [0.3]}}
    spec = study(families={"ce": None, "gradient_decay": {"beta": beta}}, confirm={"families": 1, "values": {"gradient_decay": [1]}})
    arms = arms_of(confirm_arms(spec, found(spec, by_lr)), "gradient_decay")
    assert [(arm.value, arm.nominee) for arm in arms] == [(0.3, True), (1.0, False)]
    assert arms[0].cell.cell_id in {trial.cell.cell_id for trial in screen_trials(spec)}


def test_the_confirm_stage_goes_seed_by_seed() -> None:
    spec = study(datasets=TWO_DATASETS)
    results = found(spec, by_lr)
    cells = [arm.cell.cell_id for arm in confirm_arms(spec, results)]
    trials = confirm_trials(spec, results)
    assert [trial.replicate for trial in trials] == [seed for seed in range(3) for _ in cells]
    assert [trial.cell.cell_id for trial in trials] == cells * 3


def test_without_a_screen_the_named_values_make_the_curves_and_nothing_is_nominated() -> None:
    spec = study(**WITHOUT_SCREEN)
    arms = confirm_arms(spec)
    assert [(arm.family, arm.value, arm.nominee) for arm in arms] == [
        ("ce", None, False),
        ("gds", 0.0, False),
        ("gds", 1.0, False),
        ("cos_face", 0.1, False),
        ("cos_face", 0.2, False),
    ]
    (size,) = stage_sizes(spec)
    assert (size.cells, size.trials, size.at_most) == (5, len(confirm_trials(spec)), False)


LOOSE: dict[str, tuple[dict[str, Any], str]] = {
    "a second knob": (
        {"families": {"ce": {"label_smoothing": 0}, "cos_face": {}}, "confirm": {"families": 1}},
        "without a screen section, cos_face needs one value for each of cos_face.s",
    ),
    "an option": (
        {"families": {"ce": {"label_smoothing": 0}, "gds": {"hardest": ["attached", "detached"]}}, "confirm": {"families": 1}},
        "without a screen section, gds needs one value for each of gds.hardest",
    ),
    "nuisance and a weight": (
        {"nuisance": {"lr": [0.1, 0.2]}, "regularizers": {"sample_margin": {"weight": [0, 1]}}},
        "without a screen section, ce needs one value for each of lr, sample_margin.weight",
    ),
}


@pytest.mark.parametrize("loose", LOOSE)
def test_without_a_screen_a_loose_value_is_named(loose: str) -> None:
    changes, told = LOOSE[loose]
    spec = study(**{**WITHOUT_SCREEN, **changes})
    for lay_out in (confirm_trials, stage_sizes):
        with pytest.raises(StudyFileError) as caught:
            lay_out(spec)
        assert str(caught.value) == told


def test_without_a_screen_the_response_knob_may_be_loose() -> None:
    spec = study(**{**WITHOUT_SCREEN, "families": {"ce": {"label_smoothing": 0}, "gradient_decay": {"beta": BETA_SCHEDULE}}, "confirm": {}})
    assert [arm.value for arm in arms_of(confirm_arms(spec), "gradient_decay")] == [0.01, 0.1, 1.0, 2.0, 5.0]


@pytest.mark.parametrize("stage", [screen_trials, confirm_trials])
def test_a_stage_that_the_study_has_not_got_is_told(stage: Callable[[StudySpec], list[PlannedTrial]]) -> None:
    spec = study(**WITHOUT_SCREEN) if stage is screen_trials else study(confirm=None)
    with pytest.raises(ValueError, match=r"study small has no (screen|confirm) stage"):
        stage(spec)


def test_a_value_that_is_not_a_number_never_wins() -> None:
    spec = study()
    results = found(spec, lambda dataset, config: math.nan if config["lr"] == 0.1 else 50.0)
    assert {arm.config["lr"] for arm in confirm_arms(spec, results)} == {0.05}


def test_every_cell_has_the_weights_and_the_backbone_that_the_study_names() -> None:
    network = {"name": "mlp-5", "weights": "own-0123456789ab.safetensors", "backbone": "frozen"}
    cells = {(trial.cell.model, trial.cell.weights, trial.cell.backbone) for trial in screen_trials(study(model=network))}
    assert cells == {("mlp-5", "own-0123456789ab.safetensors", "frozen")}
    assert study(model=network).model.words == "mlp-5, weights own-0123456789ab.safetensors, frozen"
    assert study(model={"name": "mlp-8"}) == study()


def test_a_configuration_that_fewer_seeds_have_measured_to_the_end_ranks_behind() -> None:
    spec = study()
    results = [
        ScreenResult(result.dataset, result.config, result.value, seeds=0 if result.config["lr"] == 0.1 else 1)
        for result in found(spec, lambda dataset, config: by_lr(dataset, config))
    ]
    assert {result.config["lr"] for result in results} == {0.05, 0.1}
    assert {arm.config["lr"] for arm in confirm_arms(spec, results)} == {0.05}
