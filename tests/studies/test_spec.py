"""The study file: everything that can be wrong with it is one sentence that names the key, the value and what is allowed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin_core.losses import list_losses
from studies.plain_yaml import StudyFileError, apply_overrides, parse_yaml
from studies.spec import list_presets, read_study, study_from
from studies.stage_sizes import stage_sizes
from tests.studies.builders import BETA_SCHEDULE, STUDY, TWO_DATASETS, WITHOUT_SCREEN, study


def sentence(*overrides: str, base: dict[str, Any] = STUDY) -> str:
    """What is said of the small study with overrides."""
    with pytest.raises(StudyFileError) as caught:
        study_from(apply_overrides(base, overrides))
    return str(caught.value)


# Sentences that are this project's own, whole.
SENTENCES = {
    "families.gdss={}": (f"families.gdss is not a known loss family (did you mean 'gds'?); known: {', '.join(list_losses())}"),
    "families.gm_softmax={alpha1: [0.5, 1], alpha2: [0.25, 0.75]}": (
        "families.gm_softmax has values that do not go together: "
        "gm_softmax: alpha1 must be >= 0.5 and alpha2 <= alpha1, got alpha1 = 0.5 and alpha2 = 0.75"
    ),
    "families.gm_softmax={alpha1: 0.5, alpha2: 0.5}": (
        "confirm: on the curve of alpha2, families.gm_softmax has values that do not go together: "
        "gm_softmax: alpha1 must be >= 0.5 and alpha2 <= alpha1, got alpha1 = 0.5 and alpha2 = 1.0"
    ),
    "families.gds.lamb=1": "families.gds.lamb is not a known knob or option of gds (did you mean 'lam'?); known: lam, tau, hardest",
    "families.gds.lam=-1": "families.gds.lam must be >= 0, got -1",
    "families.gds.lam=[1, 1]": "families.gds.lam: a choice's values must differ, got 1.0 twice",
    "families.gds.hardest=loose": "families.gds.hardest must be one of attached, detached or a list of them, got 'loose'",
    "families.gds.lam.x=1": "--set families.gds.lam.x: 'x' is not a place in a list of 3",
    "regularizers.sample_margin.weight=-1": "regularizers.sample_margin.weight must be >= 0, got -1",
    "nuisance.lr=0": "nuisance.lr must be > 0, got 0",
    "nuisance.lrr=1": "nuisance.lrr is not a known nuisance value (did you mean 'lr'?); known: lr, weight_decay",
    "datasets=[digit]": "datasets: unknown dataset 'digit' (did you mean 'digits'?)",
    "datasets=[digits, digits]": "datasets: 'digits' is listed twice; give one of them a label",
    "datasets=[digits, {dataset: digits, label_noise: 0.2, label: digits}]": "datasets: 'digits' is listed twice; give one of them a label",
    "datasets=[3]": "datasets.0: must be a mapping of keys to values, got 3",
    "datasets.0.label_noise=0.2": "--set datasets.0.label_noise: there is a plain value above 'label_noise'",
    "datasets.1=digits": "--set datasets.1: '1' is not a place in a list of 1",
    "datasets=[{dataset: digits, merge: superclasses}]": (
        "digits: merge must be left out, for there are not two superclasses to merge its classes into"
    ),
    "datasets=[{dataset: grocery, merge: groups, classes: 4}]": "grocery: classes must be at most 3, the number of its groups, got 4",
    "datasets=[{dataset: manifold, manifold: {dimension: 13}}]": (
        "datasets.0.manifold: manifold: dimension must be a whole number in [1, 12] if deformable, got 13"
    ),
    "datasets=[{dataset: manifold, manifold: {dimensions: 2}}]": "unknown key 'datasets.0.manifold.dimensions' (did you mean 'dimension'?)",
    "recipe.epoch=3": "unknown key 'recipe.epoch' (did you mean 'epochs'?)",
    "recipe={}": "the key 'recipe.epochs' is missing",
    "recipe.lr_schedule=step": "recipe: lr_steps must be given with lr_schedule step, got []",
    "recipe.sharpness=sam": "recipe: rho must be > 0 with sharpness sam, got None",
    "recipe.warm_up=1": (
        "recipe: warm_up must be 0, a whole number of epochs below epochs, or a share of the steps above 0 and below 1, got 1.0"
    ),
    "recipe.mixup=0.2": "with mixup there can be no sample_margin, for a mixed image has no one label to keep a margin to",
    "resources.gpu=1.5": "resources.gpu: must be a share of one GPU, up to 1, or a whole number of them, got 1.5",
    "recipe.precision=tf32": "recipe.precision: tf32 is of GPUs only, but resources.gpu is 0",
    "recipe.processes=65": "recipe: processes must be 1, or a whole number up to half of batch_size (128), got 65",
    "recipe=3": "recipe: must be a mapping of keys to values, got 3",
    "families=[ce]": "families: must be a mapping of keys to values, got ['ce']",
    "screen.asha.grace_epoch=1": "unknown key 'screen.asha.grace_epoch' (did you mean 'grace_epochs'?)",
    "screen.asha.rungs=1": "unknown key 'screen.asha.rungs' (known: grace_epochs, reduction)",
    "screen.trials=null": "screen: trials must be given with searcher sobol",
    "screen.warm_start=other": "screen: warm_start is of searchers that learn (tpe, gp, cma_es), got searcher sobol",
    "screen={searcher: tpe, trials: 9, warm_start: small}": "screen.warm_start must be another study than this one, got 'small'",
    "screen.trade_off=[val_ece]": "screen: trade_off needs searcher tpe, got sobol",
    "screen={searcher: tpe, trials: 9, trade_off: [val_ece], asha: {}}": (
        "screen: trade_off goes by whole trials, and does not go with asha, which stops some of them"
    ),
    "screen={searcher: tpe, trials: 9, trade_off: [val_accuracy]}": (
        "screen.trade_off must be of val_nll, val_ece, class_margin, val_sample_margin, got 'val_accuracy'"
    ),
    "screen={searcher: tpe, trials: 9, trade_off: [val_ece, val_ece]}": "screen.trade_off: 'val_ece' is listed twice",
    "screen.batch=4": "screen: batch is of searchers that learn (tpe, gp, cma_es), got searcher sobol",
    "screen={searcher: tpe, trials: 9, batch: 4, median: {}}": (
        "screen: batch goes by whole trials, and does not go with median, which stops some of them"
    ),
    "screen={searcher: cma_es, trials: 9, asha: {}}": (
        "screen: searcher cma_es goes by whole trials, and does not go with asha, which stops some of them"
    ),
    "confirm.value=3": "unknown key 'confirm.value' (did you mean 'values'?)",
    "confirm.families=0": "confirm.families: must be a whole number >= 1 or a list of families, got 0",
    "confirm.families=[]": "confirm.families: must be a whole number >= 1 or a list of families, got []",
    "confirm.families=[gds, 3]": "confirm.families: must be a whole number >= 1 or a list of families, got ['gds', 3]",
    "confirm.families=[gds, gds]": "confirm.families: 'gds' is listed twice",
    "confirm.families=[gsd]": "confirm: 'gsd' is not among the study's families (did you mean 'gds'?)",
    "confirm.values.gds=[0, -1]": "confirm.values.gds: lam must be >= 0, got -1.0",
    "confirm.values.gsd=[1]": "confirm: 'gsd' is not among the study's families (did you mean 'gds'?)",
    "confirm.values.ce=[0.1]": "confirm.values.ce: the family has no curve, got [0.1]",
    "families={gds: {}}": "families: ce must be among them, for confirm measures every gain against it",
    "metric=val_nll": "sesoi must be given with metric val_nll: only accuracy has a default (0.2 points)",
    "metric=test_accuracy": "metric: test_accuracy is measured on the test split, which never chooses; the metric may be val_accuracy",
    "metric=accuracy": (
        "metric must be one of val_accuracy, val_nll, val_ece, class_margin, val_sample_margin, "
        "got 'accuracy' (did you mean 'val_accuracy'?)"
    ),
    "metric=val_top_5_accuracy": (
        "metric must be one of val_accuracy, val_nll, val_ece, class_margin, val_sample_margin, "
        "got 'val_top_5_accuracy' (did you mean 'val_accuracy'?)"
    ),
    "record={tests: true}": "unknown key 'record.tests' (did you mean 'test'?)",
    "record={top_k: [5, 5]}": "record.top_k: 5 is listed twice",
    "record={top_k: [5, 11]}": "record, on digits: top_k must be at most 10, the number of classes, got 11",
    "model=resnet": (
        "model must be one of mlp-<width>[-<width>...], linear-<width>, lenet5, resnet18, resnet34, resnet32, vgg16, mobilenet_v1, "
        "wrn-<depth>-<width>, timm:<name>, got 'resnet'"
    ),
    "model={name: mlp-5, weights: pretrained}": ("model 'mlp-5' has no pretrained weights; weights must be random or a file's name"),
    "model={name: mlp-5, backbone: frozen}": "model: a frozen backbone needs weights, pretrained or a file's name, for it never learns",
    "model={name: mlp-5, weight: pretrained}": "unknown key 'model.weight' (did you mean 'weights'?)",
    "model=3": "model: must be a mapping of keys to values, got 3",
    "model=vgg16": "vgg16 needs images of at least 28x28 pixels, got 8x8",
    "model=lenet5": "lenet5 needs images of at least 12x12 pixels, got 8x8",
    "a..b=1": (
        "unknown key 'a' (known: name, description, seed, datasets, model, families, regularizers, nuisance, recipe, record, "
        "describe, screen, confirm, zoom, test, metric, sesoi, alpha, strict, runner, resources, tolerance, failures, budget)"
    ),
    "noequals": "--set takes key=value, got 'noequals'",
    "=3": "--set takes key=value, got '=3'",
    "name=[1": "not valid YAML at line 1, column 3: expected ',' or ']', but got '<stream end>'",
}

# Where pydantic words the rest: the key, what is allowed and what was given must be told.
WORDS = {
    "recipe.epochs=0": ("recipe.epochs: ", "greater than or equal to 1", "got 0"),
    "recipe.epochs=many": ("recipe.epochs: ", "integer", "got 'many'"),
    "recipe.epochs='3'": ("recipe.epochs: ", "integer", "got '3'"),
    "recipe.epochs=true": ("recipe.epochs: ", "integer", "got True"),
    "recipe.clip_norm=yes": ("recipe.clip_norm: ", "number", "got True"),
    "recipe.momentum=1": ("recipe.momentum: ", "less than 1", "got 1"),
    "recipe.optimizer=lion": ("recipe.optimizer: ", "'sgd' or 'adamw'", "got 'lion'"),
    "record={train: 1}": ("record.train: ", "boolean", "got 1"),
    "record={top_k: [1]}": ("record.top_k.0: ", "greater than or equal to 2", "got 1"),
    "record={close_enough: [1.5]}": ("record.close_enough.0: ", "less than or equal to 1", "got 1.5"),
    "record={first_steps: -1}": ("record.first_steps: ", "greater than or equal to 0", "got -1"),
    "record={samples: 101}": ("record.samples: ", "less than or equal to 100", "got 101"),
    "record={every_steps: 0}": ("record.every_steps: ", "greater than or equal to 1", "got 0"),
    "recipe.lr_steps=[a]": ("recipe.lr_steps.0: ", "number", "got 'a'"),
    "recipe.augment=flip": ("recipe.augment: ", "'none', 'crop_flip' or 'crop_flip_rotate'", "got 'flip'"),
    "screen.searcher=bayes": ("screen.searcher: ", "'grid', 'sobol', 'random', 'tpe', 'gp' or 'cma_es'", "got 'bayes'"),
    "screen.trials=0": ("screen.trials: ", "greater than or equal to 1", "got 0"),
    "screen.asha.reduction=1": ("screen.asha.reduction: ", "greater than or equal to 2", "got 1"),
    "confirm.seeds=2.5": ("confirm.seeds: ", "integer", "got 2.5"),
    "confirm.values.gds=grid": ("confirm.values.gds: ", "list", "got 'grid'"),
    "confirm.values.gds=[]": ("confirm.values.gds: ", "at least 1", "got []"),
    "confirm.values.gds=[a]": ("confirm.values.gds.0: ", "number", "got 'a'"),
    "datasets=digits": ("datasets: ", "list", "got 'digits'"),
    "datasets=[]": ("datasets: ", "at least 1", "got []"),
    "datasets=[{dataset: digits, label_noise: 1}]": ("datasets.0.label_noise: ", "less than 1", "got 1"),
    "datasets=[{dataset: digits, imbalance: {kind: step, ratio: 0.5}}]": (
        "datasets.0.imbalance.ratio: ",
        "greater than or equal to 1",
        "0.5",
    ),
    "datasets=[{dataset: digits, imbalance: {kind: step, ratio: .inf}}]": ("datasets.0.imbalance.ratio: ", "finite number", "got inf"),
    "datasets=[{dataset: digits, imbalance: {kind: steep, ratio: 2}}]": (
        "datasets.0.imbalance.kind: ",
        "'long_tailed' or 'step'",
        "got 'steep'",
    ),
    "datasets=[{dataset: digits, imbalance: {kind: step, ratios: 2}}]": ("datasets.0.imbalance.ratios", "did you mean 'ratio'"),
    "datasets=[{dataset: digits, imbalance: 100}]": ("datasets.0.imbalance: ", "must be a mapping of keys to values", "got 100"),
    "datasets=[{dataset: digits, images_per_class: 0}]": ("datasets.0.images_per_class: ", "greater than or equal to 1", "got 0"),
    "datasets=[{dataset: digits, images_per_class: 2.5}]": ("datasets.0.images_per_class: ", "integer", "got 2.5"),
    "datasets=[{dataset: digits, classes: 1}]": ("datasets.0.classes: ", "greater than or equal to 2", "got 1"),
    "datasets=[{dataset: digits, classes: 11}]": ("digits: classes must be at most 10", "got 11"),
    "datasets=[{dataset: digits, classes: 3, choose: last}]": ("datasets.0.choose: ", "'first', 'nearest' or 'farthest'", "got 'last'"),
    "datasets=[{dataset: digits, clutter: 1}]": ("datasets.0.clutter: ", "less than 1", "got 1"),
    "datasets=[{dataset: digits, clutter: 0.01}]": ("digits: clutter must be 0 or in [0.0625, 0.9375]", "got 0.01"),
    "datasets=[{dataset: digits, deform: 1.5}]": ("datasets.0.deform: ", "less than or equal to 1", "got 1.5"),
    "datasets=[{dataset: digits, pretext: jigsaw}]": ("datasets.0.pretext: ", "'rotation'", "got 'jigsaw'"),
    "datasets=[{dataset: digits, pretext: rotation, classes: 4}]": ("digits: classes must be left out with a pretext", "got 4"),
    "datasets=[{dataset: market1501, pretext: rotation}]": ("market1501: pretext must be left out", "256x128", "not square"),
    "datasets=[{dataset: digits, validation: 1}]": ("datasets.0.validation: ", "must be in [0, 1) or official", "got 1"),
    "datasets=[{dataset: digits, validation: offical}]": ("datasets.0.validation: ", "must be in [0, 1) or official", "got 'offical'"),
    "datasets=[{dataset: digits, validation: official}]": ("digits: validation must be in", "there is no official validation split"),
    "datasets=[{dataset: digits, size: 16}]": ("digits: size must be left out, for its images have one size", "got 16"),
    "datasets=[{dataset: cub, size: 0}]": ("datasets.0.size: ", "greater than or equal to 1", "got 0"),
    "datasets=['folder:']": ("dataset must be written folder:<path>", "got 'folder:'"),
    "datasets=['digits:8x8']": ("dataset must be written digits", "got 'digits:8x8'"),
    "datasets=['folders:here']": ("datasets: ", "unknown dataset 'folders:here'"),
    "datasets=['folder:a b', 'folder:a/b']": ("datasets: ", "'folder-a-b' is listed twice"),
    "datasets=[{dataset: digits, noise: pink}]": ("datasets.0.noise: ", "'symmetric' or 'nearest'", "got 'pink'"),
    "metric=3": ("metric: ", "string", "got 3"),
    "sesoi=0": ("sesoi: ", "greater than 0", "got 0"),
    "sesoi=.nan": ("sesoi: ", "greater than 0", "got nan"),
    "strict=1": ("strict: ", "valid boolean", "got 1"),
    "alpha=0.5": ("alpha: ", "less than 0.5", "got 0.5"),
    "seed=-1": ("seed: ", "greater than or equal to 0", "got -1"),
    "name=a/b": ("name: ", "match pattern", "got 'a/b'"),
    "name=3": ("name: ", "string", "got 3"),
    "resources.gpu=.inf": ("resources.gpu: ", "finite number", "got inf"),
    "resources.cpu=.inf": ("resources.cpu: ", "finite number", "got inf"),
    "resources.gpu=-1": ("resources.gpu: ", "greater than or equal to 0", "got -1"),
    "tolerance.failed_share=2": ("tolerance.failed_share: ", "less than or equal to 1", "got 2"),
    "families.gds.lam=much": ("families.gds.lam must be", "a number (>= 0)", '"grid", "search"', "got 'much'"),
    "nuisance.lr={low: 0.1, high: 0.01}": ("nuisance.lr", "low < high", "low=0.1, high=0.01"),
    "regularizers.sample_margins={}": ("regularizers.sample_margins", "did you mean 'sample_margin'", "zero_centroid"),
    "model='timm:no_such_net'": ("model", "timm", "no_such_net"),
    "name={": ("not valid YAML", "line 1"),
    "name=2026-13-45": ("not valid YAML", "month"),
    "name=!!int three": ("not valid YAML", "three"),
    "name=!!python/object:os.system x": ("not valid YAML", "line 1", "os.system"),
}


@pytest.mark.parametrize("override", SENTENCES)
def test_a_bad_value_is_one_sentence(override: str) -> None:
    assert sentence(override) == SENTENCES[override]


@pytest.mark.parametrize("override", WORDS)
def test_a_bad_value_is_told_with_its_key_and_what_is_allowed(override: str) -> None:
    told = sentence(override)
    assert [word for word in WORDS[override] if word not in told] == []
    assert "\n" not in told
    assert "Section" not in told and "instance of" not in told


def test_processes_of_a_trial_share_no_gpu() -> None:
    with pytest.raises(StudyFileError) as caught:
        study(recipe={"epochs": 1, "processes": 2}, resources={"gpu": 0.5})
    assert str(caught.value) == "resources.gpu must be 0 or 1 with recipe.processes 2, got 0.5"


@pytest.mark.parametrize("key", ["name", "datasets", "model", "families", "recipe"])
def test_a_missing_key_is_named(key: str) -> None:
    without = {name: value for name, value in STUDY.items() if name != key}
    assert sentence(base=without) == f"the key {key!r} is missing"


def test_a_misspelt_key_is_told_before_the_missing_one() -> None:
    misspelt = {"recipes" if name == "recipe" else name: value for name, value in STUDY.items()}
    assert sentence(base=misspelt) == "unknown key 'recipes' (did you mean 'recipe'?)"


def test_a_study_without_screen_and_confirm_asks_for_one() -> None:
    assert sentence("screen=null", "confirm=null") == "a study needs a screen or a confirm section"


@pytest.mark.parametrize("without_grid", [("screen={searcher: grid}",), ("screen=null",)])
def test_a_range_is_refused_where_a_grid_is_needed(without_grid: tuple[str, ...]) -> None:
    told = sentence(*without_grid, "nuisance.lr={low: 0.01, high: 0.1}")
    assert told == "lr has no grid: it is the range [0.01, 0.1]; give a list of values instead"


@pytest.mark.parametrize(("data", "kind"), [(None, "NoneType"), (3, "int"), ("digits", "str"), ([STUDY], "list")])
def test_a_file_that_is_no_mapping_is_refused(data: object, kind: str) -> None:
    with pytest.raises(StudyFileError) as caught:
        study_from(data)
    assert str(caught.value) == f"a study file is a mapping of keys to values, got {kind}"


def test_a_syntax_error_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("name: small\ndatasets: [digits]\nrecipe: {epochs: 1\nmodel: mlp-8\n")
    with pytest.raises(StudyFileError) as caught:
        read_study(str(path))
    assert str(caught.value) == "not valid YAML at line 4, column 6: expected ',' or '}', but got ':'"


def test_a_key_that_stands_twice_is_told_with_its_line() -> None:
    with pytest.raises(StudyFileError) as caught:
        parse_yaml("families:\n  gds: {lam: 1}\n  ce: {}\n  gds: {lam: 2}\n")
    assert str(caught.value) == "not valid YAML at line 4, column 3: the key 'gds' stands twice"


def test_brackets_without_end_are_no_crash() -> None:
    with pytest.raises(StudyFileError, match="not valid YAML"):
        parse_yaml("[" * 1000)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(bytes(range(256)))
    with pytest.raises(StudyFileError) as caught:
        read_study(str(path))
    assert str(caught.value).startswith(f"{path} cannot be read as text: ")
    assert "\n" not in str(caught.value)


def test_an_unknown_preset_is_told_with_the_nearest() -> None:
    with pytest.raises(StudyFileError) as caught:
        read_study("quickstrat")
    assert (
        str(caught.value)
        == f"no preset and no file is called 'quickstrat' (did you mean 'quickstart'?); presets: {', '.join(list_presets())}"
    )


@pytest.mark.parametrize("text", ["1e-4", "1E-4", "0.1e-3", ".1e-3", "+1e-4", "100e-6"])
def test_a_power_of_ten_is_a_number(text: str) -> None:
    assert parse_yaml(f"lr: {text}") == {"lr": pytest.approx(1e-4)}
    assert study_from(apply_overrides(STUDY, [f"nuisance.lr={text}"])).nuisance == {"lr": pytest.approx(1e-4)}


@pytest.mark.parametrize("text", ["e4", "1e", "-e4", "1e4x", "digits"])
def test_a_word_stays_a_word(text: str) -> None:
    assert parse_yaml(f"name: {text}") == {"name": text}


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_is_read_as_python_writes_it(value: float) -> None:
    assert parse_yaml(f"[{value!r}, {value:e}]") == [value, float(f"{value:e}")]


def test_overrides_set_nested_keys_places_and_new_keys_and_change_nothing_else() -> None:
    base = {"datasets": ["digits", {"dataset": "digits", "label_noise": 0.2}], "screen": {"searcher": "sobol", "trials": 3}}
    before = json.dumps(base)
    changed = apply_overrides(
        base, ["screen.trials=20", "datasets.1.label_noise=0.4", "datasets.0=mnist", "recipe.epochs=5", "name=other", "screen.asha={}"]
    )
    assert changed == {
        "datasets": ["mnist", {"dataset": "digits", "label_noise": 0.4}],
        "screen": {"searcher": "sobol", "trials": 20, "asha": {}},
        "recipe": {"epochs": 5},
        "name": "other",
    }
    assert json.dumps(base) == before


def test_a_later_override_wins_and_an_equals_sign_may_stand_in_the_value() -> None:
    assert apply_overrides({}, ["seed=1", "seed=2", "description='a=b'"]) == {"seed": 2, "description": "a=b"}


def test_an_override_reaches_below_a_family_without_a_body() -> None:
    assert apply_overrides({"families": {"gds": None}}, ["families.gds.lam=[0, 1]"]) == {"families": {"gds": {"lam": [0, 1]}}}


WORD = st.text(st.characters(codec="ascii"))


@given(st.recursive(st.integers() | WORD, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORD, inner, max_size=3)))
def test_an_override_of_a_new_section_is_what_its_yaml_says(value: object) -> None:
    assert apply_overrides({"a": 1}, [f"b.c={json.dumps(value)}"]) == {"a": 1, "b": {"c": value}}


@pytest.mark.parametrize("preset", list_presets())
def test_every_preset_can_be_read_and_planned(preset: str) -> None:
    spec = read_study(preset)
    assert spec.name == preset
    assert spec.description
    assert [size.trials for size in stage_sizes(spec) if size.trials < 1] == []


@pytest.mark.parametrize("preset", ["topology-dial", "topology-grocery"])
def test_the_short_form_of_a_preset_asks_the_same_of_a_smaller_network(preset: str) -> None:
    whole, quick = read_study(preset), read_study(preset, ["confirm.seeds=4"], quick=True)
    assert quick.name == f"{preset}-quick"
    assert quick.families == whole.families and quick.confirm and whole.confirm and quick.confirm.values == whole.confirm.values
    assert quick.confirm.tuned == whole.confirm.tuned == "value" and quick.confirm.seeds == 4
    assert quick.resources.gpu == 0 and quick.model.weights == "random"
    assert [network.weights for network in whole.describe] == ["pretrained", "pretrained"]


def test_the_curves_of_the_topology_presets_begin_at_cross_entropy() -> None:
    for preset in ("topology-dial", "topology-grocery"):
        confirm = read_study(preset).confirm
        assert confirm and min(confirm.values["gds"]) == 0.0 and max(confirm.values["gds"]) == 3.0
        assert 1.0 in confirm.values.get("gradient_decay", [1.0])


def test_a_file_without_a_short_form_says_so(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    for data, words in {
        json.dumps(STUDY): f"{path} has no short form: it has no key quick",
        json.dumps({**STUDY, "quick": ["a"]}): "quick must be a mapping of dotted keys to values, got ['a']",
    }.items():
        path.write_text(data)
        with pytest.raises(StudyFileError) as error:
            read_study(str(path), quick=True)
        assert str(error.value) == words
    path.write_text(json.dumps({**STUDY, "quick": {"recipe.epochs": 2, "nuisance.lr": [0.1]}}))
    assert read_study(str(path)) == study()
    assert read_study(str(path), quick=True) == study(name="small-quick", recipe={"epochs": 2}, nuisance={"lr": [0.1]})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "confirm.tuned: value needs a screen with searcher grid, which tries every value of a curve"),
        (WITHOUT_SCREEN, "confirm.tuned: value needs a screen with searcher grid, which tries every value of a curve"),
        (
            {"screen": {"searcher": "grid"}, "families": {"ce": {}, "gds": {"lam": [0, 2], "tau": 1}}},
            "confirm.tuned: value needs families.gds.lam to list 1, a value of the curve",
        ),
    ],
)
def test_values_can_have_nuisance_values_of_their_own_only_where_the_screen_tries_each(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(StudyFileError) as error:
        study(**changes, confirm={"families": ["gds"], "values": {"gds": [0, 1]}, "tuned": "value"})
    assert str(error.value) == words


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"describe": [{"name": "mlp-8"}, {"name": "mlp-8"}]}, "describe: 'mlp-8' with weights 'random' is listed twice"),
        ({"describe": [{"name": "lenet5"}]}, "lenet5 needs images of at least 12x12 pixels, got 8x8"),
        (
            {"describe": [{"name": "mlp-8"}], "datasets": [{"dataset": "digits", "pretext": "rotation"}]},
            "describe: what an image shows is not asked with a pretext, got 'digits-rotation'",
        ),
        ({"describe": [{"name": "mlp-8", "wieghts": "random"}]}, "unknown key 'describe.0.wieghts' (did you mean 'weights'?)"),
    ],
)
def test_networks_that_cannot_describe_the_datasets_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(StudyFileError) as error:
        study(**changes)
    assert str(error.value) == words


def test_a_study_file_is_read_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps(STUDY))
    assert read_study(str(path), ["seed=7"]) == study(seed=7)


ROUND_TRIPS: dict[str, dict[str, Any]] = {
    "small": {},
    "without a screen": WITHOUT_SCREEN,
    "datasets with dials": {"datasets": [*TWO_DATASETS, {"dataset": "digits", "label_noise": 0.1, "noise": "nearest"}]},
    "datasets of unequal classes": {
        "datasets": [{"dataset": "digits", "images_per_class": 50, "imbalance": {"kind": "long_tailed", "ratio": 20}}]
    },
    "datasets of few classes": {"datasets": [{"dataset": "digits", "classes": 4, "choose": "nearest"}]},
    "datasets of turned pictures": {"datasets": ["digits", {"dataset": "digits", "pretext": "rotation"}]},
    "datasets of other splits": {"datasets": ["digits", {"dataset": "digits", "validation": 0.02}]},
    "datasets with their official validation split": {
        "datasets": [
            {"dataset": "oxford_flowers", "validation": "official", "label_noise": 0.2},
            {"dataset": "folder:a", "validation": "official"},
        ]
    },
    "datasets of which nothing validates": {"datasets": [{"dataset": "digits", "validation": 0}], "metric": "class_margin", "sesoi": 1},
    "datasets of other pictures": {"datasets": [{"dataset": "digits", "clutter": 0.25, "deform": 1}]},
    "a schedule, ranges and None": {
        "families": {"ce": None, "gradient_decay": {"beta": BETA_SCHEDULE, "tau": {"low": 0.5, "high": 2}}},
        "nuisance": {"lr": {"low": 1e-3, "high": 1, "scale": "log"}},
        "confirm": None,
        "recipe": {"epochs": 2, "clip_norm": None},
    },
    "every section": {
        "screen": {"searcher": "tpe", "trials": 5, "seeds": 2, "asha": {"grace_epochs": 2}},
        "confirm": {"families": ["gds"], "seeds": 2, "values": {"gds": [0, 0.5]}},
        "record": {"train": True, "test": True, "top_k": [5], "close_enough": [0, 0.5], "first_steps": 3, "samples": 9},
        "metric": "val_nll",
        "sesoi": 1e-3,
        "alpha": 0.1,
        "resources": {"cpu": 0.5, "gpu": 0.25},
        "tolerance": {"failed_share": 0, "consecutive": 2, "retries": 0},
        "budget": {"trials": 9, "hours": 0.5, "device_hours": 2},
    },
}


@pytest.mark.parametrize("changes", ROUND_TRIPS.values(), ids=list(ROUND_TRIPS))
def test_a_study_comes_back_whole_from_the_ledgers_json(changes: dict[str, Any]) -> None:
    spec = study(**changes)
    again = study_from(json.loads(json.dumps(spec.model_dump(mode="json"))))
    assert again == spec
    assert again.model_dump(mode="json") == spec.model_dump(mode="json")
    assert again.space() == spec.space()


@pytest.mark.parametrize("preset", list_presets())
def test_a_preset_comes_back_whole_from_the_ledgers_json(preset: str) -> None:
    spec = read_study(preset)
    assert study_from(json.loads(json.dumps(spec.model_dump(mode="json")))) == spec


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"recipe": {"epochs": 1, "augment": "crop_flip"}}, "augment must be none with a frozen backbone"),
        ({"datasets": [{"dataset": "digits", "pretext": "rotation"}]}, "digits: pretext must be left out with a frozen backbone"),
    ],
)
def test_images_that_change_and_a_frozen_backbone_do_not_go_together(changes: dict[str, Any], told: str) -> None:
    model = {"name": "mlp-5", "weights": "own-0123456789ab.safetensors", "backbone": "frozen"}
    with pytest.raises(StudyFileError, match=told):
        study(model=model, **changes)


def test_more_of_the_metric_is_better_only_where_it_is() -> None:
    assert [study(metric=metric, sesoi=0.1).maximize for metric in ("val_accuracy", "class_margin", "val_nll", "val_ece")] == [
        True,
        True,
        False,
        False,
    ]


def test_accuracy_alone_has_a_smallest_effect_of_its_own() -> None:
    assert study().smallest_effect == 0.2
    assert study(metric="val_nll", sesoi=0.01).smallest_effect == 0.01


def test_a_file_that_leaves_the_rule_for_ties_as_it_is_is_recorded_as_one_that_does_not_name_it() -> None:
    recorded = study().model_dump_json()
    assert "strict" not in recorded
    assert study(strict=False).model_dump_json() == recorded
    assert study_from(json.loads(study(strict=True).model_dump_json())).strict
