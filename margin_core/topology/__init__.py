"""Descriptors of a dataset's topology on frozen features: what may say why one optimum holds here and another there.

A descriptor is one number of a `Sample`, the features and classes of some examples and the graph of their nearest neighbours. `describe`
takes all of them with their errors. What is concluded from them is left to `studies.analysis`.
"""

from margin_core.topology.descriptor import Descriptor, Estimate
from margin_core.topology.fingerprint import Fingerprint, describe, describe_sample, list_descriptors, matched_examples
from margin_core.topology.intrinsic_dimension import intrinsic_dimension_curve
from margin_core.topology.neighbours import Neighbours, nearest_neighbours
from margin_core.topology.of_dataset import class_sizes, comparable, describe_dataset, describe_prepared
from margin_core.topology.sample import Sample
from margin_core.topology.sensitivity import frame_sensitivity, pose_sensitivity

__all__ = [
    "Descriptor",
    "Estimate",
    "Fingerprint",
    "Neighbours",
    "Sample",
    "class_sizes",
    "comparable",
    "describe",
    "describe_dataset",
    "describe_prepared",
    "describe_sample",
    "frame_sensitivity",
    "intrinsic_dimension_curve",
    "list_descriptors",
    "matched_examples",
    "nearest_neighbours",
    "pose_sensitivity",
]
