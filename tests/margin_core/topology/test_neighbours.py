from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from margin_core.topology import nearest_neighbours


def test_the_graph_is_that_of_all_distances_whatever_the_blocks() -> None:
    features = torch.randn(300, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    everything = torch.cdist(features, features).fill_diagonal_(torch.inf).sort(dim=1)
    graph = nearest_neighbours(features, k=20)
    assert torch.equal(graph.indices, everything.indices[:, :20])
    torch.testing.assert_close(graph.distances, everything.values[:, :20], rtol=1e-12, atol=0.0)


def test_equal_examples_are_at_distance_zero_however_far_from_the_origin() -> None:
    features = (1e3 + torch.randn(50, 64, generator=torch.Generator().manual_seed(0))).repeat(2, 1)
    assert nearest_neighbours(features, k=1).distances.eq(0.0).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), size=st.integers(20, 60))
def test_neighbours_among_some_are_those_of_a_graph_of_these_alone(seed: int, size: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(80, 3, dtype=torch.float64, generator=generator)
    kept = torch.randperm(80, generator=generator)[:size].sort().values
    among = nearest_neighbours(features, k=79).among(kept)
    alone = nearest_neighbours(features[kept], k=79)
    assert torch.equal(among.indices, alone.indices)
    assert torch.equal(among.distances, alone.distances)


def test_a_graph_that_is_cut_short_keeps_as_many_columns_as_every_row_has() -> None:
    features = torch.arange(10.0).unsqueeze(1)
    among = nearest_neighbours(features, k=2).among(torch.tensor([0, 1, 2, 3]))
    assert among.indices.shape[1] == 1
    assert among.indices.flatten().tolist() in ([1, 0, 1, 2], [1, 2, 1, 2], [1, 0, 3, 2], [1, 2, 3, 2])


@pytest.mark.parametrize(
    ("features", "k", "words"),
    [
        (torch.zeros(1, 3), 1, r"\(N, d\) with N >= 2"),
        (torch.tensor([[0.0], [torch.nan]]), 1, "finite"),
        (torch.zeros(3, 2), 0, "k must be >= 1, got 0"),
    ],
)
def test_what_has_no_neighbours_is_refused(features: torch.Tensor, k: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        nearest_neighbours(features, k)
