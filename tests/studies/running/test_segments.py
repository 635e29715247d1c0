"""Trials that are run a segment at a time, as a worker runs them, without Ray: where each segment begins, and what it leaves."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from torch import distributed

from margin_core.data import DatasetConfig
from margin_core.knobs import Schedule
from margin_core.training import Cell, Recipe
from studies.plan import PlannedTrial, Segment
from studies.running.population import Settlement
from studies.running.trial_copies import TrialCopies, own_folder
from studies.running.trial_run import TrialRun, TrialSetting
from studies.storage import Storage
from studies.stored import CHECKPOINTS
from studies.tracking.ledger import Ledger
from tests.margin_core.training.together import in_processes
from tests.studies.running.test_population import Told


def cell(*jumps: tuple[float, float], processes: int = 1) -> Cell:
    lam = Schedule("path", 0.5, then=jumps) if jumps else 0.5
    return Cell(DatasetConfig("digits"), "mlp-8", "gds", {"lam": lam}, {}, Recipe(epochs=6, batch_size=256, processes=processes))


def run(cell: Cell, folder: Path, segment: Segment | None, storage: str | None = None) -> tuple[str, list[dict[str, Any]]]:
    """Run a trial or a segment of it to its end; how it ended, and the epochs that it reported."""
    folder.mkdir(exist_ok=True)
    setting = TrialSetting(0, str(folder), None, threads=1, device="cpu", metric="val_accuracy", every_epoch=False, keep_final=False)
    setting = TrialSetting(**{**vars(setting), "checkpoint_seconds": 0.0, "storage": storage, "study": "small"})
    trial, rows = TrialRun(PlannedTrial("screen", cell, {}, 1000, segment), setting), list[dict[str, Any]]()
    while (progress := trial.advance()).status == "running":
        rows += progress.rows
    return progress.status, rows + progress.rows


def measured(rows: list[dict[str, Any]]) -> list[tuple[int, dict[str, float]]]:
    return [(row["epoch"], row["metrics"]) for row in rows]


FIRST, SECOND, THIRD = cell(), cell((2 / 6, 1.5)), cell((2 / 6, 1.5), (4 / 6, 1.0))
BEGIN = Segment(0, 2, FIRST.cell_id)
COPY = Segment(2, 4, FIRST.cell_id)
COPY_OF_COPY = Segment(4, 6, SECOND.cell_id)


def test_segments_of_one_trial_after_another_are_the_last_ones_path_from_its_beginning(tmp_path: Path) -> None:
    expected = measured(run(THIRD, tmp_path / "whole", None)[1])
    assert [run(FIRST, tmp_path, BEGIN)[0], run(SECOND, tmp_path, COPY)[0]] == ["paused", "paused"]
    status, rows = run(THIRD, tmp_path, COPY_OF_COPY)
    assert status == "finished" and measured(rows) == expected
    assert [row["seconds"] > 0.0 for row in rows] == [False] * 4 + [True] * 2
    pauses = [f"screen-{some.cell_id}-1000.after-{end}" for some, end in ((FIRST, 2), (SECOND, 4))]
    assert sorted(path.name for path in tmp_path.glob("*.*")) == sorted(f"{pause}.{kind}" for pause in pauses for kind in ("pt", "json"))
    assert measured(run(FIRST, tmp_path, Segment(2, 4, FIRST.cell_id))[1]) == measured(run(FIRST, tmp_path / "first", Segment(0, 4, ""))[1])


@pytest.mark.parametrize("blow", ["lost", "torn", "history"])
def test_where_the_checkpoint_is_gone_the_path_is_trained_from_its_beginning(blow: str, tmp_path: Path) -> None:
    run(FIRST, tmp_path, BEGIN)
    expected = run(SECOND, tmp_path, COPY)[1]
    shutil.copytree(tmp_path, tmp_path / "again", ignore=shutil.ignore_patterns("again", f"*{SECOND.cell_id}*"))
    [checkpoint] = (tmp_path / "again").glob("*.pt")
    {"lost": checkpoint.unlink, "torn": lambda: checkpoint.write_bytes(b"torn"), "history": checkpoint.with_suffix(".json").unlink}[blow]()
    rows = run(SECOND, tmp_path / "again", COPY)[1]
    assert measured(rows) == measured(expected)
    assert all(row["seconds"] > 0.0 for row in rows)


def test_a_trial_that_is_ahead_of_what_is_asked_for_is_not_gone_on_with(tmp_path: Path) -> None:
    expected = measured(run(FIRST, tmp_path, BEGIN)[1])
    run(FIRST, tmp_path, Segment(2, 4, FIRST.cell_id))
    (tmp_path / f"screen-{FIRST.cell_id}-1000.after-4.pt").rename(tmp_path / f"screen-{FIRST.cell_id}-1000.pt")
    (tmp_path / f"screen-{FIRST.cell_id}-1000.after-4.json").rename(tmp_path / f"screen-{FIRST.cell_id}-1000.json")
    assert measured(run(FIRST, tmp_path, BEGIN)[1]) == expected


def test_nodes_hand_checkpoints_on_by_the_storage_and_a_generation_that_is_over_is_removed_there(tmp_path: Path) -> None:
    url, unseen = (tmp_path / "kept").as_uri(), tmp_path / "unseen"
    expected = measured(run(THIRD, tmp_path / "whole", None)[1])
    for some, segment in ((FIRST, BEGIN), (SECOND, COPY), (THIRD, COPY_OF_COPY)):
        if own_folder.cache_info().currsize:
            shutil.rmtree(own_folder())
        own_folder.cache_clear()
        status, rows = run(some, unseen, segment, url)
        assert list(Path(own_folder()).iterdir()) == []
    assert status == "finished" and measured(rows) == expected and list(unseen.iterdir()) == []
    kept = Storage(url, "small")
    pauses = {f"screen-{some.cell_id}-1000.after-{end}" for some, end in ((FIRST, 2), (SECOND, 4))}
    assert {*kept.names(CHECKPOINTS)} == {f"{pause}.{kind}" for pause in pauses for kind in ("pt", "json")}
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        settlement = Settlement(ledger, unseen, TrialCopies(url, "small"), Told())
        for some, end in ((FIRST, 2), (SECOND, 4)):
            settlement.clear(PlannedTrial("screen", some, {}, 1000), end)
    assert kept.names(CHECKPOINTS) == []


def by_two(folder: Path) -> list[tuple[str, list[dict[str, Any]]]]:
    first, second = cell(processes=2), cell((2 / 6, 1.5), processes=2)
    whole = run(second, folder / "whole", Segment(0, 4, second.cell_id))
    before = run(first, folder, Segment(0, 2, first.cell_id))
    distributed.barrier()  # the next segment is ordered when the first process has told of this one
    return [whole, before, run(second, folder, Segment(2, 4, first.cell_id))]


@pytest.mark.slow
def test_two_processes_go_on_together_from_the_checkpoint_of_another_trial(tmp_path: Path) -> None:
    (whole, first, second), _ = in_processes(2, by_two, tmp_path)
    assert [status for status, _ in (whole, first, second)] == ["paused"] * 3
    assert measured(second[1]) == measured(whole[1])
    assert [row["seconds"] > 0.0 for row in second[1]] == [False, False, True, True]
