"""Population based training on the real Ray Tune: that a member is its path trained from the beginning, also where the study was killed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from margin_core.knobs import Schedule
from margin_core.training import Cell, Trial
from studies.export import export_study
from studies.tracking.ledger import Ledger
from studies.workspace import study_files
from tests.studies.running.test_cluster import staged_rows
from tests.studies.running.test_faults import slay
from tests.studies.running.test_run import ended, finish, read, run, start, wait_until, write

pytestmark = [pytest.mark.ray, pytest.mark.slow]

STUDY: dict[str, Any] = {
    "name": "population",
    "datasets": ["digits", {"dataset": "digits", "label_noise": 0.2, "label": "noisy"}],
    "model": "mlp-16",
    "recipe": {"epochs": 6, "batch_size": 256, "ema": 0.9},
    "record": {"first_steps": 1},
    "families": {"gds": {"lam": {"low": 0, "high": 3}, "tau": 1}},
    "nuisance": {"lr": {"low": 0.05, "high": 0.5, "scale": "log"}},
    "screen": {"seeds": 2, "pbt": {"population": 4, "interval": 2, "exploit": 0.5}},
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The study, run without a break."""
    workdir = tmp_path_factory.mktemp("whole")
    return workdir, run("run", write(workdir, STUDY), "--workdir", workdir)


def from_scratch(ledger: Ledger, key: str) -> list[dict[str, float]]:
    """The metrics of a trial's epochs, trained here from its beginning."""
    record, torch_threads = ledger.trial(key), torch.get_num_threads()
    torch.set_num_threads(1)
    trial = Trial(Cell.from_dict(ledger.cell(record.cell_id)), study_seed=0, replicate=record.seed)
    metrics = [trial.run_epoch().metrics for _ in ledger.epochs(key)]
    torch.set_num_threads(torch_threads)
    return metrics


def test_every_trial_has_the_numbers_of_its_path_trained_from_the_beginning(whole: tuple[Path, dict[str, Any]]) -> None:
    workdir, outcome = whole
    assert outcome["complete"]
    with read(workdir, "population") as ledger:
        trials = ledger.trials("screen")
        assert {trial.status for trial in trials} == {"finished", "stopped"}
        assert [trial.status for trial in trials].count("finished") == 2 * 2 * 4
        paths = [trial for trial in trials if any(name.endswith(".then") for name in trial.config)]
        assert len(paths) == 2 * 2 * (2 + 2) and all(len(ledger.epochs(trial.key)) in (4, 6) for trial in paths)
        for trial in [trial for trial in paths if trial.dataset == "noisy"][:6]:
            rows = ledger.epochs(trial.key)
            assert [row["metrics"] for row in rows] == from_scratch(ledger, trial.key)
            began = next(number for number, row in enumerate(rows) if row["seconds"] > 0.0)
            assert began in (2, 4)
            if "gds.lam.then" in trial.config:
                assert ledger.steps(trial.key)[0]["metrics"]["knob.lam"] == trial.config["gds.lam.start"]


def test_the_best_path_is_reported_and_exported_and_no_other_checkpoint_is_kept(whole: tuple[Path, dict[str, Any]]) -> None:
    workdir, outcome = whole
    files, winners = study_files(workdir, "population"), {winner["dataset"]: winner for winner in outcome["winners"]}
    kept = {f"screen-{winner['cell_id']}-{seed}" for winner in winners.values() for seed in (1000, 1001)}
    assert {path.name.partition(".")[0] for path in files.checkpoints.iterdir()} == kept
    assert winners["noisy"]["setting"].partition(" = ")[2] in files.report.read_text()
    written = export_study(files, data_root=None, dataset="noisy")["noisy"]
    config, loss = (yaml.safe_load((written / f"{name}.yaml").read_text()) for name in ("config", "loss"))
    cell = Cell.from_dict(config["cell"])
    assert cell.to_dict() == config["cell"] and cell.cell_id == winners["noisy"]["cell_id"]
    lam = cell.knobs["lam"]
    assert loss["knobs"]["lam"] == (lam.value(1.0) if isinstance(lam, Schedule) else lam)


@pytest.mark.faults
def test_a_screen_whose_driver_is_killed_again_and_again_has_the_rows_of_one_that_was_not(
    whole: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    workdir, _ = whole
    path, checkpoints = write(tmp_path, STUDY), tmp_path / "population" / "checkpoints"
    for goal in (1, 5, 12, 17):
        process = start(*(("run", path) if goal == 1 else ("resume", "population")), "--workdir", tmp_path)
        wait_until(lambda goal=goal: ended(tmp_path, "population") >= goal, process)  # type: ignore[misc]
        time.sleep(0.1 * (goal % 7))
        slay(process)
        for checkpoint in [*checkpoints.glob("*.pt")][::3]:  # some are lost, and some are torn
            checkpoint.unlink() if goal % 2 else checkpoint.write_bytes(b"torn")
    finish(start("resume", "population", "--workdir", tmp_path, "--json"), 0)
    with read(tmp_path, "population") as ledger, read(workdir, "population") as expected:
        assert staged_rows(ledger) == staged_rows(expected)
        assert {(trial.key, trial.status) for trial in ledger.trials()} == {(trial.key, trial.status) for trial in expected.trials()}
