"""Stratified splits: which examples train, choose (validation) and are kept for the end (test)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from margin_core.seeds import numpy_generator


def stratified_choice(labels: Tensor, share: float, generator: np.random.Generator) -> Tensor:
    """A random choice that holds the same share of every class.

    The number chosen is ``round(share * N)``; a class's part of it is its exact share rounded up or down (largest remainders up).

    Args:
        labels: int64 classes, (N,).
        share: Share to choose, in [0, 1).
        generator: Draws the examples.

    Returns:
        A boolean mask, (N,).
    """
    classes = labels.numpy()
    counts = np.bincount(classes)
    exact = share * counts
    chosen = np.floor(exact).astype(np.int64)
    left_over = round(share * len(classes)) - int(chosen.sum())
    chosen[np.argsort(chosen - exact, kind="stable")[:left_over]] += 1
    mask = np.zeros(len(classes), dtype=bool)
    for label, number in enumerate(chosen):
        places = np.flatnonzero(classes == label)
        mask[generator.permutation(places)[:number]] = True
    return torch.from_numpy(mask)


def split(
    labels: Tensor, official_test: Tensor | None, *, study_seed: int, replicate: int, validation: float, test: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Places of the training, validation and test examples, each in rising order.

    The test examples are the official ones, or else a stratified choice by the study's seed alone. So they are the same in every
    replicate, and none of them trains or chooses in any. The validation examples are chosen anew in each replicate. Where a class has
    one example to choose from, it is not chosen: it trains, and the shares are of the other classes' examples.

    Args:
        labels: int64 classes of all examples, (N,).
        official_test: Places of the official test split, or None.
        study_seed: The study's seed.
        replicate: Number of the replicate.
        validation: Share of the examples outside an official test split that validate, in [0, 1).
        test: Share of all examples that test, in (0, 1); not used where there is an official test split.

    Raises:
        ValueError: Where a share is out of range, leaves a class without an example to train on, or is so small that none validates.
    """
    if not 0.0 <= validation < 1.0:
        raise ValueError(f"validation must be in [0, 1), got {validation!r}")
    if not 0.0 < test < 1.0:
        raise ValueError(f"test must be in (0, 1), got {test!r}")
    if official_test is None:
        if validation + test >= 1.0:
            raise ValueError(f"validation + test must be < 1, got {validation!r} + {test!r}")
        tests = _choice_of_several(labels, test, numpy_generator(study_seed, "test"))
        pool_size = len(labels)
    else:
        tests = torch.zeros(len(labels), dtype=torch.bool)
        tests[official_test] = True
        pool_size = len(labels) - len(official_test)
    rest = torch.nonzero(~tests).squeeze(1)
    validates = _choice_of_several(labels[rest], validation * pool_size / len(rest), numpy_generator(study_seed, replicate, "split"))
    if validation > 0.0 and not bool(validates.any()):
        raise ValueError(f"validation must be 0 or choose at least one of {len(rest)} examples, got {validation!r}")
    train = rest[~validates]
    _check_trained(labels, train, f"validation={validation!r} and test={test!r}")
    return train, rest[validates], torch.nonzero(tests).squeeze(1)


def official_split(
    labels: Tensor, validation: Tensor, official_test: Tensor | None, *, study_seed: int, test: float
) -> tuple[Tensor, Tensor, Tensor]:
    """As `split`, with an official validation split: all replicates have the same splits.

    Args:
        labels: int64 classes of all examples, (N,).
        validation: Places of the official validation split.
        official_test: Places of the official test split, or None: then a stratified choice of the other examples tests.
        study_seed: The study's seed.
        test: Share of the examples outside the validation split that test, in (0, 1); not used where there is an official test split.

    Raises:
        ValueError: Where the share is out of range, or a class is left without an example to train on.
    """
    if not 0.0 < test < 1.0:
        raise ValueError(f"test must be in (0, 1), got {test!r}")
    validates, tests = torch.zeros(2, len(labels), dtype=torch.bool)
    validates[validation] = True
    if official_test is None:
        tests[~validates] = _choice_of_several(labels[~validates], test, numpy_generator(study_seed, "test"))
    else:
        tests[official_test] = True
    train, val, tested = (torch.nonzero(mask).squeeze(1) for mask in (~(validates | tests), validates, tests))
    _check_trained(labels, train, "the official validation split")
    return train, val, tested


def _check_trained(labels: Tensor, train: Tensor, splits: str) -> None:
    trained = torch.bincount(labels[train], minlength=int(labels.max()) + 1)
    if bool((trained == 0).any()):
        raise ValueError(f"class {int(torch.nonzero(trained == 0)[0])} has no example left to train on with {splits}")


def _choice_of_several(labels: Tensor, share: float, generator: np.random.Generator) -> Tensor:
    """As `stratified_choice`, among the classes of two or more examples."""
    several = labels.bincount()[labels] > 1
    mask = torch.zeros(len(labels), dtype=torch.bool)
    mask[several] = stratified_choice(labels[several], share, generator)
    return mask
