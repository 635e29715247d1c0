"""What a branch takes over from its parent: the trials of a stage that are the same in both, so that they are not run again.

A trial is the same where cell, seed and stage are, and where it was measured in the same way. What a stage asks for may depend on the
one before, so each stage takes over its own trials when it is laid out; a run that was cut short in between does so again.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from studies.answer import stage_arms
from studies.claim import recorded_study
from studies.extension import processor
from studies.plan import Stage, arm_trials, screen_trials
from studies.screen_section import LEARNING
from studies.spec import StudySpec
from studies.tracking.ledger import Ledger
from studies.tracking.records import LedgerError, TrialRecord
from studies.workspace import StudyFiles, study_files


def take_over(spec: StudySpec, stage: Stage, ledger: Ledger, files: StudyFiles) -> None:
    """Copy what the parent holds of a stage; nothing where the study is no branch.

    Raises:
        LedgerError: The parent is not where it was, and the stage has not taken its trials over yet.
    """
    parent = json.loads(ledger.meta("parent") or "{}")
    if not parent or ledger.meta(f"taken_over.{stage}"):
        return
    origin = study_files(files.directory.parent, parent["study"])
    if not _is_there(origin, parent["study_id"]):
        raise LedgerError(f"{spec.name} is a branch of {parent['study']}, which is not in {origin.directory}; bring it back to go on")
    with Ledger(origin.ledger, read_only=True) as source:
        same = _same_trials(spec, recorded_study(source), stage, ledger, source)
        for trial in same:  # before the ledger says that they are here
            for folder, suffixes in (("examples", (".npz",)), ("checkpoints", (".pt", ".json"))):
                for suffix in suffixes:
                    _copy(origin.directory / folder / f"{trial.key}{suffix}", files.directory / folder)
        ledger.copy_trials(source, [trial.key for trial in same], parent["study"])
        if stage == "screen" and same:
            ledger.copy_suggestions(source, {entry.config().key for entry in spec.datasets})
    ledger.set_meta(f"taken_over.{stage}", str(len(same)))


def _is_there(origin: StudyFiles, study_id: str) -> bool:
    if not origin.ledger.is_file():
        return False
    with Ledger(origin.ledger, read_only=True) as ledger:
        return ledger.meta("study_id") == study_id


def _same_trials(spec: StudySpec, was: StudySpec, stage: Stage, ledger: Ledger, source: Ledger) -> list[TrialRecord]:
    """The parent's trials of a stage that have a result and that the branch asks for too. One that failed is tried again."""
    if (spec.seed, spec.record, processor(spec)) != (was.seed, was.record, processor(was)):
        return []
    trials = [trial for trial in source.trials(stage) if trial.status in ("finished", "stopped", "diverged")]
    if stage == "test":
        return []  # the branch makes a choice of its own, which the test split has not judged
    if stage != "screen":
        planned = {trial.key for trial in arm_trials(spec, stage, stage_arms(spec, stage, ledger))}
    elif not _same_search(spec, was):
        return []
    elif spec.screen is not None and (spec.screen.searcher in LEARNING or spec.screen.pbt is not None):
        datasets = {entry.config().key for entry in spec.datasets}
        return [trial for trial in trials if trial.dataset in datasets]
    else:
        planned = {trial.key for trial in screen_trials(spec)}
    return [trial for trial in trials if trial.key in planned]


def _same_search(spec: StudySpec, was: StudySpec) -> bool:
    """Whether the parent's screen would have run these trials, and to these ends, had it been the branch's."""
    here, there = spec.screen, was.screen
    if here is None or there is None:
        return False
    rules = here.asha, here.hyperband, here.median, here.racing, here.pbt
    if rules != (there.asha, there.hyperband, there.median, there.racing, there.pbt) or (any(rules) and spec.metric != was.metric):
        return False  # which trials are stopped early, or run at all, depends on the metric
    if here.pbt is not None and here.seeds != there.seeds:
        return False
    if not {here.searcher, there.searcher} & {*LEARNING} and here.pbt is None:
        return True
    amount = {"trials", "seeds"}
    alike = (here.model_dump(exclude=amount), spec.space(), spec.metric, spec.model, spec.recipe) == (
        there.model_dump(exclude=amount),
        was.space(),
        was.metric,
        was.model,
        was.recipe,
    )
    entries = {entry.config().key: entry for entry in was.datasets}
    kept = all(entries.get(entry.config().key, entry) == entry for entry in spec.datasets)
    return alike and kept and (here.trials or 0) >= (there.trials or 0) and here.seeds >= there.seeds


def _copy(file: Path, folder: Path) -> None:
    if file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f"{file.name}.new"
        shutil.copyfile(file, unfinished)
        os.replace(unfinished, folder / file.name)
