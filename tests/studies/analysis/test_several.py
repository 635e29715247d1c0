from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from studies.analysis import Verdict, judge, judge_each


def asked(gap: float, seed: int = 0) -> Callable[[float], Verdict]:
    """`judge` of one dataset whose value 1 is ahead of the baseline by a gap."""
    noise = np.random.default_rng(seed).normal(0.0, 0.1, (5, 3))
    rows = [(s, lam, 90.0 + gap * (lam == 1.0) + noise[s, j]) for s in range(5) for j, lam in enumerate((0.0, 1.0, 2.0))]
    table = pd.DataFrame(rows, columns=["seed", "lam", "accuracy"])
    return lambda alpha: judge(table, knob="lam", metric="accuracy", baseline=0.0, alpha=alpha)


def levels(verdicts: dict[str, Verdict]) -> list[float]:
    return sorted({verdict.question.alpha for verdict in verdicts.values()})


def test_one_dataset_is_judged_as_it_is_alone() -> None:
    ask = asked(0.3)
    assert judge_each({"cub": ask}, alpha=0.05) == {"cub": ask(0.05)}


def test_without_a_finding_every_dataset_is_judged_at_its_share() -> None:
    found = judge_each({"a": asked(0.0, 1), "b": asked(0.0, 2), "c": asked(0.0, 3)}, alpha=0.06)
    assert levels(found) == [pytest.approx(0.02)]


def test_each_finding_leaves_the_others_a_larger_share() -> None:
    found = judge_each({"a": asked(1.0, 1), "b": asked(0.0, 2), "c": asked(0.0, 3)}, alpha=0.06)
    assert levels(found) == [pytest.approx(0.03)]
    assert [name for name, verdict in found.items() if verdict.better] == ["a"]
    assert levels(judge_each({"a": asked(1.0, 1), "b": asked(1.0, 2)}, alpha=0.06)) == [pytest.approx(0.06)]


def test_the_claims_are_those_of_holms_steps_on_p_values() -> None:
    tables = {str(seed): asked(0.12 * (seed % 3), seed) for seed in range(6)}
    grid = np.geomspace(1e-4, 0.4, 256)
    p = {name: [*grid, 1.0][bisect_left(grid, True, key=lambda alpha: ask(alpha).better)] for name, ask in tables.items()}
    rejected: set[str] = set()
    for step, name in enumerate(sorted(p, key=p.__getitem__)):
        if p[name] > 0.05 / (len(p) - step):
            break
        rejected.add(name)
    assert 0 < len(rejected) < len(p)
    assert {name for name, verdict in judge_each(tables, alpha=0.05).items() if verdict.better} == rejected


def test_datasets_that_cannot_be_judged_yet_have_their_share() -> None:
    assert levels(judge_each({"a": asked(0.0)}, alpha=0.06, datasets=3)) == [pytest.approx(0.02)]
