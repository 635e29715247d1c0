"""The display of a running study: plain lines where it is logged, a live table on a terminal, nothing for machines."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from studies.plan import PlannedTrial, screen_trials
from studies.progress import StudyDisplay
from studies.spec import StudySpec
from tests.studies.builders import study


@pytest.fixture
def spec() -> StudySpec:
    return study(screen={"searcher": "grid"}, recipe={"epochs": 5})


def console(*, terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=160, color_system=None)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def follow(display: StudyDisplay, trials: list[PlannedTrial]) -> None:
    """A stage in which every trial ends well."""
    display.stage_started("screen", len(trials), 0)
    for number, trial in enumerate(trials):
        display.trial_started(trial)
        display.trial_reported(trial, 5, {"val_accuracy": 80.0 + number})
        display.trial_ended(trial, "finished", "", {"val_accuracy": 80.0 + number})


def test_a_log_gets_a_line_for_the_stage_and_one_for_every_tenth(spec: StudySpec) -> None:
    log = console()
    with StudyDisplay(spec, log) as display:
        follow(display, screen_trials(spec)[:20])
    assert written(log).splitlines() == ["screen: 20 trials", *(f"screen: {number}/20 trials" for number in range(2, 21, 2))]


def test_a_small_stage_gets_a_line_for_every_trial(spec: StudySpec) -> None:
    log = console()
    with StudyDisplay(spec, log) as display:
        follow(display, screen_trials(spec)[:3])
    assert written(log).splitlines() == ["screen: 3 trials", "screen: 1/3 trials", "screen: 2/3 trials", "screen: 3/3 trials"]


def test_a_resumed_stage_counts_what_was_done_before(spec: StudySpec) -> None:
    log = console()
    with StudyDisplay(spec, log) as display:
        display.stage_started("screen", 10, 9)
        display.trial_started(screen_trials(spec)[0])
        display.trial_ended(screen_trials(spec)[0], "finished", "", {})
    assert written(log).splitlines() == ["screen: 10 trials, 9 of them done before", "screen: 10/10 trials"]


@pytest.mark.parametrize("status", ["failed", "diverged"])
def test_a_lost_trial_is_named_with_its_whole_reason(spec: StudySpec, status: str) -> None:
    trial = next(trial for trial in screen_trials(spec) if trial.cell.family == "gds")
    log = console()
    with StudyDisplay(spec, log) as display:
        display.stage_started("screen", 100, 0)
        display.trial_ended(trial, status, "RuntimeError: [enforce fail at alloc_cpu.cpp:117] . [/bad] markup", {})
    lam = f"λ = {trial.config['gds.lam']:g}"
    assert (
        written(log).splitlines()[1] == f"{status} {trial.key} ({lam}): RuntimeError: [enforce fail at alloc_cpu.cpp:117] . [/bad] markup"
    )


def test_an_interrupted_trial_is_not_counted(spec: StudySpec) -> None:
    log = console()
    trial = screen_trials(spec)[0]
    with StudyDisplay(spec, log) as display:
        display.stage_started("screen", 1, 0)
        display.trial_started(trial)
        display.trial_ended(trial, "interrupted", "", {"val_accuracy": 99.0})
    assert written(log).splitlines() == ["screen: 1 trials"]


def test_a_terminal_shows_what_runs_and_the_best_so_far(spec: StudySpec) -> None:
    screen = console(terminal=True)
    gds = [trial for trial in screen_trials(spec) if trial.cell.family == "gds"][:3]
    with StudyDisplay(spec, screen) as display:
        follow(display, gds[:2])
        display.trial_started(gds[2])
        display.trial_reported(gds[2], 2, {"val_accuracy": 70.25})
    shown = written(screen)
    assert "2/5" in shown and "70.25" in shown
    assert "best gds" in shown and "81.00" in shown
    assert "2/2" in shown


def test_the_best_is_the_least_where_less_is_better() -> None:
    spec = study(metric="val_nll", sesoi=0.1)
    screen = console(terminal=True)
    first, second, third = screen_trials(spec)[:3]
    with StudyDisplay(spec, screen) as display:
        display.stage_started("screen", 3, 0)
        for trial, value in ((first, 0.75), (second, 0.25), (third, 0.5)):
            display.trial_started(trial)
            display.trial_ended(trial, "finished", "", {"val_nll": value})
    assert written(screen).rsplit("best", 1)[1].split("\n")[0].split()[-1].startswith("0.25")


def test_a_second_stage_takes_the_place_of_the_first(spec: StudySpec) -> None:
    screen = console(terminal=True)
    with StudyDisplay(spec, screen) as display:
        follow(display, screen_trials(spec)[:2])
        display.stage_started("confirm", 4, 0)
    last = written(screen).rsplit("confirm", 1)[1]
    assert "0/4" in last and "best" not in last


def test_machines_get_nothing(spec: StudySpec, capsys: pytest.CaptureFixture[str]) -> None:
    with StudyDisplay(spec, None) as display:
        follow(display, screen_trials(spec)[:4])
        display.trial_ended(screen_trials(spec)[5], "failed", "why", {})
    assert capsys.readouterr() == ("", "")
