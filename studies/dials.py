"""The dials of a study: datasets that are one dataset at several levels of one property, everything else being equal.

They are read off the datasets' declarations, so nobody lists them. What is asked along them is `studies.relating`'s.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from margin_core.data import DatasetConfig

LEAST_LEVELS = 3
_CHOICES = ("farthest", "first", "nearest")


@dataclass(frozen=True)
class Dial:
    """One property that is turned.

    Attributes:
        name: As in the study file: ``label_noise``, ``classes``, ...; ``granularity`` where as many classes are chosen coarse to fine.
        datasets: What the study calls the datasets, from the lowest level to the highest.
        levels: The level of each in words.
    """

    name: str
    datasets: tuple[str, ...]
    levels: tuple[str, ...]

    @property
    def title(self) -> str:
        """The name in prose."""
        return self.name.replace("_", " ")


@dataclass(frozen=True)
class _Property:
    """How one property of a dataset is read: its level, None where it has none, and the dataset with the property set aside."""

    name: str
    level: Callable[[DatasetConfig], float | None]
    without: Callable[[DatasetConfig], DatasetConfig]
    words: Callable[[float], str] = lambda level: "all" if math.isinf(level) else f"{level:g}"


def _noise(kind: str) -> _Property:
    return _Property(
        "label_noise",
        lambda config: config.label_noise if config.noise == kind or not config.label_noise else None,
        lambda config: replace(config, label_noise=0.0, noise="symmetric"),
    )


def _imbalance(kind: str) -> _Property:
    return _Property(
        "imbalance",
        lambda config: 1.0 if config.imbalance is None else float(config.imbalance.ratio) if config.imbalance.kind == kind else None,
        lambda config: replace(config, imbalance=None),
    )


PROPERTIES: Sequence[_Property] = (
    *map(_noise, ("symmetric", "nearest")),
    _Property(
        "granularity",
        lambda config: None if config.classes is None else float(_CHOICES.index(config.choose)),
        lambda config: replace(config, choose="first"),
        lambda level: f"{_CHOICES[int(level)]} classes",
    ),
    _Property("classes", lambda config: float(config.classes or math.inf), lambda config: replace(config, classes=None)),
    _Property(
        "images_per_class", lambda config: float(config.images_per_class or math.inf), lambda config: replace(config, images_per_class=None)
    ),
    *map(_imbalance, ("long_tailed", "step")),
    _Property("clutter", lambda config: config.clutter, lambda config: replace(config, clutter=0.0)),
    _Property("deform", lambda config: config.deform, lambda config: replace(config, deform=0.0)),
    _Property(
        "dimension",
        lambda config: None if config.manifold is None else float(config.manifold.dimension),
        lambda config: config if config.manifold is None else replace(config, manifold=replace(config.manifold, dimension=1)),
    ),
    _Property(
        "pixel_noise",
        lambda config: None if config.manifold is None else config.manifold.pixel_noise,
        lambda config: config if config.manifold is None else replace(config, manifold=replace(config.manifold, pixel_noise=0.0)),
    ),
)


def dials(configs: Sequence[DatasetConfig]) -> list[Dial]:
    """Every dial of three levels or more among some datasets.

    Example:
        >>> noisy = [DatasetConfig("digits", label_noise=share) for share in (0.4, 0.0, 0.2)]
        >>> [(dial.title, dial.datasets) for dial in dials([*noisy, DatasetConfig("mnist")])]
        [('label noise', ('digits', 'digits-noise0.2', 'digits-noise0.4'))]
    """
    return [dial for turned in PROPERTIES for dial in _along(turned, configs)]


def undialled(configs: Sequence[DatasetConfig]) -> list[DatasetConfig]:
    """One of each source, that with the fewest dials turned: levels of a dial are no datasets of their own."""
    plain = {name: DatasetConfig(name) for name in dict.fromkeys(config.name for config in configs)}

    def turned(config: DatasetConfig) -> int:
        bare = replace(config, label=None)
        return sum(getattr(bare, name) != getattr(plain[config.name], name) for name in vars(bare))

    return [min((config for config in configs if config.name == name), key=turned) for name in plain]


def _along(turned: _Property, configs: Sequence[DatasetConfig]) -> Iterator[Dial]:
    alike: dict[DatasetConfig, dict[float, DatasetConfig]] = {}
    for config in configs:
        if (level := turned.level(config)) is not None:
            alike.setdefault(turned.without(replace(config, label=None)), {}).setdefault(level, config)
    for levels in alike.values():
        if len(levels) >= LEAST_LEVELS:
            rising = sorted(levels)
            yield Dial(turned.name, tuple(levels[level].key for level in rising), tuple(map(turned.words, rising)))
