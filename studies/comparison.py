"""Several studies side by side: what they were asked, what each answers, and whether they answer the same.

Studies may differ in anything: two networks on one dataset, a branch and its parent, a run and its repetition. Each is judged by itself, as
its own report does; between them it is asked whether the best value of a knob moves from study to study, and whether trials that
are the same in both, cell and seed, came out the same.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import pandas as pd

from studies.answer import answer
from studies.difference import Difference
from studies.extension import differences
from studies.findings import Answer, Curve, Shift, Winner
from studies.preflight import CallError
from studies.shifting import shifts_between
from studies.spec import StudySpec
from studies.tracking.ledger import Ledger
from studies.workspace import StudyFiles


@dataclass(frozen=True)
class Repeated:
    """The trials that two studies have in common.

    Attributes:
        studies: The two.
        trials: How many trials with the same cell, stage, seed and study seed ended well in both.
        equal: How many of them have the same metric, to the last digit.
        furthest: The greatest difference of the others in the metric's units; 0 where all are equal.
    """

    studies: tuple[str, str]
    trials: int
    equal: int
    furthest: float


@dataclass(frozen=True)
class Compared:
    """What several studies say.

    Attributes:
        answers: What each study found, by what it is called.
        differences: For each study but the first, what is otherwise in its study file.
        shifts: For each dataset and family that two or more of them confirmed with the same metric, whether the best value moves
            from study to study.
        repeated: For each pair with trials in common, whether they came out the same.
    """

    answers: dict[str, Answer]
    differences: dict[str, list[Difference]]
    shifts: dict[tuple[str, str], Shift]
    repeated: tuple[Repeated, ...]

    def curves(self) -> dict[tuple[str, str], dict[str, Curve]]:
        """By dataset and family the curve of each study that confirmed it."""
        found: dict[tuple[str, str], dict[str, Curve]] = {}
        for name, study in self.answers.items():
            for curve in study.curves:
                found.setdefault((curve.dataset, curve.family), {})[name] = curve
        return found

    def winners(self) -> dict[str, dict[str, Winner]]:
        """By dataset what each study would export."""
        found: dict[str, dict[str, Winner]] = {}
        for name, study in self.answers.items():
            for winner in study.winners:
                found.setdefault(winner.dataset, {})[name] = winner
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "studies": {name: study.to_dict() for name, study in self.answers.items()},
            "differences": {name: [vars(entry) for entry in found] for name, found in self.differences.items()},
            "shifts": [
                {"dataset": dataset, "family": family, "knob": shift.knob.name, **shift.verdict.to_dict()}
                for (dataset, family), shift in self.shifts.items()
            ],
            "repeated": [vars(pair) for pair in self.repeated],
        }


def compare_studies(files: Sequence[StudyFiles]) -> Compared:
    """Read studies and hold them side by side.

    Args:
        files: Their files; the first is the one that the others' study files are told apart from.

    Raises:
        CallError: Fewer than two studies are given, or one is given twice.
    """
    names = _names(files)
    answers, results = dict[str, Answer](), dict[str, pd.DataFrame]()
    for name, of in zip(names, files, strict=True):
        with Ledger(of.ledger, read_only=True) as ledger:
            table = ledger.final_metrics()
            answers[name] = answer(ledger, table)
            results[name] = _results(table, answers[name].spec)
    first = answers[names[0]].spec
    told = {name: differences(first, answers[name].spec) for name in names[1:]}
    compared = Compared(answers, told, {}, tuple(pair for pair in _pairs(results) if pair.trials))
    return replace(compared, shifts=_shifts(compared))


def _names(files: Sequence[StudyFiles]) -> list[str]:
    """What each study is called: its directory's name, and where two have the same, the directory itself."""
    if len({of.directory.resolve() for of in files}) < len(files):
        raise CallError("a study is named twice; compare takes different ones")
    if len(files) < 2:
        raise CallError("compare takes two studies or more")
    times = Counter(of.directory.name for of in files)
    return [of.directory.name if times[of.directory.name] == 1 else str(of.directory) for of in files]


def _shifts(compared: Compared) -> dict[tuple[str, str], Shift]:
    found = {}
    for key, by_study in compared.curves().items():
        asked = {(curve.knob.name, curve.verdict.question.metric) for curve in by_study.values()}
        if len(by_study) > 1 and len(asked) == 1:
            curves = [replace(curve, dataset=name) for name, curve in by_study.items()]
            alpha = min(compared.answers[name].spec.alpha for name in by_study)
            (found[key],) = shifts_between(curves, (), alpha=alpha)
    return found


def _results(table: pd.DataFrame, spec: StudySpec) -> pd.DataFrame:
    """The study's metric of each trial that ended well, under what makes a trial the same in any study."""
    well = table[table["status"] == "finished"]
    values = pd.to_numeric(well[spec.metric]) if spec.metric in well else pd.Series(math.nan, index=well.index)
    return pd.DataFrame({"key": well["key"], "seed": spec.seed, "metric": spec.metric, "value": values}).dropna()


def _pairs(results: dict[str, pd.DataFrame]) -> list[Repeated]:
    pairs = []
    for one, other in combinations(results, 2):
        both = results[one].merge(results[other], on=["key", "seed", "metric"], suffixes=("", "_other"))
        apart = (both["value"] - both["value_other"]).abs()
        pairs.append(Repeated((one, other), len(both), int((apart == 0).sum()), float(apart.max()) if len(both) else 0.0))
    return pairs
