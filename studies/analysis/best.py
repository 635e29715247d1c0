"""Multiple comparisons with the best (MCB) of cells that share their seeds: which of them may be the best one?

Decision rule (Hsu, Annals of Statistics 12, 1984; *Multiple Comparisons*, 1996, chapter 4). The score of cell j under seed s is
``mu_j + b_s + noise``. A cell stays in the *optimum set* while no other cell is ahead of it by more than the allowance

    h_ij = d * sqrt(Var(mean_i - mean_j)),      Var = 2 s^2 / n for n complete seeds,

where s^2 is the residual variance of that two-way model, with (n - 1)(k - 1) degrees of freedom for k cells, and d is Dunnett's
one-sided constant for k - 1 comparisons. Where the runs of cell j are the noisier ones, its own variance enters instead if that makes the
allowance wider (`studies.analysis.noise`). With probability at least 1 - alpha the set holds the best cell, and at the same time no
cell is short of the best by more than ``max(0, max_i (mean_i - mean_j + h_ij))``. Where several cells are equally best, each one
stays with that probability but not always all of them; ``strict`` takes Tukey's range constant instead, which keeps them all.

Where runs are missing, the same model is fitted by least squares to the runs there are, so that a cell with fewer runs gets a wider
allowance and no finished run is thrown away. The constant is then the balanced one: exact only for complete seeds.

What the sets mean for a knob (its baseline, its range, the smallest effect of interest) is left to `studies.analysis.verdict`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special  # scipy.stats takes a second to import, which every report and run would spend

from studies.analysis.noise import OwnNoise, own_noise

Array = NDArray[np.float64]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(128)


@dataclass(frozen=True)
class Comparison:
    """The fitted two-way model of one table of scores, or of many tables with the same runs missing.

    Args:
        means: Least-squares means over all seeds, shape (..., k); the plain means where no run is missing.
        residual_variance: Variance of one run about the model, shape (...).
        df: Its degrees of freedom.
        information: What the runs tell about differences of the means: their covariance is ``residual_variance`` times its
            generalised inverse; shape (k, k).
        noise: The noise of each cell beside that of the others.
        rounding: Differences up to this are rounding errors.
        alpha: One minus the confidence.
        strict: Whether to keep all cells that are equally best.
    """

    means: Array
    residual_variance: Array
    df: int
    information: Array
    noise: OwnNoise
    rounding: float
    alpha: float
    strict: bool

    def one(self, index: int) -> Comparison:
        """The comparison of one table out of many."""
        return replace(self, means=self.means[index], residual_variance=self.residual_variance[index], noise=self.noise.one(index))

    @property
    def lead(self) -> Array:
        """How far cell i is ahead of cell j, shape (..., i, j)."""
        return self.means[..., :, None] - self.means[..., None, :]

    def allowance(self, more_seeds: int = 0, chance: float = 0.5) -> Array:
        """The lead of i over j that noise allows, shape (..., i, j).

        Args:
            more_seeds: As it would be after so many more seeds of every cell, if the residual variance stayed as it is.
            chance: Widened so that a true lead of this size is seen to go beyond what noise allows with this probability.
        """
        k = self.means.shape[-1]
        # Adding 1/k makes the information invertible and leaves the covariance of differences as it is.
        information = self.information + more_seeds * (np.eye(k) - 1.0 / k)
        covariance = np.linalg.inv(information + 1.0 / k)
        variance = np.diag(covariance)[:, None] + np.diag(covariance)[None, :] - 2.0 * covariance
        df = self.df + more_seeds * (k - 1)
        chances = special.ndtri(chance)
        unit = np.maximum(variance, 0.0)
        width = (self._constants(np.array(df)) + chances) * np.sqrt(self.residual_variance[..., None, None] * unit)
        noisier = np.broadcast_to(self.noise.noisier()[..., None, :], width.shape)
        if noisier.any():
            own, own_df = self.noise.of_differences(unit, more_seeds)
            constants = self._constants(own_df[noisier])
            width[noisier] = np.maximum(width[noisier], (constants + chances) * np.sqrt(own[noisier]))
        return np.where(np.eye(k, dtype=bool), 0.0, width + self.rounding)

    def _constants(self, df: Array) -> Array:
        """The constant for each number of degrees of freedom, of which fractions are left out, and from the third on all digits."""
        k = self.means.shape[-1]
        digit = 10.0 ** np.maximum(np.floor(np.log10(df)) - 1.0, 0.0)
        whole, places = np.unique((np.floor(df / digit) * digit).astype(int), return_inverse=True)
        constants = [
            range_constant(k, int(each), self.alpha) if self.strict else dunnett_constant(k - 1, int(each), self.alpha) for each in whole
        ]
        return np.array(constants)[places].reshape(df.shape)

    def may_be_best(self, allowance: Array) -> NDArray[np.bool_]:
        """The optimum set as a mask, shape (..., k)."""
        return np.asarray((self.lead <= allowance).all(axis=-2))

    def kept(self, cell: int) -> bool:
        """Whether one cell of one table is in the optimum set."""
        return bool(self.may_be_best(self.allowance())[cell])

    def upper_bounds(self, allowance: Array) -> Array:
        """Simultaneous upper bounds of how far each cell falls short of the best, shape (..., k); never below zero."""
        return np.asarray((self.lead + allowance).max(axis=-2))


def compare_with_best(scores: Array, *, alpha: float = 0.05, strict: bool = False) -> Comparison:
    """Fit the two-way model to paired scores, for multiple comparisons with the best.

    Args:
        scores: Shape (..., seeds, cells), higher is better; NaN where a run is missing, the same runs along all leading axes.
        alpha: One minus the confidence, in (0, 0.5).
        strict: Whether the optimum set should keep all cells that are equally best, not just each of them.

    Raises:
        ValueError: if ``alpha`` is out of range, or the runs leave no residual degree of freedom or cells that no seeds connect
            (see `degrees_of_freedom`).

    Example:
        >>> table = np.array([[90.1, 90.9, 90.8], [89.9, 90.6, 90.8], [90.4, 91.1, 91.0], [90.2, 91.0, 91.1]])
        >>> fit = compare_with_best(table)
        >>> fit.may_be_best(fit.allowance()).tolist()
        [False, True, True]
    """
    if not 0.0 < alpha < 0.5:
        raise ValueError(f"alpha must be in (0, 0.5), got {alpha!r}")
    present = np.isfinite(scores)
    if not (present == present[(0,) * (scores.ndim - 2)]).all():
        raise ValueError("scores must miss the same runs along all leading axes")
    present = present[(0,) * (scores.ndim - 2)]
    df = degrees_of_freedom(present)
    if df < 1:
        raise ValueError(f"scores must leave at least one residual degree of freedom and connected cells, got {df}")
    # A seed without any run says nothing, and would have no mean.
    scores, present = scores[..., present.any(axis=1), :], present[present.any(axis=1)]
    rounding = 1e-12 * float(np.abs(scores[..., present]).max())
    centre = scores[..., present].mean(axis=-1)[..., None, None]
    filled = np.where(present, scores - centre, 0.0)
    incidence = present.astype(np.float64)
    per_seed = incidence.sum(axis=1)
    seed_sums = filled.sum(axis=-1)
    information = np.diag(incidence.sum(axis=0)) - incidence.T @ (incidence / per_seed[:, None])
    adjusted = filled.sum(axis=-2) - (seed_sums / per_seed) @ incidence
    effects = adjusted @ np.linalg.inv(information + 1.0 / scores.shape[-1])
    seed_effects = (seed_sums - effects @ incidence.T) / per_seed
    residuals = np.where(present, filled - effects[..., None, :] - seed_effects[..., :, None], 0.0)
    residuals = np.where(np.abs(residuals) > rounding, residuals, 0.0)
    variance = np.square(residuals).sum(axis=(-2, -1)) / df
    noise = own_noise(residuals, present, information, df)
    means = effects + seed_effects.mean(axis=-1, keepdims=True) + centre[..., 0]
    return Comparison(means, np.where(variance > rounding**2, variance, 0.0), df, information, noise, rounding, alpha, strict)


def degrees_of_freedom(present: NDArray[np.bool_]) -> int:
    """Residual degrees of freedom of the two-way model, or 0 where no chain of shared seeds links some cells.

    Args:
        present: Which runs there are, shape (seeds, cells).
    """
    counts = present[present.any(axis=1)].astype(np.int64)
    seeds, cells = counts.shape
    if cells < 2 or (not counts.all() and not _connected(counts.T @ counts > 0)):
        return 0
    return int(counts.sum()) - int(seeds) - int(cells) + 1


def _connected(shared: NDArray[np.bool_]) -> bool:
    """Whether one can go from the first cell to every other over cells that share seeds, (cells, cells)."""
    reached = shared[0]
    while not reached.all():
        further = shared[reached].any(axis=0)
        if not (further & ~reached).any():
            return False
        reached = reached | further
    return True


@lru_cache(maxsize=4096)
def dunnett_constant(comparisons: int, df: int, alpha: float) -> float:
    """Dunnett's one-sided constant: the 1 - ``alpha`` quantile of the largest of equicorrelated t statistics (correlation 1/2).

    It solves ``E[Phi(z + sqrt(2) d s)^m] = 1 - alpha`` over a standard normal z and s^2 ~ chi^2(df) / df (Dunnett, JASA 50, 1955).

    Args:
        comparisons: How many cells are compared with one, m >= 1.
        df: Degrees of freedom of the residual variance, >= 1.
        alpha: One minus the confidence, in (0, 0.5).

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> round(dunnett_constant(4, 20, 0.05), 2)
        2.3
    """
    if comparisons < 1:
        raise ValueError(f"comparisons must be >= 1, got {comparisons!r}")
    # Bonferroni's quantile is never below the root; the hundredth part on top outweighs the quadrature's error.
    bracket = (0.0, -1.01 * float(special.stdtrit(df, alpha / comparisons)))
    return _solve(lambda shifted, plain: shifted**comparisons, df, alpha, bracket)


@lru_cache(maxsize=4096)
def range_constant(cells: int, df: int, alpha: float) -> float:
    """Tukey's constant: the 1 - ``alpha`` quantile of the studentized range of ``cells`` means, over sqrt(2).

    It solves ``k E[(Phi(z + sqrt(2) d s) - Phi(z))^(k - 1)] = 1 - alpha``, z and s as in `dunnett_constant`. SciPy's
    ``studentized_range`` gives the same number, a hundred times slower, which a forecast of seeds would feel.

    Args:
        cells: How many means there are, k >= 2.
        df: Degrees of freedom of the residual variance, >= 1.
        alpha: One minus the confidence, in (0, 0.5).

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> round(range_constant(5, 20, 0.05) * 2**0.5, 2)
        4.23
    """
    if cells < 2:
        raise ValueError(f"cells must be >= 2, got {cells!r}")
    bracket = (0.0, -1.01 * float(special.stdtrit(df, alpha / (cells * (cells - 1)))))
    return _solve(lambda shifted, plain: cells * (shifted - plain) ** (cells - 1), df, alpha, bracket)


def _solve(integrand: Callable[[Array, Array], Array], df: int, alpha: float, bracket: tuple[float, float]) -> float:
    """The d for which the mean of ``integrand(Phi(z + sqrt(2) d s), Phi(z))`` over z and s is 1 - ``alpha``.

    Gauss-Legendre quadrature and root finding; right to six digits, at df = 1 with tens of cells to three.
    """
    if df < 1 or not 0.0 < alpha < 0.5:
        raise ValueError(f"df must be >= 1 and alpha in (0, 0.5), got {df!r} and {alpha!r}")
    z, z_weight = 9.0 * _NODES, 9.0 * _WEIGHTS * (np.exp(-np.square(9.0 * _NODES) / 2.0) / math.sqrt(2.0 * math.pi))
    # Over log(chi), because at few degrees of freedom chi spreads over orders of magnitude.
    ends = special.gammaincinv(df / 2.0, 1e-16), special.gammainccinv(df / 2.0, 1e-16)
    least, most = (np.log(np.sqrt(2.0 * end)) for end in ends)
    chi = np.exp(least + (most - least) * (_NODES + 1.0) / 2.0)
    factor = math.log(2.0) - 0.5 * math.log(2.0) * df - special.gammaln(df / 2.0)
    density = np.exp(factor + special.xlogy(df - 1.0, chi) - 0.5 * chi**2)
    chi_weight = _WEIGHTS * (most - least) / 2.0 * density * chi

    def excess(constant: float) -> float:
        shifted = special.ndtr(z + math.sqrt(2.0 / df) * constant * chi[:, None])
        return float(chi_weight @ (integrand(shifted, special.ndtr(z)) @ z_weight)) - (1.0 - alpha)

    return float(optimize.brentq(excess, *bracket, xtol=1e-10))
