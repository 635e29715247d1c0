"""What carries orders to the processes of a group, and their answers back, and what is left when their owner is killed.

It imports little, so that its own process is a light one.
"""

from __future__ import annotations

import asyncio
from typing import Any

import ray
from ray.exceptions import RayActorError
from ray.util.placement_group import PlacementGroup, remove_placement_group


class Post:
    """A detached actor: a letter box for each process of a group, and one for the answers.

    It outlives an owner that is killed, and then frees what the group has reserved. Ray Train has something of the kind, but only where Ray
    has its dashboard, which a study's own Ray has not.

    Args:
        processes: How many there are.
    """

    def __init__(self, processes: int) -> None:
        self._orders: list[asyncio.Queue[Any]] = [asyncio.Queue() for _ in range(processes)]
        self._answers: asyncio.Queue[Any] = asyncio.Queue()
        self._reserved: PlacementGroup | None = None

    async def order(self, order: Any) -> None:
        """Give all processes the same order."""
        for orders in self._orders:
            orders.put_nowait(order)

    async def next_order(self, rank: int) -> Any:
        """The next order for a process, waited for."""
        return await self._orders[rank].get()

    async def answer(self, answer: Any) -> None:
        """Answer the order."""
        self._answers.put_nowait(answer)

    async def next_answer(self, seconds: float) -> Any:
        """The next answer, or None where none comes for so long."""
        try:
            return await asyncio.wait_for(self._answers.get(), seconds)
        except TimeoutError:
            return None

    async def watch(self, owner: Any, reserved: PlacementGroup) -> None:
        """Free what is ``reserved`` when the actor ``owner`` is gone."""
        self._reserved = reserved
        try:
            while True:
                await owner.__ray_ready__.remote()
                await asyncio.sleep(1.0)
        except RayActorError:
            self.free()
            ray.actor.exit_actor()  # type: ignore[no-untyped-call]

    async def begun(self) -> bool:
        """Whether the processes are there."""
        return self._reserved is not None

    def free(self) -> None:
        """Free what is reserved, if it still is."""
        if self._reserved is not None:
            remove_placement_group(self._reserved)
