"""Tables of results from elsewhere, and the table of a paper as it is printed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from margin_core.losses import get_family
from studies.analysis import judge, judge_each, shift
from studies.cli import app
from studies.judged_table import judge_table
from studies.preflight import CallError

PRINTED = Path(__file__).parents[2] / "docs/tables/gds-table-1.csv"
ASKED = ["--knob", "lam", "--metric", "accuracy", "--baseline", "0"]


def test_the_table_of_generalized_dual_scale_is_fed_in_as_it_is_printed() -> None:
    (reported,) = get_family("gds").reported
    knobs = [0.0 if column == "cross-entropy" else float(column.removeprefix("λ = ")) for column in reported.columns[1:]]
    printed = [(row[0], lam, float(figure)) for row in reported.rows for lam, figure in zip(knobs, row[1:], strict=True)]
    assert list(pd.read_csv(PRINTED).itertuples(index=False, name=None)) == printed


def test_every_row_of_it_is_undecided_for_want_of_a_second_run_per_cell() -> None:
    found = judge_table(PRINTED, knob="lam", metric="accuracy", baseline=0.0)
    assert list(found.verdicts) == ["CUB-200-2011", "Stanford Dogs", "Stanford Cars"]
    for verdict in found.verdicts.values():
        assert (verdict.label, verdict.better, verdict.n_seeds) == ("UNDECIDED", False, 1)
        assert verdict.optimum_set == (0.0, 0.5, 1.0, 1.5, 2.0)
        assert verdict.reason == "One run per cell: noise cannot be estimated."
    assert found.shift is not None
    assert (found.shift.label, found.shift.apart) == ("UNDECIDED", ())
    assert found.shift.reason.endswith("has one run per cell.")


def test_the_command_prints_it() -> None:
    ran = CliRunner().invoke(app, ["judge", str(PRINTED), *ASKED])
    assert ran.exit_code == 0, ran.output
    assert ran.output.count("One run per cell: noise cannot be estimated.") == 3
    assert "UNDECIDED across datasets" in ran.output
    plain = json.loads(CliRunner().invoke(app, ["judge", str(PRINTED), *ASKED, "--json"]).output)
    assert {verdict["label"] for verdict in plain["verdicts"].values()} == {"UNDECIDED"}
    assert plain["shift"]["shift"] is False


def test_a_table_with_seeds_is_judged_as_the_functions_do(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    rows = [
        (dataset, seed, lam, 90.0 - 0.5 * (lam - best) ** 2 + 0.1 * generator.normal())
        for dataset, best in (("cub", 1.0), ("cars", 2.5))
        for seed in range(6)
        for lam in np.linspace(0.0, 3.0, 7)
    ]
    table = pd.DataFrame(rows, columns=["dataset", "seed", "lam", "accuracy"])
    table.to_csv(tmp_path / "runs.csv", index=False)
    read = pd.read_csv(tmp_path / "runs.csv")
    found = judge_table(tmp_path / "runs.csv", knob="lam", metric="accuracy", baseline=0.0, alpha=0.02)

    def asked(dataset: str):  # type: ignore[no-untyped-def]
        return lambda alpha: judge(read[read["dataset"] == dataset], knob="lam", metric="accuracy", baseline=0.0, alpha=alpha)

    assert found.verdicts == judge_each({dataset: asked(dataset) for dataset in ("cub", "cars")}, alpha=0.02)
    assert found.shift == shift(read, knob="lam", metric="accuracy", alpha=0.02)
    one = read[read["dataset"] == "cub"].drop(columns="dataset")
    one.to_csv(tmp_path / "one.csv", index=False)
    alone = judge_table(tmp_path / "one.csv", knob="lam", metric="accuracy", baseline=0.0)
    assert alone.shift is None and list(alone.verdicts) == [""]


def test_what_cannot_be_judged_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CallError, match=r"gds-table-1.csv: baseline must be a value of lam in the table"):
        judge_table(PRINTED, knob="lam", metric="accuracy", baseline=7.0)
    refused = CliRunner().invoke(app, ["judge", str(tmp_path / "none.csv"), *ASKED])
    assert refused.exit_code == 2
    wrong = CliRunner().invoke(app, ["judge", str(PRINTED), "--knob", "beta", "--metric", "accuracy", "--baseline", "0"])
    assert wrong.exit_code == 2
