"""How MLflow's page shows a study: the table of its cells with their means, under an address of its own, and names that it tells apart.

MLflow opens an experiment on its page for traces of language models, whatever the experiment is. The address here opens it on the runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from studies.described import describe
from studies.spec import StudySpec
from studies.tracking.address import UI_ADDRESS, is_server
from studies.tracking.records import TrialRecord
from studies.tracking.sent import last_experiment

VIEW_TAG = "mlflow.sharedViewState.cells"
"""The experiment's tag that MLflow's page reads a shared view from, the one called ``cells``."""
_LABEL = 10  # characters that MLflow's parallel coordinates show


@dataclass(frozen=True)
class RunsPage:
    """Where MLflow shows the runs of a study.

    Attributes:
        server: The server's address; of a work directory's own store the one that ``margin-studies ui`` gives it.
        experiment: The study's experiment there.
        own: Whether it is the work directory's own store.
    """

    server: str
    experiment: str
    own: bool

    @classmethod
    def of(cls, ledger: Path) -> RunsPage | None:
        """Where a ledger was last sent to; None where that has no page, or it never was."""
        store, experiment = last_experiment(ledger) or ("", "")
        if is_server(store):
            return cls(store.rstrip("/"), experiment, own=False)
        return cls(UI_ADDRESS, experiment, own=True) if store.startswith("sqlite:") else None

    def showing(self, runs: str, spec: StudySpec) -> str:
        """The address of the runs that a filter of MLflow's search finds, the best by the study's metric first.

        In its own order, by date, the page would show the study's run alone and fold the others under it.
        """
        asked = {"searchFilter": runs, "orderByKey": f"metrics.`{spec.metric}`", "orderByAsc": str(not spec.maximize).lower()}
        told = "&".join(f"{key}={quote(value, safe='')}" for key, value in asked.items())
        return f"{self.server}/#/experiments/{self.experiment}/runs?workflowType=machine_learning&{told}"


def cells_page(experiment: str) -> str:
    """Where MLflow shows the cells of an experiment with mean and interval, best first, below the server's own address.

    >>> cells_page("1")
    '/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=cells'
    """
    return f"/#/experiments/{experiment}/runs?workflowType=machine_learning&viewStateShareKey=cells"


def cells_view(spec: StudySpec) -> str:
    """What `cells_page` shows, as MLflow's page keeps it: filter, order and columns."""
    metrics = [f"{spec.metric}_{name}" for name in ("mean", "ci_low", "ci_high")]
    state = {
        "searchFilter": "tags.kind = 'cell'",
        "orderByKey": f"metrics.`{metrics[0]}`",
        "orderByAsc": not spec.maximize,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": [*(f"metrics.`{name}`" for name in (*metrics, "n_seeds")), "params.`dataset`", "params.`family`"],
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runsVisibilityMap": {},
        "groupsExpanded": {},
        "groupBy": None,
    }
    return json.dumps(state)


def cell_name(trial: TrialRecord) -> str:
    """A cell's name for people: its family and knob values."""
    setting = describe(trial.config)
    return trial.family if setting == "as it is" else f"{trial.family} {setting}"


def labels(names: Iterable[str]) -> dict[str, str]:
    """Names as MLflow's parallel coordinates tell them apart: those that are alike in the first ten characters get a number in front.

    >>> labels(["digits", "digits-noise-0.2", "digits-noise-0.4"])
    {'digits': 'digits', 'digits-noise-0.2': '1 digits-noise-0.2', 'digits-noise-0.4': '2 digits-noise-0.4'}
    """
    alike: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        alike.setdefault(name[:_LABEL], []).append(name)
    return {name: f"{place} {name}" if len(group) > 1 else name for group in alike.values() for place, name in enumerate(group, start=1)}
