"""What a search begins with: the cells that an earlier study has screened and that lie in the new study's space.

They are copied into the new study's ledger once, with the study that they come from, so the search goes on alike when that one has changed
or gone. The searcher is told of them; they are no trials, and nothing else reads them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from margin_core.data import DatasetConfig
from search_spaces import Config, Outcome, Space
from studies.claim import recorded_study
from studies.extension import differences
from studies.plan import build_cell
from studies.spec import StudySpec
from studies.tracking.ledger import Ledger
from studies.workspace import StudyError, StudyFiles, study_files

_KEY = "warm_start"
_UNNAMED: Config = {"lr": 0.1, "weight_decay": 0.0}  # what cells have where a study file gives no nuisance value


@dataclass(frozen=True)
class WarmStart:
    """What was taken over from an earlier study.

    Attributes:
        study: Its name.
        study_id: Its identity.
        cells: For each dataset the configurations, and the mean of each metric over the replicates that ran to their end.
    """

    study: str
    study_id: str
    cells: Mapping[str, tuple[tuple[Config, Outcome], ...]]

    @property
    def count(self) -> int:
        """How many cells there are."""
        return sum(len(cells) for cells in self.cells.values())

    def to_dict(self) -> dict[str, Any]:
        """Where it is from, and how much it was."""
        return {"study": self.study, "study_id": self.study_id, "cells": self.count}

    def __str__(self) -> str:
        return f"the search began with {self.count} cells that the screen of {self.study} had measured; they count nowhere here"


def recorded_warm_start(ledger: Ledger) -> WarmStart | None:
    """What a ledger holds of an earlier study; None where it was not asked for."""
    found = json.loads(ledger.meta(_KEY) or "null")
    if found is None:
        return None
    cells = {dataset: tuple((config, Outcome.of(*values)) for config, values in known) for dataset, known in found["cells"].items()}
    return WarmStart(found["study"], found["study_id"], cells)


def check_warm_start(spec: StudySpec, files: StudyFiles) -> None:
    """Look whether `take_warm_start` would find what is asked for, and write nothing.

    Raises:
        StudyError: There is no such study beside this one, or none of its cells is one of this study's.
    """
    if spec.screen is None or spec.screen.warm_start is None:
        return
    if files.ledger.is_file():
        with Ledger(files.ledger, read_only=True) as ledger:
            if ledger.meta(_KEY) is not None:
                return
    _found(spec, files)


def take_warm_start(spec: StudySpec, ledger: Ledger, files: StudyFiles) -> None:
    """Copy into ``ledger`` what the earlier study has screened, where the study file asks for it and it is not there yet.

    Raises:
        StudyError: As `check_warm_start`.
    """
    if spec.screen is not None and spec.screen.warm_start is not None and ledger.meta(_KEY) is None:
        ledger.set_meta(_KEY, json.dumps(_found(spec, files)))


def _found(spec: StudySpec, files: StudyFiles) -> dict[str, Any]:
    assert spec.screen is not None and spec.screen.warm_start is not None
    name, metrics = spec.screen.warm_start, [metric for metric, _ in spec.objectives]
    origin = study_files(files.directory.parent, name)
    if not origin.ledger.is_file():
        raise StudyError(f"screen.warm_start: there is no study {name!r} in {origin.directory.parent}")
    with Ledger(origin.ledger, read_only=True) as source:
        means, configs = _means(source.final_metrics("screen"), metrics), {}
        for trial in source.trials("screen"):
            configs[trial.cell_id] = trial.config
        cells = {
            dataset.key: [(config, means[cell_id]) for config, cell_id in _shared(spec, dataset, configs) if cell_id in means]
            for dataset in (entry.config() for entry in spec.datasets)
        }
        if not any(cells.values()):
            other = [entry for entry in differences(recorded_study(source), spec) if entry.key.partition(".")[0] in ("model", "recipe")]
            why = f" ({'; '.join(map(str, other))})" if other else ""
            raise StudyError(
                f"screen.warm_start: no cell of {name!r} with a whole trial and {' and '.join(metrics)} is a cell of this study{why}"
            )
        return {"study": name, "study_id": source.meta("study_id"), "cells": cells}


def _means(table: pd.DataFrame, metrics: list[str]) -> dict[str, list[float]]:
    """The means of whole replicates by cell; of cells that a rule stopped there is nothing that compares."""
    whole = table[table["status"] == "finished"].reindex(columns=["cell_id", *metrics]).dropna()
    means = whole.astype(dict.fromkeys(metrics, float)).groupby("cell_id")[metrics].mean()
    return {str(cell_id): [float(value) for value in row] for cell_id, row in zip(means.index, means.to_numpy(), strict=True)}


def _shared(spec: StudySpec, dataset: DatasetConfig, configs: Mapping[str, Config]) -> Iterator[tuple[Config, str]]:
    """Those of an earlier study's configurations that name the same cell in this one, as this one would write them."""
    space = spec.space()
    for cell_id, config in configs.items():
        mine = _written(space, config)
        if mine is not None and build_cell(spec, dataset, mine).cell_id == cell_id:
            yield mine, cell_id


def _written(space: Space, config: Config) -> Config | None:
    whole = _UNNAMED | config
    mine = {parameter.name: whole[parameter.name] for parameter in space.active(whole) if parameter.name in whole}
    try:
        space.check(mine)
    except ValueError:
        return None
    return mine
