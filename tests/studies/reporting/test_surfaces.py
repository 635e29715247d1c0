"""Two knobs at once: the cells of ``confirm.surfaces``, what is said of them, and the panel that shows them."""

from __future__ import annotations

import pytest

from studies.extension import hindrances
from studies.frames import answer_frames
from studies.plain_yaml import StudyFileError
from studies.plan import confirm_arms, confirm_trials, confirmed_arms, surface_arms
from studies.reporting.report import render_report
from studies.reporting.sections import surfaces
from studies.reporting.sentences import headline
from studies.reporting.tables import verdict_rows
from studies.reporting.text import text_report
from studies.spec import study_from
from studies.stage_sizes import stage_sizes
from tests.studies.reporting.conftest import STUDY, noise

PAIRS = {"m": [0, 0.2, 0.4], "s": [10, 20, 40]}
FAMILIES = {"ce": {"label_smoothing": 0.0}, "gds": None, "cos_face": {"m": [0, 0.2, 0.4], "s": [10, 20, 40]}}
CONFIRM = {"families": ["gds"], "seeds": 5, "surfaces": {"cos_face": PAIRS}}
CHANGES = {"families": FAMILIES, "confirm": CONFIRM}


def spec_of(**changes):
    return study_from({**STUDY, **CHANGES, **changes})


def ridge(trial):
    """An accuracy that is highest at m = 0.2 with s = 20, and falls with the distance from there; gds does nothing."""
    config = trial.config
    shared = noise(trial.dataset, trial.replicate, scale=0.4) + noise(config, trial.replicate, scale=0.05)
    if trial.cell.family != "cos_face":
        return 95.0 + shared
    return 98.0 - 40.0 * (config["cos_face.m"] - 0.2) ** 2 - 0.004 * (config["cos_face.s"] - 20.0) ** 2 + shared


@pytest.fixture(scope="module")
def ridged(build):
    return build(ridge, **CHANGES)


def test_every_pair_of_values_is_a_cell_that_a_curve_may_share():
    spec = spec_of(screen=None, nuisance={"lr": 0.1}, families={**FAMILIES, "cos_face": {"s": 20}})
    arms = surface_arms(spec)
    assert [arm.pair for arm in arms if arm.dataset == "digits"] == [(m, s) for m in (0, 0.2, 0.4) for s in (10, 20, 40)]
    assert {(arm.config["cos_face.m"], arm.config["cos_face.s"]) for arm in arms} == {arm.pair for arm in arms}
    both = spec_of(
        screen=None,
        nuisance={"lr": 0.1},
        families={**FAMILIES, "cos_face": {"s": 20}},
        confirm={**CONFIRM, "families": ["cos_face"], "values": {"cos_face": [0.2, 0.3]}},
    )
    # The curve is at s = 20, where m = 0.2 is on the surface too.
    assert len(confirmed_arms(both)) == len(confirm_arms(both)) + len(arms) - 2
    keys = [trial.key for trial in confirm_trials(both)]
    assert len(keys) == len(set(keys)) == 5 * len(confirmed_arms(both))
    (size,) = stage_sizes(both)
    assert size.cells == len(confirmed_arms(both))


def test_the_other_values_are_those_of_the_screen(ridged):
    assert {surface.held["lr"] for surface in ridged.surfaces} <= {0.03, 0.1}
    assert stage_sizes(ridged.spec)[1].cells >= len(ridged.surfaces[0].means)


def test_the_best_pair_is_found_and_each_knob_s_profile_is_told(ridged):
    assert [(surface.dataset, surface.family) for surface in ridged.surfaces] == [(name, "cos_face") for name in ridged.datasets]
    for surface in ridged.surfaces:
        assert surface.verdict.label == "LOCATED"
        assert surface.verdict.optimum_set == ((0.2, 20.0),)
        assert len(surface.means) == 9 and not surface.lost
        told = surfaces.sentence(ridged, surface)
        assert "cos_face beats cross-entropy, and its best pair is m = 0.2 with s = 20;" in told
        assert told.endswith("at the best of the other, m = 0.2 and s = 20 may be best.")
    assert ridged.to_dict()["surfaces"][0]["optimum_set"] == ((0.2, 20.0),)
    # A pair is exported like any other cell that was confirmed.
    assert {(winner.family, winner.setting) for winner in ridged.winners} == {("cos_face", "m = 0.2, s = 20")}


def test_the_page_and_the_terminal_show_them(ridged):
    page = render_report(ridged)
    assert "Two knobs at once" in page
    assert "Mean validation accuracy by pair: m = 0 with s = 10" in page
    assert "its best pair is m = 0.2 with s = 20" in " ".join(text_report(ridged).plain.split())


def test_studies_without_a_surface_have_no_section(found):
    assert found.surfaces == () and surfaces.section(found) is None and "surfaces" not in found.to_dict()


def test_lost_replicates_and_noise_are_told(build):
    lossy = build(lambda trial: None if trial.config.get("cos_face.s") == 40 and trial.replicate == 1 else ridge(trial), **CHANGES)
    assert lossy.surfaces[0].lost == {(m, 40.0): 1 for m in (0.0, 0.2, 0.4)}
    assert "3 replicates were lost" in surfaces.sentence(lossy, lossy.surfaces[0])
    assert {row["family"] for row in verdict_rows(lossy)} == {"gds"}  # a surface that is judged is not said to be lost
    noisy = build(lambda trial: 95.0 + noise(trial.config, trial.dataset, trial.replicate, scale=0.5), **CHANGES)
    assert noisy.surfaces[0].verdict.label == "UNDECIDED"
    assert "5 seeds cannot tell whether any pair of cos_face beats cross-entropy" in surfaces.sentence(noisy, noisy.surfaces[0])
    first = build(ridge, seeds=1, **CHANGES)
    assert surfaces.sentence(first, first.surfaces[0]) == "On digits, too few replicates of cos_face ended well to judge its pairs."
    assert render_report(first)


