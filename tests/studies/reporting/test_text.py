from __future__ import annotations

import pytest

from studies.reporting.report import render_report
from studies.reporting.sentences import headline
from studies.reporting.text import WIDTH, interval, text_report
from studies.reporting.windows import Window


def lines(answer):
    return text_report(answer).plain.split("\n")


def test_no_line_is_wider_than_the_terminal(build, peaked, tested):
    long = build(peaked, datasets=[{"dataset": "digits", "label": "a-dataset-with-a-very-long-name-that-nobody-would-choose-twice"}])
    for answer in (tested, long):
        assert max(map(len, lines(answer))) <= WIDTH


def test_verdicts_and_headlines_are_told_in_words_and_not_by_colour(found):
    said = " ".join(" ".join(lines(found)).split())
    assert headline(found, "digits") in said
    assert "gds LOCATED On digits, gds beats cross-entropy (λ = 0), and its best λ is 1." in said


def test_values_that_may_be_best_have_a_mark_of_their_own(found):
    shown = lines(found)
    start = shown.index("gds LOCATED")
    rows = {line.split()[0]: line for line in [line for line in shown[start:] if "±" in line][:5]}
    marks = {value: "●" in row for value, row in rows.items()}
    assert marks == {"0": False, "0.5": False, "1": True, "1.5": False, "2": False}
    assert "○" in rows["0"] and "96." in rows["1"]


def test_lost_replicates_are_counted_below_the_plot(build, peaked):
    answer = build(lambda trial: None if trial.config.get("gds.lam") == 2.0 and trial.replicate < 2 else peaked(trial))
    assert "        2 (2 lost)" in lines(answer)


@pytest.mark.parametrize(("changes", "said"), [({"seeds": 0}, "has not started"), ({"confirm": None}, "has no confirm stage")])
def test_what_a_study_lacks_is_said_first(build, peaked, changes, said):
    shown = lines(build(peaked, **changes))
    assert any(line.startswith("! ") for line in shown[:4]) and said in " ".join(shown)


def test_an_interval_that_goes_beyond_the_plot_has_an_arrow_there():
    window = Window(0.0, 9.0)
    assert interval(window, -3.0, 2.0, 4.0, mark="○", width=10) == "◀─○──     "
    assert interval(window, None, 12.0, None, mark="●", rule=4.0, width=10) == "    ┊    ▶"
    assert interval(window, 2.0, 6.0, 8.0, mark="●", rule=4.0, width=10) == "  ──┼─●── "


def test_page_and_terminal_name_the_rule_for_ties(build, peaked, found):
    for answer, rule in ((found, "“May be best” is Hsu’s set"), (build(peaked, strict=True), "“May be best” is the strict set")):
        assert rule in " ".join(" ".join(lines(answer)).split())
        assert rule in render_report(answer)
