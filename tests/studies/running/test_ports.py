"""Nothing of a study on this machine, nor MLflow's page on it, can be reached from another one."""

from __future__ import annotations

import ipaddress
import subprocess
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.ray_head import free_port
from tests.studies.running.test_run import SMALL, _actors, start, wait_until, write

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def listening(process: subprocess.Popen[str]) -> dict[str, str]:
    """Each address and port that a process or one that it started listens at, and which of them does."""
    parent = psutil.Process(process.pid)
    found = {}
    for each in (parent, *parent.children(recursive=True)):
        with suppress(psutil.Error):
            for connection in each.net_connections("inet"):
                if connection.status == psutil.CONN_LISTEN:
                    found[f"{connection.laddr.ip} {connection.laddr.port}"] = each.name()
    return found


def outside(found: dict[str, str]) -> dict[str, str]:
    return {place: name for place, name in found.items() if not is_loopback(place.split()[0])}


def is_loopback(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    return ((isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped) or parsed).is_loopback


def end(process: subprocess.Popen[str]) -> None:
    with suppress(psutil.NoSuchProcess):
        for each in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                each.kill()
    process.kill()
    process.communicate()


def test_a_study_on_this_machine_and_the_page_on_it_listen_to_this_machine_alone(tmp_path: Path) -> None:
    study = {**SMALL, "recipe": {"epochs": 1000, "batch_size": 64}}
    process = start("run", write(tmp_path, study), "--workdir", tmp_path)
    try:
        wait_until(lambda: bool(_actors(process)), process)
        found = listening(process)
        assert {"gcs_server", "raylet"} <= {name.removeprefix("./") for name in found.values()}
        assert outside(found) == {}
    finally:
        end(process)
    port = free_port()
    page = start("ui", "--workdir", tmp_path, "--port", port)
    try:
        wait_until(lambda: f"127.0.0.1 {port}" in listening(page), page)
        assert outside(listening(page)) == {}
    finally:
        end(page)
