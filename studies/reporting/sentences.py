"""What a study found, in sentences made from its answer and never from free text: headlines, one sentence per figure, alt texts.

A sentence says no more than the intervals and verdicts behind it. Terminal and report share them; rounding is
`studies.reporting.wording`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from studies.analysis import Gain, OptimumEvidence
from studies.analysis.reason import forecast
from studies.findings import Answer, Contender, Curve, Shift, Surface, Tested, Winner
from studies.reporting.wording import (
    counted,
    gain_places,
    gain_words,
    half_width,
    interval_words,
    is_none,
    listed,
    mean_words,
    metric_words,
    number,
    places,
    plain,
)
from studies.topology import Trend

AS_IT_IS = ("", "as it is")
_MOST_PAIRS = 4  # of datasets, in a sentence


def headline(answer: Answer, dataset: str) -> str:
    """The answer for one dataset in one sentence."""
    winner = winner_of(answer, dataset)
    judged: list[Curve | Surface] = [*curves_of(answer, dataset), *surfaces_of(answer, dataset)]
    if (tested := next((tested for tested in answer.tested if tested.dataset == dataset), None)) is not None:
        return tested_sentence(answer, tested)
    if winner is None:
        return f"On {dataset}, no trial has ended well yet, so there is no answer."
    name, mean = called(winner.family, winner.setting), _measured(answer, winner)
    if winner.stage == "screen":
        return f"On {dataset}, {name} leads the screen with {mean}, which is optimistic: nothing has been confirmed on fresh seeds."
    if not judged:
        return f"On {dataset}, only cross-entropy has been measured, with {mean}: there is nothing to compare it with."
    if all(each.verdict.n_seeds < 2 for each in judged):
        return f"On {dataset}, {name} has the best mean, {mean}, but there are too few seeds to tell families apart."
    return _confirmed_headline(answer, dataset, winner)


def tested_sentence(answer: Answer, tested: Tested) -> str:
    """What the test split says of the chosen setting."""
    name, seeds = called(tested.family, tested.setting), counted(tested.summary.n, "seed")
    mean = f"{mean_words(tested.summary)}{metric_words(answer.spec).unit}"
    if tested.family == "ce":
        return f"On {tested.dataset}, cross-entropy was chosen, and has {mean} on the test split ({seeds})."
    if tested.gain is None:
        return f"On {tested.dataset}, {name} was chosen, and has {mean} on the test split ({seeds}): too few to compare."
    told = "told apart from none" if tested.gain.different else "not told apart from none"
    return f"On {tested.dataset}, on the test split, {_gain_clause(answer, name, tested.gain)}: {told}."


def _confirmed_headline(answer: Answer, dataset: str, winner: Winner) -> str:
    curves = curves_of(answer, dataset)
    judged: list[Curve | Surface] = [*curves, *surfaces_of(answer, dataset)]
    better = list(dict.fromkeys(each.family for each in judged if each.verdict.better))
    # Of several settings that were chosen before these seeds the screen's first: whoever takes the greatest gain tells too great a one.
    chosen = _first_choice(answer, dataset) or _first_choice(answer.closer(), dataset)
    if chosen is not None and chosen.contender is not None and chosen.family in better and _good(answer, chosen.contender.gain):
        others = [family for family in better if family != chosen.family]
        also = f"; {listed(others)} {_does(others, 'beats', 'beat')} cross-entropy too" if others else ""
        clause = _gain_clause(answer, called(chosen.family, chosen.contender.setting), chosen.contender.gain)
        return f"On {dataset}, {clause}: told apart from none{also}."
    if better:
        return f"On {dataset}, {listed(better)} {_does(better, 'beats', 'beat')} cross-entropy; {_size_unknown(winner)}."
    if _good(answer, winner.optimistic_gain) and winner.family not in {curve.family for curve in curves}:
        return f"On {dataset}, {called(winner.family, winner.setting)} beats cross-entropy; {_size_unknown(winner)}."
    if winner.family == "ce":
        return f"On {dataset}, no family was measured above cross-entropy, whose mean is {_measured(answer, winner)}."
    flat = f"; no knob moves it by as much as {_sesoi(answer)}" if all(each.verdict.label == "FLAT" for each in judged) else ""
    said = "no family is shown to beat cross-entropy"
    if gainers := [curve.family for curve in curves if curve.contender and _good(answer, curve.contender.any_gain)]:
        though = f"though the gain of {listed(gainers)} over ce is told apart from none"
        said = f"no verdict says that a family’s knob beats cross-entropy, {though}"
    return f"On {dataset}, {said}{_best_mean(winner)}{_more_seeds(curves)}{flat}."


def _first_choice(answer: Answer, dataset: str) -> Curve | None:
    """Of the families whose setting was chosen before the seeds that measure it, the one that the screen ranked first."""
    curves = {curve.family: curve for curve in curves_of(answer, dataset) if curve.contender and curve.contender.chosen_before}
    ranked = answer.screen[answer.screen["dataset"] == dataset].dropna(subset=["value"])["family"]
    return next((curves[family] for family in [*ranked, *curves] if family in curves), None)


def _size_unknown(winner: Winner) -> str:
    return f"by how much, seeds that did not choose the setting have to tell{_best_mean(winner)}"


def curve_sentence(answer: Answer, curve: Curve) -> str:
    """What one response curve shows: the verdict, with the values that may be best."""
    verdict, symbol = curve.verdict, curve.knob.symbol
    optimum = [plain(value) for value in verdict.optimum_set]
    best = "" if verdict.best is None else plain(verdict.best)
    other = "" if verdict.question.baseline is None else "other "
    said = {
        "FLAT": f"no {symbol} of {curve.family} tried falls short of the best by as much as {_sesoi(answer)}",
        "WORSE": f"{_baseline(curve)} is better than every {other}{symbol} of {curve.family} tried",
        "EDGE": f"{curve.family} beats {_baseline(curve)} and is best at the last {symbol} tried, {best}: look beyond it",
        "LOCATED": f"{curve.family} beats {_baseline(curve)}, and its best {symbol} is {listed(optimum, 'or')}",
        "BETTER": f"{curve.family} beats {_baseline(curve)}, though its best {symbol} may be any of {listed(optimum, 'and')}",
    }
    finding = said.get(verdict.label) or _undecided(curve)
    lost = sum(curve.lost.values())
    gone = f"; {counted(lost, 'replicate')} {'was' if lost == 1 else 'were'} lost" if lost else ""
    return f"On {curve.dataset}, {finding}{gone}."


def shift_sentence(shift: Shift, trends: Sequence[Trend] = ()) -> str:
    """Whether a family's best knob value moves between datasets, and whether it does along any of the study's dials."""
    verdict, symbol = shift.verdict, shift.knob.symbol
    number_of = counted(len(verdict.datasets), "dataset")
    if verdict.shift:
        pairs = [f"{low} below {high}" for low, high in verdict.apart]
        more = [counted(len(pairs) - _MOST_PAIRS + 1, "more pair")] if len(pairs) > _MOST_PAIRS else []
        told = f": {listed([*pairs[: _MOST_PAIRS - len(more)], *more])}" if pairs else ""
        return f"The best {symbol} of {shift.family} moves with the data: no one value is best on all {number_of}{told}."
    if verdict.p_bare is None and min(each.n_seeds for each in verdict.datasets) < 2:
        return f"Whether the best {symbol} of {shift.family} moves with the data cannot be asked: it takes two seeds at least."
    moved = [trend.dial.title for trend in trends if trend.family == shift.family and trend.verdict.trend]
    along = f"; along {listed(moved)} it does move" if moved else ""
    between = f"moves between the {number_of}{' taken together' if moved else ''}"
    return f"Nothing shows that the best {symbol} of {shift.family} {between}, nor that it stays{along}."


def shift_sentences(answer: Answer) -> list[str]:
    """The same of every family that was confirmed on several datasets."""
    return [shift_sentence(shift, answer.topology.trends) for shift in answer.shifts]


def alt_of_shift(shift: Shift) -> str:
    """Where each dataset's best value may be, for those who do not see it."""
    told = [f"{each.dataset} {optimum_stretch(each)}" for each in shift.verdict.datasets]
    return f"Where the best {shift.knob.symbol} of {shift.family} may be, by dataset: {'; '.join(told)}."


