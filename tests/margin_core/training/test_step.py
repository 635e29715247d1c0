"""Steps: what each key of a recipe changes about them, in trials."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from margin_core.data import DatasetConfig
from margin_core.seeds import numpy_generator, torch_generator
from margin_core.training import Cell, Recipe, Trial


def trial(family: str = "ce", *, model: str = "mlp-50-20", **recipe: Any) -> Trial:
    knobs = {"eta": 0.1} if family == "two_scale" else {}
    settings = {"epochs": 1, "batch_size": 200, "lr": 0.05, **recipe}
    return Trial(Cell(DatasetConfig("digits"), model, family, knobs, {}, Recipe(**settings)), study_seed=0, replicate=0)


def weights(trial: Trial) -> Tensor:
    tensors = [*trial.model.state_dict().values(), *trial.loss.state_dict().values()]
    return torch.cat([tensor.flatten().double() for tensor in tensors if tensor.is_floating_point()])


@contextmanager
def at_each_step(trial: Trial, look: Callable[[], object]) -> Iterator[list[Any]]:
    """What ``look`` sees right after each step of the optimiser."""
    seen: list[Any] = []
    hook = trial._step.optimizer.register_step_post_hook(lambda *_: seen.append(look()))
    yield seen
    hook.remove()


def test_each_step_has_the_learning_rate_of_the_recipe() -> None:
    warm = trial(epochs=2, warm_up=1, lr_schedule="step", lr_steps=[1, 0.75])
    with at_each_step(warm, lambda: {group["lr"] for group in warm._step.optimizer.param_groups}) as rates:
        warm.run_epoch()
        warm.run_epoch()
    # 1079 examples are 6 steps of 200.
    expected = [*(0.05 * step / 6 for step in range(6)), *[0.005] * 3, *[0.0005] * 3]
    assert [rate.pop() for rate in rates] == pytest.approx(expected)


@pytest.mark.parametrize("family", ["ce", "arc_face", "two_scale"])
def test_a_step_in_parts_is_the_step_of_the_whole_batch_up_to_rounding(family: str) -> None:
    whole, parts = trial(family), trial(family, accumulate=7)
    sizes: list[int] = []
    parts.model.register_forward_hook(lambda module, inputs, _: sizes.append(len(inputs[0])) if module.training else None)
    reports = [whole.run_epoch(), parts.run_epoch()]
    assert reports[1].metrics["train_loss"] == pytest.approx(reports[0].metrics["train_loss"], rel=1e-5)
    torch.testing.assert_close(weights(parts), weights(whole), atol=1e-5, rtol=1e-4)
    assert len(sizes) == 42
    assert sum(sizes) == 1079
    assert max(sizes) == 29


def test_no_part_is_a_single_example() -> None:
    # 1079 = 359 * 3 + 2: the last batch of two is not parted.
    parts = trial(batch_size=539, accumulate=269)
    sizes: list[int] = []
    parts.model.register_forward_hook(lambda module, inputs, _: sizes.append(len(inputs[0])) if module.training else None)
    parts.run_epoch()
    assert min(sizes) == 2


@pytest.mark.parametrize(("sharpness", "eta"), [("sam", None), ("asam", 0.01)])
def test_a_sharpness_aware_step_goes_along_the_gradient_at_the_moved_weights(sharpness: str, eta: float | None) -> None:
    plain = {"batch_size": 2000, "momentum": 0.0, "clip_norm": None, "lr_schedule": "constant"}
    aware, by_hand = trial(sharpness=sharpness, rho=0.5, **plain), trial(**plain)
    images, labels = by_hand.data.train_x, by_hand.data.train_y
    parameters = dict(by_hand.model.named_parameters())
    values = list(parameters.values())
    gradients = torch.autograd.grad(cross_entropy(by_hand.model(images).scores, labels), values)
    units = [torch.ones_like(p) if eta is None or "bias" in name else p.detach().abs() + eta for name, p in parameters.items()]
    length = torch.cat([(t * g).flatten() for t, g in zip(units, gradients, strict=True)]).norm()
    moved = {name: p.detach() + 0.5 * t * t * g / length for (name, p), t, g in zip(parameters.items(), units, gradients, strict=True)}
    for value in moved.values():
        value.requires_grad_()
    loss = cross_entropy(torch.func.functional_call(by_hand.model, moved, images).scores, labels)
    there = torch.autograd.grad(loss, list(moved.values()))
    expected = [p.detach() - 0.05 * g for p, g in zip(values, there, strict=True)]
    report = aware.run_epoch()
    for parameter, value in zip(aware.model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.detach(), value, atol=1e-6, rtol=1e-4)
    # What is reported is the loss at the weights themselves.
    assert report.metrics["train_loss"] == pytest.approx(cross_entropy(by_hand.model(images).scores, labels).item(), rel=1e-5)


@pytest.mark.parametrize("family", ["ce", "two_scale"])
def test_the_average_of_the_weights_is_what_is_evaluated_and_the_others_what_is_trained(family: str) -> None:
    plain, averaged = trial(family, epochs=2), trial(family, epochs=2, ema=0.8)
    mean = weights(plain)
    with at_each_step(plain, lambda: weights(plain)) as path:
        plain.run_epoch(), plain.run_epoch()
    for point in path:
        mean = 0.8 * mean + 0.2 * point
    assert averaged.run_epoch().metrics["val_nll"] != plain.evaluate("val")["val_nll"]
    with at_each_step(averaged, lambda: weights(averaged)) as own_path:
        last = averaged.run_epoch()
    assert all(torch.equal(own, point) for own, point in zip(own_path, path[6:], strict=True))
    torch.testing.assert_close(weights(averaged), mean, atol=1e-6, rtol=1e-5)
    assert last.metrics["val_nll"] == averaged.evaluate("val")["val_nll"]


def test_the_average_holds_batch_norms_statistics_too() -> None:
    averaged, plain = (trial(model="timm:test_resnet", lr=0.01, ema=ema) for ema in (0.5, None))
    norm = next(name for name in plain.model.state_dict() if name.endswith("running_var"))
    mean = plain.model.state_dict()[norm].clone()
    with at_each_step(plain, lambda: plain.model.state_dict()[norm].clone()) as path:
        plain.run_epoch()
    for point in path:
        mean = 0.5 * mean + 0.5 * point
    averaged.run_epoch()
    torch.testing.assert_close(averaged.model.state_dict()[norm], mean)


def test_mixup_trains_on_the_cross_entropy_of_mixed_labels() -> None:
    mixed, plain = (trial(mixup=mixup, batch_size=2000) for mixup in (1.0, None))
    order = torch.randperm(1079, generator=torch_generator(0, 0, "order", 0))
    draws = numpy_generator(0, 0, "mixup", 0)
    share, others = draws.beta(1.0, 1.0), torch.from_numpy(draws.permutation(1079))
    images, labels = plain.data.train_x[order], one_hot(plain.data.train_y[order], 10).double()
    scores = plain.model(share * images + (1.0 - share) * images[others]).scores.double()
    expected = cross_entropy(scores, share * labels + (1.0 - share) * labels[others])
    assert 0.05 < share < 0.95
    assert mixed.run_epoch().metrics["train_loss"] == pytest.approx(expected.item(), rel=1e-5)


def test_equal_seeds_change_and_mix_pictures_equally_and_other_epochs_otherwise() -> None:
    one, other = (trial(epochs=3, augment="crop_flip_rotate", mixup=0.5) for _ in range(2))
    reports = [[trial.run_epoch().metrics for _ in range(3)] for trial in (one, other)]
    assert reports[0] == reports[1]
    still = trial(epochs=2, augment="crop_flip", lr=1e-12, batch_size=2000)
    losses = [still.run_epoch().metrics["train_loss"] for _ in range(2)]
    assert losses[0] != losses[1]
