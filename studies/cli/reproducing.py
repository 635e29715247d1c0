"""The command ``reproduce``: the tables of the source papers, run again and printed beside what the papers print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from studies.cli.options import Address, AsJson, DataRoot, Overrides, TrackingUri, Workdir
from studies.cli.output import one_sentence, print_json, say, stdout, stdout_kept_clean
from studies.workspace import DEFAULT_WORKDIR

if TYPE_CHECKING:
    from studies.reproduction.result import Result

Seeds = Annotated[int | None, typer.Option(min=1, help="Replicates of each setting; by default as the table's file says.")]


def reproduce(
    name: Annotated[str | None, typer.Argument(help="A table's name; without one, the tables are listed.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Shortened to minutes on two cores; of most tables only directions are asked then.")
    ] = False,
    seeds: Seeds = None,
    overrides: Overrides = None,
    workdir: Workdir = DEFAULT_WORKDIR,
    address: Address = None,
    tracking_uri: TrackingUri = None,
    data_root: DataRoot = None,
    write_page: Annotated[Path | None, typer.Option(help="Write a page of all tables that the work directory holds.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run a table of the source papers and print it beside the paper's; or list the tables."""
    from margin_core.data import resolve_data_root

    root = resolve_data_root(data_root)
    if name is not None:
        _run(name, quick, seeds, overrides or [], workdir, address, tracking_uri, root, as_json)
    elif write_page is None:
        with one_sentence():
            rows = _listed(workdir, root)
        if as_json:
            print_json(rows)
        else:
            _print_listed(rows)
    if write_page is not None:
        from studies.reproduction.page import write_page as write

        with one_sentence():
            written = write(write_page, workdir, root)
        if name is None and as_json:
            print_json({"page": str(write_page), "tables": written})
        elif not as_json:
            say(stdout(), f"page      {write_page}")


def _listed(workdir: Path, root: Path | None) -> list[dict[str, str]]:
    from studies.reproduction.printed import state
    from studies.reproduction.runs import find_result
    from studies.reproduction.table import list_tables, needs, read_table

    rows = []
    for table in map(read_table, list_tables()):
        result, lacking = find_result(table, workdir), needs(table, root)
        ready = "can be run here, also with --quick" if table.quick else "can be run here"
        told = state(result) if result else f"not run: needs {lacking}" if lacking else ready
        rows.append({"table": table.name, "of": f"{table.title} ({table.source})", "state": told})
    return rows


def _print_listed(rows: list[dict[str, str]]) -> None:
    listed = RichTable(box=box.SIMPLE_HEAD)
    listed.add_column("table", no_wrap=True)
    listed.add_column("of")
    listed.add_column("state")
    for row in rows:
        listed.add_row(*map(escape, row.values()))
    stdout().print(listed)


def _run(
    name: str,
    quick: bool,
    seeds: int | None,
    overrides: list[str],
    workdir: Path,
    address: str | None,
    tracking_uri: str | None,
    root: Path | None,
    as_json: bool,
) -> None:
    from studies.progress import StudyDisplay
    from studies.reproduction.runs import run_table
    from studies.reproduction.table import read_table

    console = stdout()
    with one_sentence(), stdout_kept_clean(as_json):
        result, outcome = run_table(
            read_table(name),
            workdir=workdir,
            display=lambda spec: StudyDisplay(spec, None if as_json else console),
            quick=quick,
            seeds=seeds,
            overrides=overrides,
            address=address,
            tracking_uri=tracking_uri,
            data_root=root,
        )
    if result is not None and as_json:
        print_json(result.to_dict())
    elif result is not None:
        _print(result, console)
    elif as_json:
        print_json({"table": name, "complete": False, "stopped": outcome.stopped})
    else:
        say(console, f"stopped: {outcome.stopped}" if outcome.stopped else "interrupted; the same command goes on from there")
    if result is None:
        raise typer.Exit(1 if outcome.stopped else 130)


def _print(result: Result, console: Console) -> None:
    from studies.reproduction.printed import claim_rows, figure_rows, state

    say(console, f"{result.table.title}\n{result.table.source}")
    for rows in (*(figure_rows(result, [metric]) for metric in result.table.metrics), claim_rows(result)):
        table = RichTable(*rows[0], box=box.SIMPLE_HEAD)
        for row in rows[1:]:
            table.add_row(*map(escape, row))
        console.print(table)
    say(console, f"{state(result)}; {result.seeds} seeds")
    if result.changes:
        say(console, f"{result.protocol}: {result.changes}")
    for sentence in result.table.uncertain:
        say(console, f"note: {sentence}")
