from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studies.reporting.windows import gain_window, knob_positions, metric_window, sparse_labels

METRIC = st.floats(-100.0, 100.0)


@given(st.lists(METRIC, min_size=1), st.booleans())
def test_the_good_end_is_always_in_the_window(values, maximize):
    window = metric_window(values, maximize=maximize, least=0.2)
    assert window.holds(max(values) if maximize else min(values))
    assert window.high - window.low >= 0.8


def test_stragglers_are_left_out_only_at_the_bad_end():
    values = [96.0, 96.5, 97.0, 97.1, 96.8, 10.0]
    assert not metric_window(values, maximize=True, least=0.2).holds(10.0)
    assert metric_window(values, maximize=False, least=0.2).holds(10.0)


def test_a_window_of_nothing_is_a_window():
    assert metric_window([], maximize=True, least=0.2).ticks


@given(st.lists(METRIC, min_size=1), st.booleans())
def test_ticks_are_in_the_window_and_told_apart_by_their_decimals(values, maximize):
    window = metric_window(values, maximize=maximize, least=0.2)
    assert all(window.holds(tick) for tick in window.ticks)
    assert len({round(tick, window.decimals) for tick in window.ticks}) == len(window.ticks) >= 2


@given(st.lists(METRIC), st.booleans())
def test_zero_and_the_smallest_effect_are_in_a_window_of_gains(means, maximize):
    window = gain_window(means, means, maximize=maximize, least=0.2)
    assert all(window.holds(value) for value in (-0.2, 0.0, 0.2))


@given(st.sets(st.floats(1e-6, 1e6), min_size=1, max_size=12), st.booleans(), st.sampled_from(["linear", "log"]))
def test_values_keep_their_order_on_the_axis(values, with_zero, scale):
    rising = sorted({*values, *([0.0] if with_zero else [])})
    places = list(knob_positions(rising, scale).values())
    assert places == sorted(places)
    assert all(0.0 <= place <= 1.0 and math.isfinite(place) for place in places)


def test_zero_stands_one_step_left_of_the_others_on_a_logarithmic_scale():
    assert knob_positions([0.0, 0.01, 0.1, 1.0], "log") == pytest.approx({0.0: 0.0, 0.01: 1 / 3, 0.1: 2 / 3, 1.0: 1.0})


@given(st.sets(st.integers(0, 100), min_size=1))
def test_labels_never_overlap_and_those_that_matter_come_first(values):
    at = {float(value): value / 100.0 for value in values}
    widths = dict.fromkeys(at, 0.12)
    first = sorted(at)[len(at) // 2]
    kept = sparse_labels(at, widths, [first])
    assert first in kept
    assert all(at[right] - at[left] >= 0.12 - 1e-12 for left, right in pairwise(kept))
