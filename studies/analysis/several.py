"""The verdicts on one knob, or two, over several datasets, so that the chance of any false claim among them is that of one.

Rule (Holm, Scandinavian Journal of Statistics 6, 1979). Of D datasets, R are found better than their baseline. All are judged at
alpha / (D - R), or at alpha where R = D, for the greatest R for which that is so: start at alpha / D and go on while there are more.
A dataset without a difference is called better, FLAT or WORSE with probability alpha at most, whatever the others are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from studies.analysis.surface import SurfaceVerdict
from studies.analysis.verdict import Verdict

AnyVerdict = TypeVar("AnyVerdict", Verdict, SurfaceVerdict)


def judge_each(judged: Mapping[str, Callable[[float], AnyVerdict]], *, alpha: float, datasets: int = 0) -> dict[str, AnyVerdict]:
    """Judge each dataset at the level that Holm's rule gives them all.

    Args:
        judged: For each dataset, `studies.analysis.judge` or `judge_surface` as a function of its ``alpha`` alone.
        alpha: The chance of any false claim among them, in (0, 0.5).
        datasets: How many there will be, where some cannot be judged yet.

    Example:
        >>> import numpy as np, pandas as pd
        >>> from studies.analysis import judge
        >>> rows = [(s, lam, 90 + lam + 0.1 * np.sin(9 * s + lam)) for s in range(5) for lam in (0.0, 1.0, 2.0)]
        >>> table = pd.DataFrame(rows, columns=["seed", "lam", "accuracy"])
        >>> ask = lambda alpha: judge(table, knob="lam", metric="accuracy", baseline=0.0, alpha=alpha)
        >>> [verdict.question.alpha for verdict in judge_each({"cub": ask, "cars": ask}, alpha=0.05).values()]
        [0.05, 0.05]
    """
    if not 0.0 < alpha < 0.5:
        raise ValueError(f"alpha must be in (0, 0.5), got {alpha!r}")
    number, better = max(datasets, len(judged)), 0
    while True:
        verdicts = {name: ask(alpha / max(number - better, 1)) for name, ask in judged.items()}
        found = sum(verdict.better for verdict in verdicts.values())
        if found == better:
            return verdicts
        better = found
