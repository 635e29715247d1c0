"""The command: JSON for machines, one sentence and status 2 for a wrong call, and Ray imported by nothing that can do without it."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from margin_core.losses import list_losses
from studies.answer import open_answer
from studies.cli import app
from studies.cli.output import decoding_told
from studies.plan import screen_trials
from studies.spec import list_presets
from studies.study import write_results
from studies.workspace import StudyFiles, study_files
from tests.margin_core.data.small_copies import small_copies
from tests.studies import builders

COMMANDS = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]


@pytest.fixture
def workdir(trained: StudyFiles) -> Path:
    """A work directory that holds one study, trained and whole."""
    return trained.directory.parent


@pytest.fixture(scope="module")
def closed_port() -> Iterator[int]:
    """A taken port on which nothing answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def strict(text: str) -> Any:
    """JSON as every machine reads it, without NaN."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


def said(*arguments: str | Path, status: int = 0) -> Any:
    """What a command prints with --json."""
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    assert result.exit_code == status, result.stderr or result.exception
    assert result.stderr == ""
    return strict(result.stdout)


def printed(*arguments: str | Path) -> str:
    """What a command prints for a person."""
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.stderr or result.exception
    return result.stdout


def refused(*arguments: str | Path) -> str:
    """The one sentence of a call with status 2."""
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 2, (result.exit_code, result.stdout, result.exception)
    assert result.stdout == ""
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    return result.stderr.removeprefix("error: ").removesuffix("\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_and_speaks_json(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"})
    assert result.exit_code == 0
    assert command in result.stdout
    assert "--json" in result.stdout


def test_the_commands_are_those_of_the_contract() -> None:
    expected = "run resume preview reproduce status report judge compare claims export sync ui doctor"
    expected += " losses datasets models studies describe recommend"
    assert sorted(COMMANDS) == sorted(expected.split())


def test_no_command_and_an_unknown_one_are_wrong_calls() -> None:
    assert CliRunner().invoke(app, []).exit_code == 2
    assert CliRunner().invoke(app, ["runn"]).exit_code == 2
    assert CliRunner().invoke(app, ["run"]).exit_code == 2


def test_losses_tell_every_knob() -> None:
    rows = said("losses")
    assert list(dict.fromkeys(row["family"] for row in rows)) == list_losses()
    (lam,) = [row for row in rows if (row["family"], row["knob"]) == ("gds", "lam")]
    assert (lam["symbol"], lam["default"], lam["allowed"], lam["grid"], lam["reads"]) == (
        "λ",
        1.0,
        ">= 0",
        [0.0, 0.5, 1.0, 1.5, 2.0],
        "logits",
    )
    assert "[0, 1]" in printed("losses")  # the bounds of label smoothing, which are no markup


def test_datasets_tell_whether_they_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = {row["dataset"]: row["state"] for row in said("datasets", "--data-root", "[nowhere]")}
    assert rows["digits"] == "ready"
    assert "not found in [nowhere]/MNIST/raw" in rows["mnist"]
    assert rows["folder:<path>"].startswith("folder: to be written folder:<path>; <path> is a folder")
    assert "[nowhere]/MNIST/raw" in printed("datasets", "--data-root", "[nowhere]")


def test_a_dataset_is_downloaded_where_it_is_asked_for_and_can_be(tmp_path: Path) -> None:
    with small_copies(tmp_path, "cifar10", "oxford_pets"):  # torchvision downloads nothing that is there
        for name in ("cifar10", "oxford_pets"):
            assert said("datasets", "--download", name, "--data-root", tmp_path) == [{"dataset": name, "state": "ready"}]
    assert refused("datasets", "--download", "cub", "--data-root", tmp_path) == (
        "cub cannot be downloaded from here; margin-studies datasets tells how it is had"
    )
    assert refused("datasets", "--download", "folder:here", "--data-root", tmp_path).startswith("folder:here cannot be downloaded")
    assert refused("datasets", "--download", "cifar11", "--data-root", tmp_path).startswith(
        "cifar11 could not be had: dataset must be one of"
    )


def test_how_far_decoding_is_stands_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with decoding_told():
        logging.getLogger("margin_core.data.decoded").info("%s: %d of %d images decoded", "folder:leaves", 256, 1000)
    logging.getLogger("margin_core.data.decoded").info("nobody is told")
    assert capsys.readouterr() == ("", "folder:leaves: 256 of 1000 images decoded\n")


def test_models_are_listed() -> None:
    residual, others = ("resnet18", "resnet34", "resnet32"), ("vgg16", "mobilenet_v1", "wrn-<depth>-<width>")
    names = ("mlp-<width>[-<width>...]", "linear-<width>", "lenet5", *residual, *others, "timm:<name>")
    assert said("models") == [{"model": name} for name in names]
    assert "mlp-<width>[-<width>...]" in printed("models")


def test_studies_are_the_presets_and_those_in_the_work_directory(workdir: Path) -> None:
    rows = said("studies", "--workdir", workdir)
    assert [row["study"] for row in rows] == [*list_presets(), "real"]
    assert [row["where"] for row in rows] == ["preset"] * len(list_presets()) + [str(workdir / "real")]
    assert [row["about"] for row in rows if row["where"] == "preset" and not row["about"]] == []


def test_a_preview_counts_trials_and_epochs() -> None:
    data = said("preview", "quickstart", "--set", "recipe.epochs=7", "--set", "screen.trials=11")
    assert data["study"] == "quickstart"
    screen, confirm = data["stages"]
    assert screen == {"stage": "screen", "cells": 22, "seeds": 1, "trials": 22, "epochs": 154, "at_most": True}
    assert confirm["trials"] == 5 * confirm["cells"] and confirm["at_most"]
    assert "≤ 22" in printed("preview", "quickstart", "--set", "screen.trials=11")


def test_a_preview_with_a_probe_has_device_hours_and_with_a_price_their_cost(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(json.dumps({**builders.STUDY, "budget": {"device_hours": 1e-9}}))
    data = said("preview", path, "--probe", "--price", "3")
    assert data["device_hours"] == pytest.approx(sum(stage["device_hours"] for stage in data["stages"]))
    for stage in data["stages"]:
        assert stage["cost"] == pytest.approx(3 * stage["device_hours"]) and stage["cost"] > 0
    told = printed("preview", path, "--probe", "--set", "budget.price=2")
    assert "processor-hours" in told and "at 2 each" in told
    assert "budget.device_hours is 1e-09: the study may end before it is complete" in told
    assert "cost" not in said("preview", path, "--set", "budget.price=2")["stages"][0]


def test_a_price_without_a_probe_is_a_wrong_call() -> None:
    assert refused("preview", "quickstart", "--price", "2") == "a price needs device-hours, which --probe estimates"


@pytest.mark.skipif(torch.cuda.is_available(), reason="is of machines without a GPU")
def test_a_probe_of_a_study_on_gpus_is_refused_where_there_is_none() -> None:
    assert refused("preview", "quickstart", "--probe", "--set", "resources.gpu=1") == (
        "--probe tries a few steps where it is called, and resources.gpu asks for a GPU, which this machine has not"
    )


def test_status_counts_trials_and_names_the_lost_with_their_whole_reasons(tmp_path: Path) -> None:
    spec = builders.study(confirm=None)
    files = study_files(tmp_path, spec.name)
    files.directory.mkdir()
    with builders.new_ledger(files.ledger, spec) as ledger:
        good, bad, running = screen_trials(spec)[:3]
        builders.write(ledger, good, {"val_accuracy": 90.0})
        ledger.start(bad)
        ledger.end(bad.key, "failed", "RuntimeError: [enforce fail at alloc_cpu.cpp:117] [/x]")
        ledger.start(running)
        data = said("status", "--workdir", tmp_path)
    assert data["study"] == "small"
    assert data["directory"] == str(files.directory)
    assert {(row["stage"], row["status"]): row["trials"] for row in data["trials"]} == {
        ("screen", "finished"): 1,
        ("screen", "failed"): 1,
        ("screen", "running"): 1,
    }
    (lost,) = data["lost"]
    assert (lost["key"], lost["status"], lost["seed"]) == (bad.key, "failed", bad.replicate)
    assert data["seconds"] == 2.0
    assert f"failed {bad.key}: RuntimeError: [enforce fail at alloc_cpu.cpp:117] [/x]" in printed("status", "small", "--workdir", tmp_path)


def test_a_report_is_written_and_its_answer_told(workdir: Path) -> None:
    data = said("report", "real", "--workdir", workdir)
    files = study_files(workdir, "real")
    assert (data["report"], data["verdicts_file"]) == (str(files.report), str(files.verdicts))
    assert "<html" in files.report.read_text()
    written = strict(files.verdicts.read_text())
    assert written == {name: value for name, value in data.items() if name not in ("report", "verdicts_file")}
    assert {winner["dataset"] for winner in written["winners"]} == {"digits", "noisy"}
    files.report.unlink()
    assert f"report    {files.report}" in printed("report", workdir / "real")
    assert files.report.is_file()


def test_a_report_in_the_terminal_writes_nothing_and_fits_eighty_columns(workdir: Path) -> None:
    files = study_files(workdir, "real")
    files.report.unlink(missing_ok=True)
    shown = printed("report", "real", "--workdir", workdir, "--text")
    assert "may be best" in shown and max(map(len, shown.splitlines())) <= 80
    assert not files.report.exists()


def test_figures_are_not_written_where_they_cannot_be(workdir: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert refused("report", "real", "--workdir", workdir, "--figures", tmp_path / "file").endswith("/file is a file")
    told = refused("report", "real", "--workdir", workdir, "--text", "--figures", tmp_path / "figures")
    assert told == "--text writes nothing, so --figures needs a report without it"


def test_figures_and_tables_are_written_beside_the_report_where_they_are_asked_for(workdir: Path, tmp_path: Path) -> None:
    data = said("report", "real", "--workdir", workdir, "--figures", tmp_path / "figures")
    there = sorted(str(path) for path in (tmp_path / "figures").iterdir())
    assert sorted(data["figures"]) == there
    assert {Path(path).suffix for path in there} == {".svg", ".png", ".csv"}


def test_a_study_that_has_not_begun_can_be_reported(tmp_path: Path) -> None:
    spec = builders.study()
    files = study_files(tmp_path, spec.name)
    files.directory.mkdir()
    builders.new_ledger(files.ledger, spec).close()
    assert said("report", "--workdir", tmp_path)["winners"] == []
    assert said("status", "--workdir", tmp_path)["trials"] == []
    assert refused("export", "--workdir", tmp_path) == "nothing to export; datasets with a result: none yet"


def test_an_export_tells_where_it_is_and_how_to_repeat_it(workdir: Path) -> None:
    directory = workdir / "real" / "export" / "digits"
    assert said("export", "--workdir", workdir, "--dataset", "digits") == {"exported": {"digits": str(directory)}}
    assert f"margin-studies run {directory / 'config.yaml'}" in printed("export", "--workdir", workdir, "--dataset", "digits")


def test_the_page_of_mlflow_is_told_without_starting_it(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    data = said("ui", "--workdir", tmp_path, "--port", "5123")
    assert data["url"] == "http://127.0.0.1:5123"
    assert data["command"][:4] == [sys.executable, "-m", "mlflow", "server"]
    assert f"sqlite:///{tmp_path / 'mlflow.db'}" in data["command"]


def test_the_doctor_speaks_json_and_fails_where_something_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    checks = {check["name"]: check for check in said("doctor", "--data-root", "[nowhere]", status=1)["checks"]}
    assert checks["data root"]["state"] == "wrong"
    result = CliRunner().invoke(app, ["doctor", "--data-root", "[nowhere]"])
    assert result.exit_code == 1
    assert "[nowhere] is not a directory" in result.stdout


@pytest.mark.parametrize("command", ["status", "report", "export", "resume"])
def test_a_study_that_is_not_there_is_one_sentence(workdir: Path, tmp_path: Path, command: str) -> None:
    assert refused(command, "other", "--workdir", workdir) == f"there is no study 'other' in {workdir}; studies there: real"
    assert refused(command, "--workdir", tmp_path / "empty") == f"{tmp_path / 'empty'} holds no study"
    assert refused(command, "--json", "--workdir", tmp_path / "empty") == f"{tmp_path / 'empty'} holds no study"
    assert not (tmp_path / "empty").exists()


@pytest.mark.parametrize("command", ["status", "report", "export", "resume"])
def test_a_ledger_that_cannot_be_read_is_one_sentence(tmp_path: Path, command: str) -> None:
    (tmp_path / "torn").mkdir()
    ledger = tmp_path / "torn" / "ledger.sqlite"
    ledger.write_text("not a database\n" * 100)
    assert refused(command, "torn", "--workdir", tmp_path) == f"the ledger {ledger} cannot be opened: file is not a database"


def test_a_page_without_a_store_is_one_sentence(tmp_path: Path) -> None:
    assert refused("ui", "--workdir", tmp_path) == f"there is no MLflow store in {tmp_path}; run a study there first"


@pytest.mark.parametrize("command", ["run", "preview"])
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["quickstrat"], "no preset and no file is called 'quickstrat' (did you mean 'quickstart'?)"),
        (["quickstart", "--set", "recipe.epochs=0"], "recipe.epochs: should be greater than or equal to 1, got 0"),
        (["quickstart", "--set", "epochs"], "--set takes key=value, got 'epochs'"),
        (["quickstart", "--set", "model='[/red] [bold]'"], "got '[/red] [bold]'"),
        (["quickstart", "--set", "screen={searcher: grid}"], "lr has no grid: it is the range [0.03, 0.3]; give a list of values instead"),
        (
            ["mnist", "--set", "nuisance.lr=[0.1, 0.2]", "--set", "datasets=[mnist]"],
            "without a screen section, ce needs one value for each of lr",
        ),
    ],
)
def test_a_study_file_that_cannot_be_run_is_one_sentence(command: str, arguments: list[str], sentence: str) -> None:
    assert sentence in refused(command, *arguments)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name: [1", "not valid YAML at line 1, column 9"),
        ("", "a study file is a mapping of keys to values, got NoneType"),
        ("- digits\n", "a study file is a mapping of keys to values, got list"),
        ("kind: trial\n", "the configuration lacks the key 'cell'"),
        ("kind: study\n", "unknown key 'kind'"),
    ],
)
def test_a_file_that_cannot_be_run_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    assert sentence in refused("run", path, "--workdir", tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_file_that_is_no_text_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(bytes(range(256)))
    for command in ("run", "preview"):
        assert refused(command, path).startswith(f"{path} cannot be read as text: ")


# Run by one new process, since importing torch for each call would take minutes: (arguments, status, words of the sentence).
WATCHED = """
import json, sys
from typer.testing import CliRunner
from studies.cli import app
from studies.cli.output import decoding_told
for arguments in json.loads(sys.argv[1]):
    result = CliRunner().invoke(app, arguments)
    error = repr(result.exception) if result.exception and not isinstance(result.exception, SystemExit) else ""
    print(json.dumps([result.exit_code, result.stdout, result.stderr, error, sorted({"ray", "mlflow"} & set(sys.modules))]))
