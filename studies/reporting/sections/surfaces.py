"""Two knobs at once: the mean of every pair of their values, and which pairs may be best."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from matplotlib.axes import Axes

from studies.findings import Answer, Surface
from studies.reporting.section import Figure, Section, file_name, runs_of
from studies.reporting.sentences import surfaces_of
from studies.reporting.strokes import SMALL, band, below, beside, shortened
from studies.reporting.surface import BEST, INK, LOST, MUTED, Sheet
from studies.reporting.wording import counted, listed, metric_words, number, places, plain

_CELL, _LEFT, _WIDTH = 34, 44, 330


def section(answer: Answer) -> Section | None:
    """A panel for each surface."""
    if not answer.surfaces:
        return None
    shown = [dataset for dataset in answer.datasets if surfaces_of(answer, dataset)]
    groups = [(dataset, [figure(answer, surface) for surface in surfaces_of(answer, dataset)]) for dataset in shown]
    lead = (
        f"Mean {metric_words(answer.spec).name} of every pair of two knobs’ values, on the seeds of the curves; all pairs are compared "
        "with the best. Nothing is said of values between those that were run."
    )
    return Section("surfaces", "Two knobs at once", lead, groups, key=[("pair", "may be best")])


def figure(answer: Answer, surface: Surface) -> Figure:
    """The pairs of one surface as a grid, the first knob across."""
    first, second = surface.knobs
    rows = len({pair[1] for pair in surface.means})
    return Figure(
        name=file_name("surface", surface.dataset, surface.family),
        title=f"{surface.family}: {first.symbol} and {second.symbol}",
        label=str(surface.verdict.label),
        sentence=sentence(answer, surface),
        alt=_alt(answer, surface),
        sheet=Sheet(width=_WIDTH, height=_CELL * rows + 66, left=_LEFT, right=8, top=24, bottom=42),
        paint=partial(_paint, answer=answer, surface=surface),
        runs=runs_of(surface.dataset, surface.family, "confirm"),
        heading=f"{surface.family} on {surface.dataset}: {first.symbol} and {second.symbol}, {surface.verdict.label}",
    )


def sentence(answer: Answer, surface: Surface) -> str:
    """What one surface shows: the verdict, and what it leaves of each knob by itself."""
    verdict, family = surface.verdict, surface.family
    if verdict.best is None:
        return f"On {surface.dataset}, too few replicates of {family} ended well to judge its pairs."
    pairs = counted(len(verdict.optimum_set), "pair")
    best = _named(surface, verdict.best)
    among = "" if len(verdict.optimum_set) == 1 else f"one of {pairs} close together, in front "
    said = {
        "FLAT": f"no pair of {family} falls short of the best by as much as the smallest effect of interest",
        "WORSE": f"cross-entropy is better than every pair of {family} tried",
        "EDGE": f"{family} beats cross-entropy and is best at the end of a knob’s values, {best}: look beyond it",
        "LOCATED": f"{family} beats cross-entropy, and its best pair is {among}{best}",
        "BETTER": f"{family} beats cross-entropy, though {pairs} may be best",
    }
    finding = said.get(verdict.label, f"{counted(verdict.n_seeds, 'seed')} cannot tell whether any pair of {family} beats cross-entropy")
    lost = sum(surface.lost.values())
    gone = f"; {counted(lost, 'replicate')} {'was' if lost == 1 else 'were'} lost" if lost else ""
    return f"On {surface.dataset}, {finding}; {_alone(surface)}{gone}."


def _alone(surface: Surface) -> str:
    """What may be best of each knob, whatever the other is."""
    told = []
    for knob in surface.knobs:
        profile = surface.verdict.profiles[knob.name]
        kept = [plain(point.value) for point in profile if point.may_be_best]
        told.append(f"{knob.symbol} = {listed(kept, 'or')}" if 0 < len(kept) < len(profile) else f"{'any' if kept else 'no'} {knob.symbol}")
    return f"at the best of the other, {told[0]} and {told[1]} may be best"


def _named(surface: Surface, pair: Sequence[float]) -> str:
    return " with ".join(f"{knob.symbol} = {plain(value)}" for knob, value in zip(surface.knobs, pair, strict=True))


def _alt(answer: Answer, surface: Surface) -> str:
    decimals, unit = _decimals(surface), metric_words(answer.spec).unit
    kept = surface.verdict.optimum_set
    told = (
        f"{_named(surface, pair)} {number(mean, decimals)}{unit}{', may be best' if pair in kept else ''}"
        for pair, mean in surface.means.items()
    )
    return f"Mean {metric_words(answer.spec).name} by pair: {'; '.join(told)}."


def _decimals(surface: Surface) -> int:
    """As many as tell the pairs apart: those of a twentieth of what lies between the highest and the lowest."""
    return places((max(surface.means.values()) - min(surface.means.values())) / 20.0)


def _paint(axes: Axes, *, answer: Answer, surface: Surface) -> None:
    first, second = (sorted({pair[place] for pair in surface.means}) for place in range(2))
    axes.set_xlim(0, len(first))
    axes.set_ylim(0, len(second))
    decimals, kept = _decimals(surface), surface.verdict.optimum_set
    low, high = min(surface.means.values()), max(surface.means.values())
    for (one, other), mean in surface.means.items():
        x, y, held = first.index(one), second.index(other), (one, other) in kept
        near = (mean - low) / (high - low) if high > low else 1.0
        shade = 0.04 + 0.2 * (near if answer.spec.maximize else 1.0 - near)
        band(axes, (x + 0.03, x + 0.97), (y + 0.05, y + 0.95), color=BEST if held else MUTED, alpha=0.3 if held else shade)
        lost = surface.lost.get((one, other), 0)
        said = number(mean, decimals) + (f" ({lost} lost)" if lost else "")
        colour, weight = LOST if lost else INK, "bold" if held else "normal"
        axes.text(x + 0.5, y + 0.5, said, ha="center", va="center_baseline", fontsize=SMALL, color=colour, fontweight=weight)
    below(axes, {place + 0.5: plain(value) for place, value in enumerate(first)}, _title(surface, 0))
    beside(axes, {place + 0.5: plain(value) for place, value in enumerate(second)})
    axes.text(0.0, 1.0, shortened(_title(surface, 1), 48), transform=axes.transAxes, ha="left", va="bottom", fontsize=SMALL, color=MUTED)


def _title(surface: Surface, place: int) -> str:
    knob = surface.knobs[place]
    return knob.symbol if knob.symbol == knob.name else f"{knob.symbol} ({knob.name})"
