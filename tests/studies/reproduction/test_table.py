"""Every table's file: its figures are those declared, each arm is a cell, and what it asks of our runs they measure."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from margin_core.data import DatasetConfig, dataset_info
from margin_core.training.confidence import confidence_distribution
from margin_core.training.embeddings import TASK_METRICS
from studies.plain_yaml import StudyFileError
from studies.plan import screen_trials
from studies.reproduction.table import Table, list_tables, needs, read_table
from studies.spec import StudySpec
from tests.studies.reproduction.tables import TABLE, table

TABLES = [read_table(name) for name in list_tables()]
WITH_STUDY = [pytest.param(table, id=table.name) for table in TABLES if table.study is not None]


def measured(spec: StudySpec) -> set[str]:
    """What each epoch of the study's trials reports."""
    record = spec.record.record()
    splits = (*(() if spec.unvalidated else ("val",)), *record.splits)
    own = {f"{split}_{name}" for split in splits for name in ("accuracy", "nll", "ece", "sample_margin")} | {"class_margin"}
    if record.confidence:
        own |= set(confidence_distribution(torch.zeros(5, 2), torch.zeros(5, dtype=torch.int64)))
    tasks = {dataset_info(entry.dataset).task for entry in spec.datasets}
    own |= {f"{split}_{name}" for split in splits for task in tasks for name in TASK_METRICS[task]}
    return own | {name for split in splits for name in record.names(split)}


@pytest.mark.parametrize("given", [pytest.param(table, id=table.name) for table in TABLES])
def test_every_table_claims_something_and_has_the_figures_that_it_shows(given: Table) -> None:
    assert given.all_claims()
    shown = {metric for arm in given.arms for metric in (*arm.paper, *arm.declared)}
    assert shown <= set(given.metrics)
    for arm in given.arms:
        for metric in (*arm.paper, *arm.declared):
            assert given.figure(arm.name, metric) is not None


@pytest.mark.parametrize("given", WITH_STUDY)
def test_each_arm_is_a_cell_of_its_own_in_the_whole_study_and_in_the_quick_one(given: Table) -> None:
    for quick in {False, bool(given.quick)}:
        cells = given.cells(given.specs(quick=quick))
        assert len(set(cells.values())) == len(given.arms)


@pytest.mark.parametrize("given", WITH_STUDY)
def test_the_studies_measure_what_the_table_prints_and_run_no_cell_that_is_no_arm(given: Table) -> None:
    specs = given.specs()
    arms = given.cells(specs).values()
    for part, spec in specs.items():
        for metric in (*given.metrics, *(claim.metric for claim in given.all_claims())):
            name, _, span = metric.partition("@")
            assert name in measured(spec)
            assert not span or int(span.split("-")[1]) <= spec.record.first_steps
        assert spec.screen is not None and spec.screen.searcher == "grid"
        assert {trial.cell.cell_id for trial in screen_trials(spec)} == {cell for of, cell in arms if of == part}


@pytest.mark.parametrize("given", WITH_STUDY)
def test_what_a_cpu_can_run_has_a_quick_form(given: Table) -> None:
    assert given.quick or all(spec.resources.gpu > 0 for spec in given.specs().values())


def test_a_figure_is_read_from_the_declared_table_by_row_and_column() -> None:
    given = table(
        declared={"by": ["sample_margin"], "table": "table 1"},
        arms=[
            *TABLE["arms"],
            {
                "name": "declared",
                "where": {},
                "declared": {
                    "test_accuracy": ["NormFace, s = 20 / with 0.5 of it", "CIFAR-10: accuracy"],
                    "class_margin": ["NormFace, s = 20 / with 0.5 of it", "CIFAR-10: accuracy / margin"],
                },
            },
        ],
    )
    assert given.figure("declared", "test_accuracy") == 94.38
    assert given.figure("declared", "class_margin") == 96.17
    assert given.figure("CosFace 0.1", "class_margin") is None


