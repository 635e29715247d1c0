"""Which of the screen's choices were made before the seeds that measure them.

The screen chooses by its own seeds alone, and in an unbroken study all of it lies before the first confirm seed. A screen that is
extended later may choose a cell that has been measured on the curve by then, and whoever extended it may have seen that. Such a
choice is a choice, but it was not made beforehand.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

from studies.plan import Arm, confirm_arms
from studies.spec import StudySpec
from studies.tracking.ledger import Ledger
from studies.tracking.records import TrialRecord


def chosen_beforehand(spec: StudySpec, ledger: Ledger, trials: list[TrialRecord], arms: list[Arm]) -> set[str]:
    """The nominees among ``arms``, by their cells' ids, that the screen's results chose already when their first confirm seed began.

    Args:
        spec: The study.
        ledger: Its ledger.
        trials: The ledger's trials, in the order in which they started.
        arms: The cells of the confirm stage.
    """
    first: dict[str, float] = {}
    for trial in trials:
        if trial.stage == "confirm":
            first.setdefault(trial.cell_id, trial.started)
    endings = sorted(math.inf if trial.ended is None else trial.ended for trial in trials if trial.stage == "screen")
    by_knowledge: dict[int, set[str]] = {}
    for arm in arms:
        if arm.nominee:
            begun = first.get(arm.cell.cell_id, math.inf)
            by_knowledge.setdefault(bisect_right(endings, begun), set()).add(arm.cell.cell_id)
    chosen = by_knowledge.pop(len(endings), set())
    for known, cells in by_knowledge.items():
        results = ledger.screen_results(spec.metric, ended_by=endings[known - 1] if known else -math.inf)
        chosen |= cells & {arm.cell.cell_id for arm in confirm_arms(spec, results) if arm.nominee}
    return chosen


def zoomed_beforehand(trials: Sequence[TrialRecord], arms: Sequence[Arm]) -> set[str]:
    """The nominees among the ``arms`` of the zoom stage, by their cells' ids, that began after the last confirm trial had ended.

    A confirm stage that was extended later may choose otherwise, and whoever extended it may have seen what the zoom says.
    """
    settled = max((math.inf if trial.ended is None else trial.ended for trial in trials if trial.stage == "confirm"), default=-math.inf)
    first: dict[str, float] = {}
    for trial in trials:
        if trial.stage == "zoom":
            first.setdefault(trial.cell_id, trial.started)
    return {arm.cell.cell_id for arm in arms if arm.nominee and first.get(arm.cell.cell_id, math.inf) >= settled}
