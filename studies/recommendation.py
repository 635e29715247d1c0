"""Where to start on a new dataset: the families and knob values that earlier studies speak for, as a study file that asks them here.

A recommendation is no result. It says which families were better than ``ce`` on the datasets most like the new one, which values may be
best there, how weak that evidence is, and leaves the rest to the study.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from margin_core.data import DatasetConfig
from margin_core.knobs import Knob
from studies.evidence import Evidence, Precedent
from studies.spec import StudySpec, study_from

NEAR = 1.0
"""How much further than the nearest dataset another may be for its optimum to count."""
MOST_FAMILIES = 3
SEEDS = 5
CONFIGS = 16
"""Configurations that the screen is given for each family."""
_KEPT = ("model", "recipe", "regularizers", "nuisance", "metric", "sesoi", "alpha", "strict", "resources")


@dataclass(frozen=True)
class Suggestion:
    """A family to start with.

    Attributes:
        family: Its name.
        knob: The knob that its curve is over.
        gain: Its gain over ``ce`` in earlier studies, each counting by how near its dataset is; None where it was nowhere measured
            on seeds that did not pick its setting.
        optimistic_gain: The same of settings that were picked on the seeds that measure them: it ranks families without any other.
        values: The knob values to measure, rising.
        because: The curves that speak for it, the nearest first.
    """

    family: str
    knob: Knob
    gain: float | None
    optimistic_gain: float | None
    values: tuple[float, ...]
    because: tuple[Precedent, ...]

    @property
    def promise(self) -> float | None:
        """What it is ranked by: the gain, and the optimistic one where there is no other."""
        return self.optimistic_gain if self.gain is None else self.gain

    @property
    def sentence(self) -> str:
        """Why, in one sentence."""
        first = self.because[0]
        kept = ", ".join(f"{value:.4g}" for value in first.curve.verdict.optimum_set) or "none"
        gain = "not measured on seeds that did not pick the setting" if self.gain is None else f"{self.gain:+.2f}"
        return (
            f"{self.family}: gain over ce {gain}, weighed by nearness over {len(self.because)} curves; on the nearest, "
            f"{first.curve.dataset} of {first.study}, it is {first.curve.verdict.label}, and {self.knob.symbol} that may be best: {kept}"
        )


@dataclass(frozen=True)
class Recommendation:
    """Where to start.

    Attributes:
        dataset: What the dataset is called.
        suggestions: The families, the most promising first.
        evidence: What they rest on.
        weaknesses: Why that may not hold here, a sentence each.
        spec: The study that asks.
    """

    dataset: str
    suggestions: tuple[Suggestion, ...]
    evidence: Evidence
    weaknesses: tuple[str, ...]
    spec: StudySpec

    @property
    def study_file(self) -> str:
        """The study as a file to run, with the reasons over it."""
        head = [f"Where to start on {self.dataset}, by earlier studies. Nothing here is a result.", *self._reasons()]
        plain = self.spec.model_dump(mode="json", exclude_defaults=True)
        return "".join(f"# {line}\n" for line in head) + yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)

    def _reasons(self) -> list[str]:
        return [*(suggestion.sentence for suggestion in self.suggestions), *self.weaknesses]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "dataset": self.dataset,
            "families": [
                {
                    "family": suggestion.family,
                    "knob": suggestion.knob.name,
                    "values": list(suggestion.values),
                    "gain_over_ce": suggestion.gain,
                    "optimistic_gain_over_ce": suggestion.optimistic_gain,
                    "because": [each.to_dict() for each in suggestion.because],
                }
                for suggestion in self.suggestions
            ],
            "networks": list(self.evidence.networks),
            "weaknesses": list(self.weaknesses),
            "study": self.spec.model_dump(mode="json", exclude_defaults=True),
        }


def recommend(config: DatasetConfig, evidence: Evidence) -> Recommendation:
    """Weigh the evidence and lay out a study.

    Args:
        config: The dataset.
        evidence: At least one curve.

    Raises:
        StudyFileError: The nearest study's model or recipe cannot be had on this dataset.
    """
    families = dict.fromkeys(each.curve.family for each in evidence.precedents)
    suggestions = [_suggestion(family, [each for each in evidence.precedents if each.curve.family == family]) for family in families]
    ranked = sorted(suggestions, key=lambda each: (each.gain is None, each.promise is None, -(each.promise or 0.0), each.family))
    promising = [each for each in ranked if each.promise is not None and each.promise > 0.0] or ranked[:1]
    chosen = tuple(promising[:MOST_FAMILIES])
    return Recommendation(
        config.key, chosen, evidence, tuple(_weaknesses(config.name, evidence, chosen)), _study(config, chosen, evidence.precedents[0])
    )


def _suggestion(family: str, because: Sequence[Precedent]) -> Suggestion:
    gain, optimistic = (
        _weighed([(each.weight, value) for each, value in zip(because, values, strict=True) if value is not None])
        for values in ([each.gain for each in because], [each.optimistic_gain for each in because])
    )
    return Suggestion(family, because[0].curve.knob, gain, optimistic, _values(because), tuple(because))


def _weighed(measured: Sequence[tuple[float, float]]) -> float | None:
    weight = sum(each for each, _ in measured)
    return sum(each * value for each, value in measured) / weight if weight > 0.0 else None


def _values(because: Sequence[Precedent]) -> tuple[float, ...]:
    """The values that may be best on the nearest datasets, one more on each side, and the end of the range where the best was at an end."""
    near = [each.curve for each in because if each.distance <= because[0].distance + NEAR]
    knob = near[0].knob
    values = set[float]()
    for curve in near:
        tried = sorted(set(curve.table[curve.knob.name]))
        kept = [tried.index(value) for value in curve.verdict.optimum_set if value in tried] or [*range(len(tried))]
        values |= {float(value) for value in tried[max(0, min(kept) - 1) : max(kept) + 2]}
        if curve.verdict.label == "EDGE" and len(tried) > 1:
            values.add(_beyond(knob, tried if curve.verdict.best == tried[-1] else tried[::-1]))
    if knob.baseline is not None:
        values.add(knob.baseline)
    return tuple(sorted(values))


def _beyond(knob: Knob, tried: Sequence[float]) -> float:
    """Where to look beyond the last value tried: as far as the knob is searched, or else a step on, but no further than it may be."""
    before, last = tried[-2:]
    rising = last > before
    searched = knob.search[1] if rising else knob.search[0]
    if searched > last if rising else searched < last:
        return searched
    step = last * last / before if knob.scale == "log" and before > 0.0 else 2.0 * last - before
    bound, is_open = (knob.high, knob.open_high) if rising else (knob.low, knob.open_low)
    if step >= bound if rising else step <= bound:
        step = (last + bound) / 2.0 if is_open else bound
    return float(round(step)) if knob.integer else step


def _study(config: DatasetConfig, suggestions: Sequence[Suggestion], nearest: Precedent) -> StudySpec:
    was = nearest.answer.spec
    plain = was.model_dump(mode="json", exclude_defaults=True)
    families: dict[str, Any] = {"ce": plain["families"].get("ce")}
    for suggestion in suggestions:
        there = suggestion.because[0].answer.spec.model_dump(mode="json", exclude_defaults=True)["families"].get(suggestion.family) or {}
        families[suggestion.family] = {**there, suggestion.knob.name: _range(suggestion)}
    kept = {key: plain[key] for key in _KEPT if key in plain}
    dataset: dict[str, Any] = {"dataset": config.name, **({"size": config.size} if config.size else {})}
    return study_from(
        {
            "name": f"start-{config.key}",
            "description": f"Asks on {config.key} what earlier studies found on datasets like it.",
            "datasets": [dataset],
            **kept,
            "families": families,
            "screen": {"searcher": "sobol", "trials": CONFIGS * len(families)},
            "confirm": {
                "families": [suggestion.family for suggestion in suggestions],
                "seeds": max(SEEDS, was.confirm.seeds if was.confirm else 0),
                "values": {suggestion.family: list(suggestion.values) for suggestion in suggestions},
            },
        }
    )


def _range(suggestion: Suggestion) -> Any:
    """The values as the study file's screen takes them."""
    low, high = suggestion.values[0], suggestion.values[-1]
    if low == high:
        return low
    scale = {"scale": "log"} if suggestion.knob.scale == "log" and low > 0.0 else {}
    return {"low": low, "high": high} | scale