"""


def watched(calls: list[list[str]]) -> list[tuple[int, str, str, str, list[str]]]:
    """Status, output, error output, crash, and which of Ray and MLflow are imported, after each of several calls."""
    environment = {name: value for name, value in os.environ.items() if name != "MARGIN_DATA"}
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, json.dumps(calls)],
        capture_output=True,
        text=True,
        check=True,
        env={**environment, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def test_what_needs_no_ray_does_not_import_it(workdir: Path, tmp_path: Path, closed_port: int) -> None:
    (tmp_path / "file").touch()
    unwritable = tmp_path / "file" / "runs"
    small = tmp_path / "small.yaml"
    small.write_text(json.dumps({**builders.STUDY, "name": "real"}))
    write_results(open_answer(workdir / "real"), study_files(workdir, "real"))
    before = {path: path.read_bytes() for path in (workdir / "real").rglob("*") if path.is_file() and "ledger" not in path.name}
    runs = ["--workdir", str(tmp_path / "new")]
    good = [
        ["losses"],
        ["datasets"],
        ["models"],
        ["studies", "--workdir", str(workdir)],
        ["preview", "quickstart"],
        ["reproduce", "--workdir", str(workdir)],
        ["status", "--workdir", str(workdir)],
        ["report", "--workdir", str(workdir)],
        ["export", "--workdir", str(workdir), "--dataset", "digits"],
    ]
    bad = {
        "no preset and no file is called 'nowhere'": ["run", "nowhere", *runs],
        "families.gdss is not a known loss family (did you mean 'gds'?)": ["run", "quickstart", "--set", "families.gdss={}", *runs],
        "mnist: no data root was given (--data-root or MARGIN_DATA)": ["run", "mnist", *runs],
        f"not found in {tmp_path}/nowhere/MNIST/raw": ["run", "mnist", "--data-root", str(tmp_path / "nowhere"), *runs],
        f"no Ray cluster answers at '127.0.0.1:{closed_port}'": ["run", "quickstart", "--address", f"127.0.0.1:{closed_port}", *runs],
        "--address must be HOST:PORT": ["run", "quickstart", "--address", "somewhere", *runs],
        f"no MLflow server answers at http://127.0.0.1:{closed_port}": [
            "sync",
            "--tracking-uri",
            f"http://127.0.0.1:{closed_port}",
            "--workdir",
            str(workdir),
        ],
        "--tracking-uri must begin with one of ": ["run", "quickstart", "--tracking-uri", "somewhere", *runs],
        f"the work directory {unwritable} cannot be written": ["run", "quickstart", "--workdir", str(unwritable)],
        "it would mix trials that do not belong together:\n  ": ["run", str(small), "--workdir", str(workdir)],
        f"no Ray cluster answers at 'ray://127.0.0.1:{closed_port}'": [
            "resume",
            "--address",
            f"ray://127.0.0.1:{closed_port}",
            "--workdir",
            str(workdir),
        ],
        "there is no study 'other'": ["resume", "other", "--workdir", str(workdir)],
    }
    if not torch.cuda.is_available():
        bad["resources.gpu is 1, but this machine has no GPU that torch can use"] = ["run", "quickstart", "--set", "resources.gpu=1", *runs]
    answers = watched([*good, *bad.values()])
    for arguments, (status, output, error, crash, imported) in zip(good, answers, strict=False):
        assert (status, error, crash, imported) == (0, "", "", []), arguments
        assert output, arguments
    for (sentence, arguments), (status, output, error, crash, imported) in zip(bad.items(), answers[len(good) :], strict=True):
        assert (status, output, crash, imported) == (2, "", "", []), arguments
        # A study file that does not go on is told with its differences, a line for each.
        assert sentence in error and error.startswith("error: ") and (error.count("\n") == 1 or "\n  " in sentence), (arguments, error)
    # A refused call leaves what is there as it is.
    assert {path: path.read_bytes() for path in before} == before
    assert not (tmp_path / "new" / "quickstart").exists()
