"""What earlier studies found on datasets that are like a new one: how near each of them is, and what was best there.

Near is meant by the four primary descriptors, in the eyes of the networks that those studies described their datasets with. That an optimum
goes with descriptors at all is a hypothesis, which each study's own report tests; here it only says where to look first.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

from margin_core.data import DatasetConfig, prepare
from margin_core.topology import Estimate, class_sizes, comparable, list_descriptors
from studies.analysis import Gain
from studies.answer import open_answer
from studies.descriptors import Network, fingerprints
from studies.findings import Answer, Curve
from studies.preflight import CallError
from studies.topology import Described
from studies.workspace import StudyFiles

Values = Mapping[str, Estimate]


@dataclass(frozen=True)
class Precedent:
    """A family's curve on a dataset of an earlier study.

    Attributes:
        study: The study's name.
        answer: What the study found.
        curve: The curve.
        distance: How far its dataset is from the new one: the root of the mean square difference of the primary descriptors, each in
            standard deviations over all datasets that are known.
    """

    study: str
    answer: Answer
    curve: Curve
    distance: float

    @property
    def source(self) -> str:
        """The dataset without its dials."""
        configs = (entry.config() for entry in self.answer.spec.datasets)
        return next(config.name for config in configs if config.key == self.curve.dataset)

    @property
    def weight(self) -> float:
        """What it counts for: 1 on a dataset just like the new one, less the further away."""
        return math.exp(-self.distance)

    @property
    def gain(self) -> float | None:
        """The family's gain over ``ce`` there, positive where it is better; None without two seeds that did not pick its setting."""
        return self._better(self.answer.gain_of(self.curve))

    @property
    def optimistic_gain(self) -> float | None:
        """That of a setting that was picked on the seeds that measure it, which is too good on average."""
        return self._better(self.curve.contender.optimistic_gain if self.curve.contender else None)

    def _better(self, gain: Gain | None) -> float | None:
        if gain is None:
            return None
        return gain.mean if self.answer.spec.maximize else -gain.mean

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        verdict = self.curve.verdict
        return {
            "study": self.study,
            "dataset": self.curve.dataset,
            "family": self.curve.family,
            "distance": self.distance,
            "label": verdict.label,
            "best": verdict.best,
            "optimum_set": list(verdict.optimum_set),
            "gain_over_ce": self.gain,
            "optimistic_gain_over_ce": self.optimistic_gain,
            "seeds": verdict.n_seeds,
        }


@dataclass(frozen=True)
class Evidence:
    """All that is known.

    Attributes:
        precedents: The curves of earlier studies, the nearest first.
        networks: In whose eyes datasets were compared.
        spread: The mean distance between the known datasets; None where there is one only.
        left_out: Why studies, or networks of theirs, say nothing of the new dataset, a sentence each.
        smaller: Of which studies' samples the new dataset's is smaller, a sentence each.
    """

    precedents: tuple[Precedent, ...]
    networks: tuple[str, ...]
    spread: float | None
    left_out: tuple[str, ...]
    smaller: tuple[str, ...] = ()

    @property
    def datasets(self) -> list[tuple[str, str]]:
        """Study and name of each known dataset, the nearest first."""
        return list(dict.fromkeys((each.study, each.curve.dataset) for each in self.precedents))

    @property
    def sources(self) -> list[str]:
        """Whose levels and sizes the known datasets are, the nearest first."""
        return list(dict.fromkeys(each.source for each in self.precedents))


def gather(config: DatasetConfig, files: Sequence[StudyFiles], data_root: Path | None, told: Callable[[str], None]) -> Evidence:
    """Describe a new dataset as each earlier study described its own, and measure how far it is from them.

    Args:
        config: The new dataset.
        files: The studies.
        data_root: Where datasets and weights lie.
        told: Is told what is looked at, as it may take a while.

    Raises:
        CallError: No study says anything of the dataset.
        ValueError: The dataset or its files cannot be described.
        FileNotFoundError: Files of the dataset or weights are not there.
    """
    known, mine, left_out = dict[tuple[str, str, str], Values](), dict[str, Values](), list[str]()
    smaller = dict[str, None]()
    answers = {of.directory.name: open_answer(of.directory) for of in files}
    metric = _commonest_metric(answers.values())
    for study, answer in answers.items():
        hindrance, blind = _hindrance(answer, metric), list[str]()
        for described in [] if hindrance else answer.topology.described:
            try:
                if described.network not in mine:
                    told(f"{config.key} in the eyes of {described.network}")
                    mine[described.network], fewer = _describe(config, described, answer.spec.seed, data_root)
                    smaller |= {f"{study} {fewer}": None} if fewer else {}
                known |= {(described.network, study, key): values for key, values in described.datasets.items()}
            except (ValueError, FileNotFoundError) as error:
                if isinstance(error, FileNotFoundError):  # of the network's weights, or, which this raises, of the new dataset
                    prepare(config, data_root=data_root, study_seed=answer.spec.seed, replicate=0)
                blind.append(f"of {described.examples} examples of {described.classes} classes in the eyes of {described.network}: {error}")
        if hindrance:
            left_out.append(f"{study} says nothing of it: {hindrance}")
        elif blind:
            which = "says nothing of it" if len(blind) == len(answer.topology.described) else "is compared without what it saw"
            left_out += [f"{study} {which} {each}" for each in blind]
    distances = _distances(known, mine)
    precedents = [
        Precedent(study, answer, curve, distances[study, curve.dataset])
        for study, answer in answers.items()
        for curve in answer.curves
        if (study, curve.dataset) in distances
    ]
    if not precedents:
        raise CallError(f"no earlier study says anything of {config.key}: {'; '.join(left_out) or 'there is none'}")
    ranked = tuple(sorted(precedents, key=lambda each: (each.distance, each.study, each.curve.dataset, each.curve.family)))
    return Evidence(ranked, tuple(mine), _spread(known), tuple(left_out), tuple(smaller))


