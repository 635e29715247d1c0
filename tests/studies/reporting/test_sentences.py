from __future__ import annotations

import re
from dataclasses import replace

import pytest

from studies.analysis import Gain
from studies.analysis.rule import LABELS, MOST_SEEDS
from studies.reporting.sentences import alt_of_gains, curve_sentence, gains_sentence, headline, screen_sentence
from studies.reporting.tables import verdict_rows
from studies.reporting.wording import gain_words, interval_words, number


def curve_of(answer, family):
    return next(curve for curve in answer.curves if (curve.dataset, curve.family) == ("digits", family))


def test_a_gain_that_is_told_apart_is_given_with_its_interval_and_seeds(found):
    gain = curve_of(found, "gds").contender.gain
    said = f"gds with λ = 1 gains {number(gain.mean, 2)} points over cross-entropy ({interval_words(gain)}, 5 seeds): told apart from none"
    assert headline(found, "digits") == f"On digits, {said}."
    assert gains_sentence(found, "digits").startswith(f"On digits, {said}")


def test_no_difference_is_said_plainly(build, noisy):
    answer = build(noisy)
    said = headline(answer, "digits")
    assert said.startswith("On digits, no family is shown to beat cross-entropy")
    assert "told apart from none" not in said
    assert gains_sentence(answer, "digits") == "On digits, gds and gradient_decay cannot be told from cross-entropy."


def test_a_difference_too_small_to_matter_is_ruled_out(build, noisy):
    answer = build(noisy, sesoi=5.0)
    assert headline(answer, "digits").endswith("; no knob moves it by as much as 5 points.")


def test_a_worse_family_is_said_to_do_worse(build, peaked):
    answer = build(lambda trial: peaked(trial) - 3.0 * (trial.config["family"] == "gradient_decay"))
    setting = curve_of(answer, "gradient_decay").contender.setting
    assert f"gradient_decay with {setting} does worse than cross-entropy" in gains_sentence(answer, "digits")


def test_of_a_setting_picked_on_its_own_seeds_no_gain_is_told(build, peaked):
    answer = build(peaked, screen=None, nuisance={})
    told = "by how much, seeds that did not choose the setting have to tell: the best mean is that of gds with λ = 1."
    assert headline(answer, "digits").endswith(f"beats cross-entropy; {told}")


def test_of_a_setting_picked_on_its_own_seeds_the_gain_is_told_that_a_zoom_measured(build, peaked):
    answer = build(peaked, screen=None, nuisance={}, zoom={"points": 5, "seeds": 5})
    (again,) = (curve.contender for curve in answer.zooms if curve.dataset == "digits")
    assert f"gains {number(again.gain.mean, 2)} points over cross-entropy ({interval_words(again.gain)}, 5 seeds)" in headline(
        answer, "digits"
    )
    (row,) = (row for row in verdict_rows(answer) if (row["dataset"], row["family"]) == ("digits", "gds"))
    assert (row["gain"], row["setting_note"]) == (gain_words(again.gain), "picked on these seeds; its gain is that of the zoom")


def better(found, family, gain):
    """The study with a family whose verdict is better and whose setting, chosen before, has this gain."""
    curve = curve_of(found, family)
    gain = Gain(gain, gain - 0.1, gain + 0.1, 5, different=True)
    told = replace(curve, verdict=replace(curve.verdict, better=True), contender=replace(curve.contender, gain=gain, chosen_before=True))
    return replace(found, curves=tuple(told if each is curve else each for each in found.curves))


def test_of_several_gains_that_of_the_screens_first_choice_is_told_and_not_the_greatest(found):
    first, second = (each for each in dict.fromkeys(found.screen.dropna(subset=["value"])["family"]) if each != "ce")
    both = better(better(found, first, 0.3), second, 2.0)
    assert re.match(
        rf"On digits, {first} with .* gains 0\.30 points .*: told apart from none; {second} beats cross-entropy too\.$",
        headline(both, "digits"),
    )
    assert re.match(rf"On digits, {first} with .* gains 0\.30 points", gains_sentence(both, "digits"))


def test_a_gain_without_a_verdict_is_no_headline(build, noisy):
    answer = build(noisy)
    for curve in answer.curves:
        contender = replace(curve.contender, gain=Gain(2.0, 1.0, 3.0, 5, different=True), chosen_before=True)
        answer = replace(answer, curves=tuple(replace(each, contender=contender) if each is curve else each for each in answer.curves))
    said = headline(answer, "digits")
    assert said.startswith(
        "On digits, no verdict says that a family’s knob beats cross-entropy, though the gain of gds and gradient_decay over ce is"
    )


