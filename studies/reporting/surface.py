"""The sheet that every figure is drawn on: a Matplotlib figure that becomes an SVG text for a page in light or dark.

Colours are named by what they mean and become CSS variables in the SVG, so that the page around it decides how they look; text stays
text. Equal drawings give equal bytes. What is drawn is left to `studies.reporting.figures`.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from xml.etree import ElementTree

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Drawn with these light colours, each of its own, so that the SVG can be searched for them.
COLOURS: Mapping[str, str] = {
    "ink": "#1d2329",
    "muted": "#68727d",
    "line": "#d5dae0",
    "paper": "#fefefe",
    "best": "#0072b2",
    "lost": "#c24e00",
}
INK, MUTED, LINE, PAPER, BEST, LOST = COLOURS.values()

_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "margin-studies",
    "font.family": ["DejaVu Sans"],
    "font.size": 11,
    "text.parse_math": False,
    "path.simplify": False,
    "lines.dash_capstyle": "butt",
}
_NO_METADATA: dict[str, Any] = {"Date": None, "Creator": None, "Format": None, "Type": None}
_TIGHT: dict[str, Any] = {"bbox_inches": "tight", "pad_inches": 0.15}
_SVG, _XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
_DIGITS = re.compile(r"-?\d+\.\d{3,}")


@dataclass(frozen=True)
class Sheet:
    """The size of a figure and the room around its axes, in CSS pixels.

    Attributes:
        width: Of the whole figure.
        height: Of the whole figure.
        left: Room for labels on the left of the axes; the same for the other sides.
        right: See ``left``.
        top: See ``left``.
        bottom: See ``left``.
    """

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float

    @property
    def inner_width(self) -> float:
        """Width of the axes."""
        return self.width - self.left - self.right

    @property
    def inner_height(self) -> float:
        """Height of the axes."""
        return self.height - self.top - self.bottom


def draw(sheet: Sheet, paint: Callable[[Axes], None], *, name: str, alt: str) -> str:
    """What ``paint`` draws on bare axes, as an SVG element.

    Args:
        sheet: The size.
        paint: Draws on axes that have no frame, ticks or labels; see `studies.reporting.strokes`.
        name: Unique on the page: it prefixes every id in the SVG.
        alt: What the figure shows, for those who do not see it.
    """
    text = io.StringIO()
    with matplotlib.rc_context(_SETTINGS):
        figure, axes = _easel()
        _stretch(figure, axes, sheet)
        try:
            paint(axes)
            figure.savefig(text, format="svg", metadata=_NO_METADATA)
        finally:
            for artist in (*axes.lines, *axes.patches, *axes.texts):
                artist.remove()
    return _element(text.getvalue(), sheet, name, alt)


def drawn(sheet: Sheet, paint: Callable[[Axes], None], *, title: str) -> Figure:
    """What ``paint`` draws, on white with ``title`` over it, as a figure of Matplotlib's."""
    with matplotlib.rc_context(_SETTINGS):
        figure, axes = _bare()
        _stretch(figure, axes, sheet)
        paint(axes)
        figure.patch.set_visible(True)
        figure.patch.set_facecolor(PAPER)
        figure.suptitle(title, fontsize=11, color=INK, y=1.0, va="bottom")
    return figure


def picture(sheet: Sheet, paint: Callable[[Axes], None], *, title: str) -> bytes:
    """What ``paint`` draws, as a PNG file on white with ``title`` over it."""
    image = io.BytesIO()
    with matplotlib.rc_context(_SETTINGS):
        drawn(sheet, paint, title=title).savefig(image, format="png", dpi=144, metadata={"Software": None}, **_TIGHT)
    return image.getvalue()


def vector(sheet: Sheet, paint: Callable[[Axes], None], *, title: str) -> str:
    """What ``paint`` draws, as an SVG file on white with ``title`` over it, in which text is drawn and needs no font."""
    text = io.StringIO()
    with matplotlib.rc_context({**_SETTINGS, "svg.fonttype": "path"}):
        drawn(sheet, paint, title=title).savefig(text, format="svg", metadata=_NO_METADATA, **_TIGHT)
    return text.getvalue()


def _bare() -> tuple[Figure, Axes]:
    figure = Figure(dpi=72)
    figure.patch.set_visible(False)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    return figure, axes


@cache
def _easel() -> tuple[Figure, Axes]:
    """A figure for all drawings of a page, one after the other: making axes takes longer than most of what is drawn on them."""
    return _bare()


def _stretch(figure: Figure, axes: Axes, sheet: Sheet) -> None:
    figure.set_size_inches(sheet.width / 72.0, sheet.height / 72.0)
    axes.set_position(
        (sheet.left / sheet.width, sheet.bottom / sheet.height, sheet.inner_width / sheet.width, sheet.inner_height / sheet.height)
    )


def _element(document: str, sheet: Sheet, name: str, alt: str) -> str:
    root = ElementTree.fromstring(document)
    for element in root.iter():
        # The style element would reach the whole page that the SVG is put into.
        for child in [child for child in element if child.tag in (f"{_SVG}metadata", f"{_SVG}style")]:
            element.remove(child)
        element.tag = element.tag.removeprefix(_SVG)
        element.text, element.tail = (element.text or "").strip() or None, None
        element.attrib = {key: value for key, value in _attributes(element, name) if value}
    root.attrib = {
        "viewBox": f"0 0 {sheet.width:g} {sheet.height:g}",
        "width": f"{sheet.width:g}",
        "height": f"{sheet.height:g}",
        "role": "img",
        "aria-label": alt,
        "font-family": "system-ui, sans-serif",
    }
    return ElementTree.tostring(root, encoding="unicode")


def _attributes(element: ElementTree.Element, name: str) -> Iterator[tuple[str, str]]:
    for key, value in element.attrib.items():
        if key == "id" and element.tag != "g":
            yield key, f"{name}-{value}"
        elif key == f"{_XLINK}href":
            yield "href", value.replace("#", f"#{name}-")
        elif key == "clip-path":
            yield key, value.replace("#", f"#{name}-")
        elif key == "style":
            yield key, _themed(value)
        elif key != "id" and not value.startswith("rotate(-0 "):
            yield key, _DIGITS.sub(lambda match: f"{float(match[0]):.2f}", value.replace("\n", ""))


def _themed(style: str) -> str:
    style = re.sub(r"font-family: [^;]*;? ?", "", style)
    for colour, light in COLOURS.items():
        style = style.replace(light, f"var(--{colour}, {light})")
    return style.replace("; ", ";").replace(": ", ":")
