"""A result as rows of text, the same in the terminal and on the page."""

from __future__ import annotations

from collections.abc import Sequence

from studies.analysis import Summary
from studies.reproduction.result import Figure, Result
from studies.reproduction.rule import Claimed, Finding

NOTHING = "—"


def state(result: Result) -> str:
    """The verdict on the table, with how many of its claims hold; or how far it is."""
    if not result.complete:
        return f"unfinished ({result.trials} of {result.seeds * len(result.rows)} trials)"
    if result.verdict is None:
        return "run; the paper claims nothing that can be compared"
    counts: dict[str, int] = {}
    for _, found in result.findings:
        said = result.said(found.verdict).removeprefix(f"{result.protocol}: ")
        counts[said] = counts.get(said, 0) + 1
    return f"{result.verdict} ({', '.join(f'{said}: {n}' for said, n in counts.items())})"


def figure_rows(result: Result, metrics: Sequence[str] = ()) -> list[list[str]]:
    """Head and arms: for each of the metrics, or all, the paper's figure, ours, and the best epoch on test where there is one."""
    metrics = metrics or result.table.metrics
    best = {figure.metric for row in result.rows for figure in row.figures if figure.best_on_test is not None}
    head = ["setting"]
    for metric in metrics:
        head += [f"{metric}: paper", "ours"] + (["ours, best epoch on test"] if metric in best else [])
    lines = [head]
    for row in result.rows:
        line = [f"{row.name} ({row.lost} lost)" if row.lost else row.name]
        for figure in (figure for figure in row.figures if figure.metric in metrics):
            line += _figure(figure, figure.metric in best)
        lines.append(line)
    return lines


def claim_rows(result: Result) -> list[list[str]]:
    """Head and claims: what the paper says of which arms, its difference, ours with both intervals, and the verdict."""
    lines = [["claim", "of", "metric", "paper", "ours", "interval for the paper's", "seeds", "verdict"]]
    said = ""
    for claim, found in result.findings:
        lines.append(
            [
                "" if claim.says == said else claim.says,
                f"{claim.of} − {claim.less}",
                claim.metric,
                _claimed(claim.claimed),
                _gain(found),
                NOTHING if found.expected is None else _interval(*found.expected, signed=True),
                str(found.gain.n if found.gain else 0),
                result.said(found.verdict),
            ]
        )
        said = claim.says
    return lines


def number(value: float, *, signed: bool = False) -> str:
    """A figure with the digits that are worth reading.

    Example:
        >>> number(99.114), number(0.50137), number(58237.2), number(1.5, signed=True)
        ('99.11', '0.501', '58237', '+1.50')
    """
    digits = 0 if abs(value) >= 100.0 else 2 if abs(value) >= 1.0 else 3
    return f"{value:{'+' if signed else ''}.{digits}f}"


def _figure(figure: Figure, with_best: bool) -> list[str]:
    told = [NOTHING if figure.paper is None else number(figure.paper), _summary(figure.ours)]
    return told + ([NOTHING if figure.best_on_test is None else number(figure.best_on_test)] if with_best else [])


def _summary(ours: Summary | None) -> str:
    if ours is None:
        return NOTHING
    return number(ours.mean) if ours.low is None or ours.high is None else f"{number(ours.mean)} {_interval(ours.low, ours.high)}"


def _gain(found: Finding) -> str:
    if found.gain is None:
        return NOTHING
    mean, low, high = found.gain.mean, found.gain.low, found.gain.high
    return number(mean, signed=True) + ("" if low is None or high is None else f" {_interval(low, high, signed=True)}")


def _claimed(claimed: Claimed) -> str:
    if claimed.within is not None:
        return f"within {claimed.within:g}"
    if claimed.difference is None:
        return "more" if claimed.direction == 1 else "less"
    return number(claimed.difference, signed=True)


def _interval(low: float, high: float, *, signed: bool = False) -> str:
    return f"[{number(low, signed=signed)}, {number(high, signed=signed)}]"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first row is its head."""
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)