def optimum_stretch(evidence: OptimumEvidence) -> str:
    """``1.2 (0.95 to 1.4)``, or the values that may be best where no curve could be drawn through them."""
    if evidence.optimum is None or evidence.interval is None:
        return listed([plain(value) for value in evidence.optimum_set], "or")
    low, high = (f"{end:.2g}" for end in evidence.interval)
    return f"{evidence.optimum:.2g} ({low} to {high})".replace("-", "−")


def gains_sentence(answer: Answer, dataset: str) -> str:
    """What the gains over ``ce`` on one dataset show: that of the screen's first choice in full, the others by which side they are on."""
    contenders = [(curve, curve.contender) for curve in curves_of(answer, dataset) if curve.contender is not None]
    gainers = [(curve, contender) for curve, contender in contenders if _good(answer, contender.any_gain)]
    apart = {curve.family: gain for curve, contender in contenders if (gain := contender.any_gain) and gain.different}
    losers = [
        called(curve.family, contender.setting)
        for curve, contender in contenders
        if curve.family in apart and not _good(answer, apart[curve.family])
    ]
    itself = [curve.family for curve, contender in contenders if (gain := contender.any_gain) and is_none(gain)]
    open_ = [curve.family for curve, _ in contenders if curve.family not in (*apart, *itself)]
    clauses = []
    first = _first_choice(answer, dataset)
    if told := [contender for curve, contender in gainers if curve is first]:
        assert first is not None
        clauses.append(f"{_gain_clause(answer, called(first.family, told[0].setting), told[0].gain)}: told apart from none")
    if others := [called(curve.family, contender.setting) for curve, contender in gainers if curve is not first]:
        too = ", told apart from none too" if told else ": told apart from none"
        clauses.append(f"{listed(others)} {_does(others, 'does', 'do')} better than cross-entropy{too}")
    if losers:
        clauses.append(f"{listed(losers)} {_does(losers, 'does', 'do')} worse than cross-entropy")
    if open_:
        clauses.append(f"{listed(open_)} cannot be told from {'it' if clauses else 'cross-entropy'}")
    if itself:
        clauses.append(f"the setting of {listed(itself)} is cross-entropy")
    return f"On {dataset}, {'; '.join(clauses)}." if clauses else f"On {dataset}, no family has a measured gain yet."


