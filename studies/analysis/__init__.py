"""What the replicates of a study say: which knob values may be best, whether the baseline is among them, and how surely.

One analysis is one file, and its decision rule is its docstring. Nothing here knows how a study is run or drawn: tables go in,
frozen records come out.
"""

from __future__ import annotations

from studies.analysis.gain import Gain, Summary, paired_gain, summarise
from studies.analysis.page import page_p
from studies.analysis.relation import Correlation, RelationVerdict, relate
from studies.analysis.several import judge_each
from studies.analysis.shift import OptimumEvidence, ShiftVerdict, shift
from studies.analysis.surface import SurfaceVerdict, judge_surface
from studies.analysis.trend import TrendVerdict, trend
from studies.analysis.verdict import CellEvidence, Verdict, judge

__all__ = [
    "CellEvidence",
    "Correlation",
    "Gain",
    "OptimumEvidence",
    "RelationVerdict",
    "ShiftVerdict",
    "Summary",
    "SurfaceVerdict",
    "TrendVerdict",
    "Verdict",
    "judge",
    "judge_each",
    "judge_surface",
    "page_p",
    "paired_gain",
    "relate",
    "shift",
    "summarise",
    "trend",
]
