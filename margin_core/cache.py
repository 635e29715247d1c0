"""Where things are kept that can be made anew: decoded images, features of frozen backbones. Any of it may be removed at any time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

CACHE_VARIABLE = "MARGIN_CACHE"


def cache_directory() -> Path:
    """The environment's ``MARGIN_CACHE``, or else ``margin-studies`` where programs keep what they can make anew (``~/.cache``)."""
    if given := os.environ.get(CACHE_VARIABLE):
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "margin-studies"


def check_cache() -> None:
    """Make the folder where it is missing; raises `OSError` in one sentence where it cannot be written."""
    folder = cache_directory()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
        reason = "Permission denied"
    except OSError as error:
        writable, reason = False, error.strerror or str(error)
    if not writable:
        raise OSError(f"the cache {folder} cannot be written: {reason}; set {CACHE_VARIABLE} to a folder that can")


def make_once(entry: Path, make: Callable[[], None]) -> None:
    """Call ``make`` where a file or folder of the cache is missing, while other processes that want the same entry wait.

    They wait for a lock, which the system takes back from a process that dies. ``make`` gives the entry its name when it is whole.
    """
    if entry.exists():
        return
    entry.parent.mkdir(parents=True, exist_ok=True)
    with entry.with_name(f".{entry.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not entry.exists():
            make()
