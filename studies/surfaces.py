"""What the confirm stage says of two knobs at once: for each dataset and family of ``confirm.surfaces`` the means and the verdict.

The statistics are `studies.analysis.surface`'s; which cells there are is `studies.plan`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import pandas as pd

from margin_core.knobs import Knob
from margin_core.losses import get_family
from studies.analysis import SurfaceVerdict, judge_each, judge_surface
from studies.findings import Surface
from studies.plan import Arm
from studies.spec import StudySpec


def judged_surfaces(
    spec: StudySpec,
    arms: Sequence[Arm],
    values: Callable[[Arm], pd.DataFrame],
    baseline: Callable[[str], pd.DataFrame],
    looks: Mapping[str, int],
) -> list[Surface]:
    """A surface for each dataset and family of which a replicate has ended well, by dataset.

    Args:
        spec: The study.
        arms: The cells of its surfaces.
        values: What was measured of a cell: columns ``seed`` and the study's metric, NaN where a replicate was lost.
        baseline: The same of a dataset's ``ce`` arm.
        looks: For each dataset how many times its results are looked at, this time included; once where it is not among them.
    """
    found = []
    for family in dict.fromkeys(arm.family for arm in arms):
        ours = [arm for arm in arms if arm.family == family]
        mine = {dataset: [arm for arm in ours if arm.dataset == dataset] for dataset in _datasets(ours)}
        tables = {dataset: _table(spec, each, values) for dataset, each in mine.items()}
        asked = {
            dataset: partial(_judge, spec, family, table, baseline(dataset), looks.get(dataset, 1))
            for dataset, table in tables.items()
            if not table[spec.metric].isna().all()
        }
        verdicts = judge_each(asked, alpha=spec.alpha, datasets=len(tables))
        found += [_surface(spec, mine[dataset], values, verdict) for dataset, verdict in verdicts.items()]
    order = _datasets(arms)
    return sorted(found, key=lambda surface: order.index(surface.dataset))


def _datasets(arms: Sequence[Arm]) -> list[str]:
    return list(dict.fromkeys(arm.dataset for arm in arms))


def _knobs(spec: StudySpec, family: str) -> tuple[Knob, Knob]:
    assert spec.confirm is not None
    first, second = (get_family(family).knob(name) for name in spec.confirm.surfaces[family])
    return first, second


def _table(spec: StudySpec, arms: Sequence[Arm], values: Callable[[Arm], pd.DataFrame]) -> pd.DataFrame:
    names = [knob.name for knob in _knobs(spec, arms[0].family)]
    return pd.concat([values(arm).assign(**dict(zip(names, arm.pair or (), strict=True))) for arm in arms], ignore_index=True)


def _judge(spec: StudySpec, family: str, table: pd.DataFrame, baseline: pd.DataFrame, looks: int, alpha: float) -> SurfaceVerdict:
    assert spec.confirm is not None
    (first, second), values_of = _knobs(spec, family), spec.confirm.surfaces[family]
    return judge_surface(
        table,
        knobs=(first.name, second.name),
        metric=spec.metric,
        baseline=baseline,
        sesoi=spec.smallest_effect,
        alpha=alpha,
        strict=spec.strict,
        maximize=spec.maximize,
        extendable=(first.extendable(values_of[first.name]), second.extendable(values_of[second.name])),
        scales=(first.scale, second.scale),
        looks=looks,
    )


def _surface(spec: StudySpec, arms: Sequence[Arm], values: Callable[[Arm], pd.DataFrame], verdict: SurfaceVerdict) -> Surface:
    knobs = _knobs(spec, arms[0].family)
    ours = {"family", *(f"{arms[0].family}.{knob.name}" for knob in knobs)}
    measured = {arm.pair: values(arm)[spec.metric] for arm in arms if arm.pair is not None}
    return Surface(
        dataset=arms[0].dataset,
        family=arms[0].family,
        knobs=knobs,
        means={pair: float(each.mean()) for pair, each in measured.items() if each.notna().any()},
        lost={pair: int(each.isna().sum()) for pair, each in measured.items() if each.isna().any()},
        held={name: value for name, value in arms[0].config.items() if name not in ours},
        verdict=verdict,
    )
