"""What the study cost: trial time by family and by dataset, each stage in its own shade."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes

from studies.findings import Answer
from studies.plan import STAGES
from studies.reporting.section import Figure, Section, file_name, runs_of
from studies.reporting.strokes import band, below, row_title, rows, shortened
from studies.reporting.surface import INK, Sheet
from studies.reporting.windows import Window
from studies.reporting.wording import duration

ROW, LONGEST = 40, 30
SHADES = {"screen": 0.25, "confirm": 0.75, "zoom": 0.5, "test": 1.0}
Bars = Mapping[str, Mapping[str, float]]
_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}


def section(answer: Answer) -> Section | None:
    """A panel for families and, where there are several, one for datasets."""
    costs = answer.costs[answer.costs["seconds"] > 0.0]
    if costs.empty:
        return None
    panels = [figure(costs, "family", "By family")]
    if costs["dataset"].nunique() > 1:
        panels.append(figure(costs, "dataset", "By dataset"))
    stages = [stage for stage in STAGES if (costs["stage"] == stage).any()]
    lead = "Time of trials that have ended, summed over trials, whatever ran side by side."
    return Section("cost", "What it cost", lead, [("", panels)], key=[(f"{stage}-time", stage) for stage in stages])


def figure(costs: pd.DataFrame, by: str, title: str) -> Figure:
    """A bar for each family or dataset, the longest first."""
    table = costs.pivot_table(index=by, columns="stage", values="seconds", aggfunc="sum", fill_value=0.0)
    order = table.sum(axis=1).sort_values(ascending=False, kind="stable").index
    bars: Bars = {str(name): {str(stage): float(table.loc[name, stage]) for stage in STAGES if stage in table} for name in order}
    return Figure(
        name=file_name("cost", by),
        title=title,
        sentence=sentence(bars),
        alt=f"Trial time {title.lower()}: " + "; ".join(f"{name} {duration(sum(bar.values()))}" for name, bar in bars.items()) + ".",
        sheet=Sheet(width=330, height=48 + ROW * len(bars), left=12, right=12, top=2, bottom=46),
        paint=lambda axes: _paint(axes, bars),
        runs=runs_of(),
        heading=f"Trial time {title.lower()}",
    )


def sentence(bars: Bars) -> str:
    """How much in all, which stage took how much of it, and where most went."""
    whole = sum(sum(bar.values()) for bar in bars.values())
    stages = {stage: sum(bar.get(stage, 0.0) for bar in bars.values()) for stage in STAGES}
    longest = max(stages, key=lambda stage: stages[stage])
    name, bar = next(iter(bars.items()))
    most = f"; most of it went to {name}, {duration(sum(bar.values()))}" if len(bars) > 1 else ""
    return f"{duration(whole)} in all, of which the {longest} stage took {100.0 * stages[longest] / whole:.0f} %{most}."


def _paint(axes: Axes, bars: Bars) -> None:
    longest = max(sum(bar.values()) for bar in bars.values())
    unit = next((name for name in reversed(_UNITS) if longest >= 1.5 * _UNITS[name]), "s")
    window = Window(0.0, longest / _UNITS[unit])
    axes.set_xlim(*window.limits)
    rows(axes, len(bars))
    below(axes, {tick: f"{tick:.{window.decimals}f}" for tick in window.ticks}, f"trial time, {unit}")
    for row, (name, bar) in enumerate(bars.items()):
        row_title(axes, row + 0.4, shortened(name, LONGEST), duration(sum(bar.values())))
        end = 0.0
        for stage, seconds in bar.items():
            start, end = end, end + seconds / _UNITS[unit]
            band(axes, (start, end), (row + 0.58, row + 0.84), color=INK, alpha=SHADES[stage], zorder=2)
