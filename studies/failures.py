"""Why trials fail and what is done about it: the section ``failures`` of a study file, and the words for each cause.

Which cause an error has is told by `studies.running.causes`; when a study stops for its failures is the section ``tolerance``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import Field

from studies.sections import Section, ToleranceSection

Cause = Literal["memory", "data", "hang", "time", "node", "process", "code", "diverged"]
CAUSES: tuple[Cause, ...] = get_args(Cause)

WORDS: Mapping[Cause, str] = {
    "memory": "out of memory",
    "data": "its data or files failed",
    "hang": "it hung",
    "time": "its time was up",
    "node": "its node was lost",
    "process": "its process died",
    "code": "its code raised",
    "diverged": "not finite",
}
"""What a trial's reason begins with, whatever else it says."""


@dataclass(frozen=True)
class Policy:
    """What is done about a failure.

    Attributes:
        tries: How often a trial is tried in all; 1 gives it up at once.
        elsewhere: Whether it is tried again on another node, where there is one.
    """

    tries: int
    elsewhere: bool = False


# A node that may be taken back at any time is lost many times in the life of a study: the bound is for a trial that takes its node down.
_DEFAULTS: Mapping[Cause, Policy] = {
    "memory": Policy(2, elsewhere=True),
    "data": Policy(2, elsewhere=True),
    "hang": Policy(2, elsewhere=True),
    "time": Policy(1),
    "node": Policy(21),
    "code": Policy(1),
    "diverged": Policy(1),
}


class PolicySection(Section):
    """What is done about the failures of one cause.

    Attributes:
        tries: How often a trial is tried in all, by default as the cause's table says; 1 gives it up at once.
        elsewhere: Whether it is tried again on another node, where there is one.
    """

    tries: int | None = Field(None, ge=1)
    elsewhere: bool | None = None


class FailuresSection(Section):
    """What is done about failed trials, by cause.

    Attributes:
        memory: No memory was left, of the GPU or the machine, or the trial took more than ``budget.trial.memory_gib``.
        data: Reading the dataset raised, or reading or writing files did.
        hang: Nothing was heard of it for too long.
        node: Its node died or was taken back.
        process: Its process died by itself; ``tries`` is by default one more than ``tolerance.retries``.
        code: Anything else raised.
        diverged: Loss or weights were not finite. The same trial has the same numbers on the same machine.
    """

    memory: PolicySection = PolicySection()
    data: PolicySection = PolicySection()
    hang: PolicySection = PolicySection()
    node: PolicySection = PolicySection()
    process: PolicySection = PolicySection()
    code: PolicySection = PolicySection()
    diverged: PolicySection = PolicySection()

    def policies(self, tolerance: ToleranceSection) -> dict[Cause, Policy]:
        """What is done for each cause. A trial whose time is up is never tried again: its time counts over all tries.

        Example:
            >>> failures = FailuresSection(hang=PolicySection(tries=3))
            >>> failures.policies(ToleranceSection())["hang"]
            Policy(tries=3, elsewhere=True)
        """
        found = {}
        for cause, default in {**_DEFAULTS, "process": Policy(tolerance.retries + 1)}.items():
            asked = getattr(self, cause, PolicySection())
            elsewhere = default.elsewhere if asked.elsewhere is None else asked.elsewhere
            found[cause] = Policy(asked.tries or default.tries, elsewhere)
        return found


def cause_in(reason: str) -> Cause:
    """The cause that a failed trial's reason begins with; ``code`` of a reason that an earlier release wrote."""
    return next((cause for cause in CAUSES if reason.startswith(WORDS[cause])), "code")
