"""Retrieval, held to a ranking one query at a time in plain Python."""

from __future__ import annotations

import importlib
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from margin_core.metrics import Retrieval, retrieval

Places = tuple[list[int], list[int], list[int]]


def on_a_line(people: Places) -> dict[str, Tensor]:
    places, ids, cameras = people
    return {"rows": torch.tensor([[float(place)] for place in places]), "ids": torch.tensor(ids), "cameras": torch.tensor(cameras)}


def by_hand(query: Places, gallery: Places) -> tuple[list[float], list[int], int]:
    """Average precisions, first places, and how many queries were skipped."""
    precisions, firsts, skipped = [], [], 0
    for place, identity, camera in zip(*query, strict=True):
        ranking = sorted(range(len(gallery[0])), key=lambda j, place=place: abs(gallery[0][j] - place))  # sorted() keeps ties in order
        left = [gallery[1][j] == identity for j in ranking if not (gallery[1][j] == identity and gallery[2][j] == camera)]
        hits = [i + 1 for i, hit in enumerate(left) if hit]
        if hits:
            precisions.append(sum((n + 1) / place for n, place in enumerate(hits)) / len(hits))
            firsts.append(hits[0])
        else:
            skipped += 1
    return precisions, firsts, skipped


def measure(query: Places, gallery: Places, ranks: tuple[int, ...] = (1, 2, 5, 50)) -> Retrieval:
    q, g = on_a_line(query), on_a_line(gallery)
    cameras = {"query_cameras": q["cameras"], "gallery_cameras": g["cameras"]}
    return retrieval(q["rows"], g["rows"], query_ids=q["ids"], gallery_ids=g["ids"], distance="euclidean", ranks=ranks, **cameras)


@st.composite
def people(draw: st.DrawFn) -> Places:
    """Few places, identities and cameras, so that ties, matches of the same camera and queries without a match are the rule."""
    count = draw(st.integers(1, 10))
    return tuple(draw(st.lists(st.integers(0, high), min_size=count, max_size=count)) for high in (4, 2, 1))  # type: ignore[return-value]


@given(people(), people())
def test_rankings_with_ties_and_cameras_are_those_made_by_hand(query: Places, gallery: Places) -> None:
    precisions, firsts, skipped = by_hand(query, gallery)
    if not precisions:
        with pytest.raises(ValueError, match="gallery_ids must match at least one query"):
            measure(query, gallery)
        return
    measured = measure(query, gallery)
    assert measured.mean_average_precision == pytest.approx(100.0 * np.mean(precisions), rel=1e-12)
    assert measured.rank == {k: pytest.approx(100.0 * np.mean([first <= k for first in firsts])) for k in (1, 2, 5, 50)}
    assert (measured.queries, measured.skipped) == (len(precisions), skipped)
    assert list(measured.rank.values()) == sorted(measured.rank.values())


def test_the_own_image_and_others_of_its_camera_are_taken_out() -> None:
    # The query's own camera saw its identity at place 0, another camera at 3; the stranger at 1 is all that comes before.
    gallery = ([0, 1, 3], [7, 8, 7], [0, 0, 1])
    assert measure(([0], [7], [0]), gallery, ranks=(1, 2)) == Retrieval(50.0, {1: 0.0, 2: 100.0}, queries=1, skipped=0)


def test_queries_without_a_match_are_skipped_and_counted() -> None:
    measured = measure(([0, 0, 0], [7, 8, 9], [0, 0, 0]), ([0, 1], [7, 8], [1, 0]), ranks=(1,))
    assert measured == Retrieval(100.0, {1: 100.0}, queries=1, skipped=2)


def test_without_cameras_nothing_is_taken_out() -> None:
    rows, ids = torch.eye(3), torch.arange(3)
    assert retrieval(rows, rows, query_ids=ids, gallery_ids=ids, ranks=(1,)) == Retrieval(100.0, {1: 100.0}, queries=3, skipped=0)


