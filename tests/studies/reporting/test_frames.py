"""The tables of a report as frames: every number is the one that the answer has."""

from __future__ import annotations

import pandas as pd

from studies.frames import answer_frames


def test_each_table_has_a_row_for_each_thing_that_the_report_tells(tested):
    frames = answer_frames(tested)
    assert list(frames) == ["verdicts", "curves", "shifts", "test", "exported", "screen", "costs"]
    assert len(frames["verdicts"]) == len(tested.curves) + len(tested.zooms)
    assert list(frames["shifts"]["label"]) == [shift.verdict.label for shift in tested.shifts]
    assert len(frames["screen"]) == len(tested.screen)
    first, chosen = frames["test"], tested.tested[0]
    rows = first[first["dataset"] == chosen.dataset]
    assert list(rows["stage"]) == [*(seen.stage for seen in chosen.stages), "test"]
    assert rows.iloc[-1]["gain"] == chosen.gain.mean and pd.isna(rows.iloc[-1]["optimistic_gain"])
    # What picked the setting tells no gain, but how optimistic it was.
    assert rows.iloc[:-1]["gain"].isna().all() and rows.iloc[1]["optimistic_gain"] == chosen.stages[1].optimistic_gain.mean
    assert list(frames["exported"]["cell_id"]) == [winner.cell_id for winner in tested.winners]


def test_lost_trials_have_a_table(build, peaked):
    answer = build(lambda trial: None if trial.stage == "confirm" and trial.replicate == 1 else peaked(trial))
    lost = answer_frames(answer)["lost"]
    assert set(lost["status"]) == {"diverged"} and len(lost) == len(answer.lost)
