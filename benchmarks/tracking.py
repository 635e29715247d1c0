"""What tracking costs: `python benchmarks/tracking.py [--trials 1000 10000] [--epochs 10] [--metrics 6] [--server URL]`.

Trials that have ended are written into a ledger, and the mirror sends them to a real MLflow server. Prints a Markdown table. A row is a
number of trials: requests per trial; the processor time of the mirror's thread per 1,000 trials; the same two for the way of Ray Tune's own
callback for MLflow, which sends each metric of each report in a request of its own, on 20 trials; the ratio of the processor times; and the
most memory that the mirror holds at once. Limits: three requests per trial (its run, its values, its end), so one per batch of reports; the
thread's processor time is at most 2 % of a trial's wall time, where a trial takes as long as the last column says.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from studies.plan import PlannedTrial, screen_trials
from studies.spec import StudySpec, study_from
from studies.tracking.asking import Patience, connect
from studies.tracking.ledger import Ledger
from studies.tracking.sent import Sent
from studies.tracking.session import Session
from tests.studies.tracking.servers import mlflow_server

RAYS_TRIALS = 20
SHARE = 0.02


def spec(trials: int) -> StudySpec:
    """A screen of so many trials."""
    return study_from(
        {
            "name": f"tracking-{trials}",
            "datasets": ["digits"],
            "model": "mlp-8",
            "families": {"gds": {"lam": {"low": 0, "high": 2}, "tau": 1}},
            "nuisance": {"lr": {"low": 0.01, "high": 1}},
            "recipe": {"epochs": 1},
            "screen": {"searcher": "sobol", "trials": trials},
        }
    )


def write(ledger: Ledger, trials: list[PlannedTrial], epochs: int, metrics: int) -> None:
    for trial in trials:
        ledger.start(trial)
        rows = [
            {"epoch": epoch, "at": time.time(), "seconds": 1.0, "metrics": {f"val_{name}": epoch + name / 7 for name in range(metrics)}}
            for epoch in range(1, epochs + 1)
        ]
        ledger.report(trial.key, rows)
        ledger.end(trial.key, "finished")


def mirrored(url: str, trials: int, epochs: int, metrics: int, *, trace: bool) -> tuple[float, int, int]:
    """Processor seconds of the thread that sends the trials, requests, and most bytes allocated at once where that is traced."""
    study = spec(trials)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite"
        with Ledger(path) as ledger, Sent(path, url) as sent:
            ledger.set_meta("study_id", f"{time.time_ns()}")
            write(ledger, screen_trials(study), epochs, metrics)
            patience = Patience(url)
            session = Session(connect(url), ledger, sent, study, patience)
            before, start = patience.requests, time.thread_time()
            with traced() if trace else nullcontext():
                session.send_trials(wait=False)
                most = tracemalloc.get_traced_memory()[1] if trace else 0
            return time.thread_time() - start, patience.requests - before, most


@contextmanager
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def rays_way(url: str, epochs: int, metrics: int) -> tuple[float, int]:
    """Processor seconds and requests per trial where each metric is a request, as `ray.air.integrations.mlflow` has it."""
    client = connect(url)
    experiment = client.create_experiment(f"rays-way-{time.time_ns()}")
    requests, start = 0, time.thread_time()
    for trial in range(RAYS_TRIALS):
        run = client.create_run(experiment, run_name=str(trial)).info.run_id
        for name, value in {"lr": 0.1, "gds.lam": 1.0, "gds.tau": 1.0, "family": "gds"}.items():
            client.log_param(run, name, value)
            requests += 1
        for epoch in range(1, epochs + 1):
            for name in range(metrics):
                client.log_metric(run, f"val_{name}", epoch + name / 7, step=epoch)
                requests += 1
        client.set_terminated(run, "FINISHED")
        requests += 2
    return (time.thread_time() - start) / RAYS_TRIALS, requests // RAYS_TRIALS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--metrics", type=int, default=6)
    parser.add_argument("--server", help="The server to send to; by default one of its own, on SQLite.")
    given = parser.parse_args()
    assert threading.active_count() == 1
    with tempfile.TemporaryDirectory() as folder, nullcontext() if given.server else mlflow_server(Path(folder)) as server:
        url = given.server or server.url
        theirs, their_requests = rays_way(url, given.epochs, given.metrics)
        heads = ["trials", "requests per trial", "Ray's way", "s per 1,000 trials", "Ray's way", "ratio", "memory, MB", "a trial's least s"]
        print(f"| {' | '.join(heads)} |\n|{' ---: |' * len(heads)}", flush=True)
        for trials in given.trials:
            seconds, requests, _ = mirrored(url, trials, given.epochs, given.metrics, trace=False)
            most = mirrored(url, trials, given.epochs, given.metrics, trace=True)[2]
            ours = seconds / trials
            print(
                f"| {trials} | {requests / trials:.2f} | {their_requests} | {1000 * ours:.1f} | {1000 * theirs:.1f} "
                f"| {ours / theirs:.3f} | {most / 1e6:.1f} | {ours / SHARE:.2f} |"
            )


if __name__ == "__main__":
    main()
