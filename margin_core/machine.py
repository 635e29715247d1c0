"""What the processor is called, to stand beside figures that depend on it."""

from __future__ import annotations

import platform


def processor_name() -> str:
    """The processor's model where the system tells it (Linux), or else its architecture."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
