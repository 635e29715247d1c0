"""What a report and a terminal say of topology: what datasets are like, dials, and whether optima go with them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from studies.reporting.topology_figures import descriptor_title, descriptor_titles
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
    levels = bool(topology.trends)
    told = [*map(trend_sentence, topology.trends)]
    told += dict.fromkeys(relation_sentence(relation, levels=levels) for relation in topology.relations)
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
        along = [f"{_best_seen(trend, best)} at {level}" for best, level in zip(verdict.optima, trend.dial.levels, strict=True)]
        return f"As {trend.dial.title} is turned up, {what} {verdict.direction}: {listed(along)} ({measured})."
    return f"That {what} moves with {trend.dial.title} is not shown ({measured})."


def relation_sentence(relation: Relation, *, levels: bool = False) -> str:
    """Whether a family's best knob value goes with what datasets are like; the same for all networks where it cannot be tested.

    Args:
        relation: The verdict.
        levels: Whether some of the study's datasets are levels of a dial, which count as one.
    """
    verdict, what = relation.verdict, f"the best {relation.knob.symbol} of {relation.family}"
    if verdict.label == "NOT TESTABLE":
        counting = " The levels of a dial count as one dataset." if levels else ""
        return f"Whether {what} goes with what datasets are like is {verdict.reason[0].lower()}{verdict.reason[1:]}{counting}"
    first = verdict.correlations[0]
    name = _inside(descriptor_title(first.descriptor))
    measured = f"r = {first.r:.2f}, p = {_chance(first.p)}, {counted(verdict.n_datasets, 'dataset')}, in the eyes of {relation.network}"
    if verdict.related:
        return f"Over datasets {what} goes with {name} ({measured})."
    return f"That {what} goes with what datasets are like is not shown; {name} comes nearest ({measured})."


def _best_seen(trend: Trend, optimum: float | None) -> str:
    """Where a level's curve is best, and whether that is at an end of what was tried."""
    if optimum is None:
        return "?"
    ends = {min(trend.tried): " (the least tried)", max(trend.tried): " (the greatest tried)"}
    at_end = next((said for end, said in ends.items() if math.isclose(optimum, end, rel_tol=1e-6, abs_tol=1e-9)), "")
    return f"{plain(float(f'{optimum:.2g}'))}{at_end}"


def networks_sentence(described: Sequence[Described]) -> str:
    """Whether the networks tell the same of the datasets."""
    titles, apart = descriptor_titles(described), disagreements(described)
    which = counted(len(described), "network")
    if not apart:
        return f"No two datasets stand in opposite orders in the eyes of the {which}, beyond what errors explain."
    named = listed([_inside(titles[name][0]) for name in titles if name in apart])
    return f"The {which} disagree on {named}: there an order of the datasets is one of the network, not of the data."


def _inside(title: str) -> str:
    """A title within a sentence."""
    return title[:1].lower() + title[1:]


def _chance(p: float | None) -> str:
    return "–" if p is None else f"{p:.2g}" if p >= 0.001 else "below 0.001"
