"""How a process is set up to train; each in a process of its own, for it cannot be undone."""

from __future__ import annotations

import json
import platform
import subprocess
import sys

import pytest

_MEASURE = """
import json
import resource
from pathlib import Path

import torch

from margin_core.machine import prepare_to_train

def faults(mebibytes):
    torch.ones(mebibytes * 2**18)  # the first one may be new memory
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(mebibytes * 2**18)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def held():
    return int(next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon")).split()[1]) / 1024

prepare_to_train(1)
threads = torch.get_num_threads()
found = {"threads": threads, "faults": faults(1) + faults(4) + faults(16)}
base = held()
several = [torch.ones(2**20) for _ in range(64)]  # 4 MiB each
del several
found["kept"] = held() - base
prepare_to_train(1)
found["after"] = held() - base
print(json.dumps(found))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc alone")
def test_freed_memory_is_kept_from_one_step_to_the_next_and_handed_back_before_the_next_trial() -> None:
    told = subprocess.run([sys.executable, "-c", _MEASURE], check=True, capture_output=True, text=True).stdout
    found = json.loads(told)

    assert found["threads"] == 1
    pages = 20 * (1 + 4 + 16) * 256
    assert found["faults"] < pages / 20, "pages that are filled with zeros again"
    assert found["kept"] > 150
    assert found["after"] < 10
