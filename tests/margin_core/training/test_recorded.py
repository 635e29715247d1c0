"""Recorded steps: what is replayed is what would have been done, for all that changes from one step to the next.

On a processor steps are recorded as a list of torch's operations. Like a CUDA graph it has none of what Python did between them: a number
that was not in a tensor is what it was when the step was recorded, and a look at a number raises.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import chain

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from margin_core.data import DatasetConfig
from margin_core.knobs import Schedule
from margin_core.losses import closed_form_cpu, list_losses
from margin_core.training import Cell, EpochReport, Trial, side_by_side
from margin_core.training.array import TrialArray
from margin_core.training.recorded import Make, RecordedSteps, cuda_graph
from margin_core.training.stacked import Given
from tests.margin_core.training.array_cases import array_of, assert_same_state, begin, cell, run, state, varied

# Recorded steps have their learning rates in single precision.
NEAR = 1e-6


class Recorder:
    """Records steps, and counts what it recorded and what was replayed of it."""

    def __init__(self) -> None:
        self.recorded = self.replayed = 0

    def __call__(self, make: Make, given: Given, target: Tensor) -> Make:
        counts = [count for count, _ in given.parts]
        made: list[Tensor] = []

        def step(target: Tensor, *batches: Tensor) -> Tensor:
            made.append(make(Given(tuple(zip(counts, batches, strict=True))), target).detach())
            return made[0]

        operations = make_fx(step)(target, *(batch for _, batch in given.parts))
        self.recorded += 1

        def replay(given: Given, target: Tensor) -> Tensor:
            if made:
                return made.pop()  # unlike a graph's, the step was made while it was recorded
            self.replayed += 1
            totals: Tensor = operations(target, *(batch for _, batch in given.parts))
            return totals

        return replay


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(closed_form_cpu, "FUNCTIONS", None)  # which are no operations of torch
    monkeypatch.setattr(side_by_side, "recorder", lambda device: recorder)
    return recorder


def as_they_would_be(cells: Sequence[Cell], monkeypatch: pytest.MonkeyPatch, epochs: int) -> list[tuple[Trial, list[EpochReport]]]:
    """Trials of an array whose steps are not recorded."""
    with monkeypatch.context() as patch:
        patch.setattr(side_by_side, "recorder", lambda device: None)
        return list(run(array_of(map(begin, cells)), epochs).items())


def assert_replayed(recorder: Recorder, cells: Sequence[Cell], monkeypatch: pytest.MonkeyPatch, epochs: int) -> None:
    trials = [begin(of) for of in cells]
    reports = run(array_of(trials), epochs)
    for trial, (other, expected) in zip(trials, as_they_would_be(cells, monkeypatch, epochs), strict=True):
        assert_same_state(trial, state(other), NEAR)
        losses = [[report.metrics["train_loss"] for report in own] for own in (reports[trial], expected)]
        assert losses[0] == pytest.approx(losses[1], rel=NEAR, abs=NEAR)


def test_steps_of_all_families_with_their_schedules_and_clipping(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    # Each epoch has seven batches of 64 and one of 52, which is recorded in the fourth.
    assert_replayed(recorder, varied(cell(family) for family in list_losses()), monkeypatch, epochs=5)
    assert (recorder.recorded, recorder.replayed) == (2, 5 * 8 - 3 - 1 - 3 - 1)


def test_steps_with_weights_that_follow_schedules_under_adamw(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    weights: list[dict[str, float | Schedule]] = [
        {"sample_margin": Schedule("step", 0.0, 0.3, 0.2), "zero_centroid": 2.0},
        {"sample_margin": 0.1, "zero_centroid": Schedule("linear", 2.0, 0.0, 0.2)},
    ]
    cells = [cell(family, regularizers=of, optimizer="adamw", lr=0.01) for family in ("ce", "arc_face") for of in weights]
    assert_replayed(recorder, varied(cells), monkeypatch, epochs=3)
    assert recorder.replayed > 0


def test_steps_with_batch_norm_and_batches_of_several_seeds(recorder: Recorder) -> None:
    tiny = DatasetConfig("digits", images_per_class=6, classes=3)
    cells = [cell(family, model="wrn-10-1", dataset=tiny, batch_size=5) for family in ("ce", "cos_face")]
    plain, recorded = ([begin(of, replicate) for of, replicate in zip(cells, (0, 1), strict=True)] for _ in range(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(side_by_side, "recorder", lambda device: None)
        run(array_of(plain), 3)
    run(array_of(recorded), 3)
    assert recorder.replayed > 0
    for trial, other in zip(recorded, plain, strict=True):
        assert_same_state(trial, state(other), NEAR)


def test_trials_come_and_go_between_recordings(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    def train() -> list[Trial]:
        first, second, late = (begin(of) for of in varied([cell("gds"), cell("focal"), cell("two_scale")]))
        array = array_of([first, second])
        run(array, 2)
        array.leave(second)
        second.run_epoch()
        array.join(late)
        run(array, 2)
        return [first, second, late]

    trials = train()
    assert recorder.recorded == 2
    with monkeypatch.context() as patch:
        patch.setattr(side_by_side, "recorder", lambda device: None)
        others = train()
    for trial, other in zip(trials, others, strict=True):
        assert_same_state(trial, state(other), NEAR)


def test_losses_that_python_changes_from_step_to_step_are_not_recorded(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [cell("ohem", {"keep": Schedule("linear", 1.0, 0.2)}), cell("two_scale", {"eta": Schedule("linear", 0.1, 1.0)})]
    for of in cells:
        assert_replayed(recorder, [of, cell("ce")], monkeypatch, epochs=1)
    assert recorder.recorded == 0


def test_a_recording_that_fails_on_its_way_leaves_nothing_in_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = varied([cell("two_scale"), cell("ce")])

    def fails(make: Make, given: Given, target: Tensor) -> Make:
        before = [(tensor, tensor.clone()) for trial in trials for tensor in (*state(trial), *_momenta(trial))]
        make(given, target)
        with torch.no_grad():  # a graph that is not whole has changed nothing
            for tensor, value in before:
                tensor.copy_(value)
        raise RuntimeError("out of memory")

    trials = [begin(of) for of in cells]
    with monkeypatch.context() as patch:
        patch.setattr(side_by_side, "recorder", lambda device: fails)
        run(array_of(trials), 1)
    for trial, (other, _) in zip(trials, as_they_would_be(cells, monkeypatch, 1), strict=True):
        assert_same_state(trial, state(other), NEAR)


def _momenta(trial: Trial) -> list[Tensor]:
    return [value for of in trial.optimizer.state.values() for value in of.values() if isinstance(value, Tensor)]


def test_a_step_that_cannot_be_recorded_is_made_as_ever_and_that_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(make: Make, given: Given, target: Tensor) -> Make:
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    steps, given = RecordedSteps(refuse), Given(((1, torch.zeros(2, 3)),))
    with caplog.at_level(logging.WARNING):
        made = [float(steps(lambda given, target: target.sum(), given, torch.tensor([[number]]))) for number in range(6)]
    assert made == [0, 1, 2, 3, 4, 5]
    assert [record.getMessage() for record in caplog.records] == [
        "steps are not recorded, and are slower: operation not permitted when stream is capturing"
    ]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_steps_are_replayed_as_cuda_graphs() -> None:
    cells = varied(chain(map(cell, list_losses()), [cell("ce", model="mlp-50-20", regularizers={"sample_margin": 0.5})]))
    plain, recorded = ([begin(of, device="cuda") for of in cells] for _ in range(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(side_by_side, "recorder", lambda device: None)
        run(array_of(plain), 3)
    array = TrialArray()
    for trial in recorded:
        array.join(trial)
    run(array, 1)
    stacked = array._put_side_by_side()
    assert stacked._recorded is not None
    assert stacked._recorded._record is cuda_graph
    assert stacked._recorded._replay
    run(array, 2)
    for trial, other in zip(recorded, plain, strict=True):
        assert_same_state(trial, state(other), NEAR)
