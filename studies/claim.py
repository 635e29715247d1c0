"""What a ledger says of its study: written into a new one, compared with the study file of a later run, and changed by it.

A changed study file either goes on, which is recorded with its time and differences, or is refused, or makes a branch: a study of its
own beside its parent, which takes over the trials that are the same in both (`studies.branching`).
"""

from __future__ import annotations

import json
import platform
import uuid
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec

from margin_core.entry_points import other_packages
from studies.difference import Difference
from studies.extension import differences, extends, hindrances
from studies.spec import StudySpec, study_from
from studies.tracking.ledger import Ledger
from studies.tracking.records import ChangeKind
from studies.workspace import StudyError, StudyFiles

_RECORDED_PACKAGES = ("torch", "torchvision", "ray", "optuna", "cmaes", "mlflow", "timm", "numpy", "pandas")


def recorded_study(ledger: Ledger) -> StudySpec:
    """The study file that a ledger goes by.

    Raises:
        StudyError: The study was cut short before its file was written.
    """
    return study_from(ledger.study_file())


def check_claim(spec: StudySpec, files: StudyFiles, parent: StudyFiles | None = None) -> None:
    """Look whether `claim` would refuse, and write nothing.

    Raises:
        StudyError: As `claim` does.
    """
    if parent is not None:
        _check_parent(spec, parent)
    if files.ledger.is_file() and files.ledger.stat().st_size:
        with Ledger(files.ledger, read_only=True) as ledger:
            _check(ledger, spec, parent)


def claim(ledger: Ledger, spec: StudySpec, parent: StudyFiles | None = None) -> None:
    """Write what the study is into a new ledger, and what has changed into one that goes on.

    Args:
        ledger: The study's ledger.
        spec: The study file.
        parent: The files of the study that this one is a branch of, where it is to be one.

    Raises:
        StudyError: The study file would mix other trials into what is there; or what is there is no branch of ``parent``.
    """
    _check(ledger, spec, parent)
    facts = {"spec": json.dumps(spec.model_dump(mode="json")), "environment": json.dumps(_environment())}
    if ledger.meta("spec") is not None:
        changed = differences(recorded_study(ledger), spec)
        kind: ChangeKind = "extended" if extends(changed) else "continued"
        changed += _other_versions(ledger)
        ledger.write_study(facts, (kind, changed) if changed else None)
        return
    facts["study_id"] = uuid.uuid4().hex
    if parent is None:
        ledger.write_study(facts)
        return
    with Ledger(parent.ledger, read_only=True) as origin:
        was = recorded_study(origin)
        facts["parent"] = json.dumps({"study": was.name, "study_id": origin.meta("study_id")})
        ledger.write_study(facts, ("branched", differences(was, spec) + _other_versions(origin)))


def _check(ledger: Ledger, spec: StudySpec, parent: StudyFiles | None) -> None:
    if ledger.meta("spec") is None:
        return
    where = ledger.path.parent
    if parent is not None:
        with Ledger(parent.ledger, read_only=True) as origin:
            if json.loads(ledger.meta("parent") or "{}").get("study_id") != origin.meta("study_id"):
                raise StudyError(f"{where} holds a study that is no branch of {parent.directory.name}; give the branch another name")
    if found := hindrances(recorded_study(ledger), spec):
        raise StudyError(
            f"{where} holds a study of this name, and with this study file it would mix trials that do not belong together:\n"
            f"{_lines(found)}\n"
            "give the study another name with --set name=... or another --workdir, or make it a branch, which takes over the trials "
            "that are the same in both: --branch NAME"
        )


def _check_parent(spec: StudySpec, parent: StudyFiles) -> None:
    name = parent.directory.name
    if spec.name == name:
        raise StudyError(f"--branch must be another name than the study's own, got {name!r}")
    if not parent.ledger.is_file():
        raise StudyError(f"there is no study {name!r} in {parent.directory.parent} to branch from")
    with Ledger(parent.ledger, read_only=True) as ledger:
        if not differences(recorded_study(ledger), spec):
            raise StudyError(f"nothing differs from the study {name!r}, which goes on without --branch")


def _lines(found: Sequence[Difference]) -> str:
    return "\n".join(f"  {difference}" for difference in found)


def _environment() -> dict[str, str]:
    return (
        {name: version(name) for name in _RECORDED_PACKAGES if find_spec(name)} | other_packages() | {"python": platform.python_version()}
    )


def _other_versions(ledger: Ledger) -> list[Difference]:
    """The packages whose versions are others than those that a ledger's trials ran with."""
    was, now = json.loads(ledger.meta("environment") or "{}"), _environment()
    return [Difference(f"environment.{name}", was[name], now.get(name)) for name in was if was[name] != now.get(name)]
