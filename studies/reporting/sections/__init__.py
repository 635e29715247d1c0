"""The sections of a report, in the order of the page: each a file with a function of the answer, and a line here."""

from __future__ import annotations

from studies.findings import Answer
from studies.reporting.section import Build, Section
from studies.reporting.sections import (
    claims,
    cost,
    curves,
    disagreement,
    exported,
    families,
    forest,
    gains,
    importance,
    lost,
    method,
    optimism,
    run,
    screen,
    seeds,
    shift,
    surfaces,
    tested,
    topology,
    verdicts,
)

SECTIONS: tuple[Build, ...] = (
    verdicts.section,
    curves.section,
    curves.zoom,
    surfaces.section,
    forest.section,
    shift.section,
    topology.section,
    claims.section,
    tested.section,
    gains.section,
    families.section,
    seeds.section,
    optimism.section,
    disagreement.section,
    screen.section,
    importance.section,
    exported.section,
    run.section,
    cost.section,
    lost.section,
    method.section,
)


def sections_of(answer: Answer) -> list[Section]:
    """The sections that a study's answer has something for."""
    return [section for build in SECTIONS if (section := build(answer)) is not None]
