"""What MLflow gets of a study beside its trials: report, verdicts and figures; and how a study is sent there afterwards.

How MLflow is spoken to is `studies.tracking`'s.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from studies.answer import answer
from studies.findings import Answer
from studies.spec import StudySpec
from studies.tracking.attachments import attach, register
from studies.tracking.ledger import Ledger
from studies.tracking.mlflow_mirror import LAST_WAIT, Closing, MlflowMirror
from studies.tracking.session import Session
from studies.workspace import StudyFiles


def results_of(found: Answer, files: StudyFiles) -> Closing:
    """Sends the report, the verdicts and a picture of each curve to the study's run."""
    from studies.reporting.figures import curve_figure

    pictures = {_file_name(curve.dataset, curve.family): curve_figure(found, curve).png for curve in found.curves}

    def send(session: Session) -> None:
        for file in (files.report, files.verdicts):
            if file.is_file():
                attach(session, file)
        with tempfile.TemporaryDirectory() as folder:
            for name, picture in pictures.items():
                (Path(folder) / name).write_bytes(picture)
                attach(session, Path(folder) / name, "figures")

    return send


def send_study(files: StudyFiles, spec: StudySpec, uri: str, exported: Mapping[str, Path] | None = None, *, wait: float = LAST_WAIT) -> str:
    """Send everything of a study that MLflow lacks; no other process may be running it.

    Args:
        files: The study.
        spec: Its study file.
        uri: MLflow's tracking URI.
        exported: The folders that were exported, by dataset: each becomes the best version of its registered model.
        wait: Seconds to wait for the next answer of the store.

    Returns:
        What MLflow lacks still and why, or empty.
    """
    with Ledger(files.ledger) as ledger:
        ledger.interrupt_running()
        found, complete = answer(ledger), ledger.meta("complete") == "yes"
    results = results_of(found, files)

    def closing(session: Session) -> None:
        results(session)
        for winner in found.winners:
            if exported and winner.dataset in exported:
                register(session, winner.dataset, exported[winner.dataset], winner.reason)

    return MlflowMirror(files.ledger, spec, uri=uri, workdir=files.directory.parent).send_all(closing, complete=complete, wait=wait)


def _file_name(dataset: str, family: str) -> str:
    return re.sub("[^A-Za-z0-9_.+-]+", "-", f"{dataset}-{family}") + ".png"
