"""How often a study's results were looked at before more was run, and whether what they are judged by was fixed before they were there.

Both are read from the changes that the ledger keeps with their times. An extension after trials of a stage have ended is taken for the
answer to a look at them, for nothing tells that it was not; what a look costs is the rule of `studies.analysis.rule`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from studies.difference import Difference
from studies.plan import Stage
from studies.tracking.records import Change, TrialRecord

_JUDGED_BY = ("alpha", "sesoi", "strict")
_CHOOSING = ("screen", "families", "regularizers", "nuisance", "confirm")


def looks(stage: Stage, changes: Sequence[Change], trials: Sequence[TrialRecord]) -> dict[str, int]:
    """For each dataset how many times its results of ``stage`` are looked at, this time included.

    Args:
        stage: The stage that is judged.
        changes: How the study came to be what it is.
        trials: Its trials.
    """
    again = [change for change in changes if any(entry.key.partition(".")[0] in (*_CHOOSING, stage) for entry in change.differences)]
    mine = dict[str, list[TrialRecord]]()
    for trial in trials:
        if trial.stage == stage:
            mine.setdefault(trial.dataset, []).append(trial)
    return {dataset: 1 + len(_seen(again, ended)) for dataset, ended in mine.items()}


def afterthoughts(changes: Sequence[Change], trials: Sequence[TrialRecord]) -> tuple[Difference, ...]:
    """What ``alpha``, ``sesoi`` and ``strict`` were changed to when trials of the confirm stage had ended already."""
    seen = _seen(changes, [trial for trial in trials if trial.stage == "confirm"])
    found = [difference for change in seen for difference in change.differences]
    return tuple(difference for difference in found if difference.key in _JUDGED_BY)


def _seen(changes: Sequence[Change], trials: Sequence[TrialRecord]) -> list[Change]:
    """The changes that were made when some of the trials had ended; in a branch, also those that set it off from a parent that had some."""
    copied = any(trial.copied_from for trial in trials)
    first = min((trial.ended for trial in trials if trial.ended is not None), default=math.inf)
    return [change for change in changes if (change.kind == "branched" and copied) or (change.kind == "extended" and first <= change.at)]
