"""The MLflow mirror on a real store, MLflow's own SQLite file; servers, and what may go wrong with them, are in `test_outages`."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from studies.plan import screen_trials
from studies.tracking.address import embedded_uri
from studies.tracking.asking import connect, milliseconds
from studies.tracking.ledger import Ledger
from studies.tracking.mlflow_mirror import MlflowMirror
from tests.studies import builders

SPEC = builders.study(screen={"searcher": "sobol", "trials": 3, "seeds": 2}, confirm=None)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A screen of three cells with two seeds each: one trial diverged, one was cut short."""
    ledger = builders.new_ledger(tmp_path / "ledger.sqlite", SPEC)
    ledger.set_meta("study_id", "one")
    for place, trial in enumerate(screen_trials(SPEC)):
        ledger.start(trial)
        rows = [builders.epoch(number, {"val_accuracy": 90.0 + number + place, "val_nll": 0.1}) for number in (1, 2, 3)]
        if place == 1:
            rows[-1]["metrics"]["val_accuracy"] = math.nan
        rows[0] |= {"class_counts": [place, 7]} | ({"phase": place} if place else {})
        ledger.report(trial.key, rows[: 2 if place == 5 else 3])
        ledger.end(trial.key, {1: "diverged", 5: "interrupted"}.get(place, "finished"), "not finite" if place == 1 else "")
    return ledger


def mirror(ledger: Ledger, tmp_path: Path, *, complete: bool = True) -> str:
    return MlflowMirror(ledger.path, SPEC, uri=embedded_uri(tmp_path), workdir=tmp_path).finish(complete=complete)


def runs(uri: str) -> list[Any]:
    client = connect(uri)
    experiment = client.get_experiment_by_name(SPEC.name)
    return [] if experiment is None else list(client.search_runs([experiment.experiment_id], max_results=1000))


def by_key(uri: str) -> dict[str, Any]:
    found = runs(uri)
    keyed = {run.data.tags["key"]: run for run in found}
    assert len(keyed) == len(found), "a key was sent twice"
    return keyed


def test_the_mirror_holds_what_the_ledger_holds(ledger: Ledger, tmp_path: Path) -> None:
    assert mirror(ledger, tmp_path) == ""
    uri = embedded_uri(tmp_path)
    found, trials = by_key(uri), ledger.trials()
    assert len(found) == 1 + len(trials) + len({trial.cell_id for trial in trials})
    for trial in trials:
        run = found[trial.key]
        assert run.data.tags["status"] == trial.status
        assert run.info.status == {"finished": "FINISHED", "diverged": "FAILED", "interrupted": "KILLED"}[trial.status]
        assert run.data.tags["train_class_counts"] == str(ledger.class_counts(trial.key))
        assert run.data.tags.get("phase", "0") == str(trial.phase)
        assert run.data.params == {name: str(value) for name, value in trial.config.items()}
        history = connect(uri).get_metric_history(run.info.run_id, "val_accuracy")
        sent = {point.step: point.value for point in history}
        kept = {row["epoch"]: row["metrics"]["val_accuracy"] for row in ledger.epochs(trial.key)}
        assert {step: str(value) for step, value in sent.items()} == {step: str(value) for step, value in kept.items()}
    [study] = [run for run in found.values() if run.data.tags["kind"] == "study"]
    assert study.info.status == "FINISHED"
    summaries = [run for run in found.values() if run.data.tags["kind"] == "cell"]
    assert sorted(run.data.metrics["n_seeds"] for run in summaries) == [1, 1, 2]
    assert sorted(run.data.metrics["n_lost"] for run in summaries) == [0, 0, 1]
    assert sum("val_accuracy_ci_low" in run.data.metrics for run in summaries) == 1


