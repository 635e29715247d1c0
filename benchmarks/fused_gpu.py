"""What arrays gain on a GPU: `python benchmarks/fused_gpu.py [--seconds 2] [--processes 16] [--models ...]`.

Trial-steps per second on the wall with nothing else on the GPU, in turns and then the processes, medians over rounds:

- a bare loop of plain PyTorch with the loss that the trials have, call by call, and as one CUDA graph a step;
- as many processes of that loop as are asked for, at once, under NVIDIA's Multi-Process Service where the machine has it;
- a `Trial`, and arrays of ever more, whose steps are CUDA graphs too.

Limits: the widest array 100 times the loop call by call for the perceptron, 15 times for LeNet-5, and 3 times for the small residual
network, there also 1.5 times the processes. A figure beyond its limit is marked with an exclamation mark. With ``--device cpu`` it runs
what needs no GPU, to see that it runs.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from fused import CASES, Case, array_of, bare_loop, epoch_of_array, trial_of
from trial import BareLoop, _machine, _row, epoch_of

from margin_core.machine import prepare_to_train

WIDTHS = {"mlp-50-20": (1, 32, 128, 256), "linear-768": (1, 32, 128), "lenet5": (1, 16, 64), "wrn-10-1": (1, 8, 32)}
EAGER_LIMITS = {"mlp-50-20": 100.0, "lenet5": 15.0, "wrn-10-1": 3.0}
PROCESSES_LIMITS = {"wrn-10-1": 1.5}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to see that it runs")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each is measured in a round")
    parser.add_argument("--rounds", type=int, default=3, help="rounds in which everything takes its turn")
    parser.add_argument("--processes", type=int, default=16, help="processes at once")
    parser.add_argument("--models", nargs="*", default=list(WIDTHS), help="of them, only these")
    parser.add_argument("--widest", type=int, default=1024, help="no arrays of more trials than these")
    arguments = parser.parse_args()
    prepare_to_train(1)
    cases = {case.model: case for case in reversed(CASES)}  # of a model's cases the first
    with multi_process_service(arguments.device) as served:  # before anything else asks for the GPU
        print(f"{_machine(arguments.device)}; torch {torch.__version__}.")
        for model in arguments.models:
            widths = [width for width in WIDTHS[model] if width <= arguments.widest]
            print_case(replace(cases[model], widths=tuple(widths)), arguments, served)


def print_case(case: Case, arguments: argparse.Namespace, served: bool) -> None:
    """The table of a network."""
    print(f"\n## {case.title}; batches of {case.batch}\n")
    device, seconds = arguments.device, arguments.seconds
    together = f"{arguments.processes} processes{' under MPS' if served else ''}"
    loops = _loops(case, device)
    rates: dict[str, list[float]] = {name: [] for name in (*loops, together)}
    for number in range(arguments.rounds + 1):
        for name, (work, steps) in loops.items():
            rate = _rate(work, steps, device, seconds)
            if number > 0:  # the first round warms up, and records
                rates[name].append(rate)
    rates[together] = [_rate_of_processes(case, device, arguments.processes, seconds) for _ in range(arguments.rounds)]
    medians = {name: statistics.median(own) for name, own in rates.items()}
    widest = f"array of {case.widths[-1]}"
    print(_row("", "trial-steps/s", "of the bare loop", f"of {together}"))
    print(_row(*["---"] * 4))
    for name, rate in medians.items():
        ratios = rate / medians["a bare loop"], rate / medians[together]
        limits = EAGER_LIMITS.get(case.model), PROCESSES_LIMITS.get(case.model)
        shown = [
            f"{ratio:.2f}{'!' * (name == widest and limit is not None and ratio < limit)}"
            for ratio, limit in zip(ratios, limits, strict=True)
        ]
        print(_row(name, f"{rate:,.0f}", *shown), flush=True)
    if device != "cpu":
        print(f"\nThe process held {torch.cuda.max_memory_allocated(device) / 2**20:,.0f} MiB of the GPU's memory at most.")
        torch.cuda.reset_peak_memory_stats(device)


def _loops(case: Case, device: str) -> dict[str, tuple[Callable[[], object], int]]:
    """By name what is measured, an epoch at a time, and the trial-steps of an epoch."""
    trial = trial_of(case, 0, device)
    steps = trial.steps_per_epoch
    bare = [bare_loop(case, 0, case.families[0], "eager", device) for _ in range(2)]
    loops: dict[str, tuple[Callable[[], object], int]] = {"a bare loop": (bare[0].epoch, steps)}
    if device != "cpu":
        loops["the same as CUDA graphs"] = GraphLoop(bare[1]).epoch, len(bare[1].labels) // case.batch
    loops["trial"] = partial(epoch_of, trial), steps
    for width in case.widths:
        loops[f"array of {width}"] = partial(epoch_of_array, array_of(case, width, device)), steps * width
    return loops


class GraphLoop:
    """A bare loop whose step is one CUDA graph.

    Args:
        loop: What it makes the steps of; it has made none yet.
    """

    def __init__(self, loop: BareLoop) -> None:
        self._loop = loop
        loop.epoch()  # libraries set themselves up
        self._images, self._labels = loop.images[: loop.batch].clone(), loop.labels[: loop.batch].clone()
        self._graph = torch.cuda.CUDAGraph()
        loop.optimizer.zero_grad()
        with torch.cuda.graph(self._graph):
            loop.loss(loop.network(self._images), self._labels).backward()
            loop.optimizer.step()

    def epoch(self) -> None:
        """Train on every example once, but for those that fill no batch."""
        loop = self._loop
        for batch in torch.randperm(len(loop.labels)).to(loop.labels.device).split(loop.batch):
            if len(batch) == loop.batch:
                torch.index_select(loop.images, 0, batch, out=self._images)
                torch.index_select(loop.labels, 0, batch, out=self._labels)
                self._graph.replay()


def _rate(work: Callable[[], object], steps: int, device: str, seconds: float) -> float:
    """Trial-steps per second, over at least so many seconds."""
    done, began = 0, time.perf_counter()
    while (taken := time.perf_counter() - began) < seconds:
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        done += steps
    return done / taken


def _rate_of_processes(case: Case, device: str, number: int, seconds: float) -> float:
    """The sum of the rates of as many bare loops at once, each in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ready, rates = context.Barrier(number, timeout=300.0), context.Queue()
    processes = [context.Process(target=_one_of_many, args=(case, device, seconds, ready, rates), daemon=True) for _ in range(number)]
    for process in processes:
        process.start()
    found = [rates.get(timeout=300.0) for _ in processes]
    for process in processes:
        process.join()
    return sum(found)


def _one_of_many(case: Case, device: str, seconds: float, ready: Any, rates: Any) -> None:
    prepare_to_train(1)
    loop = bare_loop(case, 0, case.families[0], "eager", device)
    loop.epoch()
    ready.wait()
    steps = -(-len(loop.labels) // loop.batch)
    rates.put(_rate(loop.epoch, steps, device, seconds))
    ready.wait()  # none ends while others are measured


@contextmanager
def multi_process_service(device: str) -> Iterator[bool]:
    """Whether NVIDIA's Multi-Process Service runs, for the block. It has to be started before a process uses the GPU."""
    control = shutil.which("nvidia-cuda-mps-control")
    served = device != "cpu" and control is not None and subprocess.run([control, "-d"], check=False).returncode == 0
    try:
        yield served
    finally:
        if served:
            assert control is not None
            subprocess.run([control], input="quit\n", text=True, check=False)


if __name__ == "__main__":
    main()
