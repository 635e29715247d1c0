"""A study's runs in an MLflow store: one for the study, one for each replicate, and one for each cell with mean and interval.

Runs carry the study's identity and their key of the ledger as tags, by which they are found again, so that none is made twice however often
a request is made. The steps of a metric are epochs, and those of ``by_step/<metric>`` are steps of the training. When all this is sent is
the mirror's affair (`studies.tracking.mlflow_mirror`).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from studies.analysis import summarise
from studies.spec import StudySpec
from studies.tracking.asking import Patience, hopeless, milliseconds
from studies.tracking.ledger import Ledger
from studies.tracking.page import VIEW_TAG, cell_name, cells_page, cells_view, labels
from studies.tracking.records import ENDED, TrialRecord
from studies.tracking.sent import Note, Sent
from studies.warm_start import recorded_warm_start

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Metric, Param, RunTag

STUDY_KEY = "study"
_ENTITIES_PER_BATCH, _PARAMS_PER_BATCH, _TAGS_PER_BATCH = 1000, 100, 100  # MLflow's own limits; metrics count as entities only
_RUNS_PER_PAGE = 500
_LONGEST_TAG = 5000  # of MLflow before 3; longer ones are in the ledger alone
_YOUNG = 10.0  # seconds; a trial that ends within them is sent whole
_DESCRIPTION = "mlflow.note.content"
_SOURCE = {"mlflow.source.name": "margin-studies", "mlflow.source.type": "LOCAL"}
_RUN_STATUS = {"finished": "FINISHED", "stopped": "FINISHED", "diverged": "FAILED", "failed": "FAILED", "interrupted": "KILLED"}


class Session:
    """The work on one store.

    Args:
        client: MLflow's client of the store.
        ledger: The study's ledger, to be read.
        sent: The notes of what has reached the store.
        spec: The study.
        patience: How requests are made.
        artifact_location: Where the experiment keeps its artifacts, if it has to be told.

    Attributes:
        study_run: The study's run.
        refused: For each trial that the store did not take, why.
    """

    def __init__(
        self, client: MlflowClient, ledger: Ledger, sent: Sent, spec: StudySpec, patience: Patience, artifact_location: str | None = None
    ) -> None:
        self.client = client
        self.spec = spec
        self.patience = patience
        self.refused: dict[str, str] = {}
        self._ledger = ledger
        self._sent = sent
        self._identity = ledger.meta("study_id") or ""
        self.experiment = self._find_experiment(artifact_location)
        self._sent.write_experiment(self.experiment)
        self.agree()
        note = self._sent.note(STUDY_KEY)
        self.study_run = note.run_id if note else self._create(STUDY_KEY, spec.name, {"kind": "study", _DESCRIPTION: spec.description})
        if note:
            self.patience.ask(lambda again: self.client.update_run(self.study_run, status="RUNNING"))
        for name, value in _study_tags(ledger).items():
            self.patience.ask(lambda again, name=name, value=value: self.client.set_tag(self.study_run, name, value))  # type: ignore[misc]

    def agree(self) -> None:
        """Make the notes agree with the runs of the store, and delete runs that a request made twice left behind."""
        for surplus in self._sent.adopt(self._runs()):
            self.patience.ask(lambda again, run_id=surplus: self.client.delete_run(run_id))  # type: ignore[misc]

    def _find_experiment(self, artifact_location: str | None) -> str:
        tags = {"mlflow.experimentKind": "custom_model_development", _DESCRIPTION: self.spec.description}

        def request(again: bool) -> str:
            found = self.client.get_experiment_by_name(self.spec.name)
            if found is None:
                return str(self.client.create_experiment(self.spec.name, artifact_location=artifact_location, tags=tags))
            return str(found.experiment_id)

        return self.patience.ask(request)

    def _runs(self, key: str | None = None) -> Iterator[tuple[str, str]]:
        """Key and run of every run of the study, or of those with one key."""
        wanted = f"tags.study_id = '{self._identity}'" + (f" and tags.key = '{key}'" if key else "")
        token: str | None = None
        while True:
            page = self.patience.ask(
                lambda again, token=token: self.client.search_runs(  # type: ignore[misc]
                    [self.experiment], wanted, max_results=_RUNS_PER_PAGE, page_token=token
                )
            )
            yield from ((run.data.tags["key"], run.info.run_id) for run in page if "key" in run.data.tags)
            token = page.token
            if not token:
                return

    def _create(self, key: str, name: str, tags: dict[str, str], started: float | None = None) -> str:
        """A new run, or the one that an earlier request for it made without our learning of it."""
        parent = {} if key == STUDY_KEY else {"mlflow.parentRunId": self.study_run}
        tags = {**tags, "study": self.spec.name, "study_id": self._identity, "key": key, **_SOURCE, **parent}

        def request(again: bool) -> str:
            if again and (found := dict(self._runs(key))):
                return found[key]
            run = self.client.create_run(self.experiment, start_time=milliseconds(started), run_name=name, tags=tags)
            return str(run.info.run_id)

        run_id = self.patience.ask(request)
        self._sent.write(key, Note(run_id, 0, ""))
        return run_id

    def _log(self, run_id: str, metrics: Iterable[Metric], params: list[Param], tags: list[RunTag]) -> None:
        for batch in batches(list(metrics), params, tags):
            self.patience.ask(lambda again, batch=batch: self.client.log_batch(run_id, *batch))  # type: ignore[misc]

    def _log_inputs(self, run_id: str, inputs: list[DatasetInput]) -> None:
        self.patience.ask(lambda again: self.client.log_inputs(run_id, inputs))

    def _terminate(self, run_id: str, status: str, ended: float | None = None) -> None:
        at = milliseconds(ended)
        self.patience.ask(lambda again: self.client.set_terminated(run_id, status, at))

    def send_trials(self, *, wait: bool) -> None:
        """Send new epochs and endings; with ``wait``, a trial that is still young is left until it has ended or grown."""
        now = time.time()
        for key in self._sent.pending():
            trial = self._ledger.trial(key)
            if key in self.refused or (wait and trial.status not in ENDED and now - trial.started < _YOUNG):
                continue
            try:
                self._send(trial)
            except Exception as error:
                if not hopeless(error) or getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST":
                    raise  # the run or its experiment is gone: another session looks what is there
                self.refused[key] = self.patience.error

    def _send(self, trial: TrialRecord) -> None:
        from mlflow.entities import Param, RunTag

        note = self._sent.note(trial.key)
        fresh = note is None
        run_id = (
            note.run_id if note else self._create(trial.key, f"{cell_name(trial)}, seed {trial.seed}", _trial_tags(trial), trial.started)
        )
        _, epochs, status = note or Note(run_id, 0, "")
        new = self._ledger.epochs(trial.key, after=epochs)
        params = [] if status else [Param(name, str(value)) for name, value in trial.config.items()]
        tags = [RunTag("status", trial.status), RunTag("reason", trial.reason)]
        counts = json.dumps(self._ledger.class_counts(trial.key))
        if counts != "null" and len(counts) <= _LONGEST_TAG:
            tags.append(RunTag("train_class_counts", counts))
        if trial.phase:
            tags.append(RunTag("phase", str(trial.phase)))
        within = self._ledger.steps(trial.key, after=new[0]["epoch"] - 1) if new else []
        self._log(run_id, [*_metrics(new), *_step_metrics(new, within)], params, tags)
        if trial.status in _RUN_STATUS:
            self._terminate(run_id, _RUN_STATUS[trial.status], trial.ended)
        elif not fresh and status != trial.status:
            self.patience.ask(lambda again: self.client.update_run(run_id, status="RUNNING"))
        self._sent.write(trial.key, Note(run_id, new[-1]["epoch"] if new else epochs, trial.status))

    def send_summaries(self) -> None:
        """For each cell of each stage, a run with mean, interval and number of seeds: what MLflow's own tables compare."""
        from mlflow.entities import Metric, Param, RunTag

        table = self._ledger.final_metrics()
        trials = self._ledger.trials()
        cells = {trial.cell_id: trial for trial in trials}
        datasets = labels(trial.dataset for trial in trials)
        families = labels(trial.family for trial in trials)
        inputs = dataset_inputs(self.spec)
        began: dict[tuple[str, str], float] = {}
        ended: dict[tuple[str, str], float] = {}
        for trial in trials:
            of = trial.stage, trial.cell_id
            began[of] = min(began.get(of, trial.started), trial.started)
            ended[of] = max(ended.get(of, 0.0), trial.ended or 0.0)
        for (stage, cell_id), rows in table.groupby(["stage", "cell_id"], sort=False):
            trial, key, state = cells[str(cell_id)], f"{stage}-{cell_id}", f"{len(rows)} seeds"
            note = self._sent.note(key)
            if note and note.status == state:
                continue
            at = ended[str(stage), str(cell_id)]  # of the ledger, not of now: MLflow keeps equal values once
            tags = {**_cell_tags(trial), "stage": str(stage), "kind": "cell"}
            run_id = (
                note.run_id
                if note
                else self._create(key, cell_name(trial) + (" (screen)" if stage == "screen" else ""), tags, began[str(stage), str(cell_id)])
            )
            values = rows[self.spec.metric].dropna().tolist() if self.spec.metric in rows else []
            measured = _summary(values, len(rows), self.spec)
            named = {**trial.config, "dataset": datasets[trial.dataset], "family": families[trial.family], "stage": str(stage)}
            self._log(
                run_id,
                [Metric(name, value, milliseconds(at), len(rows)) for name, value in measured.items()],
                [Param(name, str(value)) for name, value in named.items()],
                [RunTag("n_seeds", str(len(values)))],
            )
            self._log_inputs(run_id, [inputs[trial.dataset]] if trial.dataset in inputs else [])
            self._terminate(run_id, "FINISHED", at)
            self._sent.write(key, Note(run_id, 0, state))
        self._log_inputs(self.study_run, list(inputs.values()))
        self._show_cells()

    def _show_cells(self) -> None:
        """Give the experiment its view of the cells, and put a link to it into the description, unless somebody wrote another there."""
        link = f"[The cells with mean and interval]({cells_page(self.experiment)[1:]})"
        tags = {VIEW_TAG: cells_view(self.spec)}
        experiment = self.patience.ask(lambda again: self.client.get_experiment(self.experiment))
        if experiment.tags.get(_DESCRIPTION, "") == self.spec.description:
            tags[_DESCRIPTION] = f"{link}\n\n{self.spec.description}".strip()
        for name, value in tags.items():
            if experiment.tags.get(name) != value:
                self.patience.ask(lambda again, name=name, value=value: self.client.set_experiment_tag(self.experiment, name, value))  # type: ignore[misc]

    def close(self, *, complete: bool) -> None:
        """End the study's run."""
        self._terminate(self.study_run, "FINISHED" if complete else "KILLED")
        self._sent.write(STUDY_KEY, Note(self.study_run, 0, "finished" if complete else "interrupted"))


