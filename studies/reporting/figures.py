"""The figures that every report begins with: response curves, gains over cross-entropy, and what the screen saw.

Every figure is one small panel, so that a page can lay panels side by side or, on a telephone, one below another. In all of them
blue means "may be best", grey is cross-entropy and noise, and vermilion is what was lost. The words around them are made in
`studies.reporting.sentences`; how a drawing becomes SVG is told in `studies.reporting.surface`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean

import pandas as pd
from matplotlib.axes import Axes

from studies.analysis import Gain, Summary, summarise
from studies.analysis.overlay import Overlay, overlay
from studies.findings import Answer, Contender, Curve
from studies.reporting.published import paint_published, published, published_words
from studies.reporting.section import Figure, file_name, runs_of
from studies.reporting.sentences import (
    alt_of_curve,
    alt_of_gains,
    alt_of_screen,
    curve_sentence,
    curves_of,
    gain_or_why,
    gains_sentence,
    screen_sentence,
    seeds_by_value,
)
from studies.reporting.strokes import (
    LARGE,
    MEDIUM,
    SMALL,
    across,
    band,
    below,
    beside,
    dots,
    mark,
    offset,
    rows,
    shortened,
    stroke,
    upright,
)
from studies.reporting.surface import BEST, INK, LINE, LOST, MUTED, PAPER, Sheet
from studies.reporting.windows import Window, gain_window, knob_positions, metric_window, sparse_labels
from studies.reporting.wording import metric_title, metric_words, number, plain

CURVE = Sheet(width=330, height=236, left=38, right=24, top=28, bottom=40)
GAINS_ROW, SCREEN_ROW = 62, 30
MOST_DOTS = 300


def curve_figure(answer: Answer, curve: Curve) -> Figure:
    """A family's response on one dataset: every seed, each value's mean with its interval, ``ce``, and the values that may be best.

    Args:
        answer: The study's answer, whose other curves on the dataset share the metric's axis.
        curve: The curve to draw.
    """
    return Figure(
        name=file_name(curve.stage, curve.dataset, curve.family),
        title=curve.family,
        label=str(curve.verdict.label),
        sentence=curve_sentence(answer, curve),
        alt=alt_of_curve(answer, curve, published_words(answer, curve)),
        sheet=CURVE,
        paint=lambda axes: _paint_curve(axes, answer, curve),
        runs=runs_of(curve.dataset, curve.family, curve.stage),
        heading=f"{curve.family} on {curve.dataset}: {curve.verdict.label}",
    )


def gains_figure(answer: Answer, dataset: str) -> Figure:
    """What each family's contender gains over ``ce`` on one dataset, with intervals; every dataset's has the same axis."""
    curves = [curve for curve in curves_of(answer, dataset) if curve.contender is not None]
    return Figure(
        name=file_name("gains", dataset),
        title=dataset,
        sentence=gains_sentence(answer, dataset),
        alt=alt_of_gains(answer, dataset),
        sheet=Sheet(width=330, height=48 + GAINS_ROW * len(curves), left=4, right=4, top=2, bottom=46),
        paint=lambda axes: _paint_gains(axes, answer, curves),
        runs=runs_of(dataset, stage="confirm"),
        heading=f"Gains over ce on {dataset}",
    )


def screen_figure(answer: Answer, dataset: str) -> Figure:
    """Every configuration screened on one dataset, a strip for each family, the best of each in blue and ``ce``'s best as a line."""
    table = answer.screen[answer.screen["dataset"] == dataset]
    families = list(dict.fromkeys(table["family"]))
    return Figure(
        name=file_name("screen", dataset),
        title=dataset,
        sentence=screen_sentence(answer, dataset),
        alt=alt_of_screen(answer, dataset),
        sheet=Sheet(width=330, height=66 + SCREEN_ROW * len(families), left=102, right=10, top=22, bottom=44),
        paint=lambda axes: _paint_screen(axes, answer, table, families),
        runs=runs_of(dataset, stage="screen"),
        heading=f"The screen of {dataset}",
    )


def goes_beyond(answer: Answer) -> bool:
    """Whether some curve has a mean beyond its axis."""
    windows = {dataset: dataset_window(answer, dataset) for dataset in answer.datasets}
    return any(
        not windows[curve.dataset].holds(fmean(seeds)) for curve in answer.curves for seeds in seeds_by_value(answer, curve).values()
    )


