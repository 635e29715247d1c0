"""What every metric must hold, by being listed in `metric_rows`. What is particular to one is in `tests/margin_core/metrics`."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from dataclasses import astuple, is_dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from margin_core import metrics
from margin_core.metrics import Streaming
from tests.conformance.metric_rows import BIAS, CENTRES, EXAMPLES, LAST_LAYER, METRICS, Arguments, Metric

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
PAGE = Path(__file__).parents[2] / "docs/metrics.md"
ALL = [pytest.param(metric, id=metric.name) for metric in METRICS]
STREAMING = [pytest.param(metric, id=metric.name) for metric in METRICS if metric.streaming]
OF_CLASSES = [pytest.param(metric, id=metric.name) for metric in METRICS if "target" in metric.draw(np.random.default_rng(0))]


def numbers(value: object) -> np.ndarray:
    """Whatever a metric gives, as one row of numbers."""
    if is_dataclass(value) and not isinstance(value, type):
        value = astuple(value)
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, tuple):
        return np.concatenate([numbers(part) for part in value])
    if isinstance(value, Tensor):
        value = value.detach().double().cpu().numpy()
    return np.atleast_1d(np.asarray(value, dtype=np.float64)).ravel()


def draw(metric: Metric, dtype: torch.dtype = torch.float64, seed: int = 0) -> Arguments:
    arguments = metric.draw(np.random.default_rng(seed))
    return {name: value.to(dtype) if value.is_floating_point() else value for name, value in arguments.items()}


def started(metric: Metric) -> Streaming[object]:
    assert metric.streaming is not None
    return metric.streaming()


def update(streaming: Streaming[object], arguments: Arguments, rows: object = slice(None)) -> None:
    streaming.update(*(value[rows] for value in arguments.values()))  # type: ignore[attr-defined]


def assert_same(measured: object, expected: object) -> None:
    np.testing.assert_allclose(numbers(measured), numbers(expected), rtol=1e-11, atol=1e-12)


# --- What all hold


def test_every_public_metric_is_listed_here_and_named_on_its_page() -> None:
    public = {name: getattr(metrics, name) for name in metrics.__all__}
    functions = {name for name, value in public.items() if inspect.isfunction(value)}
    listed = {getattr(metric.function, "func", metric.function) for metric in METRICS}
    # The two that the listed ones are made of.
    assert functions - {getattr(function, "__name__", "") for function in listed} == {"collapse_of_moments", "tar_at_far"}
    streaming = {value for value in public.values() if inspect.isclass(value) and issubclass(value, Streaming)} - {Streaming}
    assert {type(started(metric)) for metric in METRICS if metric.streaming} == streaming
    for name in functions | {value.__name__ for value in streaming}:
        assert f"`{name}" in PAGE.read_text(encoding="utf-8"), name


def test_the_code_on_the_page_runs() -> None:
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(block, names)
    assert isinstance(names["agreement"], metrics.NearestCentreAgreement)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("metric", ALL)
def test_a_metric_agrees_with_its_reference_in_every_precision(metric: Metric, dtype: torch.dtype) -> None:
    for seed in range(3):
        arguments = draw(metric, dtype, seed)
        # The reference has the rounded numbers too, so what is told apart is how they are computed with.
        wide = {name: (value.double() if value.is_floating_point() else value).numpy() for name, value in arguments.items()}
        measured, expected = numbers(metric.function(**arguments)), numbers(metric.reference(**wide))
        # The sample margin alone gives what it is given: float32 there.
        tolerance = 1e-6 if "margin" in metric.name and dtype != torch.float64 else 1e-10
        np.testing.assert_allclose(measured, expected, rtol=tolerance, atol=tolerance if tolerance > 1e-9 else 1e-12)


@pytest.mark.parametrize("metric", ALL)
def test_the_caller_s_tensors_are_not_written_to(metric: Metric) -> None:
    arguments = draw(metric)
    before = {name: (value.clone(), value._version) for name, value in arguments.items()}
    metric.function(**arguments)
    if metric.streaming:
        update(started(metric), arguments)
    for name, value in arguments.items():
        assert torch.equal(value, before[name][0])
        assert value._version == before[name][1]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
@pytest.mark.parametrize("metric", ALL)
def test_integers_may_be_of_any_width(metric: Metric, dtype: torch.dtype) -> None:
    arguments = draw(metric)
    narrow = {name: value.to(dtype) if value.dtype == torch.int64 else value for name, value in arguments.items()}
    assert_same(metric.function(**narrow), metric.function(**arguments))


@pytest.mark.parametrize("metric", ALL)
def test_strided_tensors_measure_as_contiguous_ones(metric: Metric) -> None:
    arguments = draw(metric)
    strided = {name: value.repeat_interleave(2, dim=0)[::2] for name, value in arguments.items()}
    assert not any(value.is_contiguous() for value in strided.values())
    assert_same(metric.function(**strided), metric.function(**arguments))


@pytest.mark.parametrize("metric", OF_CLASSES)
def test_a_target_that_does_not_fit_is_refused(metric: Metric) -> None:
    arguments = draw(metric)
    bad = {
        r"target must be \(96,\) to go with \w+, got \(95,\)": arguments["target"][1:],
        r"target must hold integer classes, got torch.float64": arguments["target"].double(),
        r"target must hold integer classes, got torch.bool": arguments["target"] > 0,
        r"target must be in \[0, 5\), got values from 0 to 5": arguments["target"].where(arguments["target"] < 4, 5),
        r"target must be in \[0, 5\), got values from -1 to 4": arguments["target"].where(arguments["target"] > 0, -1),
    }
    for message, target in bad.items():
        with pytest.raises(ValueError, match=message):
            metric.function(**{**arguments, "target": target})


@pytest.mark.parametrize("metric", OF_CLASSES)
def test_no_examples_are_refused(metric: Metric) -> None:
    none = {name: value[:0] if len(value) == EXAMPLES else value for name, value in draw(metric).items()}
    with pytest.raises(ValueError, match="needs at least one example, got none"):
        metric.function(**none)


# --- What all streaming forms hold


@pytest.mark.parametrize("sizes", [[96], [1, 95], [32, 32, 32], [1] * 96])
@pytest.mark.parametrize("metric", STREAMING)
def test_batches_of_any_size_in_any_order_measure_what_the_function_does(metric: Metric, sizes: list[int]) -> None:
    arguments = draw(metric)
    for order in (torch.arange(EXAMPLES), torch.randperm(EXAMPLES, generator=torch.Generator().manual_seed(0))):
        streaming = started(metric)
        for rows in order.split(sizes):
            update(streaming, arguments, rows)
        assert streaming.examples == EXAMPLES
        assert_same(streaming.compute(), metric.function(**arguments))


@pytest.mark.parametrize("metric", STREAMING)
def test_parts_that_are_merged_measure_what_the_function_does(metric: Metric) -> None:
    arguments = draw(metric)
    parts = [started(metric) for _ in range(4)]
    for part, rows in zip(parts, ([], range(10), range(10, 50), range(50, 96)), strict=True):
        update(part, arguments, torch.tensor(list(rows), dtype=torch.int64))
    untouched = copy.deepcopy(parts[1].sums)
    whole = started(metric)
    for part in parts:
        whole.merge(part)
    assert_same(whole.compute(), metric.function(**arguments))
    assert all(torch.equal(parts[1].sums[name], value) for name, value in untouched.items())


@pytest.mark.parametrize("metric", STREAMING)
def test_only_two_of_a_kind_are_merged(metric: Metric) -> None:
    one, other = started(metric), started(metric)
    other.settings = {**other.settings, "another": 1}
    with pytest.raises(ValueError, match=rf"other must be {type(one).__name__}\(.*\) to be merged with it, got .*another=1"):
        one.merge(other)


@pytest.mark.parametrize("metric", STREAMING)
def test_a_batch_without_examples_adds_nothing(metric: Metric) -> None:
    arguments = draw(metric)
    streaming = started(metric)
    for rows in (slice(0, 0), slice(0, 40), slice(0, 0), slice(40, None), slice(0, 0)):
        update(streaming, arguments, rows)
    assert_same(streaming.compute(), metric.function(**arguments))


@pytest.mark.parametrize("metric", STREAMING)
def test_without_examples_there_is_no_value(metric: Metric) -> None:
    streaming = started(metric)
    message = rf"{type(streaming).__name__}\(.*\) needs at least one example, got none"
    with pytest.raises(ValueError, match=message):
        streaming.compute()
    update(streaming, draw(metric), slice(0, 0))
    with pytest.raises(ValueError, match=message):
        streaming.compute()
    update(streaming, draw(metric))
    streaming.reset()
    with pytest.raises(ValueError, match=message):
        streaming.compute()


@pytest.mark.parametrize("metric", STREAMING)
def test_memory_does_not_grow_and_counters_are_wide(metric: Metric) -> None:
    arguments = draw(metric, torch.float16)
    streaming = started(metric)
    sizes = set()
    for _ in range(5):
        update(streaming, arguments)
        sizes.add(sum(value.numel() for value in streaming.sums.values()))
    assert len(sizes) == 1
    assert {value.dtype for value in streaming.sums.values()} <= {torch.int64, torch.float64}


@pytest.mark.parametrize("metric", STREAMING)
def test_an_update_never_looks_at_values_off_the_cpu(metric: Metric) -> None:
    # A meta tensor has no values: whatever would wait for a GPU raises here.
    streaming = started(metric)
    if isinstance(streaming, metrics.NearestCentreAgreement):
        streaming = metrics.NearestCentreAgreement(*(torch.from_numpy(value).to("meta") for value in (CENTRES, LAST_LAYER, BIAS)))
    arguments = {name: value.to("meta") for name, value in draw(metric).items()}
    for _ in range(2):
        update(streaming, arguments)
    assert {value.device.type for value in streaming.sums.values()} == {"meta"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_measures_what_the_cpu_does() -> None:
    for metric in METRICS:
        if metric.name != "nearest-centre":  # its row holds centres on the CPU
            moved = {name: value.cuda() for name, value in draw(metric).items()}
            np.testing.assert_allclose(numbers(metric.function(**moved)), numbers(metric.function(**draw(metric))), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("metric", STREAMING)
def test_a_streaming_form_holds_no_graph_and_goes_through_a_pickle_and_inference_mode(metric: Metric) -> None:
    arguments = draw(metric)
    streaming = started(metric)
    with torch.inference_mode():
        update(streaming, {name: value.clone() for name, value in arguments.items()}, slice(0, 30))
    streaming = pickle.loads(pickle.dumps(streaming))
    tracked = {name: value.requires_grad_() if value.is_floating_point() else value for name, value in arguments.items()}
    update(streaming, tracked, slice(30, None))
    assert not any(value.requires_grad for value in streaming.sums.values())
    assert_same(streaming.compute(), metric.function(**arguments))
