"""Where the running trials of a study are, and what they hold: written by the driver as they come and go, read by ``status``.

It is a file beside the ledger that is replaced again and again, and no part of the record: when the driver is gone it means nothing.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from studies.workspace import StudyFiles

_FILE, _LOCK = "placement.json", "driver.lock"


@dataclass(frozen=True)
class Place:
    """Where a trial runs.

    Attributes:
        key: The trial.
        node: The node's host name and address; empty until its first report.
        since: When it started there, in seconds since 1970.
        cpu: Processors that it holds.
        gpu: GPUs that it holds; a fraction is a share of one.
    """

    key: str
    node: str
    since: float
    cpu: float
    gpu: float


@dataclass(frozen=True)
class ArrayPlace:
    """Where an array of fused trials runs, and how full it is.

    Attributes:
        number: Which one it is, from 1.
        node: The node's host name and address; empty until it is up.
        since: When it was started, in seconds since 1970.
        trials: How many trials it has now.
        places: How many it holds at most.
        cpu: Processors that it holds.
        gpu: GPUs that it holds.
    """

    number: int
    node: str
    since: float
    trials: int
    places: int
    cpu: float
    gpu: float


@dataclass(frozen=True)
class Placement:
    """All running trials, and the cluster that they run on.

    Attributes:
        trials: The running trials; those of arrays hold nothing themselves.
        nodes: How many nodes live.
        there: What the nodes have: ``CPU``, ``GPU``.
        used: What of it is held, by this study or others.
        arrays: The arrays, where trials are fused.
        full: In how much of the time of the arrays' places a trial was trained there, from the stage's start to its tail; None before that
            can be told.
    """

    trials: list[Place] = field(default_factory=list)
    nodes: int = 0
    there: dict[str, float] = field(default_factory=dict)
    used: dict[str, float] = field(default_factory=dict)
    arrays: list[ArrayPlace] = field(default_factory=list)
    full: float | None = None


def write_placement(directory: Path, placement: Placement) -> None:
    """Put ``placement`` in the place of what was known before."""
    part = directory / f"{_FILE}.part"
    part.write_text(json.dumps(asdict(placement)))
    os.replace(part, directory / _FILE)


def read_placement(files: StudyFiles) -> Placement | None:
    """Where the trials of a study run now, or None where no driver runs it."""
    file = files.directory / _FILE
    if not file.exists() or not _driven(files):
        return None
    data = json.loads(file.read_text())
    trials, arrays = [Place(**place) for place in data["trials"]], [ArrayPlace(**array) for array in data["arrays"]]
    return Placement(**{**data, "trials": trials, "arrays": arrays})


def _driven(files: StudyFiles) -> bool:
    """Whether a driver holds the study's lock."""
    try:
        with (files.directory / _LOCK).open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
