"""The commands that hold results against others: ``compare``, several studies, and ``claims``, what has been published."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from studies.cli.options import AsJson, StudyName, Workdir
from studies.cli.output import one_sentence, print_json, say, stdout
from studies.workspace import DEFAULT_WORKDIR, open_files

if TYPE_CHECKING:
    from studies.comparison import Compared
    from studies.published import Checked

_COLOURS = {"confirmed": "green", "refuted": "red", "undecided": "yellow"}
_MANY = 12


def compare(
    names: Annotated[list[str], typer.Argument(metavar="STUDY...", help="Names or directories of two studies or more.")],
    workdir: Workdir = DEFAULT_WORKDIR,
    as_json: AsJson = False,
) -> None:
    """Hold studies side by side: what was asked otherwise, what each answers, and whether an optimum moves between them."""
    from studies.comparison import compare_studies

    with one_sentence():
        found = compare_studies([open_files(workdir, name) for name in names])
    if as_json:
        print_json(found.to_dict())
    else:
        _print_compared(found, stdout())


def claims(
    study: StudyName = None,
    file: Annotated[Path | None, typer.Option(help="A YAML file of claims; by default those of the source papers.")] = None,
    workdir: Workdir = DEFAULT_WORKDIR,
    as_json: AsJson = False,
) -> None:
    """Hold published claims against a study: confirmed, refuted or undecided."""
    from studies.answer import open_answer
    from studies.published import check_claims, read_claims, shipped_claims

    with one_sentence():
        published = shipped_claims() if file is None else read_claims(file)
        found = check_claims(published, open_answer(open_files(workdir, study).directory))
    if as_json:
        print_json([checked.to_dict() for checked in found])
    elif found:
        _print_claims(found, stdout())
        asked = len({checked.claim.says for checked in found})
        if asked < len(published):
            others = "the others are about datasets, families or metrics that it did not confirm"
            say(stdout(), f"{asked} of {len(published)} claims can be held against this study; {others}")
    else:
        say(stdout(), f"none of {len(published)} claims is about a dataset, family and metric that this study confirmed")


def _print_compared(found: Compared, console: Console) -> None:
    first = next(iter(found.answers))
    for name, entries in found.differences.items():
        asked = [entry for entry in entries if entry.key != "description"]
        same = "the same study file" if not entries else "" if asked else "the same but for its description"
        say(console, f"{name} beside {first}: {same}".rstrip())
        for entry in asked[:_MANY]:
            say(console, f"  {entry}")
        if len(asked) > _MANY:
            say(console, f"  and {len(asked) - _MANY} more keys")
    _print_curves(found, console)
    for (dataset, family), shift in found.shifts.items():
        say(console, f"{shift.verdict.label} of {family} on {dataset} from study to study: {shift.verdict.reason}")
    winners = Table("dataset", "study", "best of its last stage", "mean", "seeds")
    for dataset, by_study in found.winners().items():
        for name, winner in by_study.items():
            setting = f"{winner.family}, {winner.setting}"
            winners.add_row(escape(dataset), escape(name), escape(setting), f"{winner.summary.mean:.2f}", str(winner.summary.n))
    console.print(winners)
    for pair in found.repeated:
        same = f"{pair.equal} of {pair.trials} trials that both ran came out the same"
        say(console, f"{' and '.join(pair.studies)}: {same}{f', the others by up to {pair.furthest:.3g}' if pair.furthest else ''}")


def _print_curves(found: Compared, console: Console) -> None:
    from studies.reporting.wording import gain_words  # brings Matplotlib: not for the commands that draw and word nothing

    named = (Column(title, overflow="fold") for title in ("dataset", "family", "study"))
    table = Table(*named, Column("verdict", no_wrap=True), "may be best", "gain over ce", "seeds")
    for (dataset, family), by_study in found.curves().items():
        for name, curve in by_study.items():
            gain = found.answers[name].gain_of(curve)
            kept = ", ".join(f"{value:g}" for value in curve.verdict.optimum_set)
            row = [curve.verdict.label, f"{curve.knob.symbol} = {kept}", gain_words(gain), str(curve.verdict.n_seeds)]
            table.add_row(escape(dataset), family, escape(name), *row)
    if table.rows:
        console.print(table)


def _print_claims(found: list[Checked], console: Console) -> None:
    table = Table("claim", "dataset", "status", "because")
    for checked in found:
        because = checked.reason + (f"; here {checked.otherwise}" if checked.otherwise else "")
        status = f"[{_COLOURS[checked.status]}]{checked.status}[/]"
        table.add_row(
            f"{escape(checked.claim.says)}\n[dim]{escape(checked.claim.source)}[/]", escape(checked.dataset), status, escape(because)
        )
    console.print(table)
