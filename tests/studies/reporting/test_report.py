from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import quote

import pytest

from studies.analysis.rule import LABELS as VERDICTS
from studies.reporting import tables
from studies.reporting.report import render_report
from studies.reporting.sections import sections_of
from studies.reporting.wording import LABELS, MEANINGS
from studies.tracking.page import RunsPage

VOID = {"meta", "br", "hr", "img", "input", "link"}


class Outline(HTMLParser):
    """What a page consists of; fails on tags that are not closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += f"{data} "

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def words_of(page):
    return " ".join(Outline(page).text.replace("\u00a0", " ").split())


def test_equal_answers_give_equal_bytes(found, page):
    assert render_report(found) == page


def test_a_report_takes_nothing_from_elsewhere(page):
    assert "http" not in page
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)
    outline = Outline(page)
    assert {"script", "link", "iframe", "img", "base"}.isdisjoint(tag for tag, _ in outline.elements)
    assert not any("src" in attributes for _, attributes in outline.elements)
    assert all(str(attributes.get("href", "#")).startswith("#") for _, attributes in outline.elements)


def test_a_report_of_a_dozen_curves_stays_small(build, peaked):
    families = {"ce": {"label_smoothing": 0.0}, **dict.fromkeys(("gds", "cos_face", "arc_face", "lm_softmax"))}
    datasets = ["digits", {"dataset": "digits", "label_noise": 0.2}, {"dataset": "digits", "label_noise": 0.4}]
    answer = build(
        peaked, families=families, datasets=datasets, screen={"searcher": "sobol", "trials": 64}, confirm={"families": 4, "seeds": 8}
    )
    assert len(answer.curves) == 12
    assert len(render_report(answer).encode()) < 1_500_000


def test_text_from_the_study_is_escaped(build, peaked):
    hostile = "<script>alert('1')</script> & \"more\""
    answer = build(lambda trial: None if trial.config["family"] == "gradient_decay" else peaked(trial), description=hostile)
    page = render_report(answer)
    assert "<script" not in page
    assert hostile in Outline(page).text
    assert "the loss is <not> finite" in Outline(page).text


def test_every_figure_says_what_it_shows_to_those_who_do_not_see_it(found, page):
    outline = Outline(page)
    drawings = [svg for svg in outline.all("svg") if "aria-hidden" not in svg]
    figures = [figure for section in sections_of(found) for figure in section.figures]
    assert len(drawings) == len(outline.all("figure")) == len({figure.name for figure in figures}) == len(figures) > 12
    assert all(svg["role"] == "img" for svg in drawings)
    assert len({svg["aria-label"] for svg in drawings}) == len(drawings)
    assert len(outline.all("figcaption")) == len(drawings)


def test_ids_are_unique_on_the_page_and_references_resolve(page):
    ids = [attributes["id"] for _, attributes in Outline(page).elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', page)) <= set(ids)


@pytest.mark.parametrize("label", VERDICTS)
def test_every_verdict_is_shown_as_a_chip_with_its_meaning_beside_it(found, label):
    curve = found.curves[0]
    answer = replace(found, curves=(replace(curve, verdict=replace(curve.verdict, label=label)),))
    outline = Outline(render_report(answer))
    chips = [span for span in outline.all("span") if span.get("class") == f"chip {label}"]
    assert len(chips) == 3
    assert {chip["title"] for chip in chips} == {MEANINGS[label]}
    assert MEANINGS[label] in outline.text


def test_the_report_knows_every_verdict_that_the_analysis_gives():
    assert set(LABELS) == set(MEANINGS) == set(VERDICTS)


def test_the_headlines_come_before_everything_else(page):
    text = words_of(page)
    assert (
        text.index("On digits, gds with λ = 1 gains")
        < text.index("Verdicts")
        < text.index("Response curves")
        < text.index("How to read this")
    )


def test_the_export_command_names_the_study(page):
    assert "margin-studies export response" in words_of(page)


def lost_in(stage, family=None):
    def lose(peaked):
        return lambda trial: None if trial.stage == stage and family in (None, trial.config["family"]) else peaked(trial)

    return lose


def test_on_the_way_to_the_test_split_gains_stand_in_a_column_that_says_they_are_optimistic(tested):
    rows = [row for row in tables.tested_rows(tested) if row["dataset"] in ("digits", "")]
    told = {row["stage"]: (row["gain"] != "–", row["optimistic_gain"] != "–") for row in rows}
    assert told == {"screen": (False, False), "confirm": (False, True), "zoom": (False, True), "test": (True, False)}
    assert "Where it was picked, optimistic" in words_of(render_report(tested))


PARTIAL = {
    "nothing has started": ({"screened": False}, None, "No trial has started yet."),
    "the confirm stage has not begun": ({"seeds": 0}, None, "The confirm stage has not started"),
    "there is no confirm stage": ({"confirm": None}, None, "This study has no confirm stage"),
    "there is no screen": ({"screen": None, "nuisance": {}}, None, "picked on these seeds"),
    "there is one seed": ({"confirm": {"seeds": 1}}, None, "A single seed per cell: noise cannot be estimated"),
    "one seed of five has ended": ({"seeds": 1}, None, "On digits, 1 of 5 confirm seeds have ended for cross-entropy so far."),
    "two seeds have ended": ({"seeds": 2}, None, "On digits, 2 of 5 confirm seeds have ended"),
    "the whole screen diverged": ({}, lost_in("screen"), "No screened configuration has ended well"),
    "the whole confirm stage diverged": ({}, lost_in("confirm"), "every replicate was lost"),
    "cross-entropy diverged": ({}, lost_in("confirm", "ce"), "there is nothing to measure gains against"),
    "one family diverged": ({}, lost_in("confirm", "gds"), "every replicate was lost"),
}


@pytest.mark.parametrize("case", PARTIAL)
def test_a_study_has_a_report_that_says_so_when(case, build, peaked):
    changes, lose, said = PARTIAL[case]
    assert said in words_of(render_report(build(lose(peaked) if lose else peaked, **changes)))


def test_lost_trials_are_counted_by_what_happened_to_them(build, peaked):
    answer = build(lambda trial: None if trial.config.get("gradient_decay.beta") == 5.0 and trial.replicate % 2 else peaked(trial))
    text = words_of(render_report(answer))
    assert "digits gradient_decay confirm diverged 2 the loss is <not> finite" in text
    assert f"{len(answer.lost)} lost" in text
    assert "confirm 2 of 5 40 % (5 to 85) not finite" in text


def test_a_report_tells_what_is_not_usual_in_a_recipe(build, noisy, page):
    recipe = {"epochs": 4, "lr_schedule": "step", "lr_steps": [0.5, 3], "sharpness": "asam", "rho": 0.5, "clip_norm": None}
    said = words_of(render_report(build(noisy, recipe=recipe)))
    assert "4 epochs of sgd, batches of 128, step rate" in said
    assert 'clip_norm null, lr_steps [0.5, 3.0], sharpness "asam", rho 0.5' in said
    assert "clip_norm" not in words_of(page)


def test_a_report_shows_the_zoom_and_what_each_stage_said_of_the_setting_on_test(tested, page):
    shown = render_report(tested)
    outline, words = Outline(shown), words_of(shown)
    sections = [attributes.get("id") for attributes in outline.all("section")]
    assert sections[:6] == ["answer", "verdicts", "curves", "zoom", "forest", "shift"]
    assert "zoom" not in [attributes.get("id") for attributes in Outline(page).all("section")]
    table = words.partition("On the test split What each stage said")[2].partition("Gain over cross-entropy")[0]
    for dataset in tested.tested:
        assert f"{dataset.dataset} gds with λ = 1" in table
    assert re.findall(r"(screen|confirm|zoom|test) (?:val|test)_accuracy", table) == 2 * ["screen", "confirm", "zoom", "test"]
    assert "The test split judged one choice, once" in words and "the test split has not been touched" not in words


def test_the_headline_is_what_the_test_split_says_once_it_was_asked(tested):
    words = words_of(render_report(tested))
    assert re.search(
        r"On digits, on the test split, gds with λ = 1 gains 1\.\d+ points over cross-entropy .*: told apart from none\.", words
    )


def test_each_figure_links_to_its_runs_where_mlflow_has_them(found, page):
    assert "Runs</a>" not in page
    answer = replace(found, runs_page=RunsPage("https://mlflow.example", "7", own=False))
    shown = Outline(render_report(answer))
    links = [str(attributes["href"]) for attributes in shown.all("a")]
    assert len(links) == len(shown.all("figure"))
    assert all(link.startswith("https://mlflow.example/#/experiments/7/runs?") for link in links)
    wanted = "tags.kind = 'replicate' and tags.dataset = 'digits' and tags.family = 'gds' and tags.stage = 'confirm'"
    assert links[0].endswith(f"&searchFilter={quote(wanted, safe='')}&orderByKey=metrics.%60val_accuracy%60&orderByAsc=false")
    assert "shows the runs behind it in MLflow, on https://mlflow.example." in shown.text
