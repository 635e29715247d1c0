"""The printed gain of a screen's choice, on studies whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from studies import answer
from studies.simulated_gain import optimism


@pytest.mark.slow
def test_the_best_of_a_screen_looks_too_good_and_its_printed_gain_does_not() -> None:
    seen = optimism(cells=50, spread=0.0, seeds=10, repetitions=400, seed=19)
    assert seen.screened == pytest.approx(0.56, abs=0.03)
    assert abs(seen.printed) < 0.01
    assert seen.picked > 0.1


def test_a_gain_that_is_printed_of_the_best_of_its_curve_is_seen_to_be_too_good(monkeypatch: pytest.MonkeyPatch) -> None:
    right = optimism(cells=10, spread=0.0, seeds=5, repetitions=50, seed=1)
    contender = answer._contender

    def picked(measured: Any, arms: Any, nominee: Any, beforehand: bool) -> Any:
        return contender(measured, arms, measured.leader(arms), beforehand)

    monkeypatch.setattr(answer, "_contender", picked)
    wrong = optimism(cells=10, spread=0.0, seeds=5, repetitions=50, seed=1)
    assert abs(right.printed) < 0.03 < wrong.printed
    assert replace(wrong, printed=right.printed) == right
