"""What the commands print: lines as they are, tables, JSON, and one sentence for what a user got wrong."""

from __future__ import annotations

import gc
import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from studies.placement import ArrayPlace, Place, Placement


@contextmanager
def one_sentence() -> Iterator[None]:
    """Turn what a user can get wrong into one sentence on standard error and exit status 2."""
    try:
        yield
    except (ValueError, OSError) as error:
        from margin_core.data import PictureError  # not for a command that goes well and needs none of it
        from studies.plain_yaml import StudyFileError
        from studies.preflight import CallError
        from studies.storage import StorageError
        from studies.tracking.records import LedgerError
        from studies.workspace import StudyError

        if not isinstance(error, (CallError, StudyFileError, StudyError, LedgerError, PictureError, StorageError, FileNotFoundError)):
            raise
        say(Console(stderr=True), f"[red]error[/red]: {escape(str(error))}", markup=True)
        raise typer.Exit(2) from None


def stdout() -> Console:
    """Standard output; where it is no terminal, wide enough for the tables. ``:leaves:`` is no emoji but part of a dataset's name."""
    console = Console(emoji=False)
    return console if console.is_terminal else Console(width=100, emoji=False)


def say(console: Console, text: str | Text, *, style: str = "", markup: bool = False) -> None:
    """Print a line as it is: paths and reasons may hold brackets, and must not be wrapped."""
    console.print(text, style=style, markup=markup, emoji=False, highlight=False, soft_wrap=True)


def warn(sentences: list[str]) -> None:
    """Print each sentence on standard error, where it is in nobody's way."""
    for sentence in sentences:
        say(Console(stderr=True), f"[yellow]warning[/yellow]: {escape(sentence)}", markup=True)


def print_json(data: object) -> None:
    """Print plain data."""
    print(json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False, default=str))


def print_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Print rows of one shape as a table, or as JSON."""
    if as_json:
        print_json(rows)
        return
    table = Table(*rows[0]) if rows else Table()
    for row in rows:
        table.add_row(
            *("  ".join(f"{item:g}" for item in value) if isinstance(value, list) else escape(str(value)) for value in row.values())
        )
    stdout().print(table)


def collect_seldom() -> None:
    """Let a command that reads a study and ends look for garbage seldom: it makes little, and looking would take a tenth of its time."""
    gc.set_threshold(100_000, 50, 100)


@contextmanager
def decoding_told() -> Iterator[None]:
    """Print on standard error how far the decoding of a dataset's pictures is, which may take minutes."""
    console, logger = Console(stderr=True), logging.getLogger("margin_core.data")
    handler, level = _Lines(console), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _Lines(logging.Handler):
    """Prints each record as a line."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        say(self._console, self.format(record))


@contextmanager
def stdout_kept_clean(as_json: bool) -> Iterator[None]:
    """With ``--json``, send to standard error what Ray's own processes print, so that standard output is JSON alone."""
    if not as_json:
        yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def print_placement(placement: Placement, console: Console) -> None:
    """Print which node each running trial is on and what it holds, and what is in use."""
    rows: list[tuple[str, Place | ArrayPlace]]
    if placement.arrays:
        rows = [(f"array {place.number}: {place.trials} of {place.places} trials", place) for place in placement.arrays]
    else:
        rows = [(place.key, place) for place in sorted(placement.trials, key=lambda place: (place.node, place.key))]
    table = Table("running", "node", "CPU", "GPU", "since")
    for what, place in rows:
        since = time.strftime("%H:%M:%S", time.localtime(place.since))
        table.add_row(escape(what), escape(place.node or "starting"), f"{place.cpu:g}", f"{place.gpu:g}", since)
    console.print(table)
    if placement.full is not None:
        say(console, f"the arrays' places were full for {placement.full:.1%} of their time, while there were trials to fill them with")
    used = ", ".join(f"{placement.used[name]:g} of {amount:g} {name}" for name, amount in placement.there.items()) or "nothing"
    say(console, f"in use on {placement.nodes} node{'' if placement.nodes == 1 else 's'}: {used}")
