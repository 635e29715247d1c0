"""Descriptors against optima: known truths, refusals, the level under the null, and the power that a dozen datasets have."""

from __future__ import annotations

import json
import math
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from studies.analysis import RelationVerdict, relate
from studies.analysis.simulated_trend import simulate_relation

NAMES = ("cub", "dogs", "cars", "pets", "flowers", "aircraft", "food", "svhn", "digits", "grocery", "mnist", "cifar")


def table(number: int, *, r: float = 1.0, seed: int = 0, error: float = 0.2) -> pd.DataFrame:
    """Datasets whose optimum goes with their label noise, and with nothing else."""
    generator = np.random.default_rng(seed)
    noise = generator.standard_normal(number)
    optimum = r * noise + math.sqrt(1.0 - r * r) * generator.standard_normal(number)
    others = {name: generator.standard_normal(number) for name in ("cdnv", "granularity", "hubness", "fisher_ratio")}
    return pd.DataFrame({"dataset": NAMES[:number], "optimum": optimum, "error": error, "label_noise": noise, **others})


def verdict(datasets: pd.DataFrame, **asked: object) -> RelationVerdict:
    return relate(datasets, primary=["label_noise", "cdnv", "granularity"], exploratory=["hubness", "fisher_ratio"], **asked)  # type: ignore[arg-type]


def test_an_optimum_that_goes_with_a_descriptor_is_told_to() -> None:
    found = verdict(table(8))
    assert (found.label, found.related, found.n_datasets) == ("RELATED", True, 8)
    assert found.correlations[0].descriptor == "label_noise" and found.correlations[0].r == pytest.approx(1.0)
    assert [each.primary for each in found.correlations] == [True, True, True, False, False]
    assert found.reason.startswith("Over 8 datasets the optimum goes with label_noise (r = 1.00, p = ")


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_few_datasets_are_refused_whatever_they_look_like(number: int) -> None:
    found = verdict(table(number))
    assert (found.label, found.related, found.correlations, found.n_datasets) == ("NOT TESTABLE", False, (), number)
    assert found.reason.startswith(f"Not testable: {number} dataset") and "at least 5 are needed" in found.reason


def test_two_orders_in_six_put_three_datasets_in_the_order_of_a_descriptor() -> None:
    perfect = [order for order in permutations(range(3)) if abs(stats.spearmanr(order, range(3)).statistic) == pytest.approx(1.0)]
    assert len(perfect) / 6 == pytest.approx(1 / 3)


def test_of_one_descriptor_and_equal_errors_it_is_the_permutation_test_of_the_correlation() -> None:
    datasets = table(6, r=0.7, seed=3)
    found = relate(datasets, primary=["label_noise"]).correlations[0]
    x, y = datasets["label_noise"].to_numpy(), datasets["optimum"].to_numpy()
    seen = abs(np.corrcoef(x, y)[0, 1])
    shares = [abs(np.corrcoef(x, y[list(order)])[0, 1]) >= seen - 1e-12 for order in permutations(range(6))]
    assert found.r == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert found.p == pytest.approx(np.mean(shares))


def test_an_optimum_that_is_hardly_known_counts_little() -> None:
    datasets = table(8, seed=4)
    astray = datasets.assign(optimum=np.where(datasets["dataset"] == "cub", 40.0, datasets["optimum"]))
    sure = relate(astray, primary=["label_noise"]).correlations[0].r
    unsure = relate(astray.assign(error=np.where(astray["dataset"] == "cub", 400.0, 0.2)), primary=["label_noise"]).correlations[0].r
    assert unsure > 0.95 > sure


def test_more_primary_descriptors_make_each_less_sure_and_exploratory_ones_never_do() -> None:
    datasets = table(7, r=0.8, seed=5)
    alone = relate(datasets, primary=["label_noise"]).correlations[0]
    among = next(each for each in verdict(datasets).correlations if each.descriptor == "label_noise")
    explored = relate(datasets, primary=["label_noise"], exploratory=["cdnv", "granularity"]).correlations[0]
    assert among.p > alone.p == explored.p


def test_an_exploratory_descriptor_is_never_a_claim() -> None:
    datasets = table(8).rename(columns={"label_noise": "hubness", "hubness": "label_noise"})
    found = verdict(datasets)
    assert found.label == "UNDECIDED"
    best = next(each for each in found.correlations if each.descriptor == "hubness")
    assert best.r == pytest.approx(1.0) and best.p < 0.05


def test_descriptors_that_are_not_known_everywhere_or_do_not_differ_are_left_out() -> None:
    datasets = table(8).assign(cdnv=[math.nan, *range(7)], granularity=1.0)
    assert [each.descriptor for each in verdict(datasets).correlations if each.primary] == ["label_noise"]
    nothing = relate(datasets, primary=["cdnv", "granularity"])
    assert nothing.reason == "Not testable: no primary descriptor is known of all datasets and differs between them."
    assert verdict(table(8).assign(optimum=1.0)).reason == "Not testable: the optima do not differ."


def test_the_order_of_datasets_and_the_units_of_descriptors_do_not_matter() -> None:
    datasets = table(7, r=0.7, seed=6)
    shuffled = datasets.sample(frac=1.0, random_state=2).assign(label_noise=lambda rows: 100.0 * rows["label_noise"] - 3.0)
    for mine, other in zip(verdict(datasets).correlations, verdict(shuffled).correlations, strict=True):
        assert (mine.descriptor, mine.r, mine.p) == (other.descriptor, pytest.approx(other.r), pytest.approx(other.p))


def test_with_many_datasets_random_orders_are_drawn_by_the_seed_alone() -> None:
    datasets = table(12, r=0.7, seed=7)
    assert verdict(datasets) == verdict(datasets) and verdict(datasets, seed=1) != verdict(datasets)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows.drop(columns="error"), "table must have a column 'error'"),
        (lambda rows: rows.assign(error=0.0), "error must be > 0, got 0.0"),
        (lambda rows: rows.assign(dataset="cub"), "table must have one row per dataset, got two for 'cub'"),
    ],
)
def test_a_wrong_table_is_one_sentence(change, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        verdict(change(table(6)))
    with pytest.raises(ValueError, match="alpha must be in"):
        verdict(table(6), alpha=0.6)


def test_a_family_without_any_optimum_is_not_testable() -> None:
    assert verdict(table(6).iloc[:0].astype(object)).label == "NOT TESTABLE"


def test_a_verdict_is_plain_json() -> None:
    assert json.loads(json.dumps(verdict(table(6)).to_dict()))["n_datasets"] == 6


def test_where_nothing_goes_with_anything_it_is_claimed_in_five_percent() -> None:
    assert simulate_relation(6, r=0.0, repetitions=200, seed=1) <= 0.05 + 3.0 * math.sqrt(0.05 * 0.95 / 200)


def test_five_datasets_seldom_find_a_strong_relation_and_twelve_do() -> None:
    few = simulate_relation(5, r=0.85, repetitions=100, seed=2)
    many = simulate_relation(12, r=0.85, repetitions=40, seed=2)
    assert few < 0.4 and many > 0.7
