"""The figures that every report begins with: response curves, gains over cross-entropy, and what the screen saw.

Every figure is one small panel, so that a page can lay panels side by side or, on a telephone, one below another. In all of them
blue means "may be best", grey is cross-entropy and noise, and vermilion is what was lost. The words around them are made in
`studies.reporting.sentences`; how a drawing becomes SVG is told in `studies.reporting.surface`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.transforms import ScaledTranslation, Transform

from studies.analysis import summarise
from studies.findings import Answer, Contender, Curve
from studies.reporting.section import Figure, file_name, runs_of
from studies.reporting.sentences import (
    alt_of_curve,
    alt_of_gains,
    alt_of_screen,
    curve_sentence,
    curves_of,
    gains_sentence,
    screen_sentence,
    seeds_by_value,
)
from studies.reporting.surface import BEST, INK, LINE, LOST, MUTED, PAPER, Sheet
from studies.reporting.windows import Window, gain_window, knob_positions, metric_window, sparse_labels
from studies.reporting.wording import gain_words, metric_words, number, plain

CURVE = Sheet(width=330, height=236, left=38, right=24, top=28, bottom=40)
GAINS_ROW, SCREEN_ROW = 62, 30
MOST_DOTS = 300
_SEED: Mapping[str, Any] = {"marker": "o", "markersize": 3, "markeredgewidth": 0, "linestyle": "none", "color": MUTED, "alpha": 0.5}
_SMALL = 9.5
_MEDIUM = 10.5


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
        alt=alt_of_curve(answer, curve),
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
    rows = answer.screen[answer.screen["dataset"] == dataset]
    families = list(dict.fromkeys(rows["family"]))
    return Figure(
        name=file_name("screen", dataset),
        title=dataset,
        sentence=screen_sentence(answer, dataset),
        alt=alt_of_screen(answer, dataset),
        sheet=Sheet(width=330, height=66 + SCREEN_ROW * len(families), left=102, right=10, top=22, bottom=44),
        paint=lambda axes: _paint_screen(axes, answer, rows, families),
        runs=runs_of(dataset, stage="screen"),
        heading=f"The screen of {dataset}",
    )


def goes_beyond(answer: Answer) -> bool:
    """Whether some curve has a mean beyond its axis."""
    return any(
        not _dataset_window(answer, curve.dataset).holds(fmean(seeds))
        for curve in answer.curves
        for seeds in seeds_by_value(answer, curve).values()
    )


def _paint_curve(axes: Axes, answer: Answer, curve: Curve) -> None:
    seeds = seeds_by_value(answer, curve)
    values = sorted({*seeds, *curve.lost})
    at = knob_positions(values, curve.knob.scale)
    window = _dataset_window(answer, curve.dataset)
    words = metric_words(answer.spec)
    _metric_axis(axes, window, words.name + (words.unit and f",{words.unit}"))
    _knob_axis(axes, values, at, curve)
    _paint_optimum(axes, values, at, curve.verdict.optimum_set)
    _paint_baseline(axes, answer, curve.dataset, window)
    means = {value: summarise(numbers, alpha=answer.spec.alpha) for value, numbers in seeds.items()}
    axes.plot([at[value] for value in means], [summary.mean for summary in means.values()], color=MUTED, linewidth=1.1, zorder=3)
    beside = axes.transData + _shift(axes, 6, 0)
    for value, summary in means.items():
        shown = [y for y in seeds[value] if window.holds(y)]
        axes.plot([at[value]] * len(shown), shown, transform=beside, zorder=2, **_SEED)
        chosen = value in curve.verdict.optimum_set
        colour, face = (BEST, BEST) if chosen else (INK, PAPER)
        if summary.low is not None and summary.high is not None:
            axes.plot([at[value]] * 2, [summary.low, summary.high], color=colour, linewidth=1.3, zorder=4)
        if window.holds(summary.mean):
            axes.plot(at[value], summary.mean, marker="o", markersize=6, color=colour, markerfacecolor=face, markeredgewidth=1.3, zorder=5)
        else:
            _paint_beyond(axes, at[value], summary.mean, window)
    _paint_lost(axes, at, curve.lost)


def _paint_beyond(axes: Axes, x: float, mean: float, window: Window) -> None:
    below = mean < window.low
    y, sign = (window.low, 1) if below else (window.high, -1)
    axes.plot(
        x, y, marker="v" if below else "^", markersize=6.5, color=INK, markerfacecolor=PAPER, markeredgewidth=1.2, zorder=5, clip_on=False
    )
    left = x > 0.5
    beside = axes.transData + _shift(axes, -7 if left else 7, 5 * sign)
    said = number(mean, window.decimals)
    axes.text(x, y, said, transform=beside, ha="right" if left else "left", va="center", fontsize=_SMALL, color=MUTED, zorder=6)


def _paint_optimum(axes: Axes, values: Sequence[float], at: Mapping[float, float], optimum: Sequence[float]) -> None:
    edges = [-0.06, *((left + right) / 2 for left, right in pairwise(at[value] for value in values)), 1.06]
    for value, ends in zip(values, pairwise(edges), strict=True):
        if value in optimum:
            axes.axvspan(*ends, color=BEST, alpha=0.1, linewidth=0, zorder=0)
            axes.plot(ends, [0, 0], transform=axes.get_xaxis_transform(), color=BEST, linewidth=3, zorder=4, clip_on=False)


def _paint_baseline(axes: Axes, answer: Answer, dataset: str, window: Window) -> None:
    baseline = answer.baselines.get(dataset)
    if baseline is None or baseline.empty:
        return
    seeds = baseline[answer.spec.metric]
    mean, sesoi = float(seeds.mean()), answer.spec.smallest_effect
    axes.axhspan(window.inside(mean - sesoi), window.inside(mean + sesoi), color=MUTED, alpha=0.15, linewidth=0, zorder=0)
    axes.axhline(window.inside(mean), color=MUTED, linewidth=1.1, dashes=(4, 2.5), zorder=1)
    axes.plot([-0.12] * len(seeds), [window.inside(y) for y in seeds], zorder=2, **_SEED)
    axes.text(1.02, window.inside(mean), "ce", transform=axes.get_yaxis_transform(), va="center", color=MUTED, fontsize=11)


def _paint_lost(axes: Axes, at: Mapping[float, float], lost: Mapping[float, int]) -> None:
    rail = axes.get_xaxis_transform()
    for value, count in lost.items():
        x = at[value]
        axes.plot(x, 0.09, marker="x", markersize=5.5, markeredgewidth=1.5, color=LOST, transform=rail, zorder=6)
        if count > 1:
            beside = rail + _shift(axes, -6, 0)
            axes.text(x, 0.09, str(count), transform=beside, ha="right", va="center", fontsize=_SMALL, color=LOST)


def _paint_gains(axes: Axes, answer: Answer, curves: Sequence[Curve]) -> None:
    window, words = _gain_window(answer), metric_words(answer.spec)
    axes.set_xlim(*window.limits)
    axes.set_ylim(len(curves), 0)
    axes.set_yticks([])
    axes.set_xticks(window.ticks, [number(tick, window.decimals, signed=True) for tick in window.ticks])
    better = "more is better" if answer.spec.maximize else "less is better"
    axes.set_xlabel(f"difference from ce{words.points and f',{words.points}'.replace('°', ' °')} ({better})", color=MUTED, fontsize=_MEDIUM)
    for row, curve in enumerate(curves):
        if row:
            axes.axhline(row, color=LINE, linewidth=0.8)
        if curve.contender is not None:
            _paint_contender(axes, row, curve.family, curve.contender, window, answer.spec.smallest_effect)


def _paint_contender(axes: Axes, row: int, family: str, contender: Contender, window: Window, sesoi: float) -> None:
    across, gain = axes.get_yaxis_transform(), contender.gain
    axes.text(0.0, row + 0.29, family, transform=across, color=INK, fontsize=11.5, weight="bold")
    axes.text(0.0, row + 0.52, _shortened(contender.setting, 46), transform=across, color=MUTED, fontsize=_MEDIUM)
    said = gain_words(gain) if gain is not None else "too few seeds"
    axes.text(1.0, row + 0.29, said, transform=across, ha="right", color=INK if gain is not None else MUTED, fontsize=11.5)
    y, track = row + 0.77, (row + 0.62, row + 0.92)
    for tick in window.ticks:
        axes.plot([tick] * 2, track, color=LINE, linewidth=0.8, zorder=0)
    band = [window.inside(-sesoi), window.inside(sesoi)]
    axes.fill_between(band, *track, color=MUTED, alpha=0.15, linewidth=0, zorder=0)
    axes.plot([0.0, 0.0], track, color=MUTED, linewidth=1.2, zorder=1)
    if gain is None:
        return
    if gain.low is not None and gain.high is not None:
        axes.plot([window.inside(gain.low), window.inside(gain.high)], [y, y], color=BEST, linewidth=1.6, solid_capstyle="butt")
        for end, marker in ((gain.low, "<"), (gain.high, ">")):
            if not window.holds(end):
                axes.plot(window.inside(end), y, marker=marker, markersize=5, color=BEST, markeredgewidth=0, clip_on=False)
    face = BEST if contender.chosen_before else PAPER
    if window.holds(gain.mean):
        axes.plot(gain.mean, y, marker="o", markersize=7, color=BEST, markerfacecolor=face, markeredgewidth=1.5)


def _paint_screen(axes: Axes, answer: Answer, rows: pd.DataFrame, families: Sequence[str]) -> None:
    spec, measured = answer.spec, rows.dropna(subset=["value"])
    window = metric_window(measured["value"].tolist(), maximize=spec.maximize, least=spec.smallest_effect)
    # Room at the bad end for how many are beyond it or lost.
    room = 0.28 * (window.high - window.low)
    bad_end = window.low - room if spec.maximize else window.high + room
    axes.set_xlim(min(bad_end, window.low), max(bad_end, window.high))
    axes.set_ylim(len(families), 0)
    axes.set_yticks([row + 0.5 for row in range(len(families))], list(families))
    axes.tick_params(axis="y", labelsize=10.5, labelcolor=INK)
    axes.set_xticks(window.ticks, [number(tick, window.decimals) for tick in window.ticks])
    axes.grid(axis="x", color=LINE, linewidth=0.8)
    words = metric_words(spec)
    axes.set_xlabel(words.name + (words.unit and f",{words.unit}"), color=MUTED, fontsize=_MEDIUM)
    baseline = measured.loc[measured["family"] == "ce", "value"]
    if not baseline.empty:
        best = window.inside(float(baseline.max() if spec.maximize else baseline.min()))
        axes.axvline(best, color=MUTED, linewidth=1.1, dashes=(4, 2.5), zorder=1)
        above = axes.get_xaxis_transform() + _shift(axes, 0, 5)
        axes.text(best, 1.0, "best ce", transform=above, ha="center", color=MUTED, fontsize=_MEDIUM)
    for row, family in enumerate(families):
        _paint_strip(axes, row, rows.loc[rows["family"] == family, "value"], window, maximize=spec.maximize)


def _paint_strip(axes: Axes, row: int, found: pd.Series[float], window: Window, *, maximize: bool) -> None:
    values = sorted(found.dropna().tolist(), reverse=maximize)
    shown = [value for value in values if window.holds(value)][:MOST_DOTS]
    # The golden ratio spreads neighbours apart without a random number.
    spread = [row + 0.5 + 0.3 * ((index * 0.618034) % 1.0 - 0.5) for index in range(len(shown))]
    axes.axhline(row + 0.5, color=LINE, linewidth=0.8, zorder=0)
    axes.plot(shown[1:], spread[1:], clip_on=False, **{**_SEED, "markersize": 4})
    if shown:
        axes.plot(shown[0], row + 0.5, marker="o", markersize=7, color=BEST, markeredgewidth=0, clip_on=False)
    beyond = sum(not window.holds(value) for value in values)
    bad_end, align = (0.0, "left") if maximize else (1.0, "right")
    lost = len(found) - len(values)
    for said, height, colour in ((f"{beyond} beyond", 0.42, MUTED), (f"{lost} lost", 0.42 if not beyond else 0.84, LOST)):
        if not said.startswith("0 "):
            axes.text(bad_end, row + height, said, transform=axes.get_yaxis_transform(), ha=align, fontsize=_SMALL, color=colour)


def _dataset_window(answer: Answer, dataset: str) -> Window:
    metric, curves = answer.spec.metric, curves_of(answer, dataset)
    baseline = answer.baselines.get(dataset)
    tables = [*(curve.table for curve in curves), *([] if baseline is None else [baseline])]
    values = [float(value) for table in tables for value in table[metric].dropna()]
    rail = any(curve.lost for curve in curves)
    return metric_window(values, maximize=answer.spec.maximize, least=answer.spec.smallest_effect, rail=rail)


def _gain_window(answer: Answer) -> Window:
    gains = [curve.contender.gain for curve in answer.curves if curve.contender is not None and curve.contender.gain is not None]
    ends = [end for gain in gains for end in (gain.low, gain.high) if end is not None]
    return gain_window([gain.mean for gain in gains], ends, maximize=answer.spec.maximize, least=answer.spec.smallest_effect)


def _metric_axis(axes: Axes, window: Window, title: str) -> None:
    axes.set_xlim(-0.17, 1.07)
    axes.set_ylim(*window.limits)
    axes.set_yticks(window.ticks, [number(tick, window.decimals) for tick in window.ticks])
    axes.grid(axis="y", color=LINE, linewidth=0.8)
    corner = axes.transAxes + _shift(axes, 6 - CURVE.left, 12)
    axes.text(0.0, 1.0, title, transform=corner, color=MUTED, fontsize=_MEDIUM)


def _knob_axis(axes: Axes, values: Sequence[float], at: Mapping[float, float], curve: Curve) -> None:
    widths = {value: (6.6 * len(plain(value)) + 6.0) * 1.24 / CURVE.inner_width for value in values}
    first = [value for value in (curve.verdict.best, curve.knob.baseline) if value is not None]
    labelled = sparse_labels(at, widths, first)
    axes.set_xticks([at[value] for value in labelled], [plain(value) for value in labelled])
    axes.set_xlabel(curve.knob.symbol, color=INK, fontsize=12, labelpad=1)
    rail = axes.get_xaxis_transform()
    axes.plot([-0.06, 1.06], [0, 0], transform=rail, color=LINE, linewidth=1, zorder=1, clip_on=False)
    for value in values:
        axes.plot([at[value]] * 2, [0, -0.022], transform=rail, color=MUTED, linewidth=0.8, clip_on=False)
    if curve.knob.scale == "log" and values[0] == 0.0 and len(values) > 1:
        middle = (at[values[0]] + at[values[1]]) / 2
        axes.text(middle, 0.0, "//", transform=rail, ha="center", va="center", color=MUTED, fontsize=_MEDIUM, clip_on=False)


def _shift(axes: Axes, right: float, up: float) -> Transform:
    return ScaledTranslation(right / 72.0, up / 72.0, axes.figure.dpi_scale_trans)


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
