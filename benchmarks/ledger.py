"""What a large ledger costs to read: `python benchmarks/ledger.py [--trials 10000] [--epochs 20] [--searcher sobol] [--keep DIRECTORY]`.

Writes a study of so many trials by the ledger's own calls, as the driver makes them, with metrics from a made-up curve: five datasets, five
families, three fifths of the trials in the screen. Then prints a Markdown table: for each command, run as a process of its own, the wall
time, the processor time, which other processes disturb less, and the greatest resident memory. ``import`` is a process that imports
what ``report`` does and reads nothing. ``export`` has no checkpoints to take weights from, so it trains one small network for each
dataset. ``resume`` is what the driver does before its first trial: it lays out both stages, and asks the searcher for the next trial.

Limits: ``status``, ``report`` and ``export`` take less than 10 s each at 10,000 trials of 20 epochs, and report.html is smaller than 5 MB
at 2,000 trials. A figure beyond its limit is marked with an exclamation mark. Takes about two minutes on one core.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterable
from pathlib import Path

from studies.claim import claim
from studies.plan import PlannedTrial, confirm_trials, screen_configs, screen_replicates
from studies.screen_section import LEARNING
from studies.spec import StudySpec, study_from
from studies.stage_sizes import stage_sizes
from studies.tracking.ledger import Ledger
from studies.workspace import StudyFiles, study_files

NOISE = (0.0, 0.1, 0.2, 0.3, 0.4)
FAMILIES = ("gds", "gradient_decay", "cos_face", "focal")
EPOCHS_PER_REPORT = 5
SECONDS, MEGABYTES = 10.0, 5.0

RESUME = """
import sys
from pathlib import Path
from studies.claim import recorded_study
from studies.running.driver import trial_source
from studies.tracking.ledger import Ledger

with Ledger(Path(sys.argv[1])) as ledger:
    spec = recorded_study(ledger)
    longer = spec.screen.model_copy(update={"trials": spec.screen.trials + 1})
    assert trial_source(spec.model_copy(update={"screen": longer}), "screen", ledger).next() is not None
    assert trial_source(spec, "confirm", ledger).exhausted
"""


def study(trials: int, epochs: int, searcher: str) -> StudySpec:
    """A study of about so many trials."""

    def with_seeds(seeds: int) -> StudySpec:
        return study_from(
            {
                "name": "large",
                "datasets": [{"dataset": "digits", "label_noise": noise, "label": f"digits-{noise:g}"} for noise in NOISE],
                "model": "mlp-8",
                "recipe": {"epochs": epochs},
                "families": {"ce": {"label_smoothing": 0}, **dict.fromkeys(FAMILIES)},
                "nuisance": {"lr": {"low": 0.01, "high": 1.0, "scale": "log"}},
                "screen": {"searcher": searcher, "trials": max(len(FAMILIES) + 1, round(0.6 * trials / len(NOISE)))},
                "confirm": {"families": len(FAMILIES), "seeds": seeds},
            }
        )

    cells = stage_sizes(with_seeds(1))[1].cells
    return with_seeds(max(2, round(0.4 * trials / cells)))


def accuracy(trial: PlannedTrial, progress: float) -> float:
    """A made-up accuracy that depends on the trial alone: best at a rate of 0.1, and a little better in some families than in others."""
    rate = -2.0 * math.log10(float(trial.config["lr"]) / 0.1) ** 2
    family = 0.3 * ("ce", *FAMILIES).index(trial.cell.family)
    seed = zlib.crc32(f"{trial.dataset} {trial.replicate}".encode()) / 2**32
    own = zlib.crc32(trial.key.encode()) / 2**32
    return 90.0 + rate + family + seed + 0.5 * own - 30.0 * (1.0 - progress)


def write(ledger: Ledger, trials: Iterable[PlannedTrial], epochs: int) -> None:
    """Write trials as reports of them come in; one in a hundred diverges."""
    for trial in trials:
        ledger.start(trial)
        rows = []
        for epoch in range(1, epochs + 1):
            value = accuracy(trial, epoch / epochs)
            others = {"train_loss": 1.0 / epoch, "val_nll": 2.0 / epoch, "val_ece": 0.05, "class_margin": 60.0, "val_sample_margin": 0.1}
            rows.append({"epoch": epoch, "at": time.time(), "seconds": 1.0, "metrics": {"val_accuracy": value, **others}})
            if epoch % EPOCHS_PER_REPORT == 0 or epoch == epochs:
                ledger.report(trial.key, rows)
                rows = []
        diverged = zlib.crc32(trial.key.encode()) % 100 == 0
        ledger.end(trial.key, *(("diverged", "loss or weights not finite") if diverged else ("finished",)))


def build(files: StudyFiles, spec: StudySpec) -> int:
    """Write the whole study; returns how many trials it has. What a searcher that learns would ask for is taken from Sobol points."""
    assert spec.screen is not None
    drawn = spec.model_copy(update={"screen": spec.screen.model_copy(update={"searcher": "sobol"})})
    files.directory.mkdir(parents=True)
    with Ledger(files.ledger) as ledger:
        claim(ledger, spec)
        configs = list(screen_configs(drawn))
        for entry in spec.datasets:
            for number, config in enumerate(configs):
                ledger.suggest(entry.config().key, number, config)
                write(ledger, screen_replicates(spec, entry.config(), config), spec.recipe.epochs)
        write(ledger, confirm_trials(spec, ledger.screen_results(spec.metric)), spec.recipe.epochs)
        return len(ledger.trials())


def measure(command: list[str]) -> tuple[float, float, float]:
    """Wall time and processor time in seconds, and the greatest resident memory in MB, of a process."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with status {process.returncode}")
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10000, help="about how many trials the study has")
    parser.add_argument("--epochs", type=int, default=20, help="epochs of each trial")
    parser.add_argument("--searcher", choices=("sobol", "random", *LEARNING), default="sobol", help="of the screen")
    parser.add_argument("--keep", type=Path, help="a work directory for the study, which is used again where it has one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as passing:
        workdir = arguments.keep or Path(passing)
        spec = study(arguments.trials, arguments.epochs, arguments.searcher)
        files = study_files(workdir, spec.name)
        began = time.perf_counter()
        trials = None if files.ledger.exists() else build(files, spec)
        written = "" if trials is None else f"; {trials} trials written in {time.perf_counter() - began:.0f} s"
        print(f"{files.ledger.stat().st_size / 1e6:.0f} MB{written}.\n")
        print("| command | wall, s | processor, s | memory, MB |\n| --- | --- | --- | --- |")
        call = [sys.executable, "-m", "studies"]
        here = ["large", "--workdir", str(workdir)]
        commands = {
            "import": [sys.executable, "-c", "import studies.answer, studies.reporting.report, studies.study"],
            "status": [*call, "status", *here],
            "report": [*call, "report", *here],
            "export": [*call, "export", *here],
            "resume": [sys.executable, "-c", RESUME, str(files.ledger)],
        }
        for name, command in commands.items():
            wall, processor, memory = measure(command)
            beyond = " !" if wall > SECONDS and name in ("status", "report", "export") else ""
            print(f"| {name} | {wall:.1f}{beyond} | {processor:.1f} | {memory:.0f} |", flush=True)
        size = files.report.stat().st_size / 1e6
        print(f"\nreport.html: {size:.2f} MB{' !' if size > MEGABYTES else ''}")


if __name__ == "__main__":
    main()
