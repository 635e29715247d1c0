"""What is read from ledgers, printed and written to the page, and the command around it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from studies.plain_yaml import StudyFileError
from studies.plan import PlannedTrial
from studies.preflight import CallError
from studies.progress import StudyDisplay
from studies.reproduction import page, printed
from studies.reproduction.result import Result
from studies.reproduction.runs import find_result, run_table
from studies.reproduction.table import list_tables
from tests.studies.reproduction.tables import TABLE, accuracy, table, write
from tests.studies.test_cli import printed as said_to_people
from tests.studies.test_cli import refused, said


def result(workdir: Path) -> Result:
    found = find_result(table(), workdir)
    assert found is not None
    return found


def test_each_claim_is_held_against_paired_replicates(tmp_path: Path) -> None:
    write(table(), tmp_path)
    found = result(tmp_path)
    assert [finding.verdict for _, finding in found.findings] == ["reproduced", "not reproduced"]
    assert (found.verdict, found.changes, found.seeds, found.machine) == ("not reproduced", "", 4, "a machine")
    gain = found.findings[0][1].gain
    assert gain is not None and gain.n == 4 and gain.mean == pytest.approx(1.0, abs=0.2)
    assert printed.state(found) == "not reproduced (reproduced: 1, not reproduced: 1)"


def test_the_last_epoch_counts_and_the_best_on_test_is_a_column_of_its_own(tmp_path: Path) -> None:
    write(table(), tmp_path)
    figure = result(tmp_path).rows[0].figures[0]
    assert figure.ours is not None and figure.best_on_test == pytest.approx(figure.ours.mean + 0.5)
    head, first, *_ = printed.figure_rows(result(tmp_path))
    assert head == ["setting", "test_accuracy: paper", "ours", "ours, best epoch on test", "class_margin: paper", "ours"]
    assert first[0] == "CE" and first[1] == "90.00" and first[4:] == ["—", "90.00 [90.00, 90.00]"]


def test_a_replicate_that_diverged_is_told_and_leaves_its_pair(tmp_path: Path) -> None:
    def diverging(trial: PlannedTrial) -> float | None:
        return None if trial.cell.family == "ce" and trial.replicate == 1000 else accuracy(trial)

    write(table(), tmp_path, score=diverging)
    found = result(tmp_path)
    assert [row.lost for row in found.rows] == [1, 0, 0]
    assert [finding.gain and finding.gain.n for _, finding in found.findings] == [3, 3]
    assert printed.figure_rows(found)[1][0] == "CE (1 lost)"


def test_an_arm_of_which_nothing_is_left_decides_nothing(tmp_path: Path) -> None:
    write(table(), tmp_path, score=lambda trial: None if trial.cell.family == "ce" else accuracy(trial))
    found = result(tmp_path)
    assert [finding.verdict for _, finding in found.findings] == ["undecided", "undecided"]
    assert printed.figure_rows(found)[1] == ["CE (4 lost)", "90.00", "—", "—", "—", "—"]


def test_a_quick_run_is_called_shortened_and_says_how(tmp_path: Path) -> None:
    write(table(), tmp_path, quick=True)
    found = result(tmp_path)
    assert (found.verdict, found.changes) == ("shortened", "epochs 1 instead of 2")
    assert [row[-1] for row in printed.claim_rows(found)[1:]] == ["shortened: holds", "shortened: fails"]


def test_a_run_with_more_epochs_is_called_changed_and_reproduces_nothing(tmp_path: Path) -> None:
    write(table(), tmp_path, overrides=["recipe.epochs=3"])
    found = result(tmp_path)
    assert (found.verdict, found.changes) == ("changed", "epochs 3 instead of 2")
    assert [row[-1] for row in printed.claim_rows(found)[1:]] == ["changed: holds", "changed: fails"]
    assert printed.state(found) == "changed (holds: 1, fails: 1)"
    assert "Changed: epochs 3 instead of 2." in page.page([(table(), found)])


def test_fewer_seeds_shorten_nothing(tmp_path: Path) -> None:
    write(table(), tmp_path, seeds=3)
    assert (result(tmp_path).changes, result(tmp_path).seeds) == ("", 3)


def test_the_whole_protocol_goes_before_a_shortened_one_and_more_seeds_before_fewer(tmp_path: Path) -> None:
    write(table(), tmp_path, quick=True)
    write(table(), tmp_path, seeds=2)
    assert (result(tmp_path).changes, result(tmp_path).seeds) == ("", 2)
    write(table(), tmp_path, seeds=3)
    assert result(tmp_path).seeds == 3


def test_of_two_runs_that_are_not_whole_the_one_that_trained_longer_counts(tmp_path: Path) -> None:
    write(table(), tmp_path, overrides=["recipe.epochs=3"])
    assert result(tmp_path).changes == "epochs 3 instead of 2"
    write(table(), tmp_path, seeds=5, quick=True)
    assert (result(tmp_path).changes, result(tmp_path).seeds) == ("epochs 1 instead of 2", 5)


def test_a_run_that_has_ended_goes_before_a_longer_one_that_has_not(tmp_path: Path) -> None:
    write(table(), tmp_path, quick=True)
    names = write(table(), tmp_path)
    with sqlite3.connect(tmp_path / names["plain"] / "ledger.sqlite") as connection:
        connection.execute("UPDATE trials SET status = 'interrupted' WHERE seed = 1000")
    assert result(tmp_path).changes == "epochs 1 instead of 2"


def test_changes_that_leave_an_arm_without_its_cell_are_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(StudyFileError, match=r"^made-up: the arm 'CosFace 0.1' must be one cell of its study, it is 0$"):
        run_table(
            table(), workdir=tmp_path, display=lambda spec: pytest.fail("a study began"), overrides=["families.cos_face.m=[0.2, 0.3]"]
        )
    assert not list(tmp_path.iterdir())


def test_a_metric_within_the_training_is_the_mean_over_its_steps(tmp_path: Path) -> None:
    early = table(metrics=["test_accuracy@2-3"], arms=[{**arm, "paper": {}} for arm in TABLE["arms"]], claims=[])
    write(early, tmp_path)
    found = find_result(early, tmp_path)
    assert found is not None and found.verdict is None
    assert [row.figures[0].ours and row.figures[0].ours.mean for row in found.rows] == [2.5, 2.5, 2.5]


def test_an_unfinished_run_is_called_so(tmp_path: Path) -> None:
    write(table(), tmp_path, seeds=4)
    (ledger_file,) = tmp_path.glob("*.plain/ledger.sqlite")
    with sqlite3.connect(ledger_file) as connection:
        connection.execute("UPDATE trials SET status = 'interrupted' WHERE seed = 1000")
    assert printed.state(result(tmp_path)) == "unfinished (11 of 12 trials)"


def test_runs_of_another_releases_table_are_passed_over(tmp_path: Path) -> None:
    write(table(), tmp_path)
    changed = table(parts={**TABLE["parts"], "plain": {"families": {"ce": {"label_smoothing": 0}, "focal": {}}}})
    moved = [{**TABLE["arms"][0], "where": {"family": "focal", "focal.gamma": 2}}, *TABLE["arms"][1:]]
    assert find_result(changed, tmp_path) is not None
    assert find_result(table(arms=moved), tmp_path) is None


def test_a_table_of_which_a_part_is_missing_was_not_run(tmp_path: Path) -> None:
    names = write(table(), tmp_path)
    (tmp_path / names["plain"] / "ledger.sqlite").unlink()
    assert find_result(table(), tmp_path) is None


def test_the_page_tells_what_was_run_and_what_the_others_need(tmp_path: Path) -> None:
    write(table(), tmp_path, quick=True)
    other = table(name="another", missing=["a telescope"])
    text = page.page([(table(), result(tmp_path)), (other, None)])
    assert "| [made-up](#made-up) | Losses on digits (Nobody, On Nothing, table 1) | shortened (holds: 1, fails: 1) |" in text
    assert "| `another` | Losses on digits (Nobody, On Nothing, table 1) | not run: needs a telescope |" in text
    assert "Shortened: epochs 1 instead of 2." in text and "on a machine." in text and "- Nobody says how." in text
    assert "| A margin helps | CosFace 0.1 − CE | test_accuracy | +1.00 |" in text


def test_without_a_name_all_tables_are_listed_with_their_state(tmp_path: Path) -> None:
    rows = {row["table"]: row["state"] for row in said("reproduce", "--workdir", tmp_path, "--data-root", tmp_path)}
    assert sorted(rows) == list_tables()
    assert rows["tammes"] == "can be run here, also with --quick"
    assert all(state.startswith(("can be run here", "not run: needs ")) for state in rows.values())
    assert "can be run here" in said_to_people("reproduce", "--workdir", tmp_path)


def test_a_page_of_an_empty_work_directory_runs_nothing(tmp_path: Path) -> None:
    told = said("reproduce", "--workdir", tmp_path, "--write-page", tmp_path / "page.md")
    assert told == {"page": str(tmp_path / "page.md"), "tables": []}
    assert "| `tammes` |" in (tmp_path / "page.md").read_text()


def test_a_table_that_needs_what_is_not_here_is_not_run() -> None:
    told = "imbalance-cifar100: not run: needs a print whose columns can be told apart"
    assert refused("reproduce", "imbalance-cifar100").startswith(told)


def test_a_table_without_a_quick_form_is_not_shortened(tmp_path: Path) -> None:
    with pytest.raises(CallError, match="made-up has no quick form"):
        run_table(table(quick=[]), workdir=tmp_path, display=lambda spec: StudyDisplay(spec, None), quick=True)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_table_is_a_wrong_call() -> None:
    assert refused("reproduce", "tammse").startswith("no table is called 'tammse'; there are ")
