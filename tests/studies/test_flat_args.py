"""The flat arguments: what timm reads under its names gives the training that the recipe says."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace

import pytest
import torch
from timm.data import create_transform
from timm.optim import create_optimizer_v2, optimizer_kwargs
from timm.scheduler import create_scheduler
from torch import nn
from torchvision.transforms import ColorJitter, RandomErasing, RandomHorizontalFlip, RandomResizedCrop, RandomVerticalFlip

from margin_core.data import DatasetConfig
from margin_core.knobs import Schedule
from margin_core.training import Cell, Recipe, Trial
from margin_core.training.optimizer import build_optimizer
from studies.flat_args import flat_args

CELL = Cell(DatasetConfig("digits"), "mlp-8", "ce", {}, {}, Recipe(4))
RATES = {
    "cosine": Recipe(4, lr=0.2),
    "warm cosine": Recipe(4, lr=0.2, warm_up=1),
    "constant": Recipe(4, lr=0.2, lr_schedule="constant"),
    "warm constant": Recipe(4, lr=0.2, lr_schedule="constant", warm_up=0.25),
    "steps": Recipe(4, lr=0.2, lr_schedule="step", lr_steps=[0.5, 3], lr_factor=0.2),
    "warm steps": Recipe(4, lr=0.2, lr_schedule="step", lr_steps=[2], warm_up=1),
}


def arguments(recipe: Recipe, **changes: object) -> Namespace:
    """The arguments of a trial of the recipe, as timm's script has them."""
    return Namespace(**flat_args(Trial(replace(CELL, recipe=recipe, **changes), study_seed=0, replicate=0)))


@pytest.mark.parametrize("name", RATES)
def test_timm_s_scheduler_gives_the_recipe_s_learning_rates(name: str) -> None:
    recipe, updates = RATES[name], 5
    args = arguments(recipe)
    scheduler, epochs = create_scheduler(args, torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=args.lr), updates_per_epoch=updates)
    assert epochs == recipe.epochs
    total = updates * recipe.epochs
    # timm takes a milestone's step one update early.
    last = {round(recipe.share(place) * total) - 1 for place in recipe.lr_steps}
    for update in set(range(total)) - last:
        scheduler.step_update(update)
        (group,) = scheduler.optimizer.param_groups
        assert group["lr"] == pytest.approx(recipe.learning_rate(update / total), abs=1e-12)


@pytest.mark.parametrize("recipe", [Recipe(1, momentum=0.8, weight_decay=1e-4), Recipe(1, optimizer="adamw", weight_decay=0.05)])
def test_timm_s_optimizer_takes_the_recipe_s_steps(recipe: Recipe) -> None:
    network, twin = (nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3)) for _ in range(2))
    twin.load_state_dict(network.state_dict())
    args = arguments(recipe)
    steppers = create_optimizer_v2(network, **optimizer_kwargs(args), **args.opt_kwargs), build_optimizer(recipe, twin.parameters(), [])
    for _ in range(3):
        for model, optimizer in zip((network, twin), steppers, strict=True):
            optimizer.zero_grad()
            model(torch.ones(2, 3)).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(network.state_dict(), twin.state_dict())


@pytest.mark.parametrize("augment", ["none", "crop_flip"])
def test_timm_s_pictures_are_changed_by_what_the_recipe_names_alone(augment: str) -> None:
    args = arguments(Recipe(1, augment=augment))
    names = {"no_aug", "scale", "ratio", "hflip", "vflip", "color_jitter", "crop_pct"}
    given = {name: getattr(args, name) for name in names}
    made = create_transform(32, is_training=True, auto_augment=args.aa, re_prob=args.reprob, **given)
    kinds = {type(change) for change in made.transforms}
    assert not kinds & {ColorJitter, RandomErasing, RandomVerticalFlip, RandomResizedCrop}
    assert (RandomHorizontalFlip in kinds) == (augment != "none")
    assert (args.no_aug, args.hflip, args.mixup, args.cutmix) == (augment == "none", 0.0 if augment == "none" else 0.5, 0.0, 0.0)


def test_smoothing_is_that_of_cross_entropy_and_of_no_other_family() -> None:
    assert arguments(Recipe(1), knobs={"label_smoothing": 0.1}).smoothing == 0.1
    assert arguments(Recipe(1), knobs={"label_smoothing": Schedule("linear", start=0.2, end=0.0)}).smoothing == 0.2
    assert arguments(Recipe(1)).smoothing == 0.0
    assert arguments(Recipe(1), family="gds").smoothing == 0.0
