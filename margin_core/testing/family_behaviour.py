"""How a loss family behaves: its declaration, its bounds and messages, its module, and the symmetries of its formula."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from margin_core.knobs import Knob, Option
from margin_core.losses import get_family
from margin_core.losses.family import Family, Reduction
from margin_core.regularizers import list_regularizers
from margin_core.testing.family_cases import FamilyCases, only
from margin_core.testing.samples import BATCH, CLASSES, COUNTS, build, draw, inputs, loss_and_gradient, pure


class FamilyBehaviour(FamilyCases):
    """What can be said of every loss family without looking at its numbers' last digits."""

    def test_the_declaration_is_complete_and_keeps_its_own_bounds(self, family: Family) -> None:
        assert family.title
        assert family.reference
        # In a configuration a knob is called <family>.<knob>, and a regulariser's weight <regulariser>.weight.
        assert family.name.isidentifier()
        assert family.name not in list_regularizers()
        names = [knob.name for knob in family.knobs] + [option.name for option in family.options]
        assert len(set(names)) == len(names)
        assert all(name.isidentifier() for name in names)
        for knob in family.knobs:
            tried = (knob.default, *knob.grid, *knob.search, *([] if knob.baseline is None else [knob.baseline]))
            assert [knob.check(value, family.name) for value in tried] == list(tried)
            assert list(knob.grid) == sorted(set(knob.grid))
            assert knob.search[0] < knob.search[1]
            assert knob.symbol
            assert knob.source
        for option in family.options:
            assert option.default in option.choices

    def test_a_study_finds_it_by_its_name(self, family: Family) -> None:
        assert get_family(family.name) is family

    def test_the_first_knob_has_enough_grid_values_for_a_response_curve(self, family: Family) -> None:
        assert family.knobs
        assert len(family.knobs[0].grid) >= 5

    def test_the_module_is_the_pure_function_at_its_knobs(self, family: Family) -> None:
        scores, target = draw(family, BATCH)
        loss, _ = loss_and_gradient(family, scores, target)
        knobs = {knob.name: knob.default for knob in family.knobs}
        torch.testing.assert_close(loss, pure(family, scores, target, **knobs), rtol=1e-12, atol=1e-12)

    def test_a_changed_knob_changes_the_loss_and_its_gradient(self, family: Family, knob: Knob) -> None:
        scores, target = draw(family, BATCH)
        loss, gradient = loss_and_gradient(family, scores, target)
        changed_loss, changed_gradient = loss_and_gradient(family, scores, target, **{knob.name: another_value(knob)})
        assert (loss - changed_loss).abs().max() > 1e-3
        assert ((gradient - changed_gradient).abs().max() > 1e-3) != ((family.name, knob.name) in self.moves_no_gradient)

    def test_a_changed_option_changes_a_gradient_under_some_setting_of_the_others(
        self, family: Family, option: Option, choice: str
    ) -> None:
        scores, target = draw(family, BATCH)
        knobs = {knob.name: max(*knob.grid, *knob.search) for knob in family.knobs}
        others = [other for other in family.options if other is not option]
        changes = False
        for choices in itertools.product(*(other.choices for other in others)):
            setting = {**knobs, **dict(zip((other.name for other in others), choices, strict=True))}
            changes |= differ(
                all_gradients(family, scores, target, **setting), all_gradients(family, scores, target, **setting, **{option.name: choice})
            )
        assert changes != ((family.name, option.name) in self.changes_nothing)

    @only(lambda family, knob: knob.baseline is not None)
    def test_at_its_baseline_a_knob_has_the_gradient_of_cross_entropy(self, family: Family, knob: Knob) -> None:
        scores, target = draw(family, BATCH)
        _, gradient = loss_and_gradient(family, scores, target, **{knob.name: float(knob.baseline or 0.0)})
        leaf = scores.clone().requires_grad_()
        (expected,) = torch.autograd.grad(torch.nn.functional.cross_entropy(leaf, target, reduction="sum"), leaf)
        torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-12)

    def test_set_knobs_gives_the_loss_of_a_module_built_with_the_new_value(self, family: Family, knob: Knob) -> None:
        scores, target = draw(family, BATCH)
        setting: dict[str, Any] = {knob.name: another_value(knob)}
        changed = build(family)
        changed.set_knobs(**setting)
        built = build(family, **setting)
        assert changed.knobs == built.knobs
        assert torch.equal(changed(scores, target, **inputs(family, scores)), built(scores, target, **inputs(family, scores)))
        with pytest.raises(ValueError, match=rf"{family.name}: {knob.name} must be .* got nan"):
            changed.set_knobs(**{knob.name: math.nan})

    def test_a_bad_value_is_refused_with_the_family_the_knob_the_value_and_what_is_allowed(self, family: Family, knob: Knob) -> None:
        bad: list[object] = [knob.low - 1.0, math.nan, math.inf, "1.0", True, None]
        bad += [knob.low] * knob.open_low + [knob.high] * knob.open_high
        bad += [knob.high + 1.0] * math.isfinite(knob.high)
        for value in bad:
            setting: dict[str, Any] = {knob.name: value}
            with pytest.raises(ValueError, match=f"^{family.name}: {knob.name} must be") as error:
                build(family, **setting)
            assert repr(value) in str(error.value)
            assert knob.allowed in str(error.value)

    def test_an_unknown_knob_or_option_value_is_refused_with_the_known_ones(self, family: Family) -> None:
        with pytest.raises(ValueError, match=f"^{family.name}: unknown knob 'sharpness'.*{family.knobs[0].name}"):
            build(family, sharpness=1.0)
        for option in family.options:
            setting: dict[str, Any] = {option.name: "other"}
            with pytest.raises(ValueError, match=f"^{family.name}: {option.name} must be one of .*{option.default}.*got 'other'"):
                build(family, **setting)

    @only(lambda family: "class_counts" in family.needs)
    def test_class_counts_that_do_not_go_with_the_classes_are_refused(self, family: Family) -> None:
        for bad in ((3, 2), (3, 2, 0), (3, 2, 1.5), (3, 2, True), 3, "abc", torch.ones(3)):
            with pytest.raises(ValueError, match=rf"^{family.name}: class_counts must be 3 whole numbers >= 1, one for each class, got"):
                build(family, 3, class_counts=bad)
        with pytest.raises(ValueError, match=r"class_counts must be .*got None"):
            family.build(num_classes=3)
        for good in ([3, 2, 1], (3, 2, 1), torch.tensor([3, 2, 1]), np.array([3, 2, 1])):
            assert build(family, 3, class_counts=good).get_buffer("class_counts").tolist() == [3, 2, 1]

    def test_reductions_agree(self, family: Family) -> None:
        scores, target = draw(family, BATCH)
        reductions: tuple[Reduction, ...] = ("none", "sum", "mean")
        none, total, mean = (build(family, reduction=r)(scores, target, **inputs(family, scores)) for r in reductions)
        assert none.shape == target.shape
        assert torch.equal(total, none.sum())
        # Where samples are chosen out of their batch, the others are 0 and the mean is over those chosen.
        assert torch.equal(mean, none.mean() if family.per_sample else none.sum() / none.count_nonzero())

    def test_without_a_sample_it_does_as_torch_s_cross_entropy(self, family: Family) -> None:
        for classes in (2, CLASSES):
            scores, target = draw(family, 0, classes=classes)
            for reduction in ("none", "sum", "mean"):
                result = build(family, classes, reduction)(scores, target, **inputs(family, scores))
                expected = torch.nn.functional.cross_entropy(scores, target, reduction=reduction)
                assert torch.equal(result.isnan(), expected.isnan())
                assert torch.equal(result.nan_to_num(), expected.nan_to_num())

    @only(lambda family: family.reads == "logits")
    def test_adding_a_constant_to_all_logits_changes_nothing(self, family: Family) -> None:
        scores, target = draw(family, BATCH)
        loss, gradient = loss_and_gradient(family, scores, target)
        shifted_loss, shifted_gradient = loss_and_gradient(family, scores + 0.75, target)
        torch.testing.assert_close(shifted_loss, loss, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(shifted_gradient, gradient, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(gradient.sum(dim=-1), torch.zeros(BATCH, dtype=torch.float64), rtol=0.0, atol=1e-12)

    def test_renaming_the_classes_renames_the_gradient(self, family: Family) -> None:
        scores, target = draw(family, BATCH)
        order = torch.tensor([3, 0, 4, 1, 2])
        loss, gradient = loss_and_gradient(family, scores, target)
        counts = {name: [COUNTS[j] for j in order] for name in family.needs}
        renamed_loss, renamed_gradient = loss_and_gradient(family, scores[..., order], order.argsort()[target], **counts)
        torch.testing.assert_close(renamed_loss, loss, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(renamed_gradient, gradient[..., order], rtol=1e-12, atol=1e-12)

    def test_another_order_of_the_samples_gives_the_same_losses_and_gradients_in_that_order(self, family: Family) -> None:
        scores, target = draw(family, BATCH)
        order = torch.randperm(BATCH, generator=torch.Generator().manual_seed(1))
        loss, gradient = loss_and_gradient(family, scores, target)
        reordered_loss, reordered_gradient = loss_and_gradient(family, scores[order], target[order])
        torch.testing.assert_close(reordered_loss, loss[order], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(reordered_gradient, gradient[order], rtol=1e-12, atol=1e-12)

    def test_leading_axes_are_any_number_from_none_on(self, family: Family) -> None:
        scores, target = draw(family, 2, 3, 4)
        loss, gradient = loss_and_gradient(family, scores, target)
        # A single sample, or the batch that a sample is chosen out of.
        for at in itertools.product(range(2), range(3), range(4)) if family.per_sample else itertools.product(range(2), range(3)):
            one_loss, one_gradient = loss_and_gradient(family, scores[at], target[at])
            assert one_loss.shape == (() if family.per_sample else (4,))
            torch.testing.assert_close(one_loss, loss[at], rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(one_gradient, gradient[at], rtol=1e-12, atol=1e-12)
        assert loss_and_gradient(family, scores[0, 0, 0], target[0, 0, 0])[0].shape == ()

    def test_a_knob_tensor_over_the_leading_axes_equals_one_call_per_row(self, family: Family) -> None:
        scores, target = draw(family, 5, 16)
        rows = {knob.name: torch.linspace(*knob.search, 5, dtype=torch.float64) for knob in family.knobs}
        together = pure(family, scores, target, **{name: values.unsqueeze(-1) for name, values in rows.items()})
        for i in range(5):
            alone = pure(family, scores[i], target[i], **{name: float(values[i]) for name, values in rows.items()})
            torch.testing.assert_close(together[i], alone, rtol=1e-12, atol=1e-12)

    def test_two_classes_suffice_and_one_does_not(self, family: Family) -> None:
        scores, target = draw(family, BATCH, classes=2)
        loss, gradient = loss_and_gradient(family, scores, target)
        assert loss.isfinite().all()
        assert gradient.isfinite().all()
        with pytest.raises(ValueError, match=f"{family.name}: num_classes must be >= 2, got 1"):
            build(family, 1)
        with pytest.raises(ValueError, match="K >= 2"):
            pure(family, scores[..., :1], torch.zeros_like(target))

    def test_a_target_that_does_not_go_with_the_scores_is_refused(self, family: Family) -> None:
        scores, target = draw(family, BATCH)
        with pytest.raises(ValueError, match=r"target must have the shape \(64,\).*got \(64, 1\)"):
            pure(family, scores, target.unsqueeze(-1))
        with pytest.raises(ValueError, match=r"target must hold integer class indices, got torch\.float32"):
            pure(family, scores, target.float())

    def test_predictions_put_the_highest_score_first(self, family: Family) -> None:
        scores, _ = draw(family, BATCH)
        logits = build(family).prediction_logits(scores, **{name: torch.full_like(scores, 2.0) for name in inputs(family, scores)})
        assert torch.equal(logits.argsort(dim=-1), scores.argsort(dim=-1))

    def test_a_module_survives_a_trip_through_its_state(self, family: Family) -> None:
        scores, target = draw(family, BATCH)
        one, other = (build(family) for _ in range(2))
        with torch.no_grad():
            for parameter in one.parameters():
                parameter.mul_(1.5)
        other.load_state_dict(one.state_dict())
        assert torch.equal(one(scores, target, **inputs(family, scores)), other(scores, target, **inputs(family, scores)))


def another_value(knob: Knob) -> float:
    """The value farthest from the default that a study would try."""
    return max((*knob.grid, *knob.search), key=lambda value: abs(value - knob.default))


def all_gradients(family: Family, scores: Tensor, target: Tensor, **values: Any) -> dict[str, Tensor | None]:
    """Of the scores and of the loss's own parameters, those that are not trained included."""
    leaf, module = scores.clone().requires_grad_(), build(family, scores.shape[-1], **values)
    module(leaf, target, **inputs(family, scores)).sum().backward()
    return {"scores": leaf.grad, **{name: parameter.grad for name, parameter in module.named_parameters()}}


def differ(one: dict[str, Tensor | None], other: dict[str, Tensor | None]) -> bool:
    """Whether any gradient is another, or there in only one of them."""
    for name in one.keys() | other.keys():
        left, right = one.get(name), other.get(name)
        if (left is None) != (right is None):
            return True
        if left is not None and right is not None and (left - right).abs().max() > 1e-3:
            return True
    return False
