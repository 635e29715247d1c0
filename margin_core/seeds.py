"""Where every random number comes from.

A seed is derived from what it is for (study seed, replicate, purpose), never from global state, arrival order or the number of
workers. So two trials of one replicate share their split, initial weights, data order and label noise whatever else differs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive_seed(*parts: int | str) -> int:
    """A seed in [0, 2**63) that depends on every part and on nothing else.

    Example:
        >>> derive_seed(0, 1, "split") == derive_seed(0, 1, "split")
        True
        >>> derive_seed(0, 1, "split") == derive_seed(0, 1, "order")
        False
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_generator(*parts: int | str) -> np.random.Generator:
    """A NumPy generator seeded by ``derive_seed(*parts)``."""
    return np.random.default_rng(derive_seed(*parts))


def torch_generator(*parts: int | str) -> torch.Generator:
    """A CPU torch generator seeded by ``derive_seed(*parts)``."""
    return torch.Generator().manual_seed(derive_seed(*parts))


@contextmanager
def seeded_initialisation(*parts: int | str) -> Iterator[None]:
    """Seed torch's global generator for the block, then put its state back.

    Layers draw their initial weights from the global generator and offer no other; this is the one place that touches it.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(*parts))
        yield
