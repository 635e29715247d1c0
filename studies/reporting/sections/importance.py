"""Which parameters the screen's good results hang on: a picture for exploring, which judges nothing."""

from __future__ import annotations

from functools import partial

from matplotlib.axes import Axes

from search_spaces.importance import Importance, importance
from studies.findings import Answer
from studies.reporting.section import Figure, Section, file_name, runs_of
from studies.reporting.strokes import band, below, beside, shortened, stroke, upright
from studies.reporting.surface import BEST, INK, Sheet
from studies.reporting.windows import Window
from studies.reporting.wording import counted, listed, number

DRAWS = 20
MOST = 10
"""Parameters that are shown."""
LONGEST = 19
"""Characters of a parameter's name beside its bar; all of them are in the figure's words."""
_ROW = 26


def section(answer: Answer) -> Section | None:
    """A panel for each dataset whose screen has enough configurations."""
    if answer.screen.empty:
        return None
    figures = [figure for dataset in answer.datasets if (figure := _figure(answer, dataset)) is not None]
    if not figures:
        return None
    lead = (
        "How far the values of the best tenth of the configurations differ from those of all (conditional PED-ANOVA), as shares; the lines "
        "are where nine of ten redrawn screens fall. It tells where to look closer, not which value is best, nor whether a family is."
    )
    return Section("importance", "What the screen hangs on", lead, [("", figures)])


def _figure(answer: Answer, dataset: str) -> Figure | None:
    rows = answer.screen[(answer.screen["dataset"] == dataset) & answer.screen["value"].notna()]
    space = answer.spec.space()
    kept = [(config, float(value)) for config, value in zip(rows["config"], rows["value"], strict=True) if space.holds(config)]
    if not kept:
        return None
    configs, values = zip(*kept, strict=True)
    found = importance(space, configs, values, maximize=answer.spec.maximize, draws=DRAWS)[:MOST]
    if not found or found[0].share == 0.0:
        return None
    return Figure(
        name=file_name("importance", dataset),
        title=dataset,
        sentence=_sentence(found, len(kept)),
        alt="Importance of each parameter: "
        + ", ".join(f"{each.name} {each.share:.0%} ({each.low:.0%} to {each.high:.0%})" for each in found)
        + ".",
        sheet=Sheet(width=330, height=46 + _ROW * len(found), left=128, right=14, top=4, bottom=42),
        paint=partial(_paint, found=found),
        runs=runs_of(dataset, stage="screen"),
        heading=f"What the screen of {dataset} hangs on",
    )


def _sentence(found: list[Importance], configs: int) -> str:
    first = found[0]
    rivals = [each.name for each in found[1:] if each.high > first.low]
    unsure = f", though it may as well be {listed(rivals, 'or')}" if rivals else ""
    return f"Of {counted(configs, 'configuration')}, the best tenth differs most in {first.name}{unsure}."


def _paint(axes: Axes, found: list[Importance]) -> None:
    window = Window(0.0, 104.0 * max(each.high for each in found))
    axes.set_xlim(*window.limits)
    axes.set_ylim(len(found), 0)
    upright(axes, window.ticks)
    below(axes, {tick: number(tick, window.decimals) for tick in window.ticks}, "share of importance, %")
    beside(axes, {row + 0.5: shortened(each.name, LONGEST) for row, each in enumerate(found)}, colour=INK)
    for row, each in enumerate(found):
        band(axes, (0.0, 100.0 * each.share), (row + 0.25, row + 0.75), color=BEST, alpha=0.75, zorder=2)
        stroke(axes, [100.0 * each.low, 100.0 * each.high], [row + 0.5] * 2, color=INK, linewidth=1.3, solid_capstyle="butt", zorder=3)
