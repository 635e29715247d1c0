"""The machine that a process trains on: what its processor is called, and how many threads and what memory the process takes of it."""

from __future__ import annotations

import ctypes
import platform
from contextlib import suppress

import torch

# The parameters of glibc's mallopt, from its malloc.h, and their values. Before 2.35 it takes no larger threshold than the second.
_TRIM_THRESHOLD, _NEVER = -1, 2**31 - 1
_MMAP_THRESHOLD, _THRESHOLDS = -3, (2**30, 2**25)


def processor_name() -> str:
    """The processor's model where the system tells it (Linux), or else its architecture."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def prepare_to_train(threads: int) -> None:
    """Set this process up for a trial: as many threads for PyTorch, and memory that is kept from one step to the next.

    glibc hands larger pieces of memory back to the system as soon as they are freed, and the system fills them with zeros when they are
    asked for again, at each step. Here they are kept, and what an earlier trial has left is handed back now. Where there is no glibc,
    memory is handled as before.

    Args:
        threads: CPU threads, at least 1.
    """
    torch.set_num_threads(threads)
    with suppress(AttributeError, OSError):  # another library's memory, or another system
        glibc = ctypes.CDLL(None)
        any(glibc.mallopt(_MMAP_THRESHOLD, size) for size in _THRESHOLDS)
        glibc.mallopt(_TRIM_THRESHOLD, _NEVER)
        glibc.malloc_trim(0)
