"""Studies whose ledgers are written by the real ledger and the real plan, with metrics from a known curve instead of training."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from studies.answer import Answer, answer
from studies.plan import PlannedTrial, confirm_trials, screen_trials
from studies.spec import StudySpec, study_from
from studies.tracking.ledger import Ledger

Score = Callable[[PlannedTrial], float | None]
Build = Callable[..., Answer]

STUDY: dict[str, Any] = {
    "name": "response",
    "description": "Which knob, how surely?",
    "datasets": ["digits", {"dataset": "digits", "label_noise": 0.2}],
    "model": "mlp-16",
    "families": {"ce": None, "gds": None, "gradient_decay": {"beta": {"kind": ["constant"], "start": [0.01, 0.1, 1.0, 5.0]}}},
    "recipe": {"epochs": 1},
    "nuisance": {"lr": [0.03, 0.1]},
    "screen": {"searcher": "sobol", "trials": 24},
    "confirm": {"families": 2, "seeds": 5},
}


def write(ledger: Ledger, trial: PlannedTrial, metric: str, value: float | None) -> None:
    """Write a trial as it ends: with ``value``, or as diverged where there is none."""
    ledger.start(trial)
    if value is None:
        ledger.end(trial.key, "diverged", "the loss is not finite in epoch 1")
        return
    ledger.report(trial.key, [{"epoch": 1, "at": 0.0, "seconds": 2.0, "metrics": {metric: value}}])
    ledger.end(trial.key, "finished")


def noise(*parts: object, scale: float = 0.2) -> float:
    """A normal number that depends on ``parts`` alone."""
    return float(np.random.default_rng(zlib.crc32(repr(parts).encode())).normal(scale=scale))


def peaked(trial: PlannedTrial) -> float:
    """An accuracy that is highest at λ = 1, with noise shared by all cells of a seed and some of its own."""
    lam = trial.config.get("gds.lam")
    shape = 1.5 - 1.5 * (float(lam) - 1.0) ** 2 if isinstance(lam, float) else 0.0
    return 95.0 + shape + noise(trial.dataset, trial.replicate, scale=0.4) + noise(trial.key, scale=0.1)


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Answers of synthetic studies: ``build(score, confirm=..., **changes to the study)``."""

    def built(score: Score = peaked, *, confirm_seeds: int | None = None, changes: dict[str, Any] | None = None) -> Answer:
        spec: StudySpec = study_from({key: value for key, value in {**STUDY, **(changes or {})}.items() if value is not None})
        with Ledger(tmp_path / f"{len(list(tmp_path.iterdir()))}.sqlite") as ledger:
            ledger.set_meta("spec", spec.model_dump_json())
            for trial in screen_trials(spec) if spec.screen else []:
                write(ledger, trial, spec.metric, score(trial))
            results = ledger.screen_results(spec.metric) if spec.screen else []
            for trial in confirm_trials(spec, results) if spec.confirm else []:
                if confirm_seeds is None or trial.replicate < confirm_seeds:
                    write(ledger, trial, spec.metric, score(trial))
            return answer(ledger)

    return built
