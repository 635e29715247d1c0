"""The answer: what is said of a study, on ledgers whose every metric is known."""

from __future__ import annotations

import json
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from studies.analysis import Gain, judge
from studies.answer import answer, open_answer
from studies.described import describe
from studies.findings import Answer, Contender, Curve, Winner
from studies.plan import PlannedTrial, screen_trials
from studies.spec import StudySpec, study_from
from tests.studies.builders import (
    BETA_SCHEDULE,
    STUDY,
    TWO_DATASETS,
    WITHOUT_SCREEN,
    Score,
    accuracy,
    confirmed,
    noise,
    study,
    write,
    write_all,
    write_screen,
)
from tests.studies.conftest import NewLedger


class Answered(Protocol):
    """Answers a whole study."""

    def __call__(self, spec: StudySpec, score: Score = accuracy) -> Answer: ...


@pytest.fixture
def answered(new_ledger: NewLedger) -> Answered:
    """The answer of a whole study."""

    def build(spec: StudySpec, score: Score = accuracy) -> Answer:
        ledger = new_ledger(spec)
        if spec.screen:
            write_screen(ledger, spec, score)
        if spec.confirm:
            write_all(ledger, confirmed(ledger, spec), score, spec.metric)
        return answer(ledger)

    return build


def screened(**changes: Any) -> StudySpec:
    """The small study with a whole grid for a screen, so that gds with lambda 1 and no regulariser is nominated."""
    return study(**{"screen": {"searcher": "grid"}, **changes})


def curve_of(found: Answer, family: str, dataset: str = "digits") -> Curve:
    (curve,) = [curve for curve in found.curves if (curve.family, curve.dataset) == (family, dataset)]
    return curve


def contender_of(found: Answer, family: str, dataset: str = "digits") -> Contender:
    contender = curve_of(found, family, dataset).contender
    assert contender is not None
    return contender


def winner_of(found: Answer, dataset: str = "digits") -> Winner:
    (winner,) = [winner for winner in found.winners if winner.dataset == dataset]
    return winner


def t_interval(differences: list[float], alpha: float) -> tuple[float, float, float]:
    """Mean and paired t interval, from SciPy's own test."""
    interval = stats.ttest_1samp(differences, 0.0).confidence_interval(1.0 - alpha)
    return float(np.mean(differences)), float(interval.low), float(interval.high)


def numbers(gain: Gain | None) -> tuple[float, float | None, float | None]:
    assert gain is not None
    return gain.mean, gain.low, gain.high


def constructed(differences: dict[tuple[str, float], list[float]], ce: list[float]) -> Score:
    """The ce arm as given, and every (family, knob value) ahead of it by the given differences; the screen likes gds at lambda 1."""

    def score(trial: PlannedTrial) -> float | None:
        if trial.stage == "screen":
            return accuracy(trial)
        base = ce[trial.replicate]
        if trial.cell.family == "ce":
            return base
        knob = {"gds": "gds.lam", "cos_face": "cos_face.m"}[trial.cell.family]
        return base + differences[trial.cell.family, float(trial.config[knob])][trial.replicate]

    return score


CE = [90.0, 88.0, 91.0]
AHEAD = {
    ("gds", 0.0): [0.0, 0.1, -0.1],
    ("gds", 1.0): [1.0, 1.4, 1.1],
    ("cos_face", 0.1): [0.2, -0.3, 0.4],
    ("cos_face", 0.2): [-0.5, -0.2, 0.1],
}


def test_the_gain_of_a_screened_nominee_is_the_plain_paired_interval(answered: Answered) -> None:
    contender = contender_of(answered(screened(), constructed(AHEAD, CE)), "gds")
    assert contender.chosen_before
    assert contender.setting == "λ = 1"
    assert numbers(contender.gain) == pytest.approx(t_interval(AHEAD["gds", 1.0], 0.05))
    assert contender.gain is not None and contender.gain.n == 3 and contender.gain.different
    assert contender.summary.mean == pytest.approx(np.mean(CE) + np.mean(AHEAD["gds", 1.0]))


