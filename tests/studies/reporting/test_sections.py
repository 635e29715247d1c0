from __future__ import annotations

from dataclasses import replace

import pytest
from matplotlib.figure import Figure

from studies.reporting.notes import notes
from studies.reporting.report import render_report
from studies.reporting.sections import cost, disagreement, families, forest, optimism, sections_of, seeds
from tests.studies.reporting.conftest import noise


def lam(trial):
    return float(trial.config.get("gds.lam", 0.0))


def sentences(section):
    return [figure.sentence for figure in section.figures]


def test_sections_have_names_of_their_own_and_figures_with_a_sentence_each(tested):
    sections = sections_of(tested)
    assert len({section.name for section in sections}) == len(sections)
    figures = [figure for section in sections for figure in section.figures]
    assert len({figure.name for figure in figures}) == len(figures)
    assert all(figure.sentence.endswith(".") and figure.alt.endswith(".") and figure.runs for figure in figures)


def test_the_forest_tells_on_how_many_datasets_a_family_is_better_and_what_suits_all(found):
    section = forest.section(found)
    assert sentences(section)[0] == "gds beats its baseline on 2 of 2 datasets; λ = 1 may be best on all of them."
    assert "digits LOCATED, λ = 1" in section.figures[0].alt


def test_sets_without_a_common_value_are_told_and_are_no_claim_of_a_shift(found):
    first, second = (curve for curve in found.curves if curve.family == "gds")
    moved = replace(second, verdict=replace(second.verdict, optimum_set=(1.5, 2.0)))
    worse = [replace(curve, verdict=replace(curve.verdict, label="WORSE", better=False)) for curve in (first, moved)]
    assert forest.sentence(worse).endswith("the baseline alone may be best on both.")
    assert forest.sentence([first, moved]).endswith("no λ that was tried may be best on all of them, which alone is no claim of a shift.")


def test_one_dataset_has_no_forest_and_no_families_across_datasets(build, peaked):
    answer = build(peaked, datasets=["digits"])
    assert forest.section(answer) is None and families.section(answer) is None


def test_a_family_that_helps_on_some_data_only_is_told_so(build, peaked):
    answer = build(lambda trial: peaked(trial) - 4.0 * (trial.dataset != "digits" and trial.cell.family == "gds"))
    gds = next(figure for figure in families.section(answer).figures if figure.title == "gds")
    assert gds.sentence == "gds does better than cross-entropy on 1 of 2 datasets, worse on 1."


def test_seeds_are_said_to_suffice_or_how_many_would(build, peaked, noisy):
    assert sentences(seeds.section(build(peaked, sesoi=0.5)))[0].endswith("points apart from none, as small as matters.")
    few = sentences(seeds.section(build(noisy)))[0]
    assert few.startswith("On digits, 5 seeds tell a lead of ")
    assert "; for 0.2 points, gds and gradient_decay would take " in few


def test_a_single_seed_has_no_outlook(build, peaked):
    assert seeds.section(build(peaked, seeds=1)) is None


def test_what_the_screen_flattered_is_told_by_the_stages_after_it(build, peaked):
    answer = build(lambda trial: peaked(trial) + 2.0 * (trial.stage == "screen"), test={"seeds": 5})
    section = optimism.section(answer)
    (first, *_) = sentences(section)
    assert first.startswith("On digits, the screen stage showed 2 chosen settings ")
    shown = float(first.split("settings ")[1].split(" ")[0])
    assert shown == pytest.approx(2.0, abs=0.7)
    assert "points better than the confirm stage, on average, and cross-entropy itself " in first
    assert float(first.split("itself ")[1].split(" ")[0]) == pytest.approx(2.0, abs=0.7)  # what is in the seeds is in ce too
    assert "points better; gds with λ = 1 has 96." in first and first.endswith("% on the test split.")
    gds = next(each for each in answer.followed if each.family == "gds")
    assert [seen.stage for seen in gds.stages] == ["screen", "confirm", "test"]
    zoomed = replace(gds, stages=tuple(replace(seen, stage=stage) for seen, stage in zip(gds.stages[1:], ("confirm", "zoom"), strict=True)))
    both = optimism.sentence(answer, "digits", [zoomed, *(each for each in answer.followed if each.dataset == "digits")])
    assert both.startswith("On digits, the screen stage showed 2 chosen settings ")


