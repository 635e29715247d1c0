"""`deploy/`: Ray's launcher accepts the machines of one's own, KubeRay's manifest is of one piece, and the Slurm script is a shell's."""

from __future__ import annotations

import os
import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
PLACES = (ROOT / "cluster.yaml", *sorted(DEPLOY.iterdir()))


@pytest.fixture(scope="module")
def premises() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "on-premises.yaml").read_text())
    return loaded


@pytest.fixture(scope="module")
def job() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "kuberay.yaml").read_text())
    return loaded


def test_the_machines_of_ones_own_are_valid_for_rays_launcher(premises: dict[str, Any]) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(premises)
    validate_config(prepared)
    [kind] = prepared["available_node_types"].values()
    workers = len(premises["provider"]["worker_ips"])
    assert (kind["min_workers"], kind["max_workers"], prepared["max_workers"]) == (workers, workers, workers)


def test_the_machines_of_ones_own_get_what_those_of_aws_get_and_a_token(premises: dict[str, Any]) -> None:
    aws = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    mounts = dict(premises["file_mounts"])
    assert mounts.pop("~/.ray/auth_token") == "~/.ray/auth_token"
    assert {remote.replace("~", "/home/ubuntu"): local for remote, local in mounts.items()} == aws["file_mounts"]
    assert set(premises["setup_commands"]) <= set(aws["setup_commands"])


def test_kuberays_job_is_of_one_piece(job: dict[str, Any]) -> None:
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["rayVersion"] == version("ray")
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())  # KubeRay takes strings alone
        pod = group["template"]["spec"]
        [container] = pod["containers"]
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
        assert container["image"] == "REGISTRY/margin-studies:" + re.search(r'version = "(.*)"', (ROOT / "pyproject.toml").read_text())[1]  # type: ignore[index]
    head, worker = groups
    assert head["rayStartParams"]["num-cpus"] == "0"
    assert worker["minReplicas"] == 0
    assert worker["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_the_image_holds_the_locked_versions_and_all_that_the_wheel_is_made_of() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    copied = {word for line in text.splitlines() if line.startswith("COPY") for word in line.split()[1:-1]}
    assert copied == {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", "margin_core", "search_spaces", "studies"}
    assert all((ROOT / name).exists() for name in copied)
    assert "pip install --no-cache-dir -c /margin-studies/constraints.txt" in text


@pytest.mark.parametrize("file", PLACES, ids=lambda file: file.name)
def test_every_option_that_a_file_gives_the_command_is_one_of_its_own(file: Path) -> None:
    from typer.main import get_command

    from studies.cli import app

    text = re.sub(r"\\\n#?|\n(?=\s+--)", " ", file.read_text())
    command = get_command(app)
    known = {option for parameter in command.commands["run"].params for option in parameter.opts}  # type: ignore[attr-defined]
    for call in re.findall(r"margin-studies\"? run (?:STUDY|/study|\"\$@\").*", text):
        given = set(re.findall(r"(--[a-z-]+)", call))
        assert given
        assert given <= known


def test_the_slurm_script_is_a_shells_and_says_how_it_is_used(tmp_path: Path) -> None:
    script = DEPLOY / "slurm.sh"
    subprocess.run(["bash", "-n", script], check=True)
    told = subprocess.run(["bash", script], cwd=tmp_path, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.startswith("usage: sbatch")
    assert "#SBATCH --signal=B:TERM@" in script.read_text()
