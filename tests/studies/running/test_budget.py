"""Studies with a budget on the real Ray, through the real command."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import ray

from margin_core.training.checkpoint import read_checkpoint
from studies.plan import screen_trials
from studies.progress import StudyDisplay
from studies.running.driver import BudgetReachedError, run_stages
from studies.spec import study_from
from studies.spending import spent
from studies.tracking.ledger import Ledger
from studies.workspace import study_files
from tests.studies import builders
from tests.studies.conftest import train
from tests.studies.running.test_run import read, run, write

pytestmark = pytest.mark.ray

STUDY: dict[str, Any] = {
    "name": "bounded",
    "datasets": ["digits"],
    "model": "mlp-16",
    "runner": "solo",
    "recipe": {"epochs": 6, "batch_size": 64},
    "nuisance": {"lr": [0.1, 0.2]},
    "families": {"ce": {"label_smoothing": 0}, "gds": {"lam": [0, 1]}},
    "screen": {"searcher": "grid"},
}


def trained_here(workdir: Path, study: dict[str, Any], trials: int | None = None) -> list[Any]:
    """The rows of the study's first trials, one after the other in this process."""
    spec = study_from(study)
    files = study_files(workdir, spec.name)
    files.directory.mkdir(parents=True)
    with builders.new_ledger(files.ledger, spec) as ledger:
        for planned in screen_trials(spec)[:trials]:
            train(ledger, files, spec, planned)
        return ledger.rows()


@pytest.mark.parametrize(
    ("budget", "told"),
    [
        ({"trials": 2}, "budget.trials is 2, and 2 trials have begun"),
        ({"hours": 1}, "budget.hours is 1, and the study has run for 2 hours"),
        ({"device_hours": 3}, "budget.device_hours is 3, and its trials have held devices for 4 hours"),
    ],
)
def test_a_study_whose_budget_was_used_up_by_earlier_runs_starts_nothing(tmp_path: Path, budget: dict[str, Any], told: str) -> None:
    trained_here(tmp_path, STUDY, 2)
    spec, files = study_from({**STUDY, "budget": budget}), study_files(tmp_path, "bounded")
    with Ledger(files.ledger) as ledger:
        ledger.set_meta("runs", json.dumps([{"started": 0.0, "seconds": 7200.0, "device_seconds": 14400.0}]))
        where = {"address": None, "data_root": None, "storage": None}
        with pytest.raises(BudgetReachedError, match=f"^{re.escape(told)}$"):
            run_stages(spec, ledger, files.directory, watcher=StudyDisplay(spec, None), **where)
        assert len(ledger.trials()) == 2
        assert spent(ledger).runs == 2
    assert not ray.is_initialized()


@pytest.mark.slow
def test_a_study_ends_in_order_when_its_trials_are_used_up_and_goes_on_when_it_is_given_more(tmp_path: Path) -> None:
    path = write(tmp_path, {**STUDY, "budget": {"trials": 4}})
    outcome = run("run", path, "--workdir", tmp_path)
    assert (outcome["complete"], outcome["stopped"], outcome["budget"]) == (False, "", "budget.trials is 4, and 4 trials have begun")
    with read(tmp_path, "bounded") as ledger:
        assert [trial.status for trial in ledger.trials()] == ["finished"] * 4
    told = run("status", "--workdir", tmp_path)
    assert told["ended_early"] == outcome["budget"]
    assert told["spent"]["runs"] == 1 and told["spent"]["device_hours"] > 0
    assert run("resume", "--workdir", tmp_path)["budget"] == outcome["budget"]  # without Ray: there is nothing to run
    more = run("run", path, "--workdir", tmp_path, "--set", "budget.trials=6")
    assert more["complete"] and more["budget"] == ""
    with read(tmp_path, "bounded") as ledger:
        assert [trial.attempts for trial in ledger.trials()] == [1] * 6
        assert ledger.rows() == trained_here(tmp_path / "here", STUDY)


@pytest.mark.slow
def test_running_trials_are_stopped_at_their_last_epoch_with_a_checkpoint_when_time_is_up_and_go_on_from_there(tmp_path: Path) -> None:
    study = {**STUDY, "recipe": {"epochs": 4000, "batch_size": 64}, "nuisance": {"lr": 0.1}, "families": {"gds": {"lam": 1}}}
    path = write(tmp_path, {**study, "budget": {"device_hours": 0.003}})
    outcome = run("run", path, "--workdir", tmp_path)
    assert outcome["budget"].startswith("budget.device_hours is 0.003, and its trials have held devices for 0.0")
    left_off = {}
    with read(tmp_path, "bounded") as ledger:
        for trial in ledger.trials():
            epochs = ledger.epochs(trial.key)
            if trial.status == "interrupted" and epochs:
                file = tmp_path / "bounded" / "checkpoints" / f"{trial.key}.pt"
                left_off[trial.key] = read_checkpoint(file, cell_id=trial.cell_id, study_seed=0, replicate=trial.seed)["epoch"]
                assert left_off[trial.key] >= epochs[-1]["epoch"]
                assert len(json.loads(file.with_suffix(".json").read_text())) == left_off[trial.key]
    assert left_off
    assert run("run", path, "--workdir", tmp_path, "--set", "budget.device_hours=1")["complete"]
    with read(tmp_path, "bounded") as ledger:
        assert ledger.rows() == trained_here(tmp_path / "here", study)
        for trial in ledger.trials():
            assert trial.attempts == (2 if trial.key in left_off else 1)
