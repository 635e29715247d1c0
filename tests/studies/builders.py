"""Small studies, and ledgers written by hand: the plan and the ledger are the real ones, only the metrics are made up."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from studies.plan import PlannedTrial, confirm_trials, screen_trials
from studies.spec import StudySpec, study_from
from studies.tracking.ledger import Ledger
from studies.tracking.records import Status
from studies.workspace import StudyFiles

STORED = Path(__file__).parent / "tracking" / "ledgers"
"""Ledgers of studies that Ray ran, as earlier versions left them."""

Score = Callable[[PlannedTrial], float | None]

# The gds curve holds its own baseline (lambda 0); that of cos_face (margin 0.1) does not, so it is measured against the ce arm.
STUDY: dict[str, Any] = {
    "name": "small",
    "datasets": ["digits"],
    "model": "mlp-8",
    "families": {"ce": {"label_smoothing": [0, 0.1]}, "gds": {"lam": [0, 1, 2], "tau": 1}, "cos_face": {"m": [0.1, 0.2], "s": 20}},
    "regularizers": {"sample_margin": {"weight": [0, 0.1]}},
    "nuisance": {"lr": [0.05, 0.1]},
    "recipe": {"epochs": 1},
    "screen": {"searcher": "sobol", "trials": 18},
    "confirm": {"families": 2, "seeds": 3, "values": {"gds": [0, 1], "cos_face": [0.1, 0.2]}},
}
WITHOUT_SCREEN: dict[str, Any] = {
    "screen": None,
    "families": {"ce": {"label_smoothing": 0}, "gds": {"tau": 1}, "cos_face": {"s": 20}},
    "regularizers": {},
    "nuisance": {"lr": 0.1},
}
BETA_SCHEDULE: dict[str, Any] = {"schedule": {"kind": ["constant", "linear"], "start": [0.1, 1], "end": 2, "length": 0.5}}
TWO_DATASETS: list[Any] = ["digits", {"dataset": "digits", "label_noise": 0.2, "label": "noisy"}]


def study(**changes: Any) -> StudySpec:
    """The small study with some of its sections changed."""
    return study_from({**STUDY, **changes})


def new_ledger(path: Path, spec: StudySpec) -> Ledger:
    """A ledger that knows which study it is of."""
    ledger = Ledger(path)
    ledger.set_meta("spec", json.dumps(spec.model_dump(mode="json")))
    return ledger


def epoch(number: int, metrics: Mapping[str, float]) -> dict[str, Any]:
    """A row as a trial reports it."""
    return {"epoch": number, "at": 1000.0 + number, "seconds": 2.0, "metrics": dict(metrics)}


def write(ledger: Ledger, trial: PlannedTrial, metrics: Mapping[str, float], status: Status = "finished") -> None:
    """Write a trial from its start to its end."""
    ledger.start(trial)
    ledger.report(trial.key, [epoch(1, metrics)])
    ledger.end(trial.key, status, "" if status == "finished" else f"it {status}")


def write_all(ledger: Ledger, trials: Iterable[PlannedTrial], score: Score, metric: str = "val_accuracy") -> None:
    """Write trials with the metric that ``score`` gives; None: diverged."""
    for trial in trials:
        value = score(trial)
        if value is None:
            write(ledger, trial, {metric: 10.0}, "diverged")
        else:
            write(ledger, trial, {metric: value})


def write_screen(ledger: Ledger, spec: StudySpec, score: Score) -> None:
    """Write the whole screen of a study."""
    write_all(ledger, screen_trials(spec), score, spec.metric)


def confirmed(ledger: Ledger, spec: StudySpec) -> list[PlannedTrial]:
    """The confirm stage that follows from what the ledger holds."""
    return confirm_trials(spec, ledger.screen_results(spec.metric) if spec.screen else ())


def noise(*parts: object, scale: float) -> float:
    """A normal number that depends on ``parts`` alone."""
    return float(np.random.default_rng(zlib.crc32(repr(parts).encode())).normal(scale=scale))


def accuracy(trial: PlannedTrial) -> float:
    """Best for gds at lambda 1 without a regulariser, then cos_face, then ce; a seed moves all its cells alike, and each a little."""
    config = trial.config
    shape = {"gds": 2.0 - abs(float(config.get("gds.lam", 0.0)) - 1.0), "cos_face": 0.5}.get(trial.cell.family, 0.0)
    shape -= 5.0 * float(config.get("sample_margin.weight", 0.0))
    return 90.0 + shape + noise(trial.dataset, trial.replicate, scale=0.5) + noise(trial.key, scale=0.1)


def stored_study(name: str, directory: Path) -> StudyFiles:
    """The study of a stored ledger, in a work directory of its own within ``directory``."""
    files = StudyFiles(directory / "runs" / "tiny")
    files.directory.mkdir(parents=True)
    connection = sqlite3.connect(files.ledger)
    connection.executescript((STORED / name / "ledger.sql").read_text())
    connection.close()
    return files
