"""What a trial's loop costs beside a bare one: `python benchmarks/trial.py [--threads 1] [--device cpu] [--rounds 30]`.

Prints two Markdown tables. A row of the first is a network on random data of a dataset's shape: the images per second of training epochs in
a bare loop of plain PyTorch and in a `Trial`, and their ratio in wall time and in the process's processor time, which other processes
disturb less; the ratio to the same bare loop with the family's loss, `ce`, in the place of torch's cross-entropy; and the time that
evaluating the validation examples, a fifth of the data, adds to an epoch, in percent. The bare loop has the same network, data (float32,
standardised beforehand), batches, SGD (fused, with momentum), clipping and cosine rate. Everything is measured in turns, round by round in
one process; figures are medians over the rounds, of the ratios too. The second table tells where the time of a trial's step goes.

Limit: a trial has at least 0.87 of the bare loop's images per second, that is, it takes at most 15 % longer. A ratio beyond it is marked
with an exclamation mark. Takes about five minutes on one core.
"""

from __future__ import annotations

import argparse
import copy
import math
import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_

from margin_core.data import DatasetConfig
from margin_core.data.dataset import Dataset, DatasetSource
from margin_core.data.listing import SOURCES
from margin_core.losses import build_loss
from margin_core.machine import prepare_to_train, processor_name
from margin_core.training import Cell, Recipe, Trial

BATCH, LEARNING_RATE, MOMENTUM, CLIP = 128, 0.01, 0.9, 5.0
LIMIT = 1.0 / 1.15
MANY_EPOCHS = 10**6
PARTS = ("batch", "network", "loss", "backward, clipping", "optimiser")


@dataclass(frozen=True)
class Case:
    """A network, the data that it is given, and in how many rounds it is measured, as a share of those asked for."""

    model: str
    shape: tuple[int, int, int]
    examples: int
    rounds: float = 1.0


CASES = (
    Case("mlp-50-20", (1, 28, 28), 8000),
    Case("lenet5", (1, 28, 28), 4000),
    Case("resnet18", (3, 32, 32), 170, rounds=0.2),
)


@dataclass(frozen=True)
class Times:
    """Seconds that something took: on the wall, and of the processor."""

    wall: float
    processor: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of torch")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--rounds", type=int, default=30, help="rounds in which everything takes its turn")
    parser.add_argument("--models", nargs="*", default=[case.model for case in CASES], help="of them, only these")
    arguments = parser.parse_args()
    prepare_to_train(arguments.threads)
    print(f"{_machine(arguments.device)}; torch {torch.__version__}, {arguments.threads} threads, batches of {BATCH}.\n")
    head = ("ratio", "ratio of processor time", "both with the family's loss", "evaluation, %")
    print(_row("network", "images", "bare loop, images/s", "trial, images/s", *head))
    print(_row(*["---"] * 8))
    cases = [case for case in CASES if case.model in arguments.models]
    for case in cases:
        print_case(case, arguments.device, max(3, round(arguments.rounds * case.rounds)))
    print(f"\nWhere a trial's step spends its time, in percent:\n\n{_row('network', 'ms', *PARTS)}")
    print(_row(*["---"] * (2 + len(PARTS))))
    for case in cases:
        print_parts(case, arguments.device, max(3, round(arguments.rounds * case.rounds)))


def print_case(case: Case, device: str, rounds: int) -> None:
    """The row of a network in the first table."""
    trial = _trial(case, device)
    own = build_loss("ce", num_classes=10).to(device)
    loops: dict[str, Callable[[], object]] = {
        "bare": BareLoop(trial, cross_entropy).epoch,
        "trial": lambda: epoch_of(trial),
        "bare, own loss": BareLoop(trial, own).epoch,
        "evaluation": lambda: trial.evaluate("val"),
    }
    times: dict[str, list[Times]] = {name: [] for name in loops}
    for number in range(rounds + 1):
        # Backwards every second time, so that none has another before it always.
        for name in list(loops)[:: 1 if number % 2 else -1]:
            taken = _time(loops[name], device)
            if number > 0:  # the first round warms up
                times[name].append(taken)
    count = len(trial.data.train_y)
    speeds = [f"{count / statistics.median(one.wall for one in times[name]):,.0f}" for name in ("bare", "trial")]
    ratios = [_ratio(times["bare"], times["trial"]), _ratio(times["bare"], times["trial"], wall=False)]
    ratios.append(_ratio(times["bare, own loss"], times["trial"]))
    shown = (f"{ratio:.2f}{'!' * (ratio < LIMIT)}" for ratio in ratios)
    evaluation = f"{100.0 * _ratio(times['evaluation'], times['trial']):.0f}"
    print(_row(case.model, f"{count} of {'x'.join(map(str, case.shape))}", *speeds, *shown, evaluation), flush=True)


