"""The figures of a study's topology: what its datasets are like beside their optima, and a family's optimum along a dial.

Blue is an optimum, as in all figures; a network's descriptors are dots with their standard errors. The words are made in
`studies.reporting.topology`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from matplotlib.axes import Axes

from margin_core.knobs import Knob
from margin_core.topology import list_descriptors
from studies.reporting.section import Figure, file_name, runs_of
from studies.reporting.strokes import LARGE, SMALL, across, below, beside, mark, offset, shortened, shortened_within, stroke
from studies.reporting.surface import BEST, INK, MUTED, PAPER, Sheet
from studies.reporting.windows import Window, sparse_labels
from studies.reporting.wording import number, plain
from studies.topology import Described, Optimum, Topology, Trend

WIDTH, LEFT, RIGHT, ROW, FOOT = 330, 174, 10, 28, 78
LONGEST = 13
"""Characters of a dataset's name under a column; all of them are in the figure's words."""
DIAL = Sheet(width=330, height=214, left=38, right=18, top=14, bottom=48)
LINE_HEIGHT = 12
SCALES = Sheet(width=330, height=224, left=38, right=92, top=14, bottom=44)
_SPAN = 0.3
"""How far from a row's middle its marks go."""


@dataclass(frozen=True)
class _Row:
    """One row of the fingerprint: for each dataset a value and the ends of its error, None where there is none."""

    title: str
    marks: Sequence[tuple[float, float, float] | None]
    colour: str
    bold: bool = False


def fingerprint_figure(topology: Topology, described: Described, knobs: Mapping[str, Knob], *, sentence: str) -> Figure:
    """Each dataset in a column: on top the optimum of each family, below it the descriptors, every row on a scale of its own.

    Args:
        topology: The study's.
        described: What one network makes of the datasets.
        knobs: The knob of each family.
        sentence: What was looked at.
    """
    rows, keys = list(_rows(topology, described, knobs)), list(described.datasets)
    return Figure(
        name=file_name("fingerprint", described.network),
        title=described.network,
        sentence=sentence,
        alt=_alt(rows, keys),
        sheet=Sheet(width=WIDTH, height=FOOT + 8 + ROW * len(rows), left=LEFT, right=RIGHT, top=4, bottom=FOOT),
        paint=lambda axes: _paint_rows(axes, rows, keys),
        runs=runs_of(stage="confirm"),
        heading=f"What the datasets are like in the eyes of {described.network}",
    )


def dimension_figure(described: Described) -> Figure:
    """Each dataset's intrinsic dimension at each scale, as one network sees it; it must have some."""
    curves = dimension_curves(described)
    sheet = replace(SCALES, height=max(SCALES.height, SCALES.top + SCALES.bottom + LINE_HEIGHT * (len(curves) + 1)))
    return Figure(
        name=file_name("dimension", described.network),
        title=described.network,
        sentence=f"Read from {examples_words(described)}.",
        alt=_alt_of_dimensions(curves),
        sheet=sheet,
        paint=lambda axes: _paint_dimensions(axes, curves, sheet),
        runs=runs_of(stage="confirm"),
        heading=f"Intrinsic dimension by scale in the eyes of {described.network}",
    )


def examples_words(described: Described) -> str:
    """What a network has looked at."""
    return f"{described.examples:,} training examples of each dataset, of {described.classes} classes"


def dimension_curves(described: Described) -> dict[str, dict[int, float]]:
    """For each dataset with an intrinsic dimension at some scale those that are finite, by rising scale."""
    finite = {
        dataset: {scale: value for scale, value in sorted(curve.items()) if math.isfinite(value)}
        for dataset, curve in described.dimensions.items()
    }
    return {dataset: curve for dataset, curve in finite.items() if curve}


def dial_figure(trend: Trend, *, sentence: str) -> Figure:
    """A family's optimum at each level of a dial, with its interval."""
    return Figure(
        name=file_name("dial", trend.family, trend.dial.name, trend.dial.datasets[0]),
        title=f"{trend.family}, {trend.dial.title}",
        label=trend.verdict.label,
        sentence=sentence,
        alt=_alt_of_dial(trend),
        sheet=DIAL,
        paint=lambda axes: _paint_dial(axes, trend),
        runs=runs_of(family=trend.family, stage="confirm"),
        heading=f"{trend.family} along {trend.dial.title}: {trend.verdict.label}",
    )


