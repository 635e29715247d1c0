"""How far choosing flattered: what each stage said of the settings that were chosen, from the screen to the test split."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean

from matplotlib.axes import Axes

from studies.findings import Answer, Followed, StageMean
from studies.reporting.section import Figure, Section, file_name, runs_of
from studies.reporting.sentences import called
from studies.reporting.strokes import below, mark, row_title, rows, shortened, stroke, upright
from studies.reporting.surface import BEST, INK, MUTED, PAPER, Sheet
from studies.reporting.windows import Window, metric_window
from studies.reporting.wording import mean_words, metric_title, metric_words, number, places

ROW, LONGEST = 44, 40
MARKS = {"screen": ("o", MUTED, PAPER), "confirm": ("o", INK, INK), "zoom": ("s", INK, PAPER), "test": ("D", BEST, BEST)}


def section(answer: Answer) -> Section | None:
    """A panel for each dataset with a chosen setting that more than one stage measured."""
    by_dataset = {dataset: [each for each in answer.followed if each.dataset == dataset] for dataset in answer.datasets}
    panels = [figure(answer, dataset, mine) for dataset, mine in by_dataset.items() if mine]
    if not panels:
        return None
    key = [(stage, f"{stage}{' (it chose)' if stage == 'screen' else ''}") for stage in MARKS if _said(answer.followed, stage)]
    lead = (
        "What each stage said of the settings that were chosen, each on its own seeds. What chose a setting is flattered by the luck of "
        "the draw; how far ce moves beside them is the luck of the seeds themselves."
    )
    return Section("optimism", "How optimistic was the choice?", lead, [("", panels)], key=key)


def figure(answer: Answer, dataset: str, followed: Sequence[Followed]) -> Figure:
    """One dataset's chosen settings, a row for each."""
    told = "; ".join(
        f"{called(each.family, each.setting)} " + ", ".join(f"{seen.stage} {mean_words(seen.summary)}" for seen in each.stages)
        for each in followed
    )
    return Figure(
        name=file_name("optimism", dataset),
        title=dataset,
        sentence=sentence(answer, dataset, followed),
        alt=f"{metric_words(answer.spec).title} of the chosen settings on {dataset}, stage by stage: {told}.",
        sheet=Sheet(width=330, height=48 + ROW * len(followed), left=8, right=8, top=2, bottom=46),
        paint=lambda axes: _paint(axes, answer, followed),
        runs=runs_of(dataset),
        heading=f"What each stage said of the settings chosen on {dataset}",
    )


def sentence(answer: Answer, dataset: str, followed: Sequence[Followed]) -> str:
    """How much better the first stage looked than the next one, on average, and what the test split said of it.

    That is the screen wherever one chose, though settings that a later stage chose may stand before those that it chose.
    """
    order = list(MARKS)
    steps = [(before.stage, after.stage) for each in followed if each.family != "ce" for before, after in pairwise(each.stages)]
    first, then = min(steps, key=lambda step: (order.index(step[0]), order.index(step[1])))
    chosen = _flattered(answer, [each for each in followed if each.family != "ce"], first, then)
    plain = _flattered(answer, [each for each in followed if each.family == "ce"], first, then)
    many, average = ("the chosen setting", "") if len(chosen) == 1 else (f"{len(chosen)} chosen settings", ", on average")
    said = f"On {dataset}, the {first} stage showed {many} {_better(answer, chosen)} than the {then} stage{average}"
    said += f", and cross-entropy itself {_better(answer, plain)}" if plain else ""
    tested = [(called(each.family, each.setting), seen) for each in followed if (seen := _of(each, "test")) is not None]
    unit = metric_words(answer.spec).unit
    return said + "".join(f"; {name} has {mean_words(seen.summary)}{unit} on the test split" for name, seen in tested) + "."


def _flattered(answer: Answer, followed: Sequence[Followed], first: str, then: str) -> list[float]:
    """By how much each setting that two stages measured looked better in the first of them."""
    sign = 1.0 if answer.spec.maximize else -1.0
    pairs = [(_of(each, first), _of(each, then)) for each in followed]
    return [sign * (before.summary.mean - after.summary.mean) for before, after in pairs if before and after]


def _better(answer: Answer, amounts: Sequence[float]) -> str:
    amount = fmean(amounts)
    size = number(abs(amount), places(answer.spec.smallest_effect))
    return f"{size}{metric_words(answer.spec).points} {'better' if amount > 0 else 'worse'}"


def _of(followed: Followed, stage: str) -> StageMean | None:
    return next((seen for seen in followed.stages if seen.stage == stage), None)


def _said(followed: Sequence[Followed], stage: str) -> int:
    return sum(_of(each, stage) is not None for each in followed)


def _paint(axes: Axes, answer: Answer, followed: Sequence[Followed]) -> None:
    window = _window(answer, followed)
    axes.set_xlim(*window.limits)
    rows(axes, len(followed))
    below(axes, {tick: number(tick, window.decimals) for tick in window.ticks}, metric_title(answer.spec))
    for row, each in enumerate(followed):
        row_title(axes, row + 0.38, shortened(called(each.family, each.setting), LONGEST), "")
        y = row + 0.7
        upright(axes, window.ticks, (y - 0.15, y + 0.15), transform=axes.transData)
        for seen in each.stages:
            marker, colour, face = MARKS[seen.stage]
            summary = seen.summary
            if summary.low is not None and summary.high is not None and seen.stage != "screen":
                stroke(axes, [window.inside(summary.low), window.inside(summary.high)], [y, y], color=colour, linewidth=1.2, alpha=0.6)
            mark(axes, window.inside(summary.mean), y, marker, 6, color=colour, markerfacecolor=face, markeredgewidth=1.3, zorder=4)


def _window(answer: Answer, followed: Sequence[Followed]) -> Window:
    values = [seen.summary.mean for each in followed for seen in each.stages]
    ends = [end for each in followed for seen in each.stages[1:] for end in (seen.summary.low, seen.summary.high) if end is not None]
    return metric_window([*values, *ends], maximize=answer.spec.maximize, least=answer.spec.smallest_effect)
