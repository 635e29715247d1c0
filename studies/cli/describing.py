"""The command ``describe``: what datasets are like in the eyes of a network, side by side."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from studies.cli.options import AsJson, DataRoot, Workdir
from studies.cli.output import decoding_told, one_sentence, print_json, say, stdout
from studies.workspace import DEFAULT_WORKDIR

if TYPE_CHECKING:
    from margin_core.topology import Fingerprint
    from studies.descriptors import Network


def describe(
    datasets: Annotated[
        list[str] | None, typer.Argument(help="Names of datasets; several are looked at with as many examples of as many classes.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="The network whose features are read.")] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            help="Its weights: pretrained (the default), random, or a file's name in the data root's folder weights; may be repeated."
        ),
    ] = None,
    classes: Annotated[int | None, typer.Option(min=2, help="How many classes; by default as many as all the datasets have.")] = None,
    per_class: Annotated[
        int | None, typer.Option(min=2, help="Examples of each class; by default as many as all have, up to 10000 in all.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Draws the examples.")] = 0,
    study: Annotated[str | None, typer.Option(help="Describe the datasets of this study instead, for its report.")] = None,
    workdir: Workdir = DEFAULT_WORKDIR,
    data_root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Describe datasets: intrinsic dimension, label noise, separation and granularity of classes, and more."""
    from margin_core.data import DatasetConfig, resolve_data_root
    from studies.descriptors import Network, fingerprints
    from studies.preflight import CallError

    root = resolve_data_root(data_root)
    networks = [] if model is None else [Network(model, each) for each in dict.fromkeys(weights or ["pretrained"])]
    with one_sentence(), decoding_told():
        if (study is None) == (not datasets):
            raise CallError("name datasets, or a study with --study")
        if model is None and (weights or study is None):
            raise CallError("name the network whose features are read with --model")
        if study is not None:
            if (classes, per_class, seed) != (None, None, 0):
                raise CallError(
                    "--classes, --per-class and --seed do not go with --study: its datasets are looked at whole, by its own seed"
                )
            _describe_study(study, networks, workdir, root, as_json)
            return
        try:
            told = fingerprints(
                [DatasetConfig(name) for name in datasets or ()],
                networks,
                classes=classes,
                per_class=per_class,
                seed=seed,
                data_root=root,
                told=lambda name: None if as_json else say(Console(stderr=True), f"describing {name}", style="dim"),
            )
        except ValueError as error:
            raise CallError(str(error)) from None
    if as_json:
        print_json({network.words: {name: _plain(fingerprint) for name, fingerprint in of.items()} for network, of in told.items()})
        return
    for network, of in told.items():
        _print(of, network.words)


def _describe_study(study: str, networks: list[Network], workdir: Path, root: Path | None, as_json: bool) -> None:
    from studies.answer import answer
    from studies.claim import recorded_study
    from studies.descriptors import Network, describe_study
    from studies.preflight import CallError
    from studies.reporting.topology import topology_sentences
    from studies.study import sole_driver, write_results
    from studies.tracking.ledger import Ledger
    from studies.workspace import open_files

    files = open_files(workdir, study)
    with sole_driver(files), Ledger(files.ledger) as ledger:
        spec = recorded_study(ledger)
        asked = networks or [Network.of(section) for section in spec.describe]
        if not asked:
            raise CallError(f"the study {spec.name} names no network under describe: name one with --model and --weights")
        try:
            describe_study(ledger, spec, asked, root)
        except ValueError as error:
            raise CallError(str(error)) from None
        found = answer(ledger)
    write_results(found, files)
    if as_json:
        print_json(found.topology.to_dict())
        return
    for sentence in topology_sentences(found.topology):
        say(stdout(), sentence)
    say(stdout(), f"report    {files.report}")


def _plain(fingerprint: Fingerprint) -> dict[str, object]:
    return {
        "examples": fingerprint.examples,
        "classes": fingerprint.classes,
        "descriptors": {name: {"value": _number(e.value), "error": _number(e.error)} for name, e in fingerprint.estimates.items()},
        "dimension_by_scale": {scale: _number(value) for scale, value in fingerprint.dimensions.items()},
    }


def _number(value: float) -> float | None:
    """JSON has no NaN and no infinity."""
    return value if math.isfinite(value) else None


def _print(told: dict[str, Fingerprint], network: str) -> None:
    from margin_core.topology import list_descriptors

    titles = {d.name: (d.title, d.role) for d in list_descriptors()}
    table = Table("", *map(escape, told))
    for name in next(iter(told.values())).estimates:
        title, role = titles.get(name, (f"{name.removesuffix('_sensitivity').capitalize()} sensitivity", "exploratory"))
        estimates = [fingerprint.estimates[name] for fingerprint in told.values()]
        table.add_row(title, *(f"{e.value:.3g} ± {e.error:.1g}" for e in estimates), style="bold" if role == "primary" else "")
    console = stdout()
    console.print(table)
    first = next(iter(told.values()))
    say(
        console,
        f"{first.examples} training examples of each dataset, of {first.classes} classes, features of {network}; ± is the standard error",
    )
    say(console, "bold: the four descriptors that are asked whether an optimum goes with them; the others explore")
