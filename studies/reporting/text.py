"""The report in the terminal: verdicts with small plots of Unicode, eighty columns wide and readable without colour.

Sentences and numbers are those of the page; a plot's rows are the knob's values, and its columns the metric.
"""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from rich.text import Text

from studies.analysis import summarise
from studies.findings import Answer, Contender, Curve
from studies.reporting.figures import dataset_window, window_of_gains
from studies.reporting.notes import notes
from studies.reporting.sections.surfaces import sentence as surface_sentence
from studies.reporting.sentences import curve_sentence, curves_of, headline, seeds_by_value, shift_sentences, surfaces_of
from studies.reporting.strokes import shortened
from studies.reporting.tables import confidence_words, facts, set_sentence
from studies.reporting.terminal import STYLES
from studies.reporting.topology import topology_sentences
from studies.reporting.windows import Window
from studies.reporting.wording import gain_words, mean_words, metric_title, metric_words, number, plain

WIDTH = 80
_LABEL, _PLOT = 9, 50
_FAMILY = 17
BEST, OTHER, BAND, CE, ACROSS, LEFT, RIGHT = "●○─┊┼◀▶"
APART, NOT_APART = "◆◇"


def text_report(answer: Answer) -> Text:
    """The answer, the verdicts with their curves, the gains, and whether optima move, and with what."""
    return Text("\n").join(line for block in _blocks(answer) for line in block)


def _blocks(answer: Answer) -> Iterator[list[Text]]:
    about = ", ".join(f"{name.lower()} {value}" for name, value in facts(answer))
    yield [Text(answer.spec.name, style="bold"), *_said(about)]
    for note in notes(answer):
        yield _said(f"! {note}")
    for dataset in answer.datasets:
        yield [Text(), Text(f"── {shortened(dataset, WIDTH - 8)} ".ljust(WIDTH, "─"), style="bold"), *_said(headline(answer, dataset))]
        for curve in curves_of(answer, dataset):
            yield [Text(), _title(curve), *_said(curve_sentence(answer, curve)), *_plot(answer, curve)]
        for surface in surfaces_of(answer, dataset):
            label = str(surface.verdict.label)
            symbols = " and ".join(knob.symbol for knob in surface.knobs)
            yield [
                Text(),
                Text.assemble((f"{surface.family}, {symbols} ", "bold"), (label, STYLES[label])),
                *_said(surface_sentence(answer, surface)),
            ]
        yield from _gains(answer, dataset)
    if across := [*shift_sentences(answer), *topology_sentences(answer.topology)]:
        yield [Text(), *(line for sentence in across for line in _said(sentence))]
    if answer.curves:
        sure = confidence_words(answer)
        key = f"{BEST} may be best   {OTHER} ruled out   {BAND} {sure} interval   {CE} mean of ce   {LEFT}{RIGHT} beyond"
        gains = f"of gains: {APART} told apart from none   {NOT_APART} not"
        yield [
            Text(),
            Text(key, style="dim"),
            Text(gains, style="dim"),
            *(Text(line, style="dim") for line in wrap(set_sentence(answer), WIDTH)),
        ]


def _said(sentence: str) -> list[Text]:
    return [Text(line) for line in wrap(sentence, WIDTH)]


def _title(curve: Curve) -> Text:
    label = str(curve.verdict.label)
    return Text.assemble((f"{curve.family} ", "bold"), (label, STYLES[label]))


def _plot(answer: Answer, curve: Curve) -> list[Text]:
    window, baseline = dataset_window(answer, curve.dataset), answer.baselines.get(curve.dataset)
    ce = None if baseline is None or baseline.empty else float(baseline[answer.spec.metric].mean())
    rows = [Text(f"{curve.knob.symbol:>{_LABEL}} {_scale(window)} {metric_title(answer.spec)}"[:WIDTH], style="dim")]
    for value, measured in seeds_by_value(answer, curve).items():
        summary = summarise(measured, alpha=answer.spec.alpha)
        best = value in curve.verdict.optimum_set
        drawn = interval(window, summary.low, summary.mean, summary.high, mark=BEST if best else OTHER, rule=ce)
        rows.append(_row(plain(value), drawn, mean_words(summary), strong=best))
    rows += [Text(f"{plain(value):>{_LABEL}} ({count} lost)") for value, count in curve.lost.items()]
    return rows


def _gains(answer: Answer, dataset: str) -> Iterator[list[Text]]:
    measured = [(curve.family, curve.contender) for curve in curves_of(answer, dataset) if curve.contender and curve.contender.gain]
    if not measured:
        return
    window = window_of_gains(answer, [entry.gain for _, entry in measured if entry.gain])
    points = metric_words(answer.spec).points
    yield [Text(), Text(f"Gain over ce{points and f',{points}'}, of one setting of each family", style="bold")]
    yield [Text(f"{'':{_FAMILY}} {_scale(window, signed=True, width=_PLOT - 12)}", style="dim")]
    yield [_gain(window, family, contender) for family, contender in measured]


def _gain(window: Window, family: str, contender: Contender) -> Text:
    gain = contender.gain
    assert gain is not None
    drawn = interval(window, gain.low, gain.mean, gain.high, mark=APART if gain.different else NOT_APART, rule=0.0, width=_PLOT - 12)
    return Text(f"{shortened(family, _FAMILY):>{_FAMILY}} {drawn} {gain_words(gain)}"[:WIDTH])


def _row(label: str, drawn: str, said: str, *, strong: bool) -> Text:
    return Text(f"{label:>{_LABEL}} {drawn} {said}"[:WIDTH], style="bold" if strong else "")


def interval(
    window: Window, low: float | None, mean: float, high: float | None, *, mark: str, rule: float | None = None, width: int = _PLOT
) -> str:
    """A mean with its interval as a row of characters, over an upright rule.

    Example:
        >>> interval(Window(0.0, 9.0), 2.0, 4.0, 6.0, mark="●", rule=0.0, width=10)
        '┊ ──●──   '
    """
    cells = [" "] * width

    def place(value: float) -> int:
        return round((window.inside(value) - window.low) / (window.high - window.low) * (width - 1))

    if rule is not None:
        cells[place(rule)] = CE
    if low is not None and high is not None:
        first, last = place(low), place(high)
        cells[first : last + 1] = [BAND if cell == " " else ACROSS for cell in cells[first : last + 1]]
        cells[0] = cells[0] if window.holds(low) else LEFT
        cells[-1] = cells[-1] if window.holds(high) else RIGHT
    cells[place(mean)] = mark if window.holds(mean) else (LEFT if mean < window.low else RIGHT)
    return "".join(cells)


def _scale(window: Window, *, signed: bool = False, width: int = _PLOT) -> str:
    """The labels of a plot's columns, each with its middle at its place."""
    cells = [" "] * width
    free = 0
    for tick in window.ticks:
        label = number(tick, window.decimals, signed=signed)
        start = round((tick - window.low) / (window.high - window.low) * (width - 1)) - len(label) // 2
        if free <= start <= width - len(label):
            cells[start : start + len(label)] = label
            free = start + len(label) + 1
    return "".join(cells)