def test_without_a_screen_the_interval_of_the_best_cell_is_widened_by_the_number_of_cells(answered: Answered) -> None:
    found = answered(study(**WITHOUT_SCREEN, alpha=0.1), constructed(AHEAD, CE))
    contender = contender_of(found, "gds")
    assert not contender.chosen_before
    # Best of the two cells of its curve; as the winner, best of all five that were confirmed.
    assert contender.gain is None
    assert numbers(contender.optimistic_gain) == pytest.approx(t_interval(AHEAD["gds", 1.0], 0.1 / 2))
    winner = winner_of(found)
    assert (winner.family, winner.cell_id) == ("gds", contender.cell_id)
    assert numbers(winner.optimistic_gain) == pytest.approx(t_interval(AHEAD["gds", 1.0], 0.1 / 5))
    assert winner.reason.endswith("told apart from none, at a level that allows for having been picked as the best of them")
    assert curve_of(found, "gds").verdict.gain is None
    plain = found.to_dict()
    for told in (plain["winners"][0], next(entry["contender"] for entry in plain["verdicts"] if entry["family"] == "gds")):
        assert (told["gain_over_ce"], told["gain_interval"]) == (None, None)
        assert told["optimistic_gain_over_ce"] == pytest.approx(np.mean(AHEAD["gds", 1.0]))


def test_the_verdict_is_the_judgement_on_the_curves_own_table(answered: Answered) -> None:
    found = answered(screened(), constructed(AHEAD, CE))
    for family, knob, baseline in (("gds", "lam", 0.0), ("cos_face", "m", found.baselines["digits"])):
        curve = curve_of(found, family)
        values = {"gds": [0.0, 1.0], "cos_face": [0.1, 0.2]}[family]
        rows = [
            {"seed": seed, knob: value, "val_accuracy": CE[seed] + AHEAD[family, value][seed]}
            for value in values
            for seed in range(len(CE))
        ]
        pd.testing.assert_frame_equal(curve.table[["seed", knob, "val_accuracy"]], pd.DataFrame(rows), check_dtype=False)
        nominee = 1.0 if family == "gds" else next(arm for arm in values if contender_of(found, family).setting.startswith(f"m = {arm:g}"))
        expected = judge(
            pd.DataFrame(rows),
            knob=knob,
            metric="val_accuracy",
            baseline=baseline,
            fixed=nominee,
            extendable=curve.verdict.question.extendable,
        )
        assert curve.verdict == expected
    assert curve_of(found, "gds").verdict.question.extendable == (False, True)
    assert curve_of(found, "cos_face").verdict.question.extendable == (True, True)


def test_a_strict_study_keeps_ties_by_the_strict_rule(answered: Answered) -> None:
    usual, strict = (answered(screened(**changes), constructed(AHEAD, CE)) for changes in ({}, {"strict": True}))
    for family, knob, baseline in (("gds", "lam", 0.0), ("cos_face", "m", strict.baselines["digits"])):
        before, after = curve_of(usual, family).verdict, curve_of(strict, family).verdict
        assert after == judge(
            curve_of(strict, family).table,
            knob=knob,
            metric="val_accuracy",
            baseline=baseline,
            strict=True,
            fixed=after.question.fixed,
            extendable=after.question.extendable,
        )
        assert all((wide.half_width or 0) > (narrow.half_width or 0) for wide, narrow in zip(after.cells, before.cells, strict=True))
        assert "of values that are equally best all are kept" in after.reason
    assert "strict" not in usual.to_dict() and strict.to_dict()["strict"] is True
    assert strict.to_dict()["verdicts"][0]["question"]["strict"] is True


def test_a_curve_tells_what_was_held_along_it(answered: Answered) -> None:
    held = dict(curve_of(answered(study()), "gds").held)
    assert held.pop("lr") in (0.05, 0.1)
    assert held.pop("sample_margin.weight") in (0.0, 0.1)
    assert held == {"gds.tau": 1.0, "gds.hardest": "attached"}


def test_a_curve_tells_what_each_of_its_values_has_of_its_own(answered: Answered) -> None:
    def score(trial: PlannedTrial) -> float:
        lam = float(trial.config.get("gds.lam", 0.0))
        return 90.0 + (10.0 if lam == 1.0 else -10.0) * float(trial.config["lr"]) + noise(trial.key, scale=0.1)

    confirm = {"families": ["gds"], "seeds": 3, "values": {"gds": [0, 1]}, "tuned": "value"}
    found = curve_of(answered(study(screen={"searcher": "grid"}, confirm=confirm), score), "gds")
    assert found.tuned["lr"] == {0.0: 0.05, 1.0: 0.1}
    assert "lr" not in found.held and found.held["gds.tau"] == 1.0


def test_the_ce_arm_is_told_for_each_dataset(answered: Answered) -> None:
    found = answered(study(datasets=TWO_DATASETS))
    assert list(found.baselines) == found.datasets == ["digits", "noisy"]
    assert found.baselines["noisy"]["seed"].tolist() == [0, 1, 2]
    assert {(curve.dataset, curve.family) for curve in found.curves} == {
        (dataset, family) for dataset in ("digits", "noisy") for family in ("gds", "cos_face")
    }


