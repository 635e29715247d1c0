"""Heads: logits, cosines, and the start that both share."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from margin_core.heads import CosineHead, LinearHead, build_head
from margin_core.seeds import seeded_initialisation


def seeded(reads: str, width: int = 20, classes: int = 10) -> LinearHead | CosineHead:
    with seeded_initialisation("heads"):
        return build_head(reads, width, classes)  # type: ignore[arg-type]


def test_a_linear_head_gives_logits_and_cosines_without_the_bias() -> None:
    head, features = seeded("logits"), torch.randn(5, 20)
    assert isinstance(head, LinearHead)
    torch.testing.assert_close(head(features), features @ head.weight.T + head.bias)
    expected = F.cosine_similarity(features.unsqueeze(1), head.weight.unsqueeze(0), dim=2)
    torch.testing.assert_close(head.cosines(features), expected)


def test_a_cosine_head_gives_cosines_whatever_the_lengths_are() -> None:
    head, features = seeded("cosines"), torch.randn(5, 20)
    weight = head.weight.detach().double().numpy()
    expected = features.double().numpy() @ weight.T
    expected /= np.linalg.norm(features.double().numpy(), axis=1)[:, None] * np.linalg.norm(weight, axis=1)
    torch.testing.assert_close(head(features).double(), torch.from_numpy(expected), atol=1e-6, rtol=0)
    torch.testing.assert_close(head(1000.0 * features), head(features))
    assert torch.equal(head.cosines(features), head(features))


def test_both_heads_of_a_seed_start_from_the_same_prototypes() -> None:
    assert torch.equal(seeded("logits").weight, seeded("cosines").weight)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_cosines_are_single_precision_or_wider(dtype: torch.dtype) -> None:
    head, features = seeded("cosines"), torch.randn(5, 20)
    assert head(features.to(dtype)).dtype == torch.float32
    assert head.double()(features.double()).dtype == torch.float64


@pytest.mark.parametrize("reads", ["logits", "cosines"])
def test_cosines_are_not_rounded_under_autocast(reads: str) -> None:
    head, features = seeded(reads), torch.randn(5, 20)
    expected = head.cosines(features)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(head.cosines(features), expected)


def test_a_zero_feature_has_cosine_0_to_every_prototype_and_finite_gradients() -> None:
    head = seeded("cosines")
    cosines = head(torch.zeros(1, 20))
    assert torch.equal(cosines, torch.zeros(1, 10))
    cosines.sum().backward()
    assert head.weight.grad is not None
    assert bool(head.weight.grad.isfinite().all())


def test_values_that_no_head_can_have_are_named() -> None:
    with pytest.raises(ValueError, match="reads must be one of logits, cosines, got 'angles'"):
        seeded("angles")
    with pytest.raises(ValueError, match="num_classes must be >= 2, got 1"):
        seeded("logits", classes=1)
    with pytest.raises(ValueError, match="in_features must be >= 1, got 0"):
        seeded("logits", width=0)
