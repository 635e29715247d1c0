"""The model card of an export: what the network is, how good and how surely, and how it is used. Markdown, with a model hub's header."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from studies.findings import Answer, Winner
from studies.reporting.sections.surfaces import sentence as surface_sentence
from studies.reporting.sentences import called, curve_sentence, curves_of, headline, surfaces_of, tested_sentence
from studies.reporting.tables import recipe
from studies.reporting.wording import gain_words, mean_words, metric_words


def model_card(
    answer: Answer,
    winner: Winner,
    *,
    dataset: str,
    seed: int,
    result: Mapping[str, float],
    reads: str,
    shape: Sequence[int],
    standardised: tuple[Sequence[float], Sequence[float]] | None,
    files: Mapping[str, str],
) -> str:
    """The card of a dataset's export.

    Args:
        answer: What the study found.
        winner: The exported setting.
        dataset: The dataset's own name, whatever the study calls it.
        seed: The replicate whose weights are exported.
        result: Its metrics.
        reads: What the network takes: ``images`` or ``features``.
        shape: The shape of one of them.
        standardised: Mean and standard deviation of each channel, of images whose values are between 0 and 1; None where they go in
            as they are.
        files: What each file is.
    """
    words = metric_words(answer.spec)
    tested = next((tested for tested in answer.tested if tested.dataset == winner.dataset), None)
    told = recipe(answer)
    fixed = tested.gain if tested is not None and tested.cell_id == winner.cell_id else None
    heading = "Gain over ce, on the test split" if fixed else "Gain over ce, optimistic for being picked on these seeds"
    shown = fixed or winner.optimistic_gain
    gain = [] if shown is None else [(heading, f"{gain_words(shown)}{words.points}")]
    return _template().render(
        spec=answer.spec,
        winner=winner,
        dataset=dataset,
        words=words,
        name=called(winner.family, winner.setting),
        headline=headline(answer, winner.dataset),
        rows=[
            ("Network", answer.spec.model.name),
            ("Loss", called(winner.family, winner.setting)),
            (words.title, f"{mean_words(winner.summary)}{words.unit}, {winner.summary.n} seeds"),
            *gain,
            *told,
        ],
        reason=f"{winner.reason[:1].upper()}{winner.reason[1:]}.",
        curves=[
            *(curve_sentence(answer, curve) for curve in curves_of(answer, winner.dataset)),
            *(surface_sentence(answer, surface) for surface in surfaces_of(answer, winner.dataset)),
        ],
        tested="" if tested is None else tested_sentence(answer, tested),
        seed=seed,
        own=f"{result[answer.spec.metric]:.6g}{words.unit}",
        reads=reads,
        shape=(1, *shape),
        standardised=_standardised(standardised),
        files=sorted(files.items()),
    )


def _standardised(by: tuple[Sequence[float], Sequence[float]] | None) -> str:
    if by is None:
        return ""
    mean, std = (", ".join(f"{value:.4f}" for value in values) for values in by)
    return f", values from 0 to 1 less the channel's mean ({mean}), over its standard deviation ({std})"


def _template() -> Template:
    loader = PackageLoader("studies.reporting", "templates")
    return Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True).get_template("card.md")
