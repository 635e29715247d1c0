"""Going on, extending and branching, on ledgers that the real plan and the real calls write; the metrics alone are made up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from search_spaces import Outcome
from studies.answer import answer, open_answer
from studies.branching import take_over
from studies.claim import check_claim, claim, recorded_study
from studies.cli import app
from studies.plan import PlannedTrial, screen_trials
from studies.reporting.notes import notes
from studies.reporting.tables import history_rows
from studies.running.driver import trial_source
from studies.spec import StudySpec
from studies.tracking.ledger import Ledger
from studies.tracking.records import LedgerError
from studies.workspace import StudyError, StudyFiles, study_files
from tests.studies.builders import STUDY, TWO_DATASETS, WITHOUT_SCREEN, accuracy, study, write

MORE_SEEDS: dict[str, Any] = {"confirm": {**STUDY["confirm"], "seeds": 5}}


def run(workdir: Path, spec: StudySpec, parent: str | None = None, *, score: Any = accuracy, stop_after: int = 10**9) -> list[str]:
    """Run what is missing of a study as the driver does, stage by stage, with a made-up metric; the keys of what ran."""
    files = study_files(workdir, spec.name)
    files.directory.mkdir(exist_ok=True)
    ran: list[str] = []
    with Ledger(files.ledger) as ledger:
        claim(ledger, spec, None if parent is None else study_files(workdir, parent))
        for stage in [stage for stage in ("screen", "confirm") if getattr(spec, stage) is not None]:
            take_over(spec, stage, ledger, files)  # type: ignore[arg-type]
            source = trial_source(spec, stage, ledger)  # type: ignore[arg-type]
            while len(ran) < stop_after and (trial := source.next()) is not None:
                write(ledger, trial, {"val_accuracy": score(trial)})
                source.tell(trial, Outcome.of(score(trial)))
                ran.append(trial.key)
    return ran


def records(workdir: Path, name: str = "small") -> dict[str, float]:
    with Ledger(workdir / name / "ledger.sqlite", read_only=True) as ledger:
        return {trial.key: trial.started for trial in ledger.trials()}


def measured(workdir: Path, name: str = "small") -> Any:
    """What a study measured of each curve; how it is judged depends on how often it was looked at."""
    curves = open_answer(workdir / name).curves
    cells = [[(cell.value, cell.mean, cell.finished, cell.failed) for cell in curve.verdict.cells] for curve in curves]
    named = [(curve.dataset, curve.family, curve.held, curve.contender and curve.contender.summary) for curve in curves]
    return named, cells


@pytest.mark.parametrize("searcher", ["sobol", "tpe"])
def test_an_extended_study_keeps_what_it_has_and_ends_like_one_that_was_so_from_the_start(tmp_path: Path, searcher: str) -> None:
    screen = {"searcher": searcher, "trials": 18}
    (tmp_path / "once").mkdir()
    first = run(tmp_path, study(screen=screen))
    before = records(tmp_path)
    larger = study(screen=screen, datasets=TWO_DATASETS, **MORE_SEEDS)
    added = run(tmp_path, larger)
    assert not {*first} & {*added}
    assert before.items() <= records(tmp_path).items()
    assert run(tmp_path, larger) == []
    run(tmp_path / "once", larger)
    assert records(tmp_path).keys() - records(tmp_path / "once").keys() == set()
    assert measured(tmp_path) == measured(tmp_path / "once")


def test_each_extension_is_recorded_with_what_it_changed_and_shown(tmp_path: Path) -> None:
    ran = run(tmp_path, study())
    run(tmp_path, study(**MORE_SEEDS))
    run(tmp_path, study(**MORE_SEEDS, alpha=0.1))
    run(tmp_path, study(**MORE_SEEDS, alpha=0.1))
    found = open_answer(tmp_path / "small")
    assert [(change.kind, [str(line) for line in change.differences]) for change in found.history] == [
        ("extended", ["confirm.seeds: was 3, is 5"]),
        ("extended", ["alpha: was 0.05, is 0.1"]),
    ]
    assert found.history[0].ended == len(ran)
    assert history_rows(found)[0][1:] == ("extended", f"{len(ran)}", ["confirm.seeds: was 3, is 5"])
    assert any(note.startswith("Extended 2 times after trials had ended") for note in notes(found))
    assert [change["kind"] for change in found.to_dict()["history"]] == ["extended", "extended"]


def test_going_on_with_other_versions_of_packages_is_recorded(tmp_path: Path) -> None:
    run(tmp_path, study(), stop_after=3)
    with Ledger(tmp_path / "small" / "ledger.sqlite") as ledger:
        environment = json.loads(ledger.meta("environment") or "{}")
        ledger.set_meta("environment", json.dumps({**environment, "torch": "1.0"}))
    run(tmp_path, study())
    (change,) = open_answer(tmp_path / "small").history
    assert (change.kind, change.ended) == ("continued", 3)
    assert [str(line) for line in change.differences] == [f"environment.torch: was 1.0, is {environment['torch']}"]


def test_a_change_that_would_mix_studies_is_refused_line_by_line_with_the_ways_out(tmp_path: Path) -> None:
    run(tmp_path, study())
    changed = study(recipe={"epochs": 2}, seed=7, **MORE_SEEDS)
    with pytest.raises(StudyError) as caught:
        check_claim(changed, study_files(tmp_path, "small"))
    assert str(caught.value).splitlines() == [
        f"{tmp_path / 'small'} holds a study of this name, and with this study file it would mix trials that do not belong together:",
        "  seed: was 0, is 7",
        "  recipe.epochs: was 1, is 2",
        "give the study another name with --set name=... or another --workdir, or make it a branch, which takes over the trials that are "
        "the same in both: --branch NAME",
    ]
    before = records(tmp_path)
    with pytest.raises(StudyError):
        run(tmp_path, changed)
    assert (records(tmp_path), open_answer(tmp_path / "small").history) == (before, ())


def lift(*cells: str) -> Any:
    """The usual accuracy, with some cells lifted in the screen, so that it chooses them."""
    return lambda trial: accuracy(trial) + (50.0 if trial.stage == "screen" and trial.cell.cell_id in cells else 0.0)


def only_in(now: StudySpec, was: StudySpec) -> list[PlannedTrial]:
    """The trials of gds that only the longer screen has."""
    known = {trial.key for trial in screen_trials(was)}
    return [trial for trial in screen_trials(now) if trial.key not in known and trial.cell.family == "gds"]


def test_a_choice_of_an_extended_screen_that_was_on_the_curve_is_not_called_made_beforehand(tmp_path: Path) -> None:
    grid = {"screen": {"searcher": "grid"}, "regularizers": {}, "nuisance": {"lr": 0.1}}
    grid["families"] = {"ce": {"label_smoothing": 0}, "gds": {"lam": [1], "tau": 1}}
    confirm = {"families": 1, "seeds": 3, "values": {"gds": [0, 1, 2]}}
    was = study(**grid, confirm=confirm)
    run(tmp_path, was)
    (curve,) = open_answer(tmp_path / "small").curves
    assert curve.contender is not None and curve.contender.chosen_before and curve.contender.setting == "λ = 1"
    assert curve.verdict.gain is not None
    now = study(**{**grid, "families": {**grid["families"], "gds": {"lam": [1, 2], "tau": 1}}}, confirm=confirm)
    (late,) = only_in(now, was)
    assert run(tmp_path, now, score=lift(late.cell.cell_id)) == [late.key]
    (curve,) = open_answer(tmp_path / "small").curves
    assert curve.contender is not None and not curve.contender.chosen_before and curve.contender.setting == "λ = 2"
    assert curve.verdict.gain is None


def test_what_an_extended_screen_no_longer_chooses_stays_and_counts_nowhere(tmp_path: Path) -> None:
    was, now = study(), study(screen={"searcher": "sobol", "trials": 40})
    first = {key for key in run(tmp_path, was) if key.startswith("confirm")}
    late = next(trial for trial in only_in(now, was) if f"confirm-{trial.cell.cell_id}-0" not in first)
    ran = run(tmp_path, now, score=lift(late.cell.cell_id))
    assert f"confirm-{late.cell.cell_id}-0" in ran
    found = open_answer(tmp_path / "small")
    gds = next(curve for curve in found.curves if curve.family == "gds")
    assert gds.contender is not None and gds.contender.cell_id == late.cell.cell_id
    assert gds.contender.chosen_before  # this very cell had not been measured before
    assert found.superseded > 0
    assert first <= records(tmp_path).keys()
    assert any("no longer chooses" in note for note in notes(found))


def test_a_branch_takes_over_what_is_the_same_and_runs_the_rest(tmp_path: Path) -> None:
    run(tmp_path, study())
    (tmp_path / "small" / "examples").mkdir()
    for key in records(tmp_path):
        (tmp_path / "small" / "examples" / f"{key}.npz").write_text(key)
    spec = study(name="other", metric="val_accuracy", confirm={**STUDY["confirm"], "values": {"gds": [0.5, 1], "cos_face": [0.1]}})
    ran = run(tmp_path, spec, "small")
    child, parent = records(tmp_path, "other"), records(tmp_path)
    shared = child.keys() - {*ran}
    assert shared == child.keys() & parent.keys()
    assert all(key.startswith("confirm") for key in ran) and ran
    assert {key: child[key] for key in shared} == {key: parent[key] for key in shared}
    assert {path.stem for path in (tmp_path / "other" / "examples").iterdir()} == shared
    with Ledger(tmp_path / "other" / "ledger.sqlite", read_only=True) as ledger:
        assert {trial.key for trial in ledger.trials() if trial.copied_from == "small"} == shared
        with Ledger(tmp_path / "small" / "ledger.sqlite", read_only=True) as origin:
            assert {*map(str, ledger.rows())} & {*map(str, origin.rows())}
    found = open_answer(tmp_path / "other")
    assert (found.parent, found.copied, found.to_dict()["branch_of"]) == ("small", len(shared), "small")
    assert [line.key for line in found.history[0].differences] == ["confirm.values.gds", "confirm.values.cos_face"]
    assert notes(found)[0] == f"A branch of small: {len(shared)} trials ran there and not here."


@pytest.mark.parametrize(
    "change", [{"seed": 3}, {"recipe": {"epochs": 2}}, {"record": {"train": True}}, {"resources": {"cpu": 2}}, {"model": "mlp-9"}]
)
def test_a_branch_whose_numbers_would_be_others_takes_nothing_over(tmp_path: Path, change: dict[str, Any]) -> None:
    run(tmp_path, study(**WITHOUT_SCREEN))
    spec = study(**{**WITHOUT_SCREEN, **change, "name": "other"})
    assert len(run(tmp_path, spec, "small")) == len(records(tmp_path))
    assert open_answer(tmp_path / "other").copied == 0


@pytest.mark.parametrize(
    ("change", "copied"),
    [
        ({"confirm": None}, True),
        ({"screen": {"searcher": "tpe", "trials": 25}, "confirm": None}, True),
        ({"screen": {"searcher": "tpe", "trials": 10}, "confirm": None}, False),
        ({"nuisance": {"lr": [0.05, 0.1, 0.2]}, "confirm": None}, False),
        ({"screen": {"searcher": "tpe", "trials": 18, "asha": {}}, "confirm": None}, False),
        ({"screen": {"searcher": "sobol", "trials": 18}, "confirm": None, "metric": "val_nll", "sesoi": 1.0}, False),
    ],
)
def test_a_search_that_learns_is_taken_over_whole_or_not_at_all(tmp_path: Path, change: dict[str, Any], copied: bool) -> None:
    was = study(screen={"searcher": "tpe", "trials": 18})
    run(tmp_path, was)
    screened = {key for key in records(tmp_path) if key.startswith("screen")}
    spec = study(**{"screen": {"searcher": "tpe", "trials": 18}, **change, "name": "other"})
    run(tmp_path, spec, "small", stop_after=0)
    assert set(records(tmp_path, "other")) == (screened if copied else set())


def test_a_trial_that_failed_in_the_parent_is_tried_again_in_the_branch(tmp_path: Path) -> None:
    spec = study(**WITHOUT_SCREEN)
    files = study_files(tmp_path, "small")
    files.directory.mkdir()
    with Ledger(files.ledger) as ledger:
        claim(ledger, spec)
        statuses = ["failed", "diverged", "interrupted"]
        source = trial_source(spec, "confirm", ledger)
        for status in statuses:
            trial = source.next()
            assert trial is not None
            write(ledger, trial, {"val_accuracy": 1.0}, status)  # type: ignore[arg-type]
    run(tmp_path, study(**{**WITHOUT_SCREEN, "name": "other", **MORE_SEEDS}), "small", stop_after=0)
    with Ledger(tmp_path / "other" / "ledger.sqlite", read_only=True) as ledger:
        assert [trial.status for trial in ledger.trials()] == ["diverged"]


@pytest.mark.parametrize(
    ("spec", "parent", "message"),
    [
        (study(), "small", "--branch must be another name than the study's own, got 'small'"),
        (study(name="other"), "small", "nothing differs from the study 'small', which goes on without --branch"),
        (study(name="other", seed=1), "nowhere", "there is no study 'nowhere' in {} to branch from"),
        (study(name="taken", seed=1), "small", "{}/taken holds a study that is no branch of small; give the branch another name"),
    ],
)
def test_what_can_be_no_branch_is_refused(tmp_path: Path, spec: StudySpec, parent: str, message: str) -> None:
    run(tmp_path, study(), stop_after=1)
    run(tmp_path, study(name="taken", seed=1), stop_after=1)
    with pytest.raises(StudyError) as caught:
        check_claim(spec, study_files(tmp_path, spec.name), study_files(tmp_path, parent))
    assert str(caught.value) == message.format(tmp_path)


def test_a_branch_whose_parent_is_gone_goes_on_only_after_it_has_taken_over(tmp_path: Path) -> None:
    for name in ("first", "second"):
        run(tmp_path, study(**WITHOUT_SCREEN))
        spec = study(**{**WITHOUT_SCREEN, "name": name, **MORE_SEEDS})
        if name == "first":
            run(tmp_path, spec, "small", stop_after=1)
        else:
            (tmp_path / name).mkdir()
            with Ledger(tmp_path / name / "ledger.sqlite") as ledger:
                claim(ledger, spec, study_files(tmp_path, "small"))
    (tmp_path / "small").rename(tmp_path / "moved")
    assert run(tmp_path, study(**{**WITHOUT_SCREEN, "name": "first", **MORE_SEEDS}))
    with pytest.raises(LedgerError) as caught:
        run(tmp_path, study(**{**WITHOUT_SCREEN, "name": "second", **MORE_SEEDS}))
    assert str(caught.value) == f"second is a branch of small, which is not in {tmp_path / 'small'}; bring it back to go on"
    assert records(tmp_path, "second") == {}


EXTEND = """
import json, sys
from pathlib import Path
from studies.spec import study_from
from tests.studies.builders import accuracy
from tests.studies.test_branching import run

