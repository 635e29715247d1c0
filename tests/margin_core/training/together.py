"""Trials of several gloo processes of this machine, which train together."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist

from tests.margin_core.training.killed import SERVER


def in_processes(number: int, work: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What ``work`` gives back in each of so many processes of one gloo group."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / str(rank) for rank in range(number)]
        started = [SERVER.Process(target=_join, args=(port, rank, number, path, work, arguments)) for rank, path in enumerate(paths)]
        for process in started:
            process.start()
        for process in started:
            process.join()
        assert [process.exitcode for process in started] == [0] * number
        return [torch.load(path, weights_only=False) for path in paths]


def _join(port: int, rank: int, number: int, path: Path, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=number, timeout=timedelta(seconds=60))
    torch.save(work(*arguments), path)
    dist.destroy_process_group()
