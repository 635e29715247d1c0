"""The fault suite: whole studies through the real command, each struck in one way of the table `FAULTS`, and one check of what is left.

A study that was struck is gone on with until it is done. Then every trial is accounted for, its epochs come one after the other, no cell
has a seed twice, and every (stage, cell, seed, epoch, metrics) is that of an untouched run; of fused trials every (stage, cell, seed,
epoch), and the metrics of later stages to rounding. Where MLflow was struck, it has everything once. Each study but one has cells that
diverge. Nodes that die are in `test_cluster`.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from studies.tracking.records import ENDED
from studies.workspace import StudyFiles, study_files
from tests.studies.running.test_cluster import staged_rows
from tests.studies.running.test_run import SMALL, _actors, ended, finish, read, run, wait_until, write
from tests.studies.tracking.servers import MlflowServer, Proxy, Trouble
from tests.studies.tracking.test_outages import assert_whole_and_once, some

pytestmark = [pytest.mark.ray, pytest.mark.faults, pytest.mark.timeout(1200)]

SHORT: dict[str, Any] = {
    **{key: value for key, value in SMALL.items() if key != "record"},
    "name": "struck",
    "recipe": {"epochs": 4, "batch_size": 64},
    "nuisance": {"lr": [0.1, 1e30]},
    "families": {"ce": {"label_smoothing": 0}, "gds": {"lam": [0, 1], "tau": 1, "hardest": "attached"}},
    "screen": {"searcher": "grid", "seeds": 6},
    "confirm": {"families": 1, "seeds": 3, "values": {"gds": [0, 1]}},
    "tolerance": {"retries": 40, "failed_share": 0},
}
# Trials that take long enough to have checkpoints.
LONG: dict[str, Any] = {
    **SHORT,
    "name": "long",
    "recipe": {"epochs": 500, "batch_size": 16},
    "nuisance": {"lr": 0.01},
    "families": {"gds": {"lam": [0, 1], "tau": 1}},
    "screen": {"searcher": "grid", "seeds": 1},
    "confirm": None,
}


# The command, in a process whose callback of Ray Tune's raises when it is called for the given time.
RAISING = """
import sys
from studies.running.address import keep_to_this_machine
keep_to_this_machine(None)
from studies.cli import main
from studies.running.callback import LedgerCallback
from studies.running.whereabouts import PlacementCallback

owner, event, calls = {"ledger": LedgerCallback, "placement": PlacementCallback}[sys.argv[1]], sys.argv[2], int(sys.argv[3])

def raising(self, *arguments, whole=getattr(owner, event), **named):
    global calls
    calls -= 1
    if calls == 0:
        raise RuntimeError(f"struck in {event}")
    whole(self, *arguments, **named)

