"""Credentials go to the tracking server and nowhere else: a secret that is planted in them is in no file and no line of a study."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from studies.mirroring import send_study
from studies.study import recorded_spec
from studies.tracking.address import check_tracking_uri, told, without_credentials
from studies.workspace import StudyFiles
from tests.studies.tracking.servers import Proxy, free_port, mlflow_server

SECRET = "plantedsecret"


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        (f"https://ada:{SECRET}@mlflow.example:5000/team", "https://mlflow.example:5000/team"),
        (f"postgresql+psycopg2://ada:{SECRET}@db/mlflow", "postgresql+psycopg2://db/mlflow"),
        (f"postgresql://db/mlflow?user=ada&password={SECRET}", "postgresql://db/mlflow"),
        (f"https://{SECRET}@mlflow.example", "https://mlflow.example"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("sqlite:////home/ada/mlflow.db", "sqlite:////home/ada/mlflow.db"),
    ],
)
def test_a_uri_is_told_without_its_credentials_and_so_are_errors_about_it(uri: str, shown: str) -> None:
    assert without_credentials(uri) == shown
    what = f", wrong password {SECRET!r}" if SECRET in uri else ""
    said = told(RuntimeError(f"API request to {uri}/api failed{what}\nmore of {uri}"), uri)
    assert SECRET not in said and shown in said


def test_secrets_of_the_environment_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(variable, f"{SECRET}-{variable}")
        assert SECRET not in told(RuntimeError(f"refused: {SECRET}-{variable}"), "http://host")


def test_a_secret_is_in_no_file_and_no_line_of_a_study_that_its_server_refuses(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], trained: StudyFiles
) -> None:
    caplog.set_level(logging.DEBUG, "studies")
    uri = f"http://ada:{SECRET}@127.0.0.1:{free_port()}"
    lacking = send_study(trained, recorded_spec(trained), uri, wait=1.0)
    assert "missing there" in lacking and SECRET not in lacking
    with pytest.raises(ConnectionError) as caught:
        check_tracking_uri(uri)
    assert SECRET not in str(caught.value)
    assert [file for file in files_below(tmp_path) if SECRET.encode() in file.read_bytes()] == []
    assert SECRET not in caplog.text + "".join(capfd.readouterr())


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.slow
@pytest.mark.ray
def test_a_whole_study_behind_mlflows_own_authentication_keeps_its_password_to_itself(tmp_path: Path) -> None:
    pytest.importorskip("flask_wtf", reason="needs MLflow's authentication: pip install 'mlflow[auth]'")
    server_folder, runs = tmp_path / "server", tmp_path / "runs"
    server_folder.mkdir()
    settings = server_folder / "auth.ini"
    settings.write_text(
        f"[mlflow]\ndefault_permission = NO_PERMISSIONS\ndatabase_uri = sqlite:///{server_folder}/users.db\n"
        f"admin_username = ada\nadmin_password = {SECRET}-1\nauthorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    env = {"MLFLOW_AUTH_CONFIG_PATH": str(settings), "MLFLOW_FLASK_SERVER_SECRET_KEY": "of this test"}
    with mlflow_server(server_folder, options=["--app-name", "basic-auth"], env=env) as server, Proxy(server.port) as proxy:
        with pytest.raises(PermissionError, match="does not let this process in"):
            check_tracking_uri(proxy.url)
        good = {"MLFLOW_TRACKING_URI": proxy.url, "MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": f"{SECRET}-1"}
        changes = [
            "families={ce: {label_smoothing: 0}}",
            "screen=null",
            "confirm={families: 1, seeds: 2}",
            "recipe.epochs=1",
            "datasets=[digits]",
            "nuisance={lr: 0.1}",
            "regularizers={}",
        ]
        done = study(runs, changes, good)
        assert done.returncode == 0, done.stderr
        assert "MLflow lacks" not in done.stdout
        assert [header for header in proxy.authorizations if header.startswith("Basic ")]
        wrong = study(runs, changes, {**good, "MLFLOW_TRACKING_PASSWORD": f"{SECRET}-2"})
        assert wrong.returncode == 2
        assert wrong.stderr.startswith("error: ") and "does not let this process in" in wrong.stderr
        assert "log-batch" in "".join(proxy.seen)
    assert [file for file in files_below(runs) if SECRET.encode() in file.read_bytes()] == []
    assert SECRET not in done.stdout + done.stderr + wrong.stdout + wrong.stderr


def study(runs: Path, changes: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "studies", "run", "quickstart", "--workdir", str(runs)]
    command += [part for change in changes for part in ("--set", change)]
    everything = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **env}
    return subprocess.run(command, env=everything, capture_output=True, text=True, timeout=500)
