"""What the losses cost beside cross-entropy: `python benchmarks/losses.py [--threads 2] [--device cpu] [--rounds 15]`.

Prints a Markdown table for each size of batch and number of classes. A row is one family at its defaults: the time of a forward and a
backward pass of the mean loss, that time as a multiple of `torch.nn.functional.cross_entropy`'s on scores of the same size, and the
memory that was allocated at the peak beyond the scores and their gradient, in multiples of the scores' size. Everything is measured in
turns, round by round in one process; a ratio is the median of the rounds' ratios.

A second table has the families of pytorch-metric-learning beside ours, features and prototypes in both included, since its losses own
their prototypes. On a GPU a last table gives the share of the bandwidth of a device copy, where a pass that reads the scores twice and
writes their gradient once is what has to be moved.

Limits, on two cores in float32 at (256, 1000) and (256, 10000): 1.25 for families that read logits, 1.5 for those that read cosines
(the mean of label smoothing and the norms of L-Softmax included), and one buffer. On a GPU: at least 80 % of a copy's bandwidth from
1,000 to 131,072 classes. A figure beyond its limit is marked with an exclamation mark. Takes about two minutes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize
from torch.profiler import ProfilerActivity, profile

from margin_core.losses import Family, build_loss, get_family, list_losses
from margin_core.machine import prepare_to_train, processor_name

SIZES = ((256, 1000), (256, 10_000))
GPU_CLASSES = (1000, 4096, 10_000, 32_768, 131_072)
LIMITS = {"logits": 1.25, "cosines": 1.5}
WIDTH = 128
Step = Callable[[], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of torch")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda for the GPU's tables")
    parser.add_argument("--rounds", type=int, default=15, help="rounds in which everything takes its turn")
    parser.add_argument("--families", nargs="*", default=list_losses(), help="of them, only these")
    arguments = parser.parse_args()
    prepare_to_train(arguments.threads)
    print(f"{_machine(arguments.device)}; torch {torch.__version__}, {arguments.threads} threads, float32.")
    for batch, classes in SIZES:
        print(f"\n## {batch} samples, {classes} classes\n")
        print_families(batch, classes, arguments.device, arguments.families, arguments.rounds)
        print_others(batch, classes, arguments.device, arguments.rounds)
    if arguments.device.startswith("cuda"):
        print_bandwidth(arguments.device, arguments.families, arguments.rounds)


def print_families(batch: int, classes: int, device: str, names: Sequence[str], rounds: int) -> None:
    """The table of the families beside cross-entropy."""
    cases = {"cross_entropy": _plain(batch, classes, device)}
    cases |= {name: _family(get_family(name), batch, classes, device) for name in names}
    times = _in_turns(cases, rounds, device)
    print(_row("family", "reads", "ms", "times cross-entropy", "extra buffers"))
    print(_row(*["---"] * 5))
    for name, step in cases.items():
        reads = get_family(name).reads if name in names else "logits"
        ratio = statistics.median(one / base for one, base in zip(times[name], times["cross_entropy"], strict=True))
        buffers = _peak_bytes(step, device) / (4 * batch * classes) - 1.0
        # Cross-entropy itself is there to compare with.
        slow, large = (name in names and ratio > LIMITS[reads]), (name in names and buffers > 1.05)
        milliseconds = f"{1e3 * statistics.median(times[name]):.3f}"
        print(_row(name, reads, milliseconds, f"{ratio:.2f}{'!' * slow}", f"{buffers:.2f}{'!' * large}"), flush=True)


def print_others(batch: int, classes: int, device: str, rounds: int) -> None:
    """The table of ours beside pytorch-metric-learning's, from features to gradients of features and prototypes."""
    try:
        from pytorch_metric_learning import losses as others
    except ImportError:
        print("\npytorch-metric-learning is not installed; `pip install pytorch-metric-learning` brings the comparison with it.")
        return
    s = 20.0
    pairs: dict[str, tuple[nn.Module, dict[str, float]]] = {
        "norm_face": (others.NormalizedSoftmaxLoss(classes, WIDTH, temperature=1 / s), {"s": s}),
        "cos_face": (others.CosFaceLoss(classes, WIDTH, margin=0.35, scale=s), {"m": 0.35, "s": s}),
        "arc_face": (others.ArcFaceLoss(classes, WIDTH, margin=28.6, scale=s), {"m": 0.5, "s": s}),
        "sphere_face": (others.SphereFaceLoss(classes, WIDTH, margin=4, scale=s), {"m": 4.0, "s": s}),
        "l_softmax": (others.LargeMarginSoftmaxLoss(classes, WIDTH, margin=4, scale=1), {"m": 4.0}),
    }
    features, target = _normal(batch, WIDTH, device=device), _targets(batch, classes, device)
    cases: dict[str, Step] = {}
    for name, (other, knobs) in pairs.items():
        other.to(device)
        cases[f"{name} (other)"] = _backward(lambda x, loss=other: loss(x, target), features, *other.parameters())  # type: ignore[misc]
        run, prototypes = _from_features(name, classes, device, target, knobs)
        cases[name] = _backward(run, features, prototypes)
    times = _in_turns(cases, rounds, device)
    print(f"\nFrom features of width {WIDTH}, beside pytorch-metric-learning:\n")
    print(_row("family", "ours, ms", "theirs, ms", "ours in theirs", "ours, MiB at the peak", "theirs, MiB at the peak"))
    print(_row(*["---"] * 6))
    for name in pairs:
        ours, theirs = times[name], times[f"{name} (other)"]
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        peaks = [f"{_peak_bytes(cases[case], device) / 2**20:.1f}" for case in (name, f"{name} (other)")]
        print(_row(name, *(f"{1e3 * statistics.median(t):.2f}" for t in (ours, theirs)), f"{ratio:.2f}", *peaks), flush=True)


