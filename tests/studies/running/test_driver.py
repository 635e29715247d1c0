from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ray_head import ray_head

ROOT = Path(__file__).parents[3]

# A thread that, while the session ends, keeps leaving object references in cycles to whichever collection comes next.
BUSY_SHUTDOWN = """
import gc, threading, time
import ray
from studies.running.driver import ray_session

leaving = threading.Event()
references = []

def leave():
    leaving.wait()
    while references:
        cycle = [references.pop()]
        cycle.append(cycle)
        time.sleep(0.0002)

threading.Thread(target=leave, daemon=True).start()
with ray_session("local"):
    references.extend(ray.put(number) for number in range(20000))
    gc.set_threshold(2)
    leaving.set()
print("alive")
"""


@pytest.mark.ray
def test_a_thread_that_collects_garbage_while_ray_shuts_down_does_not_end_the_process() -> None:
    ran = subprocess.run([sys.executable, "-c", BUSY_SHUTDOWN], capture_output=True, text=True, check=False, timeout=200)
    assert (ran.returncode, ran.stdout) == (0, "alive\n"), ran.stderr[-2000:]


@pytest.mark.ray
@pytest.mark.slow
def test_a_cluster_that_asks_for_a_token_is_told_in_one_sentence(tmp_path: Path) -> None:
    with ray_head(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="0123456789abcdef" * 4, PYTHONPATH=str(ROOT)) as address:
        call = [sys.executable, "-m", "studies", "run", "quickstart", "--address", address, "--workdir", str(tmp_path)]
        stranger = {**os.environ, "RAY_AUTH_MODE": "disabled"}
        ran = subprocess.run(call, cwd=ROOT, env=stranger, capture_output=True, text=True, check=False, timeout=200)
    assert ran.returncode == 2, ran.stderr[-2000:]
    assert f"cannot join the Ray cluster at '{address}': it asks for a token: set RAY_AUTH_MODE=token" in ran.stderr
    assert "Traceback" not in ran.stderr
