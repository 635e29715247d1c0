"""The export: files that run, and that give the recorded numbers again to the last digit."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
import yaml
from safetensors.torch import load_file
from typer.testing import CliRunner

from margin_core.data import DatasetConfig
from margin_core.knobs import Schedule
from margin_core.losses import build_loss
from margin_core.training import Cell, Recipe, Record, Trial
from margin_core.training.array import TrialArray
from studies.answer import open_answer
from studies.cli import app
from studies.export import ExportedTrial, export_study, loss_settings, read_export
from studies.export_graph import FILES, FORMATS, Format, write_graph
from studies.findings import Answer
from studies.flat_args import flat_args
from studies.plan import build_cell, confirm_trials
from studies.preflight import CallError
from studies.reporting.wording import mean_words
from studies.tracking.ledger import Ledger
from studies.workspace import StudyFiles, study_files
from tests.studies import builders
from tests.studies.conftest import NewLedger, train


@pytest.fixture(scope="module")
def found(trained_once: StudyFiles) -> Answer:
    return open_answer(trained_once.directory)


@pytest.fixture
def exported(trained: StudyFiles) -> Path:
    """The export of the digits."""
    return export_study(trained, data_root=None, dataset="digits")["digits"]


def config(directory: Path) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load((directory / "config.yaml").read_text())
    return data


def winning_key(found: Answer, dataset: str = "digits") -> str:
    """The first replicate of the winner."""
    (winner,) = [winner for winner in found.winners if winner.dataset == dataset]
    return f"confirm-{winner.cell_id}-0"


def test_every_dataset_is_exported_into_its_own_directory(trained: StudyFiles) -> None:
    written = export_study(trained, data_root=None)
    assert written == {name: trained.export / name for name in ("digits", "noisy")}
    for directory in written.values():
        files = ["README.md", "args.yaml", "config.yaml", "loss.yaml", "model.safetensors", "reproduce.sh", "requirements.txt"]
        files += ["verdict.json", "weights"]
        assert sorted(file.name for file in directory.iterdir()) == files
    dataset = {"name": "digits", "label_noise": 0.2, "noise": "symmetric", "label": "noisy"}
    assert config(written["noisy"])["cell"]["dataset"].items() > dataset.items()


@pytest.fixture(scope="module")
def fused(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of a study whose trials were trained in one array, from phase 4 on."""
    spec = builders.study(
        **{
            **builders.WITHOUT_SCREEN,
            "recipe": {"epochs": 3, "batch_size": 64},
            "families": {"ce": {"label_smoothing": 0}, "cos_face": {"s": 20}},
            "confirm": {"families": 1, "seeds": 2, "values": {"cos_face": [0.1]}},
        }
    )
    files = study_files(tmp_path_factory.mktemp("runs"), spec.name)
    files.directory.mkdir()
    array, planned = TrialArray(), confirm_trials(spec)
    for each in planned:
        array.join(Trial(each.cell, study_seed=spec.seed, replicate=each.replicate, phase=4))
    with builders.new_ledger(files.ledger, spec) as ledger:
        ledger.set_meta("runner", "fused")
        for each in planned:
            ledger.start(each)
        for _ in range(spec.recipe.epochs):
            for each, (_, report) in zip(planned, array.run_epoch(), strict=True):
                ledger.report(each.key, [{**builders.epoch(report.epoch, report.metrics), "phase": 4}])
        for each in planned:
            ledger.end(each.key, "finished")
    return export_study(files, data_root=None)["digits"]


def test_an_export_of_a_fused_trial_keeps_its_phase_and_is_repeated_in_an_array_to_the_last_digit(fused: Path) -> None:
    data = config(fused)
    assert (data["phase"], data["fused"]) == (4, True)
    said = json.loads(CliRunner().invoke(app, ["run", str(fused / "config.yaml"), "--json"]).stdout)
    assert said["metrics"] == said["recorded"] == data["result"]
    assert said["begins_alike"] is said["same"] is True


def test_a_fused_trial_that_begins_otherwise_than_by_rounding_is_not_the_same(fused: Path) -> None:
    data = config(fused)
    near = data["first_epoch"]["val_nll"] * (1 + 1e-4)  # within a percent, beyond the rounding of 17 steps
    result = CliRunner().invoke(app, ["run", str(fused / "config.yaml"), "--set", f"first_epoch.val_nll={near!r}", "--json"])
    said = json.loads(result.stdout)
    assert said["metrics"] == said["recorded"]
    assert said["begins_alike"] is said["same"] is False
    told = CliRunner().invoke(app, ["run", str(fused / "config.yaml"), "--set", f"first_epoch.val_nll={near!r}"]).stdout
    assert "Its first epoch is another one than was recorded, by more than rounding." in " ".join(told.split())