def _paint_curve(axes: Axes, answer: Answer, curve: Curve) -> None:
    seeds = seeds_by_value(answer, curve)
    claimed = published(answer, curve)
    at = _places(answer, curve)
    values = list(at)
    window = dataset_window(answer, curve.dataset)
    _metric_axis(axes, window, metric_title(answer.spec))
    _knob_axis(axes, values, at, curve, claimed)
    _paint_optimum(axes, values, at, curve.verdict.optimum_set)
    _paint_baseline(axes, answer, curve.dataset, window)
    means = {value: summarise(numbers, alpha=answer.spec.alpha) for value, numbers in seeds.items()}
    _paint_lines(axes, curve_overlay(answer, curve), {at[value]: summary.mean for value, summary in means.items()})
    shown = [(at[value], y) for value in means for y in seeds[value] if window.holds(y)]
    dots(axes, [x for x, _ in shown], [y for _, y in shown], transform=axes.transData + offset(axes, 6, 0), zorder=2)
    kept = curve.verdict.optimum_set
    _paint_means(axes, {at[value]: summary for value, summary in means.items() if value in kept}, window, BEST, BEST)
    _paint_means(axes, {at[value]: summary for value, summary in means.items() if value not in kept}, window, INK, PAPER)
    _paint_lost(axes, at, curve.lost)
    above = axes.get_xaxis_transform() + offset(axes, 0, 5)  # the labels of the values are below
    paint_published(axes, at, 0.0, claimed, size=6.5, markerfacecolor=PAPER, transform=above)


def curve_overlay(answer: Answer, curve: Curve) -> Overlay | None:
    """The smooth lines of a curve, on an axis from 0 to 1."""
    return overlay(curve.table, knob=curve.knob.name, metric=answer.spec.metric, places=_places(answer, curve))


def _places(answer: Answer, curve: Curve) -> dict[float, float]:
    """Where the values of a curve stand on its axis, those that were lost or are claimed elsewhere among them."""
    values = {*seeds_by_value(answer, curve), *curve.lost, *published(answer, curve)}
    return knob_positions(sorted(values), curve.knob.scale)


def _paint_lines(axes: Axes, smooth: Overlay | None, means: Mapping[float, float]) -> None:
    """The smooth lines, or where there are too few values for any, one from mean to mean."""
    if smooth is None:
        stroke(axes, list(means), list(means.values()), color=MUTED, linewidth=1.1, zorder=3)
        return
    stroke(axes, smooth.at, smooth.process, color=MUTED, linewidth=1.3, zorder=3)
    if smooth.cubic:
        stroke(axes, smooth.at, smooth.cubic, color=MUTED, linewidth=1.1, linestyle=(0, (1, 2.5)), zorder=3)


def _paint_means(axes: Axes, means: Mapping[float, Summary], window: Window, colour: str, face: str) -> None:
    """Means with their intervals, by place; those of one look are one line each, for drawing takes as long as there are lines."""
    spans = [(x, summary.low, summary.high) for x, summary in means.items() if summary.low is not None and summary.high is not None]
    xs, ys = [end for x, _, _ in spans for end in (x, x, math.nan)], [end for _, *ends in spans for end in (*ends, math.nan)]
    if spans:
        stroke(axes, xs, ys, color=colour, linewidth=1.3, zorder=4)
    inside = {x: summary.mean for x, summary in means.items() if window.holds(summary.mean)}
    if inside:
        look = {"color": colour, "markerfacecolor": face, "markeredgewidth": 1.3, "linestyle": "none", "zorder": 5}
        stroke(axes, list(inside), list(inside.values()), marker="o", markersize=6, **look)
    for x, summary in means.items():
        if x not in inside:
            _paint_beyond(axes, x, summary.mean, window)


def _paint_beyond(axes: Axes, x: float, mean: float, window: Window) -> None:
    low = mean < window.low
    y, sign = (window.low, 1) if low else (window.high, -1)
    mark(axes, x, y, "v" if low else "^", 6.5, color=INK, markerfacecolor=PAPER, markeredgewidth=1.2, zorder=5, clip_on=False)
    left = x > 0.5
    at = axes.transData + offset(axes, -7 if left else 7, 5 * sign)
    said = number(mean, window.decimals)
    axes.text(x, y, said, transform=at, ha="right" if left else "left", va="center", fontsize=SMALL, color=MUTED, zorder=6)


def _paint_optimum(axes: Axes, values: Sequence[float], at: Mapping[float, float], optimum: Sequence[float]) -> None:
    edges = [-0.06, *((left + right) / 2 for left, right in pairwise(at[value] for value in values)), 1.06]
    rail = axes.get_xaxis_transform()
    for value, ends in zip(values, pairwise(edges), strict=True):
        if value in optimum:
            band(axes, ends, (0.0, 1.0), color=BEST, alpha=0.1, transform=rail)
            stroke(axes, ends, [0, 0], transform=rail, color=BEST, linewidth=3, zorder=4, clip_on=False)