setattr(owner, event, raising)
sys.argv[1:4] = []
main()
"""


@dataclass
class Struck:
    """A study that is being struck.

    Attributes:
        study: Its study file.
        workdir: Where it lies.
        chance: Where random points come from.
        after: What is undone when all is checked.
        options: Of the command.
        stores: MLflow servers that must have everything in the end.
    """

    study: dict[str, Any]
    workdir: Path
    chance: random.Random
    after: ExitStack
    options: list[str] = field(default_factory=list)
    stores: list[str] = field(default_factory=list)

    @property
    def files(self) -> StudyFiles:
        return study_files(self.workdir, self.study["name"])

    def begin(self, program: Sequence[str] = ("-m", "studies")) -> subprocess.Popen[str]:
        """Start it, or go on with it, in a process group of its own."""
        call = ["resume", self.study["name"]] if self.files.ledger.exists() else ["run", str(write(self.workdir, self.study))]
        command = [sys.executable, *program, *call, "--workdir", str(self.workdir), *self.options, "--json"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
        self.after.callback(slay, process)  # where an assertion fails meanwhile
        return process

    def begin_and_wait(self, goal: int, program: Sequence[str] = ("-m", "studies")) -> subprocess.Popen[str]:
        """The same, until so many trials have ended."""
        process = self.begin(program)
        wait_until(lambda: ended(self.workdir, self.study["name"]) >= goal, process)
        return process


def shoot_workers(struck: Struck) -> None:
    """One worker after another is killed, at any moment, until the study is done or many have been."""
    process, blows = struck.begin_and_wait(1), 0
    while process.poll() is None and blows < 12:
        if actors := _actors(process):
            struck.chance.choice(actors).kill()
            blows += 1
        time.sleep(struck.chance.uniform(0.2, 1.5))
    finish(process, 0, timeout=900)
    assert blows >= 3


def shoot_driver(struck: Struck) -> None:
    """The driver is killed, with all that it started, at ten random points; at some of them it has only just come up."""
    for goal in sorted(struck.chance.sample(range(40), 10)):
        process = struck.begin_and_wait(goal)
        time.sleep(struck.chance.uniform(0.0, 0.5))
        slay(process)


def slay(process: subprocess.Popen[str]) -> None:
    """Kill a driver and, so that none of its actors goes on writing, all that it started."""
    if process.poll() is not None:
        return
    kept = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    for child in kept:
        with suppress(psutil.NoSuchProcess):
            child.kill()


def raise_in_callbacks(struck: Struck) -> None:
    """Every callback raises in turn: each ends its run, and none is taken for the failure of a trial."""
    for owner, event, calls in (
        ("ledger", "on_trial_start", 4),
        ("ledger", "on_trial_result", 3),
        ("placement", "on_trial_result", 4),
        ("ledger", "on_trial_complete", 5),
        ("placement", "on_step_end", 3),
        ("ledger", "on_trial_error", 1),
    ):
        process = struck.begin(["-c", RAISING, owner, event, str(calls)])
        while event == "on_trial_error" and process.poll() is None:
            for actor in _actors(process):
                actor.kill()
            time.sleep(0.5)
        _, err = process.communicate(timeout=600)
        assert process.returncode == 1 and f"struck in {event}" in err, err[-3000:]


def fill_the_disk(struck: Struck) -> None:
    """The disk of the work directory is full for a while; the driver says so in a sentence."""
    struck.options = ["--tracking-uri", f"sqlite:///{struck.workdir.parent / 'elsewhere.db'}"]
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(struck.workdir)], check=False, capture_output=True
    ).returncode:
        pytest.skip("needs the right to mount a file system")
    struck.after.callback(subprocess.run, ["umount", str(struck.workdir)], check=True)
    process = struck.begin_and_wait(4)
    ballast = struck.workdir / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    _, err = process.communicate(timeout=600)
    assert process.returncode == 2, err[-3000:]
    assert "cannot be written: database or disk is full; once it can be, the study goes on from it" in err
    assert "Traceback" not in err
    ballast.unlink()


def corrupt_checkpoints(struck: Struck) -> None:
    """The study is killed when trials have checkpoints, and one of these is then torn and another changed in the middle."""
    process = struck.begin()
    wait_until(lambda: len(list(struck.files.checkpoints.glob("*.pt"))) == 2, process)
    slay(process)
    torn, changed = struck.files.checkpoints.glob("*.pt")
    torn.write_bytes(torn.read_bytes()[:-100])
    contents = bytearray(changed.read_bytes())
    contents[len(contents) // 2] ^= 1
    changed.write_bytes(contents)


def server_away_at_first(struck: Struck) -> None:
    """MLflow's server is started when the study is on its way."""
    server = _server(struck)
    process = struck.begin_and_wait(4)
    server.start()
    finish(process, 0, timeout=900)


def server_killed(struck: Struck) -> None:
    """MLflow's server is killed when it has some of the study, and is back before the end."""
    server = _server(struck)
    server.start()
    process = struck.begin_and_wait(20)
    server.kill()
    wait_until(lambda: ended(struck.workdir, struck.study["name"]) >= 30, process)
    server.start()
    finish(process, 0, timeout=900)


def server_slow(struck: Struck) -> None:
    """Every third request waits for seconds."""
    _behind_a_proxy(struck, "slow")


