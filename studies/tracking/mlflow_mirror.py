"""The MLflow mirror: shows a ledger in MLflow, and never holds a study up.

A thread in the driver reads the ledger and sends what is new, in batches: one experiment per study, a parent run for the study,
a child run per replicate, and a summary run per cell with mean, interval and number of seeds. The steps of a metric are epochs, and
those of ``by_step/<metric>`` are steps of the training. What has been sent is noted in the ledger, so a server that was down gets the
rest later, once. If MLflow cannot be reached the study goes on.
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studies.analysis import summarise
from studies.spec import StudySpec
from studies.tracking.ledger import ENDED, Ledger, TrialRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

logger = logging.getLogger(__name__)

_METRICS_PER_BATCH = 1000  # MLflow's own limit
_LONGEST_TAG = 5000  # of MLflow before 3; longer ones are in the ledger alone
_FIRST_LOOK = 15.0  # seconds; importing MLflow takes a processor for some of them, which Ray needs to start
_SCHEMES = ("http", "https", "sqlite", "postgresql", "mysql", "mssql", "databricks")
_STUDY_KEY = "study"
_SOURCE = {"mlflow.source.name": "margin-studies", "mlflow.source.type": "LOCAL"}
_RUN_STATUS = {"finished": "FINISHED", "stopped": "FINISHED", "diverged": "FAILED", "failed": "FAILED", "interrupted": "KILLED"}


def embedded_uri(workdir: Path) -> str:
    """The tracking URI of the store that lives in the work directory."""
    return f"sqlite:///{(workdir / 'mlflow.db').resolve()}"


def check_tracking_uri(uri: str) -> None:
    """Raise `ConnectionError` with one sentence where ``uri`` is no MLflow store, or no server answers there."""
    scheme = uri.partition(":")[0].partition("+")[0]
    if scheme not in _SCHEMES or ":" not in uri:
        raise ConnectionError(f"--tracking-uri must begin with one of {', '.join(f'{name}:' for name in _SCHEMES)} got {uri!r}")
    if scheme not in ("http", "https"):
        return
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=5.0):
            return
    except urllib.error.HTTPError as error:
        raise ConnectionError(f"the MLflow server at {uri} answers with status {error.code}") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise ConnectionError(f"no MLflow server answers at {uri}: {getattr(error, 'reason', None) or error}") from error


def connect(uri: str) -> MlflowClient:
    """A client of the store at ``uri``; makes an embedded store's tables before any other writer can meet them half made."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=uri)


