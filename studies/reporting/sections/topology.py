"""Whether optima go with what the data are like: dials, and the descriptors of datasets beside their optima."""

from __future__ import annotations

from studies.findings import Answer
from studies.reporting.section import Section
from studies.reporting.topology import topology_sentences, trend_sentence
from studies.reporting.topology_figures import descriptor_titles, dial_figure, fingerprint_figure
from studies.reporting.wording import counted
from studies.topology import Described


def section(answer: Answer) -> Section | None:
    """A panel for each family and dial, one for each network that describes the datasets, and its numbers to open."""
    topology, knobs = answer.topology, {curve.family: curve.knob for curve in answer.curves}
    if not topology:
        return None
    dials = [dial_figure(trend, sentence=trend_sentence(trend)) for trend in topology.trends]
    fingerprints = [fingerprint_figure(topology, each, knobs, sentence=_looked_at(each)) for each in topology.described]
    titles, told = descriptor_titles(topology.described), [*map(trend_sentence, topology.trends)]
    return Section(
        "topology",
        "Does it go with what the data are like?",
        groups=[("Along a dial", dials), ("What the datasets are like", fingerprints)],
        template="topology.html",
        facts={
            "sentences": [each for each in topology_sentences(topology) if each not in told],
            "tables": [(each.network, list(each.datasets), _numbers(each, titles)) for each in topology.described],
        },
    )


def _looked_at(described: Described) -> str:
    looked = f"{described.examples:,} training examples of {counted(described.classes, 'class').replace('classs', 'classes')} each"
    return f"Each row has a scale of its own, upwards; {looked}."


def _numbers(described: Described, titles: dict[str, tuple[str, bool]]) -> list[tuple[str, bool, list[str]]]:
    rows = []
    for name, (title, primary) in titles.items():
        estimates = [of.get(name) for of in described.datasets.values()]
        rows.append((title, primary, ["–" if each is None else f"{each.value:.3g} ± {each.error:.1g}" for each in estimates]))
    return rows
