"""What a trial minimises, held to the formulas written out with torch alone."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from margin_core.data import DatasetConfig
from margin_core.knobs import Schedule
from margin_core.losses import get_family
from margin_core.losses.two_scale import TwoScaleLoss
from margin_core.models import Classifier, build_model, log_scale
from margin_core.training import Cell, Recipe, Setting
from margin_core.training.objective import Objective

IMAGES = torch.randn(32, 1, 8, 8, generator=torch.Generator().manual_seed(0))
TARGET = torch.arange(32) % 10


def objective(family: str, knobs: dict[str, Setting], regularizers: dict[str, float | Schedule]) -> Objective:
    cell = Cell(DatasetConfig("digits"), "mlp-50-20", family, knobs, regularizers, Recipe(epochs=1))
    model = build_model("mlp-50-20", in_shape=(1, 8, 8), num_classes=10, reads=get_family(family).reads, seed_parts=(0, 0))
    return Objective(cell, model, [3, 4] * 5)


def sample_margins(model: Classifier) -> torch.Tensor:
    features = model(IMAGES).features
    cosines = F.cosine_similarity(features.unsqueeze(1), model.head.weight.unsqueeze(0), dim=2)
    own = F.one_hot(TARGET, 10).bool()
    return cosines[own] - cosines.masked_fill(own, -math.inf).amax(dim=1)


@pytest.mark.parametrize("weights", [(0.0, 0.0), (0.5, 0.0), (0.0, 3.0), (0.5, 3.0)])
@pytest.mark.parametrize("family", ["ce", "norm_face"])
def test_it_is_the_loss_plus_the_weighted_regularisers(family: str, weights: tuple[float, float]) -> None:
    knobs: dict[str, Setting] = {} if family == "ce" else {"s": 20.0}
    made = objective(family, knobs, {"sample_margin": weights[0], "zero_centroid": weights[1]})
    output = made.model(IMAGES)
    loss = F.cross_entropy(output.scores * (1.0 if family == "ce" else 20.0), TARGET)
    centroid = F.normalize(made.model.head.weight).mean(dim=0).square().sum()
    expected = loss - weights[0] * sample_margins(made.model).mean() + weights[1] * centroid
    torch.testing.assert_close(made(output, TARGET), expected)


@pytest.mark.parametrize("family", ["ce", "norm_face"])
def test_the_centroid_is_that_of_unit_vectors_whatever_the_lengths_of_the_prototypes(family: str) -> None:
    made, without = objective(family, {}, {"zero_centroid": 500.0}), objective(family, {}, {})
    output, prototypes = made.model(IMAGES), made.model.head.weight
    w = prototypes.detach().double()
    paper = (w / w.norm(dim=1, keepdim=True)).mean(dim=0).square().sum().item()
    for lengths in (torch.ones(10), torch.full((10,), 1e-3), torch.linspace(0.1, 30.0, 10)):
        prototypes.data.mul_(lengths.unsqueeze(1))
        term = made(output, TARGET) - without(output, TARGET)
        assert term.item() == pytest.approx(500.0 * paper, rel=1e-5)
        # Nothing is won by a prototype that is only longer or shorter.
        (gradient,) = torch.autograd.grad(term, prototypes, retain_graph=True)
        assert (gradient * prototypes).sum(dim=1).abs().max() < 1e-4


def test_a_weight_of_0_adds_nothing_to_the_graph() -> None:
    without = objective("ce", {}, {})
    zero = objective("ce", {}, {"sample_margin": 0.0, "zero_centroid": Schedule("step", 0.0, 1.0, 0.5)})
    graphs = [made(made.model(IMAGES), TARGET).grad_fn for made in (without, zero)]
    assert type(graphs[0]) is type(graphs[1])
    assert torch.equal(without(without.model(IMAGES), TARGET), zero(zero.model(IMAGES), TARGET))


def test_scheduled_knobs_and_weights_move_with_the_training() -> None:
    beta, weight = Schedule("linear", 1.0, 0.5), Schedule("cosine", 0.0, 2.0)
    made = objective("gradient_decay", {"beta": beta, "tau": 1.0}, {"zero_centroid": weight, "sample_margin": 0.1})
    for progress in (0.0, 0.25, 0.9, 1.0):
        made.set_progress(progress)
        assert made.scheduled_values() == {"beta": beta.value(progress), "zero_centroid.weight": weight.value(progress)}
        fixed = objective("gradient_decay", {"beta": beta.value(progress)}, {"zero_centroid": weight.value(progress), "sample_margin": 0.1})
        assert torch.equal(made(made.model(IMAGES), TARGET), fixed(fixed.model(IMAGES), TARGET))


def test_the_two_scales_start_from_the_networks_and_predictions_are_the_networks_logits() -> None:
    made = objective("two_scale", {"eta": 1e6, "ratio": 10.0}, {})
    output = made.model(IMAGES)
    torch.testing.assert_close(made.prediction_logits(output), output.scores, atol=1e-6, rtol=1e-6)
    # No confidence reaches this eta: every example is judged at R1 = R, where the loss is cross-entropy.
    torch.testing.assert_close(made(output, TARGET), F.cross_entropy(output.scores, TARGET))


def test_the_scale_of_the_network_is_differentiated_so_that_the_loss_does_not_see_the_length_of_a_weight() -> None:
    made = objective("two_scale", {}, {})
    with torch.no_grad():
        for name, parameter in made.model.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
    made(made.model(IMAGES), TARGET).backward()
    for name, parameter in made.model.named_parameters():
        if name.endswith("weight"):
            assert parameter.grad is not None
            cosine = F.cosine_similarity(parameter.grad.flatten(), parameter.detach().flatten(), dim=0)
            assert abs(cosine.item()) < 1e-4


def test_the_predictions_of_a_cosine_family_are_scaled_by_its_s() -> None:
    made = objective("arc_face", {"s": 24.0, "m": 0.3}, {})
    output = made.model(IMAGES)
    torch.testing.assert_close(made.prediction_logits(output), 24.0 * output.scores)


def test_a_family_is_given_the_norms_that_it_asks_for() -> None:
    made = objective("l_softmax", {"m": 1}, {})
    output = made.model(IMAGES)
    logits = output.features @ made.model.head.weight.T
    torch.testing.assert_close(made.prediction_logits(output), logits)
    torch.testing.assert_close(made(output, TARGET), F.cross_entropy(logits, TARGET))


def test_a_family_is_given_the_class_counts_that_it_asks_for() -> None:
    made = objective("ldam", {"max_margin": 0.4, "s": 10.0}, {})
    assert made.loss.get_buffer("class_counts").tolist() == [3, 4] * 5
    output = made.model(IMAGES)
    margins = 0.4 * (3.0 / torch.tensor([3.0, 4.0] * 5)) ** 0.25
    widened = output.scores - margins * F.one_hot(TARGET, 10)
    torch.testing.assert_close(made(output, TARGET), F.cross_entropy(10.0 * widened, TARGET))


@pytest.mark.parametrize("source", ["all_weights", "homogeneous", "last_layer"])
def test_the_scale_of_the_network_is_that_of_the_weights_that_the_family_names(source: str) -> None:
    made = objective("two_scale", {"network_scale": source}, {})
    assert isinstance(made.loss, TwoScaleLoss)
    assert made.loss.scales()[0] == pytest.approx(log_scale(made.model, source).exp().item(), rel=1e-12)
    torch.testing.assert_close(made.prediction_logits(made.model(IMAGES)), made.model(IMAGES).scores, atol=1e-6, rtol=1e-6)