def _weaknesses(dataset: str, evidence: Evidence, chosen: Sequence[Suggestion]) -> list[str]:
    known, nearest = evidence.datasets, evidence.precedents[0]
    sources = evidence.sources
    of = "" if len(sources) == len(known) else f", with and without dials, of {', '.join(sources)}"
    told = [
        f"It rests on {len(known)} {'dataset' if len(known) == 1 else 'datasets'}{of}; the nearest, {nearest.curve.dataset} of "
        f"{nearest.study}, is {nearest.distance:.1f} standard deviations away in the eyes of {' and of '.join(evidence.networks)}."
    ]
    if dataset in sources:
        told.append(f"{dataset} is among them: that is what was found on it, and no evidence from others.")
    if evidence.spread is None:
        told.append("With one dataset nobody can say what is near.")
    elif nearest.distance > evidence.spread:
        told.append(f"The known datasets are {evidence.spread:.1f} from each other: the new one is like none of them.")
    if evidence.smaller:
        told.append(
            f"{'; '.join(evidence.smaller)}: label_noise, as a rule, and the error of every descriptor go with the size of the sample."
        )
    studies = {each.study: each.answer for each in evidence.precedents}
    for suggestion in chosen:
        relations = [
            relation for answer in studies.values() for relation in answer.topology.relations if relation.family == suggestion.family
        ]
        if not any(relation.verdict.related for relation in relations):
            told.append(
                f"That the best {suggestion.knob.symbol} of {suggestion.family} goes with what datasets are like has not been shown."
            )
        if not any(each.curve.verdict.better for each in suggestion.because):
            told.append(f"On none of them has {suggestion.family} been shown to be better than ce.")
    others = sorted({str(each.answer.spec.model.name) for each in evidence.precedents} - {nearest.answer.spec.model.name})
    if others:
        told.append(f"The studies trained several networks; this one trains that of the nearest, {nearest.answer.spec.model.name}.")
    return [*told, *(f"{sentence}." for sentence in evidence.left_out)]
