"""The commands that tell what there is: losses, datasets, models, studies, and ``doctor`` for the environment."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from studies.cli.options import Address, AsJson, DataRoot, TrackingUri, Workdir
from studies.cli.output import one_sentence, print_json, print_rows, stdout, warn
from studies.workspace import DEFAULT_WORKDIR


def doctor(
    address: Address = None,
    tracking_uri: TrackingUri = None,
    workdir: Workdir = DEFAULT_WORKDIR,
    data_root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Check the environment, and say what to do about what is wrong."""
    from studies.doctor import examine

    checks = examine(address=address, tracking_uri=tracking_uri, workdir=workdir, data_root=data_root)
    if as_json:
        print_json({"checks": [check.to_dict() for check in checks]})
    else:
        table = Table("", "check", "found", "what to do", show_lines=False)
        marks = {"ok": "[green]ok[/green]", "note": "[yellow]note[/yellow]", "wrong": "[red]wrong[/red]"}
        for check in checks:
            table.add_row(marks[check.state], *map(escape, (check.name, check.found, check.advice)))
        stdout().print(table)
    if any(check.state == "wrong" for check in checks):
        raise typer.Exit(1)


def losses(as_json: AsJson = False) -> None:
    """List the loss families and their knobs."""
    from margin_core.losses import FAMILIES

    families, faults = FAMILIES.all()
    rows = [
        {
            "family": family.name,
            "title": family.title,
            "reads": family.reads,
            "knob": knob.name if knob else "",
            "symbol": knob.symbol if knob else "",
            "default": knob.default if knob else "",
            "allowed": knob.allowed if knob else "",
            "grid": list(knob.grid) if knob else [],
        }
        for family in families
        for knob in (family.knobs or (None,))
    ]
    print_rows(rows, as_json)
    warn(faults)


def datasets(
    data_root: DataRoot = None,
    download: Annotated[str | None, typer.Option(help="First download this dataset into the data root.", metavar="NAME")] = None,
    as_json: AsJson = False,
) -> None:
    """List the datasets, and whether they can be read here."""
    from margin_core.data import SOURCES, resolve_data_root
    from studies.preflight import download_dataset

    root = resolve_data_root(data_root)
    sources, faults = SOURCES.all()
    if download is not None:
        with one_sentence():
            sources = [download_dataset(download, root)]
    rows = []
    for source in sources:
        try:
            source.check(root)
            state = "ready"
        except (ValueError, OSError) as error:
            state = str(error)
        rows.append({"dataset": source.written, "state": state})
    print_rows(rows, as_json)
    warn(faults)


def models(as_json: AsJson = False) -> None:
    """List the models."""
    from margin_core.models import MODELS

    sources, faults = MODELS.all()
    print_rows([{"model": source.written} for source in sources], as_json)
    warn(faults)


def studies(workdir: Workdir = DEFAULT_WORKDIR, as_json: AsJson = False) -> None:
    """List the studies that ship with the package and those in the work directory."""
    from studies.spec import list_presets, read_study
    from studies.workspace import find_studies

    rows = [{"study": name, "where": "preset", "about": read_study(name).description.strip()} for name in list_presets()]
    rows += [{"study": name, "where": str(workdir / name), "about": ""} for name in find_studies(workdir)]
    print_rows(rows, as_json)
