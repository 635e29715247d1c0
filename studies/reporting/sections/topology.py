"""Whether optima go with what the data are like: dials, and the descriptors of datasets beside their optima."""

from __future__ import annotations

from margin_core.topology import Estimate
from studies.findings import Answer
from studies.reporting.section import Section
from studies.reporting.topology import relation_sentence, topology_sentences, trend_sentence
from studies.reporting.topology_figures import (
    descriptor_titles,
    dial_figure,
    dimension_curves,
    dimension_figure,
    examples_words,
    fingerprint_figure,
)
from studies.reporting.wording import number, places
from studies.topology import Described, Relation, Topology


def section(answer: Answer) -> Section | None:
    """A panel for each family and dial, one for each network that describes the datasets, and its numbers to open."""
    topology, knobs = answer.topology, {curve.family: curve.knob for curve in answer.curves}
    if not topology:
        return None
    dials = [dial_figure(trend, sentence=trend_sentence(trend)) for trend in topology.trends]
    fingerprints = [fingerprint_figure(topology, each, knobs, sentence=_beside_optima(topology, each)) for each in topology.described]
    dimensions = [dimension_figure(each) for each in topology.described if dimension_curves(each)]
    titles = descriptor_titles(topology.described)
    told = [*map(trend_sentence, topology.trends), *map(relation_sentence, filter(_tested, topology.relations))]
    return Section(
        "topology",
        "Does it go with what the data are like?",
        groups=[("Along a dial", dials), ("What the datasets are like", fingerprints), ("In how many ways the examples vary", dimensions)],
        template="topology.html",
        facts={
            "sentences": [each for each in topology_sentences(topology) if each not in told],
            "tables": [(each.network, list(each.datasets), _numbers(each, titles)) for each in topology.described],
        },
    )


def _beside_optima(topology: Topology, described: Described) -> str:
    """Whether optima go with what this network sees, and what it has looked at."""
    found = [relation_sentence(relation) for relation in topology.relations if relation.network == described.network and _tested(relation)]
    return " ".join([*found, f"Each row has a scale of its own, upwards; {examples_words(described)}."])


def _with_error(estimate: Estimate) -> str:
    decimals = places(estimate.error)
    return f"{number(estimate.value, decimals)} ± {number(estimate.error, decimals)}"


def _tested(relation: Relation) -> bool:
    return relation.verdict.label != "NOT TESTABLE"


def _numbers(described: Described, titles: dict[str, tuple[str, bool]]) -> list[tuple[str, bool, list[str]]]:
    rows = []
    for name, (title, primary) in titles.items():
        estimates = [of.get(name) for of in described.datasets.values()]
        rows.append((title, primary, ["–" if each is None else _with_error(each) for each in estimates]))
    return rows
