"""The report's section on topology, and its sentences for the terminal: what datasets are like, dials, and whether optima go with them.

One function gives the whole section as HTML, so that the page needs one line for it. The figures are `studies.reporting.topology_figures`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from studies.findings import Answer
from studies.reporting.topology_figures import descriptor_title, descriptor_titles, dial_figure, fingerprint_figure
from studies.reporting.wording import counted, listed, plain
from studies.topology import Described, Relation, Topology, Trend, disagreements

MEANINGS = {
    "TREND": "The best value moves one way along the dial.",
    "RELATED": "The best value goes with a primary descriptor over datasets.",
    "UNDECIDED": "It is not shown.",
    "NOT TESTABLE": "The numbers cannot carry an answer.",
}


def topology_sentences(topology: Topology) -> list[str]:
    """What there is to say, a sentence each: dials, relations, what the networks disagree on, and what was not to be had."""
    told = [*map(trend_sentence, topology.trends), *dict.fromkeys(map(relation_sentence, topology.relations))]
    if len(topology.described) > 1:
        told.append(networks_sentence(topology.described))
    if topology.problem:
        told.append(f"The datasets could not be described: {topology.problem}.")
    return told


def trend_sentence(trend: Trend) -> str:
    """Whether a family's best knob value moves along a dial."""
    verdict, what = trend.verdict, f"the best {trend.knob.symbol} of {trend.family}"
    if verdict.label == "NOT TESTABLE":
        return f"Whether {what} moves with {trend.dial.title} cannot be tested: {verdict.reason[0].lower()}{verdict.reason[1:]}"
    measured = f"{counted(verdict.n_seeds, 'seed')}, p = {_chance(verdict.p)}"
    if verdict.trend:
        first, last = (plain(float(f"{end:.2g}")) if end is not None else "?" for end in (verdict.optima[0], verdict.optima[-1]))
        ends = f"from {first} at {trend.dial.levels[0]} to {last} at {trend.dial.levels[-1]}"
        return f"As {trend.dial.title} is turned up, {what} {verdict.direction}, {ends} ({measured})."
    return f"That {what} moves with {trend.dial.title} is not shown ({measured})."


def relation_sentence(relation: Relation) -> str:
    """Whether a family's best knob value goes with what datasets are like; the same for all networks where it cannot be tested."""
    verdict, what = relation.verdict, f"the best {relation.knob.symbol} of {relation.family}"
    if verdict.label == "NOT TESTABLE":
        return f"Whether {what} goes with what datasets are like is {verdict.reason[0].lower()}{verdict.reason[1:]}"
    first = verdict.correlations[0]
    name = descriptor_title(first.descriptor).lower()
    measured = f"r = {first.r:.2f}, p = {_chance(first.p)}, {counted(verdict.n_datasets, 'dataset')}, in the eyes of {relation.network}"
    if verdict.related:
        return f"Over datasets {what} goes with {name} ({measured})."
    return f"That {what} goes with what datasets are like is not shown; {name} comes nearest ({measured})."


def networks_sentence(described: Sequence[Described]) -> str:
    """Whether the networks tell the same of the datasets."""
    titles, apart = descriptor_titles(described), disagreements(described)
    which = counted(len(described), "network")
    if not apart:
        return f"No two datasets stand in opposite orders in the eyes of the {which}, beyond what errors explain."
    named = listed([titles[name][0].lower() for name in titles if name in apart])
    return f"The {which} disagree on {named}: there an order of the datasets is one of the network, not of the data."


def topology_section(answer: Answer, panel: Callable[..., Any]) -> dict[str, Any] | None:
    """What the template ``topology.html`` lays out; None where there is nothing to tell.

    Args:
        answer: The study's answer.
        panel: Makes a panel of title, label, figure and sentence.
    """
    topology, knobs = answer.topology, {curve.family: curve.knob for curve in answer.curves}
    if not topology:
        return None
    titles = descriptor_titles(topology.described)
    return {
        "meanings": MEANINGS,
        "dials": [
            panel(
                f"{trend.family}, {trend.dial.title}", trend.verdict.label, dial_figure(trend, name=f"dial-{place}"), trend_sentence(trend)
            )
            for place, trend in enumerate(topology.trends)
        ],
        "fingerprints": [
            panel(each.network, "", fingerprint_figure(topology, each, knobs, name=f"fingerprint-{place}"), _looked_at(each))
            for place, each in enumerate(topology.described)
        ],
        "sentences": [each for each in topology_sentences(topology) if each not in map(trend_sentence, topology.trends)],
        "tables": [(each.network, list(each.datasets), _numbers(each, titles)) for each in topology.described],
    }


def _looked_at(described: Described) -> str:
    looked = f"{described.examples:,} training examples of {counted(described.classes, 'class').replace('classs', 'classes')} each"
    return f"Each row has a scale of its own, upwards; {looked}."


def _numbers(described: Described, titles: dict[str, tuple[str, bool]]) -> list[tuple[str, bool, list[str]]]:
    rows = []
    for name, (title, primary) in titles.items():
        estimates = [of.get(name) for of in described.datasets.values()]
        rows.append((title, primary, ["–" if each is None else f"{each.value:.3g} ± {each.error:.1g}" for each in estimates]))
    return rows


def _chance(p: float | None) -> str:
    return "–" if p is None else f"{p:.2g}" if p >= 0.001 else "below 0.001"
