from __future__ import annotations

import pytest

from studies.failures import CAUSES, WORDS, Policy, cause_in
from studies.lost_cells import lost_cells
from studies.plain_yaml import StudyFileError
from studies.plan import confirm_trials, screen_trials
from tests.studies import builders
from tests.studies.conftest import NewLedger


def test_every_cause_has_a_policy_and_words_by_which_its_reasons_are_known() -> None:
    policies = builders.study().failures.policies(builders.study().tolerance)
    assert set(policies) == set(CAUSES)
    for cause in CAUSES:
        assert cause_in(f"{WORDS[cause]} in attempt 1 of 2: told") == cause
    assert cause_in("ValueError: as an earlier release wrote it") == "code"


def test_a_part_of_a_policy_leaves_the_rest_as_it_is_by_default_and_a_dead_process_is_tried_as_tolerance_says() -> None:
    spec = builders.study(failures={"memory": {"tries": 5}, "data": {"elsewhere": False}}, tolerance={"retries": 7})
    policies = spec.failures.policies(spec.tolerance)
    assert policies["memory"] == Policy(5, elsewhere=True)
    assert policies["data"] == Policy(2, elsewhere=False)
    assert policies["process"] == Policy(8)
    both = builders.study(failures={"process": {"tries": 2}}, tolerance={"retries": 7})
    assert both.failures.policies(both.tolerance)["process"] == Policy(2)


def test_a_wrong_cause_or_number_of_tries_is_refused() -> None:
    with pytest.raises(StudyFileError, match=r"unknown key 'failures.memori' \(did you mean 'memory'\?\)"):
        builders.study(failures={"memori": {"tries": 2}})
    with pytest.raises(StudyFileError, match=r"failures.hang.tries: should be greater than or equal to 1, got 0"):
        builders.study(failures={"hang": {"tries": 0}})
    with pytest.raises(StudyFileError, match=r"unknown key 'failures.hang.retries'"):
        builders.study(failures={"hang": {"retries": 2}})
    with pytest.raises(StudyFileError, match=r"unknown key 'budget.trial.memory' \(did you mean 'memory_gib'\?\)"):
        builders.study(budget={"trial": {"memory": 2}})


def test_the_share_that_a_cell_lost_and_its_causes_are_told_the_greatest_first(new_ledger: NewLedger) -> None:
    spec = builders.study(**builders.WITHOUT_SCREEN, confirm={"families": ["gds"], "seeds": 4, "values": {"gds": [0, 1]}})
    ledger = new_ledger(spec)
    for trial in confirm_trials(spec):
        ledger.start(trial)
        lam, seed = trial.config.get("gds.lam"), trial.replicate
        if lam == 1 and seed < 2:
            ledger.end(trial.key, "diverged", f"{WORDS['diverged']}: loss or weights in epoch 1")
        elif lam == 1 and seed == 2:
            ledger.end(trial.key, "failed", f"{WORDS['memory']} in attempt 2 of 2: MemoryError")
        elif lam == 0 and seed == 0:
            ledger.end(trial.key, "failed", "ValueError: by an earlier release")
        else:
            ledger.end(trial.key, "finished")
    worst, other = lost_cells(ledger.trials(), alpha=0.05)
    assert (worst.ended, worst.diverged, worst.failed, worst.causes) == (4, 2, 1, {"diverged": 2, "memory": 1})
    assert (other.ended, other.diverged, other.failed, other.causes) == (4, 0, 1, {"code": 1})
    assert (worst.rate.rate, other.rate.rate) == (0.75, 0.25)
    assert worst.rate.low < 0.75 < worst.rate.high < 1.0


def test_trials_that_failed_may_be_tried_again_and_those_that_diverged_stay(new_ledger: NewLedger) -> None:
    ledger = new_ledger(builders.study())
    failed, diverged, finished = screen_trials(builders.study())[:3]
    builders.write(ledger, failed, {"val_accuracy": 1.0}, "failed")
    builders.write(ledger, diverged, {"val_accuracy": 1.0}, "diverged")
    builders.write(ledger, finished, {"val_accuracy": 1.0})
    assert ledger.retry_failed() == 1
    assert [trial.status for trial in ledger.trials()] == ["interrupted", "diverged", "finished"]
    ledger.start(failed)
    ledger.end(failed.key, "finished")
    assert (ledger.trial(failed.key).status, ledger.trial(failed.key).attempts) == ("finished", 2)
    assert ledger.retry_failed() == 0
