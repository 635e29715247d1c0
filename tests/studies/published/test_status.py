"""What a study says of published claims, on ledgers whose truth is known."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from typer.testing import CliRunner

from studies.answer import answer
from studies.cli import app
from studies.findings import Answer
from studies.plan import PlannedTrial
from studies.published import Checked, Claim, check_claims
from tests.studies.builders import confirmed, noise, study, write_all
from tests.studies.conftest import NewLedger

FAMILIES = {"ce": {"label_smoothing": 0}, "gds": {"tau": 1}, "lm_softmax": {"s": 20}}
DATASETS = [{"dataset": "digits", "label": "birds"}, {"dataset": "mnist", "label": "cars"}]
CURVE = {"screen": None, "families": FAMILIES, "regularizers": {}, "nuisance": {"lr": 0.1}, "datasets": DATASETS}
PEAK = {"birds": 1.0, "cars": 2.0}


def score(trial: PlannedTrial) -> float:
    """On birds gds is best at 1, on cars at 2, each 1 point per step above what is beside it; lm_softmax is ce."""
    lam = float(trial.config.get("gds.lam", 0.0))
    shape = 1.0 - abs(lam - PEAK[trial.dataset]) if trial.cell.family == "gds" else 1.0 - PEAK[trial.dataset]
    return 90.0 + shape + noise(trial.dataset, trial.replicate, scale=0.5) + noise(trial.key, scale=0.02)


@pytest.fixture
def found(new_ledger: NewLedger) -> Answer:
    """A study of two datasets with known peaks."""
    return answered(new_ledger)


def answered(new_ledger: NewLedger, seeds: int = 5, **changes: Any) -> Answer:
    confirm = {"families": 2, "seeds": seeds, "values": {"gds": [0, 0.5, 1, 1.5, 2], "lm_softmax": [10, 20]}}
    spec = study(**CURVE, confirm=confirm, **changes)
    ledger = new_ledger(spec)
    write_all(ledger, confirmed(ledger, spec), score)
    return answer(ledger)


def claim(**says: Any) -> Claim:
    return Claim(**{"says": "so", "source": "a paper", "dataset": "digits", "family": "gds", "knob": "lam", **says})


def checked(found: Answer, **says: Any) -> Checked:
    (one,) = check_claims([claim(**says)], found)
    return one


@pytest.mark.parametrize(
    ("says", "status"),
    [
        ({"best": 1}, "confirmed"),
        ({"best": 1.5}, "refuted"),
        ({"best": 3}, "undecided"),
        ({"dataset": "mnist", "best": 2}, "confirmed"),
        ({"value": 1, "beats": "ce"}, "confirmed"),
        ({"value": 1, "loses_to": "ce"}, "refuted"),
        ({"value": 0.5, "loses_to": 1}, "confirmed"),
        ({"value": 0.5, "beats": 1.5}, "refuted"),
        ({"value": 3, "beats": "ce"}, "undecided"),
        ({"moves_to": "mnist", "direction": "up"}, "confirmed"),
        ({"moves_to": "mnist"}, "confirmed"),
        ({"moves_to": "mnist", "direction": "down"}, "refuted"),
        ({"dataset": "mnist", "moves_to": "digits", "direction": "down"}, "confirmed"),
    ],
)
def test_a_claim_stands_or_falls_with_the_known_truth(found: Answer, says: dict[str, Any], status: str) -> None:
    assert checked(found, **says).status == status


def test_a_difference_that_is_surely_too_small_to_matter_refutes_that_there_is_one(found: Answer) -> None:
    equal = checked(found, value=0.5, beats=1.5)
    assert "less than 0.2, the smallest effect of interest" in equal.reason


def test_a_claim_that_an_optimum_moves_is_refuted_where_one_value_alone_is_best_on_both(new_ledger: NewLedger) -> None:
    datasets = [DATASETS[0], {"dataset": "mnist", "label": "planes"}]
    confirm = {"families": 1, "seeds": 5, "values": {"gds": [0, 0.5, 1, 1.5, 2]}}
    spec = study(**{**CURVE, "datasets": datasets}, confirm=confirm)
    ledger = new_ledger(spec)
    write_all(
        ledger, confirmed(ledger, spec), lambda trial: 90 - abs(float(trial.config.get("gds.lam", 0)) - 1) + noise(trial.key, scale=0.02)
    )
    still = checked(answer(ledger), moves_to="mnist")
    assert (still.status, still.reason) == ("refuted", "λ = 1 alone may be best on both")


def test_a_value_is_not_the_best_one_where_cross_entropy_may_be_as_good(new_ledger: NewLedger) -> None:
    families = {"ce": {"label_smoothing": 0}, "cos_face": {"s": 10}}
    confirm = {"families": 1, "seeds": 5, "values": {"cos_face": [0.1, 0.2, 0.3]}}
    spec = study(**{**CURVE, "families": families, "datasets": DATASETS[:1]}, confirm=confirm)
    ledger = new_ledger(spec)
    write_all(
        ledger,
        confirmed(ledger, spec),
        lambda trial: 90 - 10 * abs(float(trial.config.get("cos_face.m", 0.2)) - 0.2) + noise(trial.key, scale=0.02),
    )
    best = checked(answer(ledger), family="cos_face", knob="m", best=0.2)
    assert (best.status, best.reason) == ("undecided", "0.2, cross-entropy may be best, over 5 seeds")


def test_nothing_is_confirmed_or_refuted_by_a_single_run(new_ledger: NewLedger) -> None:
    single = answered(new_ledger, seeds=1)
    forms = [{"best": 1}, {"value": 1, "beats": "ce"}, {"value": 1, "loses_to": 0.5}, {"moves_to": "mnist"}]
    assert [checked(single, **says).status for says in forms] == ["undecided"] * 4


def test_a_claim_about_a_family_is_held_against_a_setting_chosen_beforehand_only(found: Answer) -> None:
    assert checked(found, family="lm_softmax", knob=None, beats="ce").status == "undecided"  # no screen has chosen one


def test_claims_about_what_the_study_did_not_confirm_are_left_out(found: Answer) -> None:
    others = [claim(dataset="cub", best=1), claim(family="gradient_decay", knob="beta", best=1), claim(metric="nll", best=1)]
    others += [claim(dials={"label_noise": 0.2}, best=1), claim(moves_to="cub")]
    assert check_claims(others, found) == []


def test_what_was_otherwise_in_the_study_is_told(found: Answer) -> None:
    assert checked(found, best=1, conditions={"model": "resnet18", "tau": 1}).otherwise == "model mlp-8 instead of resnet18"
    beside = {"zero_centroid.weight": 10.0, "sample_margin.weight": 0.0}
    held = tuple(replace(curve, held={**curve.held, **beside}) for curve in found.curves)
    assert checked(replace(found, curves=held), best=1).otherwise == "with zero_centroid.weight 10"


def test_the_command_prints_each_claim_with_its_status(found: Answer, tmp_path: Any) -> None:
    (place,) = (path.parent for path in tmp_path.glob("*/ledger.sqlite"))
    file = tmp_path / "claims.yaml"
    file.write_text(
        "source: A paper\ncommon: {dataset: digits, family: gds, knob: lam}\n"
        "claims: [{says: one is best, best: 1}, {says: a half is best, best: 0.5}]\n"
    )
    call = ["claims", place.name, "--workdir", str(tmp_path), "--file", str(file)]
    told = CliRunner().invoke(app, call)
    assert told.exit_code == 0, told.output
    assert "confirmed" in told.output and "refuted" in told.output
    plain = json.loads(CliRunner().invoke(app, [*call, "--json"]).output)
    assert [entry["status"] for entry in plain] == ["confirmed", "refuted"]
    ours = CliRunner().invoke(app, call[:4])
    assert "none of" in ours.output and ours.exit_code == 0