REFUSED = {
    "another family": ({"gsd": PAIRS}, "confirm: 'gsd' is not among the study's families (did you mean 'gds'?)"),
    "one knob": ({"cos_face": {"m": [0, 1]}}, "confirm.surfaces.cos_face must be two of m, s, got m"),
    "no knob": ({"cos_face": {"m": [0, 1], "t": [1, 2]}}, "confirm.surfaces.cos_face.t is no knob of cos_face (known: m, s)"),
    "twice": ({"cos_face": {"m": [0, 0], "s": [1, 2]}}, "confirm.surfaces.cos_face.m: each value once, got [0.0, 0.0]"),
    "out of bounds": ({"cos_face": {"m": [0, 0.1], "s": [-1, 2]}}, "confirm.surfaces.cos_face: s must be > 0, got -1.0"),
    "the baseline": ({"ce": {"label_smoothing": [0, 0.1]}}, "confirm.surfaces.ce must be left out, for the family has no two knobs"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_surface_that_makes_no_sense_is_refused_in_one_sentence(why):
    wrong, told = REFUSED[why]
    with pytest.raises(StudyFileError) as caught:
        spec_of(confirm={**CONFIRM, "surfaces": wrong})
    assert told in str(caught.value)


def test_a_surface_may_be_added_and_grow_and_may_not_shrink():
    without, wide = spec_of(confirm={"families": ["gds"], "seeds": 5}), {"m": [0, 0.1, 0.2, 0.4], "s": [10, 20, 40]}
    assert hindrances(without, spec_of()) == []
    assert hindrances(spec_of(), spec_of(confirm={**CONFIRM, "surfaces": {"cos_face": wide}})) == []
    narrow = {"m": [0, 0.2], "s": [10, 20, 40]}
    assert [line.key for line in hindrances(spec_of(), spec_of(confirm={**CONFIRM, "surfaces": {"cos_face": narrow}}))] == [
        "confirm.surfaces.cos_face.m"
    ]
    assert hindrances(spec_of(), without)


def test_a_surface_s_table_has_a_row_for_each_pair(ridged):
    table = answer_frames(ridged)["surfaces"]
    assert len(table) == 9 * len(ridged.datasets)
    best = table[table["may_be_best"]]
    assert [tuple(row) for row in best[["dataset", "first_knob", "first", "second_knob", "second"]].itertuples(index=False)] == [
        (dataset, "m", 0.2, "s", 20.0) for dataset in ridged.datasets
    ]
    assert best["mean"].tolist() == [surface.means[0.2, 20.0] for surface in ridged.surfaces]


def test_two_surfaces_are_judged_where_one_family_is_lost_in_the_screen_of_a_dataset(build):
    families = {**FAMILIES, "arc_face": {"m": [0, 0.2], "s": [10, 20]}}
    both = {"cos_face": PAIRS, "arc_face": {"m": [0, 0.2], "s": [10, 20]}}

    def score(trial):
        if trial.cell.family != "arc_face":
            return ridge(trial)
        return None if trial.dataset == "digits" else 95.0 + noise(trial.config, trial.replicate, scale=0.1)

    answer = build(score, families=families, confirm={**CONFIRM, "surfaces": both})
    judged = [(surface.dataset, surface.family) for surface in answer.surfaces]
    assert judged == [("digits", "cos_face"), ("digits-noise0.2", "cos_face"), ("digits-noise0.2", "arc_face")]


def test_the_best_pair_stays_the_choice_where_a_zoom_looks_at_another_family(build):
    rising = {**CHANGES, "zoom": {"points": 5, "seeds": 5}, "test": {"seeds": 3}}
    answer = build(lambda trial: ridge(trial) + 0.3 * float(trial.config.get("gds.lam", 0.0)), **rising)
    assert answer.zooms and {curve.family for curve in answer.zooms} == {"gds"}
    assert {(winner.setting, winner.stage) for winner in answer.winners} == {("m = 0.2, s = 20", "confirm")}
    assert {tested.setting for tested in answer.tested} == {"m = 0.2, s = 20"}


def test_headlines_count_what_a_surface_shows(build):
    alone = build(ridge, families=FAMILIES, confirm={**CONFIRM, "families": ["ce"]})
    assert headline(alone, "digits").startswith("On digits, cos_face beats cross-entropy; by how much, seeds that did not choose")

    def off_the_curve(trial):
        config = trial.config
        shared = noise(trial.dataset, trial.replicate, scale=0.4) + noise(config, trial.replicate, scale=0.05)
        return 95.0 + shared + 2.0 * (config.get("cos_face.s") == 20 and config.get("cos_face.m") == 0.2) - (config.get("cos_face.s") == 10)

    confirm = {"families": ["cos_face"], "seeds": 5, "values": {"cos_face": [0, 0.2, 0.4]}, "surfaces": {"cos_face": PAIRS}}
    two = build(
        off_the_curve, screen=None, nuisance={"lr": 0.1}, families={"ce": {"label_smoothing": 0}, "cos_face": {"s": 10}}, confirm=confirm
    )
    assert two.curves[0].verdict.label == "WORSE" and two.surfaces[0].verdict.label == "LOCATED"
    assert headline(two, "digits").startswith("On digits, cos_face beats cross-entropy")


def test_a_strict_study_s_surface_says_so(build):
    answer = build(ridge, strict=True, **CHANGES)
    assert "of values that are equally best all are kept" in answer.surfaces[0].verdict.reason
