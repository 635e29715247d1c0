"""A study opened to be looked at, in a notebook or a script: its tables, its figures, and its answer.

Nothing here runs or changes a study; everything is read from the ledger, some of it when it is first asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from studies.answer import answer
from studies.findings import Answer
from studies.frames import answer_frames, curve_frame, verdict_frame
from studies.recorded import path_table
from studies.tracking.ledger import Ledger
from studies.workspace import StudyFiles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from studies.reporting.section import Figure as Panel


@dataclass(frozen=True)
class Study:
    """A study as its ledger stood when it was opened.

    Attributes:
        files: Where its files lie.
        answer: What it found, as the report is made from it.
        trials: One row for each trial that has ended: ``key, stage, cell_id, dataset, family, seed, status, reason``, times, the metrics of
            its last epoch, NaN where it was lost, and the values of its configuration by their names in the search space.
    """

    files: StudyFiles
    answer: Answer
    trials: pd.DataFrame

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """The metrics of every trial after every epoch; see `studies.recorded.path_table`, which also has those within epochs."""
        return path_table(self.files)

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Every replicate of every response curve and of ``ce``: ``stage, dataset, family, knob, value, seed`` and the metric."""
        return curve_frame(self.answer)

    @cached_property
    def verdicts(self) -> pd.DataFrame:
        """A row for each curve: label, values that may be best, and the gain of the setting that stands for the family."""
        return verdict_frame(self.answer)

    @cached_property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Every table of the report that has a row, by name; see `studies.frames.answer_frames`."""
        return answer_frames(self.answer)

    @cached_property
    def figures(self) -> dict[str, Figure]:
        """The report's figures by name, as Matplotlib's, for a notebook to show and for `Figure.savefig`."""
        return {panel.name: panel.drawing for panel in self.panels}

    @property
    def panels(self) -> list[Panel]:
        """The same with what the report says of each, and as SVG and PNG."""
        from studies.reporting.sections import sections_of

        return [panel for section in sections_of(self.answer) for panel in section.figures]

    def _repr_html_(self) -> str:
        return str(self.verdicts.to_html(index=False))


def open_directory(path: Path) -> Study:
    """Open the study whose ledger lies in directory ``path``."""
    files = StudyFiles(path)
    with Ledger(files.ledger, read_only=True) as ledger:
        table, trials = ledger.final_metrics(), ledger.trials()
        found = answer(ledger, table)
    configs = pd.DataFrame([{"key": trial.key, **trial.config} for trial in trials]).drop(columns="family", errors="ignore")
    return Study(files, found, table.merge(configs, on="key") if len(table) else table)


def write_files(study: Study, directory: Path) -> list[Path]:
    """Write every figure as SVG and PNG, and every table as CSV, into a directory that is made where it is not there."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for panel in study.panels:
        for suffix, content in ((".svg", panel.svg_file.encode()), (".png", panel.png)):
            written.append(directory / f"{panel.name}{suffix}")
            written[-1].write_bytes(content)
    for name, table in {**study.tables, "trials": study.trials}.items():
        written.append(directory / f"{name}.csv")
        table.to_csv(written[-1], index=False, lineterminator="\n")
    return written
