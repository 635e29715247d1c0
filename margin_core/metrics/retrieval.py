"""Retrieval, as person re-identification measures it: mean average precision and the CMC curve's Rank-k."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from margin_core.metrics.margins import unit_rows

Distance = Literal["cosine", "euclidean"]

BLOCK_PAIRS = 2**21
"""Pairs of a query and a gallery image that are ranked at once: memory grows with the gallery, not with the queries."""


@dataclass(frozen=True)
class Retrieval:
    """What a ranking of a gallery for each query is worth.

    Args:
        mean_average_precision: mAP in percent, over the queries that have a match.
        rank: Rank-k of the CMC curve by k: percent of those queries that have a match among the k nearest.
        queries: How many they are.
        skipped: How many queries have no match, and are in neither.
    """

    mean_average_precision: float
    rank: dict[int, float]
    queries: int
    skipped: int


def retrieval(
    query: Tensor,
    gallery: Tensor,
    *,
    query_ids: Tensor,
    gallery_ids: Tensor,
    query_cameras: Tensor | None = None,
    gallery_cameras: Tensor | None = None,
    ranks: Sequence[int] = (1, 5, 10),
    distance: Distance = "cosine",
) -> Retrieval:
    """Rank the gallery by its distance from each query and score the places of the query's identity.

    Gallery images of the same identity and the same camera as the query are taken out first: finding them is no feat. A query
    without a match among the rest is skipped, and counted. Average precision is over the full ranking, the mean over the matches
    of (matches so far) / (place), not interpolated and not cut off; Rank-k is whether the first match is among the first k. Gallery
    images at equal distance keep the order of the gallery. Zheng et al., Scalable person re-identification (Market-1501), ICCV 2015.

    Where the queries are the gallery itself, give each image a camera of its own, ``torch.arange(N)``: then an image does not find
    itself.

    Args:
        query: Embeddings, (Q, d).
        gallery: Embeddings, (G, d).
        query_ids: Integer identities, (Q,).
        gallery_ids: Integer identities, (G,).
        query_cameras: Integer cameras, (Q,); left out with ``gallery_cameras``, nothing is taken out.
        gallery_cameras: Integer cameras, (G,).
        ranks: The k of Rank-k, each at least 1.
        distance: ``cosine`` (a zero vector has cosine 0 to all) or ``euclidean``, in double precision.

    Raises:
        ValueError: On shapes that do not fit, embeddings that are not finite, ids or cameras that are no integers, one camera list
            without the other, a rank below 1, another distance, or no query with a match.

    Example:
        >>> import torch
        >>> gallery = torch.tensor([[1.0, 0.0], [1.0, 0.2], [0.0, 1.0]])
        >>> found = retrieval(gallery[:1], gallery[1:], query_ids=torch.tensor([7]), gallery_ids=torch.tensor([3, 7]), ranks=(1, 2))
        >>> found.mean_average_precision, found.rank
        (50.0, {1: 0.0, 2: 100.0})
    """
    _check(query, gallery, query_ids, gallery_ids, query_cameras, gallery_cameras, ranks, distance)
    query, gallery = (unit_rows(rows).nan_to_num(0.0) if distance == "cosine" else rows.detach().double() for rows in (query, gallery))
    precisions, first_places = [], []
    for rows in _blocks(len(query), len(gallery)):
        matches = query_ids[rows].unsqueeze(1) == gallery_ids
        taken_out = torch.zeros_like(matches)
        if query_cameras is not None and gallery_cameras is not None:
            taken_out = matches & (query_cameras[rows].unsqueeze(1) == gallery_cameras)
        order = _distances(query[rows], gallery, distance).argsort(dim=1, stable=True)
        precision, first = _places(matches.gather(1, order), taken_out.gather(1, order))
        precisions.append(precision)
        first_places.append(first)
    precision, first = torch.cat(precisions), torch.cat(first_places)
    counted = ~precision.isnan()
    queries = int(counted.sum())
    if queries == 0:
        raise ValueError("gallery_ids must match at least one query that is not of the same camera, got no match")
    return Retrieval(
        mean_average_precision=100.0 * float(precision[counted].mean()),
        rank={k: 100.0 * int((first[counted] <= k).sum()) / queries for k in ranks},
        queries=queries,
        skipped=len(query) - queries,
    )


def _places(matches: Tensor, taken_out: Tensor) -> tuple[Tensor, Tensor]:
    """Average precision and the first match's place (from 1) of each row's ranking, (Q,); NaN and 0 where there is no match."""
    place = (~taken_out).cumsum(dim=1)
    hits = matches & ~taken_out
    found = hits.cumsum(dim=1)
    precision = torch.where(hits, found / place.clamp_min(1).double(), 0.0).sum(dim=1) / found[:, -1]
    first = torch.where(hits & (found == 1), place, 0).sum(dim=1)
    return precision, first


def _distances(query: Tensor, gallery: Tensor, distance: Distance) -> Tensor:
    """Distances (Q, G), each from its own two rows alone: equal embeddings are at equal distance, in blocks of any size."""
    distances = torch.cdist(query, gallery, compute_mode="donot_use_mm_for_euclid_dist")
    if distance == "cosine":
        without_direction = (query == 0).all(dim=1).unsqueeze(1) | (gallery == 0).all(dim=1)
        distances.masked_fill_(without_direction, math.sqrt(2.0))
    return distances


def _blocks(queries: int, gallery: int) -> Iterator[slice]:
    size = max(1, BLOCK_PAIRS // gallery)
    return (slice(start, start + size) for start in range(0, queries, size))


def _check(
    query: Tensor,
    gallery: Tensor,
    query_ids: Tensor,
    gallery_ids: Tensor,
    query_cameras: Tensor | None,
    gallery_cameras: Tensor | None,
    ranks: Sequence[int],
    distance: Distance,
) -> None:
    """Raise `ValueError` naming the argument that does not fit."""
    for name, embeddings in (("query", query), ("gallery", gallery)):
        if embeddings.ndim != 2 or len(embeddings) == 0 or embeddings.shape[1] != query.shape[-1]:
            raise ValueError(f"{name} must be (N, d) with N >= 1 and one d for both, got {tuple(embeddings.shape)}")
        if not bool(embeddings.isfinite().all()):
            raise ValueError(f"{name} must be finite, got {int((~embeddings.isfinite()).sum())} other values")
    if (query_cameras is None) != (gallery_cameras is None):
        raise ValueError("query_cameras and gallery_cameras must be given together, got one of them")
    labels = (("query_ids", query_ids, query), ("gallery_ids", gallery_ids, gallery))
    cameras = (("query_cameras", query_cameras, query), ("gallery_cameras", gallery_cameras, gallery))
    for name, values, embeddings in (*labels, *cameras):
        if values is not None and (values.shape != embeddings.shape[:1] or values.is_floating_point()):
            raise ValueError(f"{name} must be integers ({len(embeddings)},), got {values.dtype} {tuple(values.shape)}")
    if any(k < 1 for k in ranks):
        raise ValueError(f"ranks must be >= 1, got {tuple(ranks)}")
    if distance not in get_args(Distance):
        raise ValueError(f"distance must be one of {', '.join(get_args(Distance))}, got {distance!r}")
