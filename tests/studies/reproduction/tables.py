"""A table of a paper that is none, and ledgers of its studies written by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from studies.plan import PlannedTrial, screen_trials
from studies.reproduction.table import Table, table_from
from studies.workspace import study_files
from tests.studies import builders

TABLE: dict[str, Any] = {
    "name": "made-up",
    "title": "Losses on digits",
    "source": "Nobody, On Nothing, table 1",
    "uncertain": ["Nobody says how."],
    "study": {
        "datasets": ["digits"],
        "model": "mlp-8",
        "recipe": {"epochs": 2},
        "record": {"test": True},
        "screen": {"searcher": "grid", "seeds": 4},
    },
    "parts": {
        "plain": {"families": {"ce": {"label_smoothing": 0}}},
        "margins": {"families": {"cos_face": {"m": [0.1, 0.2], "s": 10}}},
    },
    "quick": ["recipe.epochs=1"],
    "metrics": ["test_accuracy", "class_margin"],
    "arms": [
        {"name": "CE", "part": "plain", "where": {"family": "ce"}, "paper": {"test_accuracy": 90.0}},
        {"name": "CosFace 0.1", "part": "margins", "where": {"cos_face.m": 0.1}, "paper": {"test_accuracy": 91.0}},
        {"name": "CosFace 0.2", "part": "margins", "where": {"cos_face.m": 0.2}},
    ],
    "claims": [
        {"says": "A margin helps", "metrics": ["test_accuracy"], "pairs": [["CosFace 0.1", "CE"]]},
        {"says": "A larger one harms", "metrics": ["test_accuracy"], "pairs": [["CosFace 0.2", "CE"]], "direction": "less"},
    ],
}
TRUTH = {"ce": 95.0, "0.1": 96.0, "0.2": 97.0}


def table(**changes: Any) -> Table:
    """The made-up table with some of its keys changed."""
    return table_from({**TABLE, **changes})


def accuracy(trial: PlannedTrial) -> float | None:
    """Higher by a point for each step of the margin; a seed moves all its cells alike, and each a little."""
    shape = TRUTH[str(trial.config.get("cos_face.m", "ce"))]
    return shape + builders.noise(trial.replicate, scale=0.5) + builders.noise(trial.key, scale=0.05)


def write(
    of: Table,
    workdir: Path,
    *,
    quick: bool = False,
    seeds: int | None = None,
    overrides: Sequence[str] = (),
    score: Callable[[PlannedTrial], float | None] = accuracy,
) -> Mapping[str, str]:
    """Write a ledger for each part, in which the last epoch has the score and the one before it half a point more on test."""
    names = {}
    for part, spec in of.specs(quick=quick, seeds=seeds, overrides=overrides).items():
        files = study_files(workdir, spec.name)
        files.directory.mkdir(parents=True)
        names[part] = spec.name
        with builders.new_ledger(files.ledger, spec) as ledger:
            ledger.set_meta("machine", "a machine")
            for trial in screen_trials(spec):
                value = score(trial)
                ledger.start(trial)
                if value is not None:
                    metrics = {"test_accuracy": value, "class_margin": 90.0}
                    steps = [{"step": step, "metrics": {"test_accuracy": float(step)}} for step in (1, 2, 3, 4)]
                    first = builders.epoch(1, {**metrics, "test_accuracy": value + 0.5}) | {"steps": steps}
                    ledger.report(trial.key, [first, builders.epoch(2, metrics)])
                ledger.end(trial.key, "diverged" if value is None else "finished")
    return names