def print_bandwidth(device: str, names: Sequence[str], rounds: int) -> None:
    """The table of the share of a device copy's bandwidth, by the number of classes."""
    print("\n## Share of the bandwidth of a device copy, percent\n")
    print(_row("family", *GPU_CLASSES))
    print(_row(*["---"] * (1 + len(GPU_CLASSES))))
    shares: dict[str, list[str]] = {name: [] for name in names}
    for classes in GPU_CLASSES:
        batch = max(1, 2**28 // classes)
        source = torch.empty(batch, classes, device=device)
        copy = torch.empty_like(source)
        cases: dict[str, Step] = {"copy": lambda source=source, copy=copy: copy.copy_(source)}  # type: ignore[misc]
        cases |= {name: _family(get_family(name), batch, classes, device) for name in names}
        times = {name: statistics.median(t) for name, t in _in_turns(cases, rounds, device).items()}
        for name in names:
            share = 100.0 * 1.5 * times["copy"] / times[name]
            shares[name].append(f"{share:.0f}{'!' * (share < 80.0)}")
    for name, line in shares.items():
        print(_row(name, *line))


def _plain(batch: int, classes: int, device: str) -> Step:
    target = _targets(batch, classes, device)
    return _backward(lambda x: cross_entropy(x, target), 3.0 * _normal(batch, classes, device=device))


def _family(family: Family, batch: int, classes: int, device: str) -> Step:
    noise = _normal(batch, classes, device=device)
    scores = 3.0 * noise if family.reads == "logits" else torch.tanh(0.2 * noise)
    target = _targets(batch, classes, device)
    needs = {"class_counts": [1 + j % 100 for j in range(classes)]} if "class_counts" in family.needs else {}
    inputs = {"norms": torch.full((batch, classes), 10.0, device=device)} if "norms" in family.inputs else {}
    loss = build_loss(family.name, num_classes=classes, **needs).to(device)
    return _backward(lambda x: loss(x, target, **inputs), scores, *loss.parameters())


def _from_features(
    name: str, classes: int, device: str, target: Tensor, knobs: dict[str, float]
) -> tuple[Callable[[Tensor], Tensor], nn.Parameter]:
    loss = build_loss(name, num_classes=classes, **knobs).to(device)
    prototypes = nn.Parameter(_normal(classes, WIDTH, device=device))

    def run(features: Tensor) -> Tensor:
        cosines = normalize(features, dim=-1) @ normalize(prototypes, dim=-1).T
        inputs = {"norms": features.norm(dim=-1, keepdim=True) * prototypes.norm(dim=-1)} if name == "l_softmax" else {}
        result: Tensor = loss(cosines, target, **inputs)
        return result

    return run, prototypes


def _backward(loss: Callable[[Tensor], Tensor], leaf: Tensor, *parameters: nn.Parameter) -> Step:
    """A pass each way that ends as one of a training does, without gradients."""
    leaf = leaf.detach().requires_grad_()

    def step() -> None:
        loss(leaf).backward()
        for one in (leaf, *parameters):
            one.grad = None

    return step


def _in_turns(cases: dict[str, Step], rounds: int, device: str) -> dict[str, list[float]]:
    """Seconds of each case in each round."""
    repeats = {name: max(1, int(0.02 / _seconds(step, 2, device))) for name, step in cases.items()}
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, step in cases.items():
            times[name].append(_seconds(step, repeats[name], device))
    return times


def _seconds(step: Step, repeats: int, device: str) -> float:
    step()
    wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    wait()
    start = time.perf_counter()
    for _ in range(repeats):
        step()
    wait()
    return (time.perf_counter() - start) / repeats


def _peak_bytes(step: Step, device: str) -> int:
    """Bytes that a step has allocated at its peak, beyond what was there before."""
    step()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        step()
    assert seen.profiler is not None and seen.profiler.kineto_results is not None
    changes = [event for event in seen.profiler.kineto_results.events() if event.name() == "[memory]"]
    alive = peak = 0
    for change in sorted(changes, key=lambda event: event.start_ns()):
        alive += change.nbytes()
        peak = max(peak, alive)
    return peak


def _normal(*shape: int, device: str) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).to(device)


def _targets(batch: int, classes: int, device: str) -> Tensor:
    return torch.randint(classes, (batch,), generator=torch.Generator().manual_seed(1)).to(device)


def _machine(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else processor_name()


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


if __name__ == "__main__":
    main()
