"""Studies whose ledgers are written by the real plan and the real ledger, with metrics from a known curve instead of training."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from studies.answer import answer, stage_arms
from studies.findings import Answer
from studies.later_stages import metric_on_test
from studies.plan import PlannedTrial, arm_trials, confirm_trials, screen_trials
from studies.reporting.report import render_report
from studies.spec import study_from
from studies.tracking.ledger import Ledger

Score = Callable[[PlannedTrial], float | None]
Others = Callable[[PlannedTrial], Mapping[str, float]]
Build = Callable[..., Answer]

STUDY: dict[str, Any] = {
    "name": "response",
    "description": "Which knob, how surely?",
    "datasets": ["digits", {"dataset": "digits", "label_noise": 0.2}],
    "model": "mlp-16",
    "families": {"ce": {"label_smoothing": 0.0}, "gds": None, "gradient_decay": {"beta": [0.01, 0.1, 1.0, 5.0]}},
    "recipe": {"epochs": 1},
    "nuisance": {"lr": [0.03, 0.1]},
    "screen": {"searcher": "grid"},
    "confirm": {"families": 2, "seeds": 5},
}


def noise(*parts: object, scale: float) -> float:
    """A normal number that depends on ``parts`` alone."""
    return float(np.random.default_rng(zlib.crc32(repr(parts).encode())).normal(scale=scale))


def write(ledger: Ledger, trial: PlannedTrial, metric: str, value: float | None, others: Mapping[str, float] | None = None) -> None:
    """Write a trial as it ends: with ``value`` and what ``others`` were measured, or as diverged where there is none."""
    ledger.start(trial)
    if value is None:
        ledger.end(trial.key, "diverged", "the loss is <not> finite")
        return
    ledger.report(trial.key, [{"epoch": 1, "at": 0.0, "seconds": 2.0, "metrics": {metric: value, **(others or {})}}])
    ledger.end(trial.key, "finished")


@pytest.fixture(scope="session")
def peaked() -> Score:
    """An accuracy that is highest at λ = 1; its noise is shared by all cells of a seed, but for a little of their own."""

    def score(trial: PlannedTrial) -> float:
        lam = float(trial.config.get("gds.lam", 0.0))
        mine = noise(trial.config, trial.replicate, scale=0.1)
        return 95.0 + 1.5 * lam * (2.0 - lam) + noise(trial.dataset, trial.replicate, scale=0.4) + mine

    return score


@pytest.fixture(scope="session")
def noisy() -> Score:
    """An accuracy that nothing changes but noise."""
    return lambda trial: 95.0 + noise("noisy", trial.config, trial.dataset, trial.replicate, scale=0.5)


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Answers of synthetic studies: ``build(score, seeds=2, screen=None)`` changes the study and stops after two confirm seeds."""
    folder, numbers = tmp_path_factory.mktemp("ledgers"), itertools.count()

    def built(
        score: Score, *, seeds: int | None = None, screened: bool = True, others: Others = lambda trial: {}, **changes: Any
    ) -> Answer:
        spec = study_from({key: value for key, value in {**STUDY, **changes}.items() if value is not None})
        with Ledger(folder / f"{next(numbers)}.sqlite") as ledger:
            ledger.set_meta("spec", spec.model_dump_json())
            for trial in screen_trials(spec) if spec.screen and screened else []:
                write(ledger, trial, spec.metric, score(trial))
            results = ledger.screen_results(spec.metric) if spec.screen else []
            for trial in confirm_trials(spec, results) if spec.confirm else []:
                if seeds is None or trial.replicate < seeds:
                    write(ledger, trial, spec.metric, score(trial), others(trial))
            for trial in arm_trials(spec, "zoom", stage_arms(spec, "zoom", ledger)) if spec.zoom else []:
                write(ledger, trial, spec.metric, score(trial))
            for trial in arm_trials(spec, "test", stage_arms(spec, "test", ledger)) if spec.test else []:
                write(ledger, trial, metric_on_test(spec.metric), score(trial))
            return answer(ledger)

    return built


@pytest.fixture(scope="session")
def found(build: Build, peaked: Score) -> Answer:
    """A whole study in which gds helps and gradient_decay does nothing."""
    return build(peaked)


@pytest.fixture(scope="session")
def tested(build: Build, peaked: Score) -> Answer:
    """The same with a zoom and the test split."""
    return build(peaked, zoom={"points": 5, "seeds": 5}, test={"seeds": 5})


@pytest.fixture(scope="session")
def page(found: Answer) -> str:
    """Its report."""
    return render_report(found)
