"""Recipes: learning rates, optimisers, and what is said of a bad value."""

from __future__ import annotations

import json
import math
from dataclasses import fields

import pytest
import torch

from margin_core.losses import build_loss, list_losses
from margin_core.training.optimizer import build_optimizer
from margin_core.training.recipe import LINEAR_IN_THE_LABEL, Recipe

PLACE = "a whole number of epochs below epochs, or a share of the steps above 0 and below 1"
EVERYTHING = Recipe(
    epochs=200,
    optimizer="adamw",
    lr_schedule="step",
    lr_steps=[0.8, 180],
    lr_factor=0.01,
    warm_up=5,
    sharpness="asam",
    rho=1,
    eta=0,
    ema=0.999,
    mixup=1,
    augment="crop_flip_rotate",
    precision="bfloat16",
    accumulate=2,
    processes=2,
    channels_last=True,
    compile=True,
)


def test_a_cosine_falls_from_the_learning_rate_to_0_and_a_constant_stays() -> None:
    cosine, constant = Recipe(epochs=1, lr=0.4), Recipe(epochs=1, lr=0.4, lr_schedule="constant")
    rates = [cosine.learning_rate(step / 10) for step in range(11)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == 0.4
    assert rates[5] == pytest.approx(0.2)
    assert rates[10] == 0.0
    assert {constant.learning_rate(step / 10) for step in range(11)} == {0.4}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number >= 1, got 0"),
        ({"epochs": 2.0}, "epochs must be a whole number >= 1, got 2.0"),
        ({"batch_size": True}, "batch_size must be a whole number >= 1, got True"),
        ({"optimizer": "adam"}, "optimizer must be one of sgd, adamw, got 'adam'"),
        ({"lr": 0.0}, "lr must be > 0, got 0.0"),
        ({"lr": math.nan}, "lr must be > 0, got nan"),
        ({"lr": "0.1"}, "lr must be > 0, got '0.1'"),
        ({"weight_decay": -1e-4}, "weight_decay must be >= 0, got -0.0001"),
        ({"momentum": 1.0}, "momentum must be in [0, 1), got 1.0"),
        ({"lr_schedule": "linear"}, "lr_schedule must be one of cosine, constant, step, got 'linear'"),
        ({"clip_norm": 0.0}, "clip_norm must be > 0, or None, got 0.0"),
        ({"warm_up": -1}, f"warm_up must be 0, {PLACE}, got -1"),
        ({"warm_up": 10}, f"warm_up must be 0, {PLACE}, got 10"),
        ({"warm_up": 2.5}, f"warm_up must be 0, {PLACE}, got 2.5"),
        ({"lr_steps": 3}, "lr_steps must be a list of places in training, got 3"),
        ({"lr_schedule": "step", "lr_steps": [0.5, 10]}, f"lr_steps: each must be {PLACE}, got 10"),
        ({"lr_schedule": "step", "lr_steps": [6, 0.5]}, "lr_steps must be places that rise, got [6, 0.5]"),
        ({"lr_schedule": "step"}, "lr_steps must be given with lr_schedule step, got []"),
        ({"lr_steps": [0.5]}, "lr_steps must be empty with lr_schedule cosine, got [0.5]"),
        ({"lr_factor": 1}, "lr_factor must be in (0, 1), got 1"),
        ({"sharpness": "gsam"}, "sharpness must be one of none, sam, asam, got 'gsam'"),
        ({"sharpness": "sam"}, "rho must be > 0 with sharpness sam, got None"),
        ({"sharpness": "asam", "rho": 0}, "rho must be > 0 with sharpness asam, got 0"),
        ({"rho": 0.05}, "rho must be left out with sharpness none, got 0.05"),
        ({"eta": -0.01}, "eta must be >= 0, got -0.01"),
        ({"ema": 1.0}, "ema must be in (0, 1), or None, got 1.0"),
        ({"mixup": 0}, "mixup must be > 0, or None, got 0"),
        ({"augment": "flip"}, "augment must be one of none, crop_flip, crop_flip_rotate, got 'flip'"),
        ({"precision": "int8"}, "precision must be one of float32, tf32, bfloat16, float16, got 'int8'"),
        ({"accumulate": 0}, "accumulate must be 1, or a whole number up to half of batch_size (128), got 0"),
        ({"accumulate": 65}, "accumulate must be 1, or a whole number up to half of batch_size (128), got 65"),
        ({"processes": 0}, "processes must be 1, or a whole number up to half of batch_size (128), got 0"),
        ({"processes": 65}, "processes must be 1, or a whole number up to half of batch_size (128), got 65"),
        (
            {"processes": 33, "accumulate": 2},
            "processes must be 1, or a whole number up to half of batch_size (128) over accumulate (2), got 33",
        ),
        ({"channels_last": 1}, "channels_last must be true or false, got 1"),
        ({"compile": None}, "compile must be true or false, got None"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Recipe(**{"epochs": 10, **changes})  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_a_cosine_after_a_warm_up_rises_from_0_and_falls_from_the_learning_rate_to_0() -> None:
    recipe = Recipe(epochs=10, lr=0.4, warm_up=2)
    rates = [recipe.learning_rate(epoch / 10) for epoch in range(11)]
    assert rates[:3] == pytest.approx([0.0, 0.2, 0.4])
    assert rates[6] == pytest.approx(0.2)
    assert rates[10] == 0.0
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert rates == [Recipe(epochs=10, lr=0.4, warm_up=0.2).learning_rate(epoch / 10) for epoch in range(11)]


@pytest.mark.parametrize("places", [[100, 150], [0.5, 0.75]])
def test_steps_are_made_at_the_first_step_of_their_epoch_and_not_before(places: list[float]) -> None:
    # The gradient-decay paper's: 0.1 at a half and at three quarters. 391 batches of 128 are an epoch of CIFAR-10's 50000.
    recipe = Recipe(epochs=200, lr=0.01, lr_schedule="step", lr_steps=places)
    for epoch, before, after in ((100, 1e-2, 1e-3), (150, 1e-3, 1e-4)):
        step = 391 * epoch
        assert recipe.learning_rate((step - 1) / (391 * 200)) == pytest.approx(before)
        assert recipe.learning_rate(step / (391 * 200)) == pytest.approx(after)


def test_a_recipe_is_written_with_what_was_there_first_and_what_is_not_at_its_default() -> None:
    first = {"epochs": 9, "batch_size": 128, "optimizer": "sgd", "lr": 0.1, "weight_decay": 0.0, "momentum": 0.9}
    first |= {"lr_schedule": "cosine", "clip_norm": 5.0}
    assert Recipe(epochs=9).to_dict() == first
    assert Recipe(epochs=9, ema=0.5).to_dict() == {**first, "ema": 0.5}
    assert Recipe.from_dict(json.loads(json.dumps(EVERYTHING.to_dict()))) == EVERYTHING
    assert len(EVERYTHING.to_dict()) == len(fields(Recipe))


def test_equal_places_are_written_equally() -> None:
    one, other = (Recipe(epochs=9, lr_schedule="step", lr_steps=steps, warm_up=steps[0]) for steps in ([1, 2], (1.0, 2.0)))
    assert json.dumps(one.to_dict()) == json.dumps(other.to_dict())


@pytest.mark.parametrize("family", LINEAR_IN_THE_LABEL)
def test_mixup_goes_with_losses_that_are_linear_in_the_label(family: str) -> None:
    # Such a loss is A(x) - B(x)_y, with an A that is the same for all labels and B the scores up to a factor: beside that of A, which all
    # labels share, the label adds a gradient on its own score only, of the same size for each.
    scores = torch.linspace(-0.9, 0.9, 5, dtype=torch.float64).repeat(5, 1).requires_grad_()
    build_loss(family, num_classes=5, reduction="sum")(scores, torch.arange(5)).backward()
    shared = torch.tensor([scores.grad[i - 1, i] for i in range(5)])
    own = scores.grad - shared
    torch.testing.assert_close(own, own[0, 0] * torch.eye(5, dtype=torch.float64))
    Recipe(epochs=1, mixup=0.2).check_for(family, ["zero_centroid"])


@pytest.mark.parametrize("family", [name for name in list_losses() if name not in LINEAR_IN_THE_LABEL])
def test_mixup_is_refused_to_every_other_family(family: str) -> None:
    with pytest.raises(ValueError) as caught:
        Recipe(epochs=1, mixup=0.2).check_for(family, [])
    assert str(caught.value) == f"with mixup the family must be one of ce, norm_face, linear in the label, got {family!r}"


def test_mixup_does_not_go_with_a_margin_to_one_label() -> None:
    with pytest.raises(
        ValueError, match="with mixup there can be no sample_margin, for a mixed image has no one label to keep a margin to"
    ):
        Recipe(epochs=1, mixup=0.2).check_for("ce", ["sample_margin"])


def test_unknown_and_missing_keys_of_a_written_recipe_are_named() -> None:
    with pytest.raises(ValueError, match=r"recipe key must be one of epochs, batch_size, .*, got 'learning_rate'"):
        Recipe.from_dict({"epochs": 1, "learning_rate": 0.1})
    with pytest.raises(ValueError, match="recipe: epochs is missing"):
        Recipe.from_dict({"lr": 0.1})


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_losses_own_parameters_are_optimised_without_weight_decay(optimizer: str) -> None:
    weight, scale = torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones((), dtype=torch.float64))
    recipe = Recipe(epochs=1, optimizer=optimizer, lr=0.1, weight_decay=0.5)  # type: ignore[arg-type]
    built = build_optimizer(recipe, [weight], [scale])
    weight.grad, scale.grad = torch.zeros_like(weight), torch.zeros_like(scale)
    built.step()
    torch.testing.assert_close(weight.detach(), torch.full((2, 2), 0.95))
    assert scale.item() == 1.0


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_optimiser_makes_the_steps_of_its_formula(optimizer: str) -> None:
    lr, decay, momentum, gradients = 0.1, 0.01, 0.8, [0.3, -0.2, 0.5]
    recipe = Recipe(epochs=1, optimizer=optimizer, lr=lr, weight_decay=decay, momentum=momentum)  # type: ignore[arg-type]
    parameter = torch.nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    built = build_optimizer(recipe, [parameter], [])
    value, velocity, mean, square = 2.0, 0.0, 0.0, 0.0
    for step, gradient in enumerate(gradients, start=1):
        parameter.grad = torch.tensor([gradient], dtype=torch.float64)
        built.step()
        if optimizer == "sgd":
            pull = gradient + decay * value
            velocity = pull if step == 1 else momentum * velocity + pull
            value -= lr * velocity
        else:
            mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
            value -= lr * decay * value
            value -= lr * (mean / (1 - 0.9**step)) / (math.sqrt(square / (1 - 0.999**step)) + 1e-8)
        assert parameter.item() == pytest.approx(value, rel=1e-12)
