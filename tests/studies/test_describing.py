"""The command that describes datasets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from margin_core.models import build_model, save_weights
from studies.cli import app
from tests.studies.builders import WITHOUT_SCREEN, accuracy, confirmed, new_ledger, study, write_all


@pytest.fixture
def weights(tmp_path: Path) -> str:
    """A file of weights in a data root, which is ``tmp_path``."""
    backbone = build_model("mlp-50-20", in_shape=(1, 8, 8), num_classes=10, reads="logits", seed_parts=(0, 0)).backbone
    return save_weights(backbone, tmp_path / "weights", "mlp").name


def test_datasets_are_told_side_by_side_for_people_and_for_machines(tmp_path: Path, weights: str) -> None:
    call = ["describe", "digits", "--model", "mlp-50-20", "--weights", weights, "--data-root", str(tmp_path), "--per-class", "20"]
    read = CliRunner().invoke(app, call)
    assert read.exit_code == 0, read.output
    assert "Intrinsic dimension" in read.stdout and "Pose sensitivity" in read.stdout
    assert "200 training examples of each dataset, of 10 classes" in read.stdout
    told = json.loads(CliRunner().invoke(app, [*call, "--json"]).stdout)[f"mlp-50-20, {weights}"]["digits"]
    assert (told["examples"], told["classes"]) == (200, 10)
    assert set(told["descriptors"]["label_noise"]) == {"value", "error"}
    assert 1.0 < told["dimension_by_scale"]["1"] < 64.0


def test_the_datasets_of_a_study_are_described_for_its_report(tmp_path: Path) -> None:
    spec = study(**{**WITHOUT_SCREEN, "datasets": [{"dataset": "digits", "images_per_class": 8}], "describe": [{"name": "mlp-8"}]})
    with new_ledger(tmp_path / "ledger.sqlite", spec) as ledger:
        write_all(ledger, confirmed(ledger, spec), accuracy)
    call = ["describe", "--study", str(tmp_path)]
    asked = json.loads(CliRunner().invoke(app, [*call, "--json"]).stdout)
    assert [each["network"] for each in asked["descriptors"]] == ["mlp-8, random weights"]
    read = CliRunner().invoke(app, [*call, "--model", "mlp-9", "--weights", "random"])
    assert read.exit_code == 0, read.output
    assert "in the eyes of the 2 networks" in read.stdout or "The 2 networks disagree" in read.stdout
    assert "Descriptors in the eyes of mlp-9, random weights" in (tmp_path / "report.html").read_text()
    told = json.loads((tmp_path / "verdicts.json").read_text())["topology"]["descriptors"]
    assert [each["network"] for each in told] == ["mlp-8, random weights", "mlp-9, random weights"]
    assert told[0]["datasets"]["digits-8each"]["label_noise"]["error"] > 0.0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["digits", "--model", "mlp-50-20"], "model 'mlp-50-20' has no pretrained weights"),
        (["digitz", "--model", "mlp-50-20"], "digitz"),
        (["digits", "--model", "mlp-50-20", "--weights", "random", "--per-class", "5000"], "classes must be at most 0"),
        ([], "name datasets, or a study with --study"),
        (["digits", "--study", "small"], "name datasets, or a study with --study"),
        (["digits"], "name the network whose features are read with --model"),
        (["--study", "small", "--per-class", "5"], "do not go with --study"),
    ],
)
def test_what_cannot_be_described_is_told_in_one_sentence(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(app, ["describe", *arguments])
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
