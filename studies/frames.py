"""What a study found as tables, one row for each thing and every digit: for a notebook, and for CSV files beside the report."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from studies.analysis import Gain, Summary
from studies.findings import Answer, Curve, Surface
from studies.published import check_claims, shipped_claims


def answer_frames(answer: Answer) -> dict[str, pd.DataFrame]:
    """Every table of an answer that has a row, by name: what the tables of the report are made of.

    ``verdicts`` and ``curves`` (`verdict_frame`, `curve_frame`), ``surfaces`` with a row for each pair of values, ``shifts``,
    ``descriptors``, ``claims``, ``test`` with what each stage said of the chosen setting, ``exported`` with the cell to export for each
    dataset, ``screen`` and its Pareto ``front``, ``lost`` trials, and ``costs``.
    """
    frames = {
        "verdicts": verdict_frame(answer),
        "curves": curve_frame(answer),
        "surfaces": pd.DataFrame([row for surface in answer.surfaces for row in _pairs(surface)]),
        "shifts": pd.DataFrame(_shifts(answer)),
        "descriptors": pd.DataFrame(_descriptors(answer)),
        "claims": pd.DataFrame([checked.to_dict() for checked in check_claims(shipped_claims(), answer)]),
        "test": pd.DataFrame(_tested(answer)),
        "exported": pd.DataFrame(_exported(answer)),
        "screen": answer.screen.drop(columns="config"),
        "front": answer.front,
        "lost": answer.lost,
        "costs": answer.costs,
    }
    return {name: frame for name, frame in frames.items() if len(frame) or name in ("verdicts", "curves")}


def verdict_frame(answer: Answer) -> pd.DataFrame:
    """One row for each curve: ``stage, dataset, family, knob, label, better, best, optimum_set`` and what its contender measured.

    ``setting``, ``mean``, ``mean_low``, ``mean_high``, ``gain``, ``gain_low``, ``gain_high`` and ``chosen_before`` are of the setting that
    stands for the family; of one that was picked on these seeds there are ``optimistic_gain``, ``optimistic_gain_low`` and
    ``optimistic_gain_high`` in the place of its gain. ``seeds`` and ``more_seeds`` of the verdict.
    """
    columns = ["stage", "dataset", "family", "knob", "label", "better", "best", "optimum_set", "seeds", "more_seeds"]
    columns += ["setting", "chosen_before", "mean", "mean_low", "mean_high", "gain", "gain_low", "gain_high"]
    columns += ["optimistic_gain", "optimistic_gain_low", "optimistic_gain_high", "reason"]
    return pd.DataFrame([_verdict(curve) for curve in (*answer.curves, *answer.zooms)], columns=columns)


def curve_frame(answer: Answer) -> pd.DataFrame:
    """Every point of every curve: columns ``stage, dataset, family, knob, value, seed`` and the metric, NaN where the replicate was lost.

    The ``ce`` arm has no knob: its rows have an empty ``knob`` and no ``value``.
    """
    metric = answer.spec.metric
    columns = ["stage", "dataset", "family", "knob", "value", "seed", metric]
    frames = []
    for curve in (*answer.curves, *answer.zooms):
        points = curve.table.rename(columns={curve.knob.name: "value"})
        frames.append(points.assign(stage=curve.stage, dataset=curve.dataset, family=curve.family, knob=curve.knob.name))
    for stage, baselines in (("confirm", answer.baselines), ("zoom", answer.zoom_baselines)):
        for dataset, table in baselines.items():
            frames.append(table.assign(stage=stage, dataset=dataset, family="ce", knob="", value=float("nan")))
    whole = [frame[columns] for frame in frames if len(frame)]
    return pd.concat(whole, ignore_index=True) if whole else pd.DataFrame(columns=columns)


def _verdict(curve: Curve) -> dict[str, object]:
    verdict, contender = curve.verdict, curve.contender
    row: dict[str, object] = {
        "stage": curve.stage,
        "dataset": curve.dataset,
        "family": curve.family,
        "knob": curve.knob.name,
        "label": str(verdict.label),
        "better": verdict.better,
        "best": verdict.best,
        "optimum_set": " ".join(f"{value:g}" for value in verdict.optimum_set),
        "seeds": verdict.n_seeds,
        "more_seeds": verdict.more_seeds,
        "reason": verdict.reason,
    }
    if contender is not None:
        summary = contender.summary
        row |= {"setting": contender.setting, "chosen_before": contender.chosen_before, "mean": summary.mean}
        row |= {"mean_low": summary.low, "mean_high": summary.high}
        for name, gain in (("gain", contender.gain), ("optimistic_gain", contender.optimistic_gain)):
            row |= {} if gain is None else {name: gain.mean, f"{name}_low": gain.low, f"{name}_high": gain.high}
    return row


def _pairs(surface: Surface) -> Iterator[dict[str, object]]:
    verdict, (first, second) = surface.verdict, surface.knobs
    for pair, mean in surface.means.items():
        yield {
            "dataset": surface.dataset,
            "family": surface.family,
            "first_knob": first.name,
            "second_knob": second.name,
            "first": pair[0],
            "second": pair[1],
            "mean": mean,
            "may_be_best": pair in verdict.optimum_set,
            "label": verdict.label,
            "seeds": verdict.n_seeds,
            "reason": verdict.reason,
        }


def _shifts(answer: Answer) -> Iterator[dict[str, object]]:
    for shift in answer.shifts:
        told = {name: getattr(shift.verdict, name) for name in ("label", "shared", "p_bare", "p_guarded", "p_zoom", "disjoint", "reason")}
        yield {"family": shift.family, "knob": shift.knob.name, **told}


def _descriptors(answer: Answer) -> Iterator[dict[str, object]]:
    for described in answer.topology.described:
        for dataset, estimates in described.datasets.items():
            for name, estimate in estimates.items():
                yield {
                    "network": described.network,
                    "dataset": dataset,
                    "descriptor": name,
                    "value": estimate.value,
                    "error": estimate.error,
                }


def _tested(answer: Answer) -> Iterator[dict[str, object]]:
    for tested in answer.tested:
        about = {"dataset": tested.dataset, "family": tested.family, "setting": tested.setting, "cell_id": tested.cell_id}
        for seen in tested.stages:
            yield {**about, "stage": seen.stage, "metric": answer.spec.metric, **_numbers(seen.summary, None, seen.optimistic_gain)}
        yield {**about, "stage": "test", "metric": tested.metric, **_numbers(tested.summary, tested.gain, None)}


def _exported(answer: Answer) -> Iterator[dict[str, object]]:
    for winner in answer.winners:
        about = {name: getattr(winner, name) for name in ("dataset", "family", "setting", "cell_id", "stage")}
        yield {**about, **_numbers(winner.summary, None, winner.optimistic_gain), "reason": winner.reason}


def _numbers(summary: Summary, gain: Gain | None, optimistic: Gain | None) -> dict[str, object]:
    """A mean and a gain with their intervals, and the number of seeds."""
    row: dict[str, object] = {"mean": summary.mean, "mean_low": summary.low, "mean_high": summary.high, "seeds": summary.n}
    for name, each in (("gain", gain), ("optimistic_gain", optimistic)):
        low, mean, high = (None, None, None) if each is None else (each.low, each.mean, each.high)
        row |= {name: mean, f"{name}_low": low, f"{name}_high": high}
    return row
