"""How much too good the numbers of a chosen setting are, up to the gain that a report prints, where the truth is known.

Whole studies are laid out by the plan and written into a ledger, and their printed gains are read off the rows of the report's table of
verdicts. Only the metrics are drawn, in the place of training. The verdicts themselves are held to known truths in
`studies.analysis.simulation`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from studies.answer import answer
from studies.findings import Answer
from studies.plan import PlannedTrial, confirm_trials, screen_trials
from studies.reporting.tables import verdict_rows
from studies.spec import StudySpec, study_from
from studies.tracking.ledger import Ledger

Numbers = NDArray[np.float64]

_DATASETS = 50  # of one study, each a repetition
_CURVE = 5  # values of the confirmed curve beside the screen's choice, any of which a fault might take for it
_LEVEL = 90.0  # of the baseline, in percent


@dataclass(frozen=True)
class Optimism:
    """How much too good the number of a chosen cell is, in percentage points; positive where it looks better than it is.

    Args:
        screened: Of the mean that it was chosen by.
        printed: Of the gain over ``ce`` that the report prints.
        picked: Of the gain that the best of the cells has on the very seeds that it is picked by.
    """

    screened: float
    printed: float
    picked: float


def optimism(*, cells: int, spread: float, seeds: int, repetitions: int, seed: int, noise: float = 0.25) -> Optimism:
    """Choose the best of many screened cells, one seed each, and measure its gain over ``ce`` on fresh seeds.

    Args:
        cells: How many are screened, at least 5; their true means are normal around that of ``ce``.
        spread: Standard deviation of the true means, in percentage points.
        seeds: How many fresh seeds measure the chosen cell and ``ce``.
        repetitions: How many times.
        seed: Of the random numbers; equal seeds give equal results.
        noise: Standard deviation of one run, in percentage points.

    Raises:
        ValueError: if a report prints no gain.
    """
    generator, errors = np.random.default_rng(seed), list[Numbers]()
    for done in range(0, repetitions, _DATASETS):
        spec = _study(min(_DATASETS, repetitions - done), cells, seeds)
        truth = spread * generator.standard_normal((len(spec.datasets), cells))
        luck = noise / np.sqrt(seeds) * generator.standard_normal(truth.shape)
        picked = np.take_along_axis(luck, (truth + luck).argmax(axis=1, keepdims=True), axis=1)
        errors.append(np.concatenate([_errors(spec, truth, noise, generator), picked], axis=1))
    return Optimism(*(float(mean) for mean in np.concatenate(errors).mean(axis=0)))


def _study(datasets: int, cells: int, seeds: int) -> StudySpec:
    grid = [_value(cell) for cell in range(cells)]
    return study_from(
        {
            "name": "simulated",
            "datasets": [{"dataset": "digits", "label": str(number)} for number in range(datasets)],
            "model": "mlp-8",
            "recipe": {"epochs": 1},
            "families": {"ce": {"label_smoothing": 0}, "gds": {"lam": grid}},
            "screen": {"searcher": "grid"},
            "confirm": {"families": ["gds"], "seeds": seeds, "values": {"gds": grid[:: cells // _CURVE][:_CURVE]}},
        }
    )


def _value(cell: int) -> float:
    """The knob value of a cell, short enough to be printed whole."""
    return (cell + 1) / 100


def _errors(spec: StudySpec, truth: Numbers, noise: float, generator: np.random.Generator) -> Numbers:
    """For each dataset by how much the screen's best mean and the printed gain are too high; shape (datasets, 2)."""
    means = {
        (entry.config().key, _value(cell)): float(mean)
        for entry, row in zip(spec.datasets, truth, strict=True)
        for cell, mean in enumerate(row)
    }

    def run(ledger: Ledger, trials: Iterable[PlannedTrial]) -> None:
        for trial in trials:
            mean = means[trial.dataset, float(trial.config["gds.lam"])] if trial.cell.family == "gds" else 0.0
            metrics = {spec.metric: _LEVEL + mean + noise * generator.standard_normal()}
            ledger.start(trial)
            ledger.report(trial.key, [{"epoch": 1, "at": 0.0, "seconds": 1.0, "metrics": metrics}])
            ledger.end(trial.key, "finished")

    with TemporaryDirectory() as folder, Ledger(Path(folder) / "ledger.sqlite") as ledger:
        ledger.set_meta("spec", json.dumps(spec.model_dump(mode="json")))
        run(ledger, screen_trials(spec))
        run(ledger, confirm_trials(spec, ledger.screen_results(spec.metric)))
        found = answer(ledger)
    return np.stack([_screened(found, means), _printed(found, means)], axis=1)


def _screened(found: Answer, means: dict[tuple[str, float], float]) -> Numbers:
    best = found.screen[found.screen["family"] == "gds"].groupby("dataset", sort=False).first().loc[found.datasets]
    rows = zip(best.index, best["value"], best["config"], strict=True)
    return np.array([value - _LEVEL - means[dataset, config["gds.lam"]] for dataset, value, config in rows])


def _printed(found: Answer, means: dict[tuple[str, float], float]) -> Numbers:
    rows = verdict_rows(found)
    gains = [float(row["gain"].partition(" ")[0].replace("−", "-")) for row in rows]
    return np.array(
        [gain - means[row["dataset"], float(row["setting"].removeprefix("λ = "))] for gain, row in zip(gains, rows, strict=True)]
    )
