"""How an answer looks: sentences, figures, one self-contained HTML report, and the last lines of a run in the terminal.

Everything here reads a `studies.answer.Answer` and nothing else, and decides nothing: the statistics are `studies.analysis`'s.
"""

from __future__ import annotations

from studies.reporting.figures import curve_figure
from studies.reporting.report import render_report
from studies.reporting.terminal import headlines, print_result, result_table
from studies.reporting.text import text_report

__all__ = ["curve_figure", "headlines", "print_result", "render_report", "result_table", "text_report"]
