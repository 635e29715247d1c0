"""The lines through a curve's means: what they follow, what they leave alone, and when there are none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from studies.analysis.overlay import Overlay, overlay

VALUES = np.linspace(0.0, 3.0, 7)
PLACES = {float(value): float(value) / 3.0 for value in VALUES}


def table(curve, noise, seeds=10, values=VALUES, seed=0):
    """A run of each value with each seed: ``curve``, what the seed adds, and noise."""
    chance = np.random.default_rng(seed)
    levels = chance.normal(0.0, 2.0, seeds)
    rows = [
        {"seed": each, "lam": float(value), "acc": 90.0 + levels[each] + curve(value) + noise * chance.normal()}
        for each in range(seeds)
        for value in values
    ]
    return pd.DataFrame(rows)


def lines(runs) -> Overlay:
    found = overlay(runs, knob="lam", metric="acc", places=PLACES)
    assert found is not None
    return found


def hill(value):
    return 2.0 * np.exp(-(((value - 1.2) / 0.7) ** 2))


def level_of(runs):
    return float(runs["acc"].mean())


def test_the_process_follows_a_curve_between_its_values():
    runs = table(hill, 0.05)
    found = lines(runs)
    truth = hill(np.array(found.at) * 3.0)
    off = np.array(found.process) - level_of(runs) - (truth - hill(VALUES).mean())
    assert np.abs(off).max() < 0.15
    assert found.at[int(np.argmax(found.process))] * 3.0 == pytest.approx(1.2, abs=0.1)


def test_noise_alone_hardly_bends_it():
    bends = [np.ptp(lines(table(lambda value: 0.0, 1.0, seed=seed)).process) for seed in range(40)]
    spreads = [np.ptp(table(lambda value: 0.0, 1.0, seed=seed).groupby("lam")["acc"].mean()) for seed in range(40)]
    assert np.median(bends) < 0.3 * np.median(spreads)


def test_it_goes_through_means_without_any_noise():
    runs = table(hill, 0.0, seeds=3)
    found = lines(runs)
    means = runs.groupby("lam")["acc"].mean()
    assert np.interp([PLACES[value] for value in means.index], found.at, found.process) == pytest.approx(means.to_numpy(), abs=0.02)


def test_a_cubic_is_drawn_where_it_fits_and_not_where_it_does_not():
    def cubic(value):
        return 0.3 * (value - 0.5) * (value - 1.5) * (value - 2.6)

    runs = table(cubic, 0.1, seed=3)
    found = lines(runs)
    truth = cubic(np.array(found.at) * 3.0) - cubic(VALUES).mean()
    assert np.abs(np.array(found.cubic) - level_of(runs) - truth).max() < 0.2
    assert lines(table(hill, 0.05)).cubic == []


@pytest.mark.parametrize(("shift", "factor"), [(-90.0, 1.0), (0.0, 0.01)])
def test_other_units_give_the_same_lines(shift, factor):
    runs = table(hill, 0.3)
    found, other = lines(runs), lines(runs.assign(acc=(runs["acc"] + shift) * factor))
    for one, two in ((found.process, other.process), (found.cubic, other.cubic)):
        assert (np.array(one) + shift) * factor == pytest.approx(np.array(two), rel=1e-6, abs=1e-6)


def test_missing_runs_leave_lines_through_those_that_are_there():
    runs = table(hill, 0.05)
    whole = lines(runs).process
    runs.loc[::9, "acc"] = np.nan
    assert np.abs(np.array(lines(runs).process) - whole).max() < 1.0


@pytest.mark.parametrize("runs", [table(hill, 0.1, values=VALUES[:3]), table(hill, 0.1, seeds=1)])
def test_too_few_values_or_seeds_have_no_lines(runs):
    assert overlay(runs, knob="lam", metric="acc", places=PLACES) is None