def test_a_camera_of_its_own_keeps_an_image_from_finding_itself() -> None:
    rows, ids, own = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]), torch.tensor([0, 0, 1]), torch.arange(3)
    measured = retrieval(rows, rows, query_ids=ids, gallery_ids=ids, query_cameras=own, gallery_cameras=own, ranks=(1,))
    assert measured == Retrieval(100.0, {1: 100.0}, queries=2, skipped=1)


def test_equal_embeddings_keep_the_order_of_the_gallery() -> None:
    # Every embedding has collapsed into one: the match is as far down as the gallery has it.
    rows = torch.full((50, 9), 0.1)
    ids = torch.arange(50)
    measured = retrieval(rows, rows, query_ids=ids, gallery_ids=ids, ranks=(1, 10))
    assert measured.rank == {1: 2.0, 10: 20.0}
    assert measured.mean_average_precision == pytest.approx(100.0 * np.mean(1.0 / np.arange(1, 51)))


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize("pairs", [1, 100, 1000])
def test_the_result_is_the_same_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch, distance: str, pairs: int) -> None:
    generator = torch.Generator().manual_seed(0)
    rows, ids = torch.randn(40, 6, generator=generator).round(), torch.randint(8, (40,), generator=generator)

    def measured() -> Retrieval:
        return retrieval(rows[:15], rows[15:], query_ids=ids[:15], gallery_ids=ids[15:], distance=distance)  # type: ignore[arg-type]

    whole = measured()
    monkeypatch.setattr(importlib.import_module("margin_core.metrics.retrieval"), "BLOCK_PAIRS", pairs)
    assert measured() == whole


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_lengths_do_not_matter_to_cosines(scale: float) -> None:
    generator = torch.Generator().manual_seed(2)
    rows, ids = torch.randn(30, 4, generator=generator), torch.randint(5, (30,), generator=generator)
    ours = retrieval(rows[:10], rows[10:], query_ids=ids[:10], gallery_ids=ids[10:])
    assert retrieval(scale * rows[:10], rows[10:], query_ids=ids[:10], gallery_ids=ids[10:]) == ours


def test_a_zero_vector_has_cosine_0_to_all() -> None:
    gallery = torch.tensor([[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    found = retrieval(torch.tensor([[1.0, 0.0]]), gallery, query_ids=torch.tensor([0]), gallery_ids=torch.tensor([1, 0, 2]), ranks=(1, 2))
    assert found.rank == {1: 0.0, 2: 100.0}
    found = retrieval(torch.zeros(1, 2), gallery, query_ids=torch.tensor([0]), gallery_ids=torch.tensor([1, 2, 0]), ranks=(2, 3))
    assert found.rank == {2: 0.0, 3: 100.0}


def test_arguments_that_do_not_fit_are_named() -> None:
    rows, ids = torch.eye(3), torch.arange(3)
    given: dict[str, object] = {"query": rows, "gallery": rows, "query_ids": ids, "gallery_ids": ids}
    bad: list[tuple[str, dict[str, object]]] = [
        (r"gallery must be \(N, d\) with N >= 1 and one d for both, got \(3, 2\)", {"gallery": rows[:, 1:]}),
        (r"query must be \(N, d\) with N >= 1 .* got \(0, 3\)", {"query": rows[:0]}),
        (r"query must be finite, got 1 other values", {"query": torch.tensor([[1.0, 0.0, math.nan]])}),
        (r"gallery_ids must be integers \(3,\), got torch.int64 \(2,\)", {"gallery_ids": ids[1:]}),
        (r"query_ids must be integers \(3,\), got torch.float32 \(3,\)", {"query_ids": ids.float()}),
        (r"query_cameras and gallery_cameras must be given together", {"query_cameras": ids}),
        (r"gallery_cameras must be integers \(3,\)", {"query_cameras": ids, "gallery_cameras": ids[1:]}),
        (r"ranks must be >= 1, got \(1, 0\)", {"ranks": (1, 0)}),
        (r"distance must be one of cosine, euclidean, got 'manhattan'", {"distance": "manhattan"}),
        (r"gallery_ids must match at least one query .* got no match", {"gallery_ids": ids + 3}),
    ]
    for message, changed in bad:
        with pytest.raises(ValueError, match=message):
            retrieval(**{**given, **changed})  # type: ignore[arg-type]