def _paint_baseline(axes: Axes, answer: Answer, dataset: str, window: Window) -> None:
    baseline = answer.baselines.get(dataset)
    if baseline is None or baseline.empty:
        return
    seeds = baseline[answer.spec.metric].tolist()
    mean, sesoi = fmean(seeds), answer.spec.smallest_effect
    level = axes.get_yaxis_transform()
    band(axes, (0.0, 1.0), (window.inside(mean - sesoi), window.inside(mean + sesoi)), color=MUTED, alpha=0.15, transform=level)
    across(axes, [window.inside(mean)], color=MUTED, linewidth=1.1, dashes=(4, 2.5), zorder=1)
    dots(axes, [-0.12] * len(seeds), [window.inside(y) for y in seeds], zorder=2)
    axes.text(1.02, window.inside(mean), "ce", transform=level, va="center", color=MUTED, fontsize=11)


def _paint_lost(axes: Axes, at: Mapping[float, float], lost: Mapping[float, int]) -> None:
    rail = axes.get_xaxis_transform()
    for value, count in lost.items():
        x = at[value]
        mark(axes, x, 0.09, "x", 5.5, markeredgewidth=1.5, color=LOST, transform=rail, zorder=6)
        if count > 1:
            left = rail + offset(axes, -6, 0)
            axes.text(x, 0.09, str(count), transform=left, ha="right", va="center", fontsize=SMALL, color=LOST)


def _paint_gains(axes: Axes, answer: Answer, curves: Sequence[Curve]) -> None:
    window, words = _gain_window(answer), metric_words(answer.spec)
    axes.set_xlim(*window.limits)
    rows(axes, len(curves))
    better = "more is better" if answer.spec.maximize else "less is better"
    title = f"difference from ce{words.points and f',{words.points}'.replace('°', ' °')} ({better})"
    below(axes, {tick: number(tick, window.decimals, signed=True) for tick in window.ticks}, title)
    for row, curve in enumerate(curves):
        if curve.contender is not None:
            _paint_contender(axes, row, curve.family, curve.contender, window, answer.spec.smallest_effect)


def _paint_contender(axes: Axes, row: int, family: str, contender: Contender, window: Window, sesoi: float) -> None:
    level, gain = axes.get_yaxis_transform(), contender.gain
    axes.text(0.0, row + 0.29, family, transform=level, color=INK, fontsize=11.5, weight="bold")
    axes.text(0.0, row + 0.52, shortened(contender.setting, 46), transform=level, color=MUTED, fontsize=MEDIUM)
    axes.text(1.0, row + 0.29, gain_or_why(contender), transform=level, ha="right", color=INK if gain is not None else MUTED, fontsize=11.5)
    gain_track(axes, row + 0.77, window, sesoi)
    if gain is not None:
        gain_mark(axes, row + 0.77, gain, window)


def gain_track(axes: Axes, y: float, window: Window, sesoi: float) -> None:
    """The ground of a row of gains: ticks, zero, and the band of what does not matter."""
    ends = (y - 0.15, y + 0.15)
    upright(axes, window.ticks, ends, transform=axes.transData)
    band(axes, (window.inside(-sesoi), window.inside(sesoi)), ends, color=MUTED, alpha=0.15)
    upright(axes, [0.0], ends, transform=axes.transData, color=MUTED, linewidth=1.2, zorder=1)


def gain_mark(axes: Axes, y: float, gain: Gain, window: Window) -> None:
    """A gain with its interval."""
    if gain.low is not None and gain.high is not None:
        stroke(axes, [window.inside(gain.low), window.inside(gain.high)], [y, y], color=BEST, linewidth=1.6, solid_capstyle="butt")
        for end, marker in ((gain.low, "<"), (gain.high, ">")):
            if not window.holds(end):
                mark(axes, window.inside(end), y, marker, 5, color=BEST, markeredgewidth=0, clip_on=False)
    if window.holds(gain.mean):
        mark(axes, gain.mean, y, "o", 7, color=BEST, markeredgewidth=0)


