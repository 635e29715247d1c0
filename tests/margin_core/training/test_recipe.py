"""Recipes: learning rates, optimisers, and what is said of a bad value."""

from __future__ import annotations

import math

import pytest
import torch

from margin_core.training.recipe import Recipe, build_optimizer


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
        ({"lr_schedule": "step"}, "lr_schedule must be one of cosine, constant, got 'step'"),
        ({"clip_norm": 0.0}, "clip_norm must be > 0, or None, got 0.0"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Recipe(**{"epochs": 1, **changes})  # type: ignore[arg-type]
    assert str(caught.value) == message


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
