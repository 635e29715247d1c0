"""Ray clusters of several nodes on this host, in processes of their own: nodes join, leave, and fall silent as machines do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import ray
import yaml
from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID
from ray.cluster_utils import Cluster

from tests.ray_head import free_port, wait_for_head

PROVIDER = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
# A node that falls silent is given up after a second, not after fifteen, so that a test need not wait for it.
QUICK = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 300, "health_check_failure_threshold": 3}


@contextmanager
def ray_cluster() -> Iterator[Cluster]:
    """A cluster whose head runs no trials; nodes are added by its ``add_node``."""
    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": QUICK}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        yield cluster
    finally:
        cluster.shutdown()


def kill_node(node: Any) -> None:
    """End a node as a loss of power does: its raylet and all that it started at once, without a word to anyone."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    for process in (raylet, *raylet.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            process.kill()


@contextmanager
def autoscaled_cluster(workers: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """The address of a head without processors whose autoscaler starts nodes of these kinds when something waits for them.

    Ray's own `AutoscalingCluster` does the same, but begins and ends with ``ray stop --force``, which ends every Ray of the host.

    Args:
        workers: The resources of each kind of node.
    """
    port = free_port()
    kinds = {kind: {"resources": dict(resources), "node_config": {}, "max_workers": 2} for kind, resources in workers.items()}
    kinds["ray.head.default"] = {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0}
    config = {
        "cluster_name": "tests",
        "max_workers": 2,
        "idle_timeout_minutes": 5,
        "upscaling_speed": 1.0,
        "provider": {
            "type": "external",
            "module": PROVIDER,
            "launch_multiple": True,
            "head_node_id": FAKE_HEAD_NODE_ID,
            "gcs_address": f"{ray.util.get_node_ip_address()}:{port}",
        },
        "available_node_types": kinds,
        "head_node_type": "ray.head.default",
        **{key: {} for key in ("auth", "docker", "file_mounts")},
        **{key: [] for key in ("cluster_synced_files", "rsync_exclude", "rsync_filter")},
        "file_mounts_sync_continuously": False,
        **{f"{key}_commands": [] for key in ("initialization", "setup", "head_setup", "worker_setup")},
        **{f"{key}_start_ray_commands": [] for key in ("head", "worker")},
    }
    settings = {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_enable_autoscaler_v2": "1"}
    settings |= {"RAY_CLOUD_INSTANCE_ID": FAKE_HEAD_NODE_ID, "RAY_OVERRIDE_NODE_ID_FOR_TESTING": FAKE_HEAD_NODE_ID}
    settings["RAY_AUTH_MODE"] = "disabled"  # else a token that lies in the user's home would be asked for
    words = [str(Path(sys.executable).parent / "ray"), "start", "--head", "--block", "--num-cpus=0", "--disable-usage-stats"]
    words += [f"--port={port}", "--include-dashboard=false", f"--system-config={json.dumps(QUICK)}"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cluster.yaml"
        file.write_text(yaml.safe_dump(config))
        words.append(f"--autoscaling-config={file}")
        with subprocess.Popen(words, env={**os.environ, **settings}, **quiet) as head:  # type: ignore[call-overload]
            try:
                wait_for_head(head, f"127.0.0.1:{port}")
                yield f"127.0.0.1:{port}"
            finally:
                started = psutil.Process(head.pid).children(recursive=True)
                head.terminate()
                head.wait(timeout=60)
                for process in started:  # the nodes that the autoscaler started outlive it
                    with suppress(psutil.NoSuchProcess):
                        process.kill()
