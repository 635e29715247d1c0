"""How many labels are wrong, as far as the neighbours of an example can tell."""

from __future__ import annotations

import torch

from margin_core.topology.descriptor import Descriptor
from margin_core.topology.sample import Sample

VOTERS = 20


def label_noise(sample: Sample) -> float:
    """1 - trace of the confident joint: the share of examples whose own label their neighbours confidently put in another class.

    p(j | x) is the share of class j among an example's 20 nearest neighbours, so no example votes for itself. An example counts for the
    class of highest p(j | x) among those that reach t_j, the mean of p(j | x) over the examples that are labelled j. Classes that overlap
    in feature space are read as noise too. Northcutt, Jiang and Chuang, Confident Learning, JAIR 2021, eqs. (1) to (3).

    Returns:
        In [0, 1].
    """
    votes = sample.labels[sample.neighbours.indices[:, :VOTERS]]
    classes = len(sample.counts)
    shares = torch.zeros(len(sample), classes, dtype=torch.float64)
    shares.scatter_add_(1, votes, torch.full(votes.shape, 1.0 / votes.shape[1], dtype=torch.float64))
    own = shares.gather(1, sample.labels.unsqueeze(1)).squeeze(1)
    thresholds = torch.zeros(classes, dtype=torch.float64).index_add_(0, sample.labels, own) / sample.counts
    # Rounding must not keep out a class whose examples all have one share; a class nobody votes for is no candidate.
    confident = (shares >= thresholds - 1e-12) & (shares > 0.0)
    counted = confident.any(dim=1)
    given, voted = sample.labels[counted], shares.where(confident, -1.0).argmax(dim=1)[counted]
    joint = torch.zeros(classes, classes, dtype=torch.float64).index_put_((given, voted), torch.ones(len(given)).double(), accumulate=True)
    totals = joint.sum(dim=1)
    right = torch.where(totals > 0.0, joint.diagonal() / totals.clamp_min(1.0), 1.0)
    return float(1.0 - (right * sample.counts).sum() / len(sample))


DESCRIPTORS = (
    Descriptor(
        name="label_noise",
        title="Label noise",
        role="primary",
        meaning="more examples bear a label that their neighbours do not",
        source="Northcutt, Jiang and Chuang, Confident Learning, JAIR 2021, eqs. (1) to (3), with neighbours' shares as probabilities",
        measure=label_noise,
    ),
)
