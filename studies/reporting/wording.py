"""Numbers and names as a person reads them: a metric's words, and figures rounded to what their interval supports.

Whole sentences are made in `studies.reporting.sentences`; nothing here knows a study.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from studies.analysis import Gain, Summary
from studies.spec import StudySpec

LABELS = ("LOCATED", "BETTER", "EDGE", "FLAT", "WORSE", "UNDECIDED")

MEANINGS = {
    "LOCATED": "Better than the baseline, and the values that may be best lie close together.",
    "BETTER": "Better than the baseline; which value is best is still open.",
    "EDGE": "Better than the baseline, and best at the end of the values tried: the best may lie beyond.",
    "FLAT": "No value tried falls short of the best by as much as the smallest effect of interest.",
    "WORSE": "The baseline is better than every other value tried.",
    "UNDECIDED": "These seeds do not decide it.",
}
SHIFT_MEANING = "No one value is best on all datasets."


_MOST_PLACES = 4


@dataclass(frozen=True)
class MetricWords:
    """A metric in prose.

    Attributes:
        name: What is measured.
        unit: What follows a value of it.
        points: What follows a difference of two values.
    """

    name: str
    unit: str = ""
    points: str = ""

    @property
    def title(self) -> str:
        """The name at the start of a sentence."""
        return self.name[:1].upper() + self.name[1:]


METRICS = {
    "val_accuracy": MetricWords("validation accuracy", " %", " points"),
    "val_nll": MetricWords("validation NLL"),
    "val_ece": MetricWords("validation ECE"),
    "class_margin": MetricWords("class margin", "°", "°"),
    "val_sample_margin": MetricWords("validation sample margin"),
    "val_map": MetricWords("validation mAP", " %", " points"),
    **{f"val_rank_{k}": MetricWords(f"validation rank-{k}", " %", " points") for k in (1, 5, 10)},
    **{f"val_tar_at_far_{far}": MetricWords(f"validation TAR at FAR {far}", " %", " points") for far in ("0.01", "0.001")},
    "val_equal_error_rate": MetricWords("validation equal error rate"),
}


def metric_words(spec: StudySpec) -> MetricWords:
    """The words for the metric that ``spec`` judges by."""
    return METRICS.get(spec.metric, MetricWords(spec.metric))


def metric_title(spec: StudySpec) -> str:
    """The metric with its unit, as the title of an axis."""
    words = metric_words(spec)
    return words.name + (words.unit and f",{words.unit}")


def places(half_width: float | None) -> int:
    """Decimals worth printing beside an uncertainty of ``half_width``: down to its second digit, or its first from 5 on.

    Example:
        >>> places(0.32), places(0.61), places(2.4), places(31.0), places(None)
        (2, 1, 1, 0, 2)
    """
    if half_width is None or not math.isfinite(half_width) or half_width <= 0.0:
        return 2
    first = math.floor(math.log10(half_width))
    digits = 1 if half_width >= 5.0 * 10.0**first else 2
    return min(max(digits - 1 - first, 0), _MOST_PLACES)


def number(value: float, decimals: int, *, signed: bool = False) -> str:
    """``value`` with so many decimals, a true minus sign, and no minus before a zero.

    Example:
        >>> number(-0.314, 1), number(-0.001, 2), number(0.42, 2, signed=True)
        ('−0.3', '0.00', '+0.42')
    """
    rounded = round(value, decimals) + 0.0
    return f"{rounded:{'+' if signed and rounded else ''}.{decimals}f}".replace("-", "−")


def plain(value: float | str) -> str:
    """A knob's value as it is written in a study file.

    Example:
        >>> plain(0.001), plain(1.3720841), plain("attached")
        ('0.001', '1.372', 'attached')
    """
    return value if isinstance(value, str) else f"{value:.4g}".replace("-", "−")


def listed(words: Sequence[str], last: str = "and") -> str:
    """``words`` as a list in prose.

    Example:
        >>> listed(["1", "1.5", "2"], "or")
        '1, 1.5 or 2'
    """
    return " ".join([", ".join(words[:-1]), last, words[-1]]) if len(words) > 1 else "".join(words)


def counted(count: int, noun: str) -> str:
    """``count`` things.

    Example:
        >>> counted(1, "seed"), counted(5, "seed")
        ('1 seed', '5 seeds')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def half_width(measured: Gain | Summary) -> float | None:
    """Half the width of an interval, or None where there is none."""
    if measured.low is None or measured.high is None:
        return None
    return (measured.high - measured.low) / 2.0


def gain_places(gain: Gain) -> int:
    """Decimals for a gain: what its interval supports, and one more where else an end or the mean would look like zero."""
    decimals = places(half_width(gain))
    vanishing = any(end and round(end, decimals) == 0.0 for end in (gain.low, gain.high))
    return decimals + 1 if vanishing or (decimals == 0 and abs(gain.mean) < 1.0) else decimals


def interval_words(gain: Gain) -> str:
    """``0.10 to 0.74``; empty where there is no interval."""
    if gain.low is None or gain.high is None:
        return ""
    return f"{number(gain.low, gain_places(gain))} to {number(gain.high, gain_places(gain))}"


def is_none(gain: Gain) -> bool:
    """Whether a setting differs from ``ce`` on no seed, as that of a knob which is cross-entropy there does."""
    return gain.mean == gain.low == gain.high == 0.0


def gain_words(gain: Gain | None) -> str:
    """``+0.42 (0.10 to 0.74)``; a dash where there is no gain to tell."""
    if gain is None:
        return "–"
    if is_none(gain):
        return "it is ce"
    said = number(gain.mean, gain_places(gain), signed=True)
    return f"{said} ({interval_words(gain)})" if gain.low is not None else said


def mean_words(summary: Summary) -> str:
    """``96.42 ± 0.31``, the second number being half the interval; the mean alone where a single seed gives no interval."""
    half = half_width(summary)
    decimals = places(half)
    return number(summary.mean, decimals) + (f" ± {number(half, decimals)}" if half is not None else "")


def duration(seconds: float) -> str:
    """A length of time in its two leading units.

    Example:
        >>> duration(42.4), duration(3 * 3600 + 125), duration(2 * 86400 + 7300)
        ('42 s', '3 h 2 min', '2 d 2 h')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"
