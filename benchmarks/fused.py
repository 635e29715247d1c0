"""What arrays of trials gain: `python benchmarks/fused.py [--rounds 5] [--only steps study memory] [--quick]`.

*steps*: trial-steps per second of one core, of trials one after another and of arrays of K. Alone: the shortest loop of plain PyTorch with
the loss that the trials have, eager and compiled, of convolutions also with the channels last, and a `Trial`. The ratio is of an array to
the best of these loops. Everything is measured in turns, round by round in one process on one thread, in the process's processor time;
figures are medians over the rounds, of the ratios too. Families are in turn those of the row. An evaluation is no part of a step.

*study*: trial-epochs per second of a whole study with ASHA, its trials fused and alone (on Ray Tune, with actors used again and data in
memory), each in a new process with Ray started in it, from the first trial's start to the last one's end; and how full the arrays were.

*memory*: what a process holds with a trial, and what each further trial of an array adds to it.

Limits: 3.5 for the perceptron at K = 32, 1.5 for cosine heads at K = 32, 4 for the study, and 95 % of the places of the arrays until the
tail. A figure beyond its limit is marked with an exclamation mark. Takes about ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from trial import MANY_EPOCHS, BareLoop, _machine, _row, epoch_of, random_pictures

from margin_core.data import DatasetConfig
from margin_core.losses import build_loss
from margin_core.machine import prepare_to_train
from margin_core.training import Cell, Recipe, Trial
from margin_core.training.array import TrialArray
from studies.workspace import StudyFiles

WIDTHS = (1, 4, 8, 16, 32, 64)
STUDY_LIMIT, FULL_LIMIT = 4.0, 0.95


@dataclass(frozen=True)
class Case:
    """What is trained: model, the data that it is given, batch, whose losses, and the least ratio at K = 32."""

    model: str
    shape: tuple[int, int, int]
    examples: int
    classes: int
    batch: int
    families: tuple[str, ...]
    limit: float | None = None
    backbone: str = "trained"
    widths: tuple[int, ...] = WIDTHS

    @property
    def title(self) -> str:
        """What the table calls it."""
        head = (
            f"heads on {self.model.removeprefix('linear-')} features, {self.classes} classes" if self.backbone == "frozen" else self.model
        )
        return f"{head}, {', '.join(self.families)}"


LOGITS, COSINES = ("ce", "gds", "gradient_decay"), ("norm_face", "cos_face", "arc_face")
CASES = (
    Case("mlp-50-20", (1, 28, 28), 6000, 10, 100, ("gds",), 3.5),
    Case("mlp-50-20", (1, 28, 28), 6000, 10, 100, (*LOGITS, *COSINES)),
    Case("linear-768", (1, 28, 28), 6000, 200, 128, ("cos_face",), 1.5, "frozen", (1, 8, 32)),
    Case("lenet5", (1, 28, 28), 1600, 10, 128, ("gds",), None, widths=(1, 4, 8)),
    Case("wrn-10-1", (3, 32, 32), 400, 10, 128, ("gds",), None, widths=(1, 4)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds in which everything takes its turn")
    parser.add_argument("--only", nargs="*", default=["steps", "study", "memory"], help="of the parts, only these")
    parser.add_argument("--models", nargs="*", default=[case.model for case in CASES], help="of the first part's models, only these")
    parser.add_argument("--trials", type=int, default=64, help="trials of the study")
    parser.add_argument("--data-root", help="folder of the datasets, for the study")
    parser.add_argument("--quick", action="store_true", help="the first rows and fewer rounds")
    arguments = parser.parse_args()
    prepare_to_train(1)
    print(f"{_machine('cpu')}; torch {torch.__version__}.")
    if "steps" in arguments.only:
        cases = [case for case in CASES if case.model in arguments.models][: 1 if arguments.quick else None]
        for case in cases:
            print_steps(case, 2 if arguments.quick else arguments.rounds)
    if "study" in arguments.only:
        print_study(arguments.trials, arguments.data_root)
    if "memory" in arguments.only:
        print_memory()


def print_steps(case: Case, rounds: int) -> None:
    """The table of a case."""
    print(f"\n## {case.title}; batches of {case.batch}, one core\n")
    loops = _loops(case)
    rates: dict[str, list[float]] = {name: [] for name in loops}
    for number in range(rounds + 1):
        for name in list(loops)[:: 1 if number % 2 else -1]:
            rate = _rate(*loops[name])
            if number > 0:  # the first round warms up, and compiles
                rates[name].append(rate)
    alone = [name for name in loops if not name.startswith("array")]
    best = max((name for name in alone if name != "trial"), key=lambda name: statistics.median(rates[name]))
    print(_row("", "trial-steps/s", f"of {best}", "of a trial alone"))
    print(_row(*["---"] * 4))
    for name, own in rates.items():
        ratio = statistics.median(a / b for a, b in zip(own, rates[best], strict=True))
        beyond = "!" * (name == "array of 32" and case.limit is not None and ratio < case.limit)
        of_trial = statistics.median(a / b for a, b in zip(own, rates["trial"], strict=True))
        print(_row(name, f"{statistics.median(own):,.0f}", f"{ratio:.2f}{beyond}", f"{of_trial:.2f}"), flush=True)


def _loops(case: Case) -> dict[str, tuple[Callable[[], object], int]]:
    """By name what is measured, an epoch at a time, and the trial-steps of an epoch."""
    trial = trial_of(case, 0)
    steps = trial.steps_per_epoch
    loops: dict[str, tuple[Callable[[], object], int]] = {}
    forms = ["eager", "compiled", *(["channels last"] if case.model in ("lenet5", "wrn-10-1") else [])]
    for form in forms:
        bare = [bare_loop(case, place, family, form) for place, family in enumerate(case.families)]
        loops[f"a bare loop, {form}"] = partial(_each, [loop.epoch for loop in bare]), steps * len(bare)
    trials = [trial_of(case, place) for place in range(len(case.families))]
    loops["trial"] = partial(_each, [partial(epoch_of, one) for one in trials]), steps * len(trials)
    for width in case.widths:
        loops[f"array of {width}"] = partial(epoch_of_array, array_of(case, width)), steps * width
    return loops


def bare_loop(case: Case, place: int, family: str, form: str, device: str = "cpu") -> BareLoop:
    """The shortest loop with a family's loss: ``eager``, ``compiled`` or with the ``channels last``."""
    own = build_loss(family, num_classes=case.classes).to(device)
    loop = BareLoop(trial_of(case, place, device), own, case.batch, None)
    if form == "channels last":
        loop.network.to(memory_format=torch.channels_last)
        loop.images = loop.images.contiguous(memory_format=torch.channels_last)
    if form == "compiled":
        loop.network.compile()
        loop.loss = torch.compile(own)
    return loop


