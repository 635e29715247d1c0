"""The sections that look beyond the verdicts: what the screen hangs on, and what has been published."""

from __future__ import annotations

from xml.etree import ElementTree

from studies.plan import PlannedTrial
from studies.reporting.figures import curve_figure
from studies.reporting.report import render_report
from studies.reporting.sections import claims, curves, forest, importance
from tests.studies.reporting.conftest import Build, noise

WIDE = {
    "families": {"ce": None, "gds": {"lam": {"low": 0.0, "high": 3.0}}},
    "nuisance": {"lr": {"low": 0.001, "high": 1.0, "scale": "log"}},
    "screen": {"searcher": "sobol", "trials": 80},
}


PAPERS = {"datasets": ["cub", "stanford_cars"], "screen": None, "families": {"ce": None, "gds": None}, "nuisance": {"lr": 0.1}}


def by_dataset(trial: PlannedTrial) -> float:
    """The best λ is 1 on birds, as the paper says, and 1.5 elsewhere."""
    best, lam = 1.0 if trial.dataset == "cub" else 1.5, float(trial.config.get("gds.lam", 0.0))
    return 80.0 - (lam - best) ** 2 + noise(trial.key, scale=0.01)


def diamonds(svg: str) -> int:
    """How many hollow diamonds are drawn: markers of four corners that stand on one."""
    root = ElementTree.fromstring(svg)
    shapes = {path.get("id"): path.get("d", "") for path in root.iter("path")}
    drawn = [shapes.get((use.get("href") or "").removeprefix("#"), "") for use in root.iter("use")]
    return sum(shape.startswith("M 0 ") or shape.startswith("M -0 ") for shape in drawn if shape.count("L") == 3)


def by_rate(trial: PlannedTrial) -> float:
    """The learning rate alone decides."""
    return 90.0 - 100.0 * abs(float(trial.config["lr"]) - 0.1) + noise(trial.key, scale=0.01)


def test_the_parameter_that_decides_is_named_first(build: Build) -> None:
    section = importance.section(build(by_rate, **WIDE))
    assert section is not None
    figure, _ = section.figures
    assert figure.sentence == "Of 80 configurations, the best tenth differs most in lr."
    assert figure.alt.startswith("Importance of each parameter: lr ") and figure.alt.endswith("%).")
    drawn = {element.text for element in ElementTree.fromstring(figure.svg()).iter("text")}
    assert {"family", "gds.lam", "lr", "share of importance, %", "0"} <= drawn


def test_a_screen_with_too_few_configurations_says_nothing_of_importance(build: Build) -> None:
    assert importance.section(build(by_rate, **{**WIDE, "screen": {"searcher": "sobol", "trials": 40}})) is None


def test_claims_about_the_study_s_datasets_stand_in_the_report(build: Build) -> None:
    def rising(trial: PlannedTrial) -> float:
        at = float(trial.config.get("gds.lam", 0.0))
        return 80.0 + at - abs(at - 2.0) + noise(trial.key, scale=0.01)

    answer = build(
        rising, datasets=["stanford_cars"], screen=None, families={"ce": None, "gds": None}, nuisance={"lr": 0.1}, model="resnet18"
    )
    section = claims.section(answer)
    assert section is not None
    status = {checked.claim.says: checked.status for checked in section.facts["claims"]}  # type: ignore[attr-defined]
    assert status["On cars λ = 2 is best"] == "confirmed"
    assert status["On cars λ = 0.5 loses to cross-entropy"] == "refuted"
    page = render_report(answer)
    assert "Published claims" in page
    assert "Here model resnet18 instead of timm:vit_base_patch16_224.augreg_in21k." in page


def test_a_value_that_a_paper_calls_best_is_a_hollow_diamond_in_forest_and_curve(build: Build) -> None:
    papers = build(by_dataset, **{**PAPERS, "datasets": ["cub", "stanford_cars", "digits"]})
    (panel,) = forest.section(papers).figures  # type: ignore[union-attr]
    assert "cub LOCATED, λ = 1, published as best or better: λ = 1;" in panel.alt
    assert "stanford_cars LOCATED, λ = 1.5, published as best or better: λ = 2;" in panel.alt
    assert panel.alt.endswith("digits LOCATED, λ = 1.5.")
    assert diamonds(panel.svg()) == 2
    assert [diamonds(curve_figure(papers, curve).svg()) for curve in papers.curves] == [1, 1, 0]
    assert curve_figure(papers, papers.curves[1]).alt.endswith(", published as best or better: λ = 2.")
    page = render_report(papers)
    assert page.count("published as best or better</li>") == 2


def test_a_published_value_that_was_not_tried_has_a_place_of_its_own(build: Build) -> None:
    confirm = {"families": ["gds"], "seeds": 5, "values": {"gds": [0.0, 0.5, 1.0]}}
    papers = build(by_dataset, **{**PAPERS, "datasets": ["stanford_cars"], "confirm": confirm})
    (curve,) = papers.curves
    svg = curve_figure(papers, curve).svg()
    assert diamonds(svg) == 1
    assert {"0", "0.5", "1", "2"} <= {element.text for element in ElementTree.fromstring(svg).iter("text")}


def test_what_a_paper_says_of_another_metric_is_not_marked(build: Build) -> None:
    papers = build(by_dataset, **PAPERS, metric="val_nll", sesoi=0.1)
    assert all("published" not in curve_figure(papers, curve).alt for curve in papers.curves)
    assert all(meaning != "published as best or better" for _, meaning in curves.section(papers).key)  # type: ignore[union-attr]


def test_a_study_of_other_datasets_has_no_such_section(build: Build) -> None:
    assert claims.section(build(by_rate)) is None
