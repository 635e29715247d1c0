"""The command ``describe``: what datasets are like in the eyes of a network, side by side."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from studies.cli.options import AsJson, DataRoot
from studies.cli.output import decoding_told, one_sentence, print_json, say, stdout

if TYPE_CHECKING:
    from margin_core.topology import Fingerprint


def describe(
    datasets: Annotated[
        list[str], typer.Argument(help="Names of datasets; several are looked at with as many examples of as many classes.")
    ],
    model: Annotated[str, typer.Option(help="The network whose features are read.")],
    weights: Annotated[
        str, typer.Option(help="Its weights: pretrained, or a file's name in the data root's folder weights.")
    ] = "pretrained",
    classes: Annotated[int | None, typer.Option(min=2, help="How many classes; by default as many as all the datasets have.")] = None,
    per_class: Annotated[
        int | None, typer.Option(min=2, help="Examples of each class; by default as many as all have, up to 10000 in all.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Draws the examples.")] = 0,
    data_root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """Describe datasets: intrinsic dimension, label noise, separation and granularity of classes, and more."""
    from margin_core.data import DatasetConfig, prepare, resolve_data_root
    from margin_core.topology import class_sizes, comparable, describe_dataset
    from studies.preflight import CallError

    root = resolve_data_root(data_root)
    with one_sentence(), decoding_told():
        try:
            configs = [DatasetConfig(name) for name in datasets]
            sizes = [class_sizes(prepare(config, data_root=root, study_seed=seed, replicate=0)) for config in configs]
            most, enough = comparable(sizes) if classes is None else comparable([of[:classes] for of in sizes])
            told = {}
            for config in configs:
                if not as_json:
                    say(Console(stderr=True), f"describing {config.name}", style="dim")
                told[config.name] = describe_dataset(
                    config, model=model, weights=weights, classes=most, per_class=per_class or enough, seed=seed, data_root=root
                )
        except ValueError as error:
            raise CallError(str(error)) from None
    if as_json:
        print_json({name: _plain(fingerprint) for name, fingerprint in told.items()})
    else:
        _print(told, f"{model}, {weights}")


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
    say(console, f"{first.examples} training examples of {first.classes} classes each, features of {network}; ± is the standard error")
    say(console, "bold: the four descriptors that are asked whether an optimum goes with them; the others explore")
