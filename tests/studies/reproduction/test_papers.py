"""Every table and figure of the papers is repeated, or the page says why it is not."""

from __future__ import annotations

import re
from pathlib import Path

from studies.reproduction.table import list_tables, read_table

PAGE = Path(__file__).parents[3] / "docs/reproductions.md"


def numbered(tables: int, figures: int) -> set[str]:
    return {f"table {number + 1}" for number in range(tables)} | {f"figure {number + 1}" for number in range(figures)}


# The slides of the last one number their figures anew; of those in the paper they show figure 9 by its number.
PAPERS = {
    "Xia, Generalized Dual-Scale Optimization": numbered(tables=1, figures=1),
    "Zhang, Xie and Chen, Probability-Dependent Gradient Decay": numbered(tables=5, figures=8),
    "Berlyand, Creese and Jabin, A novel multi-scale loss function": numbered(tables=0, figures=15),
    "Zhou et al., Learning Towards the Largest Margins, ICLR 2022": numbered(tables=3, figures=1)
    | {"figure 9", "the picture of eight classes on a sphere"},
}


def told() -> dict[tuple[str, str], str]:
    """What the page says of each table and figure of each paper."""
    rows = {}
    for section in re.split(r"^### ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        paper = section.splitlines()[0]
        for item, _, answer in re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", section, re.MULTILINE):
            if item != "---":
                rows[paper, item] = answer
    return rows


def sources() -> dict[tuple[str, str], set[str]]:
    """By table and figure of each paper what of ours repeats it: ``tables 4 and 5``, ``figures 3 to 5``."""
    found: dict[tuple[str, str], set[str]] = {}
    for name in list_tables():
        source = read_table(name).source
        (paper,) = (paper for paper in PAPERS if source.startswith(paper))
        items = []
        for kind, numbers in re.findall(r"\b(table|figure)s? ((?:\d+(?:, | and | to )?)+)", source):
            for first, last in re.findall(r"(\d+)(?: to (\d+))?", numbers):
                items += [f"{kind} {number}" for number in range(int(first), int(last or first) + 1)]
        for item in items or [source.removeprefix(f"{paper}, ")]:
            found.setdefault((paper, item), set()).add(name)
    return found


def test_every_table_and_figure_of_the_papers_is_on_the_page() -> None:
    assert sorted(told()) == sorted((paper, item) for paper, items in PAPERS.items() for item in items)


def test_the_page_names_what_repeats_a_table_or_figure_by_its_own_source() -> None:
    named = {place: set(re.findall(r"`([^`]+)`", answer)) & set(list_tables()) for place, answer in told().items()}
    assert {place: names for place, names in named.items() if names} == sources()