def dataset_inputs(spec: StudySpec) -> dict[str, DatasetInput]:
    """The study's datasets as MLflow shows them, by name; source is the dataset with all of its dials, which the digest is of."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = {}
    for config in (entry.config() for entry in spec.datasets):
        source = json.dumps(config.to_dict(), sort_keys=True)
        digest = hashlib.sha256(source.encode()).hexdigest()[:16]
        inputs[config.key] = DatasetInput(
            Dataset(config.key, digest, "margin-studies", source), [InputTag("mlflow.data.context", "training")]
        )
    return inputs


def batches(metrics: list[Metric], params: list[Param], tags: list[RunTag]) -> Iterator[tuple[list[Metric], list[Param], list[RunTag]]]:
    """What is to be logged, in as few requests as MLflow's limits allow."""
    while metrics or params or tags:
        first, params = params[:_PARAMS_PER_BATCH], params[_PARAMS_PER_BATCH:]
        marks, tags = tags[:_TAGS_PER_BATCH], tags[_TAGS_PER_BATCH:]
        room = _ENTITIES_PER_BATCH - len(first) - len(marks)
        yield metrics[:room], first, marks
        metrics = metrics[room:]


def _summary(values: list[float], replicates: int, spec: StudySpec) -> dict[str, float]:
    measured = {"n_seeds": float(len(values)), "n_lost": float(replicates - len(values))}
    if values:
        summary = summarise(values, alpha=spec.alpha)
        measured[f"{spec.metric}_mean"] = summary.mean
        if summary.low is not None and summary.high is not None:
            measured |= {f"{spec.metric}_ci_low": summary.low, f"{spec.metric}_ci_high": summary.high}
    return measured


def _study_tags(ledger: Ledger) -> dict[str, str]:
    """Where the study comes from, and what was changed of it."""
    parent = json.loads(ledger.meta("parent") or "{}")
    tags = {"branch_of": parent["study"], "branch_of_id": str(parent["study_id"])} if parent else {}
    earlier = recorded_warm_start(ledger)
    tags |= {"warm_start": earlier.study, "warm_start_id": earlier.study_id} if earlier else {}
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
        at = milliseconds(row["at"])
        for name, value in row["metrics"].items():
            yield Metric(name, float(value), at, int(row["epoch"]))


def _step_metrics(epochs: list[dict[str, Any]], steps: list[dict[str, Any]]) -> Iterator[Metric]:
    from mlflow.entities import Metric

    at = {row["epoch"]: milliseconds(row["at"]) for row in epochs}
    for row in steps:
        if row["epoch"] in at:  # a later epoch's go with it
            for name, value in row["metrics"].items():
                yield Metric(f"by_step/{name}", float(value), at[row["epoch"]], int(row["step"]))
