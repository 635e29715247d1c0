"""The command ``preview``: what a study would run, how long that would take, and what it would cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from studies.cli.options import AsJson, DataRoot, Overrides, Quick
from studies.cli.output import decoding_told, one_sentence, print_json, say, stdout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from studies.estimate import StageEstimate
    from studies.runner import Runner
    from studies.spec import StudySpec


def preview(
    study: Annotated[str, typer.Argument(help="A preset's name or a study file.")],
    overrides: Overrides = None,
    quick: Quick = False,
    probe: Annotated[bool, typer.Option("--probe", help="Try a few steps of each kind of trial here, to estimate device-hours.")] = False,
    price: Annotated[float | None, typer.Option(min=0.0, help="Price of a device-hour; by default the study file's budget.price.")] = None,
    data_root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Show what a study would run: stages, cells, seeds, trials and epochs; and what that would take and cost."""
    from studies.estimate import estimate
    from studies.preflight import CallError
    from studies.runner import choose_runner
    from studies.spec import read_study

    with one_sentence():
        if price is not None and not probe:
            raise CallError("a price needs device-hours, which --probe estimates")
        spec = read_study(study, overrides or (), quick=quick)
        stages, runner = estimate(spec), choose_runner(spec)
    if probe:
        from margin_core.data import resolve_data_root
        from studies.estimate import probe as try_each

        console = stdout()
        root = resolve_data_root(data_root)
        with one_sentence(), decoding_told(), console.status("trying a few steps of each kind of trial"):
            costs = dict(try_each(spec, root))
        stages = estimate(spec, costs)
    price = spec.budget.price if price is None else price
    if as_json:
        total = {"device_hours": sum(stage.device_hours or 0.0 for stage in stages)} if probe else {}
        how = {"runner": {"kind": runner.kind, "why": runner.why}}
        print_json({"study": spec.name, "stages": [stage.to_dict(price) for stage in stages], **how, **total})
    else:
        _print(spec, runner, stages, price if probe else None)


def _print(spec: StudySpec, runner: Runner, stages: Sequence[StageEstimate], price: float | None) -> None:
    from studies.spending import device

    measured = [stage.device_hours for stage in stages if stage.device_hours is not None]
    columns = [
        "stage",
        "cells",
        "seeds",
        "trials",
        "epochs",
        *([f"{device(spec.resources.gpu)}-hours"] if measured else []),
        *(["cost"] if price else []),
    ]
    table = Table(*columns, title=f"{spec.name}: {', '.join(entry.config().key for entry in spec.datasets)}")
    for stage in stages:
        size, bound = stage.size, "≤ " if stage.size.at_most else ""
        row = [size.stage, f"{bound}{size.cells}", str(stage.seeds), f"{bound}{size.trials}", f"{bound}{stage.epochs}"]
        hours = [] if stage.device_hours is None else [f"{bound}{stage.device_hours:.3g}"]
        cost = [] if stage.device_hours is None or not price else [f"{bound}{stage.device_hours * price:.3g}"]
        table.add_row(*row, *hours, *cost)
    console = stdout()
    console.print(table)
    if spec.screen is not None and spec.screen.pbt is not None:
        say(console, f"screen: {spec.screen.pbt.words(spec.recipe.epochs)}")
    say(console, f"runner: {runner.kind}, for {runner.why}" if spec.runner == "auto" else f"runner: {runner.kind}, {runner.why}")
    if not measured:
        return
    total = sum(measured)
    priced = f", {total * price:.3g} at {price:g} each" if price else ""
    say(
        console,
        f"about {total:.3g} {device(spec.resources.gpu)}-hours in all{priced}, by a few steps of each kind of trial on this machine",
    )
    if runner.kind == "fused":
        say(console, "that is of trials by themselves: fused they take less")
    if spec.budget.device_hours is not None and total > spec.budget.device_hours:
        say(console, f"budget.device_hours is {spec.budget.device_hours:g}: the study may end before it is complete", style="yellow")
