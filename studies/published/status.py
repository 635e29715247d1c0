"""What a study says of published claims: confirmed, refuted or undecided, never from a single run.

- That a value is *best* is confirmed where it alone may be best, by the verdict of the curve, and refuted where it may not be.
- That a setting *beats* another, or loses to it, is refuted where the paired interval of the difference is wholly on the other side, or
  within the smallest effect of interest around none, and else confirmed where it is wholly on that side.
- That the best value *moves* is confirmed where the two datasets' curves shift, the way that is claimed; refuted where they shift the other
  way, or where on both the same single value may be best.

Everything else is undecided. Each claim stands at the study's own level, the stricter one of a later look included; of twenty that are
true, one may be expected to seem refuted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from margin_core.data import DatasetConfig
from studies.analysis import Gain, paired_gain
from studies.analysis.rule import level
from studies.findings import Answer, Curve
from studies.published.claims import Claim
from studies.shifting import shifts_between

Status = Literal["confirmed", "refuted", "undecided"]


@dataclass(frozen=True)
class Checked:
    """A claim, and what a study says of it.

    Attributes:
        claim: The claim.
        dataset: What the study calls its dataset.
        status: By the rule of this module.
        reason: Why, in one sentence.
        otherwise: What was otherwise in the study than in the paper, in words; empty where nothing is known to be.
    """

    claim: Claim
    dataset: str
    status: Status
    reason: str
    otherwise: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        told = {name: getattr(self, name) for name in ("dataset", "status", "reason", "otherwise")}
        return {"says": self.claim.says, "source": self.claim.source, "family": self.claim.family, **told}


def check_claims(claims: Sequence[Claim], answer: Answer) -> list[Checked]:
    """Hold claims against what a study confirmed.

    Args:
        claims: The claims; those about a dataset, a family or a metric that the study has none of are left out.
        answer: What the study found.
    """
    return [checked for claim in claims for key in _datasets(claim.dataset, claim.dials, answer) if (checked := _check(claim, key, answer))]


def claimed_values(claims: Sequence[Claim], answer: Answer, curve: Curve) -> tuple[float, ...]:
    """The values of a curve's knob that claims about its dataset and family call the best or better, rising.

    Args:
        claims: The claims.
        answer: What the study found; claims about another metric than its own say nothing of its curves.
        curve: One of its curves.
    """
    mine = [claim for claim in claims if (claim.family, claim.knob) == (curve.family, curve.knob.name) and _same_metric(claim, answer)]
    about = [claim for claim in mine if curve.dataset in _datasets(claim.dataset, claim.dials, answer)]
    return tuple(sorted({claim.favours for claim in about if claim.favours is not None}))


def _same_metric(claim: Claim, answer: Answer) -> bool:
    return answer.spec.metric.removeprefix("val_") == claim.metric


def _datasets(name: str, dials: Mapping[str, Any], answer: Answer) -> list[str]:
    """What the study calls the datasets that a claim is about: those with the same dials, at whatever size."""
    asked = DatasetConfig(name, **dials)
    entries = [entry.config() for entry in answer.spec.datasets]
    return [config.key for config in entries if _dialled(config) == _dialled(asked)]


def _dialled(config: DatasetConfig) -> dict[str, Any]:
    return {name: value for name, value in vars(config).items() if name not in ("label", "size", "validation")}


def _check(claim: Claim, dataset: str, answer: Answer) -> Checked | None:
    if not _same_metric(claim, answer):
        return None
    curve = _curve(claim, dataset, answer)
    if claim.moves_to is not None:
        found = _moves(claim, curve, answer)
    elif curve is None:
        found = None
    elif claim.best is not None:
        found = _best(claim.best, curve)
    else:
        found = _compared(claim, curve, answer)
    if found is None:
        return None
    return Checked(claim, dataset, *found, _otherwise(claim, dataset, answer))


def _curve(claim: Claim, dataset: str, answer: Answer) -> Curve | None:
    mine = [curve for curve in answer.curves if (curve.dataset, curve.family) == (dataset, claim.family)]
    return next((curve for curve in mine if claim.knob in (None, curve.knob.name)), None)


def _best(value: float, curve: Curve) -> tuple[Status, str]:
    symbol, verdict = curve.knob.symbol, curve.verdict
    if value not in set(curve.table[curve.knob.name]):
        return "undecided", f"{symbol} = {value:g} was not measured"
    if all(cell.half_width is None for cell in verdict.cells):
        return "undecided", verdict.reason
    values = [f"{other:.4g}" for other in verdict.optimum_set]
    arm = ["cross-entropy"] if _arm_may_be_best(curve) else []
    alone = " alone" if len(values + arm) == 1 else ""
    told = f"{'' if values else f'no {symbol}, but '}{', '.join(values + arm)}{alone} may be best, over {verdict.n_seeds} seeds"
    if value not in verdict.optimum_set:
        return "refuted", told
    return ("confirmed" if alone else "undecided"), told


def _arm_may_be_best(curve: Curve) -> bool:
    """Whether a baseline that is no value of the knob may be best."""
    return any(cell.value is None and cell.may_be_best for cell in curve.verdict.cells)


def _compared(claim: Claim, curve: Curve, answer: Answer) -> tuple[Status, str]:
    gain = answer.gain_of(curve) if claim.value is None else _gain(claim.value, claim.compared_with, curve, answer)
    if gain is None:
        contender = curve.contender if claim.value is None else None
        picked = contender is not None and contender.optimistic_gain is not None
        told = "its setting was picked on the seeds that measure it" if picked else "the two settings were not both measured"
        return "undecided", told
    if gain.low is None or gain.high is None:
        return "undecided", "a single run says nothing"
    told = f"{gain.mean:+.2f} ({gain.low:+.2f} to {gain.high:+.2f}) over {gain.n} paired seeds"
    better = answer.spec.maximize == (claim.beats is not None)
    near, far = (gain.low, gain.high) if better else (-gain.high, -gain.low)
    if max(-near, far) < answer.spec.smallest_effect:
        return "refuted", f"{told}: less than {answer.spec.smallest_effect:g}, the smallest effect of interest"
    if far < 0:
        return "refuted", told
    return ("confirmed" if near > 0 else "undecided"), told


def _gain(value: float, other: float | str | None, curve: Curve, answer: Answer) -> Gain | None:
    metric = answer.spec.metric
    theirs = answer.baselines.get(curve.dataset) if other == "ce" else _runs(other, curve)
    if theirs is None:
        return None
    pairs = _runs(value, curve).merge(theirs, on="seed", suffixes=("", "_other"))[[metric, f"{metric}_other"]].dropna()
    if pairs.empty:
        return None
    alpha = level(answer.spec.alpha, curve.verdict.question.looks)
    return paired_gain(pairs[metric].to_numpy(), pairs[f"{metric}_other"].to_numpy(), alpha=alpha)


def _runs(value: float | str | None, curve: Curve) -> pd.DataFrame:
    return curve.table[curve.table[curve.knob.name] == value].drop(columns=curve.knob.name)


def _moves(claim: Claim, curve: Curve | None, answer: Answer) -> tuple[Status, str] | None:
    others = [] if claim.moves_to is None else _datasets(claim.moves_to, claim.dials, answer)
    there = next((other for key in others if (other := _curve(claim, key, answer)) is not None), None)
    if curve is None or there is None:
        return None
    (moved,) = shifts_between((curve, there), (), alpha=answer.spec.alpha)
    if moved.verdict.shift:
        rises = moved.verdict.datasets[0].dataset == curve.dataset
        as_told = claim.direction is None or rises == (claim.direction == "up")
        return ("confirmed" if as_told else "refuted"), moved.verdict.reason
    kept = curve.verdict.optimum_set
    if len(kept) == 1 and kept == there.verdict.optimum_set and not (_arm_may_be_best(curve) or _arm_may_be_best(there)):
        return "refuted", f"{curve.knob.symbol} = {kept[0]:g} alone may be best on both"
    return "undecided", moved.verdict.reason


def _otherwise(claim: Claim, dataset: str, answer: Answer) -> str:
    """What the claim's conditions were in the study, where they were others."""
    curve = _curve(claim, dataset, answer)
    there = {} if curve is None else curve.held
    held = {name.removeprefix(f"{claim.family}."): value for name, value in there.items()} | {"model": answer.spec.model.name}
    told = [f"{name} {held[name]} instead of {asked}" for name, asked in claim.conditions.items() if name in held and held[name] != asked]
    beside = {} if curve is None else curve.regularizers
    return ", ".join([*told, *(f"with {name} {weight:g}" for name, weight in beside.items() if name not in claim.conditions)])