def told(trial):
    print(trial.key, flush=True)
    sys.stdin.readline()  # it is let go on so often and no further, however late the blow comes
    return accuracy(trial)

run(Path(sys.argv[1]), study_from(json.loads(sys.argv[2])), score=told)
"""


@pytest.mark.faults
def test_a_study_that_is_killed_while_it_is_extended_ends_like_one_that_was_so_from_the_start(tmp_path: Path) -> None:
    (tmp_path / "once").mkdir()
    first = run(tmp_path, study())
    larger = study(datasets=TWO_DATASETS, screen={"searcher": "sobol", "trials": 30}, **MORE_SEEDS)
    for blow in (1, 20, 90):  # lines; in the screen, and in the confirm stage
        command = [sys.executable, "-c", EXTEND, str(tmp_path), json.dumps(larger.model_dump(mode="json"))]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        ) as extending:
            assert extending.stdin is not None and extending.stdout is not None
            extending.stdin.write("\n" * blow)
            extending.stdin.flush()
            assert all(extending.stdout.readline() for _ in range(blow))
            extending.send_signal(signal.SIGKILL)
        assert extending.returncode == -signal.SIGKILL
    with Ledger(tmp_path / "small" / "ledger.sqlite") as ledger:
        ledger.interrupt_running()
    with Ledger(tmp_path / "small" / "ledger.sqlite", read_only=True) as ledger:
        spec = recorded_study(ledger)
    assert spec == larger
    run(tmp_path, spec)
    run(tmp_path / "once", larger)
    assert {*first} <= records(tmp_path).keys()
    assert records(tmp_path / "once").keys() <= records(tmp_path).keys()
    assert measured(tmp_path) == measured(tmp_path / "once")
    assert [change.kind for change in open_answer(tmp_path / "small").history] == ["extended"]


@pytest.mark.slow
def test_mlflow_shows_where_a_branch_comes_from_and_which_trials_ran_there(tmp_path: Path) -> None:
    from studies.tracking.mlflow_mirror import MlflowMirror, connect, embedded_uri

    run(tmp_path, study(**WITHOUT_SCREEN), stop_after=2)
    spec = study(**{**WITHOUT_SCREEN, "name": "other", "alpha": 0.1})
    run(tmp_path, spec, "small", stop_after=1)
    with Ledger(tmp_path / "small" / "ledger.sqlite", read_only=True) as ledger:
        identity = ledger.meta("study_id")
    uri = embedded_uri(tmp_path)
    assert MlflowMirror(tmp_path / "other" / "ledger.sqlite", spec, uri=uri, workdir=tmp_path).finish(complete=False) == ""
    client = connect(uri)
    experiment = client.get_experiment_by_name("other")
    assert experiment is not None
    tags = [run.data.tags for run in client.search_runs([experiment.experiment_id])]
    (shown,) = [entry for entry in tags if entry["kind"] == "study"]
    assert (shown["branch_of"], shown["branch_of_id"]) == ("small", identity)
    assert shown["changes"].endswith("alpha: was 0.05, is 0.1")
    copied = [entry.get("copied_from") for entry in tags if entry["kind"] == "replicate"]
    assert sorted(copied, key=str) == [None, "small", "small"]


BRANCH = """
import sys
from pathlib import Path
from studies.branching import take_over
from studies.spec import study_from
from studies.claim import recorded_study
from studies.tracking.ledger import Ledger
from studies.workspace import StudyFiles

