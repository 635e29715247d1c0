"""The processes that train one trial together: which examples of a batch are whose, and the sums over all of them.

They are a process group of `torch.distributed` that somebody else has set up, with gloo on processors or nccl on GPUs. What is summed is
left to `step`, who evaluates and saves to `trial`. This is no `DistributedDataParallel`: it takes the plain mean over processes, which is
wrong where parts differ in size, knows nothing of the loss's own parameters or of regularisers outside the network's call, and sums in
another order after its first step, so that a trial that is continued would not arrive at the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch import distributed as dist


@dataclass(frozen=True)
class Processes:
    """The processes of a trial, seen from one of them.

    Args:
        number: How many there are.
        rank: Which one this is, from 0.
    """

    number: int = 1
    rank: int = 0

    @classmethod
    def joined(cls, number: int) -> Processes:
        """The processes of the present process group; this one alone where ``number`` is 1, whether there is a group or not.

        Raises:
            RuntimeError: Where the group has another number of processes than ``number``.
        """
        if number == 1:
            return cls()
        there = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
        if there != number:
            raise RuntimeError(f"processes is {number}: as many processes of one torch.distributed group must train, got {there}")
        return cls(number, dist.get_rank())

    @property
    def first(self) -> bool:
        """Whether this is the process that evaluates and saves."""
        return self.rank == 0

    def part(self, examples: int) -> tuple[slice, float]:
        """Which of a batch's examples this process takes, and the share of the batch that they are.

        Nobody takes a single example, which batch norm could not be trained on. Where a batch has too few for all, those who are left
        over repeat the first one's part with a share of 0, so that all of them do the same things.

        Example:
            >>> [Processes(3, rank).part(10) for rank in range(3)]
            [(slice(0, 3, None), 0.3), (slice(3, 6, None), 0.3), (slice(6, 10, None), 0.4)]
            >>> [Processes(3, rank).part(5) for rank in range(3)]
            [(slice(0, 2, None), 0.4), (slice(2, 5, None), 0.6), (slice(0, 2, None), 0.0)]
        """
        takers = max(1, min(self.number, examples // 2))
        place = self.rank if self.rank < takers else 0
        own = slice(examples * place // takers, examples * (place + 1) // takers)
        return own, (own.stop - own.start) / examples if self.rank < takers else 0.0

    def parts(self, order: Tensor, sizes: Sequence[int]) -> tuple[Tensor, list[int]]:
        """What this process takes of batches of these ``sizes`` in an ``order`` (N,) of examples, and the sizes of its parts."""
        own = [batch[self.part(len(batch))[0]] for batch in torch.split(order, list(sizes))]
        return torch.cat(own), [len(part) for part in own]

    @torch.no_grad()
    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Put into each tensor its sum over the processes, the same to the last bit in all of them; in one message.

        Raises:
            ConnectionError: Where another process is gone.
        """
        if self.number == 1:
            return
        message = torch.cat([tensor.reshape(-1) for tensor in tensors])
        try:
            dist.all_reduce(message)
        except RuntimeError as error:
            raise ConnectionError(f"another process of the trial is gone ({str(error).partition(chr(10))[0]})") from error
        for tensor, total in zip(tensors, torch.split(message, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(total.view_as(tensor))

    def any(self, holds: bool, device: torch.device) -> bool:
        """Whether it holds in one of the processes; nobody goes on before all have said."""
        count = torch.tensor(float(holds), device=device)
        self.add_up([count])
        return bool(count > 0)

    def differ(self, value: int, device: torch.device) -> bool:
        """Whether the processes have not all the same whole number."""
        total = torch.tensor(float(value), device=device)
        self.add_up([total])
        return self.any(float(total) != float(self.number * value), device)
