"""What it costs to run a trial, beside plain Ray Tune and a plain Optuna loop.

`python benchmarks/orchestration.py [--trials 10000] [--sleep 1] [--slots 16] [--quick]` runs a study whose trials sleep: the driver, the
searcher, the ledger, the reused actors and the mirror are those of every study, and a trial builds its network, its loss and its
optimiser, makes one step, in which it sleeps, and measures its validation examples. Ray Tune, with its own callback for MLflow and a new
actor for each trial as is its default, and Optuna, in one process with a database, run the same trials; fewer of them, for each costs
them the same.

A trial's overhead is what it takes of a slot beyond its sleep, from the trials in the middle half of the run, when all slots are at work.
All of it runs on this machine: a slot is a share of its processors, so sixteen slots on two processors also measure what sixteen
processes cost each other. The whole form takes a quarter of an hour, ``--quick`` two minutes.

Limits: an overhead of 0.1 s per trial; 2 % of the wall time for the ledger, which the driver waits for, and 2 % of the trials' time for
the mirror, which works aside; a driver that has not grown by a tenth from 1,000 to 10,000 trials; a wall time, from before Ray starts
until the last trial has ended, of 1.06 times the sleep of all trials on their slots. A figure beyond its limit is marked with an
exclamation mark. What it costs to ask for the next trial, `searchers.py` measures.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).parent
GROWTH = 1.1


def install(site: Path) -> None:
    """Declare `sleeping` in ``site`` as an installer would, for this process and those that it starts."""
    metadata = site / "sleeping-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: sleeping\nVersion: 1.0\n")
    groups = {"margin_core.datasets": "few = sleeping:SOURCE", "margin_core.models": "sleep = sleeping:MODEL"}
    (metadata / "entry_points.txt").write_text("\n".join(f"[{group}]\n{line}" for group, line in groups.items()) + "\n")
    sys.path[:0] = [str(site), str(HERE), str(HERE.parent)]
    os.environ["PYTHONPATH"] = os.pathsep.join([*sys.path[:3], os.environ.get("PYTHONPATH", "")])
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@dataclass
class Clock:
    """When trials ended, and what the driver held by then."""

    started: float = field(default_factory=time.perf_counter)
    ended: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    mirror: float = 0.0

    def tick(self) -> None:
        self.ended.append(time.perf_counter() - self.started)
        self.processor.append(time.process_time())
        if len(self.ended) % 10 == 0:
            self.memory.append(psutil.Process().memory_info().rss / 1e6)
            for process in psutil.Process().children():
                with suppress(psutil.Error):  # it has just ended
                    if "studies.tracking.follower" in process.cmdline():
                        self.mirror = sum(process.cpu_times()[:2])

    def per_trial(self, times: Sequence[float]) -> float:
        """By how much ``times`` grew with each trial in the middle half of the run."""
        first, last = len(times) // 4, 3 * len(times) // 4
        return (times[last] - times[first]) / (last - first)

    def growth(self) -> float:
        """The driver's memory at the end over that after a tenth of the trials."""
        return self.memory[-1] / self.memory[len(self.memory) // 10]


class Watching(Clock):
    """A clock that a study tells its trials."""

    def stage_started(self, stage: str, total: int, ended: int) -> None:
        pass

    def trial_started(self, trial: Any) -> None:
        pass

    def trial_reported(self, trial: Any, epoch: int, metrics: dict[str, float]) -> None:
        pass

    def trial_ended(self, trial: Any, status: str, reason: str, metrics: dict[str, float]) -> None:
        if status != "finished":
            raise SystemExit(f"{trial.key} {status}: {reason}")
        self.tick()


def study(trials: int, sleep: float, slots: int) -> dict[str, Any]:
    """A screen of two families whose knobs exist only beside them."""
    return {
        "name": "sleeping",
        "datasets": ["few"],
        "model": f"sleep-{sleep:g}",
        "recipe": {"epochs": 1, "batch_size": 64},
        "families": {"gds": {"lam": {"low": 0, "high": 2}, "tau": 1}, "cos_face": {"m": {"low": 0, "high": 0.5}, "s": 10}},
        "nuisance": {"lr": {"low": 0.01, "high": 1.0, "scale": "log"}},
        "screen": {"searcher": "sobol", "trials": trials},
        "resources": {"cpu": (os.cpu_count() or 1) / slots},
    }


@dataclass
class Ours:
    clock: Clock
    wall: float
    ledger: float


def ours(trials: int, sleep: float, slots: int) -> Ours:
    """The study, by the call that ``margin-studies run`` makes."""
    from studies.spec import study_from
    from studies.study import run_study
    from studies.tracking.ledger import Ledger

    spent = [0.0]
    for name in ("start", "report", "end"):
        setattr(Ledger, name, timed(getattr(Ledger, name), spent))
    with tempfile.TemporaryDirectory() as workdir:
        clock = Watching()
        outcome = run_study(study_from(study(trials, sleep, slots)), workdir=Path(workdir), watcher=clock)
        wall = time.perf_counter() - clock.started
    if not outcome.complete or outcome.mirror_error:
        raise SystemExit(f"the study did not end well: {outcome.stopped or outcome.mirror_error}")
    return Ours(clock, wall, spent[0])


def timed(method: Callable[..., Any], spent: list[float]) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        began = time.perf_counter()
        try:
            return method(*arguments, **named)
        finally:
            spent[0] += time.perf_counter() - began

    return call


def train(trial: dict[str, Any]) -> dict[str, float]:
    """One of the study's trials as a plain function."""
    from margin_core.training import Cell, Trial

    made = Trial(Cell.from_dict(trial["cell"]), study_seed=0, replicate=trial["replicate"])
    return made.run_epoch().metrics


def planned(trials: int, sleep: float, slots: int) -> list[dict[str, Any]]:
    from studies.plan import screen_trials
    from studies.spec import study_from

    return [trial.to_dict() for trial in screen_trials(study_from(study(trials, sleep, slots)))]


def rays(trials: int, sleep: float, slots: int) -> Clock:
    """Ray Tune, as its documentation has it: a function, a list to choose from, and its callback for MLflow."""
    import ray
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    class Ticking(tune.Callback):
        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            clock.tick()

    def trainable(config: dict[str, Any]) -> None:
        tune.report(train(config["trial"]))

    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    with tempfile.TemporaryDirectory() as folder:
        mirror = MLflowLoggerCallback(tracking_uri=f"sqlite:///{folder}/mlflow.db", experiment_name="sleeping")
        ray.init(num_cpus=slots, include_dashboard=False, log_to_driver=False, logging_level="error")
        clock = Clock()
        try:
            tune.Tuner(
                tune.with_resources(trainable, {"cpu": 1}),
                param_space={"trial": tune.grid_search(planned(trials, sleep, slots))},
                run_config=tune.RunConfig(storage_path=folder, callbacks=[mirror, Ticking()], verbose=0),
            ).fit()
        finally:
            ray.shutdown()
    return clock


def optunas(trials: int, sleep: float, slots: int) -> Clock:
    """Optuna's loop over the same trials, one after the other."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    listed = planned(trials, sleep, slots)

    def objective(trial: optuna.Trial) -> float:
        trial.suggest_float("lr", 0.01, 1.0, log=True)
        value = train(listed[trial.number])["val_accuracy"]
        clock.tick()
        return value

    with tempfile.TemporaryDirectory() as folder:
        search = optuna.create_study(storage=f"sqlite:///{folder}/optuna.db", sampler=optuna.samplers.RandomSampler(seed=0))
        clock = Clock()
        search.optimize(objective, n_trials=trials)
    return clock


def ratios(values: Sequence[float]) -> list[str]:
    """The first over each of the others."""
    return [f"{values[0] / other:.3f}" for other in values[1:]]


def row(name: str, cells: Sequence[str], limit: str, beyond: bool) -> None:
    print(f"| {' | '.join([name, *cells, limit + ' !' * beyond])} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--sleep", type=float, default=1.0, help="seconds that a trial sleeps")
    parser.add_argument("--slots", type=int, default=16, help="trials at once")
    parser.add_argument("--quick", action="store_true", help="400 trials of half a second on 8 slots")
    given = parser.parse_args()
    trials, sleep, slots = (400, 0.5, 8) if given.quick else (given.trials, given.sleep, given.slots)
    with tempfile.TemporaryDirectory() as site:
        install(Path(site))
        mine = ours(trials, sleep, slots)
        theirs = rays(2 * slots, sleep, slots)
        loop = optunas(20, sleep, slots)
    print(f"{trials} trials of {sleep:g} s on {slots} slots of {os.cpu_count()} processors\n")
    print("| | margin-studies | Ray Tune | Optuna | ratio to Ray Tune | ratio to Optuna | limit |\n|---|---|---|---|---|---|---|")
    clock = mine.clock
    clocks = ((clock, slots), (theirs, slots), (loop, 1))
    over = [at_once * each.per_trial(each.ended) - sleep for each, at_once in clocks]
    row("overhead per trial, s", [*(f"{value:.3f}" for value in over), *ratios(over)], "0.1", over[0] > 0.1)
    spent = [each.per_trial(each.processor) for each, _ in clocks]
    row("driver's processor per trial, s", [*(f"{value:.4f}" for value in spent), *ratios(spent)], "", False)
    running = clock.ended[-1]
    for name, seconds, of in (
        ("ledger, of the wall time", mine.ledger, running),
        ("mirror's processor, of the trials' time", clock.mirror, slots * running),
    ):
        row(name, [f"{100 * seconds / of:.2f} %", *[""] * 4], "2 %", seconds > 0.02 * of)
    row(
        "driver's memory, MB",
        [f"{clock.memory[-1]:.0f}, {clock.growth():.2f} of that at a tenth", *[""] * 4],
        "1.1",
        clock.growth() > GROWTH,
    )
    ideal = trials * sleep / slots
    row("wall time, s", [f"{running:.0f}, {running / ideal:.3f} of {ideal:.0f}", *[""] * 4], "1.06", running > 1.06 * ideal)
    print(f"\nThe first trial ended after {clock.ended[0]:.1f} s; all was reported and sent after {mine.wall:.0f} s.")


if __name__ == "__main__":
    main()
