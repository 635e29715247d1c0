"""Whether the trials of a study run each by itself or fused, side by side in arrays, and why: ``runner`` in the study file.

How arrays are run is left to `studies.running`, and what can be in one to `margin_core.training.array`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from margin_core.training.array import why_alone
from studies.extension import processor
from studies.plain_yaml import StudyFileError
from studies.plan import build_cell, one_of_each
from studies.spec import StudySpec

if TYPE_CHECKING:
    from studies.tracking.ledger import Ledger

# Where a ledger keeps it.
_META = "runner"
# Networks so small that a processor is hardly busy with one of them.
_SMALL = ("mlp-", "linear-")


@dataclass(frozen=True)
class Runner:
    """How a study's trials run.

    Attributes:
        kind: ``solo`` or ``fused``.
        why: Why that was chosen, in a few words.
    """

    kind: Literal["solo", "fused"]
    why: str


def choose_runner(spec: StudySpec) -> Runner:
    """How the trials of a study file run.

    Raises:
        StudyFileError: They are to be fused, and cannot be; with the reason.
    """
    if spec.runner == "solo":
        return Runner("solo", "as the study file says")
    reason = why_not_fused(spec)
    if spec.runner == "fused" and reason:
        raise StudyFileError(f"runner: fused is not possible: {reason}")
    if spec.runner == "fused":
        return Runner("fused", "as the study file says")
    return Runner("solo", reason) if reason else _what_pays(spec)


def recorded_runner(spec: StudySpec, ledger: Ledger) -> Runner:
    """How the trials of a study run that may have begun: where the file leaves it open, as before, if that can be. Writes that down.

    Raises:
        StudyFileError: As `choose_runner` does.
    """
    chosen = choose_runner(spec)
    before = ledger.meta(_META) or ("solo" if ledger.trials() else None)  # earlier releases knew no other
    if spec.runner == "auto" and before == "solo":
        chosen = Runner("solo", "as the study began")
    elif spec.runner == "auto" and before == "fused" and not why_not_fused(spec):
        chosen = Runner("fused", "as the study began")
    ledger.set_meta(_META, chosen.kind)
    return chosen


def was_fused(ledger: Ledger) -> bool:
    """Whether the trials of a ledger were fused when it was last run."""
    return ledger.meta(_META) == "fused"


def why_not_fused(spec: StudySpec) -> str:
    """Why the trials of a study cannot be fused, in a few words; empty where they can."""
    if spec.screen is not None and spec.screen.pbt is not None:
        return "screen.pbt hands checkpoints from trial to trial"
    if spec.recipe.processes > 1:
        return f"recipe.processes is {spec.recipe.processes}, and an array has one process"
    if spec.budget.trial.memory_gib is not None:
        return "budget.trial.memory_gib bounds the process of one trial"
    for entry in spec.datasets:
        for family, config in one_of_each(spec).items():
            cell = build_cell(spec, entry.config(), config)
            if reason := why_alone(cell):
                return f"{family} on {cell.dataset.key} with model {spec.model.words}: {reason}"
    return ""


def _what_pays(spec: StudySpec) -> Runner:
    """The faster one of the two, of a study whose trials can be fused."""
    _, device = processor(spec)
    if spec.budget.trial.hours is not None:
        return Runner("solo", "budget.trial.hours bounds each trial's own time")
    if device != "cpu":
        return Runner("solo", "on a GPU fused trials are not chosen yet")
    if spec.model.backbone == "frozen":
        return Runner("fused", "the trained part is a head on features")
    if spec.model.name.startswith(_SMALL):
        return Runner("fused", f"{spec.model.name} is too small to keep a processor busy")
    return Runner("solo", f"{spec.model.name} keeps a processor busy")
