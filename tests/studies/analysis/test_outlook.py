from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from studies.analysis import judge
from studies.analysis.outlook import outlook


def table(seeds, gap, scale=0.3, lost=0):
    rng = np.random.default_rng(5)
    rows = [(s, lam, 90.0 + gap * lam + scale * rng.standard_normal()) for s in range(seeds) for lam in (0.0, 1.0, 2.0)]
    frame = pd.DataFrame(rows, columns=["seed", "lam", "accuracy"])
    frame.loc[: lost - 1, "accuracy"] = np.nan
    return frame


def asked(frame):
    verdict = judge(frame, knob="lam", metric="accuracy", baseline=0.0)
    return verdict, outlook(frame, verdict.question, 0.0)


@pytest.mark.parametrize("gap", [0.0, 0.1, 0.2, 0.4, 0.8])
def test_a_lead_beyond_what_the_seeds_tell_is_what_the_verdict_calls_better(gap):
    verdict, seen = asked(table(8, gap))
    assert verdict.better == (seen.lead > seen.tells_now)
    assert seen.now == 8


def test_more_seeds_tell_less_and_twice_as_many_about_a_root_of_two():
    _, seen = asked(table(20, 0.1))
    assert list(seen.tells) == sorted(seen.tells, reverse=True)
    assert seen.tells_now / seen.tells[seen.seeds.index(40)] == pytest.approx(2**0.5, rel=0.03)


def test_what_a_larger_study_tells_is_what_a_smaller_one_forecast():
    _, few = asked(table(20, 0.1))
    _, many = asked(table(80, 0.1))
    assert few.tells[few.seeds.index(80)] == pytest.approx(many.tells_now, rel=0.25)


def test_the_seeds_for_what_is_told_now_are_those_there_are():
    _, seen = asked(table(10, 0.1))
    assert seen.seeds_for(seen.tells_now) == 10
    assert seen.seeds_for(seen.tells_now / 10.0) == pytest.approx(1000, rel=0.1)
    assert seen.seeds_for(0.0) is None


def test_where_runs_are_missing_there_is_no_outlook_on_fewer_seeds():
    _, seen = asked(table(10, 0.1, lost=1))
    assert seen.seeds == (10, 20, 40)


def test_without_noise_or_a_second_seed_there_is_none():
    assert asked(table(1, 0.1))[1] is None
    assert asked(table(5, 0.1, scale=0.0))[1] is None
