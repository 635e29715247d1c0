"""Ends this process when it takes more of the machine's memory than a trial may, and leaves the driver a note of it.

A thread looks every half second. What counts is memory that belongs to the process alone: decoded pictures, which all trials of a machine
read from one file, are not counted.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

from studies.running.notes import leave_note

_EVERY = 0.5
_GIB = 2**30


class _Guard(threading.Thread):
    """The thread; ``limit`` and ``about`` are those of the process's present trial."""

    def __init__(self) -> None:
        super().__init__(name="memory", daemon=True)
        self.limit = float("inf")
        self.about = ""

    def run(self) -> None:
        while True:
            taken = own_memory()
            if taken > self.limit:
                told = f"its process took {taken / _GIB:.2f} GiB, and budget.trial.memory_gib is {self.limit / _GIB:g}"
                leave_note(self.about, "memory", told)
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(_EVERY)


_guard: _Guard | None = None


def guard_memory(gib: float, about: str) -> None:
    """End this process from now on when it takes more than so many GiB, with a note about the trial ``about``."""
    global _guard
    if _guard is None:
        _guard = _Guard()
        _guard.start()
    _guard.limit, _guard.about = gib * _GIB, about


def own_memory() -> int:
    """Bytes of the machine's memory that belong to this process alone: resident, and not of a file."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))
