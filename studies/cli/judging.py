"""The command ``judge``: the verdict on a table of results from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from studies.cli.options import AsJson
from studies.cli.output import one_sentence, print_json, say, stdout


def judge(
    table: Annotated[Path, typer.Argument(help="A CSV file, one row per run: knob, metric, and where there are any, dataset and seed.")],
    knob: Annotated[str, typer.Option(help="The knob's column.")],
    metric: Annotated[str, typer.Option(help="The metric's column; an accuracy in percent, or with --sesoi.")],
    baseline: Annotated[float, typer.Option(help="The knob value that is the baseline.")],
    sesoi: Annotated[float | None, typer.Option(help="The smallest effect of interest; 0.2 points of accuracy.")] = None,
    alpha: Annotated[float, typer.Option(help="One minus the confidence.")] = 0.05,
    strict: Annotated[bool, typer.Option("--strict", help="Keep all values that are equally best, not just each of them.")] = False,
    minimize: Annotated[bool, typer.Option("--minimize", help="Less is better.")] = False,
    log: Annotated[bool, typer.Option("--log", help="Look at the knob's logarithm.")] = False,
    as_json: AsJson = False,
) -> None:
    """Judge a table of results: which knob values may be best on each dataset, and whether that moves between them."""
    from studies.judged_table import judge_table

    with one_sentence():
        found = judge_table(
            table,
            knob=knob,
            metric=metric,
            baseline=baseline,
            sesoi=sesoi,
            alpha=alpha,
            strict=strict,
            maximize=not minimize,
            scale="log" if log else "linear",
        )
    if as_json:
        print_json(found.to_dict())
        return
    console = stdout()
    rows = Table("dataset", "verdict", f"{knob} that may be best", "seeds")
    for dataset, verdict in found.verdicts.items():
        kept = ", ".join(f"{value:g}" for value in verdict.optimum_set)
        rows.add_row(dataset, verdict.label, kept, str(verdict.n_seeds))
    console.print(rows)
    for dataset, verdict in found.verdicts.items():
        say(console, f"{dataset}: {verdict.reason}" if dataset else verdict.reason)
    if found.shift is not None:
        say(console, f"{found.shift.label} across datasets: {found.shift.reason}")
