"""The presets that train backbones, and what `docs/backbones.md` tells to do with them, in this process and on a small copy of CIFAR-10."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from margin_core.training import Trial
from studies.export import export_study
from studies.plain_yaml import parse_yaml
from studies.plan import confirm_trials, screen_trials
from studies.preflight import check_call
from studies.spec import StudySpec, read_study, study_from
from studies.workspace import study_files
from tests.margin_core.data.small_copies import small_copies
from tests.studies import builders
from tests.studies.conftest import train

PAGE = (Path(__file__).parents[2] / "docs/backbones.md").read_text(encoding="utf-8")


def studied_frozen(weights: str) -> StudySpec:
    """The page's study of vehicles with these weights, one epoch, and as few images as the small copy has."""
    (written,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    data = parse_yaml(re.sub(r"weights: \S+,", f"weights: {weights},", written).replace("images_per_class: 500", "images_per_class: 4"))
    assert isinstance(data, dict)
    return study_from({**data, "recipe": {**data["recipe"], "epochs": 1}})


@pytest.mark.parametrize("preset", ["backbone", "backbone-rotation"])
def test_a_preset_s_weights_are_exported_and_frozen_by_another_study(preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARGIN_DATA", str(tmp_path))
    monkeypatch.setenv("MARGIN_CACHE", str(tmp_path / "cache"))
    with small_copies(tmp_path, "cifar10"):
        spec = read_study(preset, ["recipe.epochs=1", "recipe.batch_size=8"])
        files = study_files(tmp_path / "runs", preset)
        files.directory.mkdir(parents=True)
        with builders.new_ledger(files.ledger, spec) as ledger:
            (planned,) = confirm_trials(spec)
            train(ledger, files, spec, planned)
        (exported,) = export_study(files, data_root=tmp_path).values()
        assert f"margin-runs/{preset}/export/{exported.name}/weights/" in PAGE
        (weights,) = (exported / "weights").iterdir()
        (tmp_path / "weights").mkdir()
        shutil.copy(weights, tmp_path / "weights")

        study = studied_frozen(weights.name)
        check_call(study, workdir=tmp_path / "others", address=None, tracking_uri=None, data_root=tmp_path)
        trials = [Trial(planned.cell, study_seed=study.seed, replicate=planned.replicate) for planned in screen_trials(study)]
        assert all(name.startswith("head.") for trial in trials for name in trial.model.state_dict())
        (kept,) = (tmp_path / "cache" / "features").glob("*.npy")
        assert kept.name.startswith(spec.model.name)
        assert not trials[0].run_epoch().diverged

        learnt = load_file(weights)
        begun = Trial(planned.cell, study_seed=spec.seed, replicate=planned.replicate).model.backbone.state_dict()
        assert learnt.keys() == begun.keys()
        assert any(not torch.equal(learnt[name], begun[name]) for name in begun)


def test_the_two_presets_differ_in_what_is_learnt_and_in_nothing_else() -> None:
    labels, turns = (read_study(preset).model_dump() for preset in ("backbone", "backbone-rotation"))
    assert [turns["datasets"][0].pop("pretext"), labels["datasets"][0].pop("pretext")] == ["rotation", None]
    assert labels["recipe"].pop("epochs") == 4 * turns["recipe"].pop("epochs")  # as many steps: an epoch of turns is four times as long
    for key in ("name", "description"):
        del labels[key], turns[key]
    assert labels == turns
