"""Every loss family of ours is what every loss family must be: a new one passes by being listed, and by its formula in the oracle."""

from __future__ import annotations

import pytest
from matplotlib.mathtext import MathTextParser

from margin_core.losses import FAMILIES, Family, build_loss, functional, get_family, loss_info
from margin_core.testing import FamilyConformance
from margin_core.testing.family_transforms import FamilyTransforms
from tests.margin_core.losses import oracle


class TestFamilies(FamilyConformance):
    families = list(FAMILIES.ours.values())
    formulas = {name: getattr(oracle, name) for name in FAMILIES.ours}
    # Of the margins of norm_face and cos_face both readings of the gradient are the same, and which weights make up the network's
    # scale is the training's matter.
    changes_nothing = {("norm_face", "gradient"), ("cos_face", "gradient"), ("two_scale", "network_scale")}
    moves_no_gradient = {("gm_softmax", "beta1")}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # The compiler's own.
class TestFamiliesCompiled(FamilyTransforms):
    families = list(FAMILIES.ours.values())
    compile_backend = "inductor"


@pytest.mark.parametrize("family", FAMILIES.ours.values(), ids=FAMILIES.ours)
def test_its_pure_function_is_public_and_its_declaration_is_what_is_told_of_it(family: Family) -> None:
    assert getattr(functional, family.name) is family.function
    assert loss_info(family.name) is family


@pytest.mark.parametrize("family", FAMILIES.ours.values(), ids=FAMILIES.ours)
def test_its_page_has_a_formula_in_tex_when_to_use_it_and_whole_tables_of_what_papers_report(family: Family) -> None:
    assert family.formula
    for equation in family.formula:
        assert MathTextParser("path").parse(f"${equation}$").width > 0.0
    assert family.when.endswith(".")
    for table in family.reported:
        assert {len(row) for row in table.rows} == {len(table.columns)}


def test_every_public_pure_function_belongs_to_a_family() -> None:
    assert sorted(functional.__all__) == sorted(FAMILIES.ours)


def test_an_unknown_family_is_refused_with_the_known_ones() -> None:
    for asked in (lambda: build_loss("hinge", num_classes=2), lambda: get_family("hinge"), lambda: loss_info("hinge")):
        with pytest.raises(ValueError, match=r"unknown loss family 'hinge'.*ce, gds"):
            asked()


def test_an_unknown_reduction_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="ce: reduction must be one of mean, sum, none, got 'max'"):
        build_loss("ce", num_classes=2, reduction="max")  # type: ignore[arg-type]
