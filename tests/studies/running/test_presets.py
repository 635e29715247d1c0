"""The presets as they ship, whole: minutes each."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from studies.spec import read_study
from tests.studies.running.test_run import ended, finish, read, run, start, wait_until

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(3000)]


def test_quickstart_interrupted_after_a_third_and_resumed_ends_with_the_rows_of_an_unbroken_run(tmp_path: Path) -> None:
    begun = time.monotonic()
    call = ["run", "quickstart", "--set", "runner=solo", "--workdir"]  # whose numbers are the same to the last bit
    outcome = run(*call, tmp_path / "unbroken", timeout=1200)
    print(f"quickstart, unbroken: {time.monotonic() - begun:.0f} s")
    with read(tmp_path / "unbroken", "quickstart") as ledger:
        rows, trials = ledger.rows(), ledger.trials()
    process = start(*call, tmp_path / "broken", "--json")
    wait_until(lambda: ended(tmp_path / "broken", "quickstart") >= len(trials) / 3, process)
    os.killpg(process.pid, signal.SIGINT)
    finish(process, 130)
    with read(tmp_path / "broken", "quickstart") as ledger:
        assert len(ledger.rows()) < len(rows)
    resumed = run("resume", "--workdir", tmp_path / "broken", timeout=1200)
    with read(tmp_path / "broken", "quickstart") as ledger:
        assert ledger.rows() == rows
    print(f"quickstart, interrupted and resumed: {len(rows)} equal rows of {len(trials)} trials")
    assert resumed["verdicts"] == outcome["verdicts"]


@pytest.mark.data
def test_mnist_reaches_97_percent_in_every_trial(tmp_path: Path, data_root: Path) -> None:
    spec = read_study("mnist")
    outcome = run("run", "mnist", "--workdir", tmp_path, "--data-root", data_root, timeout=2400)
    assert outcome["complete"]
    with read(tmp_path, "mnist") as ledger:
        final = ledger.final_metrics()
    means = final.groupby("family")["val_accuracy"].agg(["min", "mean", "count"])
    print(means.to_string())
    assert set(final["family"]) == set(spec.families)
    assert final.groupby("cell_id")["seed"].nunique().eq(3).all()
    assert means["min"].min() >= 97.0
