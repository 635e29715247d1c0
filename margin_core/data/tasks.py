"""Tasks beside classification: what a dataset tells of its test images so that a network's embeddings can be measured on them.

A network is always trained to tell the classes of the training images apart. With one of these tasks its penultimate features are
then measured as well: by retrieval, as person re-identification is, or by verification, as face recognition is. The metrics are
left to `margin_core.metrics`, their protocol in a trial to `margin_core.training.embeddings`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

TaskName = Literal["classification", "retrieval", "verification"]


@dataclass(frozen=True)
class RetrievalTask:
    """Test images that are looked for, and those among which they are looked for.

    Images that the protocol ignores are not to be in the dataset; distractors are, with an identity that no query has.

    Args:
        query: int64 places of the query images in the dataset, (Q,).
        gallery: int64 places of the gallery images, (G,); an image may be in both.
        identities: Whom each image of the dataset shows, int64 (N,). Those of query and gallery count; they need not be classes.
        cameras: Which camera took each image, int64 (N,), or None. Gallery images of the query's identity and camera are left out of its
            ranking; without cameras only the query itself is.

    Raises:
        ValueError: On other types or shapes, a place out of range, or no query with a match in the gallery.
    """

    query: Tensor
    gallery: Tensor
    identities: Tensor
    cameras: Tensor | None = None

    def __post_init__(self) -> None:
        for name in ("query", "gallery", "identities", "cameras"):
            values = getattr(self, name)
            if values is not None and (values.ndim != 1 or values.dtype != torch.int64 or len(values) == 0):
                raise ValueError(f"{name} must be int64 (N,) with N >= 1, got {values.dtype} {tuple(values.shape)}")
        images = len(self.identities)
        if self.cameras is not None and len(self.cameras) != images:
            raise ValueError(f"cameras must be ({images},) to go with identities, got ({len(self.cameras)},)")
        for name, places in (("query", self.query), ("gallery", self.gallery)):
            _check_places(name, places, images)
        if not bool(torch.isin(self.identities[self.query], self.identities[self.gallery]).any()):
            raise ValueError("gallery must hold an identity of the query images, got none")

    @property
    def name(self) -> TaskName:
        """What a dataset's declaration calls it."""
        return "retrieval"

    @property
    def images(self) -> Tensor:
        """The places of all images that are measured on, in rising order."""
        images: Tensor = torch.unique(torch.cat([self.query, self.gallery]))
        return images

    def keep(self, places: Tensor) -> RetrievalTask:
        """The same on a smaller dataset, whose places are ``places``, (N,), or -1 where an image is not in it."""
        kept = places >= 0
        cameras = None if self.cameras is None else self.cameras[kept]
        query, gallery = (moved[moved >= 0] for moved in (places[self.query], places[self.gallery]))
        return RetrievalTask(query, gallery, self.identities[kept], cameras)


@dataclass(frozen=True)
class VerificationTask:
    """Pairs of test images, of one identity or of two.

    Args:
        pairs: int64 places of images in the dataset, (P, 2).
        same: Whether a pair is of one identity, bool (P,). Both kinds have to occur.

    Raises:
        ValueError: On other types or shapes, a negative place, or pairs of one kind only.
    """

    pairs: Tensor
    same: Tensor

    def __post_init__(self) -> None:
        if self.pairs.ndim != 2 or self.pairs.shape[1] != 2 or self.pairs.dtype != torch.int64:
            raise ValueError(f"pairs must be int64 (P, 2), got {self.pairs.dtype} {tuple(self.pairs.shape)}")
        if self.same.shape != self.pairs.shape[:1] or self.same.dtype != torch.bool:
            raise ValueError(f"same must be bool ({len(self.pairs)},) to go with pairs, got {self.same.dtype} {tuple(self.same.shape)}")
        if not bool(self.same.any()) or bool(self.same.all()):
            raise ValueError(f"same must be true of some pairs and false of others, got {int(self.same.sum())} of {len(self.same)}")
        _check_places("pairs", self.pairs)

    @property
    def name(self) -> TaskName:
        """What a dataset's declaration calls it."""
        return "verification"

    @property
    def images(self) -> Tensor:
        """The places of all images that are measured on, in rising order."""
        images: Tensor = torch.unique(self.pairs)
        return images

    def keep(self, places: Tensor) -> VerificationTask:
        """The same on a smaller dataset, whose places are ``places``, (N,), or -1 where an image is not in it."""
        moved = places[self.pairs]
        kept = (moved >= 0).all(dim=1)
        return VerificationTask(moved[kept], self.same[kept])


Task = RetrievalTask | VerificationTask


def _check_places(name: str, places: Tensor, images: int | None = None) -> None:
    least, greatest = int(places.min()), int(places.max())
    if least < 0 or (images is not None and greatest >= images):
        allowed = "places >= 0" if images is None else f"places in [0, {images})"
        raise ValueError(f"{name} must hold {allowed}, got {least} to {greatest}")