def losing(lost: set[tuple[str, float, int]]) -> Score:
    """The constructed differences, with some replicates (family, knob value, seed) diverging."""
    whole = constructed(AHEAD, CE)

    def score(trial: PlannedTrial) -> float | None:
        value = trial.config.get("gds.lam", trial.config.get("cos_face.m", -1.0))
        return None if trial.stage == "confirm" and (trial.cell.family, float(value), trial.replicate) in lost else whole(trial)

    return score


def test_lost_replicates_are_counted_by_knob_value_and_named(answered: Answered) -> None:
    found = answered(screened(), losing({("gds", 0.0, 1), ("gds", 0.0, 2), ("cos_face", 0.2, 0)}))
    assert curve_of(found, "gds").lost == {0.0: 2}
    assert curve_of(found, "cos_face").lost == {0.2: 1}
    assert found.lost[["family", "seed", "status", "reason"]].to_dict("records") == [
        {"family": family, "seed": seed, "status": "diverged", "reason": "it diverged"}
        for family, seed in (("cos_face", 0), ("gds", 1), ("gds", 2))
    ]
    table = curve_of(found, "gds").table
    assert table.loc[table["val_accuracy"].isna(), ["lam", "seed"]].to_numpy().tolist() == [[0.0, 1], [0.0, 2]]


def test_a_gain_uses_the_seeds_that_both_have(answered: Answered) -> None:
    found = answered(screened(), losing({("gds", 1.0, 0)}))
    assert numbers(contender_of(found, "gds").gain) == pytest.approx(t_interval(AHEAD["gds", 1.0][1:], 0.05))
    assert contender_of(found, "gds").summary.n == 2
    found = answered(screened(), losing({("ce", -1.0, 0)}))
    assert numbers(contender_of(found, "gds").gain) == pytest.approx(t_interval(AHEAD["gds", 1.0][1:], 0.05))
    assert contender_of(found, "gds").summary.n == 3


def test_a_gain_needs_two_pairs(answered: Answered) -> None:
    found = answered(screened(), losing({("gds", 1.0, 0), ("gds", 1.0, 1)}))
    assert contender_of(found, "gds").gain is None
    assert contender_of(found, "gds").summary.n == 1


def test_the_winner_is_the_highest_mean_among_cells_that_are_whole(answered: Answered) -> None:
    found = answered(screened(), constructed(AHEAD, CE))
    assert (winner_of(found).family, winner_of(found).setting, winner_of(found).stage) == ("gds", "λ = 1", "confirm")
    assert winner_of(found).reason.startswith("highest mean val_accuracy of 5 confirmed cells over 3 seeds; its gain over ce ")
    # Its worst seed gone, the same cell has a higher mean than before, but it is not whole.
    again = answered(screened(), losing({("gds", 1.0, 1)}))
    assert (winner_of(again).family, winner_of(again).setting.split(",")[0]) == ("cos_face", "m = 0.1")


def test_cross_entropy_wins_where_nothing_is_above_it(answered: Answered) -> None:
    behind = {key: [-1.0, -1.2, -0.9] for key in AHEAD}
    winner = winner_of(answered(screened(), constructed(behind, CE)))
    assert (winner.family, winner.optimistic_gain) == ("ce", None)
    assert winner.reason == "highest mean val_accuracy of 5 confirmed cells over 3 seeds; no family was measured above cross-entropy"


def test_each_dataset_has_a_winner_of_its_own(answered: Answered) -> None:
    def score(trial: PlannedTrial) -> float:
        return accuracy(trial) + (5.0 if (trial.dataset, trial.cell.family) == ("noisy", "cos_face") else 0.0)

    found = answered(study(datasets=TWO_DATASETS), score)
    assert [(winner.dataset, winner.family) for winner in found.winners] == [("digits", "gds"), ("noisy", "cos_face")]


@pytest.mark.parametrize("changes", [{}, WITHOUT_SCREEN], ids=["screened", "without a screen"])
def test_a_metric_to_be_minimised_is_turned_round(answered: Answered, changes: dict[str, Any]) -> None:
    spec = screened(**{**changes, "metric": "val_nll", "sesoi": 0.01})
    found = answered(spec, lambda trial: 1.0 - accuracy(trial) / 100.0)
    assert (winner_of(found).family, winner_of(found).setting) == ("gds", "λ = 1")
    gain, verdict = contender_of(found, "gds").any_gain, curve_of(found, "gds").verdict
    assert gain is not None and gain.mean == pytest.approx(-0.02, abs=0.005)
    assert verdict.best == 1.0 and verdict.better
    assert found.screen["value"].is_monotonic_increasing
    if spec.screen:
        assert verdict.gain is not None and verdict.gain > 0.0