def _each(work: Sequence[Callable[[], object]]) -> None:
    for one in work:
        one()


def epoch_of_array(array: TrialArray) -> None:
    """An epoch of each trial of an array without its evaluation."""
    array.rehearse()
    for trial in array:
        trial.epoch += 1


def _rate(work: Callable[[], object], steps: int) -> float:
    began = time.process_time()
    work()
    return steps / (time.process_time() - began)


def trial_of(case: Case, place: int, device: str = "cpu") -> Trial:
    """A trial on random pictures, with the family, knobs and learning rate of a place."""
    name = random_pictures(case.shape, case.examples, case.classes)
    family = case.families[place % len(case.families)]
    knobs = {"gds": {"lam": 0.05 * place}, "cos_face": {"m": 0.005 * place}}.get(family, {})
    recipe = Recipe(epochs=MANY_EPOCHS, batch_size=case.batch, lr=0.001 * (1.0 + place), weight_decay=1e-5 * place, clip_norm=None)
    cell = Cell(DatasetConfig(name), case.model, family, knobs, {}, recipe, backbone=case.backbone)  # type: ignore[arg-type]
    return Trial(cell, study_seed=0, replicate=0, device=device)


def array_of(case: Case, width: int, device: str = "cpu") -> TrialArray:
    """An array of the trials of the first places."""
    array = TrialArray()
    for place in range(width):
        array.join(trial_of(case, place, device))
    return array


