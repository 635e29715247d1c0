"""Looks at the environment a study needs, and says what to do about what is wrong. Nothing here changes anything."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement

State = Literal["ok", "note", "wrong"]
_DISTRIBUTION = "margin-studies"
_LEAST_DISK = 2 * 1024**3


@dataclass(frozen=True)
class Check:
    """One thing looked at.

    Attributes:
        name: What was looked at.
        state: ``ok``, ``note`` (a study runs, but know this) or ``wrong`` (a study does not run).
        found: What is there.
        advice: What to do, or empty.
    """

    name: str
    state: State
    found: str
    advice: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def examine(*, address: str | None, tracking_uri: str | None, workdir: Path, data_root: Path | None) -> list[Check]:
    """Every check, in the order in which a person would mend things."""
    checks = [_python(), *_versions(), _torchvision()]
    if all(check.state != "wrong" for check in checks):
        checks.append(_gpu())
    checks += [_ray(address), _tracking(tracking_uri), _other_packages(), _data_root(data_root), _workdir(workdir), _disk(workdir)]
    return checks


def _python() -> Check:
    found = platform.python_version()
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Check("Python", "ok", found)
    return Check("Python", "wrong", found, "make the environment with Python 3.11, 3.12 or 3.13")


def _versions() -> Iterator[Check]:
    try:
        wanted = [Requirement(text) for text in requires(_DISTRIBUTION) or []]
    except PackageNotFoundError:
        yield Check(_DISTRIBUTION, "wrong", "not installed", "run: pip install -c constraints.txt -e .")
        return
    for need in wanted:
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(need.name)
        except PackageNotFoundError:
            yield Check(need.name, "wrong", "not installed", f"run: pip install '{need}'")
            continue
        fits = need.specifier.contains(found, prereleases=True)
        yield Check(need.name, "ok" if fits else "wrong", found, "" if fits else f"run: pip install '{need}'")


def _torchvision() -> Check:
    """Torch and torchvision must be of one build: a CPU-only torch beside the default torchvision fails to import."""
    try:
        importlib.import_module("torchvision")
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        advice = (
            "torch and torchvision are not of one build; install both from the same index: pip install -c constraints.txt torch torchvision"
        )
        return Check("torch with torchvision", "wrong", reason, advice)
    return Check("torch with torchvision", "ok", "import together")


def _gpu() -> Check:
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(place) for place in range(torch.cuda.device_count())]
        return Check("GPU", "ok", ", ".join(names))
    return Check("GPU", "note", "none that torch can use", "trials run on the processor; leave resources.gpu at 0")


def _ray(address: str | None) -> Check:
    from studies.running.address import check_address

    if address in (None, "local"):
        return Check("Ray", "ok", f"starts here, on {os.cpu_count()} processors")
    return _trying(
        "Ray", lambda: check_address(address), f"answers at {address}", "start the cluster (ray up cluster.yaml) or leave --address out"
    )


def _tracking(uri: str | None) -> Check:
    from studies.tracking.address import check_tracking_uri, without_credentials

    if uri is None:
        return Check("MLflow", "ok", "a store of its own in the work directory")
    shown = without_credentials(uri)
    return _trying("MLflow", lambda: check_tracking_uri(uri), f"answers at {shown}", "start the server, or leave --tracking-uri out")


def _other_packages() -> Check:
    """What other packages declare by entry points: families, datasets and models."""
    from margin_core.data import SOURCES
    from margin_core.entry_points import other_packages
    from margin_core.losses import FAMILIES
    from margin_core.models import MODELS

    packages = ", ".join(f"{name} {version}" for name, version in sorted(other_packages().items()))
    if faults := [fault for declarations in (FAMILIES, SOURCES, MODELS) for fault in declarations.all()[1]]:
        return Check("other packages", "wrong", "; ".join(faults), f"mend or uninstall what is at fault: {packages}")
    return Check("other packages", "ok", packages or "none declares a family, a dataset or a model")


def _data_root(given: Path | None) -> Check:
    from margin_core.data import SOURCES, check_dataset, resolve_data_root

    root = resolve_data_root(given)
    names = [source.name for source in SOURCES.all()[0] if source.named is None]
    ready = []
    for name in names:
        try:
            check_dataset(name, root)
        except (ValueError, OSError):
            continue
        ready.append(name)
    found = f"{root or 'none given'}; ready: {', '.join(ready)}"
    if root is not None and not root.is_dir():
        return Check("data root", "wrong", f"{root} is not a directory", "give --data-root or set MARGIN_DATA to where the datasets lie")
    if len(ready) == len(names):
        return Check("data root", "ok", found)
    return Check("data root", "note", found, "give --data-root or set MARGIN_DATA for the others")


def _workdir(workdir: Path) -> Check:
    """Looks without making anything: the nearest folder that exists must be writable."""
    there = _existing(workdir)
    if there.is_dir() and os.access(there, os.W_OK):
        return Check("work directory", "ok", str(workdir))
    return Check("work directory", "wrong", f"{there} cannot be written", "give another --workdir")


def _disk(workdir: Path) -> Check:
    free = shutil.disk_usage(_existing(workdir)).free
    found = f"{free / 1024**3:.0f} GiB free"
    if free < _LEAST_DISK:
        return Check("disk", "wrong", found, "free some space, or give another --workdir")
    return Check("disk", "ok", found)


def _existing(path: Path) -> Path:
    path = path.resolve()
    return path if path.exists() else _existing(path.parent)


def _trying(name: str, look: Callable[[], None], found: str, advice: str) -> Check:
    try:
        look()
    except (OSError, ValueError) as error:
        return Check(name, "wrong", str(error), advice)
    return Check(name, "ok", found)
