"""The two-scale module: how its scales start, train, stay positive and predict."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from mpmath import exp, fsum, mpf

from margin_core.losses import build_loss
from margin_core.losses.energies import SMALLEST_SCALE, ByConfidence, energies
from margin_core.losses.functional import ce, two_scale
from margin_core.losses.two_scale import TwoScaleLoss
from margin_core.testing.exact import derivative
from tests.margin_core.losses import oracle
from tests.margin_core.losses.samples import Sample, number, one_hot, sample

X = torch.tensor([[2.0, 0.0, -1.0], [0.3, 0.2, 0.1], [-1.0, 1.5, 0.0]], dtype=torch.float64)
Y = torch.tensor([0, 0, 0])


def build(**settings: float | str) -> TwoScaleLoss:
    loss = build_loss("two_scale", num_classes=3, **settings)
    assert isinstance(loss, TwoScaleLoss)
    return loss


def test_the_scales_start_at_the_network_s_scale_and_at_ratio_times_it() -> None:
    loss = build(ratio=4.0)
    assert (loss.R1.item(), loss.R2.item()) == (1.0, 4.0)
    loss.initialise_scales(torch.tensor(math.log(7.0), dtype=torch.float64))
    assert loss.R1.item() == pytest.approx(7.0, rel=1e-15)
    assert loss.R2.item() == pytest.approx(28.0, rel=1e-15)


def test_at_the_start_the_loss_of_unconfident_samples_is_cross_entropy_whatever_the_network_s_scale() -> None:
    for log_scale in (-10.0, 0.0, 90.0, 600.0):
        loss = build(eta=100.0)
        loss.initialise_scales(log_scale)
        torch.testing.assert_close(loss(X, Y, log_scale=log_scale), ce(X, Y).mean(), rtol=1e-12, atol=0.0)


def test_a_scale_that_float64_does_not_hold_is_refused() -> None:
    for log_scale in (800.0, -800.0, math.nan):
        with pytest.raises(ValueError, match=f"two_scale: log_scale must be in .*got {log_scale}"):
            build().initialise_scales(log_scale)


def test_the_scales_gradients_are_those_of_equation_15() -> None:
    loss, log_scale = build(eta=0.5, ratio=3.0), 1.25
    loss.initialise_scales(log_scale)
    loss(X, Y, log_scale=log_scale).backward()
    r1, r2, r = mpf(loss.R1.item()), mpf(loss.R2.item()), exp(mpf(log_scale))
    expected = [mpf(0), mpf(0)]
    for row in X.tolist():
        leads = [mpf(value) / r - mpf(row[0]) / r for value in row[1:]]
        k = 0 if mpf(row[0]) - max(mpf(value) for value in row[1:]) < mpf(0.5) else 1
        weights = [exp((r1, r2)[k] * lead) for lead in leads]
        expected[k] += fsum(lead * weight for lead, weight in zip(leads, weights, strict=True)) / (1 + fsum(weights)) / 3
    assert loss.R1.grad is not None
    assert loss.R2.grad is not None
    assert abs(mpf(loss.R1.grad.item()) - expected[0]) < 1e-14
    assert abs(mpf(loss.R2.grad.item()) - expected[1]) < 1e-14
    assert loss.R2.grad < 0  # R2 grows as long as a sample is well classified


def test_the_gradient_with_respect_to_the_network_s_scale_is_that_of_the_paper() -> None:
    log_scale = torch.tensor(0.75, dtype=torch.float64, requires_grad=True)
    two_scale(X[1], Y[1], eta=0.05, ratio=2.0, r1=1.25, log_scale=log_scale).backward()
    row = [mpf(value) for value in X[1].tolist()]
    scales = {"eta": mpf(0.05), "r1": mpf(1.25), "r2": mpf(2.5)}
    slope = derivative(lambda value: oracle.two_scale_of(row, 0, row, scale=exp(value), **scales), mpf(0.75))
    assert log_scale.grad is not None
    assert abs(mpf(log_scale.grad.item()) - slope) < 1e-14


def test_a_sample_exactly_at_eta_is_judged_at_the_second_scale() -> None:
    x, y = torch.tensor([1.5, 1.0, 0.0], dtype=torch.float64), torch.tensor(0)
    assert torch.equal(two_scale(x, y, eta=0.5, ratio=4.0), two_scale(x, y, eta=1e-6, ratio=4.0))
    assert not torch.equal(two_scale(x, y, eta=0.5, ratio=4.0), two_scale(x, y, eta=0.5 + 1e-9, ratio=4.0))


def test_the_confidence_is_that_of_the_raw_scores_not_of_the_normalised_ones() -> None:
    raw = two_scale(X[0], Y[0], eta=1.0, r1=math.exp(3.0), r2=math.exp(4.0), log_scale=3.0)
    torch.testing.assert_close(raw, ce(math.e * X[0], Y[0]))


def test_with_ratio_one_a_single_scale_is_trained() -> None:
    loss = build(eta=0.5, ratio=1.0)
    for _ in range(3):
        loss.zero_grad()
        loss(X, Y).backward()
        assert loss.R1.grad is not None
        assert loss.R2.grad is None
        with torch.no_grad():
            loss.R1 -= 0.1 * loss.R1.grad
    torch.testing.assert_close(loss(X, Y), ce(X * loss.R1.detach(), Y).mean())


@pytest.mark.parametrize("value", [0.0, -1.0, -1e8, SMALLEST_SCALE / 2])
def test_a_scale_carried_below_the_smallest_is_taken_there_and_can_grow_again(value: float) -> None:
    loss, least = build(eta=0.5), build(eta=0.5)
    with torch.no_grad():
        for scale, smallest in ((loss.R1, least.R1), (loss.R2, least.R2)):
            scale.fill_(value)
            smallest.fill_(SMALLEST_SCALE)
    results = [module(X, Y) for module in (loss, least)]
    for result in results:
        result.backward()
    assert torch.equal(results[0], results[1])
    for scale, smallest in ((loss.R1, least.R1), (loss.R2, least.R2)):
        assert scale.grad is not None
        assert smallest.grad is not None
        assert torch.equal(scale.grad, smallest.grad)
    assert loss.R2.grad is not None
    assert loss.R2.grad < 0


def test_predictions_use_the_first_scale_over_the_network_s() -> None:
    loss = build()
    loss.initialise_scales(2.0)
    torch.testing.assert_close(loss.prediction_logits(X, log_scale=2.0), X)
    torch.testing.assert_close(loss.prediction_logits(X, log_scale=3.0), X / math.e)
    assert loss.prediction_logits(X.half(), log_scale=2.0).dtype == torch.float32


def test_a_new_ratio_sets_the_second_scale_anew_and_the_same_one_leaves_it() -> None:
    loss = build(ratio=10.0)
    with torch.no_grad():
        loss.R1.fill_(2.0)
        loss.R2.fill_(13.0)
    loss.set_knobs(ratio=10.0, eta=0.1)
    assert loss.R2.item() == 13.0
    loss.set_knobs(ratio=5.0)
    assert loss.R2.item() == 10.0


def test_the_scales_train_in_float32_too() -> None:
    loss = build(eta=0.5)
    log_scale = torch.tensor(95.0, requires_grad=True)  # beyond float32's largest number, as a scale
    loss.initialise_scales(log_scale)
    loss(X.float(), Y, log_scale=log_scale).backward()
    for tensor in (loss.R1, loss.R2, log_scale):
        assert tensor.grad is not None
        assert tensor.grad.isfinite()
        assert tensor.grad != 0.0


MODES = [
    ({"mode": "adaptive"}, {"R1", "R2"}),
    ({"mode": "fixed"}, set()),
    ({"mode": "separation"}, {"R1", "Rs"}),
    ({"mode": "separation", "first_scale": "fixed"}, {"Rs"}),
]


def step(loss: TwoScaleLoss, log_scale: float = 1.25, lr: float = 0.1) -> None:
    """One step of gradient descent on what the loss trains."""
    loss(X, Y, log_scale=log_scale).backward()
    with torch.no_grad():
        for parameter in loss.parameters():
            if parameter.grad is not None:
                parameter -= lr * parameter.grad
    loss.zero_grad()


@pytest.mark.parametrize("parametrisation", ["linear", "log"])
@pytest.mark.parametrize(("mode", "trained"), MODES)
def test_each_mode_starts_the_same_and_trains_its_own_scales(mode: dict[str, str], trained: set[str], parametrisation: str) -> None:
    loss, adaptive = build(eta=0.5, ratio=3.0, parametrisation=parametrisation, **mode), build(eta=0.5, ratio=3.0)
    for module in (loss, adaptive):
        module.initialise_scales(1.25)
    assert loss.scales() == pytest.approx((math.exp(1.25), 3.0 * math.exp(1.25)), rel=1e-14)
    torch.testing.assert_close(loss(X, Y, log_scale=1.25), adaptive(X, Y, log_scale=1.25), rtol=1e-14, atol=0.0)
    before = {name: parameter.item() for name, parameter in loss.named_parameters()}
    assert len(before) == 2
    assert loss(X, Y, log_scale=1.25).requires_grad == bool(trained)
    for _ in range(3 if trained else 0):
        step(loss)
    prefix = "log_" if parametrisation == "log" else ""
    assert {name for name, parameter in loss.named_parameters() if parameter.item() != before[name]} == {prefix + name for name in trained}


@pytest.mark.parametrize(("mode", "trained"), MODES)
def test_the_gradients_of_a_mode_follow_from_those_of_r1_and_r2_by_the_chain_rule(mode: dict[str, str], trained: set[str]) -> None:
    plain = build(eta=0.5, ratio=3.0)
    plain.initialise_scales(1.25)
    plain(X, Y, log_scale=1.25).backward()
    assert plain.R1.grad is not None
    assert plain.R2.grad is not None
    r1, g1, g2 = plain.R1.item(), plain.R1.grad.item(), plain.R2.grad.item()
    of_separation = mode["mode"] == "separation"
    linear = {"R1": g1 + 3.0 * g2 if of_separation else g1, "R2": g2, "Rs": r1 * g2}
    scale = {"R1": r1, "R2": 3.0 * r1, "Rs": 3.0}
    for parametrisation in ("linear", "log"):
        loss = build(eta=0.5, ratio=3.0, parametrisation=parametrisation, **mode)
        loss.initialise_scales(1.25)
        if trained:
            loss(X, Y, log_scale=1.25).backward()
        for name, parameter in loss.named_parameters():
            of = name.removeprefix("log_")
            expected = linear[of] * (scale[of] if parametrisation == "log" else 1.0)
            if of in trained:
                assert parameter.grad is not None
                assert parameter.grad.item() == pytest.approx(expected, rel=1e-12)
            else:
                assert parameter.grad is None


def test_as_long_as_a_sample_is_well_classified_its_scales_move_apart() -> None:
    for first_scale in ("trained", "fixed"):
        loss = build(eta=0.5, mode="separation", first_scale=first_scale)
        loss.initialise_scales(1.25)
        ratios = []
        for _ in range(5):
            r1, r2 = loss.scales()
            ratios.append(r2 / r1)
            step(loss)
        assert ratios == sorted(ratios)
        assert ratios[-1] > ratios[0]


def test_with_r1_fixed_the_loss_is_equation_17() -> None:
    loss = build(eta=0.5, mode="separation", first_scale="fixed", ratio=2.0)
    loss.initialise_scales(1.25)
    for _ in range(3):
        step(loss, lr=1.0)
    r1, r2 = loss.scales()
    assert r1 == pytest.approx(math.exp(1.25), rel=1e-14)
    scales = {"eta": mpf(0.5), "r1": mpf(r1), "r2": mpf(r1) * mpf(loss.Rs.item()), "scale": exp(mpf(1.25))}
    rows = [[mpf(value) for value in row] for row in X.tolist()]
    exact = fsum(oracle.two_scale_of(row, 0, row, **scales) for row in rows) / 3
    assert abs(mpf(loss(X, Y, log_scale=1.25).item()) - exact) < 1e-13
    assert r2 > 2.0 * r1


@pytest.mark.parametrize("parametrisation", ["linear", "log"])
@pytest.mark.parametrize(("mode", "trained"), MODES)
def test_with_ratio_one_every_mode_has_a_single_scale(mode: dict[str, str], trained: set[str], parametrisation: str) -> None:
    loss = build(eta=0.5, ratio=1.0, parametrisation=parametrisation, **mode)
    loss.initialise_scales(0.5)
    torch.testing.assert_close(loss(X, Y, log_scale=0.5), ce(X, Y).mean())
    loss.set_knobs(ratio=4.0)
    assert loss.scales() == pytest.approx((math.exp(0.5), 4.0 * math.exp(0.5)), rel=1e-14)


def test_predictions_use_the_first_scale_in_every_mode() -> None:
    for mode, _ in MODES:
        for parametrisation in ("linear", "log"):
            loss = build(parametrisation=parametrisation, **mode)
            loss.initialise_scales(2.0)
            torch.testing.assert_close(loss.prediction_logits(X, log_scale=3.0), X / math.e)


@pytest.mark.parametrize("eta", [1e3, 1e-9])  # all samples at R1; the misclassified at R1 and the others at R2
def test_the_loss_of_a_network_without_biases_does_not_see_the_length_of_its_weights(eta: float) -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(6, 6, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(2))
    images = torch.randn(32, 6, generator=generator, dtype=torch.float64)
    target = torch.arange(32) % 6
    loss = build_loss("two_scale", num_classes=6, eta=eta)

    def value(length: float) -> torch.Tensor:
        scores = (images @ (length * first)).relu() @ (length * second)
        return loss(scores, target, log_scale=(length * first).norm().log() + (length * second).norm().log())

    for length in (0.3, 7.0):
        torch.testing.assert_close(value(length), value(1.0), rtol=1e-12, atol=0.0)
    value(1.0).backward()
    for weight in (first, second):
        assert weight.grad is not None
        assert abs(torch.cosine_similarity(weight.grad.flatten(), weight.detach().flatten(), dim=0).item()) < 1e-12


@given(sample(8.0), number(0.01, 2.0), number(1.0, 10.0), number(-1.0, 2.0))
def test_a_sample_moves_the_scale_it_is_judged_at_and_up_where_it_is_classified_rightly(
    s: Sample, eta: float, ratio: float, log_scale: float
) -> None:
    x, y = s
    confidence = x[y] - torch.where(one_hot(x, y) == 1, -math.inf, x).max()
    r1 = torch.ones((), dtype=torch.float64, requires_grad=True)
    r2 = torch.tensor(ratio, dtype=torch.float64, requires_grad=True)
    two_scale(x, y, eta=eta, r1=r1, r2=r2, log_scale=log_scale).backward()
    assert r1.grad is not None
    assert r2.grad is not None
    judged, other = (r2.grad, r1.grad) if confidence >= eta else (r1.grad, r2.grad)
    assert other == 0.0
    if confidence > 1e-9:
        assert judged < 0.0


@pytest.mark.parametrize("log_scale", [800.0, 700.0, -700.0, -800.0, -math.inf])
def test_a_network_s_scale_beyond_all_range_raises_nothing(log_scale: float) -> None:
    loss, unit = build(eta=0.5), torch.tensor(log_scale, dtype=torch.float64)
    with torch.no_grad():
        found = loss(X, Y, log_scale=unit)
    # A network as large as that tells no class from another; of one as small, the plain operations tell the same, which may be NaN.
    plain = energies(X, Y, ByConfidence(0.5, loss.R1.detach(), loss.R2.detach(), unit)).plain.mean()
    expected = torch.tensor(math.log(X.shape[-1]), dtype=X.dtype) if log_scale > 0.0 else plain
    torch.testing.assert_close(found, expected, equal_nan=True)
