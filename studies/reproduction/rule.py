"""When a figure of a paper is reproduced: the rule, as pure functions of our runs and of what the paper claims.

A claim of a paper is hardly ever one figure: it is that one setting beats another, by so much. So what is compared is the difference of
two settings, and what it is compared by are two intervals around our mean difference D of n paired replicates, both from Student's t at
confidence 1 - ``alpha``:

- the *confidence interval* of the mean difference, D ± t sd / sqrt(n), which says whether there is a difference, and which way;
- the *interval for the paper's figure*, D ± t sd sqrt(1/n + 1/k), where the mean of k more runs like ours would lie. k is the number of
  runs that the paper averaged, and 1 where it says nothing of several: a figure of one run may lie far from its own mean, and is not to
  be held to ours more closely than another run of ours would be. The paper's own scatter is not known; it is supposed to be ours.

A claim of a difference is

- `reproduced` where the confidence interval is wholly on the paper's side of zero, and the paper's figure is in the interval for it;
- `sign only` where the confidence interval is wholly on the paper's side of zero, and the paper's figure is not in the interval for it;
- `not reproduced` where the confidence interval is wholly on the other side of zero; or where it holds zero, and the paper's figure is not
  in the interval for it;
- `undecided` where neither zero nor the paper's figure can be ruled out, or there are fewer than two pairs: more seeds are needed.

A claim of which the paper gives the direction alone is `reproduced` or `not reproduced` where the confidence interval is wholly on one
side, else `undecided`. A claim that two settings are the same to within so much is `reproduced` where the confidence interval is wholly
within that, `not reproduced` where it is wholly outside, else `undecided`.

A run that is not the table's whole protocol, *shortened* by epochs or examples or *changed* otherwise, says nothing of the size of the
paper's effect: of each difference only the direction is asked, and no claim is called reproduced. Fewer seeds change nothing, for the
intervals are wider for it.

A table is `reproduced` where all its claims are; that asks for no correction for their number, since each must hold. It is
`not reproduced` where one is not, `undecided` where one is undecided and none fails, and else `sign only`. Where claims fail, each stands
at its own ``alpha``, so of twenty that hold one may be expected to seem not to.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from studies.analysis.gain import Gain, Numbers, paired_gain
from studies.reproduction.protocol import Protocol

Verdict = Literal["reproduced", "sign only", "not reproduced", "undecided"]
TableVerdict = Literal["reproduced", "sign only", "not reproduced", "undecided", "shortened", "changed"]
OTHERWISE: dict[Verdict, str] = {
    "reproduced": "holds",
    "sign only": "holds",
    "not reproduced": "fails",
    "undecided": "undecided",
}


@dataclass(frozen=True)
class Claimed:
    """What a paper says of the difference of two settings; exactly one of the three.

    Args:
        difference: Its figure, not zero, in the metric's own units.
        direction: 1 where it says more, -1 where it says less, without a figure.
        within: How far apart the two are at most, where it says that they are the same; >= 0.
        runs: How many runs its figure is the mean of.

    Raises:
        ValueError: Where none or several are given, or one is out of its range.
    """

    difference: float | None = None
    direction: Literal[1, -1] | None = None
    within: float | None = None
    runs: int = 1

    def __post_init__(self) -> None:
        given = [name for name in ("difference", "direction", "within") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"a claim must have one of difference, direction and within, got {', '.join(given) or 'none'}")
        if self.difference is not None and (self.difference == 0.0 or not math.isfinite(self.difference)):
            raise ValueError(f"difference must be finite and not 0, for 0 has no direction (say within instead), got {self.difference!r}")
        if self.direction not in (None, 1, -1):
            raise ValueError(f"direction must be 1 or -1, got {self.direction!r}")
        if self.within is not None and not 0.0 <= self.within < math.inf:
            raise ValueError(f"within must be >= 0, got {self.within!r}")
        if self.runs < 1:
            raise ValueError(f"runs must be >= 1, got {self.runs!r}")

    @property
    def sign(self) -> int:
        """1 or -1; 0 of a claim that two settings are the same."""
        if self.direction is not None:
            return self.direction
        return 0 if self.difference is None else int(math.copysign(1.0, self.difference))


@dataclass(frozen=True)
class Finding:
    """What our runs say of a claim.

    Attributes:
        verdict: By the rule of this module.
        gain: Our mean difference with its confidence interval; None where no pair ended well.
        expected: The interval for the paper's figure; None where the claim has no figure, or there are fewer than two pairs.
    """

    verdict: Verdict
    gain: Gain | None
    expected: tuple[float, float] | None


def find(values: Numbers, baseline: Numbers, claimed: Claimed, *, whole: bool = True, alpha: float = 0.05) -> Finding:
    """Hold a claim about ``values - baseline`` against our paired runs.

    Args:
        values: The first setting's metric, one number for each replicate, (n,).
        baseline: The second setting's, for the same replicates in the same order, (n,).
        claimed: What the paper says.
        whole: Whether our runs are the whole protocol; of others only the direction of a difference is asked.
        alpha: One minus the confidence of both intervals, in (0, 1).

    Raises:
        ValueError: Where the two differ in length or hold a value that is not finite, or ``alpha`` is out of range.

    Example:
        >>> ours, baseline = [95.0, 95.4, 95.2], [94.1, 94.3, 94.2]
        >>> find(ours, baseline, Claimed(difference=1.1)).verdict, find(ours, baseline, Claimed(difference=6.7)).verdict
        ('reproduced', 'sign only')
        >>> find(ours, baseline, Claimed(direction=-1)).verdict, find(ours, baseline, Claimed(within=0.1)).verdict
        ('not reproduced', 'not reproduced')
    """
    if len(values) == 0 and len(baseline) == 0:
        return Finding("undecided", None, None)
    gain = paired_gain(values, baseline, alpha=alpha)
    if gain.low is None or gain.high is None:
        return Finding("undecided", gain, None)
    if claimed.within is not None:
        return Finding(_same(gain.low, gain.high, claimed.within), gain, None)
    side = _side(gain.low, gain.high)
    if claimed.difference is None or not whole:
        return Finding("undecided" if side == 0 else "reproduced" if side == claimed.sign else "not reproduced", gain, None)
    half = (gain.high - gain.low) / 2.0 * math.sqrt(1.0 + gain.n / claimed.runs)
    expected = (gain.mean - half, gain.mean + half)
    expects = expected[0] <= claimed.difference <= expected[1]
    return Finding(_difference(side, claimed.sign, expects), gain, expected)


def judge_table(verdicts: Iterable[Verdict], protocol: Protocol = "whole") -> TableVerdict:
    """The verdict on a table from those on its claims; raises `ValueError` where there is no claim."""
    found = set(verdicts)
    if not found:
        raise ValueError("a table needs at least one claim")
    if protocol != "whole":
        return protocol
    order: tuple[Verdict, ...] = ("not reproduced", "undecided", "sign only", "reproduced")
    return next(verdict for verdict in order if verdict in found)


def _difference(side: int, claimed: int, expects: bool) -> Verdict:
    if side == claimed:
        return "reproduced" if expects else "sign only"
    return "undecided" if side == 0 and expects else "not reproduced"


def _same(low: float, high: float, within: float) -> Verdict:
    if -within <= low and high <= within:
        return "reproduced"
    return "not reproduced" if low > within or high < -within else "undecided"


def _side(low: float, high: float) -> int:
    """The side of zero on which an interval lies wholly, or 0."""
    return 1 if low > 0.0 else -1 if high < 0.0 else 0
