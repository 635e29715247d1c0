"""How the trials of a study run, by its file and by how they ran before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from studies.cli import app
from studies.plain_yaml import StudyFileError
from studies.plan import screen_trials
from studies.preflight import CallError, check_call
from studies.runner import choose_runner, recorded_runner
from tests.studies.builders import study
from tests.studies.conftest import NewLedger

PBT = {"searcher": "sobol", "pbt": {"population": 4, "interval": 1}}
ALONE: list[tuple[dict[str, Any], str]] = [
    ({"screen": PBT, "recipe": {"epochs": 2}}, "screen.pbt hands checkpoints from trial to trial"),
    ({"recipe": {"epochs": 1, "processes": 2}}, "recipe.processes is 2, and an array has one process"),
    ({"budget": {"trial": {"memory_gib": 2}}}, "budget.trial.memory_gib bounds the process of one trial"),
]


def test_a_file_that_leaves_it_open_gets_what_is_faster() -> None:
    assert choose_runner(study()).kind == "fused"
    assert choose_runner(study(model="linear-8")).kind == "fused"
    large = choose_runner(study(model="resnet18"))
    assert (large.kind, large.why) == ("solo", "resnet18 keeps a processor busy")
    assert choose_runner(study(resources={"gpu": 1})).kind == "solo"
    assert choose_runner(study(budget={"trial": {"hours": 1}})).kind == "solo"
    assert choose_runner(study(runner="solo")).kind == "solo"
    assert choose_runner(study(runner="fused", budget={"trial": {"hours": 1}})).kind == "fused"


@pytest.mark.parametrize(("changes", "why"), ALONE)
def test_what_cannot_be_fused_runs_by_itself_or_is_refused_with_the_reason(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    assert (choose_runner(study(**changes)).kind, choose_runner(study(**changes)).why) == ("solo", why)
    with pytest.raises(StudyFileError, match=f"^runner: fused is not possible: {why}$"):
        choose_runner(study(runner="fused", **changes))
    with pytest.raises(CallError, match="runner: fused is not possible"):
        check_call(study(runner="fused", **changes), workdir=tmp_path, address=None, tracking_uri=None, data_root=None)


def test_a_study_that_goes_on_runs_as_it_was_begun(new_ledger: NewLedger) -> None:
    fresh, begun, former = (new_ledger(study()) for _ in range(3))
    assert recorded_runner(study(), fresh).kind == "fused"
    assert recorded_runner(study(model="resnet18"), fresh).kind == "fused"  # was chosen, and still can be
    assert recorded_runner(study(recipe={"epochs": 1, "processes": 2}), fresh).kind == "solo"
    assert recorded_runner(study(runner="solo"), begun).kind == "solo"
    assert recorded_runner(study(), begun).kind == "solo"
    assert recorded_runner(study(runner="fused"), begun).kind == "fused"
    assert recorded_runner(study(), begun).kind == "fused"
    former.start(screen_trials(study())[0])  # as a release did that knew no arrays
    assert recorded_runner(study(), former).kind == "solo"


def test_a_preview_says_how_trials_would_run_and_why() -> None:
    def said(*options: str) -> str:
        return CliRunner().invoke(app, ["preview", "quickstart", *options]).output

    assert "runner: fused, for mlp-50-20 is too small to keep a processor busy" in said()
    assert "runner: solo, as the study file says" in said("--set", "runner=solo")
    assert '"kind": "fused"' in said("--json")
    assert "error: runner: fused is not possible" in said("--set", "runner=fused", "--set", "budget.trial.memory_gib=1")
