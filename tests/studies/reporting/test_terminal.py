from __future__ import annotations

import io

from rich.console import Console

from studies.reporting.terminal import headlines, print_result, result_table


def printed(thing, width=100):
    console = Console(file=io.StringIO(), width=width)
    print_result(thing, console)
    return console.file.getvalue()


def test_the_table_is_whole_at_a_hundred_columns(build, peaked):
    answer = build(peaked, datasets=[{"dataset": "digits", "label_noise": 0.2, "noise": "nearest"}])
    console = Console(file=io.StringIO(), width=100)
    for dataset in answer.datasets:
        console.print(result_table(answer, dataset))
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 100
    for curve in answer.curves:
        row = next(line for line in lines if line.startswith(f" {curve.family} ") or line.startswith(f"{curve.family} "))
        assert curve.verdict.label in row
        assert curve.contender.setting in row
    assert any(line.startswith("digits-nearest0.2") for line in lines)


def test_there_is_one_headline_for_each_dataset(found):
    said = headlines(found)
    assert [sentence.split(",")[0] for sentence in said] == ["On digits", "On digits-noise0.2"]
    assert all(" ".join(sentence.split()) in " ".join(printed(found).split()) for sentence in said)


def test_a_mark_on_a_setting_is_explained(build, peaked):
    picked = printed(build(peaked, screen=None, nuisance={}))
    assert "λ = 1 *" in picked
    assert "* picked on these same seeds" in picked
    assert "*" not in printed(build(peaked))


def test_a_study_without_a_verdict_prints_why_and_no_table(build, peaked):
    text = printed(build(peaked, confirm=None))
    assert "verdict " not in text
    assert "This study has no confirm stage" in text
