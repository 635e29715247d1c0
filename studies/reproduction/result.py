"""What came out of a table: its ledgers read into our figures beside the paper's, and a finding for each claim.

Our figures are of the last epoch of each trial. Where a paper takes the best epoch on the test split, what that would give is told in a
figure of its own, which nothing here is judged by.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from studies.analysis import Summary, summarise
from studies.reproduction.protocol import Protocol, find_changes, protocol_of
from studies.reproduction.rule import OTHERWISE, Finding, TableVerdict, Verdict, find, judge_table
from studies.reproduction.table import Claim, Table
from studies.spec import StudySpec, study_from
from studies.tracking.ledger import Ledger


@dataclass(frozen=True)
class Figure:
    """One metric of one arm.

    Attributes:
        metric: Its name.
        paper: The paper's figure, or None.
        ours: The mean over our replicates with its interval; None where none ended well or none measured it.
        best_on_test: The mean over replicates of the best epoch on the test split; None but for test accuracies.
    """

    metric: str
    paper: float | None
    ours: Summary | None
    best_on_test: float | None


@dataclass(frozen=True)
class Row:
    """One arm: its name, its figures, and how many of its replicates did not end well."""

    name: str
    figures: tuple[Figure, ...]
    lost: int


@dataclass(frozen=True)
class Result:
    """A table that was run.

    Attributes:
        table: Its file.
        specs: The studies as they were run, by part.
        protocol: Whether that is the whole protocol.
        changes: How it differs from that, in words; empty where it does not.
        seeds: Replicates of each arm, as asked for.
        trials: How many trials have ended.
        rows: The arms.
        findings: Each claim with what our runs say of it.
        verdict: That on the table; None where the paper claims nothing that can be compared.
        seconds: The trials' own, summed.
        machine: Where they ran, or empty.
    """

    table: Table
    specs: Mapping[str, StudySpec]
    protocol: Protocol
    changes: str
    seeds: int
    trials: int
    rows: tuple[Row, ...]
    findings: tuple[tuple[Claim, Finding], ...]
    verdict: TableVerdict | None
    seconds: float
    machine: str

    @property
    def complete(self) -> bool:
        """Whether every trial has ended."""
        return self.trials == self.seeds * len(self.rows)

    def said(self, verdict: Verdict) -> str:
        """A claim's verdict as it is printed: of what is not the whole protocol none is reproduced."""
        return verdict if self.protocol == "whole" else f"{self.protocol}: {OTHERWISE[verdict]}"

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "table": self.table.name,
            "title": self.table.title,
            "source": self.table.source,
            "studies": [spec.name for spec in self.specs.values()],
            "protocol": self.protocol,
            "changes": self.changes,
            "seeds": self.seeds,
            "complete": self.complete,
            "verdict": self.verdict,
            "uncertain": list(self.table.uncertain),
            "rows": [{"arm": row.name, "lost": row.lost, "figures": [asdict(figure) for figure in row.figures]} for row in self.rows],
            "claims": [
                {
                    **asdict(claim),
                    "verdict": self.said(found.verdict),
                    "gain": found.gain and asdict(found.gain),
                    "expected": found.expected,
                }
                for claim, found in self.findings
            ],
            "seconds": self.seconds,
            "machine": self.machine,
        }


def read_result(table: Table, ledgers: Mapping[str, Ledger]) -> Result:
    """Read the ledgers of a table's parts, complete or not.

    Raises:
        StudyFileError: Where a ledger is of a study in which an arm is no cell.
    """
    specs = {part: study_from(json.loads(ledger.meta("spec") or "{}")) for part, ledger in ledgers.items()}
    wanted = {*table.metrics, *(claim.metric for claim in table.all_claims())}
    tables = {part: _with_steps(ledger.final_metrics(), ledger, wanted) for part, ledger in ledgers.items()}
    values = {arm: _of_cell(tables[part], cell) for arm, (part, cell) in table.cells(specs).items()}
    best = {arm: _best_epochs(ledgers[part], values[arm]) for arm, (part, _) in table.cells(specs).items()}
    whole = table.specs()
    changes = {change for part, spec in specs.items() for change in find_changes(spec, whole[part])}
    protocol = protocol_of(changes)
    findings = []
    for claim in table.all_claims():
        first, second = _paired(values[claim.of], values[claim.less], claim.metric)
        findings.append((claim, find(first, second, claim.claimed, whole=protocol == "whole")))
    return Result(
        table=table,
        specs=specs,
        protocol=protocol,
        changes="; ".join(sorted(change.words for change in changes)),
        seeds=max(spec.screen.seeds for spec in specs.values() if spec.screen),
        trials=sum(map(len, values.values())),
        rows=tuple(
            Row(
                arm.name,
                tuple(
                    Figure(metric, table.figure(arm.name, metric), _summary(values[arm.name], metric), best[arm.name].get(metric))
                    for metric in table.metrics
                ),
                lost=int(values[arm.name]["status"].isin(["diverged", "failed"]).sum()),
            )
            for arm in table.arms
        ),
        findings=tuple(findings),
        verdict=judge_table((finding.verdict for _, finding in findings), protocol) if findings else None,
        seconds=float(sum(frame["seconds"].sum() for frame in tables.values() if len(frame))),
        machine=next((text for ledger in ledgers.values() if (text := ledger.meta("machine"))), ""),
    )


def _with_steps(table: pd.DataFrame, ledger: Ledger, metrics: Collection[str]) -> pd.DataFrame:
    """Final metrics with those within the training, such as ``train_accuracy@1-20``: the mean of what was measured after these steps."""
    for metric in metrics:
        name, _, span = metric.partition("@")
        if span:
            first, last = map(int, span.split("-"))
            within = [[row["metrics"].get(name) for row in ledger.steps(key) if first <= row["step"] <= last] for key in table["key"]]
            table[metric] = [
                sum(values) / len(values) if len(values) == last - first + 1 and None not in values else None for values in within
            ]
    return table


def _of_cell(table: pd.DataFrame, cell_id: str) -> pd.DataFrame:
    """The replicates of a cell, by seed."""
    return table[table["cell_id"] == cell_id].set_index("seed").sort_index()


def _metric(values: pd.DataFrame, metric: str) -> pd.Series[float]:
    """A metric of the replicates that ended well and measured it, by seed."""
    return values[metric].astype(float).dropna() if metric in values else pd.Series(dtype=float)


def _paired(of: pd.DataFrame, less: pd.DataFrame, metric: str) -> tuple[list[float], list[float]]:
    first, second = _metric(of, metric), _metric(less, metric)
    both = first.index.intersection(second.index)
    return first.loc[both].tolist(), second.loc[both].tolist()


def _summary(values: pd.DataFrame, metric: str) -> Summary | None:
    numbers = _metric(values, metric)
    return summarise(numbers.tolist()) if len(numbers) else None


def _best_epochs(ledger: Ledger, values: pd.DataFrame) -> dict[str, float]:
    """For the test accuracy the mean of each trial's best epoch: the choice on the test split that some papers make."""
    name = "test_accuracy"
    if not len(_metric(values, name)):
        return {}
    finished = values.loc[_metric(values, name).index, "key"]
    best = [max(row["metrics"].get(name, -math.inf) for row in ledger.epochs(key)) for key in finished]
    return {name: sum(best) / len(best)}
