"""`cluster.yaml`: Ray's own launcher accepts it, and what it mounts and installs is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
REMOTE = "/home/ubuntu/margin-studies/"


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    return loaded


def test_the_cluster_file_is_valid_for_rays_launcher(cluster: dict[str, Any]) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(cluster)
    validate_config(prepared)
    assert prepared["available_node_types"]["gpu"]["max_workers"] == cluster["max_workers"]


def test_the_cluster_file_leaves_no_command_to_rays_defaults(cluster: dict[str, Any]) -> None:
    from ray.autoscaler._private.providers import _get_default_config

    commands = {key for key in _get_default_config(cluster["provider"]) if key.endswith("_commands")}
    assert commands - {"initialization_commands"} <= cluster.keys()


def test_the_nodes_get_all_that_make_env_needs(cluster: dict[str, Any]) -> None:
    mounts = cluster["file_mounts"]
    assert all(remote == REMOTE + local and (ROOT / local).exists() for remote, local in mounts.items())
    assert {"Makefile", "pyproject.toml", "constraints.txt", "README.md", "margin_core", "search_spaces", "studies"} <= set(mounts.values())
    assert any(command.endswith("margin-studies env") for command in cluster["setup_commands"])