def test_a_scheduled_nominee_stands_for_its_family_beside_its_curve(answered: Answered) -> None:
    beta = {"schedule": {**BETA_SCHEDULE["schedule"], "kind": "linear", "start": 0.1}}
    spec = study(
        families={"ce": {"label_smoothing": 0}, "gradient_decay": {"beta": beta}},
        confirm={"families": 1, "seeds": 3, "values": {"gradient_decay": [0.5, 1]}},
    )
    found = answered(spec)
    curve, contender = curve_of(found, "gradient_decay"), contender_of(found, "gradient_decay")
    assert contender.setting.startswith("β = 0.1 → 2 (linear, first 50%)")
    assert contender.chosen_before
    assert sorted(set(curve.table["beta"])) == [0.5, 1.0]
    assert curve.verdict.question.baseline == 1.0
    assert curve.verdict.gain is None


STUDIES: dict[str, dict[str, Any]] = {
    "screened": {},
    "two datasets": {"datasets": TWO_DATASETS, "confirm": {"families": 2, "seeds": 2}},
    "without a screen": WITHOUT_SCREEN,
    "without a confirm stage": {"confirm": None},
    "with a schedule": {
        "families": {"ce": {"label_smoothing": 0}, "gradient_decay": {"beta": BETA_SCHEDULE}},
        "confirm": {"families": 1, "seeds": 2},
    },
    "to be minimised": {"metric": "val_ece", "sesoi": 0.01},
    "one seed": {"confirm": {"families": 2, "seeds": 1}},
}
SCORES: dict[str, Score] = {
    "as it comes": accuracy,
    "a third lost": lambda trial: None if noise("lost", trial.key, scale=1.0) < -0.44 else accuracy(trial),
    "all lost": lambda trial: None,
    "ce lost": lambda trial: None if trial.cell.family == "ce" else accuracy(trial),
    "ce lost when it counts": lambda trial: None if (trial.cell.family, trial.stage) == ("ce", "confirm") else accuracy(trial),
    "all equal": lambda trial: 90.0,
}


@pytest.mark.parametrize(
    ("changes", "score"), [*((changes, "a third lost") for changes in STUDIES), *(("screened", score) for score in SCORES)]
)
def test_a_study_has_an_answer_whenever_it_is_asked(new_ledger: NewLedger, changes: str, score: str) -> None:
    spec, scored = study(**STUDIES[changes]), SCORES[score]
    ledger = new_ledger(spec)
    said, asked = [answer(ledger)], 0
    for stage in filter(None, [spec.screen and "screen", spec.confirm and "confirm"]):
        for trial in screen_trials(spec) if stage == "screen" else confirmed(ledger, spec):
            ledger.start(trial)
            asked += 1
            # After each of the first trials, when most is missing, and after every seventh later on.
            often = stage == "confirm" and trial.replicate == 0 and changes in ("screened", "with a schedule")
            if often or asked % 7 == 0:
                said.append(answer(ledger))
            write_all(ledger, [trial], scored, spec.metric)
    said.append(answer(ledger))
    for found in said:
        data = found.to_dict()
        assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert bool(said[-1].winners) == (score != "all lost")
    assert said[-1].counts["trials"].sum() == len(ledger.trials())
    lost = [record.key for record in ledger.trials() if record.status == "diverged"]
    assert said[-1].lost["key"].tolist() == lost


def test_before_the_confirm_stage_the_screens_best_is_named_as_optimistic(answered: Answered) -> None:
    found = answered(study(confirm=None, screen={"searcher": "grid", "seeds": 2}))
    winner = winner_of(found)
    best = found.screen.iloc[0]
    assert (winner.family, winner.stage, winner.optimistic_gain) == (best["family"], "screen", None)
    assert winner.setting == best["setting"] == describe(best["config"])
    assert winner.summary.mean == pytest.approx(best["value"])
    assert winner.summary.n == 2
    assert (
        winner.reason == f"best of {len(found.screen)} screened cells; a screen's best is optimistic and was not confirmed on fresh seeds"
    )


def test_the_first_confirmed_trials_do_not_hide_that_there_is_no_gain_yet(new_ledger: NewLedger) -> None:
    spec = study()
    ledger = new_ledger(spec)
    write_screen(ledger, spec, accuracy)
    write_all(ledger, [trial for trial in confirmed(ledger, spec) if trial.replicate == 0], accuracy)
    found = answer(ledger)
    assert {curve.verdict.label for curve in found.curves} == {"UNDECIDED"}
    assert winner_of(found).optimistic_gain is None
    assert winner_of(found).reason.endswith("over 1 seeds; too few seeds to tell it from cross-entropy")


