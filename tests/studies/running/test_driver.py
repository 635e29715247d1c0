from __future__ import annotations

import subprocess
import sys

import pytest

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
