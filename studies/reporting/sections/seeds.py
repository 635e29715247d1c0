"""Whether the seeds suffice: how small a lead over the baseline so many seeds can tell, now and with more of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from studies.analysis.outlook import Outlook, outlook
from studies.analysis.rule import MOST_SEEDS
from studies.findings import Answer, Curve
from studies.reporting.section import Figure, Section, file_name, runs_of
from studies.reporting.sentences import curves_of
from studies.reporting.strokes import MEDIUM, SMALL, across, below, beside, mark, offset, shortened, stroke
from studies.reporting.surface import BEST, INK, MUTED, PAPER, Sheet
from studies.reporting.windows import Window
from studies.reporting.wording import counted, listed, metric_words, number, places

SHEET = Sheet(width=330, height=220, left=38, right=108, top=28, bottom=42)
LONGEST = 15
_POINTS = 40  # of a line
Seen = tuple[Curve, Outlook]


def section(answer: Answer) -> Section | None:
    """A panel for each dataset on which noise could be estimated."""
    panels = []
    for dataset in answer.datasets:
        seen = [(curve, ahead) for curve in curves_of(answer, dataset) if (ahead := _outlook(answer, curve)) is not None]
        if seen:
            panels.append(figure(answer, dataset, seen))
    if not panels:
        return None
    lead = (
        "A line for each family: the least lead over its baseline that so many seeds tell apart from none, at the noise seen so far. "
        "The dot is where the study stands, the ring the lead of its best value, optimistic for having been picked; a ring above the line "
        "is told apart. Dashed: the smallest effect of interest."
    )
    return Section("seeds", "Were there seeds enough?", lead, [("", panels)])


def figure(answer: Answer, dataset: str, seen: Sequence[Seen]) -> Figure:
    """One dataset's families."""
    told = "; ".join(f"{curve.family} {_amount(answer, ahead.tells_now)} at {counted(ahead.now, 'seed')}" for curve, ahead in seen)
    return Figure(
        name=file_name("seeds", dataset),
        title=dataset,
        sentence=sentence(answer, dataset, seen),
        alt=f"The least lead over the baseline that can be told on {dataset}: {told}.",
        sheet=SHEET,
        paint=lambda axes: _paint(axes, answer, seen),
        runs=runs_of(dataset, stage="confirm"),
        heading=f"What so many seeds tell on {dataset}",
    )


def sentence(answer: Answer, dataset: str, seen: Sequence[Seen]) -> str:
    """What the seeds tell now, and how many the smallest effect of interest would take where they are too few for it."""
    now = sorted({ahead.now for _, ahead in seen})
    told = list(dict.fromkeys(_size(edge(ahead.tells_now for _, ahead in seen)) for edge in (min, max)))
    seeds = counted(now[0], "seed") if len(now) == 1 else f"{now[0]} to {now[-1]} seeds"
    said = f"On {dataset}, {seeds} tell a lead of {' to '.join(told)}{metric_words(answer.spec).points} apart from none"
    sesoi = answer.spec.smallest_effect
    wanted = {curve.family: n for curve, ahead in seen if (n := ahead.seeds_for(sesoi)) is not None and n > ahead.now}
    if not wanted:
        return f"{said}, as small as matters." if sesoi > 0.0 else f"{said}."
    edges = [edge(wanted.values()) for edge in (min, max)]
    between = " to ".join(dict.fromkeys(f"more than {MOST_SEEDS}" if n > MOST_SEEDS else f"{n}" for n in edges))
    families = sorted(wanted, key=lambda family: wanted[family])
    return f"{said}; for {sesoi:g}{metric_words(answer.spec).points}, {listed(families)} would take {between}."


def _outlook(answer: Answer, curve: Curve) -> Outlook | None:
    baseline = curve.verdict.question.baseline
    arm = answer.baselines.get(curve.dataset) if baseline is None else baseline
    return None if arm is None else outlook(curve.table, curve.verdict.question, arm)


def _amount(answer: Answer, value: float) -> str:
    return f"{_size(value)}{metric_words(answer.spec).points}"


def _size(value: float) -> str:
    return number(value, max(2, places(value)))


def _paint(axes: Axes, answer: Answer, seen: Sequence[Seen]) -> None:
    first, last = min(ahead.seeds[0] for _, ahead in seen), max(ahead.seeds[-1] for _, ahead in seen)
    sesoi = answer.spec.smallest_effect
    # What the fewest seeds tell would flatten all the rest.
    top = 1.15 * max([2.2 * max(ahead.tells_now for _, ahead in seen), sesoi, *(min(ahead.lead, 4 * ahead.tells_now) for _, ahead in seen)])
    window = Window(0.0, top)
    axes.set_xlim(math.log(first), math.log(last))
    axes.set_ylim(*window.limits)
    beside(axes, {tick: number(tick, window.decimals) for tick in window.ticks})
    across(axes, window.ticks)
    points = metric_words(answer.spec).points
    corner = axes.transAxes + offset(axes, 6 - SHEET.left, 12)
    axes.text(0.0, 1.0, f"least lead told{points and f',{points}'}", transform=corner, color=MUTED, fontsize=MEDIUM)
    shown = sorted({first, last, *(ahead.now for _, ahead in seen)})
    apart = [n for place, n in enumerate(shown) if place == 0 or math.log(n / shown[place - 1]) > 0.12 * math.log(last / first)]
    below(axes, {math.log(n): str(n) for n in apart}, "seeds")
    across(axes, [sesoi], color=MUTED, linewidth=1.1, dashes=(4, 2.5), zorder=1)
    taken: list[float] = []
    for curve, ahead in sorted(seen, key=lambda entry: entry[1].tells[-1]):
        _paint_family(axes, curve.family, ahead, window, taken)


def _paint_family(axes: Axes, family: str, ahead: Outlook, window: Window, taken: list[float]) -> None:
    x = math.log(ahead.now)
    xs = np.linspace(math.log(ahead.seeds[0]), math.log(ahead.seeds[-1]), _POINTS)
    told = np.exp(np.interp(xs, np.log(ahead.seeds), np.log(ahead.tells)))
    inside = told <= window.high
    stroke(axes, xs[inside].tolist(), told[inside].tolist(), color=INK, linewidth=1.2, alpha=0.7, zorder=2)
    if window.holds(ahead.tells_now):
        mark(axes, x, ahead.tells_now, "o", 5.5, color=INK, markeredgewidth=0, zorder=4)
    if ahead.lead > 0.0:
        colour = BEST if ahead.lead > ahead.tells_now else MUTED
        mark(
            axes, x, window.inside(ahead.lead), "o", 6.5, color=colour, markerfacecolor=PAPER, markeredgewidth=1.4, zorder=3, clip_on=False
        )
    # A line of words for each family, pushed up where they would overlap.
    step = 13.0 / SHEET.inner_height * (window.high - window.low)
    y = max([ahead.tells[-1], *(other + step for other in taken)])
    taken.append(y)
    at = axes.get_yaxis_transform() + offset(axes, 5, 0)
    axes.text(1.0, y, shortened(family, LONGEST), transform=at, va="center", fontsize=SMALL, color=INK)
