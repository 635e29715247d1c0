"""How a study is run, recorded and read: the study file, the plan, Ray Tune, the ledger, the verdicts, the report, the command.

The only package that knows Ray, MLflow and the terminal; the science is in `margin_core`, what may vary in `search_spaces`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from studies.opened import Study

__all__ = ["open_study"]


def open_study(path: str | Path) -> Study:
    """Open a study to look at it in a notebook or a script: its tables, figures and answer.

    It only reads, also while the study runs, and then has what was there when it was opened.

    Args:
        path: The study's directory in its work directory, ``margin-runs/quickstart``, or a work directory that holds one study.

    Returns:
        A `studies.opened.Study`: ``trials``, ``metrics``, ``curves`` and ``verdicts`` are pandas frames, ``figures`` Matplotlib's by name.

    Raises:
        StudyError: There is no study, or more than one to choose from.

    Example:
        >>> open_study("nowhere")
        Traceback (most recent call last):
        studies.workspace.StudyError: nowhere holds no study
    """
    from studies.opened import open_directory
    from studies.workspace import StudyFiles, open_files

    directory = Path(path)
    files = StudyFiles(directory) if (directory / "ledger.sqlite").is_file() else open_files(directory, None)
    return open_directory(files.directory)
