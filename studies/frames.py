"""What a study found as tables, one row for each thing and every digit: for a notebook, and for CSV files beside the report."""

from __future__ import annotations

import pandas as pd

from studies.findings import Answer, Curve


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
