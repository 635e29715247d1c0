"""How MLflow's page shows a study: the table of its cells with their means, under an address of its own, and names that it tells apart.

MLflow opens an experiment on its page for traces of language models, whatever the experiment is. The address here opens it on the runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from studies.described import describe
from studies.spec import StudySpec
from studies.tracking.ledger import TrialRecord

VIEW_TAG = "mlflow.sharedViewState.cells"
"""The experiment's tag that MLflow's page reads a shared view from, the one called ``cells``."""
_LABEL = 10  # characters that MLflow's parallel coordinates show


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