def _paint_screen(axes: Axes, answer: Answer, table: pd.DataFrame, families: Sequence[str]) -> None:
    spec, measured = answer.spec, table.dropna(subset=["value"])
    window = metric_window(measured["value"].tolist(), maximize=spec.maximize, least=spec.smallest_effect)
    # Room at the bad end for how many are beyond it or lost.
    room = 0.28 * (window.high - window.low)
    bad_end = window.low - room if spec.maximize else window.high + room
    axes.set_xlim(min(bad_end, window.low), max(bad_end, window.high))
    axes.set_ylim(len(families), 0)
    beside(axes, {row + 0.5: family for row, family in enumerate(families)}, colour=INK)
    upright(axes, window.ticks)
    below(axes, {tick: number(tick, window.decimals) for tick in window.ticks}, metric_title(spec))
    across(axes, [row + 0.5 for row in range(len(families))])
    baseline = measured.loc[measured["family"] == "ce", "value"]
    if not baseline.empty:
        best = window.inside(float(baseline.max() if spec.maximize else baseline.min()))
        upright(axes, [best], color=MUTED, linewidth=1.1, dashes=(4, 2.5), zorder=1)
        above = axes.get_xaxis_transform() + offset(axes, 0, 5)
        axes.text(best, 1.0, "best ce", transform=above, ha="center", color=MUTED, fontsize=MEDIUM)
    for row, family in enumerate(families):
        _paint_strip(axes, row, table.loc[table["family"] == family, "value"], window, maximize=spec.maximize)


def _paint_strip(axes: Axes, row: int, found: pd.Series[float], window: Window, *, maximize: bool) -> None:
    values = sorted(found.dropna().tolist(), reverse=maximize)
    shown = [value for value in values if window.holds(value)][:MOST_DOTS]
    # The golden ratio spreads neighbours apart without a random number.
    spread = [row + 0.5 + 0.3 * ((index * 0.618034) % 1.0 - 0.5) for index in range(len(shown))]
    dots(axes, shown[1:], spread[1:], size=4.0, clip_on=False)
    if shown:
        mark(axes, shown[0], row + 0.5, "o", 7, color=BEST, markeredgewidth=0, clip_on=False)
    beyond = sum(not window.holds(value) for value in values)
    bad_end, align = (0.0, "left") if maximize else (1.0, "right")
    lost = len(found) - len(values)
    for said, height, colour in ((f"{beyond} beyond", 0.42, MUTED), (f"{lost} lost", 0.42 if not beyond else 0.84, LOST)):
        if not said.startswith("0 "):
            axes.text(bad_end, row + height, said, transform=axes.get_yaxis_transform(), ha=align, fontsize=SMALL, color=colour)


def dataset_window(answer: Answer, dataset: str) -> Window:
    """The stretch of the metric that shows all curves of a dataset."""
    metric, curves = answer.spec.metric, curves_of(answer, dataset)
    baseline = answer.baselines.get(dataset)
    tables = [*(curve.table for curve in curves), *([] if baseline is None else [baseline])]
    values = [value for table in tables for value in table[metric].tolist()]
    rail = any(curve.lost for curve in curves)
    return metric_window(values, maximize=answer.spec.maximize, least=answer.spec.smallest_effect, rail=rail)


def _gain_window(answer: Answer) -> Window:
    gains = [curve.contender.gain for curve in answer.curves if curve.contender is not None and curve.contender.gain is not None]
    return window_of_gains(answer, gains)


def window_of_gains(answer: Answer, gains: Sequence[Gain]) -> Window:
    """The stretch that shows gains with their intervals."""
    ends = [end for gain in gains for end in (gain.low, gain.high) if end is not None]
    return gain_window([gain.mean for gain in gains], ends, maximize=answer.spec.maximize, least=answer.spec.smallest_effect)


def _metric_axis(axes: Axes, window: Window, title: str) -> None:
    axes.set_xlim(-0.17, 1.07)
    axes.set_ylim(*window.limits)
    beside(axes, {tick: number(tick, window.decimals) for tick in window.ticks})
    across(axes, window.ticks)
    corner = axes.transAxes + offset(axes, 6 - CURVE.left, 12)
    axes.text(0.0, 1.0, title, transform=corner, color=MUTED, fontsize=MEDIUM)


def _knob_axis(axes: Axes, values: Sequence[float], at: Mapping[float, float], curve: Curve, claimed: Sequence[float]) -> None:
    widths = {value: (6.6 * len(plain(value)) + 6.0) * 1.24 / CURVE.inner_width for value in values}
    first = [value for value in (curve.verdict.best, curve.knob.baseline, *claimed) if value is not None]
    labels = {at[value]: plain(value) for value in sparse_labels(at, widths, first)}
    below(axes, labels, curve.knob.symbol, size=LARGE, colour=INK)
    rail = axes.get_xaxis_transform()
    stroke(axes, [-0.06, 1.06], [0, 0], transform=rail, color=LINE, linewidth=1, zorder=1, clip_on=False)
    upright(axes, at.values(), (0.0, -0.022), color=MUTED, zorder=2, clip_on=False)
    if curve.knob.scale == "log" and values[0] == 0.0 and len(values) > 1:
        middle = (at[values[0]] + at[values[1]]) / 2
        axes.text(middle, 0.0, "//", transform=rail, ha="center", va="center", color=MUTED, fontsize=MEDIUM, clip_on=False)
