"""The descriptors of datasets, taken once for all networks that look at them; those of a study's datasets are kept in its ledger.

What a descriptor is, `margin_core.topology` says; what is concluded of them, `studies.relating`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from margin_core.data import DatasetConfig, prepare
from margin_core.topology import Fingerprint, class_sizes, comparable, describe_prepared
from studies.sections import NetworkSection
from studies.spec import StudySpec
from studies.topology import Described
from studies.tracking.ledger import Ledger

_KEY, _PROBLEM = "descriptors", "descriptors.problem"
_RANDOM = "random weights"


@dataclass(frozen=True)
class Network:
    """A network whose features are read: a model and its weights, as in a study file."""

    model: str
    weights: str

    @classmethod
    def of(cls, section: NetworkSection) -> Network:
        """The network that a study file names."""
        return cls(section.name, section.weights)

    @classmethod
    def from_words(cls, words: str) -> Network:
        """The network that `words` named."""
        model, _, weights = words.partition(", ")
        return cls(model, "random" if weights == _RANDOM else weights)

    @property
    def words(self) -> str:
        """What tables and reports call it."""
        return f"{self.model}, {_RANDOM if self.weights == 'random' else self.weights}"


def fingerprints(
    configs: Sequence[DatasetConfig],
    networks: Sequence[Network],
    *,
    classes: int | None = None,
    per_class: int | None = None,
    seed: int = 0,
    data_root: Path | None = None,
    told: Callable[[str], None] = lambda name: None,
) -> dict[Network, dict[str, Fingerprint]]:
    """What each network makes of each dataset, looked at with as many examples of as many classes.

    Args:
        configs: The datasets.
        networks: The networks.
        classes: How many classes; by default as many as all the datasets have.
        per_class: Examples of each class; by default as many as all have, up to 10000 in all.
        seed: Draws splits, examples and halves.
        data_root: Where datasets and weights lie.
        told: Is told the name of each dataset before it is looked at.

    Raises:
        ValueError: See `margin_core.topology.describe_dataset`.
        FileNotFoundError: Where files of a dataset or weights are not there.
    """
    for config in configs:
        if config.pretext is not None:
            raise ValueError(f"pretext must be left out where a dataset is described, got {config.pretext!r}")
    prepared = {config.key: prepare(config, data_root=data_root, study_seed=seed, replicate=0) for config in configs}
    sizes = [class_sizes(data) for data in prepared.values()]
    most, enough = comparable(sizes if classes is None else [of[:classes] for of in sizes])
    found: dict[Network, dict[str, Fingerprint]] = {network: {} for network in networks}
    for key, data in prepared.items():
        told(key)
        for network in networks:
            found[network][key] = describe_prepared(
                data,
                model=network.model,
                weights=network.weights,
                classes=classes or most,
                per_class=per_class or enough,
                seed=seed,
                data_root=data_root,
                device="cuda" if torch.cuda.is_available() else "cpu",
            )
    return found


def describe_study(ledger: Ledger, spec: StudySpec, networks: Sequence[Network], data_root: Path | None) -> None:
    """Describe a study's datasets and keep that in its ledger, in the place of what these networks said before.

    Raises:
        ValueError: See `fingerprints`.
        FileNotFoundError: Likewise.
    """
    found = fingerprints([entry.config() for entry in spec.datasets], networks, seed=spec.seed, data_root=data_root)
    new = [_described(network, of_dataset) for network, of_dataset in found.items()]
    names = {each.network for each in new}
    kept = [each for each in recorded_descriptors(ledger) if each.network not in names]
    ledger.set_meta(_KEY, json.dumps([each.to_dict() for each in [*kept, *new]]))
    ledger.set_meta(_PROBLEM, "")


def describe_as_asked(ledger: Ledger, spec: StudySpec, data_root: Path | None) -> None:
    """What the study file's ``describe`` asks for and the ledger lacks; what hinders it is kept too, and harms nothing else."""
    keys = {entry.config().key for entry in spec.datasets}
    known = {each.network for each in recorded_descriptors(ledger) if set(each.datasets) == keys}
    missing = [network for network in map(Network.of, spec.describe) if network.words not in known]
    if missing:
        try:
            describe_study(ledger, spec, missing, data_root)
        except (ValueError, OSError) as error:
            ledger.set_meta(_PROBLEM, str(error))


def recorded_descriptors(ledger: Ledger) -> list[Described]:
    """What is known of the datasets of a study, one record for each network."""
    return [Described.from_dict(data) for data in json.loads(ledger.meta(_KEY) or "[]")]


def recorded_problem(ledger: Ledger) -> str:
    """Why the datasets could not be described, or empty."""
    return ledger.meta(_PROBLEM) or ""


def _described(network: Network, of_dataset: dict[str, Fingerprint]) -> Described:
    first = next(iter(of_dataset.values()))
    return Described(
        network.words,
        first.examples,
        first.classes,
        {key: dict(each.estimates) for key, each in of_dataset.items()},
        {key: dict(each.dimensions) for key, each in of_dataset.items()},
    )
