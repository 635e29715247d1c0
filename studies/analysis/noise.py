"""How much the runs of each cell scatter beside those of the others, for comparisons in which cells are not equally noisy.

Rule. All cells are taken to be equally noisy but for one that is in question: its own variance and the common one of the others are
estimated apart, from the same two-way model, and where an F test at `DOUBT` finds it the noisier, both enter its allowance, with
Satterthwaite's degrees of freedom. `studies.analysis.best` takes the wider of that allowance and the one of equal noise, so a doubt
never makes a claim easier. The test is lenient because a noisy baseline that passes for a quiet one makes false claims, while a
quiet cell that is taken for noisy only costs a little power; `benchmarks/verdicts.py` measures both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]

DOUBT = 0.1
"""A cell counts as noisier than the others where the F test of its variance has a p below this."""


@dataclass(frozen=True)
class OwnNoise:
    """The noise of each cell and of all others, k of them.

    Args:
        spread: Mean square of each cell's residuals, shape (..., k); it expects ``share`` of the cell's variance and, for the rest, of the
            others'.
        others: Variance of the other cells, shape (..., k).
        df: Degrees of freedom of ``spread``, shape (k,).
        df_others: Degrees of freedom of ``others``, shape (k,).
        share: In (0, 1], shape (k,); (k - 1)/k where no run is missing.
        runs: How many runs each cell has, shape (k,).
    """

    spread: Array
    others: Array
    df: Array
    df_others: Array
    share: Array
    runs: Array

    def one(self, index: int) -> OwnNoise:
        """The noise of one table out of many."""
        return replace(self, spread=self.spread[index], others=self.others[index])

    def noisier(self) -> NDArray[np.bool_]:
        """Which cells are taken to be noisier than the others, shape (..., k)."""
        comparable = (self.df >= 1) & (self.df_others >= 1) & (self.spread > 0.0)
        ratio = np.divide(self.spread, self.others, out=np.full(self.spread.shape, np.inf), where=self.others > 0.0)
        return np.asarray(comparable & (special.fdtrc(np.maximum(self.df, 1), np.maximum(self.df_others, 1), ratio) < DOUBT))

    def ratio(self) -> Array:
        """Standard deviation of each cell's runs in those of the others, shape (..., k); infinite where the others show no noise."""
        own = np.maximum(self.spread - (1.0 - self.share) * self.others, 0.0) / self.share
        return np.asarray(np.sqrt(np.divide(own, self.others, out=np.full(own.shape, np.inf), where=self.others > 0.0)))

    def of_differences(self, balanced: Array, more_seeds: int) -> tuple[Array, Array]:
        """Variance of ``mean_i - mean_j`` with the own noise of j, and its degrees of freedom, each of shape (..., i, j).

        Args:
            balanced: The same variance if all cells had a variance of one, shape (k, k).
            more_seeds: As it would be after so many more seeds of every cell.
        """
        k = len(self.runs)
        weight = 1.0 / (self.share * (self.runs + more_seeds))
        own = (self.spread * weight)[..., None, :]
        rest = self.others[..., None, :] * np.maximum(balanced - weight, 0.0)
        df, df_others = self.df + more_seeds, self.df_others + more_seeds * (k - 2)
        uncertainty = own**2 / np.maximum(df, 1) + rest**2 / np.maximum(df_others, 1)
        variance = own + rest
        freedom = np.divide(variance**2, uncertainty, out=np.ones(variance.shape), where=uncertainty > 0.0)
        return variance, np.maximum(freedom, 1.0)


def own_noise(residuals: Array, present: NDArray[np.bool_], information: Array, df: int) -> OwnNoise:
    """Part the residuals of the two-way model by cell.

    With M the projection on the residuals and J the runs of a cell, ``r_J' M_JJ^+ r_J`` is what leaving the cell out would take from
    the residual sum of squares. It is independent of what remains, and its expectation is ``trace(M_JJ)`` times the cell's variance plus
    ``rank(M_JJ) - trace(M_JJ)`` times that of the others, whichever runs are missing (balanced: Grubbs, JASA 43, 1948).

    Args:
        residuals: Shape (..., seeds, cells), zero where a run is missing.
        present: Which runs there are, shape (seeds, cells), at least one of each seed.
        information: Of `studies.analysis.best.Comparison`.
        df: Residual degrees of freedom of the whole model.
    """
    cells = present.shape[1]
    taken, ranks, traces = _of_complete(residuals) if present.all() else _of_incomplete(residuals, present, information)
    whole = np.square(residuals).sum(axis=(-2, -1))[..., None]
    left = np.where(whole - taken > 1e-12 * whole, whole - taken, 0.0)
    return OwnNoise(
        spread=taken / np.maximum(ranks, 1.0),
        others=left / np.maximum(df - ranks, 1.0),
        df=ranks,
        df_others=df - ranks,
        share=np.divide(traces, ranks, out=np.ones(cells), where=ranks > 0.0),
        runs=present.sum(axis=0).astype(np.float64),
    )


def _of_complete(residuals: Array) -> tuple[Array, Array, Array]:
    """For each cell ``r_J' M_JJ^+ r_J``, and rank and trace of ``M_JJ = (1 - 1/k) (I - 1/n)``."""
    seeds, cells = residuals.shape[-2:]
    ranks = np.full(cells, seeds - 1.0)
    return np.square(residuals).sum(axis=-2) * cells / (cells - 1.0), ranks, ranks * (cells - 1.0) / cells


def _of_incomplete(residuals: Array, present: NDArray[np.bool_], information: Array) -> tuple[Array, Array, Array]:
    seeds, cells = present.shape
    incidence = present.astype(np.float64)
    per_seed = incidence.sum(axis=1)
    contrasts = np.eye(cells)[:, None, :] - incidence / per_seed[:, None]
    projections = np.eye(seeds) - np.diag(1.0 / per_seed) - contrasts @ np.linalg.inv(information + 1.0 / cells) @ contrasts.mT
    # A seed without a run of the cell is a row and a column of zeros, which adds to neither rank nor trace.
    projections *= incidence.T[:, :, None] * incidence.T[:, None, :]
    sizes, axes = np.linalg.eigh(projections)
    there = sizes > 1e-9
    along = (residuals.swapaxes(-2, -1)[..., None, :] @ axes)[..., 0, :]
    taken = (np.square(along) * np.divide(1.0, sizes, out=np.zeros(sizes.shape), where=there)).sum(axis=-1)
    return taken, there.sum(axis=1).astype(np.float64), np.trace(projections, axis1=1, axis2=2)
