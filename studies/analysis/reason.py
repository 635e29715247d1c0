"""The verdict in one sentence, made from its numbers and never from free text, for terminal, report and tracking alike."""

from __future__ import annotations

import numpy as np

from studies.analysis.best import Comparison
from studies.analysis.replicates import Replicates
from studies.analysis.rule import MOST_SEEDS, Label, Question


def explain(question: Question, replicates: Replicates, fit: Comparison, label: Label, more_seeds: int) -> str:
    """Say what was found, by which numbers, and which runs it rests on.

    Args:
        question: What was asked.
        replicates: The cells that were compared, one of them the baseline.
        fit: Their comparison.
        label: The label given.
        more_seeds: How many more seeds are forecast to decide.
    """
    clauses = [f"over {len(replicates.scores)} seeds {_finding(question, replicates, fit, label)}"]
    if label == "UNDECIDED":
        clauses.append(forecast(more_seeds))
    clauses += terms(question)
    if fit.residual_variance == 0.0:
        clauses.append("the seeds show no noise at all: are they separate runs?")
    return sentence([*clauses, *_noise(question, replicates, fit), *replicates.notes(question.knob)])


def forecast(more_seeds: int) -> str:
    """How many more seeds would decide; `MOST_SEEDS` stands for as many and more."""
    if more_seeds >= MOST_SEEDS:
        return f"fewer than {MOST_SEEDS} more seeds would hardly decide"
    return f"about {more_seeds} more seed{'' if more_seeds == 1 else 's'} would decide"


def terms(question: Question) -> list[str]:
    """The clauses on what it was judged by, where that is not the usual."""
    strict = ["of values that are equally best all are kept"] if question.strict else []
    return strict + (
        [f"look {question.looks} at these seeds, so at a confidence of {1.0 - question.level:.4g}"] if question.looks > 1 else []
    )


def sentence(clauses: list[str]) -> str:
    """One sentence out of clauses."""
    text = "; ".join(clauses)
    return text[0].upper() + text[1:] + "."


def _finding(question: Question, replicates: Replicates, fit: Comparison, label: Label) -> str:
    """The clause that gives the label its reason."""
    knob, allowance = question.knob, fit.allowance()
    if label == "FLAT":
        most = _amount(question, float(fit.upper_bounds(allowance).max()))
        return f"no cell can be more than {most} short of the best, less than the {_amount(question, question.sesoi)} that matter"

    nearest = _nearest(question, replicates, fit)
    values = [f"{value:g}" for value in replicates.chosen(fit.may_be_best(allowance))]
    listed = " or ".join([", ".join(values[:-1]), values[-1]] if len(values) > 1 else values)
    if label == "EDGE":
        best = replicates.values[replicates.best(fit.means)]
        side = "greatest" if best == max(question.grid(replicates.tried)) else "least"
        return f"{nearest}, and the best, {knob} = {best:g}, is the {side} value tried: extend the grid"
    if label == "LOCATED":
        return f"{nearest}, and only {knob} = {listed} may be best"
    if label == "BETTER":
        return f"{nearest}, but {knob} may be {listed} at its best"
    return nearest


def _noise(question: Question, replicates: Replicates, fit: Comparison) -> list[str]:
    """Which cells were taken to be noisier than the others."""
    ratio = fit.noise.ratio()
    found = [
        f"{cell.name(question.knob)} ({factor:.2g} times)" if np.isfinite(factor) else cell.name(question.knob)
        for cell, factor, noisier in zip(replicates.cells, ratio, fit.noise.noisier(), strict=True)
        if noisier
    ]
    return [f"runs scatter more than the others' at {', '.join(found)}, for which its allowance is made"] if found else []


def _nearest(question: Question, replicates: Replicates, fit: Comparison) -> str:
    """How the baseline compares with what is best, or with its nearest rival where it is best itself, beside what noise allows."""
    baseline, lead, allowance = replicates.baseline, fit.lead, fit.allowance()
    excess = np.where((lead >= 0.0) & ~np.eye(len(lead), dtype=bool), lead - allowance, np.nan)
    names = [cell.name(question.knob) for cell in replicates.cells]
    if question.baseline is not None:
        names[baseline] = f"the baseline ({names[baseline]})"
    if fit.means.argmax() == baseline:
        ahead, behind = baseline, int(np.nanargmin(excess[baseline]))
        names[behind] = f"the nearest rival, {names[behind]},"
    else:
        ahead, behind = int(np.nanargmax(excess[:, baseline])), baseline
    limit = "more than" if excess[ahead, behind] > 0.0 else "within"
    short, noise = _amount(question, lead[ahead, behind]), _amount(question, allowance[ahead, behind])
    return f"{names[behind]} falls short of {names[ahead]} by {short}, {limit} the {noise} that noise allows"


def _amount(question: Question, value: float) -> str:
    return f"{value:.2g}{' points' if question.in_percent else ''}"
