"""Files from elsewhere are data: nothing in a study file, an exported configuration or a checkpoint is run or leads out of its folder."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from margin_core.data import dataset_info
from margin_core.models import check_model
from studies.cli import app
from studies.plan import screen_trials
from tests.studies import builders

ROOT = Path(__file__).parent.parent
PACKAGES = ("margin_core", "search_spaces", "studies")
RUNS_CODE = {"pickle.load", "pickle.loads", "cloudpickle.load", "cloudpickle.loads", "joblib.load", "eval", "exec", "yaml.unsafe_load"}


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Every call in the three packages, and where it stands."""
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call):
                    yield f"{file.relative_to(ROOT)}:{node.lineno}", node


def test_no_file_is_read_in_a_way_that_runs_what_is_in_it() -> None:
    seen = set()
    for place, call in calls():
        name = ast.unparse(call.func)
        given = {word.arg: ast.unparse(word.value) for word in call.keywords}
        assert name not in RUNS_CODE, place
        assert name != "torch.load" or given.get("weights_only") == "True", place
        assert name not in ("np.load", "numpy.load") or given.get("allow_pickle", "False") == "False", place
        assert name != "yaml.load" or given.get("Loader") == "_Loader", place
        seen.add(name)
    assert {"torch.load", "np.load", "yaml.load"} <= seen


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.system [touch ran]", "!!python/object:pathlib.Path {}", "!!python/name:os.system"]
)
@pytest.mark.parametrize("kind", ["study", "exported"])
def test_a_file_that_asks_for_an_object_is_refused_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tag: str, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "given.yaml"
    file.write_text(f"kind: trial\ncell: {tag}\n" if kind == "exported" else f"name: {tag}\n")
    told = CliRunner().invoke(app, ["run", str(file)])
    assert told.exit_code == 2
    assert "not valid YAML at line" in told.stderr
    assert "Traceback" not in told.stderr
    assert not (tmp_path / "ran").exists()


OUTSIDE = {
    "name": ["../study", "/study", "a/b", ".."],
    "label": ["../data", "/data", "a/b", ".."],
    "weights": ["../net-0123456789ab.safetensors", "/tmp/net-0123456789ab.safetensors", "a/net-0123456789ab.safetensors"],
    "dataset": [
        f"{kind}:{path}" for kind in ("folder", "webdataset", "hf") for path in ("../photos", "/photos", "~/photos", "a/../../photos", "..")
    ],
    "model": ["timm:local-dir:/net", "timm:hf-hub:owner/net", "../net"],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in OUTSIDE.items() for value in values])
def test_a_study_file_names_nothing_outside_its_folders(tmp_path: Path, key: str, value: str) -> None:
    entry = {"dataset": value} if key == "dataset" else {"dataset": "digits", "label": value} if key == "label" else "digits"
    study = {**builders.STUDY, "datasets": [entry]}
    if key == "name":
        study["name"] = value
    if key == "model":
        study["model"] = value
    if key == "weights":
        study["model"] = {"name": "mlp-8", "weights": value}
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(study))
    told = CliRunner().invoke(app, ["run", str(file), "--workdir", str(tmp_path / "runs"), "--data-root", str(tmp_path)])
    assert told.exit_code == 2
    assert value in told.stderr.replace("\n", "")
    assert "Traceback" not in told.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("key", "value"), [(key, value) for key in ("label", "weights", "dataset", "model") for value in OUTSIDE[key]])
def test_an_exported_configuration_names_nothing_outside_the_data_root(tmp_path: Path, key: str, value: str) -> None:
    planned = screen_trials(builders.study())[0]
    cell = planned.cell.to_dict()
    if key in ("label", "dataset"):
        cell["dataset"] = {**cell["dataset"], {"label": "label", "dataset": "name"}[key]: value}
    else:
        cell[key] = value
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({"kind": "trial", "study_seed": 0, "replicate": 0, "threads": 1, "cell": cell}))
    told = CliRunner().invoke(app, ["run", str(file), "--data-root", str(tmp_path)])
    assert told.exit_code == 2
    assert value in told.stderr.replace("\n", "")
    assert "Traceback" not in told.stderr


def test_a_path_below_the_data_root_may_have_any_other_name() -> None:
    assert dataset_info("folder:my photos/of ..leaves").name == "folder:my photos/of ..leaves"
    check_model("mlp-8", weights="my.net+1-0123456789ab.safetensors")
