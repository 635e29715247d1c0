"""What MLflow's own page shows of a study, in a real browser."""

from __future__ import annotations

import html
import re
import subprocess
from pathlib import Path

import pytest

from studies.answer import answer
from studies.mirroring import send_study
from studies.reporting.section import runs_of
from studies.study import write_results
from studies.tracking.asking import connect
from studies.tracking.attachments import ALIAS
from studies.tracking.ledger import Ledger
from studies.tracking.page import cells_page
from studies.tracking.records import SUCCEEDED
from studies.workspace import StudyFiles, study_files
from tests.studies import builders
from tests.studies.reporting.test_browser import FLAGS
from tests.studies.tracking.servers import mlflow_server

NOISY = [{"dataset": "digits", "label_noise": noise, "label": f"digits-noise-{noise}"} for noise in (0.2, 0.4)]
SPEC = builders.study(**{**builders.WITHOUT_SCREEN, "description": "Which margin?", "datasets": NOISY})


@pytest.fixture
def files(tmp_path: Path) -> StudyFiles:
    """A confirmed study on two datasets whose names begin alike, with something exported."""
    files = study_files(tmp_path, SPEC.name)
    files.directory.mkdir()
    with builders.new_ledger(files.ledger, SPEC) as ledger:
        ledger.set_meta("study_id", "page")
        ledger.set_meta("complete", "yes")
        builders.write_all(ledger, builders.confirmed(ledger, SPEC), builders.accuracy)
        write_results(answer(ledger), files)
    for entry in SPEC.datasets:
        folder = files.export / entry.config().key / "weights"
        folder.mkdir(parents=True)
        (folder.parent / "config.yaml").write_text(f"dataset: {entry.label}\n")
        (folder / "backbone.safetensors").write_bytes(b"weights")
    return files


def exported(files: StudyFiles) -> dict[str, Path]:
    return {entry.config().key: files.export / entry.config().key for entry in SPEC.datasets}


@pytest.mark.slow
@pytest.mark.browser
def test_the_page_shows_each_cell_with_mean_and_interval_below_its_study(files: StudyFiles, tmp_path: Path, chromium: str) -> None:
    with mlflow_server(tmp_path) as server:
        assert send_study(files, SPEC, server.url) == ""
        client = connect(server.url)
        experiment = client.get_experiment_by_name(SPEC.name)
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id], max_results=1000)
        study = next(run for run in runs if run.data.tags["kind"] == "study")
        page = server.url + cells_page(experiment.experiment_id)
        options = [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=2600,1400", "--virtual-time-budget=60000", "--dump-dom"]
        shown = subprocess.run([chromium, *FLAGS, *options, page], check=True, capture_output=True, text=True, timeout=300).stdout
    cells = [run for run in runs if run.data.tags["kind"] == "cell"]
    assert len(cells) == 10
    for run in cells:
        assert run.data.tags["mlflow.parentRunId"] == study.info.run_id
        assert run.info.run_name in shown
        for name in ("mean", "ci_low", "ci_high"):
            assert f">{run.data.metrics[f'val_accuracy_{name}']}<" in shown
    assert experiment.tags["mlflow.note.content"].endswith("Which margin?")
    assert "Model training" in shown and "gds λ = 1" in shown and "1 digits-noise-0.2" in shown and "2 digits-noise-0.4" in shown


def test_the_embedded_store_has_figures_datasets_and_the_best_configurations_as_models(files: StudyFiles, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    for _ in range(2):
        assert send_study(files, SPEC, uri, exported(files)) == ""
    client = connect(uri)
    experiment = client.get_experiment_by_name(SPEC.name)
    assert experiment is not None
    (study,) = client.search_runs([experiment.experiment_id], "tags.kind = 'study'")
    figures = client.list_artifacts(study.info.run_id, "figures")
    assert [Path(file.path).name for file in figures] == [
        f"digits-noise-{noise}-{family}.png" for noise in (0.2, 0.4) for family in ("cos_face", "gds")
    ]
    image = client.download_artifacts(study.info.run_id, figures[0].path, str(tmp_path))
    assert Path(image).read_bytes().startswith(b"\x89PNG")
    assert {given.dataset.name for given in study.inputs.dataset_inputs} == set(exported(files))
    assert '"label_noise": 0.2' in study.inputs.dataset_inputs[0].dataset.source
    assert len({given.dataset.digest for given in study.inputs.dataset_inputs}) == 2
    for dataset, folder in exported(files).items():
        best = client.get_model_version_by_alias(f"small.{dataset}", ALIAS)
        assert (str(best.version), best.run_id) == ("1", study.info.run_id)
        kept = Path(str(best.source).removeprefix("file://"))
        assert {file.relative_to(kept): file.read_bytes() for file in kept.rglob("*") if file.is_file()} == {
            file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()
        }
    # Another configuration is another version, to which the alias moves.
    (exported(files)["digits-noise-0.2"] / "config.yaml").write_text("other\n")
    assert send_study(files, SPEC, uri, exported(files)) == ""
    assert str(client.get_model_version_by_alias("small.digits-noise-0.2", ALIAS).version) == "2"
    assert str(client.get_model_version_by_alias("small.digits-noise-0.4", ALIAS).version) == "1"
    with Ledger(files.ledger, read_only=True) as ledger:
        assert all(trial.status in SUCCEEDED for trial in ledger.trials())


@pytest.mark.slow
@pytest.mark.browser
def test_a_figure_of_the_report_links_to_the_runs_behind_it_and_to_no_others(files: StudyFiles, tmp_path: Path, chromium: str) -> None:
    with mlflow_server(tmp_path) as server:
        assert send_study(files, SPEC, server.url) == ""
        with Ledger(files.ledger, read_only=True) as ledger:
            found = answer(ledger)
        write_results(found, files)
        links = [html.unescape(link) for link in re.findall(r'<a href="([^"]+)">Runs</a>', files.report.read_text())]
        assert found.runs_page is not None
        curve = found.curves[0]
        link = found.runs_page.showing(runs_of(curve.dataset, curve.family, "confirm"), SPEC)
        assert link in links
        client = connect(server.url)
        experiment = client.get_experiment_by_name(SPEC.name)
        assert experiment is not None
        replicates = client.search_runs([experiment.experiment_id], "tags.kind = 'replicate'", max_results=1000)
        options = [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=2600,2400", "--virtual-time-budget=60000", "--dump-dom"]
        shown = subprocess.run([chromium, *FLAGS, *options, link], check=True, capture_output=True, text=True, timeout=300).stdout
    mine = {run.info.run_id for run in replicates if (run.data.tags["dataset"], run.data.tags["family"]) == (curve.dataset, curve.family)}
    assert 0 < len(mine) < len(replicates)
    assert {run.info.run_id for run in replicates if f"/runs/{run.info.run_id}" in shown} == mine
    assert f"{len(mine)} matching runs" in re.sub("<[^>]+>", "", shown)
