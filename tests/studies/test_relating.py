"""What is said of a study's dials, descriptors and optima, on ledgers whose every metric is known."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from margin_core.data import DatasetConfig
from margin_core.topology import Estimate
from studies.answer import answer
from studies.descriptors import Network, describe_as_asked, describe_study, fingerprints, recorded_descriptors
from studies.findings import Answer
from studies.plan import PlannedTrial
from studies.spec import StudySpec
from studies.topology import Described, disagreements
from tests.studies.builders import confirmed, noise, study, write_all
from tests.studies.conftest import NewLedger

DIAL = [{"dataset": "digits", "label_noise": share} for share in (0.0, 0.1, 0.2, 0.3)]
LAMBDAS = [0, 0.5, 1, 1.5, 2, 2.5, 3]
TURNED: dict[str, Any] = {
    "screen": None,
    "datasets": DIAL,
    "families": {"ce": {"label_smoothing": 0}, "gds": {"tau": 1}},
    "regularizers": {},
    "nuisance": {"lr": 0.1},
    "confirm": {"families": 1, "seeds": 5, "values": {"gds": LAMBDAS}},
}


def moving(trial: PlannedTrial) -> float:
    """An accuracy of gds that is highest at a λ that rises with label noise."""
    best = 0.5 + 20.0 / 3.0 * trial.cell.dataset.label_noise
    lam = float(trial.config.get("gds.lam", 0.0))
    return 95.0 - (lam - best) ** 2 + noise(trial.dataset, trial.replicate, scale=0.4) + noise(trial.key, scale=0.05)


def answered(new_ledger: NewLedger, spec: StudySpec, described: list[Described] | None = None) -> Answer:
    ledger = new_ledger(spec)
    write_all(ledger, confirmed(ledger, spec), moving)
    ledger.set_meta("descriptors", json.dumps([each.to_dict() for each in described or []]))
    return answer(ledger)


def eyes(network: str, value: Callable[[int], float], keys: list[str], error: float = 0.01) -> Described:
    """A network that tells label noise and hubness of datasets, by their place."""
    told = {key: {name: Estimate(value(place), error) for name in ("label_noise", "hubness")} for place, key in enumerate(keys)}
    return Described(network, 1000, 10, told)


def test_the_trend_along_a_dial_is_told_without_being_asked_for(new_ledger: NewLedger) -> None:
    found = answered(new_ledger, study(**TURNED)).topology
    (turned,) = found.trends
    assert (turned.family, turned.dial.name, turned.dial.levels) == ("gds", "label_noise", ("0", "0.1", "0.2", "0.3"))
    assert (turned.verdict.label, turned.verdict.direction) == ("TREND", "rises")
    assert [optimum.value for optimum in turned.optima if optimum] == pytest.approx([0.5, 1.17, 1.83, 2.5], abs=0.1)
    assert found.relations == () and found.described == ()
    (told,) = found.to_dict()["trends"]
    assert told["dial"] == {"name": "label_noise", "datasets": list(turned.dial.datasets), "levels": list(turned.dial.levels)}
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_study_without_dials_or_descriptors_says_nothing_of_either(new_ledger: NewLedger) -> None:
    found = answered(new_ledger, study(**{**TURNED, "datasets": DIAL[:2]}))
    assert not found.topology and "topology" not in found.to_dict()


def test_levels_of_one_dial_are_one_dataset_to_the_descriptors(new_ledger: NewLedger) -> None:
    spec = study(**TURNED)
    keys = [entry.config().key for entry in spec.datasets]
    (relation,) = answered(new_ledger, spec, [eyes("trained", float, keys)]).topology.relations
    assert (relation.verdict.label, relation.verdict.n_datasets) == ("NOT TESTABLE", 1)


def test_curves_of_few_values_have_no_optimum_to_go_with_anything(new_ledger: NewLedger) -> None:
    spec = study(**{**TURNED, "confirm": {"families": 1, "seeds": 3, "values": {"gds": [0, 1, 2]}}})
    keys = [entry.config().key for entry in spec.datasets]
    found = answered(new_ledger, spec, [eyes("trained", float, keys)]).topology
    assert [each.verdict.reason for each in found.relations] == ["Not testable: no dataset has a curve that tells where it is best."]
    assert [each.verdict.reason for each in found.trends] == ["A trend needs 5 values of the knob at each level, and digits has 3."]


def test_descriptors_come_back_from_the_ledger_as_they_were_with_what_is_not_finite_as_nothing(new_ledger: NewLedger) -> None:
    spec = study(**TURNED)
    told = Described("trained", 100, 10, {"digits": {"cdnv": Estimate(math.inf, math.nan), "label_noise": Estimate(0.25, 0.5)}})
    told = replace(told, dimensions={"digits": {1: 7.5, 32: math.nan}})
    (kept,) = answered(new_ledger, spec, [told]).topology.described
    assert (kept.network, kept.examples, kept.classes) == ("trained", 100, 10)
    assert kept.datasets["digits"]["label_noise"] == Estimate(0.25, 0.5)
    assert math.isnan(kept.datasets["digits"]["cdnv"].value)
    assert kept.dimensions["digits"][1] == 7.5
    assert math.isnan(kept.dimensions["digits"][32])


def test_networks_disagree_where_each_is_sure_of_an_order_and_the_orders_are_opposite() -> None:
    keys = ["a", "b", "c"]
    up, down = eyes("up", float, keys), eyes("down", lambda place: -float(place), keys)
    assert disagreements([up, down]) == ["label_noise", "hubness"]
    assert disagreements([up, up]) == disagreements([up]) == disagreements([]) == []
    assert disagreements([up, eyes("unsure", lambda place: -float(place), keys, error=5.0)]) == []
    assert disagreements([up, Described("other", 10, 2, {"a": {}, "d": {}})]) == []


def test_a_study_is_described_by_the_networks_that_its_file_names_and_once(new_ledger: NewLedger) -> None:
    spec = study(**{**TURNED, "datasets": [{"dataset": "digits", "images_per_class": 8}], "describe": [{"name": "mlp-8"}]})
    ledger = new_ledger(spec)
    describe_as_asked(ledger, spec, None)
    (told,) = recorded_descriptors(ledger)
    assert (told.network, told.examples, told.classes, list(told.datasets)) == ("mlp-8, random weights", 80, 10, ["digits-8each"])
    assert told.datasets["digits-8each"]["label_noise"].error > 0.0
    before = ledger.meta("descriptors")
    describe_as_asked(ledger, spec, None)
    assert ledger.meta("descriptors") == before
    describe_study(ledger, spec, [Network("mlp-9", "random")], None)
    assert [each.network for each in recorded_descriptors(ledger)] == ["mlp-8, random weights", "mlp-9, random weights"]


def test_what_cannot_be_described_is_told_and_harms_nothing_else(new_ledger: NewLedger) -> None:
    spec = study(**{**TURNED, "datasets": [{"dataset": "digits", "images_per_class": 1}], "describe": [{"name": "mlp-8"}]})
    ledger = new_ledger(spec)
    describe_as_asked(ledger, spec, None)
    write_all(ledger, confirmed(ledger, spec), moving)
    found = answer(ledger)
    assert len(found.curves) == 1 and found.topology.described == ()
    assert found.topology.problem and found.to_dict()["topology"]["not_described"] == found.topology.problem


def test_two_networks_look_at_the_same_examples_of_as_many_classes_of_each_dataset() -> None:
    configs = [DatasetConfig("digits", images_per_class=8), DatasetConfig("digits", classes=4, images_per_class=6)]
    found = fingerprints(configs, [Network("mlp-8", "random"), Network("mlp-9", "random")])
    sizes = {(each.examples, each.classes) for of_dataset in found.values() for each in of_dataset.values()}
    assert sizes == {(24, 4)} and len(found) == 2
    assert [network.words for network in found] == ["mlp-8, random weights", "mlp-9, random weights"]
