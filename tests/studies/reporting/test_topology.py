"""The report's section on topology: its sentences are made from the verdicts, its figures tell all they show in words too."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from margin_core.topology import Estimate
from studies.analysis import Correlation, RelationVerdict
from studies.reporting.report import render_report
from studies.reporting.sections import topology
from studies.reporting.text import text_report
from studies.reporting.topology import networks_sentence, relation_sentence, topology_sentences, trend_sentence
from studies.reporting.topology_figures import dial_figure, dimension_figure, fingerprint_figure
from studies.topology import Described, Relation, Topology
from tests.studies.reporting.conftest import noise

LAMBDAS = {"gds": [0, 0.5, 1, 1.5, 2, 2.5, 3]}
DIAL = [{"dataset": "digits", "label_noise": share} for share in (0.0, 0.1, 0.2, 0.3)]


def moving(trial):
    """An accuracy of gds that is highest at a λ that rises with label noise."""
    best = 0.5 + 20.0 / 3.0 * trial.cell.dataset.label_noise
    lam = float(trial.config.get("gds.lam", 0.0))
    return 95.0 - (lam - best) ** 2 + noise(trial.dataset, trial.replicate, scale=0.4) + noise(trial.key, scale=0.05)


def eyes(network, keys, sign):
    """Label noise that rises from dataset to dataset, and hubness that does so or falls."""
    each = [
        {"label_noise": (0.1 * place, 0.01), "hubness": (sign * place, 0.1), "pose_sensitivity": (2.0, 0.1)} for place in range(len(keys))
    ]
    told = [{name: Estimate(*estimate) for name, estimate in estimates.items()} for estimates in each]
    dimensions = {key: {1: 9.0 + place, 2: 8.0, 4: 6.0, 8: float("nan")} for place, key in enumerate(keys)}
    return Described(network, 1000, 10, dict(zip(keys, told, strict=True)), dimensions)


@pytest.fixture(scope="module")
def turned(build):
    """A study in which the best λ moves along a dial, and two networks that disagree about the data."""
    answer = build(moving, datasets=DIAL, confirm={"families": ["gds"], "seeds": 5, "values": LAMBDAS})
    told = [eyes(f"lenet5, {which} weights", answer.datasets, sign) for which, sign in (("random", 1.0), ("trained", -1.0))]
    return replace(answer, topology=replace(answer.topology, described=tuple(told)))


def texts(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter("text")]


def section(page):
    return re.search(r'<section id="topology">.*?</section>', page, re.DOTALL)[0]


def test_a_trend_is_told_in_the_terminals_report_too(turned):
    assert trend_sentence(turned.topology.trends[0]) in " ".join(text_report(turned).plain.split())


def test_a_trend_is_told_with_its_ends_and_its_evidence(turned):
    (trend,) = turned.topology.trends
    said = trend_sentence(trend)
    assert re.fullmatch(
        r"As label noise is turned up, the best λ of gds rises: 0\.49 at 0, 1\.\d+ at 0\.1, 1\.\d+ at 0\.2 and 2\.5 at 0\.3 \(.*\)\.", said
    )
    assert said.endswith(" (5 seeds, p = 0.01).")
    at_end = replace(trend, verdict=replace(trend.verdict, optima=(0.0, *trend.verdict.optima[1:-1], 3.0)))
    assert "rises: 0 (the least tried) at 0, " in trend_sentence(at_end)
    assert " and 3 (the greatest tried) at 0.3 (" in trend_sentence(at_end)
    still = replace(trend, verdict=replace(trend.verdict, trend=False, label="UNDECIDED", direction=None, p=0.3))
    assert trend_sentence(still) == "That the best λ of gds moves with label noise is not shown (5 seeds, p = 0.3)."
    refused = replace(trend, verdict=replace(trend.verdict, trend=False, label="NOT TESTABLE", reason="A trend needs 3 seeds."))
    assert trend_sentence(refused) == "Whether the best λ of gds moves with label noise cannot be tested: a trend needs 3 seeds."


def relation(turned, verdict):
    (trend,) = turned.topology.trends
    return Relation("gds", trend.knob, "lenet5, random weights", verdict)


def test_a_relation_is_a_claim_only_where_it_is_related(turned):
    found = (Correlation("label_noise", True, 0.95, 0.01), Correlation("hubness", False, 0.2, 0.7))
    claimed = RelationVerdict("RELATED", True, found, 8, 0.05, "")
    measured = "(r = 0.95, p = 0.01, 8 datasets, in the eyes of lenet5, random weights)"
    assert relation_sentence(relation(turned, claimed)) == f"Over datasets the best λ of gds goes with label noise {measured}."
    open_ = replace(claimed, label="UNDECIDED", related=False)
    nearest = f"is not shown; label noise comes nearest {measured}."
    assert relation_sentence(relation(turned, open_)) == f"That the best λ of gds goes with what datasets are like {nearest}"
    refused = replace(claimed, label="NOT TESTABLE", related=False, reason="Not testable: 3 datasets.")
    asked = "Whether the best λ of gds goes with what datasets are like"
    assert relation_sentence(relation(turned, refused)) == f"{asked} is not testable: 3 datasets."


def test_networks_that_disagree_are_told_by_what_on(turned):
    assert networks_sentence(turned.topology.described).startswith("The 2 networks disagree on hubness: there")
    alike = networks_sentence([turned.topology.described[0]] * 2)
    assert alike == "No two datasets stand in opposite orders in the eyes of the 2 networks, beyond what errors explain."


def test_all_there_is_to_say_is_in_the_report_and_what_hindered_it(turned):
    page = render_report(turned)
    told = section(page)
    for sentence in topology_sentences(turned.topology):
        assert sentence.replace(" = ", "\u00a0=\u00a0") in told
    assert told.count("<svg") == 5 and 'class="chip TREND"' in told
    assert "1,000 training examples of each dataset, of 10 classes" in told
    hindered = replace(turned, topology=Topology(problem="there is no file weights/x"))
    assert topology.section(hindered).facts["sentences"] == ["The datasets could not be described: there is no file weights/x."]


def test_without_dials_and_descriptors_there_is_no_such_section(build, peaked):
    assert topology.section(build(peaked)) is None


def test_figures_say_in_words_what_they_show(turned):
    (trend,) = turned.topology.trends
    knobs = {"gds": trend.knob}
    dial = ElementTree.fromstring(dial_figure(trend, sentence="").svg("d"))
    assert dial.get("aria-label", "").startswith(
        "Where the best λ of gds may be, by label noise: 0 0.49 (0.2 to 0.76); 0.1 1.2 (0.93 to 1.5)"
    )
    first, second = (
        ElementTree.fromstring(fingerprint_figure(turned.topology, each, knobs, sentence="").svg("f")).get("aria-label", "")
        for each in turned.topology.described
    )
    rising = ", ".join(turned.datasets)
    assert f"best λ of gds, rising: {rising}; Label noise, rising: {rising}" in first
    assert f"Hubness, rising: {', '.join(reversed(turned.datasets))}" in second


def test_the_words_along_the_axes_are_drawn(turned):
    (trend,) = turned.topology.trends
    dial = texts(dial_figure(trend, sentence="").svg("d"))
    assert {"0", "0.1", "0.2", "0.3", "label noise", "λ", "0.5", "1.5", "3"} <= set(dial)
    fingerprint = texts(fingerprint_figure(turned.topology, turned.topology.described[0], {"gds": trend.knob}, sentence="").svg("f"))
    assert {"best λ of gds", "Label noise", "Hubness"} <= set(fingerprint)
    assert sum(text.startswith("digi") for text in fingerprint) == len(turned.datasets)


def test_a_descriptor_that_is_not_known_leaves_its_row_empty(turned):
    described = turned.topology.described[0]
    nothing = Described("n", 10, 2, {key: {"cdnv": Estimate(float("nan"), float("nan"))} for key in described.datasets})
    figure = ElementTree.fromstring(fingerprint_figure(replace(turned.topology, optima=None), nothing, {}, sentence="").svg("f"))
    assert "not known" in ["".join(element.itertext()).strip() for element in figure.iter("text")]


def test_equal_answers_give_equal_bytes(turned):
    assert render_report(turned) == render_report(turned)


def test_the_dimension_by_scale_is_a_line_for_each_dataset(turned):
    described = turned.topology.described[0]
    figure = dimension_figure(described)
    assert "scale k" in texts(figure.svg())
    assert {"digits", "digi…noise0.1", "digi…noise0.3"} <= set(texts(figure.svg()))
    assert "digits 9 at 1, 8 at 2, 6 at 4" in figure.alt
    assert "In how many ways the examples vary" in section(render_report(turned))


@pytest.mark.parametrize("count", [3, 8, 25])
def test_the_names_beside_equal_dimensions_stay_in_the_picture_and_apart(count):
    keys = [f"dataset-{place}" for place in range(count)]
    svg = dimension_figure(Described("n", 10, 2, {key: {} for key in keys}, {key: {1: 5.0, 2: 4.0} for key in keys})).svg()
    root = ElementTree.fromstring(svg)
    height = float(root.get("viewBox").split()[3])
    named = [element for element in root.iter("text") if (element.text or "").startswith("data")]
    heights = sorted(float(element.get("y")) for element in named)
    assert len(heights) == count
    assert heights[0] > 0.0 and heights[-1] < height
    assert min(b - a for a, b in pairwise(heights)) > 11.0


def test_a_study_described_before_dimensions_were_kept_has_no_such_lines(turned):
    described = tuple(replace(each, dimensions={}) for each in turned.topology.described)
    older = replace(turned, topology=replace(turned.topology, described=described))
    assert "In how many ways the examples vary" not in section(render_report(older))