files = StudyFiles(Path(sys.argv[1]))
print("begun", flush=True)
with Ledger(files.ledger) as ledger:
    take_over(recorded_study(ledger), "confirm", ledger, files)
print("over", flush=True)
"""


def _copied(files: StudyFiles) -> int:
    return len(list(files.examples.glob("*.npz"))) if files.examples.is_dir() else 0


@pytest.mark.faults
def test_a_branch_that_is_killed_while_it_copies_is_whole_when_it_goes_on(tmp_path: Path) -> None:
    was = study(**{**WITHOUT_SCREEN, "confirm": {**STUDY["confirm"], "seeds": 100}})
    run(tmp_path, was)
    parent = StudyFiles(tmp_path / "small")
    parent.examples.mkdir()
    for key in records(tmp_path):
        (parent.examples / f"{key}.npz").write_bytes(os.urandom(20000))
    spec = study(**{**WITHOUT_SCREEN, "name": "other", "confirm": {**STUDY["confirm"], "seeds": 101}})
    files = StudyFiles(tmp_path / "other")
    files.directory.mkdir()
    with Ledger(files.ledger) as ledger:
        claim(ledger, spec, parent)
    whole = len(records(tmp_path))
    states: list[tuple[int, int]] = []
    for share in (0.05, 0.4, 0.8, 1.0):  # the last blow falls while the ledger is written, after the files
        command = [sys.executable, "-c", BRANCH, str(files.directory)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        ) as copier:
            assert copier.stdout is not None
            copier.stdout.readline()
            until = time.monotonic() + 60
            while _copied(files) < share * whole and copier.poll() is None and time.monotonic() < until:
                time.sleep(0.001)
            copier.send_signal(signal.SIGKILL)
        states.append((_copied(files), len(records(tmp_path, "other"))))
    assert all(rows in (0, whole) for _, rows in states), states
    assert 0 < states[0][0] < whole and states[0][1] == 0
    ran = run(tmp_path, spec)
    assert len(ran) == whole // 100
    assert len(records(tmp_path, "other")) == whole + len(ran)
    assert _copied(files) == whole
    for key in records(tmp_path):
        assert (files.examples / f"{key}.npz").read_bytes() == (parent.examples / f"{key}.npz").read_bytes()
    with Ledger(files.ledger, read_only=True) as ledger, Ledger(parent.ledger, read_only=True) as origin:
        assert {*map(str, origin.rows())} < {*map(str, ledger.rows())}
        assert answer(ledger).copied == whole


def command(*arguments: object, status: int) -> str:
    """What a command says, on standard output if it succeeds and on standard error if it refuses."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == status, result.output
    return " ".join((result.stderr if status else result.stdout).split())


def test_the_command_refuses_a_mixture_before_anything_starts_and_shows_where_a_branch_comes_from(tmp_path: Path) -> None:
    run(tmp_path, study(**WITHOUT_SCREEN), stop_after=2)
    file = tmp_path / "study.yaml"
    file.write_text(json.dumps({**STUDY, **WITHOUT_SCREEN, "seed": 5}))
    said = command("run", file, "--workdir", tmp_path, status=2)
    assert "seed: was 0, is 5" in said and said.endswith("--branch NAME")
    said = command("run", file, "--set", "seed=0", "--branch", "small", "--workdir", tmp_path, status=2)
    assert said == "error: --branch must be another name than the study's own, got 'small'"
    run(tmp_path, study(**{**WITHOUT_SCREEN, "name": "other", "alpha": 0.1}), "small", stop_after=0)
    said = command("status", "other", "--workdir", tmp_path, status=0)
    assert "branch of small, where 2 of its trials ran" in said
    assert said.endswith("alpha: was 0.05, is 0.1")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["other", "small"]