def screen_sentence(answer: Answer, dataset: str) -> str:
    """What the screen of one dataset saw."""
    rows = answer.screen[answer.screen["dataset"] == dataset]
    measured = rows.dropna(subset=["value"])
    if measured.empty:
        return f"On {dataset}, none of {counted(len(rows), 'screened configuration')} ended well."
    best = measured.iloc[0]
    unit, lost = metric_words(answer.spec).unit, len(rows) - len(measured)
    found = f"{called(str(best['family']), str(best['setting']))} did best of {counted(len(rows), 'screened configuration')}"
    told = f"{found}, with {number(float(best['value']), places(answer.spec.smallest_effect))}{unit}"
    return f"On {dataset}, {told}; a screen’s best is optimistic{f', and {lost} were lost' if lost else ''}."


def alt_of_curve(answer: Answer, curve: Curve, besides: str = "") -> str:
    """The response curve for those who do not see it: every mean, in order, and a clause on what is marked ``besides``."""
    words, metric = metric_words(answer.spec), answer.spec.metric
    decimals = places(answer.spec.smallest_effect)
    means = {value: fmean(seeds) for value, seeds in seeds_by_value(answer, curve).items()}
    told = ", ".join(f"{number(mean, decimals)} at {plain(value)}" for value, mean in means.items())
    baseline = answer.baselines.get(curve.dataset)
    against = f"; cross-entropy {number(float(baseline[metric].mean()), decimals)}" if baseline is not None and len(baseline) else ""
    return f"{words.title} of {curve.family} on {curve.dataset} against {curve.knob.symbol}: mean {told}{against}{besides}."


def alt_of_gains(answer: Answer, dataset: str) -> str:
    """The gains for those who do not see them."""
    told = [f"{curve.family} {gain_or_why(curve.contender)}" for curve in curves_of(answer, dataset) if curve.contender is not None]
    return f"Difference from cross-entropy in {metric_words(answer.spec).name} on {dataset}: {'; '.join(told) or 'none measured'}."


def gain_or_why(contender: Contender) -> str:
    """The gain of a setting that was chosen before these seeds, or why none is told."""
    if contender.gain is not None:
        return gain_words(contender.gain)
    return "too few seeds" if contender.optimistic_gain is None else "picked on these seeds"


def alt_of_screen(answer: Answer, dataset: str) -> str:
    """The screen for those who do not see it: each family's best."""
    rows = answer.screen[answer.screen["dataset"] == dataset].dropna(subset=["value"])
    best = rows.groupby("family", sort=False)["value"].first()
    decimals = places(answer.spec.smallest_effect)
    told = ", ".join(f"{family} {number(float(value), decimals)}" for family, value in best.items())
    return f"Screened configurations on {dataset}, {metric_words(answer.spec).name} by family; the best of each: {told or 'none'}."


def called(family: str, setting: str) -> str:
    """A family with its setting, as a sentence names it."""
    return family if setting in AS_IT_IS else f"{family} with {setting}"


def curves_of(answer: Answer, dataset: str) -> list[Curve]:
    """The curves of one dataset."""
    return [curve for curve in answer.curves if curve.dataset == dataset]