def descriptor_titles(described: Sequence[Described]) -> dict[str, tuple[str, bool]]:
    """The descriptors there are, the primary ones first: the title of each, and whether it is primary."""
    primary = {d.name for d in list_descriptors() if d.role == "primary"}
    names = dict.fromkeys(name for each in described for estimates in each.datasets.values() for name in estimates)
    return {name: (descriptor_title(name), name in primary) for name in sorted(names, key=lambda name: name not in primary)}


def descriptor_title(name: str) -> str:
    """What figures call a descriptor."""
    return next((d.title for d in list_descriptors() if d.name == name), name.replace("_", " ").capitalize())


def _rows(topology: Topology, described: Described, knobs: Mapping[str, Knob]) -> Iterator[_Row]:
    keys = list(described.datasets)
    for family, optima in (topology.optima or {}).items():
        marks = [_on_scale(optima.get(key), knobs[family]) for key in keys]
        if any(marks):
            yield _Row(f"best {knobs[family].symbol} of {family}", marks, BEST, bold=True)
    for descriptor, (title, primary) in descriptor_titles([described]).items():
        estimates = [described.datasets[key].get(descriptor) for key in keys]
        marks = [
            None
            if each is None or not math.isfinite(each.value)
            else (each.value, each.value - _error(each.error), each.value + _error(each.error))
            for each in estimates
        ]
        yield _Row(title, marks, INK if primary else MUTED, bold=primary)


def _error(error: float) -> float:
    return error if math.isfinite(error) else 0.0


def _on_scale(optimum: Optimum | None, knob: Knob) -> tuple[float, float, float] | None:
    if optimum is None:
        return None
    return _place(knob, optimum.value), _place(knob, optimum.low), _place(knob, optimum.high)


def _place(knob: Knob, value: float) -> float:
    return math.log10(value) if knob.scale == "log" else value


def _paint_rows(axes: Axes, rows: Sequence[_Row], keys: Sequence[str]) -> None:
    axes.set_xlim(-0.5, len(keys) - 0.5)
    axes.set_ylim(len(rows), 0)
    across(axes, range(1, len(rows) + 1), (-LEFT / (WIDTH - LEFT - RIGHT), 1.0), clip_on=False)
    foot = axes.get_xaxis_transform() + offset(axes, 0, -5)
    for column, key in enumerate(keys):
        said = shortened_within(key, LONGEST)
        axes.text(column, 0.0, said, transform=foot, rotation=90, ha="center", va="top", fontsize=SMALL, color=MUTED)
    level = axes.get_yaxis_transform()
    for place, row in enumerate(rows):
        weight = "bold" if row.bold else "normal"
        title = shortened(row.title, 31 if row.bold else 35)
        axes.text(-0.04, place + 0.5, title, transform=level, ha="right", va="center", fontsize=8.8, color=row.colour, fontweight=weight)
        ends = [end for known in row.marks if known is not None for end in known]
        if not ends:
            axes.text(0.5, place + 0.5, "not known", transform=level, ha="center", va="center", fontsize=SMALL, color=MUTED)
            continue
        low, high = min(ends), max(ends)

        def at(value: float, place: int = place, low: float = low, high: float = high) -> float:
            share = (value - low) / (high - low) if high > low else 0.5
            return place + 0.5 + _SPAN * (1.0 - 2.0 * share)

        for column, known in enumerate(row.marks):
            if known is not None:
                stroke(axes, [column, column], [at(known[1]), at(known[2])], color=row.colour, linewidth=1.3, zorder=3)
                mark(axes, column, at(known[0]), "o", 5, color=row.colour, markeredgewidth=0, zorder=4)