def test_a_fused_trial_that_is_changed_to_one_that_no_array_takes_is_run_alone(fused: Path) -> None:
    result = CliRunner().invoke(app, ["run", str(fused / "config.yaml"), "--set", "cell.recipe.ema=0.9", "--json"])
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["same"] is False


def test_metrics_are_repeated_to_the_last_digit_or_of_a_fused_trial_within_a_percent(fused: Path) -> None:
    read = ExportedTrial.from_dict(config(fused))
    assert read.repeats(0.5001, 0.5) and not read.repeats(0.6, 0.5) and not read.repeats(None, 0.5)
    assert not replace(read, fused=False).repeats(0.5001, 0.5)
    assert not read.begins_alike({}, 17)
    assert not replace(read, fused=False).begins_alike({name: value * (1 + 1e-7) for name, value in read.first_epoch.items()}, 17)


def test_the_backbone_s_weights_are_exported_by_their_digest_for_other_studies_to_name(
    trained: StudyFiles, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (weights,) = (exported / "weights").iterdir()
    cell = Cell.from_dict(config(exported)["cell"])
    assert weights.name.startswith(f"{cell.model}-digits-")
    kept = load_file(exported / "model.safetensors")
    monkeypatch.setenv("MARGIN_CACHE", str(tmp_path))
    frozen = replace(cell, weights=weights.name, backbone="frozen", dataset=DatasetConfig("digits", classes=4))
    trial = Trial(frozen, study_seed=0, replicate=0, data_root=exported)
    whole = Trial(cell, study_seed=0, replicate=0)
    whole.model.load_state_dict({name: tensor for name, tensor in kept.items() if not name.startswith("loss.")})
    with torch.no_grad():
        features = whole.model.eval()(Trial(replace(frozen, backbone="trained", weights="random"), study_seed=0, replicate=0).data.train_x)
    torch.testing.assert_close(trial.data.train_x.flatten(1), features.features)
    assert not trial.run_epoch().diverged
    export_study(trained, data_root=None, dataset="digits")
    assert list((exported / "weights").iterdir()) == [weights]


def test_files_follow_the_umask_and_the_script_can_be_run(trained: StudyFiles) -> None:
    before = os.umask(0o027)
    try:
        directory = export_study(trained, data_root=None, dataset="digits")["digits"]
    finally:
        os.umask(before)
    modes = {file.name: file.stat().st_mode & 0o777 for file in directory.rglob("*") if file.is_file()}
    assert modes.pop("reproduce.sh") == 0o750
    assert set(modes.values()) == {0o640}


def test_one_dataset_alone_can_be_exported(trained: StudyFiles) -> None:
    assert export_study(trained, data_root=None, dataset="noisy") == {"noisy": trained.export / "noisy"}
    assert [entry.name for entry in trained.export.iterdir()] == ["noisy"]


def test_the_configuration_is_the_winning_trial_with_every_digit(trained: StudyFiles, exported: Path, found: Answer) -> None:
    data = config(exported)
    with Ledger(trained.ledger, read_only=True) as ledger:
        cell_id = winning_key(found).removeprefix("confirm-").removesuffix("-0")
        cell = ExportedTrial.from_dict(data).cell
        assert (cell.cell_id, cell.to_dict()) == (cell_id, ledger.cell(cell_id))
        assert data["result"] == ledger.epochs(winning_key(found))[-1]["metrics"]
    assert (data["kind"], data["study_seed"], data["replicate"], data["threads"]) == ("trial", 0, 0, 1)


def test_running_the_configuration_gives_the_recorded_numbers_to_the_last_digit(exported: Path) -> None:
    result = CliRunner().invoke(app, ["run", str(exported / "config.yaml"), "--json"])
    assert result.exit_code == 0, result.stderr
    said = json.loads(result.stdout)
    assert said["metrics"] == said["recorded"] == config(exported)["result"]
    assert said["same"] is True


def test_running_the_configuration_in_a_new_process_gives_them_too(exported: Path) -> None:
    # Not told how many threads to use: the file says it.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    done = subprocess.run(
        [sys.executable, "-c", "from studies.cli import main; main()", "run", str(exported / "config.yaml"), "--json"],
        capture_output=True,
        text=True,
        env={**environment, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["metrics"]["val_accuracy"] == config(exported)["result"]["val_accuracy"]
    assert json.loads(done.stdout)["same"] is True


def test_a_trial_runs_with_the_threads_that_it_was_recorded_with(exported: Path) -> None:
    before = torch.get_num_threads()
    try:
        ExportedTrial.from_dict({**config(exported), "threads": before + 1}).open(None)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_a_person_sees_each_metric_beside_the_recorded_one(exported: Path) -> None:
    result = CliRunner().invoke(app, ["run", str(exported / "config.yaml")])
    assert result.exit_code == 0
    (line,) = [line for line in result.stdout.splitlines() if "val_accuracy" in line]
    assert line.count(repr(config(exported)["result"]["val_accuracy"])) == 2
    assert "yes" in line


def test_a_configuration_can_be_changed_as_it_is_run(exported: Path) -> None:
    result = CliRunner().invoke(app, ["run", str(exported / "config.yaml"), "--set", "cell.recipe.epochs=1", "--json"])
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["same"] is False


def test_the_loss_file_builds_the_loss(exported: Path, found: Answer) -> None:
    data = yaml.safe_load((exported / "loss.yaml").read_text())
    cell = Cell.from_dict(config(exported)["cell"])
    assert (data["family"], data["reads"]) == ({"cos_face": ("cos_face", "cosines"), "ce": ("ce", "logits")}[cell.family])
    loss = build_loss(data["family"], num_classes=10, **data["knobs"])
    scores, target = torch.linspace(-1, 1, 50).reshape(5, 10).sin(), torch.arange(5)
    trial = Trial(cell, study_seed=0, replicate=0)
    assert torch.equal(loss(scores, target), trial.loss(scores, target))


def test_a_schedule_is_told_by_its_last_value() -> None:
    spec = builders.study(confirm=None)
    scheduled = build_cell(
        spec,
        spec.datasets[0].config(),
        {
            "family": "gradient_decay",
            "gradient_decay.beta.kind": "linear",
            "gradient_decay.beta.start": 0.1,
            "gradient_decay.beta.end": 2.0,
            "gradient_decay.beta.length": 0.5,
            "zero_centroid.weight.kind": "cosine",
            "zero_centroid.weight.start": 1.0,
            "zero_centroid.weight.end": 0.0,
            "zero_centroid.weight.length": 1.0,
        },
    )
    assert isinstance(scheduled.knobs["beta"], Schedule)
    settings = loss_settings(scheduled)
    assert settings == {"family": "gradient_decay", "reads": "logits", "knobs": {"beta": 2.0}, "regularizers": {"zero_centroid": 0.0}}
    assert build_loss(settings["family"], num_classes=10, **settings["knobs"]).knobs["beta"] == 2.0


def test_the_verdict_goes_with_it(exported: Path, found: Answer) -> None:
    data = json.loads((exported / "verdict.json").read_text())
    whole = found.to_dict()
    assert data == {
        "winner": whole["winners"][0],
        "verdicts": [entry for entry in whole["verdicts"] if entry["dataset"] == "digits"],
        "study": "real",
        "metric": "val_accuracy",
    }


def test_the_weights_are_those_that_the_recorded_numbers_were_measured_with(exported: Path) -> None:
    data = config(exported)
    trial = Trial(Cell.from_dict(data["cell"]), study_seed=0, replicate=0)
    trial.model.load_state_dict(load_file(exported / "model.safetensors"))
    measured = trial.evaluate("val")
    assert measured == {name: data["result"][name] for name in measured}


@pytest.mark.parametrize("state", ["gone", "torn", "of an earlier epoch"])
def test_a_missing_checkpoint_is_trained_again_to_the_same_weights(trained: StudyFiles, exported: Path, found: Answer, state: str) -> None:
    from_checkpoint = load_file(exported / "model.safetensors")
    checkpoint = trained.checkpoints / f"{winning_key(found)}.pt"
    if state == "gone":
        checkpoint.unlink()
    elif state == "torn":
        checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    else:
        trial = ExportedTrial.from_dict(config(exported)).open(None)
        trial.run_epoch()
        trial.save(checkpoint)
    again = load_file(export_study(trained, data_root=None, dataset="digits")["digits"] / "model.safetensors")
    assert again.keys() == from_checkpoint.keys()
    assert all(torch.equal(again[name], from_checkpoint[name]) for name in again)


def test_a_loss_with_parameters_of_its_own_brings_them_along(tmp_path: Path) -> None:
    spec = builders.study(
        **{
            **builders.WITHOUT_SCREEN,
            "families": {"ce": {"label_smoothing": 0}, "two_scale": {"ratio": 10}},
            "confirm": {"families": 1, "seeds": 1, "values": {"two_scale": [1]}},
        }
    )
    files = study_files(tmp_path, "small")
    files.directory.mkdir()
    with builders.new_ledger(files.ledger, spec) as ledger:
        ce, two_scale = confirm_trials(spec)
        builders.write(ledger, ce, {"val_accuracy": 99.0}, "failed")
        train(ledger, files, spec, two_scale)
    exported = export_study(files, data_root=None)["digits"]
    data, tensors = config(exported), load_file(exported / "model.safetensors")
    assert {name for name in tensors if name.startswith("loss.")} == {"loss.R1", "loss.R2"}
    trial = Trial(Cell.from_dict(data["cell"]), study_seed=0, replicate=0)
    trial.model.load_state_dict({name: tensor for name, tensor in tensors.items() if not name.startswith("loss.")})
    trial.loss.load_state_dict({name.removeprefix("loss."): tensor for name, tensor in tensors.items() if name.startswith("loss.")})
    measured = trial.evaluate("val")
    assert measured == {name: data["result"][name] for name in measured}


def test_a_loss_that_needs_the_class_counts_is_told_with_them(tmp_path: Path) -> None:
    spec = builders.study(
        **{
            **builders.WITHOUT_SCREEN,
            "families": {"ce": {"label_smoothing": 0}, "ldam": {"s": 10}},
            "confirm": {"families": 1, "seeds": 1, "values": {"ldam": [0.3]}},
        }
    )
    files = study_files(tmp_path, "small")
    files.directory.mkdir()
    with builders.new_ledger(files.ledger, spec) as ledger:
        ce, ldam = confirm_trials(spec)
        builders.write(ledger, ce, {"val_accuracy": 99.0}, "failed")
        train(ledger, files, spec, ldam)
    data = yaml.safe_load((export_study(files, data_root=None)["digits"] / "loss.yaml").read_text())
    assert len(data["class_counts"]) == 10
    loss = build_loss(data["family"], num_classes=10, class_counts=data["class_counts"], **data["knobs"])
    trial = Trial(ldam.cell, study_seed=0, replicate=0)
    scores, target = torch.linspace(-1, 1, 50).reshape(5, 10).sin(), torch.arange(5)
    assert torch.equal(loss(scores, target), trial.loss(scores, target))


def test_a_dataset_without_a_result_is_told_with_those_that_have_one(trained: StudyFiles) -> None:
    with pytest.raises(CallError) as caught:
        export_study(trained, data_root=None, dataset="mnist")
    assert str(caught.value) == "nothing to export for 'mnist'; datasets with a result: digits, noisy"


def test_a_study_without_a_result_has_nothing_to_export(new_ledger: NewLedger) -> None:
    ledger = new_ledger(builders.study())
    with pytest.raises(CallError) as caught:
        export_study(StudyFiles(ledger.path.parent), data_root=None)
    assert str(caught.value) == "nothing to export; datasets with a result: none yet"


def test_a_configuration_of_an_earlier_release_which_left_out_defaults_is_still_read(exported: Path) -> None:
    data = config(exported)
    trial = ExportedTrial.from_dict(data)
    earlier = {name: data[name] for name in ("kind", "study_seed", "replicate", "threads", "result")}
    assert ExportedTrial.from_dict({**earlier, "cell": trial.cell.to_dict()}) == replace(trial, first_epoch={})


def test_a_configuration_has_every_key(exported: Path) -> None:
    data = config(exported)
    wanted = {field.name for field in fields(ExportedTrial)} | {"kind", "left_out"}
    assert set(data) == wanted
    assert set(data["cell"]["recipe"]) == {field.name for field in fields(Recipe)}
    assert set(data["record"]) == {field.name for field in fields(Record)}


def test_an_exported_trial_comes_back_whole_from_its_yaml(exported: Path) -> None:
    trial = ExportedTrial.from_dict(config(exported))
    assert trial.to_dict() == config(exported)
    assert ExportedTrial.from_dict(yaml.safe_load(yaml.safe_dump(trial.to_dict()))) == trial


def test_a_repeated_trial_records_what_the_study_recorded(tmp_path: Path) -> None:
    asked = {"train": True, "top_k": [3], "scales": True, "samples": 2}
    alone = {"families": {"ce": {"label_smoothing": 0}}, "confirm": {"families": 1, "seeds": 1}}
    spec = builders.study(**{**builders.WITHOUT_SCREEN, **alone, "record": asked})
    files = study_files(tmp_path, spec.name)
    files.directory.mkdir()
    with builders.new_ledger(files.ledger, spec) as ledger:
        for planned in confirm_trials(spec):
            train(ledger, files, spec, planned)
    exported = export_study(files, data_root=None)["digits"]
    assert config(exported)["record"].items() > asked.items()
    result = CliRunner().invoke(app, ["run", str(exported / "config.yaml"), "--json"])
    said = json.loads(result.stdout)
    assert said["same"] is True
    assert {"train_accuracy", "val_top_3_accuracy", "log_R"} < said["recorded"].keys()


BROKEN = {
    "cell={}": (
        "the configuration cannot be run: cell: its keys must be dataset, model, family, knobs, regularizers, recipe, "
        "and may be weights, backbone, got "
    ),
    "cell=digits": "the configuration cannot be run: ",
    "cell=null": "the configuration cannot be run: ",
    "cell.knobs=[1]": "the configuration cannot be run: cell: knobs must be a mapping, got [1]",
    "cell.family=gdss": "the configuration cannot be run: unknown loss family 'gdss'; known families: ce, gds",
    "cell.model=lenet5": "the configuration cannot be run: lenet5 needs images of at least 12x12 pixels, got 8x8",
    "cell.knobs.lamb=1": "unknown knob 'lamb'",
    "cell.dataset.name=digit": "the configuration cannot be run: dataset must be one of digits, mnist, ",
    "cell.dataset.label_noise=2": "the configuration cannot be run: digits: label_noise must be in [0, 1), got 2",
    "cell.recipe.epochs=0": "the configuration cannot be run: epochs must be a whole number >= 1, got 0",
    "cell.recipe.epoch=3": "the configuration cannot be run: recipe key must be one of epochs, ",
    "cell.regularizers.sample_margin=-1": "the configuration cannot be run: sample_margin: weight must be >= 0, got -1",
    "threads=0": "the configuration cannot be run: threads must be >= 1, got 0",
    "threads=many": "the configuration cannot be run: invalid literal for int() with base 10: 'many'",
    "replicate=null": "the configuration cannot be run: ",
    "record={top_k: [1]}": "the configuration cannot be run: top_k must be whole numbers >= 2, got 1",
    "record={tops: 5}": "the configuration cannot be run: ",
    "result=3": "the configuration cannot be run: ",
}


@pytest.mark.parametrize("change", BROKEN)
def test_a_broken_configuration_is_one_sentence_and_status_2(exported: Path, change: str) -> None:
    result = CliRunner().invoke(app, ["run", str(exported / "config.yaml"), "--set", change])
    assert result.exit_code == 2, result.exception
    assert BROKEN[change] in result.stderr
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert result.stdout == ""


@pytest.mark.parametrize("key", ["cell", "study_seed", "replicate", "threads"])
def test_a_configuration_without_a_key_is_told(exported: Path, key: str) -> None:
    path = exported / "config.yaml"
    path.write_text(yaml.safe_dump({name: value for name, value in config(exported).items() if name != key}))
    result = CliRunner().invoke(app, ["run", str(path)])
    assert (result.exit_code, result.stderr) == (2, f"error: the configuration lacks the key {key!r}\n")


def test_a_configuration_whose_data_are_not_here_is_told(exported: Path, tmp_path: Path) -> None:
    changes = ["--set", "cell.dataset.name=mnist", "--data-root", str(tmp_path / "nowhere")]
    result = CliRunner().invoke(app, ["run", str(exported / "config.yaml"), *changes])
    assert result.exit_code == 2
    assert result.stderr.startswith("error: mnist: train-images-idx3-ubyte")
    assert str(tmp_path / "nowhere") in result.stderr


def test_the_flat_arguments_name_what_timm_names_and_are_all_plain(exported: Path) -> None:
    args = yaml.safe_load((exported / "args.yaml").read_text())
    cell = Cell.from_dict(config(exported)["cell"])
    assert (args["opt"], args["lr"], args["epochs"], args["loss"]) == ("momentum", cell.recipe.lr, cell.recipe.epochs, cell.family)
    assert args["loss_m"] == cell.knobs["m"]
    assert args["input_size"] == [1, 8, 8]
    assert [name for name, value in args.items() if isinstance(value, dict)] == ["opt_kwargs"]


def test_a_schedule_is_flat_too_and_names_of_timm_stay_its_own(exported: Path) -> None:
    cell = Cell.from_dict(config(exported)["cell"])
    schedule = Schedule("linear", start=0.1, end=0.2, length=0.5)
    recipe = replace(cell.recipe, epochs=4, lr_schedule="step", lr_steps=(0.5,), warm_up=0.25, accumulate=2, ema=0.9)
    args = flat_args(Trial(replace(cell, knobs={"m": schedule, "s": 20.0}, recipe=recipe), study_seed=0, replicate=0))
    assert (args["loss_m_start"], args["loss_m_end"], args["loss_m_kind"]) == (0.1, 0.2, "linear")
    assert (args["sched"], args["decay_milestones"], args["warmup_epochs"], args["grad_accum_steps"]) == ("multistep", [2], 1.0, 2)
    assert args["batch_size"] == recipe.batch_size // 2


def test_the_card_tells_the_mean_with_its_interval_and_what_is_in_the_directory(exported: Path, found: Answer) -> None:
    (winner,) = [winner for winner in found.winners if winner.dataset == "digits"]
    card = (exported / "README.md").read_text()
    header = yaml.safe_load(card.split("---")[1])
    (metric,) = header["model-index"][0]["results"][0]["metrics"]
    assert metric["value"] == pytest.approx(winner.summary.mean)
    assert f"{mean_words(winner.summary)} %, 2 seeds" in card
    assert ("| Gain over ce, optimistic for being picked on these seeds |" in card) == (winner.optimistic_gain is not None)
    assert "| Gain over ce |" not in card
    for file in exported.iterdir():
        assert f"`{file.name}{'/' if file.is_dir() else ''}`" in card or file.name == "README.md"


def test_the_card_s_own_lines_give_the_network_that_was_trained(exported: Path, trained: StudyFiles) -> None:
    code = re.search(r"```python\n(.*?)```", (exported / "README.md").read_text(), re.DOTALL)
    assert code is not None
    done = subprocess.run(
        [sys.executable, "-c", code[1] + "print(tuple(scores.shape))"],
        cwd=exported,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout.strip() == "(1, 10)", done.stderr
    kept, network = load_file(exported / "model.safetensors"), read_export(exported)
    assert all(torch.equal(tensor, kept[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("name", FORMATS)
def test_the_network_s_graph_gives_its_scores(name: Format, trained: StudyFiles) -> None:
    directory = export_study(trained, data_root=None, dataset="noisy", formats=[name])["noisy"]
    images = torch.rand(5, 1, 8, 8)
    with torch.inference_mode():
        expected = read_export(directory)(images).scores
    if name == "onnx":
        session = onnxruntime.InferenceSession(directory / FILES[name])
        got = torch.from_numpy(session.run(None, {"images": images.numpy()})[0])
    else:
        got = torch.export.load(directory / FILES[name]).module()(images)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    assert FILES[name] in (directory / "README.md").read_text()
    export_study(trained, data_root=None, dataset="noisy")
    assert not (directory / FILES[name]).exists()


def test_a_graph_that_gives_other_scores_is_not_left_behind(exported: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = ExportedTrial.from_dict(config(exported))
    trial = data.open(None)
    monkeypatch.setattr("studies.export_graph.CLOSE", -1.0)
    with pytest.raises(CallError, match="of the largest apart from the network's; it was removed"):
        write_graph(trial, tmp_path, "torch")
    assert list(tmp_path.glob("model.*")) == []


def test_the_script_repeats_the_trial(exported: Path, tmp_path: Path) -> None:
    command = tmp_path / "margin-studies"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m studies "$@"\n')
    command.chmod(0o755)
    done = subprocess.run(
        ["sh", str(exported / "reproduce.sh"), "--json"],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["same"] is True
