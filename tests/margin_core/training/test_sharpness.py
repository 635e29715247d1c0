"""Sharpness-aware minimisation: where the gradient is taken, and that nothing but the gradient remains of it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from margin_core.training.sharpness import perturbed


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))


def with_gradients(model: nn.Module, factor: float = 1.0) -> list[Tensor]:
    images = torch.randn(16, 3, generator=torch.Generator().manual_seed(1))
    model.zero_grad()
    (factor * model(images).square().mean()).backward()
    return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("eta", [None, 0.0, 0.01])
def test_weights_move_by_the_papers_formula_and_come_back_to_the_last_bit(eta: float | None) -> None:
    model, rho = network(), 0.3
    gradients = with_gradients(model)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    units = [
        torch.ones_like(w) if eta is None or name.endswith("bias") else w.abs() + eta
        for (name, _), w in zip(model.named_parameters(), before, strict=True)
    ]
    length = torch.cat([(t * g).flatten() for t, g in zip(units, gradients, strict=True)]).norm()
    with perturbed(model, rho=rho, eta=eta):
        for parameter, w, t, g in zip(model.parameters(), before, units, gradients, strict=True):
            torch.testing.assert_close(parameter.detach(), w + rho * t.square() * g / length)
    assert all(torch.equal(parameter, w) for parameter, w in zip(model.parameters(), before, strict=True))


def test_a_step_of_sam_is_as_long_as_rho_and_raises_the_loss_more_than_any_other_as_long() -> None:
    # On a plane the worst place in a ball is along the gradient.
    weight = nn.Linear(2, 1, bias=False)
    weight.weight.grad = torch.tensor([[3.0, -4.0]])
    before = weight.weight.detach().clone()
    with perturbed(weight, rho=0.1, eta=None):
        step = weight.weight.detach() - before
    torch.testing.assert_close(step, torch.tensor([[0.06, -0.08]]), atol=1e-6, rtol=0.0)


def test_asam_sees_no_difference_between_networks_that_are_rescaled_to_the_same_function() -> None:
    torch.manual_seed(0)
    images = torch.randn(16, 3)
    one, other = (nn.Sequential(nn.Linear(3, 8, bias=False), nn.ReLU(), nn.Linear(8, 2, bias=False)) for _ in range(2))
    with torch.no_grad():
        other[0].weight.copy_(10.0 * one[0].weight)
        other[2].weight.copy_(one[2].weight / 10.0)
    worst = []
    for model in (one, other):
        model(images).square().mean().backward()
        with perturbed(model, rho=0.5, eta=0.0):
            worst.append(model(images).square().mean().item())
    assert worst[0] == pytest.approx(worst[1], rel=1e-4)
    assert worst[0] > 1.1 * one(images).square().mean().item()


def test_a_common_factor_in_the_gradients_makes_no_difference() -> None:
    # float16 training scales them.
    moved = []
    for factor in (1.0, 2.0**16):
        model = network()
        with_gradients(model, factor)
        with perturbed(model, rho=0.3, eta=0.01):
            moved.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
    torch.testing.assert_close(*moved)


def test_batch_norm_normalises_by_the_batch_at_the_moved_weights_but_remembers_nothing_of_it() -> None:
    model = network()
    with_gradients(model)
    before = {name: value.clone() for name, value in model[1].state_dict().items() if "running" in name or "num" in name}
    images = 5.0 + 3.0 * torch.randn(64, 3)
    with perturbed(model, rho=1e-6, eta=None):
        normalised = model[1](model[0](images))
    torch.testing.assert_close(normalised.std(dim=0, correction=0), torch.ones(8), atol=1e-3, rtol=0.0)
    assert all(torch.equal(model[1].state_dict()[name], value) for name, value in before.items())
    model(images)
    assert not torch.equal(model[1].running_mean, before["running_mean"])


def test_the_weights_come_back_where_the_block_raises() -> None:
    model = network()
    with_gradients(model)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    with pytest.raises(KeyError), perturbed(model, rho=1.0, eta=None):
        raise KeyError
    assert all(torch.equal(parameter, w) for parameter, w in zip(model.parameters(), before, strict=True))
    assert model[1].track_running_stats
