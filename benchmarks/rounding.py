"""How far rounding carries a trial: `python benchmarks/rounding.py [--data-root ROOT] [--rows 1 2 ...]`.

Prints a Markdown table. A row is a network, its data and its batches: trials of every family that an array takes, at two learning rates
and from one to three seeds, are trained for an epoch in one array, and again by themselves, and each in an array of its own. Told is how
far the metrics of the epoch (all but the accuracy) are from those of the array, as a share of the greater, the furthest metric of each
trial; and how many trials an export would say to have begun as they were recorded, to within steps times 2^-23 of each metric. MNIST is
asked for in ``--data-root``. Takes about four minutes.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import torch
from trial import _machine, _row

from margin_core.data import DatasetConfig
from margin_core.losses import list_losses
from margin_core.machine import prepare_to_train
from margin_core.training import Cell, Recipe, Trial
from margin_core.training.array import TrialArray, why_alone
from studies.export import ExportedTrial

RATES = {"sgd": (0.3, 0.03), "adamw": (0.01, 0.001)}


@dataclass(frozen=True)
class Case:
    """What is trained, from how many seeds, and on how many threads."""

    title: str
    model: str
    seeds: int
    recipe: Mapping[str, Any] = field(default_factory=dict)
    dataset: str = "digits"
    backbone: str = "trained"
    threads: int = 1


CASES = (
    Case("`mlp-50-20`, digits, batches of 64", "mlp-50-20", 3, {"batch_size": 64}),
    Case("the same, batches of 8", "mlp-50-20", 1, {"batch_size": 8}),
    Case("the same, `adamw`, batches of 64", "mlp-50-20", 2, {"batch_size": 64, "optimizer": "adamw"}),
    Case("`mlp-8`, digits, `adamw`, batches of 100", "mlp-8", 2, {"batch_size": 100, "optimizer": "adamw"}),
    Case("frozen `mlp-50-20`, digits, batches of 64", "mlp-50-20", 2, {"batch_size": 64}, backbone="frozen"),
    Case("`mlp-50-20`, MNIST, batches of 100", "mlp-50-20", 1, {"batch_size": 100}, dataset="mnist"),
    Case("`mlp-256-128`, digits, batches of 64, two threads", "mlp-256-128", 1, {"batch_size": 64}, threads=2),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", help="folder of the datasets")
    parser.add_argument("--rows", type=int, nargs="*", default=list(range(1, len(CASES) + 1)), help="of the table, only these")
    arguments = parser.parse_args()
    print(f"{_machine('cpu')}; torch {torch.__version__}.\n")
    print(_row("", "steps", "trials", "alone: median", "furthest", "array of one: equal to the last digit", "furthest", "begun alike"))
    print(_row(*["---"] * 8))
    for number in arguments.rows:
        print_case(CASES[number - 1], arguments.data_root)


def print_case(case: Case, data_root: str | None) -> None:
    """A row of the table."""
    prepare_to_train(case.threads)
    each = [(cell, seed) for seed, cell in product(range(case.seeds), cells(case))]
    together = together_for_an_epoch([_trial(*one, data_root) for one in each])
    steps = _trial(*each[0], data_root).steps_per_epoch
    alone = [dict(_trial(*one, data_root).run_epoch().metrics) for one in each]
    apart = [together_for_an_epoch([_trial(*one, data_root)])[0] for one in each]
    far = [furthest(found, recorded) for found, recorded in zip(alone, together, strict=True)]
    near = [furthest(found, recorded) for found, recorded in zip(apart, together, strict=True)]
    alike = sum(
        ExportedTrial(cell, 0, seed, case.threads, {}, fused=True, first_epoch=recorded).begins_alike(found, steps)
        for (cell, seed), found, recorded in zip(each, apart, together, strict=True)
    )
    equal = sum(found == recorded for found, recorded in zip(apart, together, strict=True))
    shares = [f"{count / len(each):.0%}" for count in (equal, alike)]
    told = f"{statistics.median(far):.0e}", f"{max(far):.0e}", shares[0], f"{max(near):.0e}", shares[1]
    print(_row(case.title, steps, len(each), *told), flush=True)


def cells(case: Case) -> list[Cell]:
    """One of each family and learning rate that an array takes."""
    recipes = [Recipe(1, lr=rate, **case.recipe) for rate in RATES[case.recipe.get("optimizer", "sgd")]]
    found = [
        Cell(DatasetConfig(case.dataset), case.model, family, {}, {}, recipe, backbone=case.backbone)  # type: ignore[arg-type]
        for family, recipe in product(list_losses(), recipes)
    ]
    return [cell for cell in found if not why_alone(cell)]


def _trial(cell: Cell, seed: int, data_root: str | None) -> Trial:
    return Trial(cell, study_seed=0, replicate=seed, data_root=data_root)


def together_for_an_epoch(trials: Sequence[Trial]) -> list[dict[str, float]]:
    """The metrics of each trial after an epoch of all in one array."""
    array = TrialArray()
    for trial in trials:
        array.join(trial)
    return [dict(report.metrics) for _, report in array.run_epoch()]


def furthest(found: Mapping[str, float], recorded: Mapping[str, float]) -> float:
    """How far the furthest metric but the accuracy is from the recorded one, as a share of the greater of both: 2 at most."""
    pairs = [(found[name], value) for name, value in recorded.items() if name != "val_accuracy" and found[name] != value]
    return max((abs(one - other) / max(abs(one), abs(other)) for one, other in pairs), default=0.0)


if __name__ == "__main__":
    main()
