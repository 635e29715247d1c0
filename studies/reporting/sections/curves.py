"""Response curves: the metric against each family's knob, and the finer curves of a zoom."""

from __future__ import annotations

from studies.findings import Answer
from studies.reporting.figures import curve_figure, curve_overlay, goes_beyond
from studies.reporting.published import KEY, published
from studies.reporting.section import Figure, Section
from studies.reporting.sentences import curves_of
from studies.reporting.tables import confidence_words
from studies.reporting.wording import metric_words


def section(answer: Answer) -> Section | None:
    """The curves of the confirm stage."""
    if not answer.curves:
        return None
    words, spec = metric_words(answer.spec), answer.spec
    key = [
        ("best", "may be best"),
        ("mean", f"mean, {confidence_words(answer)} interval"),
        ("seed", "one seed"),
        ("ce", f"ce ± {spec.smallest_effect:g}{words.points}, the smallest effect of interest"),
        *_lines(answer),
        *([KEY] if any(published(answer, curve) for curve in answer.curves) else []),
        *([("lost", "lost replicates")] if any(curve.lost for curve in answer.curves) else []),
        *([("beyond", "beyond the scale, at the value beside it")] if goes_beyond(answer) else []),
    ]
    better = "" if spec.maximize else "; less is better"
    lead = f"{words.title} against each family’s knob, on seeds that chose nothing. Within a dataset all panels share one scale{better}."
    return Section("curves", "Response curves", lead, _groups(answer), key=key)


def zoom(answer: Answer) -> Section | None:
    """Those of the zoom stage."""
    if not answer.zooms:
        return None
    lead = "Finer values around those that may be best, on fresh seeds. Nothing of the curves above enters these."
    return Section("zoom", "A closer look", lead, _groups(answer.closer()), key=_lines(answer.closer()))


def _lines(answer: Answer) -> list[tuple[str, str]]:
    """What is drawn through the means, where it is."""
    drawn = [found for curve in answer.curves if (found := curve_overlay(answer, curve)) is not None]
    process = [("process", "Gaussian process through the means, for the eye alone")]
    cubic = [("cubic", "cubic, where one fits, likewise")]
    return [*(process if drawn else []), *(cubic if any(each.cubic for each in drawn) else [])]


def _groups(answer: Answer) -> list[tuple[str, list[Figure]]]:
    shown = [dataset for dataset in answer.datasets if curves_of(answer, dataset)]
    return [(dataset, [curve_figure(answer, curve) for curve in curves_of(answer, dataset)]) for dataset in shown]