def _commonest_metric(answers: Iterable[Answer]) -> str:
    """That of most studies that have anything to say: gains in different ones cannot be weighed against each other."""
    metrics = Counter(answer.spec.metric for answer in answers if answer.curves and answer.topology.described)
    return metrics.most_common(1)[0][0] if metrics else ""


def _hindrance(answer: Answer, metric: str) -> str:
    if not answer.curves:
        return "it has confirmed nothing yet"
    if not answer.topology.described:
        return f"its datasets are not described (margin-studies describe --study {answer.spec.name} --model NAME)"
    if answer.spec.metric != metric:
        return f"it is about {answer.spec.metric}, others about {metric}"
    return ""


def _describe(config: DatasetConfig, described: Described, seed: int, data_root: Path | None) -> tuple[Values, str]:
    """The new dataset's descriptors, from as many examples of as many classes as the study looked at, or as there are; and how few."""
    network, asked = Network.from_words(described.network), (described.classes, described.examples // described.classes)
    sizes = class_sizes(prepare(config, data_root=data_root, study_seed=seed, replicate=0))
    classes = min(asked[0], len(sizes))
    _, enough = comparable([sizes[:classes]])
    taken = classes, min(asked[1], enough)
    found = fingerprints([config], [network], classes=taken[0], per_class=taken[1], seed=seed, data_root=data_root)
    fewer = f"looked at {asked[1]} examples of each of {asked[0]} classes, of {config.key} there are {taken[1]} of each of {taken[0]}"
    return dict(found[network][config.key].estimates), "" if taken == asked else fewer


def _distances(known: Mapping[tuple[str, str, str], Values], mine: Mapping[str, Values]) -> dict[tuple[str, str], float]:
    """How far each dataset is from the new one, the mean over the networks that have looked at it."""
    seen: dict[tuple[str, str], list[float]] = {}
    for (network, study, dataset), values in known.items():
        scales = _scales([mine[network], *(other for (eyes, _, _), other in known.items() if eyes == network)])
        if (distance := _distance(mine[network], values, scales)) is not None:
            seen.setdefault((study, dataset), []).append(distance)
    return {key: fmean(each) for key, each in seen.items()}


def _spread(known: Mapping[tuple[str, str, str], Values]) -> float | None:
    """The mean distance between two known datasets that one network has looked at."""
    apart = []
    for network in dict.fromkeys(eyes for eyes, _, _ in known):
        values = [each for (eyes, _, _), each in known.items() if eyes == network]
        scales = _scales(values)
        apart += [_distance(one, other, scales) for place, one in enumerate(values) for other in values[:place]]
    told = [each for each in apart if each is not None]
    return fmean(told) if told else None


def _scales(values: Sequence[Values]) -> dict[str, float]:
    """The standard deviation of each primary descriptor over datasets, where it has one."""
    scales = {}
    for name in (descriptor.name for descriptor in list_descriptors() if descriptor.role == "primary"):
        numbers = [each[name].value for each in values if name in each and math.isfinite(each[name].value)]
        if len(numbers) > 1 and (scale := pstdev(numbers)) > 0.0:
            scales[name] = scale
    return scales


def _distance(one: Values, other: Values, scales: Mapping[str, float]) -> float | None:
    squares = [
        ((one[name].value - other[name].value) / scale) ** 2
        for name, scale in scales.items()
        if name in one and name in other and math.isfinite(one[name].value) and math.isfinite(other[name].value)
    ]
    return math.sqrt(fmean(squares)) if squares else None