class MlflowMirror:
    """Sends a ledger to MLflow, from a thread while the study runs and once more when it is over.

    Args:
        ledger_path: The study's ledger.
        spec: The study.
        uri: MLflow's tracking URI.
        workdir: Where the embedded store keeps its artifacts.
    """

    def __init__(self, ledger_path: Path, spec: StudySpec, *, uri: str, workdir: Path) -> None:
        self._path = ledger_path
        self._spec = spec
        self._uri = uri
        self._workdir = workdir
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="mlflow-mirror", daemon=True)
        self.error = ""

    def start(self) -> None:
        """Begin to follow the ledger."""
        self._thread.start()

    def finish(self, artifacts: Sequence[Path] = (), *, complete: bool) -> str:
        """Send what is left, the cells' summaries and ``artifacts``; returns the reason if MLflow could not take it all."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
        try:
            with Ledger(self._path) as ledger:
                session = _Session(connect(self._uri), ledger, self._spec, self._artifact_location())
                session.send_trials(wait=False)
                session.send_summaries()
                session.close(artifacts, complete=complete)
            self.error = ""
        except Exception as error:
            self.error = _one_line(error)
        return self.error

    def _artifact_location(self) -> str | None:
        return (self._workdir / "mlflow-artifacts").resolve().as_uri() if self._uri.startswith("sqlite:") else None

    def _follow(self) -> None:
        pause, session = _FIRST_LOOK, None
        with Ledger(self._path) as ledger:
            while not self._over.wait(pause):
                try:
                    session = session or _Session(connect(self._uri), ledger, self._spec, self._artifact_location())
                    session.send_trials(wait=True)
                    pause, self.error = 2.0, ""
                except Exception as error:
                    pause, self.error = min(2.0 * pause, 60.0), _one_line(error)
                    logger.warning("MLflow at %s: %s; trying again in %.0f s", self._uri, self.error, pause)


class _Session:
    """One connection's work: keys of the ledger are matched to MLflow runs by tag, so that none is ever made twice."""

    def __init__(self, client: MlflowClient, ledger: Ledger, spec: StudySpec, artifact_location: str | None) -> None:
        self._client = client
        self._ledger = ledger
        self._spec = spec
        self._experiment = self._find_experiment(artifact_location)
        self._sent = ledger.mirrored()
        self._runs = {key: run_id for key, (run_id, _, _) in self._sent.items()} | self._runs_by_tag()
        self._parent = self._run(_STUDY_KEY, spec.name, {"kind": "study", "mlflow.note.content": spec.description})
        self._client.update_run(self._parent, status="RUNNING")
        for name, value in _study_tags(ledger).items():
            self._client.set_tag(self._parent, name, value)

    def _find_experiment(self, artifact_location: str | None) -> str:
        found = self._client.get_experiment_by_name(self._spec.name)
        if found is not None:
            return str(found.experiment_id)
        tags = {"mlflow.experimentKind": "custom_model_development", "mlflow.note.content": self._spec.description}
        return str(self._client.create_experiment(self._spec.name, artifact_location=artifact_location, tags=tags))

    def _runs_by_tag(self) -> dict[str, str]:
        runs: dict[str, str] = {}
        token = None
        identity = self._ledger.meta("study_id") or ""
        while True:
            page = self._client.search_runs([self._experiment], f"tags.study_id = '{identity}'", max_results=1000, page_token=token)
            runs |= {run.data.tags["key"]: run.info.run_id for run in page if "key" in run.data.tags}
            token = page.token
            if not token:
                return runs

    def _run(self, key: str, name: str, tags: dict[str, str], started: float | None = None) -> str:
        if key not in self._runs:
            parent = {} if key == _STUDY_KEY else {"mlflow.parentRunId": self._parent}
            identity = {"study": self._spec.name, "study_id": self._ledger.meta("study_id") or "", "key": key, **_SOURCE}
            run = self._client.create_run(
                self._experiment,
                start_time=int(1000 * (started or time.time())),
                run_name=name,
                tags={**tags, **identity, **parent},
            )
            self._runs[key] = run.info.run_id
        return self._runs[key]

    def send_trials(self, *, wait: bool) -> None:
        """Send new epochs and endings; with ``wait``, a trial that is still young is left until it has ended or grown."""
        now = time.time()
        for trial in self._ledger.trials():
            epochs, status = self._sent.get(trial.key, ("", 0, ""))[1:]
            if status in ENDED or (wait and trial.status not in ENDED and now - trial.started < 10.0):
                continue
            new = self._ledger.epochs(trial.key, after=epochs)
            if new or status != trial.status:
                self._send(trial, new, known=bool(status))

    def _send(self, trial: TrialRecord, new: list[dict[str, Any]], *, known: bool) -> None:
        from mlflow.entities import Param, RunTag

        run_id = self._run(trial.key, f"{trial.cell_id} seed {trial.seed}", _trial_tags(trial), trial.started)
        params = [] if known else [Param(name, str(value)) for name, value in trial.config.items()]
        tags = [RunTag("status", trial.status), RunTag("reason", trial.reason)]
        counts = json.dumps(self._ledger.class_counts(trial.key))
        if counts != "null" and len(counts) <= _LONGEST_TAG:
            tags.append(RunTag("train_class_counts", counts))
        within = self._ledger.steps(trial.key, after=new[0]["epoch"] - 1) if new else []
        for batch in _batches([*_metrics(new), *_step_metrics(new, within)]):
            self._client.log_batch(run_id, metrics=batch, params=params, tags=tags)
            params, tags = [], []
        if trial.status in _RUN_STATUS:
            ended = None if trial.ended is None else int(1000 * trial.ended)
            self._client.set_terminated(run_id, _RUN_STATUS[trial.status], ended)
        elif known:
            self._client.update_run(run_id, status="RUNNING")
        last = new[-1]["epoch"] if new else self._sent.get(trial.key, ("", 0, ""))[1]
        self._sent[trial.key] = (run_id, last, trial.status)
        self._ledger.set_mirrored(trial.key, run_id, last, trial.status)

    def send_summaries(self) -> None:
        """For each cell of each stage, a run with mean, interval and number of seeds: what MLflow's own tables compare."""
        from mlflow.entities import Metric, Param, RunTag

        table = self._ledger.final_metrics()
        configs = {trial.cell_id: trial for trial in self._ledger.trials()}
        now = int(1000 * time.time())
        for (stage, cell_id), rows in table.groupby(["stage", "cell_id"], sort=False):
            trial = configs[str(cell_id)]
            values = rows[self._spec.metric].dropna().tolist() if self._spec.metric in rows else []
            key, state = f"{stage}-{cell_id}", f"{len(rows)} seeds"
            if self._sent.get(key, ("", 0, ""))[2] == state:
                continue
            fresh = key not in self._runs
            run_id = self._run(key, f"{cell_id} ({stage})", {**_cell_tags(trial), "stage": str(stage), "kind": "cell"}, trial.started)
            measured = {"n_seeds": float(len(values)), "n_lost": float(len(rows) - len(values))}
            if len(values):
                summary = summarise(values, alpha=self._spec.alpha)
                measured[f"{self._spec.metric}_mean"] = summary.mean
                if summary.low is not None and summary.high is not None:
                    measured |= {f"{self._spec.metric}_ci_low": summary.low, f"{self._spec.metric}_ci_high": summary.high}
            self._client.log_batch(
                run_id,
                metrics=[Metric(name, value, now, len(rows)) for name, value in measured.items()],
                params=[Param(name, str(value)) for name, value in trial.config.items()] if fresh else [],
                tags=[RunTag("n_seeds", str(len(values)))],
            )
            self._client.set_terminated(run_id, "FINISHED")
            self._sent[key] = (run_id, 0, state)
            self._ledger.set_mirrored(key, run_id, 0, state)

    def close(self, artifacts: Sequence[Path], *, complete: bool) -> None:
        """Attach ``artifacts`` to the study's run and end it."""
        for artifact in artifacts:
            self._client.log_artifact(self._parent, str(artifact))
        self._client.set_terminated(self._parent, "FINISHED" if complete else "KILLED")
        self._ledger.set_mirrored(_STUDY_KEY, self._parent, 0, "finished" if complete else "interrupted")


