"""The page of all tables: what was run, read from ledgers, and what was not, with what it needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from studies.reproduction.printed import claim_rows, figure_rows, markdown, state
from studies.reproduction.result import Result
from studies.reproduction.runs import find_result
from studies.reproduction.table import Table, list_tables, needs, read_table

INTRODUCTION = """\
# Reproductions

<!-- Written by `margin-studies reproduce --write-page` from the ledgers of runs; do not edit. -->

The tables and figures of the four source papers, repeated as studies. *ours* is the mean over replicates with its 95 % interval, of the
last epoch of each; *best epoch on test* is what choosing the epoch on the test split would give, as some papers do, and nothing is judged
by it. A claim is held against our paired difference by the rule of [docs/reproductions.md](docs/reproductions.md). *Shortened* runs had
fewer epochs or examples than their table's whole protocol, *changed* ones differed from it otherwise: they say which way a difference
goes, not how large it is, and reproduce nothing. Most whole protocols train on four fifths of a training split, where the papers train on
all of it: the rest validates. They are not called shortened for that.
"""


def write_page(path: Path, workdir: Path, data_root: Path | None = None) -> list[str]:
    """Write the page of what ``workdir`` holds to ``path``; returns the names of the tables that were run."""
    tables = [read_table(name) for name in list_tables()]
    found = [(table, find_result(table, workdir)) for table in tables]
    path.write_text(page(found, data_root), encoding="utf-8")
    return [table.name for table, result in found if result is not None]


def page(found: Sequence[tuple[Table, Result | None]], data_root: Path | None = None) -> str:
    """The page's text."""
    overview = [["table", "of", "state"]]
    for table, result in found:
        name = f"[{table.name}](#{table.name})" if result else f"`{table.name}`"
        told = state(result) if result else f"not run: needs {needs(table, data_root)}" if needs(table, data_root) else "not run here yet"
        overview.append([name, f"{table.title} ({table.source})", told])
    return "\n".join([INTRODUCTION, markdown(overview), *(_section(result) for _, result in found if result)])


def _section(result: Result) -> str:
    table = result.table
    seeds = f"{result.seeds} seeds, {result.seconds / 60.0:.1f} minutes of trials"
    parts = [
        f"## {table.name}\n",
        f"{table.title}. {table.source}.\n",
        f"**{state(result)}**. {seeds} on {result.machine or 'an unknown machine'}.\n",
    ]
    if result.changes:
        parts.append(f"{result.protocol.capitalize()}: {result.changes}.\n")
    parts += [markdown(figure_rows(result))]
    if result.findings:
        parts.append(markdown(claim_rows(result)))
    if table.uncertain:
        parts += ["What the paper leaves open, or is otherwise here:\n", "".join(f"- {sentence}\n" for sentence in table.uncertain)]
    return "\n".join(parts)
