"""A screen that trades metrics off: what it asks for, what its front is, and that verdicts know nothing of it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from search_spaces import Outcome
from studies.answer import answer
from studies.plan import PlannedTrial
from studies.reporting.report import render_report
from studies.running.driver import trial_source
from studies.spec import StudySpec
from studies.tracking.ledger import Ledger
from tests.studies.builders import TWO_DATASETS, new_ledger, study, write

METRICS = ("val_accuracy", "val_ece")
TRADED: dict[str, Any] = {
    "datasets": TWO_DATASETS,
    "confirm": None,
    "screen": {"searcher": "tpe", "trials": 10, "trade_off": ["val_ece"], "seeds": 2},
}


def measured(trial: PlannedTrial) -> dict[str, float]:
    draw = random.Random(trial.key)
    return {"val_accuracy": 80.0 + round(10 * draw.random()), "val_ece": round(draw.random(), 1)}


def screen(ledger: Ledger, spec: StudySpec) -> list[PlannedTrial]:
    """Run the screen; every seventh trial diverges, and every fifth was stopped."""
    source, ran = trial_source(spec, "screen", ledger), list[PlannedTrial]()
    while (trial := source.next()) is not None:
        ran.append(trial)
        status = "diverged" if len(ran) % 7 == 0 else "finished"
        write(ledger, trial, measured(trial), status)  # type: ignore[arg-type]
        values = measured(trial).values()
        source.tell(trial, Outcome(None) if status == "diverged" else Outcome.of(*values))
    return ran


def test_the_front_has_the_cells_with_all_seeds_that_no_other_of_the_dataset_beats_in_all_metrics(tmp_path: Path) -> None:
    spec = study(**TRADED)
    with new_ledger(tmp_path / "ledger.sqlite", spec) as ledger:
        ran = screen(ledger, spec)
        front = answer(ledger).front
        lost = {trial.cell.cell_id for trial in ran[6::7]}
    means: dict[tuple[str, str], tuple[float, float]] = {}
    for trial in ran:
        if trial.cell.cell_id not in lost:
            both = [measured(other) for other in ran if other.cell == trial.cell]
            accuracy, ece = (sum(metrics[name] for metrics in both) / 2 for name in METRICS)
            means[trial.dataset, trial.cell.cell_id] = accuracy, ece
    best = {
        key
        for key, (accuracy, ece) in means.items()
        if not any(
            other[0] == key[0] and theirs[0] >= accuracy and theirs[1] <= ece and theirs != (accuracy, ece)
            for other, theirs in means.items()
        )
    }
    assert {(row["dataset"], row["cell_id"]) for row in front.to_dict("records")} == best
    assert {row["dataset"] for row in front.to_dict("records")} == {"digits", "noisy"}
    assert set(front["seeds"]) == {2}


def test_the_report_and_the_verdicts_show_the_front_and_a_search_goes_on_from_its_record(tmp_path: Path) -> None:
    spec = study(**TRADED)
    with new_ledger(tmp_path / "ledger.sqlite", spec) as ledger:
        ran = screen(ledger, spec)
        assert trial_source(spec, "screen", ledger).exhausted
        larger = study(**{**TRADED, "screen": {**TRADED["screen"], "trials": 12}})
        assert len(screen(ledger, larger)) == 8
        found = answer(ledger)
    assert len(ran) == 40
    assert found.to_dict()["front"][0].keys() == {"dataset", "family", "setting", "cell_id", "seeds", *METRICS}
    page = render_report(found)
    assert "Trade-off on noisy" in page and "trading val_accuracy and val_ece off" in page


def test_a_study_that_trades_nothing_off_has_no_front(tmp_path: Path) -> None:
    spec = study(confirm=None)
    with new_ledger(tmp_path / "ledger.sqlite", spec) as ledger:
        screen(ledger, spec)
        found = answer(ledger)
    assert found.front.empty and "front" not in found.to_dict()
    assert "Trade-off" not in render_report(found)
