"""Files of published claims, ours and a person's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from margin_core.data import dataset_info
from studies.plain_yaml import StudyFileError
from studies.published import list_claims, read_claims, shipped_claims

FILE = """
source: A paper
common: {family: gds, knob: lam, dataset: digits}
claims:
  - {says: one is best, source: table 1, best: 1}
  - {says: two loses, value: 2, loses_to: ce}
"""


def read(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "claims.yaml"
    file.write_text(text)
    return [claim.source for claim in read_claims(file)]


def test_what_claims_have_in_common_is_said_once(tmp_path: Path) -> None:
    assert read(tmp_path, FILE) == ["A paper, table 1", "A paper"]


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        ("best: 1", "best: 1, value: 2, beats: ce", "a claim must have one of best, beats, loses_to and moves_to, got best, beats"),
        ("best: 1", "value: 1", "a claim must have one of best, beats, loses_to and moves_to, got none"),
        ("family: gds", "family: gdss", "no family is called 'gdss'"),
        ("knob: lam", "knob: lamb", "gds has no knob 'lamb'; it has lam, tau"),
        ("best: 1", "best: -1", "gds: lam must be >= 0, got -1.0"),
        ("best: 1", "bests: 1", "bests: Extra inputs are not permitted"),
        ("best: 1", "best: 1, direction: up", "direction goes with moves_to alone"),
        ("value: 2, loses_to: ce", "loses_to: 1", "a claim without a value is about the family as a whole"),
        ("best: 1", "best: 1, conditions: {network: x}", "'network' is neither model nor a knob or option of gds"),
    ],
)
def test_a_claim_that_says_nothing_that_can_be_checked_is_refused(was: str, now: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(StudyFileError) as refused:
        read(tmp_path, FILE.replace(was, now))
    assert told in str(refused.value)
    assert "claims." in str(refused.value)


def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyFileError, match="a file of claims is a mapping with source and claims"):
        read(tmp_path, "- one")


def test_the_source_papers_claims_are_about_datasets_that_there_are() -> None:
    claims = shipped_claims()
    assert {claim.family for claim in claims} == {"gds", "gradient_decay", "two_scale", "lm_softmax"}
    assert len(list_claims()) == 4
    for claim in claims:
        for name in filter(None, (claim.dataset, claim.moves_to)):
            assert dataset_info(name)


def test_the_headline_of_the_dual_scale_paper_is_among_them() -> None:
    best = {claim.dataset: claim.best for claim in shipped_claims() if claim.best is not None}
    assert best == {"cub": 1.0, "stanford_dogs": 1.5, "stanford_cars": 2.0}