def _study_tags(ledger: Ledger) -> dict[str, str]:
    """Where the study comes from, and what was changed of it."""
    parent = json.loads(ledger.meta("parent") or "{}")
    tags = {"branch_of": parent["study"], "branch_of_id": str(parent["study_id"])} if parent else {}
    changes = "\n".join(map(str, ledger.changes()))
    return tags | ({"changes": changes[:_LONGEST_TAG]} if changes else {})


def _cell_tags(trial: TrialRecord) -> dict[str, str]:
    return {"dataset": trial.dataset, "family": trial.family, "cell": trial.cell_id}


def _trial_tags(trial: TrialRecord) -> dict[str, str]:
    copied = {"copied_from": trial.copied_from} if trial.copied_from else {}
    return {**_cell_tags(trial), **copied, "stage": trial.stage, "seed": str(trial.seed), "kind": "replicate"}


def _metrics(epochs: list[dict[str, Any]]) -> Iterator[Metric]:
    from mlflow.entities import Metric

    for row in epochs:
        at = int(1000 * row["at"])
        for name, value in row["metrics"].items():
            yield Metric(name, float(value), at, int(row["epoch"]))


def _step_metrics(epochs: list[dict[str, Any]], steps: list[dict[str, Any]]) -> Iterator[Metric]:
    from mlflow.entities import Metric

    at = {row["epoch"]: int(1000 * row["at"]) for row in epochs}
    for row in steps:
        if row["epoch"] in at:  # a later epoch's go with it
            for name, value in row["metrics"].items():
                yield Metric(f"by_step/{name}", float(value), at[row["epoch"]], int(row["step"]))


def _batches(metrics: list[Metric]) -> Iterator[list[Metric]]:
    yield from (metrics[i : i + _METRICS_PER_BATCH] for i in range(0, max(1, len(metrics)), _METRICS_PER_BATCH))


def _one_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else 'no message'}"[:300]
