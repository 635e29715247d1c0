"""Focal loss, generalised and truncated cross-entropy, hard example mining: what each is at its ends, and its gradient."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from margin_core.losses import build_loss
from margin_core.losses.functional import ce, focal, gce, ohem, truncated_ce
from tests.margin_core.losses.samples import Sample, close, gradient, logits, number, one_hot, sample

FAR_APART = [[100.0, 0.0, 0.0], [1e4, -1e4, 0.0], [-100.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
BATCH = torch.tensor([[0.0, 0.0], [9.0, -9.0], [-1.0, 1.0], [1.0, -1.0], [0.0, 0.0], [-3.0, 3.0]], dtype=torch.float64)
ZEROS = torch.zeros(6, dtype=torch.int64)


@given(logits)
def test_focal_without_gamma_is_cross_entropy(s: Sample) -> None:
    close(focal(*s, gamma=0.0), ce(*s))
    close(gradient(focal, *s, gamma=0.0), gradient(ce, *s))


@given(sample(8.0), number(0.0, 5.0))
def test_the_gradient_of_focal_is_kappa_times_that_of_cross_entropy(s: Sample, gamma: float) -> None:
    x, y = s
    p_y, rest = x.softmax(dim=-1)[y], torch.sigmoid(-(x[y] - torch.where(one_hot(x, y) == 1, -math.inf, x).logsumexp(dim=-1)))
    kappa = rest**gamma * (1 + gamma * p_y * ce(x, y) / rest)
    close(gradient(focal, x, y, gamma=gamma), kappa * gradient(ce, x, y))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("gamma", [0.0, 1e-3, 0.5, 1.0, 2.0, 5.0, 100.0])
def test_focal_is_finite_for_every_gamma_also_where_the_probability_is_1(gamma: float, dtype: torch.dtype) -> None:
    for scores in FAR_APART:
        x, y = torch.tensor(scores, dtype=dtype), torch.tensor(0)
        assert focal(x, y, gamma=gamma).isfinite()
        assert gradient(focal, x, y, gamma=gamma).isfinite().all()


@given(logits, number(0.0, 5.0), number(0.0, 5.0))
def test_a_larger_gamma_never_weighs_a_sample_more(s: Sample, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert focal(*s, gamma=high) <= focal(*s, gamma=low) + 1e-12


@given(logits)
def test_gce_with_q_1_is_one_minus_the_probability(s: Sample) -> None:
    close(gce(*s, q=1.0), 1.0 - s[0].softmax(dim=-1)[s[1]])


@given(logits, st.sampled_from([1e-300, 1e-100, 1e-30, 1e-20]), st.sampled_from([torch.float32, torch.float64]))
def test_gce_with_a_vanishing_q_is_cross_entropy_to_the_last_digits(s: Sample, q: float, dtype: torch.dtype) -> None:
    x, y = s[0].to(dtype), s[1]
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(gce(x, y, q=q), ce(x, y), rtol=4 * eps, atol=0.0)
    torch.testing.assert_close(gradient(gce, x, y, q=q), gradient(ce, x, y), rtol=4 * eps, atol=4 * eps)


@given(logits, number(1e-6, 1.0))
def test_the_gradient_of_gce_is_that_of_cross_entropy_times_the_probability_to_the_q(s: Sample, q: float) -> None:
    x, y = s
    close(gradient(gce, x, y, q=q), (-q * ce(x, y)).exp() * gradient(ce, x, y))


@given(logits, number(1e-6, 1.0))
def test_gce_lies_below_cross_entropy_by_no_more_than_its_second_order_and_below_1_over_q(s: Sample, q: float) -> None:
    loss, full = gce(*s, q=q), ce(*s)
    assert full - q * full**2 / 2 - 1e-12 <= loss <= min(full, 1.0 / q) + 1e-12


@given(logits, number(0.0, 1.0))
def test_truncated_ce_is_the_lesser_of_cross_entropy_and_minus_log_k(s: Sample, k: float) -> None:
    close(truncated_ce(*s, k=k), min(ce(*s).item(), -math.log(k) if k > 0.0 else math.inf))


@given(logits, number(0.0, 1.0))
def test_the_threshold_of_truncated_ce_is_the_probability_and_below_it_nothing_pulls(s: Sample, k: float) -> None:
    p_y = s[0].softmax(dim=-1)[s[1]]
    assume(abs(p_y - k) > 1e-9)
    close(gradient(truncated_ce, *s, k=k), gradient(ce, *s) if p_y > k else torch.zeros_like(s[0]))


def test_truncated_ce_looks_at_the_probability_where_the_paper_prints_the_confidence() -> None:
    x, y = torch.tensor([1.0, 0.9], dtype=torch.float64), torch.tensor(0)  # p_y = 0.52, a confidence of 0.1
    close(truncated_ce(x, y, k=0.5), ce(x, y))


@given(st.integers(1, 9), st.integers(2, 5), st.integers(0, 2**32))
def test_ohem_that_keeps_all_is_cross_entropy(samples: int, classes: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(samples, classes, generator=generator, dtype=torch.float64), torch.randint(classes, (samples,), generator=generator)
    assert torch.equal(ohem(x, y, keep=1.0), ce(x, y))
    close(build_loss("ohem", num_classes=classes, keep=1.0)(x, y), cross_entropy(x, y))


@given(st.integers(1, 40), number(0.01, 1.0), st.integers(0, 2**32))
def test_ohem_keeps_the_hardest_of_a_batch_and_its_mean_is_over_them(samples: int, keep: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, 4, generator=generator, dtype=torch.float64)
    y = torch.randint(4, (samples,), generator=generator)
    count = max(1, math.floor(keep * samples + 0.5))
    hardest = ce(x, y).topk(count)
    loss = ohem(x, y, keep=keep)
    close(loss[hardest.indices], hardest.values)
    assert loss.count_nonzero() == count
    close(build_loss("ohem", num_classes=4, keep=keep)(x, y), hardest.values.mean())
    close(build_loss("ohem", num_classes=4, keep=keep, reduction="sum")(x, y), hardest.values.sum())
    pull = gradient(lambda scores, target: ohem(scores, target, keep=keep).sum(), x, y)
    kept = torch.zeros(samples, 1, dtype=torch.float64).index_fill(0, hardest.indices, 1.0)
    close(pull, kept * gradient(lambda scores, target: ce(scores, target).sum(), x, y))


def test_of_samples_of_equal_loss_ohem_keeps_the_first() -> None:
    assert ohem(BATCH, ZEROS, keep=0.5).nonzero().flatten().tolist() == [0, 2, 5]
    assert ohem(torch.zeros(6, 2), ZEROS, keep=0.34).nonzero().flatten().tolist() == [0, 1]


def test_ohem_keeps_one_sample_at_least_and_chooses_in_each_batch_by_itself() -> None:
    assert ohem(BATCH, ZEROS, keep=1e-9).nonzero().flatten().tolist() == [5]
    two = ohem(torch.stack([BATCH, BATCH.flip(0)]), ZEROS.expand(2, 6), keep=0.5)
    assert torch.equal(two[0], ohem(BATCH, ZEROS, keep=0.5))
    assert torch.equal(two[1], ohem(BATCH.flip(0), ZEROS, keep=0.5))
    mean = build_loss("ohem", num_classes=2, keep=0.5)
    close(mean(torch.stack([BATCH, BATCH.flip(0)]), ZEROS.expand(2, 6)), mean(BATCH, ZEROS))