def print_parts(case: Case, device: str, epochs: int) -> None:
    """The row of a network in the second table."""
    trial = _trial(case, device)
    spent: Counter[str] = Counter()
    last = [0.0]

    def until_now(part: str) -> Callable[..., None]:
        def note(*_: object) -> None:
            if device != "cpu":
                torch.cuda.synchronize()
            now = time.perf_counter()
            spent[part] += now - last[0]
            last[0] = now

        return note

    trial.model.register_forward_pre_hook(until_now("batch"))
    trial.model.register_forward_hook(until_now("network"))
    trial.loss.register_forward_pre_hook(until_now("batch"))
    trial.loss.register_forward_hook(until_now("loss"))
    trial._step.optimizer.register_step_pre_hook(until_now("backward, clipping"))
    trial._step.optimizer.register_step_post_hook(until_now("optimiser"))
    for epoch in range(epochs + 1):
        if epoch == 1:  # the first warms up
            spent.clear()
        last[0] = time.perf_counter()
        epoch_of(trial)
    total = sum(spent.values())
    steps = epochs * len(trial.batch_sizes)
    print(_row(case.model, f"{1e3 * total / steps:.2f}", *(f"{100.0 * spent[part] / total:.0f}" for part in PARTS)), flush=True)


class BareLoop:
    """The shortest loop that makes the steps of a trial.

    Args:
        trial: Whose examples it takes, and a copy of whose network.
        loss: Of scores and labels, the mean.
        batch: Examples of a step.
        clip: The greatest norm of the gradient, or None for no clipping.
    """

    def __init__(self, trial: Trial, loss: Callable[[Tensor, Tensor], Tensor], batch: int = BATCH, clip: float | None = CLIP) -> None:
        start = copy.deepcopy(trial.model)
        self.network = nn.Sequential(start.backbone, start.head)
        self.loss = loss
        self.images = trial._standardise(trial.data.train_x.to(trial.device))
        self.labels = trial.data.train_y.to(trial.device)
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, fused=True)
        self.batch = batch
        self.clip = clip
        self.steps = 0

    def epoch(self) -> float:
        """Train on every example once; the mean loss."""
        parameters = list(self.network.parameters())
        batches = torch.randperm(len(self.labels)).to(self.labels.device).split(self.batch)
        losses: list[Tensor] = []
        self.network.train()
        for batch in batches:
            rate = LEARNING_RATE * (1.0 + math.cos(math.pi * self.steps / (len(batches) * MANY_EPOCHS))) / 2.0
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            self.optimizer.zero_grad()
            loss = self.loss(self.network(self.images.index_select(0, batch)), self.labels[batch])
            loss.backward()
            if self.clip is not None:
                clip_grad_norm_(parameters, self.clip, foreach=True)
            self.optimizer.step()
            losses.append(loss.detach() * len(batch))
            self.steps += 1
        return float(torch.stack(losses).sum()) / len(self.labels)


def random_pictures(shape: tuple[int, int, int], examples: int, classes: int = 10) -> str:
    """The name of a dataset of random pictures, that trials find by it."""
    name = f"random-{'x'.join(map(str, shape))}-{examples}-{classes}"
    channels = shape[0]

    def read(_: object) -> Dataset:
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(256, (examples, *shape), dtype=torch.uint8, generator=generator)
        labels = torch.arange(examples) % classes
        # Seldom tested: all that is not validated is trained on.
        tested = torch.arange(classes)
        return Dataset(name, images, labels, tuple(map(str, range(classes))), tested, mean=(0.5,) * channels, std=(0.29,) * channels)

    SOURCES.ours.setdefault(name, DatasetSource(name, "Random pictures", classes, shape, examples, "None", read))
    return name


def _trial(case: Case, device: str) -> Trial:
    """A trial on random pictures."""
    recipe = Recipe(epochs=MANY_EPOCHS, batch_size=BATCH, lr=LEARNING_RATE, momentum=MOMENTUM, clip_norm=CLIP)
    cell = Cell(DatasetConfig(random_pictures(case.shape, case.examples)), case.model, "ce", {}, {}, recipe)
    return Trial(cell, study_seed=0, replicate=0, device=device)


def epoch_of(trial: Trial) -> None:
    """A trial's epoch without its evaluation."""
    trial.rehearse(trial.steps_per_epoch)
    trial.epoch += 1


def _time(work: Callable[[], object], device: str) -> Times:
    start = time.perf_counter(), time.process_time()
    work()
    if device != "cpu":
        torch.cuda.synchronize()
    return Times(time.perf_counter() - start[0], time.process_time() - start[1])


def _ratio(one: list[Times], other: list[Times], *, wall: bool = True) -> float:
    """The median over rounds of the time of one in the time of another."""
    pairs = zip(one, other, strict=True)
    return statistics.median(a.wall / b.wall if wall else a.processor / b.processor for a, b in pairs)


def _machine(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else processor_name()


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


if __name__ == "__main__":
    main()
