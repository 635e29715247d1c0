"""The command ``recommend``: where to start on a new dataset, by what earlier studies found on others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from studies.cli.options import AsJson, DataRoot, Workdir
from studies.cli.output import decoding_told, one_sentence, print_json, say, stdout
from studies.workspace import DEFAULT_WORKDIR, find_studies, open_files

if TYPE_CHECKING:
    from studies.recommendation import Recommendation


_SHOWN = 4  # curves of a family; --json has all


def recommend(
    dataset: Annotated[str, typer.Argument(help="A dataset's name; folder:<path> for images of your own.")],
    study: Annotated[
        list[str] | None, typer.Option(help="An earlier study, may be repeated; by default all of the work directory.")
    ] = None,
    size: Annotated[int | None, typer.Option(min=1, help="Pixels of the shorter side that photos are resized to.")] = None,
    out: Annotated[Path | None, typer.Option(help="The study file to write; by default start-<dataset>.yaml.")] = None,
    workdir: Workdir = DEFAULT_WORKDIR,
    data_root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Say which families and knob values to start with on a new dataset, with the evidence, and write a study that asks."""
    from margin_core.data import DatasetConfig, resolve_data_root
    from studies.evidence import gather
    from studies.preflight import CallError
    from studies.recommendation import recommend as weigh

    with one_sentence(), decoding_told():
        names = study or find_studies(workdir)
        if not names:
            raise CallError(f"{workdir} holds no study to learn from; name one with --study")
        try:
            _check_name(dataset)
            config = DatasetConfig(dataset, size=size)
            files = [open_files(workdir, name) for name in names]
            evidence = gather(
                config, files, resolve_data_root(data_root), lambda what: say(Console(stderr=True), f"describing {what}", style="dim")
            )
        except ValueError as error:
            raise CallError(str(error)) from None
        found = weigh(config, evidence)
        path = out or Path(f"{found.spec.name}.yaml")
        if path.exists():
            raise CallError(f"{path} is there already; name another file with --out")
        path.write_text(found.study_file, encoding="utf-8")
    if as_json:
        print_json({**found.to_dict(), "study_file": str(path)})
        return
    _print(found)
    say(stdout(), f"study     {path}")
    say(stdout(), f"  look at it:  margin-studies preview {path}")


def _check_name(dataset: str) -> None:
    """Raise `ValueError` on a kind of dataset that there is not, with those that are spelt nearly so and how a folder is given."""
    from difflib import get_close_matches

    from margin_core.data import list_datasets

    names = list_datasets()
    kinds = [name.partition(":")[0] for name in names]
    if dataset.partition(":")[0] not in kinds:
        near = get_close_matches(dataset.lower(), kinds, n=3)
        meant = f"did you mean {', '.join(near)}? " if near else ""
        raise ValueError(
            f"there is no dataset {dataset!r}: {meant}margin-studies datasets lists all; "
            "images of your own are folder:<path below the data root>"
        )


def _print(found: Recommendation) -> None:
    console = stdout()
    first = Table("start with", "values to measure", "gain over ce", "optimistic gain", "curves")
    for suggestion in found.suggestions:
        gains = ["" if gain is None else f"{gain:+.2f}" for gain in (suggestion.gain, suggestion.optimistic_gain)]
        values = f"{suggestion.knob.symbol} = {', '.join(f'{value:.4g}' for value in suggestion.values)}"
        first.add_row(suggestion.family, values, *gains, str(len(suggestion.because)))
    console.print(first)
    for suggestion in found.suggestions:
        named = (Column(title, overflow="fold") for title in ("dataset", "study"))
        table = Table(*named, "distance", Column("verdict", no_wrap=True), "may be best", title=f"{suggestion.family}, the nearest curves")
        for each in suggestion.because[:_SHOWN]:
            kept = ", ".join(f"{value:.4g}" for value in each.curve.verdict.optimum_set)
            table.add_row(escape(each.curve.dataset), escape(each.study), f"{each.distance:.1f}", each.curve.verdict.label, kept)
        console.print(table)
    for sentence in found.weaknesses:
        say(console, sentence)
