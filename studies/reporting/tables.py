"""The tables and lists of a report, as plain rows that its template only has to lay out.

Everything is read from the `Answer`; sentences are made in `studies.reporting.sentences`, and the page in
`studies.reporting.report`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping

from margin_core.losses import get_family
from studies.analysis import Gain
from studies.analysis.rule import MOST_SEEDS
from studies.failures import WORDS
from studies.findings import Answer, Contender, Curve
from studies.plan import STAGES
from studies.reporting.sentences import called, optimum_words
from studies.reporting.wording import (
    METRICS,
    MetricWords,
    counted,
    duration,
    gain_words,
    listed,
    mean_words,
    metric_words,
    number,
    places,
    plain,
)

Row = dict[str, str]

STATUSES = ("finished", "stopped", "diverged", "failed", "interrupted", "paused", "running")
MOST_LEADERS = 8
MOST_LOST = 40


def verdict_rows(answer: Answer) -> list[Row]:
    """One row per confirmed dataset and family, those of which nothing is left among them.

    ``span`` is how many rows a dataset has, in the first of them.
    """
    rows = [_verdict_row(curve, answer.gain_of(curve)) for curve in answer.curves]
    known = {(row["dataset"], row["family"]) for row in rows} | {(surface.dataset, surface.family) for surface in answer.surfaces}
    confirm = answer.lost[answer.lost["key"].str.startswith("confirm-")] if len(answer.lost) else answer.lost
    for dataset, family in dict.fromkeys(zip(confirm["dataset"], confirm["family"], strict=True)):
        if family != "ce" and (dataset, family) not in known:
            rows.append(_row(dataset, family, get_family(family).title, label="UNDECIDED", optimum="every replicate was lost"))
    ordered = sorted(rows, key=lambda row: answer.datasets.index(row["dataset"]))
    spans = Counter(row["dataset"] for row in rows)
    return [
        {**row, "span": str(spans[row["dataset"]]) if place == 0 or ordered[place - 1]["dataset"] != row["dataset"] else ""}
        for place, row in enumerate(ordered)
    ]


def _verdict_row(curve: Curve, gain: Gain | None) -> Row:
    verdict, contender = curve.verdict, curve.contender
    row = _row(curve.dataset, curve.family, curve.title, label=str(verdict.label), optimum=optimum_words(curve), seeds=str(verdict.n_seeds))
    if verdict.more_seeds:
        row["more"] = (f"{MOST_SEEDS}+" if verdict.more_seeds >= MOST_SEEDS else f"+{verdict.more_seeds}") + " to decide"
    return row if contender is None else {**row, **_contender_cells(contender, gain)}


def _contender_cells(contender: Contender, gain: Gain | None) -> Row:
    picked, zoomed = not contender.chosen_before, gain is not contender.gain
    return {
        "setting": contender.setting,
        "setting_note": "; ".join(["picked on these seeds"] * picked + ["its gain is that of the zoom"] * zoomed),
        "mean": mean_words(contender.summary),
        "gain": gain_words(gain),
    }


def _row(dataset: str, family: str, title: str, *, label: str, optimum: str, seeds: str = "0") -> Row:
    blank = {"setting": "–", "setting_note": "", "mean": "–", "gain": "–", "more": ""}
    return {"dataset": dataset, "family": family, "title": title, "label": label, "optimum": optimum, "seeds": seeds, **blank}


def facts(answer: Answer) -> list[tuple[str, str]]:
    """What the study is, in a line."""
    trials = int(answer.counts["trials"].sum()) if len(answer.counts) else 0
    lost = f", {len(answer.lost):,} lost" if len(answer.lost) else ""
    return [
        ("Model", answer.spec.model.words),
        ("Datasets", str(len(answer.datasets))),
        ("Judged by", metric_words(answer.spec).name),
        ("Trials", f"{trials:,}{lost}"),
        ("Trial time", duration(answer.seconds)),
    ]


def no_verdicts(answer: Answer) -> str:
    """Why there is no verdict."""
    if answer.spec.confirm is None:
        return "There are none: verdicts need a confirm stage, and this study has no such stage."
    return "There are none yet: no family has a replicate in the confirm stage that ended well."


def gains_note(answer: Answer) -> str:
    """Whether the settings whose gains are shown were chosen before the seeds that show them."""
    chosen = {curve.contender.chosen_before for curve in answer.curves if curve.contender is not None}
    picked = "; of one that was picked on them none is told" if False in chosen else ""
    return f"Each gain is of a setting that was chosen before these seeds were run{picked}."


def screen_leaders(answer: Answer) -> list[tuple[str, list[Row]]]:
    """For each dataset the leading configurations of the screen."""
    tables, decimals = [], places(answer.spec.smallest_effect)
    for dataset in answer.datasets:
        leaders = answer.screen[answer.screen["dataset"] == dataset].dropna(subset=["value"]).head(MOST_LEADERS)
        rows = [
            {
                "family": str(row["family"]),
                "setting": str(row["setting"]),
                "nuisance": values_words({name: value for name, value in row["config"].items() if name in ("lr", "weight_decay")}),
                "value": number(float(row["value"]), decimals),
            }
            for row in leaders.to_dict("records")
        ]
        if rows:
            tables.append((dataset, rows))
    return tables


def fronts(answer: Answer) -> list[tuple[str, list[str], list[Row]]]:
    """For each dataset of a screen that trades metrics off: their names, and the cells that no other beats in all of them."""
    names = [name for name, _ in answer.spec.objectives]
    tables = []
    for dataset, cells in answer.front.groupby("dataset", sort=False):
        rows = [{"loss": called(row["family"], row["setting"]), **{n: f"{row[n]:.4g}" for n in names}} for row in cells.to_dict("records")]
        tables.append((str(dataset), [METRICS.get(name, MetricWords(name)).title for name in names], rows))
    return tables


def tested_rows(answer: Answer) -> list[Row]:
    """For each dataset that was tested what each stage said of the chosen setting, and at last the test split.

    ``span`` is how many rows a dataset has, in the first of them.
    """
    rows = []
    for tested in answer.tested:
        steps = [(seen.stage, answer.spec.metric, seen.summary, None, seen.optimistic_gain) for seen in tested.stages]
        test = ("test", tested.metric, tested.summary, tested.gain, None)
        for place, (stage, metric, summary, gain, optimistic) in enumerate([*steps, test]):
            rows.append(
                {
                    "dataset": tested.dataset,
                    "span": str(len(steps) + 1) if place == 0 else "",
                    "loss": called(tested.family, tested.setting),
                    "stage": stage,
                    "metric": metric,
                    "mean": mean_words(summary),
                    "gain": gain_words(gain),
                    "optimistic_gain": gain_words(optimistic),
                    "seeds": str(summary.n),
                }
            )
    return rows


def winner_rows(answer: Answer) -> list[Row]:
    """The cell to export for each dataset, and why."""
    return [
        {
            "dataset": winner.dataset,
            "loss": called(winner.family, winner.setting),
            "cell_id": winner.cell_id,
            "mean": mean_words(winner.summary),
            "reason": winner.reason[:1].upper() + winner.reason[1:],
        }
        for winner in answer.winners
    ]


def trial_counts(answer: Answer) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """The statuses that occur, and for each stage how many trials have each of them."""
    if answer.counts.empty:
        return [], []
    counts = {(row["stage"], row["status"]): int(row["trials"]) for row in answer.counts.to_dict("records")}
    statuses = [status for status in STATUSES if any(status == seen for _, seen in counts)]
    stages = [stage for stage in STAGES if any(stage == seen for seen, _ in counts)]
    return statuses, [(stage, [f"{counts.get((stage, status), 0):,}" for status in statuses]) for stage in stages]


def recipe(answer: Answer) -> list[tuple[str, str]]:
    """How trials were trained and judged."""
    spec = answer.spec
    training = spec.recipe
    unusual = training.model_dump(exclude_defaults=True, exclude={"epochs", "optimizer", "batch_size", "lr_schedule"})
    rows = [
        (
            "Training",
            f"{counted(training.epochs, 'epoch')} of {training.optimizer}, batches of {training.batch_size}, {training.lr_schedule} rate",
        ),
        *([("Recipe", ", ".join(f"{key} {json.dumps(value)}" for key, value in unusual.items()))] if unusual else []),
        ("Families", listed(list(spec.families))),
        ("Regularisers", listed(list(spec.regularizers)) or "none"),
        ("Judged by", f"{metric_words(spec).name}, smallest effect of interest {spec.smallest_effect:g}{metric_words(spec).points}"),
        ("Confidence", f"{1.0 - spec.alpha:.4g} (alpha {spec.alpha:g})"),
        ("Study seed", str(spec.seed)),
    ]
    if spec.screen is not None:
        size = "" if spec.screen.trials is None else f", {spec.screen.trials} configurations"
        against = f", trading {listed([name for name, _ in spec.objectives])} off" if spec.screen.trade_off else ""
        rows.append(("Screen", f"{spec.screen.searcher}{size}, {counted(spec.screen.seeds, 'seed')} each{against}"))
        if spec.screen.pbt is not None:
            rows.append(("Populations", spec.screen.pbt.words(spec.recipe.epochs)))
    if spec.confirm is not None:
        rows.append(("Confirm", f"{counted(spec.confirm.seeds, 'seed')} of each cell"))
    if spec.zoom is not None:
        families = counted(spec.zoom.families, "leading family").replace("familys", "families")
        rows.append(("Zoom", f"{families}, {spec.zoom.points} values, {counted(spec.zoom.seeds, 'seed')} of each cell"))
    if spec.test is not None:
        rows.append(("Test", f"{counted(spec.test.seeds, 'seed')} of the chosen cell and of ce"))
    return rows


def held_rows(answer: Answer) -> list[Row]:
    """For each curve the values that stayed the same along it, and those that each point of it has of its own."""
    return [
        {
            "dataset": curve.dataset,
            "family": curve.family,
            "title": curve.title,
            "knob": f"{curve.knob.symbol} ({curve.knob.name})",
            "others": _others_words(curve),
        }
        for curve in answer.curves
    ]


def _others_words(curve: Curve) -> str:
    held = values_words({name.removeprefix(f"{curve.family}."): value for name, value in curve.held.items()})
    tuned = [
        f"{name.removeprefix(f'{curve.family}.')} by {curve.knob.symbol}: "
        + listed([f"{plain(value)} at {plain(at)}" for at, value in sorted(along.items())])
        for name, along in curve.tuned.items()
    ]
    return "; ".join(filter(None, [held, *tuned])) or "nothing else"


def history_rows(answer: Answer) -> list[tuple[str, str, str, list[str]]]:
    """How the study came to be what it is: when, what was done, after how many trials, and line by line what was changed."""
    return [(change.when, change.kind, f"{change.ended:,}", [str(entry) for entry in change.differences]) for change in answer.history]


def lost_rows(answer: Answer) -> tuple[list[Row], int]:
    """Lost trials by what happened, and how many kinds are left out for length."""
    if answer.lost.empty:
        return [], 0
    kinds = answer.lost.assign(stage=answer.lost["key"].str.partition("-")[0])
    grouped = kinds.groupby(["dataset", "family", "stage", "status", "reason"], sort=False).size().reset_index(name="trials")
    rows = [{str(name): str(value) for name, value in row.items()} for row in grouped.to_dict("records")]
    return rows[:MOST_LOST], max(len(rows) - MOST_LOST, 0)


def lost_cell_rows(answer: Answer) -> tuple[list[Row], int]:
    """The cells that lost replicates, the greatest share first, and how many are left out for length."""
    rows = []
    for cell in answer.lost_cells[:MOST_LOST]:
        causes = sorted(cell.causes.items(), key=lambda item: -item[1])
        rows.append(
            {
                "dataset": cell.dataset,
                "loss": called(cell.family, cell.setting),
                "stage": cell.stage,
                "lost": f"{cell.diverged + cell.failed} of {cell.ended}",
                "rate": f"{100 * cell.rate.rate:.0f} % ({100 * cell.rate.low:.0f} to {100 * cell.rate.high:.0f})",
                "causes": ", ".join(f"{WORDS[cause]} {count}" if len(causes) > 1 else WORDS[cause] for cause, count in causes),
            }
        )
    return rows, max(len(answer.lost_cells) - MOST_LOST, 0)


def method(answer: Answer) -> list[str]:
    """What the numbers rest on, as far as it applies to this study."""
    spec, confidence = answer.spec, confidence_words(answer)
    said = [f"Validation examples choose{'' if answer.tested else ' and measure'}."]
    if spec.unvalidated:
        metric = metric_words(spec).name
        said = [f"No example of {', '.join(spec.unvalidated)} validates: the {metric} of trained weights chooses and measures."]
    said.append(
        "The test split judged one choice, once, on seeds that chose nothing." if answer.tested else "The test split has not been touched."
    )
    if spec.confirm is not None:
        said += [
            "Seeds are paired: one seed gives every cell of a dataset the same split, start and order of examples, so gains are "
            "differences seed by seed and can be surer than the bars around two means suggest.",
            f"{set_sentence(answer)} A set of many values means that more seeds are needed, not that the values are equal.",
            "FLAT is a finding, with a bound on what was missed; UNDECIDED is not, and says how many more seeds might decide.",
            "A family’s verdicts on several datasets share one alpha by Holm’s rule. "
            f"Each interval holds at {confidence} by itself, not for all families and datasets at once.",
        ]
    if spec.screen is not None and spec.confirm is not None:
        whose = "The other values at each point of a curve are" if spec.confirm.tuned == "value" else "A family’s other values are"
        said.append(f"{whose} those of its best screened configuration. Confirm seeds are fresh: none of them chose anything.")
    if asked := len(answer.shifts) + len(answer.topology.trends) + len(answer.topology.relations):
        said.append(
            f"Whether a best value moves, or goes with the data, is asked {counted(asked, 'time')}, each at {confidence} by itself."
        )
    if answer.runs_page is not None:
        where = "the page that margin-studies ui opens" if answer.runs_page.own else answer.runs_page.server
        said.append(f"“Runs” under a figure shows the runs behind it in MLflow, on {where}.")
    if not spec.unvalidated:
        said.append("A trial’s result is that of its last epoch; the best epoch would have been chosen on the examples that measure it.")
    return said


def set_sentence(answer: Answer) -> str:
    """By which rule values may be best, and what it promises of values that are equally best."""
    if answer.spec.strict:
        held = "every value that is truly best, all of those that tie"
        return f"“May be best” is the strict set, by Tukey’s range: with {confidence_words(answer)} confidence it holds {held}."
    held = "the best of the values tried, of those that tie any one but not always all"
    return f"“May be best” is Hsu’s set: with {confidence_words(answer)} confidence it holds {held}."


def confidence_words(answer: Answer) -> str:
    """The confidence of intervals: ``95 %``."""
    return f"{100.0 * (1.0 - answer.spec.alpha):.4g} %"


def values_words(values: Mapping[str, float | int | str]) -> str:
    """Names and values in a line, weights of zero left out."""
    kept = {name: value for name, value in values.items() if not (name.endswith(".weight") and value == 0)}
    return ", ".join(f"{name} {plain(value)}" for name, value in kept.items())
