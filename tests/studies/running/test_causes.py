from __future__ import annotations

import io

import pytest
import torch

from margin_core.data import load_dataset
from studies.running.causes import cause_of, cause_of_death, spoils_process


@pytest.mark.parametrize(
    ("error", "cause", "spoilt"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), "memory", True),
        (MemoryError(), "memory", True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"), "memory", True),
        (OSError(12, "Cannot allocate memory"), "memory", True),
        (OSError(28, "No space left on device"), "data", False),
        (RuntimeError("CUDA error: device-side assert triggered"), "code", True),
        (ZeroDivisionError(), "code", False),
    ],
)
def test_an_exception_has_a_cause_and_may_spoil_its_process(error: BaseException, cause: str, spoilt: bool) -> None:
    assert (cause_of(error), spoils_process(error)) == (cause, spoilt)


def test_what_is_raised_while_a_dataset_is_read_is_of_the_data_whatever_its_class() -> None:
    with pytest.raises(ValueError) as raised:
        load_dataset("no such dataset", None)
    assert cause_of(raised.value) == "data"
    with pytest.raises(ValueError) as raised:
        io.BytesIO(b"").seek(-1)
    assert cause_of(raised.value) == "code"


def test_torchs_own_lack_of_memory_is_known_by_its_words() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**60, dtype=torch.uint8)
    assert cause_of(raised.value) == "memory"


def test_a_death_has_the_cause_that_ray_tells() -> None:
    assert cause_of_death("The actor died because its node has died. Node Id: 0a") == "node"
    assert cause_of_death("Task was killed due to the node running low on memory.") == "memory"
    assert cause_of_death("Worker unexpectedly exits with a connection error code 2.") == "process"