def test_the_screen_is_listed_best_first_with_the_lost_last(answered: Answered) -> None:
    found = answered(study(), lambda trial: None if trial.cell.family == "cos_face" else accuracy(trial))
    measured = found.screen["value"].dropna()
    assert measured.is_monotonic_decreasing
    assert found.screen["value"].isna().tolist() == sorted(found.screen["value"].isna())
    assert set(found.screen.loc[found.screen["value"].isna(), "family"]) == {"cos_face"}
    assert [describe(config) for config in found.screen["config"]] == found.screen["setting"].tolist()


def test_trials_are_counted_by_stage_and_status_and_their_time_is_summed(new_ledger: NewLedger) -> None:
    spec = study(confirm=None)
    ledger = new_ledger(spec)
    first, second, third, *_ = screen_trials(spec)
    write(ledger, first, {"val_accuracy": 90.0})
    write(ledger, second, {"val_accuracy": 1.0}, "failed")
    ledger.start(third)
    found = answer(ledger)
    assert sorted(found.counts.to_dict("records"), key=str) == [
        {"stage": "screen", "status": "failed", "trials": 1},
        {"stage": "screen", "status": "finished", "trials": 1},
        {"stage": "screen", "status": "running", "trials": 1},
    ]
    assert found.seconds == 4.0


def test_verdicts_are_plain_data_with_every_number_that_was_asked_for(answered: Answered) -> None:
    found = answered(screened(), constructed(AHEAD, CE))
    data = found.to_dict()
    assert (data["study"], data["metric"], data["sesoi"], data["alpha"]) == ("small", "val_accuracy", 0.2, 0.05)
    verdict = next(entry for entry in data["verdicts"] if entry["family"] == "gds")
    curve, contender = curve_of(found, "gds"), contender_of(found, "gds")
    assert (verdict["dataset"], verdict["knob"], verdict["label"], verdict["best"]) == ("digits", "lam", curve.verdict.label, 1.0)
    assert verdict["held"] == dict(curve.held)
    assert contender.gain is not None
    assert verdict["contender"] == {
        "cell_id": contender.cell_id,
        "setting": "λ = 1",
        "chosen_before": True,
        "mean": contender.summary.mean,
        "interval": [contender.summary.low, contender.summary.high],
        "seeds": 3,
        "gain_over_ce": contender.gain.mean,
        "gain_interval": [contender.gain.low, contender.gain.high],
    }
    (winner,) = data["winners"]
    assert (winner["dataset"], winner["family"], winner["cell_id"], winner["stage"]) == ("digits", "gds", contender.cell_id, "confirm")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"family": "ce", "ce.label_smoothing": 0.0, "lr": 0.1}, "ε = 0"),
        ({"family": "ce", "lr": 0.1}, "as it is"),
        ({"family": "gds", "gds.lam": 1.5, "gds.tau": 1.0, "gds.hardest": "attached"}, "λ = 1.5"),
        ({"family": "gds", "gds.lam": 1.5, "gds.tau": 2.0}, "λ = 1.5, τ = 2"),
        ({"family": "gds", "gds.lam": 1.5, "gds.tau": 1.0, "gds.hardest": "detached"}, "λ = 1.5, hardest detached"),
        ({"family": "gds", "gds.lam": 1.0, "sample_margin.weight": 0.1, "zero_centroid.weight": 0.0}, "λ = 1, sample_margin 0.1"),
        ({"family": "gradient_decay", "gradient_decay.beta.kind": "constant", "gradient_decay.beta.start": 0.1}, "β = 0.1"),
        (
            {
                "family": "gradient_decay",
                "gradient_decay.beta.kind": "linear",
                "gradient_decay.beta.start": 0.001,
                "gradient_decay.beta.end": 0.01,
                "gradient_decay.beta.length": 0.5,
                "gradient_decay.tau": 1.0,
            },
            "β = 0.001 → 0.01 (linear, first 50%)",
        ),
    ],
)
def test_a_configuration_is_told_in_words(config: dict[str, Any], words: str) -> None:
    assert describe(config) == words


def test_an_answer_is_read_from_the_studys_directory(new_ledger: NewLedger) -> None:
    spec = study()
    ledger = new_ledger(spec)
    write_screen(ledger, spec, accuracy)
    assert open_answer(ledger.path.parent).to_dict() == answer(ledger).to_dict()
    assert open_answer(ledger.path.parent).spec == study_from(STUDY)