def test_without_a_screen_nothing_was_chosen_that_a_later_stage_measured(build, peaked):
    answer = build(peaked, screen=None, nuisance={})
    assert answer.followed == () and optimism.section(answer) is None


def test_a_metric_that_rules_out_the_best_value_is_shown_and_one_that_does_not_is_not(build, peaked):
    def others(trial):
        return {"val_nll": 1.0 - 0.3 * lam(trial) + noise(trial.key, scale=0.01), "class_margin": 60.0 + noise("m", trial.key, scale=1.0)}

    answer = build(peaked, others=others)
    section = disagreement.section(answer)
    assert [figure.title for figure in section.figures] == ["gds on digits", "gds on digits-noise0.2"]
    assert sentences(section)[0] == "λ = 1, best by validation accuracy, is ruled out by validation NLL (2 instead)."
    assert "class margin" in section.figures[0].alt
    by_metric = {choice.metric: choice.best for choice in answer.choices if (choice.dataset, choice.family) == ("digits", "gds")}
    assert (by_metric["val_accuracy"], by_metric["val_nll"]) == (1.0, 2.0)
    for curve in answer.curves:
        own = next(each for each in answer.choices if (each.dataset, each.family) == (curve.dataset, curve.family))
        assert own.optimum_set == curve.verdict.optimum_set  # at one confidence


@pytest.mark.parametrize(("kept", "strokes"), [((0.0, 2.0), 0), ((0.0, 1.0), 1), ((0.0, 1.0, 2.0), 2)])
def test_no_line_goes_over_a_value_that_is_ruled_out(kept, strokes):
    axes = Figure().add_subplot()
    forest.paint_row(axes, 0.5, {0.0: 0.0, 1.0: 0.4, 2.0: 1.0}, kept, 2.0)
    assert sum(line.get_linewidth() == 1.4 for line in axes.lines) == strokes


def test_a_learning_rate_from_the_end_of_its_grid_is_told(build, peaked):
    def rising(trial):
        return peaked(trial) + 3.0 * (trial.config["lr"] == 0.1)

    said = "lr is 0.1, the greatest value tried, in 10 of 10 cells: with values beyond it the comparison may come out otherwise."
    assert said in notes(build(rising, nuisance={"lr": [0.03, 0.1]}, datasets=["digits"]))
    for nuisance in ({"lr": [0.03, 0.1, 0.3]}, {"lr": [0.1]}, {"lr": 0.1}):
        assert not any("value tried" in note for note in notes(build(rising, nuisance=nuisance, datasets=["digits"])))


def test_metrics_that_agree_are_a_sentence_without_figures(build, peaked):
    section = disagreement.section(build(peaked, others=lambda trial: {"val_nll": 10.0 - peaked(trial) / 20.0}))
    assert section.figures == [] and section.lead.startswith("On none of 4 curves does another metric rule out")


def test_a_lost_cell_is_in_no_choice(build, peaked):
    answer = build(lambda trial: None if lam(trial) == 2.0 and trial.stage == "confirm" else peaked(trial))
    assert all(2.0 not in choice.tried for choice in answer.choices if choice.family == "gds")


def test_the_cost_names_where_most_of_the_time_went(found):
    by_family, by_dataset = sentences(cost.section(found))
    seconds = found.costs.groupby("family")["seconds"].sum()
    assert by_family.startswith(f"{int(found.seconds // 60)} min ")
    assert f"most of it went to {seconds.idxmax()}, " in by_family and " stage took " in by_dataset
    assert found.costs["seconds"].sum() == found.seconds == 2.0 * found.costs["trials"].sum()


def test_a_study_that_has_not_begun_has_a_report_without_these(build, peaked):
    page = render_report(build(peaked, screened=False, seeds=0))
    for name in ("forest", "families", "seeds", "optimism", "metrics", "cost"):
        assert f'<section id="{name}">' not in page