STUDY = """
name: {runner}
runner: {runner}
datasets: [mnist]
model: mlp-50-20
families: {{ce: {{}}, gds: {{lam: search}}, gradient_decay: {{beta: search}}}}
recipe: {{epochs: 8, batch_size: 100}}
nuisance: {{lr: {{low: 0.01, high: 0.3, scale: log}}, weight_decay: 1.0e-4}}
resources: {{cpu: 1, array: {array}}}
screen: {{searcher: tpe, trials: {trials}, seeds: 1, asha: {{grace_epochs: 1, reduction: 2}}}}
"""


def print_study(trials: int, data_root: str | None) -> None:
    """The table of whole studies."""
    print(f"\n## {trials} trials of mlp-50-20 on MNIST by TPE with ASHA, up to 8 epochs, two processors\n")
    print(_row("", "s", "trial-epochs", "trial-epochs/s", "ratio", "places in use until the tail"))
    print(_row(*["---"] * 6))
    alone = _study("solo", trials, 1, data_root)
    for name, made in (("alone", alone), *((f"arrays of {width}", _study("fused", trials, width, data_root)) for width in (16, 32))):
        ratio = made.rate / alone.rate
        beyond = "!" * (name != "alone" and ratio < STUDY_LIMIT)
        full = "" if made.full is None else f"{made.full:.1%}{'!' * (made.full < FULL_LIMIT)}"
        print(_row(name, f"{made.seconds:.1f}", made.epochs, f"{made.rate:.2f}", f"{ratio:.2f}{beyond}", full), flush=True)


@dataclass(frozen=True)
class Made:
    """What a study came to: the seconds that its trials took, their epochs, and how full its arrays were until the tail."""

    seconds: float
    epochs: int
    full: float | None

    @property
    def rate(self) -> float:
        """Epochs of a trial per second."""
        return self.epochs / self.seconds


def _study(runner: str, trials: int, array: int, data_root: str | None) -> Made:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "study.yaml"
        file.write_text(STUDY.format(runner=runner, trials=trials, array=array))
        command = [sys.executable, "-m", "studies", "run", str(file), "--workdir", folder]
        subprocess.run([*command, *(["--data-root", data_root] if data_root else [])], check=True, stdout=subprocess.DEVNULL)
        directory = Path(folder) / runner
        with sqlite3.connect(StudyFiles(directory).ledger) as ledger:
            ((first, last),) = ledger.execute("SELECT MIN(started), MAX(ended) FROM trials")
            ((epochs,),) = ledger.execute("SELECT COUNT(*) FROM epochs")
        full = json.loads((directory / "placement.json").read_text())["full"]
        return Made(last - first, epochs, full)


def print_memory() -> None:
    """The table of what processes hold."""
    print("\n## Resident memory of a process, in MB\n")
    print(_row("", "with torch and the data", "each trial of an array of 32", "a trial alone"))
    print(_row(*["---"] * 4))
    for case in CASES:
        if 32 in case.widths and len(case.families) == 1:
            base, one, many = (_in_a_process(case, width) for width in (0, 1, 32))
            print(_row(case.title, f"{base:.0f}", f"{(many - one) / 31:.1f}", f"{one:.0f}"), flush=True)


def _in_a_process(case: Case, width: int) -> float:
    """The most that a process held in an epoch of so many trials."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_held, (case, width))


def _held(case: Case, width: int) -> float:
    prepare_to_train(1)
    if width == 0:
        trial_of(case, 0)
    array_of(case, width).rehearse()
    # Not resource.getrusage, which begins at what the parent held when it started this process.
    (peak,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) / 1024.0


if __name__ == "__main__":
    main()