def test_the_counts_of_the_gradient_decay_papers_table_are_of_all_examples() -> None:
    given = read_table("gradient-decay-mnist")
    counts = [sum(arm.paper.values()) for arm in given.arms if arm.paper]
    assert counts == [60000.0] * 5


def test_the_tables_of_unequal_classes_train_on_all_examples_that_the_paper_does() -> None:
    unequal = {
        table.name: spec for table in TABLES if table.study for spec in table.specs().values() if any(e.imbalance for e in spec.datasets)
    }
    assert list(unequal) == ["imbalance-cifar10"]
    for entry in unequal["imbalance-cifar10"].datasets:
        config = entry.config()
        assert config == DatasetConfig("cifar10", imbalance=config.imbalance, validation=0, label=config.label)
        assert config.imbalance and config.label == f"cifar10-{config.imbalance.key}"


def test_a_claim_without_a_figure_of_its_own_is_the_difference_of_the_arms() -> None:
    first, second = table().all_claims()
    assert (first.claimed.difference, first.claimed.runs) == (1.0, 1)
    assert (second.claimed.difference, second.claimed.direction) == (None, -1)


def test_studies_are_named_by_table_form_and_part() -> None:
    assert [spec.name for spec in table().specs().values()] == ["made-up.plain", "made-up.margins"]
    assert [spec.name for spec in table().specs(quick=True, seeds=2).values()] == [
        "made-up-quick-seeds2.plain",
        "made-up-quick-seeds2.margins",
    ]
    assert [spec.screen and spec.screen.seeds for spec in table().specs(seeds=2).values()] == [2, 2]


def test_each_choice_of_changes_is_a_study_of_its_own() -> None:
    changes: list[list[str]] = [[], ["recipe.epochs=3"], ["recipe.epochs=4"]]
    plain, longer, longest = (table().specs(overrides=overrides)["plain"] for overrides in changes)
    assert longer.recipe.epochs == 3 and re.fullmatch(r"made-up-set[0-9a-f]{8}\.plain", longer.name)
    assert len({plain.name, longer.name, longest.name}) == 3
    with pytest.raises(StudyFileError, match=r"^made-up names its studies itself, so --set takes no name$"):
        table().specs(overrides=["name=mine"])


def test_what_a_table_needs_is_told() -> None:
    study = TABLE["study"]
    assert needs(table()) == ""
    assert needs(table(missing=["pictures of birds", "weights"])) == "pictures of birds; weights"
    assert needs(table(study={**study, "datasets": ["mnist"]}), None) in ("", "the dataset mnist")
    own = {"name": "mlp-8", "weights": "own-0123456789ab.safetensors"}
    assert needs(table(study={**study, "model": own})) == "the weights own-0123456789ab.safetensors of mlp-8"
    assert "a GPU" in needs(table(study={**study, "resources": {"gpu": 1}})) or torch.cuda.is_available()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"study": None}, "made-up: a table without a study must say what is missing"),
        ({"arms": [TABLE["arms"][0], TABLE["arms"][0]]}, "made-up: arms: 'CE' is listed twice"),
        ({"arms": TABLE["arms"][:2]}, "made-up: claims: there is no arm 'CosFace 0.2'"),
        ({"clams": []}, "made-up: clams: Extra inputs are not permitted"),
        (
            {"claims": [{"says": "so", "metrics": ["class_margin"], "pairs": [["CE", "CosFace 0.1"]]}]},
            "made-up: claims: the paper prints no class_margin of both 'CE' and 'CosFace 0.1'; say difference, direction or within",
        ),
    ],
)
def test_a_file_that_does_not_hang_together_is_refused_in_a_sentence(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyFileError) as caught:
        table(**changes)
    assert str(caught.value) == message


def test_an_arm_that_is_several_cells_is_refused() -> None:
    loose = table(arms=[*TABLE["arms"], {"name": "any", "part": "margins", "where": {}}])
    with pytest.raises(StudyFileError, match="made-up: the arm 'any' must be one cell of its study, it is 2"):
        loose.cells(loose.specs())


def test_an_unknown_table_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(StudyFileError, match=r"no table is called 'tammse'; there are .*tammes"):
        read_table("tammse")
