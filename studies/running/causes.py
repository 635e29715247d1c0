"""What cause a failure has: of an exception in a trial's process, or of the death of the process in Ray's words."""

from __future__ import annotations

import traceback

import torch

from studies.failures import Cause

# By which torch and its libraries say, in exceptions that have no class of their own, that there is no memory.
_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED", "Cannot allocate memory")
# After one of these no operation of the process works on its GPU any more.
_BROKEN_GPU = ("CUDA error", "CUBLAS_STATUS", "CUDNN_STATUS", "NCCL error")


def cause_of(error: BaseException) -> Cause:
    """The cause of an exception that a trial raised.

    Example:
        >>> cause_of(MemoryError()), cause_of(FileNotFoundError("gone")), cause_of(ZeroDivisionError())
        ('memory', 'data', 'code')
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return "memory"
    if isinstance(error, RuntimeError | OSError) and any(words in str(error) for words in _NO_MEMORY):
        return "memory"
    modules = [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    if isinstance(error, OSError) or any(f"{name}.".startswith("margin_core.data.") for name in modules):
        return "data"
    return "code"


def spoils_process(error: BaseException) -> bool:
    """Whether later trials would suffer in a process where a trial raised this."""
    return cause_of(error) == "memory" or any(words in str(error) for words in _BROKEN_GPU)


def cause_of_death(words: str) -> Cause:
    """The cause of the death of a trial's process, by the words in which Ray tells it.

    Of a death by itself the node tells. A node that took its leave, was preempted or missed its health checks has died; one that fell
    silent a moment ago Ray does not know to be dead yet, and calls its processes unavailable.
    """
    if "its node has died" in words or "is unavailable" in words:
        return "node"
    if "running low on memory" in words:
        return "memory"
    return "process"


def gist(words: str) -> str:
    """The sentence of Ray's that tells why, without the advice after it."""
    sentence = next((line for line in words.splitlines() if line.startswith("The actor ") and "because" in line), words)
    return " ".join(sentence.partition("Some common causes")[0].split())[:200] or "Ray does not tell why"