def server_full_of_errors(struck: Struck) -> None:
    """Two of five requests are answered by an error, or not at all."""
    _behind_a_proxy(struck, "500", "429", "cut before", "cut after")


def _server(struck: Struck) -> MlflowServer:
    folder = struck.workdir.parent / "server"
    folder.mkdir()
    server = MlflowServer(folder)
    struck.after.callback(server.kill)
    struck.options, struck.stores = ["--tracking-uri", server.url], [server.url]
    return server


def _behind_a_proxy(struck: Struck, *troubles: Trouble) -> None:
    server = _server(struck)
    server.start()
    proxy = struck.after.enter_context(Proxy(server.port, some(*troubles), slowness=3.0))
    struck.options = ["--tracking-uri", proxy.url]


FAULTS: dict[str, tuple[dict[str, Any], Callable[[Struck], None]]] = {
    "workers are killed at random throughout": (SHORT, shoot_workers),
    "the driver is killed at ten random points": (SHORT, shoot_driver),
    "every callback raises in turn": (SHORT, raise_in_callbacks),
    "the disk is full": (SHORT, fill_the_disk),
    "checkpoints are corrupt": (LONG, corrupt_checkpoints),
    "the server is away at first": (SHORT, server_away_at_first),
    "the server is killed": (SHORT, server_killed),
    "the server is slow": (SHORT, server_slow),
    "the server is full of errors": (SHORT, server_full_of_errors),
}


# The mirror reads the ledger, whoever writes it.
CASES = [(fault, "solo") for fault in FAULTS] + [(fault, "fused") for fault in FAULTS if not fault.startswith("the server")]


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, Any]], Path]:
    """The work directory of a study that was run without a break, once."""
    done: dict[tuple[str, str], Path] = {}

    def run_whole(study: dict[str, Any]) -> Path:
        asked = study["name"], study["runner"]
        if asked not in done:
            workdir = tmp_path_factory.mktemp("untouched")
            assert run("run", write(workdir, study), "--workdir", workdir, timeout=900)["complete"]
            done[asked] = workdir
        return done[asked]

    return run_whole


@pytest.mark.parametrize(("fault", "runner"), CASES)
def test_a_study_that_is_struck_ends_as_an_untouched_one(
    fault: str, runner: str, untouched: Callable[[dict[str, Any]], Path], tmp_path: Path
) -> None:
    study, strike = FAULTS[fault]
    study = {**study, "runner": runner}
    whole = untouched(study)
    with ExitStack() as after:
        workdir = tmp_path / "runs"
        workdir.mkdir()
        struck = Struck(study, workdir, random.Random(fault), after)
        strike(struck)
        outcome = finish(struck.begin(), 0, timeout=900)
        assert outcome["complete"]
        check(workdir, whole, study["name"])
        for store in struck.stores:
            run("sync", study["name"], "--workdir", workdir, "--tracking-uri", store, timeout=600)
            assert_whole_and_once(struck.files, store, study["name"])


def check(workdir: Path, whole: Path, name: str) -> None:
    """What every fault leaves as it was."""
    with read(workdir, name) as struck, read(whole, name) as untouched:
        trials = struck.trials()
        assert {trial.key: trial.status for trial in trials} == {trial.key: trial.status for trial in untouched.trials()}
        assert {trial.status for trial in trials} <= set(ENDED)
        assert len({(trial.stage, trial.cell_id, trial.seed) for trial in trials}) == len(trials)
        for trial in trials:
            epochs = [row["epoch"] for row in struck.epochs(trial.key)]
            assert epochs == list(range(1, len(epochs) + 1))
        now, then = staged_rows(struck), staged_rows(untouched)
        if struck.study_file()["runner"] == "solo":
            assert now == then
            return
        assert [row[:4] for row in now] == [row[:4] for row in then]
        losses = ([row[4]["train_loss"] for row in rows if row[0] == "confirm"] for rows in (now, then))
        assert next(losses) == pytest.approx(next(losses), rel=1e-3)
