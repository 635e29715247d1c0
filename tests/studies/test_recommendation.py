"""Where to start on a new dataset: by the studies of datasets like it, and with what may be wrong about that."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from margin_core.data import DatasetConfig
from margin_core.knobs import Knob
from studies.cli import app
from studies.descriptors import Network, describe_study, recorded_descriptors
from studies.evidence import Evidence, gather
from studies.plan import PlannedTrial
from studies.preflight import CallError
from studies.recommendation import _beyond, recommend
from studies.spec import study_from
from studies.tracking.ledger import Ledger
from studies.workspace import StudyFiles, study_files
from tests.studies.builders import WITHOUT_SCREEN, confirmed, new_ledger, noise, study, write_all

EYES = Network("mlp-16", "random")
DATASETS = [{"dataset": "digits", "label": "clean"}, {"dataset": "digits", "label_noise": 0.4, "label": "noisy"}]
CONFIRM = {"families": 2, "seeds": 5, "values": {"gds": [0, 0.5, 1, 1.5, 2], "cos_face": [0.1, 0.2, 0.3]}}
PEAK = {"clean": 1.0, "noisy": 2.0}


def score(trial: PlannedTrial) -> float:
    """gds is best at λ = 1 on clean labels and rises to the end on noisy ones; cos_face is worse than ce everywhere."""
    loss = {"gds": 1.0 - abs(float(trial.config.get("gds.lam", 0.0)) - PEAK[trial.dataset]), "cos_face": -5.0}
    return 90.0 + loss.get(trial.cell.family, 1.0 - PEAK[trial.dataset]) + noise(trial.key, scale=0.02)


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> StudyFiles:
    """A study of two datasets, with what a network sees in them."""
    spec = study(**{**WITHOUT_SCREEN, "name": "earlier", "datasets": DATASETS, "confirm": CONFIRM})
    files = study_files(tmp_path_factory.mktemp("runs"), "earlier")
    files.directory.mkdir()
    with new_ledger(files.ledger, spec) as ledger:
        write_all(ledger, confirmed(ledger, spec), score)
        describe_study(ledger, spec, [EYES], None)
    return files


def evidence(earlier: StudyFiles, config: DatasetConfig) -> Evidence:
    return gather(config, [earlier], None, lambda what: None)


def test_the_dataset_itself_is_the_nearest_and_what_was_best_there_is_where_to_start(earlier: StudyFiles) -> None:
    known = evidence(earlier, DatasetConfig("digits"))
    assert known.datasets == [("earlier", "clean"), ("earlier", "noisy")]
    assert known.precedents[0].distance == 0.0
    assert known.precedents[0].weight == 1.0
    found = recommend(DatasetConfig("digits"), known)
    (suggestion,) = found.suggestions
    assert (suggestion.family, suggestion.values) == ("gds", (0.0, 0.5, 1.0, 1.5))
    assert suggestion.gain is None  # without a screen every setting was picked on the seeds that measure it
    assert suggestion.optimistic_gain is not None and suggestion.optimistic_gain > 1.0


def test_a_dataset_with_noisy_labels_is_nearer_to_the_noisy_one_and_starts_at_its_end(earlier: StudyFiles) -> None:
    config = DatasetConfig("digits", label_noise=0.35)
    found = recommend(config, evidence(earlier, config))
    first = found.suggestions[0].because[0]
    assert (first.curve.dataset, first.curve.verdict.label) == ("noisy", "EDGE")
    assert 0.0 < first.distance < found.suggestions[0].because[1].distance
    assert found.suggestions[0].values[-1] > 2.0  # the end of the values tried was best, so beyond it


def test_the_study_that_is_written_can_be_run_and_says_why(earlier: StudyFiles) -> None:
    found = recommend(DatasetConfig("digits"), evidence(earlier, DatasetConfig("digits")))
    spec = study_from(yaml.safe_load(found.study_file))
    assert spec == found.spec
    assert list(spec.families) == ["ce", "gds"]
    assert spec.model.name == "mlp-8"
    assert spec.confirm is not None and spec.confirm.values["gds"] == [0.0, 0.5, 1.0, 1.5]
    assert "# gds: gain over ce" in found.study_file


def test_how_weak_the_evidence_is_is_told(earlier: StudyFiles) -> None:
    told = recommend(DatasetConfig("digits"), evidence(earlier, DatasetConfig("digits"))).weaknesses
    assert told[0].startswith(
        "It rests on 2 datasets, with and without dials, of digits; the nearest, clean of earlier, is 0.0 standard deviations away in"
    )
    assert told[1] == "digits is among them: that is what was found on it, and no evidence from others."
    assert "That the best λ of gds goes with what datasets are like has not been shown." in told


def test_a_family_that_nowhere_helped_is_recommended_only_where_there_is_no_other(earlier: StudyFiles) -> None:
    known = evidence(earlier, DatasetConfig("digits"))
    worse = Evidence(tuple(each for each in known.precedents if each.curve.family == "cos_face"), known.networks, known.spread, ())
    found = recommend(DatasetConfig("digits"), worse)
    assert [suggestion.family for suggestion in found.suggestions] == ["cos_face"]
    assert "On none of them has cos_face been shown to be better than ce." in found.weaknesses


def test_a_network_whose_weights_are_not_there_is_told_and_the_others_serve(earlier: StudyFiles, tmp_path: Path) -> None:
    shutil.copytree(earlier.directory, tmp_path / "earlier")
    files = study_files(tmp_path, "earlier")
    with Ledger(files.ledger) as ledger:
        (known,) = recorded_descriptors(ledger)
        gone = replace(known, network="mlp-16, mlp-16-digits-0123456789ab.safetensors")
        ledger.set_meta("descriptors", json.dumps([each.to_dict() for each in (known, gone)]))
    told = gather(DatasetConfig("digits"), [files], None, lambda what: None)
    assert told.networks == ("mlp-16, random weights",)
    (said,) = told.left_out
    assert said.startswith("earlier is compared without what it saw of ") and "mlp-16-digits-0123456789ab.safetensors" in said


@pytest.mark.parametrize(
    ("knob", "tried", "beyond"),
    [
        ({"search": (0.0, 4.0)}, [1.0, 2.0], 4.0),  # as far as it is searched
        ({"search": (0.0, 2.0)}, [1.0, 2.0], 3.0),  # a step
        ({"search": (0.0, 2.0), "high": 2.5}, [1.0, 2.0], 2.5),
        ({"search": (0.5, 2.0), "open_low": True}, [1.0, 0.5], 0.25),
        ({"search": (0.01, 1.0), "scale": "log"}, [0.1, 1.0], 10.0),
        ({"search": (1, 4), "integer": True}, [2.0, 4.0], 6.0),
    ],
)
def test_beyond_an_end_that_was_best_lies_a_value_that_may_be_tried(knob: dict[str, Any], tried: list[float], beyond: float) -> None:
    declared = Knob(
        **{"name": "k", "symbol": "k", "default": 1.0, "low": 0.0, "high": math.inf, "grid": (1.0, 2.0), "source": "a test", **knob}
    )
    assert _beyond(declared, tried) == pytest.approx(beyond)


def test_a_study_that_says_nothing_of_the_dataset_is_told_why(tmp_path: Path, earlier: StudyFiles) -> None:
    spec = study(**{**WITHOUT_SCREEN, "name": "blind", "confirm": CONFIRM})
    files = study_files(tmp_path, "blind")
    files.directory.mkdir()
    with new_ledger(files.ledger, spec) as ledger:
        write_all(ledger, confirmed(ledger, spec), lambda trial: 90.0 + noise(trial.key, scale=0.1))
    with pytest.raises(CallError, match=r"its datasets are not described .margin-studies describe --study blind"):
        gather(DatasetConfig("digits"), [files], None, lambda what: None)


@pytest.mark.parametrize("few", [{"classes": 3}, {"images_per_class": 20}])
def test_a_smaller_dataset_is_described_from_what_it_has_and_that_is_told(earlier: StudyFiles, few: dict[str, int]) -> None:
    config = DatasetConfig("digits", **few)
    known = evidence(earlier, config)
    assert known.datasets and known.precedents[0].distance > 0.0
    (sentence,) = known.smaller
    assert sentence.startswith("earlier looked at ") and f"of {config.key} there are " in sentence
    assert any(sentence in told for told in recommend(config, known).weaknesses)
    assert evidence(earlier, DatasetConfig("digits")).smaller == ()


def test_an_unknown_dataset_is_one_sentence_with_near_names_and_how_a_folder_is_given(earlier: StudyFiles) -> None:
    told = CliRunner().invoke(app, ["recommend", "digit", "--workdir", str(earlier.directory.parent)])
    assert told.exit_code == 2 and told.stderr.count("\n") == 1
    assert "there is no dataset 'digit': did you mean digits? " in told.stderr and "folder:<path below the data root>" in told.stderr


def test_gains_in_another_metric_are_not_weighed_with_the_rest(tmp_path: Path, earlier: StudyFiles) -> None:
    spec = study(**{**WITHOUT_SCREEN, "name": "of-nll", "metric": "val_nll", "sesoi": 0.1, "datasets": DATASETS, "confirm": CONFIRM})
    files = study_files(tmp_path, "of-nll")
    files.directory.mkdir()
    with new_ledger(files.ledger, spec) as ledger:
        write_all(ledger, confirmed(ledger, spec), score, "val_nll")
        describe_study(ledger, spec, [EYES], None)
    known = gather(DatasetConfig("digits"), [earlier, files], None, lambda what: None)
    assert {each.study for each in known.precedents} == {"earlier"}
    assert known.left_out == ("of-nll says nothing of it: it is about val_nll, others about val_accuracy",)


def test_the_command_writes_the_study_once(earlier: StudyFiles, tmp_path: Path) -> None:
    out = tmp_path / "next.yaml"
    call = ["recommend", "digits", "--workdir", str(earlier.directory.parent), "--out", str(out)]
    told = CliRunner().invoke(app, call)
    assert told.exit_code == 0, told.output
    assert "LOCATED" in told.output and "preview" in told.output
    study_from(yaml.safe_load(out.read_text()))
    again = CliRunner().invoke(app, call)
    assert again.exit_code == 2 and "is there already" in again.stderr
    plain = json.loads(CliRunner().invoke(app, [*call[:-1], str(tmp_path / "other.yaml"), "--json"]).stdout)
    assert plain["families"][0]["family"] == "gds"
    assert CliRunner().invoke(app, ["recommend", "digits", "--workdir", str(tmp_path)]).exit_code == 2
