"""What stands at the top of a report so that nobody takes a part for the whole: what is not done yet, and what the answer rests on.

The report, the terminal's answer and the text report share them.
"""

from __future__ import annotations

from studies.findings import Answer
from studies.reporting.wording import counted, plain

UNFINISHED = ("interrupted", "paused", "running")


def notes(answer: Answer) -> list[str]:
    """What the study has not done yet, so that nobody takes a part for the whole."""
    spec, said = answer.spec, []
    if answer.parent:
        said.append(f"A branch of {answer.parent}: {counted(answer.copied, 'trial')} ran there and not here.")
    if answer.warm_start:
        said.append(f"{str(answer.warm_start)[:1].upper()}{str(answer.warm_start)[1:]}.")
    if seen := sum(change.kind == "extended" and change.ended > 0 for change in answer.history):
        said.append(
            f"Extended {counted(seen, 'time')} after trials had ended. Each look at more of the same is judged at a quarter of the alpha "
            "of the one before, so that all together seldom err; looks while the study ran are not counted."
        )
    for entry in answer.afterthoughts:
        said.append(f"Changed after confirm trials had ended, when their results could be known: {entry}.")
    if answer.superseded:
        said.append(f"{counted(answer.superseded, 'confirm trial')} measured cells that the screen, since it grew, no longer chooses.")
    counts = answer.counts
    begun = set(counts["stage"]) if len(counts) else set()
    open_trials = int(counts.loc[counts["status"].isin(UNFINISHED), "trials"].sum()) if len(counts) else 0
    if not begun:
        said.append("No trial has started yet.")
    if answer.ended_early:
        said.append(f"The study ended before it was complete: {answer.ended_early}.")
    if open_trials:
        said.append(f"{counted(open_trials, 'trial')} still running or interrupted: this is the answer so far.")
    if spec.confirm is None:
        said.append("This study has no confirm stage: it looks for good settings and does not judge them.")
    elif answer.screen["value"].isna().all() and len(answer.screen) and "confirm" not in begun:
        said.append("No screened configuration has ended well, so there is nothing to confirm.")
    elif begun and "confirm" not in begun:
        said.append("The confirm stage has not started: nothing here has been checked on fresh seeds.")
    elif begun:
        said += [*_seed_notes(answer, spec.confirm.seeds), *_nuisance_notes(answer)]
    return said


def _nuisance_notes(answer: Answer) -> list[str]:
    """Which nuisance values most cells have from an end of what was tried: who compares there may compare a shortage of tuning."""
    said = []
    for name, tried in answer.spec.nuisance.items():
        numbers = [each for each in tried if isinstance(each, float | int)] if isinstance(tried, list) else []
        if len(numbers) < 2:
            continue
        chosen = [
            value
            for curve in answer.curves
            for at in {float(each) for each in curve.table[curve.knob.name]}
            if isinstance(value := curve.tuned.get(name, {}).get(at, curve.held.get(name)), float | int)
        ]
        for end, which in ((min(numbers), "least"), (max(numbers), "greatest")):
            if 2 * (count := sum(value == end for value in chosen)) > len(chosen):
                said.append(
                    f"{name} is {plain(end)}, the {which} value tried, in {count} of {counted(len(chosen), 'cell')}: "
                    "with values beyond it the comparison may come out otherwise."
                )
    return said


def _seed_notes(answer: Answer, planned: int) -> list[str]:
    if planned < 2:
        return ["A single seed per cell: noise cannot be estimated, so nothing is judged."]
    said = []
    for dataset, table in answer.baselines.items():
        mine = answer.lost[(answer.lost["dataset"] == dataset) & (answer.lost["family"] == "ce")]
        lost = sum(str(key).startswith("confirm-") for key in mine["key"])
        if lost and table.empty:
            said.append(f"On {dataset}, every replicate of cross-entropy was lost: there is nothing to measure gains against.")
        elif len(table) + lost < planned:
            said.append(f"On {dataset}, {len(table) + lost} of {planned} confirm seeds have ended for cross-entropy so far.")
    return said
