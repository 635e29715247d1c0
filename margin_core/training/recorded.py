"""Steps of an array that are recorded once and replayed: as CUDA graphs, on a GPU.

A step of small networks is some hundred kernels of a few microseconds each, which Python takes longer to ask for than a GPU to run. A
graph of them is asked for at once. Nothing in it can be changed but what lies in the tensors that it reads.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias

import torch
from torch import Tensor

from margin_core.training.stacked import Given

Make: TypeAlias = Callable[[Given, Tensor], Tensor]
"""Makes a step on what the networks are given and the labels (T, N), and says the objectives (T,) before it."""
Recorder: TypeAlias = Callable[[Make, Given, Tensor], Make]

# Steps of a shape before one is recorded: libraries set themselves up in the first ones, and kernels are compiled.
WARM_UP = 3

logger = logging.getLogger(__name__)


def recorder(device: torch.device) -> Recorder | None:
    """How steps are recorded on a device; None where they are not."""
    return cuda_graph if device.type == "cuda" else None


class RecordedSteps:
    """Makes steps, those of each shape of batch from the fourth on as the fourth was recorded.

    Args:
        record: How that is done.
    """

    def __init__(self, record: Recorder) -> None:
        self._record: Recorder | None = record
        self._seen: Counter[Any] = Counter()
        self._replay: dict[Any, Make] = {}

    def __call__(self, make: Make, given: Given, target: Tensor) -> Tensor:
        """Make a step.

        Args:
            make: How, the same each time; it reads what changes from step to step out of tensors that stay where they are.
            given: What the networks see.
            target: The labels, (T, N).
        """
        shape = tuple((count, batch.shape) for count, batch in given.parts)
        self._seen[shape] += 1
        if shape in self._replay:
            return self._replay[shape](given, target)
        if self._record is None or self._seen[shape] <= WARM_UP:
            return make(given, target)
        try:
            self._replay[shape] = self._record(make, given, target)
        except RuntimeError as error:  # a family of another package that looks at its numbers, say
            _tell(str(error).partition("\n")[0])
            self._record = None
            return make(given, target)
        return self._replay[shape](given, target)


@cache
def _tell(why: str) -> None:
    """Warn that steps are not recorded: once, though it is tried again whenever a trial has come or gone."""
    logger.warning("steps are not recorded, and are slower: %s", why)


def cuda_graph(make: Make, given: Given, target: Tensor) -> Make:
    """A step as a CUDA graph. Recording it does not make it.

    Raises:
        RuntimeError: Where it does what a graph cannot hold: wait for the GPU, say.
    """
    seen, labels, graph = given.map(torch.clone), target.clone(), torch.cuda.CUDAGraph()
    with torch.cuda.device(target.device):
        present, aside = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        # The stream that is present stays so where the graph fails. Other threads go on meanwhile: one of them gathers the next batch.
        with torch.cuda.stream(present), torch.cuda.graph(graph, stream=aside, capture_error_mode="thread_local"):
            totals = make(seen, labels)

    def replay(given: Given, target: Tensor) -> Tensor:
        for (_, own), (_, batch) in zip(seen.parts, given.parts, strict=True):
            own.copy_(batch)
        labels.copy_(target)
        graph.replay()
        return totals

    return replay