def _paint_dimensions(axes: Axes, curves: Mapping[str, Mapping[int, float]], sheet: Sheet) -> None:
    scales = sorted({scale for curve in curves.values() for scale in curve})
    window = Window(0.0, 1.08 * max(value for curve in curves.values() for value in curve.values()))
    axes.set_xlim(-0.2, len(scales) - 0.8)
    axes.set_ylim(*window.limits)
    across(axes, window.ticks)
    beside(axes, {tick: number(tick, window.decimals) for tick in window.ticks})
    below(axes, {place: str(scale) for place, scale in enumerate(scales)}, "scale k", size=11, colour=INK)
    for curve in curves.values():
        places = [scales.index(scale) for scale in curve]
        stroke(axes, places, list(curve.values()), color=MUTED, linewidth=1.1, marker="o", markersize=3.2, markeredgewidth=0, zorder=2)
    level = axes.get_yaxis_transform() + offset(axes, 6, 0)
    ends = {dataset: list(curve.values())[-1] for dataset, curve in curves.items()}
    for dataset, y in _apart(ends, LINE_HEIGHT * window.high / sheet.inner_height, window.high).items():
        stroke(
            axes,
            [scales.index(list(curves[dataset])[-1]), axes.get_xlim()[1]],
            [ends[dataset], y],
            color=MUTED,
            linewidth=0.6,
            alpha=0.7,
            zorder=1,
        )
        axes.text(1.0, y, shortened_within(dataset, LONGEST), transform=level, ha="left", va="center", fontsize=SMALL, color=INK)


def _apart(wanted: Mapping[str, float], apart: float, most: float) -> dict[str, float]:
    """Places near the ``wanted`` ones in their order, so far apart, and none above ``most`` where there is room for all."""
    rising = sorted(wanted, key=lambda name: wanted[name])
    places: dict[str, float] = {}
    least = -math.inf
    for name in rising:
        places[name] = max(wanted[name], least)
        least = places[name] + apart
    for name in reversed(rising):
        places[name] = min(places[name], most)
        most = places[name] - apart
    return places


def _paint_dial(axes: Axes, trend: Trend) -> None:
    tried = sorted(value for value in trend.tried if trend.knob.scale == "linear" or value > 0.0)
    at = {value: _place(trend.knob, value) for value in tried}
    low, high = at[tried[0]], at[tried[-1]]
    room = 0.06 * ((high - low) or 1.0)
    axes.set_xlim(-0.5, len(trend.dial.levels) - 0.5)
    axes.set_ylim(low - room, high + room)
    across(axes, at.values())
    heights = dict.fromkeys(tried, 13.0 * (high - low + 2.0 * room) / DIAL.inner_height)
    beside(axes, {at[value]: plain(value) for value in sparse_labels(at, heights, ())})
    below(axes, dict(enumerate(trend.dial.levels)), trend.dial.title, size=11, colour=INK)
    axes.text(-0.1, 1.0, trend.knob.symbol, transform=axes.transAxes, ha="center", va="bottom", fontsize=LARGE, color=INK)
    there = [(place, optimum) for place, optimum in enumerate(trend.optima) if optimum is not None]
    values = [_place(trend.knob, optimum.value) for _, optimum in there]
    stroke(axes, [place for place, _ in there], values, color=MUTED, linewidth=1.0, zorder=2)
    for place, optimum in there:
        stroke(axes, [place, place], [_place(trend.knob, end) for end in (optimum.low, optimum.high)], color=BEST, linewidth=1.8, zorder=3)
        mark(axes, place, _place(trend.knob, optimum.value), "o", 7, color=BEST, markeredgecolor=PAPER, markeredgewidth=0.8, zorder=4)


def _alt(rows: Sequence[_Row], keys: Sequence[str]) -> str:
    told = []
    for row in rows:
        marks = sorted((mark[0], key) for mark, key in zip(row.marks, keys, strict=True) if mark is not None)
        told.append(f"{row.title}, rising: {', '.join(key for _, key in marks) or 'not known'}")
    return f"Where {len(keys)} datasets stand: {'; '.join(told)}."


def _alt_of_dimensions(curves: Mapping[str, Mapping[int, float]]) -> str:
    told = [f"{dataset} {', '.join(f'{value:.3g} at {scale}' for scale, value in curve.items())}" for dataset, curve in curves.items()]
    return f"Intrinsic dimension by the scale k: {'; '.join(told)}."


def _alt_of_dial(trend: Trend) -> str:
    told = [
        f"{level} {optimum.value:.2g} ({optimum.low:.2g} to {optimum.high:.2g})" if optimum else f"{level} not known"
        for level, optimum in zip(trend.dial.levels, trend.optima, strict=True)
    ]
    return f"Where the best {trend.knob.symbol} of {trend.family} may be, by {trend.dial.title}: {'; '.join(told)}."
