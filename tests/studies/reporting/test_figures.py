from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from margin_core.knobs import Knob
from studies.reporting.figures import curve_figure, gains_figure, goes_beyond, screen_figure
from studies.reporting.surface import COLOURS
from studies.reporting.wording import gain_words


def texts(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter("text")]


def elements_of_colour(svg, colour, tag):
    wanted = f"var(--{colour}, {COLOURS[colour]})"
    return [element for element in ElementTree.fromstring(svg).iter(tag) if wanted in element.get("style", "")]


def curve_of(answer, family, dataset="digits"):
    return next(curve for curve in answer.curves if (curve.dataset, curve.family) == (dataset, family))


@pytest.fixture(scope="module")
def drawings(found):
    curves = [curve_figure(found, curve).svg() for curve in found.curves]
    return [*curves, gains_figure(found, "digits").svg(), screen_figure(found, "digits").svg()]


def test_every_colour_is_left_to_the_page(drawings):
    for svg in drawings:
        bare = re.sub(r"var\(--[a-z]+, #[0-9a-f]{6}\)", "", svg)
        # Matplotlib names black for strokes that it does not draw.
        assert set(re.findall(r"#[0-9a-f]{6}\b", bare)) <= {"#000000"}
        assert not re.search(r"stroke:#000000(?!;stroke-opacity:0)", bare)
        assert "fill:#000000" not in bare


def test_text_stays_text(drawings):
    for svg in drawings:
        assert texts(svg)
        assert "font-family:" not in svg


def test_the_panels_of_a_dataset_share_the_metric_axis(found):
    def ticks(curve):
        return {element.get("y"): element.text for element in ElementTree.fromstring(curve_figure(found, curve).svg()).iter("text")
                if "text-anchor:end" in element.get("style", "")}  # fmt: skip

    gds, decay = (ticks(curve_of(found, family)) for family in ("gds", "gradient_decay"))
    assert gds == decay != {}
    assert gds != ticks(curve_of(found, "gds", "digits-noise0.2"))


def test_every_value_that_may_be_best_has_a_band(found):
    def bands(optimum):
        svg = curve_figure(found, replace(curve, verdict=replace(curve.verdict, optimum_set=optimum))).svg()
        return sum("opacity:0.1" in path.get("style", "").split(";") for path in elements_of_colour(svg, "best", "path"))

    curve = curve_of(found, "gds")
    assert [bands(optimum) for optimum in ((), (1.0,), (0.5, 1.0), (0.0, 1.0, 2.0))] == [0, 1, 2, 3]


def test_lost_replicates_stand_on_the_rail_with_their_number(build, peaked):
    def score(trial):
        return None if trial.config.get("gds.lam") == 2.0 and trial.replicate in (0, 1, 3) else peaked(trial)

    answer = build(score)
    svg = curve_figure(answer, curve_of(answer, "gds")).svg()
    assert [element.text for element in elements_of_colour(svg, "lost", "text")] == ["3"]
    assert len(elements_of_colour(svg, "lost", "use")) == 1


def test_a_value_whose_replicates_are_all_lost_is_still_on_the_axis(build, peaked):
    answer = build(lambda trial: None if trial.config.get("gds.lam") == 2.0 and trial.stage == "confirm" else peaked(trial))
    svg = curve_figure(answer, curve_of(answer, "gds")).svg()
    assert "2" in texts(svg)
    assert [element.text for element in elements_of_colour(svg, "lost", "text")] == ["5"]


def test_a_mean_far_below_the_others_is_told_beside_the_axis_instead_of_flattening_it(build, peaked):
    answer = build(lambda trial: 11.4 if trial.config.get("gds.lam") == 2.0 else peaked(trial))
    assert goes_beyond(answer)
    assert any((text or "").startswith("11") for text in texts(curve_figure(answer, curve_of(answer, "gds")).svg()))


def test_an_axis_without_stragglers_shows_everything(found):
    assert not goes_beyond(found)


def test_zero_has_a_place_on_a_logarithmic_axis(found):
    curve = curve_of(found, "gds")
    knob = Knob("lam", "λ", 0.0, 0.0, 10.0, grid=(0.0, 0.5, 1.0), search=(0.0, 1.0), scale="log")
    shown = texts(curve_figure(found, replace(curve, knob=knob)).svg())
    assert {"0", "0.5", "2", "//"} <= set(shown)


def test_of_a_setting_picked_on_the_seeds_that_measure_it_no_gain_is_drawn_or_told(found):
    first, second = (curve for curve in found.curves if curve.dataset == "digits")
    picked = replace(first.contender, gain=None, optimistic_gain=first.contender.gain, chosen_before=False)
    figure = gains_figure(replace(found, curves=(replace(first, contender=picked), second)), "digits")
    marks = [
        element for element in ElementTree.fromstring(figure.svg()).iter("use") if element.get("style", "").startswith("fill:var(--best")
    ]
    assert len(marks) == 1
    assert "picked on these seeds" in texts(figure.svg())
    assert gain_words(picked.optimistic_gain) not in " ".join([*texts(figure.svg()), figure.alt, figure.sentence])


def test_a_family_without_a_gain_is_listed_with_the_reason(build, peaked):
    answer = build(peaked, seeds=1)
    assert texts(gains_figure(answer, "digits").svg()).count("too few seeds") == 2


def test_the_screen_counts_what_it_lost(build, peaked):
    answer = build(lambda trial: None if trial.config["family"] == "gradient_decay" else peaked(trial))
    assert "8 lost" in texts(screen_figure(answer, "digits").svg())


def test_figures_leave_no_trace_in_the_settings_of_matplotlib(found):
    import matplotlib

    before = dict(matplotlib.rcParams)
    curve_figure(found, found.curves[0]).svg()
    assert dict(matplotlib.rcParams) == before