def test_a_setting_that_is_cross_entropy_has_no_gain_to_tell(build, peaked):
    found = build(peaked)
    decay = curve_of(found, "gradient_decay")
    itself = replace(decay, contender=replace(decay.contender, gain=Gain(0.0, 0.0, 0.0, 5, different=False), chosen_before=True))
    answer = replace(found, curves=tuple(itself if each is decay else each for each in found.curves))
    assert gains_sentence(answer, "digits").endswith("; the setting of gradient_decay is cross-entropy.")
    assert "gradient_decay it is ce" in alt_of_gains(answer, "digits")


def test_a_baseline_with_regularisers_is_not_taken_for_plain_cross_entropy(found):
    curve = replace(curve_of(found, "gds"), held={"lr": 0.1, "zero_centroid.weight": 10.0, "sample_margin.weight": 0.0})
    assert curve_sentence(found, curve) == "On digits, gds beats cross-entropy with the same regularisers (λ = 0), and its best λ is 1."


def test_a_metric_of_which_less_is_better_is_lowered(build, peaked):
    answer = build(lambda trial: (100.0 - peaked(trial)) / 10.0, metric="val_nll", sesoi=0.01)
    said = headline(answer, "digits")
    assert said.startswith("On digits, gds with λ = 1 lowers validation NLL by 0.1")
    assert "(−0." in said


def test_a_screen_alone_gives_no_verdict(build, peaked):
    answer = build(peaked, confirm=None)
    assert headline(answer, "digits").endswith("which is optimistic: nothing has been confirmed on fresh seeds.")


def test_a_single_seed_tells_nothing_apart(build, peaked):
    answer = build(peaked, seeds=1)
    assert "too few seeds to tell families apart" in headline(answer, "digits")


def test_nothing_measured_gives_no_answer(build, peaked):
    answer = build(peaked, screened=False, seeds=0)
    assert headline(answer, "digits") == "On digits, no trial has ended well yet, so there is no answer."


@pytest.mark.parametrize("label", LABELS)
def test_every_verdict_has_a_sentence_of_its_own_about_the_family(found, label):
    curve = curve_of(found, "gds")
    said = {other: curve_sentence(found, replace(curve, verdict=replace(curve.verdict, label=other))) for other in LABELS}
    assert said[label].startswith("On digits, ")
    assert "gds" in said[label]
    assert list(said.values()).count(said[label]) == 1


def test_a_located_optimum_is_named(found):
    assert curve_sentence(found, curve_of(found, "gds")) == "On digits, gds beats cross-entropy (λ = 0), and its best λ is 1."


def test_an_open_question_says_how_many_seeds_would_decide(build, noisy):
    answer = build(noisy)
    curve = curve_of(answer, "gradient_decay")
    assert curve.verdict.label == "UNDECIDED"
    few = replace(curve, verdict=replace(curve.verdict, more_seeds=7))
    many = replace(curve, verdict=replace(curve.verdict, more_seeds=MOST_SEEDS))
    assert curve_sentence(answer, few).endswith("; about 7 more seeds would decide.")
    assert curve_sentence(answer, many).endswith(f"; fewer than {MOST_SEEDS} more seeds would hardly decide.")


@pytest.mark.parametrize(
    ("label", "of_gds", "said"),
    [
        ("FLAT", None, "about 7 more seeds would decide on gradient_decay"),
        ("UNDECIDED", 30, "about 7 more seeds would decide on gradient_decay"),
        ("UNDECIDED", 7, "about 7 more seeds would decide"),
    ],
)
def test_seeds_that_would_decide_are_those_of_the_family_that_is_decided_first(build, noisy, label, of_gds, said):
    answer = build(noisy)
    gds, decay = (curve_of(answer, family) for family in ("gds", "gradient_decay"))
    other = replace(gds, verdict=replace(gds.verdict, label=label, more_seeds=of_gds))
    some = replace(decay, verdict=replace(decay.verdict, more_seeds=7))
    rest = [curve for curve in answer.curves if curve.dataset != "digits"]
    assert headline(replace(answer, curves=(other, some, *rest)), "digits").endswith(f"; {said}.")


def test_the_screen_is_said_to_be_optimistic_with_its_losses(build, peaked):
    answer = build(lambda trial: None if trial.config["family"] == "gradient_decay" else peaked(trial))
    assert screen_sentence(answer, "digits").endswith("a screen’s best is optimistic, and 8 were lost.")


def test_a_gain_is_printed_to_within_a_tenth_of_its_half_width(found):
    gain = curve_of(found, "gds").contender.gain
    for scale in (0.01, 0.1, 0.3, 1.0, 3.0, 7.0, 10.0, 100.0):
        wide = replace(gain, mean=gain.mean, low=gain.mean - scale, high=gain.mean + scale)
        printed = float(gain_words(wide).split(" ")[0].replace("−", "-"))
        assert abs(printed - wide.mean) <= 0.1 * scale


def test_an_end_that_is_not_zero_is_not_printed_as_zero(found):
    gain = replace(curve_of(found, "gds").contender.gain, mean=0.6, low=0.03, high=1.17)
    assert gain_words(gain) == "+0.60 (0.03 to 1.17)"
