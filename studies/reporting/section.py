"""What a report is made of: sections with figures, each figure with the words around it.

A section is a function of the answer in a file of `studies.reporting.sections`, and a line in the list there; the page, the files of
figures and the notebook take it from that. How a figure becomes SVG or PNG is told in `studies.reporting.surface`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from studies.findings import Answer
from studies.reporting.surface import Sheet, draw, drawn, picture, vector


@dataclass(frozen=True)
class Figure:
    """A drawing and what is said of it.

    Attributes:
        name: Unique in the report; what a file of it is called.
        title: Over the figure.
        sentence: What it shows, made from the answer.
        alt: The same for those who do not see it, with the numbers.
        sheet: Its size.
        paint: Draws it on bare axes.
        label: The verdict beside the title, or empty.
        runs: Which of MLflow's runs are behind it, as a filter of its search; or empty.
        heading: What it is called where nothing stands around it, as in a file; by default its title.
    """

    name: str
    title: str
    sentence: str
    alt: str
    sheet: Sheet
    paint: Callable[[Axes], None]
    label: str = ""
    runs: str = ""
    heading: str = ""

    def svg(self, prefix: str = "f") -> str:
        """The figure as an SVG element of a page, all ids in which begin with ``prefix``."""
        return draw(self.sheet, self.paint, name=prefix, alt=self.alt)

    @property
    def png(self) -> bytes:
        """The figure as a PNG file, with its heading over it."""
        return picture(self.sheet, self.paint, title=self.heading or self.title)

    @property
    def svg_file(self) -> str:
        """The figure as an SVG file, with its heading over it."""
        return vector(self.sheet, self.paint, title=self.heading or self.title)

    @property
    def drawing(self) -> Drawing:
        """The figure as Matplotlib's own, with its heading over it."""
        return drawn(self.sheet, self.paint, title=self.heading or self.title)


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        name: Its anchor.
        title: Its heading.
        lead: What stands under the heading.
        groups: Its figures under headings of their own, which may be empty.
        key: What marks in the figures mean: a symbol of ``templates/macros.html``, and its meaning.
        template: Its template in ``templates/sections``; the usual one lays out ``groups``.
        facts: What another template needs besides.
    """

    name: str
    title: str
    lead: str = ""
    groups: Sequence[tuple[str, Sequence[Figure]]] = ()
    key: Sequence[tuple[str, str]] = ()
    template: str = "figures.html"
    facts: Mapping[str, object] = field(default_factory=dict)

    @property
    def figures(self) -> list[Figure]:
        """All of its figures, in order."""
        return [figure for _, figures in self.groups for figure in figures]


Build = Callable[[Answer], Section | None]
"""Makes a section of a study's answer, or None where there is nothing to show."""


def file_name(*parts: str) -> str:
    """Parts of a name joined so that they can be a file's.

    >>> file_name("confirm", "folder:birds", "gds")
    'confirm-folder-birds-gds'
    """
    return re.sub("[^A-Za-z0-9_.+-]+", "-", "-".join(parts))


def runs_of(dataset: str = "", family: str = "", stage: str = "") -> str:
    """The replicates of a dataset, a family and a stage, as a filter of MLflow's search.

    >>> runs_of("digits", stage="screen")
    "tags.kind = 'replicate' and tags.dataset = 'digits' and tags.stage = 'screen'"
    """
    asked = {"kind": "replicate", "dataset": dataset, "family": family, "stage": stage}
    return " and ".join(f"tags.{name} = '{value}'" for name, value in asked.items() if value)
