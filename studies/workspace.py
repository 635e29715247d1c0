"""The work directory: where each study's files lie."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

DEFAULT_WORKDIR = Path("margin-runs")


class StudyError(ValueError):
    """A study cannot be opened or run as asked; the message says why, and what to do."""


@dataclass(frozen=True)
class StudyFiles:
    """The files of one study."""

    directory: Path

    @property
    def ledger(self) -> Path:
        """The study's record."""
        return self.directory / "ledger.sqlite"

    @property
    def report(self) -> Path:
        """The report."""
        return self.directory / "report.html"

    @property
    def verdicts(self) -> Path:
        """The verdicts, for machines."""
        return self.directory / "verdicts.json"

    @property
    def checkpoints(self) -> Path:
        """Checkpoints of unfinished trials, and the final ones of confirmed cells."""
        return self.directory / "checkpoints"

    @property
    def examples(self) -> Path:
        """What each trial made of each test example, where the study asks for that: a file per trial."""
        return self.directory / "examples"

    @property
    def export(self) -> Path:
        """Exported configurations, a directory per dataset."""
        return self.directory / "export"


def study_files(workdir: Path, study: str) -> StudyFiles:
    """The files of ``study`` in ``workdir``."""
    return StudyFiles(workdir / study)


def check_workdir(workdir: Path) -> None:
    """Make ``workdir``; raise `PermissionError` with one sentence where it cannot be written."""
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=workdir):
            pass
    except OSError as error:
        raise PermissionError(f"the work directory {workdir} cannot be written: {error.strerror or error}") from error


def find_studies(workdir: Path) -> list[str]:
    """Names of the studies that have a ledger in ``workdir``."""
    if not workdir.is_dir():
        return []
    return sorted(entry.parent.name for entry in workdir.glob(f"*{os.sep}ledger.sqlite"))


def open_files(workdir: Path, study: str | None) -> StudyFiles:
    """The files of a study by its name, its directory, or, where ``workdir`` holds only one, without either.

    Raises:
        StudyError: There is no such study, or more than one to choose from.
    """
    known = find_studies(workdir)
    if study is not None and (Path(study) / "ledger.sqlite").is_file():
        return StudyFiles(Path(study).resolve())
    if study in known:
        return study_files(workdir, study)
    listed = f"; studies there: {', '.join(known)}" if known else ""
    if study is not None:
        raise StudyError(f"there is no study {study!r} in {workdir}{listed}")
    if not known:
        raise StudyError(f"{workdir} holds no study")
    if len(known) > 1:
        raise StudyError(f"{workdir} holds {len(known)} studies; name one{listed}")
    return study_files(workdir, known[0])
