"""The sections that look beyond the verdicts: what the screen hangs on, and what has been published."""

from __future__ import annotations

from xml.etree import ElementTree

from studies.plan import PlannedTrial
from studies.reporting.report import render_report
from studies.reporting.sections import claims, importance
from tests.studies.reporting.conftest import Build, noise

WIDE = {
    "families": {"ce": None, "gds": {"lam": {"low": 0.0, "high": 3.0}}},
    "nuisance": {"lr": {"low": 0.001, "high": 1.0, "scale": "log"}},
    "screen": {"searcher": "sobol", "trials": 80},
}


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


def test_a_study_of_other_datasets_has_no_such_section(build: Build) -> None:
    assert claims.section(build(by_rate)) is None