def surfaces_of(answer: Answer, dataset: str) -> list[Surface]:
    """The surfaces of one dataset."""
    return [surface for surface in answer.surfaces if surface.dataset == dataset]


def winner_of(answer: Answer, dataset: str) -> Winner | None:
    """The winner on one dataset, if there is one."""
    return next((winner for winner in answer.winners if winner.dataset == dataset), None)


def seeds_by_value(answer: Answer, curve: Curve) -> dict[float, list[float]]:
    """For each knob value of a curve, rising, the metric of the replicates that ended well."""
    table, found = curve.table.dropna(), dict[float, list[float]]()
    for value, measured in zip(table[curve.knob.name], table[answer.spec.metric], strict=True):
        found.setdefault(float(value), []).append(float(measured))
    return dict(sorted(found.items()))


def optimum_words(curve: Curve) -> str:
    """The values that may be best, with the baseline where it may be best too: ``λ = 1 or 1.5, or ce``."""
    verdict = curve.verdict
    if verdict.best is None:
        return "not known"
    kept, compared = verdict.optimum_set, [cell for cell in verdict.cells if cell.value is not None and cell.mean is not None]
    values = f"{curve.knob.symbol} = {listed([plain(value) for value in kept], 'or')}" if kept else ""
    if len(kept) == len(compared) > 2:
        values = f"any {curve.knob.symbol} tried"
    arm = "ce" if any(cell.value is None and cell.may_be_best for cell in verdict.cells) else ""
    return ", or ".join(filter(None, [values, arm]))


def _undecided(curve: Curve) -> str:
    verdict = curve.verdict
    if verdict.best is None or verdict.n_seeds < 2:
        return f"too few replicates of {curve.family} ended well to judge it: at least two seeds are needed, and five are a start"
    seeds = counted(verdict.n_seeds, "seed")
    return f"{seeds} cannot tell whether any {curve.knob.symbol} of {curve.family} beats {_baseline(curve)}{_more_seeds([curve])}"


def _does(subjects: Sequence[str], one: str, many: str) -> str:
    return one if len(subjects) == 1 else many


def _baseline(curve: Curve) -> str:
    baseline = curve.verdict.question.baseline
    if baseline is None:
        return "cross-entropy"
    return f"cross-entropy {'with the same regularisers ' if curve.regularizers else ''}({curve.knob.symbol} = {plain(baseline)})"


def _measured(answer: Answer, winner: Winner) -> str:
    summary = winner.summary
    decimals = places(half_width(summary) or answer.spec.smallest_effect)
    return f"{number(summary.mean, decimals)}{metric_words(answer.spec).unit} ({counted(summary.n, 'seed')})"


def _gain_clause(answer: Answer, name: str, gain: Gain | None) -> str:
    if gain is None:
        return f"{name} has no measured gain"
    if answer.spec.maximize and gain.mean > 0:
        return f"{name} gains {_difference(answer, gain)} over cross-entropy ({interval_words(gain)}, {counted(gain.n, 'seed')})"
    if gain.mean < 0 and not answer.spec.maximize:
        measured = f"{interval_words(gain)}, {counted(gain.n, 'seed')}"
        return f"{name} lowers {metric_words(answer.spec).name} by {_difference(answer, gain)} against cross-entropy ({measured})"
    return f"{name} {_standing(answer, gain)}"


def _standing(answer: Answer, gain: Gain) -> str:
    side = "above" if gain.mean > 0 else "below"
    return f"is {_difference(answer, gain)} {side} cross-entropy ({interval_words(gain)}, {counted(gain.n, 'seed')})"


def _difference(answer: Answer, gain: Gain) -> str:
    return _sized(answer, number(abs(gain.mean), gain_places(gain)))


def _sized(answer: Answer, size: str) -> str:
    unit = metric_words(answer.spec).points
    return size + (unit.removesuffix("s") if size == "1" else unit)


def _sesoi(answer: Answer) -> str:
    return _sized(answer, f"{answer.spec.smallest_effect:g}")


def _good(answer: Answer, gain: Gain | None) -> bool:
    return gain is not None and gain.different and (gain.mean > 0) == answer.spec.maximize


def _best_mean(winner: Winner) -> str:
    return "" if winner.family == "ce" else f": the best mean is that of {called(winner.family, winner.setting)}"


def _more_seeds(curves: Sequence[Curve]) -> str:
    wanted = {curve.family: curve.verdict.more_seeds for curve in curves if curve.verdict.more_seeds}
    if not wanted:
        return ""
    least = min(wanted.values())
    soonest = [family for family, number in wanted.items() if number == least]
    of = "" if len(soonest) == len(curves) else f" on {listed(soonest)}"
    return f"; {forecast(least)}{of}"
