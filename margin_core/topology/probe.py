"""How hard the classes are for a linear classifier of the features."""

from __future__ import annotations

import torch

from margin_core.seeds import torch_generator
from margin_core.topology.descriptor import Descriptor
from margin_core.topology.sample import Sample

FOLDS = 3
PENALTY = 1e-2
"""Of the squared weights, in units of the features' mean variance times the number of examples."""


def linear_probe_error(sample: Sample) -> float:
    """The error of ridge regression on the classes' indicators, in threefold cross-validation, each fold with its part of every class.

    It falls as examples become more.

    Returns:
        Percent, 0 to 100.
    """
    examples = sample.features.double()
    order = torch.rand(len(sample), generator=torch_generator("linear probe")).argsort()
    by_class = order[sample.labels[order].argsort(stable=True)]
    folds = torch.empty_like(by_class)
    folds[by_class] = torch.arange(len(sample)) % FOLDS
    indicators = torch.nn.functional.one_hot(sample.labels).double()
    wrong = 0
    for fold in range(FOLDS):
        taught, asked = folds != fold, folds == fold
        mean = examples[taught].mean(dim=0)
        inputs, outputs = examples[taught] - mean, indicators[taught]
        products = inputs.T @ inputs
        products.diagonal().add_(PENALTY * products.diagonal().mean() + torch.finfo(torch.float64).tiny)
        weights = torch.linalg.solve(products, inputs.T @ (outputs - outputs.mean(dim=0)))
        predicted = ((examples[asked] - mean) @ weights + outputs.mean(dim=0)).argmax(dim=1)
        wrong += int((predicted != sample.labels[asked]).sum())
    return 100.0 * wrong / len(sample)


DESCRIPTORS = (
    Descriptor(
        name="linear_probe_error",
        title="Error of a linear probe",
        role="exploratory",
        meaning="classes are harder to tell apart by planes",
        source="Alain and Bengio, Understanding intermediate layers using linear classifier probes, 2016, by ridge regression",
        measure=linear_probe_error,
    ),
)