def test_the_run_of_a_cell_lasts_as_long_as_its_trials_of_the_stage(ledger: Ledger, tmp_path: Path) -> None:
    confirmed = replace(screen_trials(SPEC)[0], stage="confirm")
    time.sleep(0.05)  # MLflow counts milliseconds
    ledger.start(confirmed)
    ledger.report(confirmed.key, [builders.epoch(1, {"val_accuracy": 90.0})])
    ledger.end(confirmed.key, "finished")
    mirror(ledger, tmp_path)
    found = by_key(embedded_uri(tmp_path))
    for stage in ("screen", "confirm"):
        run = found[f"{stage}-{confirmed.cell.cell_id}"].info
        trials = [trial for trial in ledger.trials(stage) if trial.cell_id == confirmed.cell.cell_id]
        assert run.start_time == milliseconds(min(trial.started for trial in trials))
        assert run.end_time == milliseconds(max(trial.ended for trial in trials if trial.ended))


def test_mirroring_again_sends_only_what_is_new_and_steps_under_a_name_of_their_own(ledger: Ledger, tmp_path: Path) -> None:
    mirror(ledger, tmp_path, complete=False)
    before = by_key(embedded_uri(tmp_path))
    trial = screen_trials(SPEC)[5]
    ledger.start(trial)
    steps = [{"step": step, "metrics": {"val_accuracy": float(step)}} for step in (51, 60)]
    ledger.report(trial.key, [{**builders.epoch(3, {"val_accuracy": 98.0}), "steps": steps}])
    ledger.end(trial.key, "finished")
    assert mirror(ledger, tmp_path) == ""
    after = by_key(embedded_uri(tmp_path))
    assert {key: run.info.run_id for key, run in after.items()} == {key: run.info.run_id for key, run in before.items()}
    assert after[trial.key].info.status == "FINISHED"
    assert after[trial.key].data.metrics["val_accuracy"] == 98.0
    by_step = connect(embedded_uri(tmp_path)).get_metric_history(after[trial.key].info.run_id, "by_step/val_accuracy")
    assert [(point.step, point.value) for point in by_step] == [(51, 51.0), (60, 60.0)]
    assert after[f"screen-{trial.cell.cell_id}"].data.metrics["n_seeds"] == 2


def test_a_driver_killed_before_it_noted_what_it_had_sent_sends_nothing_twice(ledger: Ledger, tmp_path: Path) -> None:
    mirror(ledger, tmp_path)
    before = by_key(embedded_uri(tmp_path))
    ledger._connection.execute("DELETE FROM sent")
    assert mirror(ledger, tmp_path) == ""
    after = by_key(embedded_uri(tmp_path))
    assert {key: run.info.run_id for key, run in after.items()} == {key: run.info.run_id for key, run in before.items()}
    client = connect(embedded_uri(tmp_path))
    for trial in ledger.trials():
        assert len(client.get_metric_history(after[trial.key].info.run_id, "val_nll")) == len(ledger.epochs(trial.key))


def test_two_studies_of_one_name_share_a_store_without_mixing(ledger: Ledger, tmp_path: Path) -> None:
    mirror(ledger, tmp_path)
    with builders.new_ledger(tmp_path / "other.sqlite", SPEC) as other:
        other.set_meta("study_id", "two")
        builders.write_screen(other, SPEC, builders.accuracy)
        assert mirror(other, tmp_path) == ""
    found = runs(embedded_uri(tmp_path))
    assert sum(run.data.tags["kind"] == "study" for run in found) == 2
    assert sum(run.data.tags["kind"] == "replicate" for run in found) == 12


def test_more_epochs_than_one_batch_takes_all_arrive(tmp_path: Path) -> None:
    with builders.new_ledger(tmp_path / "long.sqlite", SPEC) as long:
        long.set_meta("study_id", "long")
        trial = screen_trials(SPEC)[0]
        long.start(trial)
        long.report(trial.key, [builders.epoch(number, {"val_accuracy": 50.0, "val_nll": 1.0, "val_ece": 0.1}) for number in range(1, 801)])
        long.end(trial.key, "finished")
        assert mirror(long, tmp_path) == ""
        run = by_key(embedded_uri(tmp_path))[trial.key]
        client = connect(embedded_uri(tmp_path))
        assert len(client.get_metric_history(run.info.run_id, "val_ece")) == 800
