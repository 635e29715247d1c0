"""The doctor: what is right is said to be right, and what is wrong comes with what to do about it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest

from margin_core.data import SOURCES
from studies.doctor import Check, examine
from tests.margin_core.data.small_copies import COPIES


def installed() -> bool:
    try:
        version("margin-studies")
    except PackageNotFoundError:
        return False
    return True


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A taken port on which nothing answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture
def open_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def checks(tmp_path: Path, **options: Any) -> dict[str, Check]:
    """Every check by name."""
    call = {"address": None, "tracking_uri": None, "workdir": tmp_path / "runs", "data_root": None, **options}
    return {check.name: check for check in examine(**call)}


@pytest.mark.skipif(not installed(), reason="the package is not installed, only on the path")
def test_nothing_is_wrong_in_this_environment(tmp_path: Path) -> None:
    found = checks(tmp_path)
    assert [check for check in found.values() if check.state == "wrong"] == []
    assert {"Python", "torch", "torchvision", "ray", "mlflow", "optuna", "torch with torchvision", "GPU", "Ray", "MLflow"} <= found.keys()
    assert {"data root", "work directory", "disk"} <= found.keys()
    assert found["torch"].found == version("torch")


def test_looking_changes_nothing(tmp_path: Path) -> None:
    checks(tmp_path, workdir=tmp_path / "deep" / "er" / "runs")
    assert list(tmp_path.iterdir()) == []


def test_every_wrong_thing_comes_with_what_to_do(tmp_path: Path, closed_port: int) -> None:
    (tmp_path / "file").touch()
    found = checks(
        tmp_path,
        address=f"127.0.0.1:{closed_port}",
        tracking_uri=f"http://127.0.0.1:{closed_port}",
        workdir=tmp_path / "file" / "runs",
        data_root=tmp_path / "nowhere",
    )
    wrong = {name: check for name, check in found.items() if check.state == "wrong"}
    assert {"Ray", "MLflow", "data root", "work directory"} <= wrong.keys()
    assert [check for check in wrong.values() if not check.advice or "\n" in check.found + check.advice] == []


def test_a_cluster_that_does_not_answer_is_wrong(tmp_path: Path, closed_port: int) -> None:
    address = f"ray://127.0.0.1:{closed_port}"
    assert checks(tmp_path, address=address)["Ray"] == Check(
        "Ray",
        "wrong",
        f"no Ray cluster answers at {address!r}: Connection refused",
        "start the cluster (ray up cluster.yaml) or leave --address out",
    )


def test_a_cluster_that_answers_is_right(tmp_path: Path, open_port: int) -> None:
    address = f"127.0.0.1:{open_port}"
    assert checks(tmp_path, address=address)["Ray"] == Check("Ray", "ok", f"answers at {address}")


def test_a_tracking_server_that_does_not_answer_is_wrong(tmp_path: Path, closed_port: int) -> None:
    uri = f"http://127.0.0.1:{closed_port}"
    assert checks(tmp_path, tracking_uri=uri)["MLflow"] == Check(
        "MLflow",
        "wrong",
        f"no MLflow server answers at {uri}: [Errno 111] Connection refused",
        "start the server, or leave --tracking-uri out",
    )


def test_without_addresses_everything_is_on_this_machine(tmp_path: Path) -> None:
    found = checks(tmp_path)
    assert found["Ray"] == Check("Ray", "ok", f"starts here, on {os.cpu_count()} processors")
    assert found["MLflow"] == Check("MLflow", "ok", "a store of its own in the work directory")


def test_a_data_root_that_is_no_directory_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = tmp_path / "nowhere"
    wrong = Check("data root", "wrong", f"{nowhere} is not a directory", "give --data-root or set MARGIN_DATA to where the datasets lie")
    assert checks(tmp_path, data_root=nowhere)["data root"] == wrong
    monkeypatch.setenv("MARGIN_DATA", str(nowhere))
    assert checks(tmp_path)["data root"] == wrong


def test_a_data_root_without_every_dataset_is_noted_with_those_that_are_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    advice = "give --data-root or set MARGIN_DATA for the others"
    assert checks(tmp_path, data_root=tmp_path)["data root"] == Check(
        "data root", "note", f"{tmp_path}; ready: digits, manifold, points", advice
    )
    monkeypatch.delenv("MARGIN_DATA", raising=False)
    assert checks(tmp_path)["data root"] == Check("data root", "note", "none given; ready: digits, manifold, points", advice)


def test_a_whole_data_root_is_right(tmp_path: Path) -> None:
    for write in COPIES.values():
        write(tmp_path)
    whole = [source.name for source in SOURCES.ours.values() if source.named is None]
    assert checks(tmp_path, data_root=tmp_path)["data root"] == Check("data root", "ok", f"{tmp_path}; ready: {', '.join(whole)}")


@pytest.mark.parametrize("below", ["file", "file/runs", "file/deep/er"])
def test_a_work_directory_below_a_file_is_wrong(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    found = checks(tmp_path, workdir=tmp_path / below)["work directory"]
    assert found == Check("work directory", "wrong", f"{tmp_path / 'file'} cannot be written", "give another --workdir")


def test_a_work_directory_that_can_be_made_is_right(tmp_path: Path) -> None:
    workdir = tmp_path / "deep" / "runs"
    assert checks(tmp_path, workdir=workdir)["work directory"] == Check("work directory", "ok", str(workdir))


def doctor(tmp_path: Path, *, torchvision: str) -> tuple[int, dict[str, dict[str, str]]]:
    """Status and checks of the command in an environment whose torchvision is the given source."""
    package = tmp_path / "site" / "torchvision"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(torchvision)
    done = subprocess.run(
        [sys.executable, "-c", "from studies.cli import main; main()", "doctor", "--json", "--workdir", str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), *sys.path])},
    )
    assert done.stderr == ""
    return done.returncode, {check["name"]: check for check in json.loads(done.stdout)["checks"]}


def test_a_torchvision_of_another_build_is_told_with_the_command_that_mends_it(tmp_path: Path) -> None:
    # What the default torchvision raises beside a torch for processors alone.
    status, found = doctor(tmp_path, torchvision='raise RuntimeError("operator torchvision::nms does not exist")')
    assert status == 1
    assert found["torch with torchvision"] == {
        "name": "torch with torchvision",
        "state": "wrong",
        "found": "operator torchvision::nms does not exist",
        "advice": "torch and torchvision are not of one build; install both from the same index: "
        "pip install -c constraints.txt torch torchvision",
    }
    # The rest is looked at all the same, but for what imports them.
    assert {"Python", "Ray", "MLflow", "data root", "work directory", "disk"} <= found.keys()
    assert "GPU" not in found
