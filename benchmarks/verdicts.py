"""How often the verdicts are right, on known truths: `python benchmarks/verdicts.py [--repetitions 4000] [--seed 0]`.

Prints the tables of `docs/verdicts.md`. The first gives, for every scenario, how often each label came out, how often the baseline was
excluded ("better"), how often the optimum set held a best value ("kept", of several the one for which that was rarest) and all of them
("all kept"), how often LOCATED pointed away from every best value ("astray"), and the mean span of the set on a knob that runs from 0 to 3
in steps of 0.5. The second gives what became of undecided tables once the seeds they asked for were run, over up to three looks. The
third gives how often the best value is claimed to move between datasets, the fourth how much too good a chosen cell looks, up to the gain
that a report prints.

Limits: where no value matters ("flat") "better" is at most 6.5 %; "kept" is at least 94 %, "all kept" where strict; LOCATED is astray on a
rising curve at most 0.5 %; SHIFT is claimed of shared optima at most 7 % of the time; the printed gain is off by less than 0.03
points. A figure beyond its limit is marked with an exclamation mark. Takes about ten minutes on one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

from studies.analysis.rule import LABELS
from studies.analysis.simulated_shift import Truth, simulate_shift
from studies.analysis.simulation import QUESTION, Frequencies, Scenario, follow_up, simulate
from studies.simulated_gain import optimism

SCENARIOS = [
    *(Scenario("flat", seeds=seeds) for seeds in (3, 5, 10, 20, 30, 60)),
    Scenario("flat", seeds=5, noise=1.0, correlation=0.0),
    *(Scenario("quadratic", curvature, seeds) for curvature in (0.1, 0.2, 0.4) for seeds in (3, 5, 10, 20)),
    *(Scenario("skewed", curvature, seeds) for curvature in (0.1, 0.4) for seeds in (3, 5, 20)),
    *(Scenario("plateau", curvature, seeds) for curvature in (0.1, 0.4) for seeds in (3, 5, 10, 20)),
    *(Scenario("edge", curvature, seeds) for curvature in (0.05, 0.1) for seeds in (3, 5, 20)),
    *(Scenario("slope", curvature, 5) for curvature in (0.1, 0.3)),
    Scenario("worse", 0.5, 5),
    Scenario("step", 0.2, 60),
    *(Scenario("flat", seeds=seeds, errors="heavy") for seeds in (5, 10)),
    *(Scenario("flat", seeds=seeds, errors="uneven") for seeds in (3, 5, 10, 30)),
    *(Scenario("flat", seeds=seeds, errors="growing") for seeds in (3, 10, 30)),
    Scenario("quadratic", 0.2, 5, errors="uneven"),
    *(Scenario("flat", seeds=10, missing=missing) for missing in (0.1, 0.3)),
    Scenario("quadratic", 0.2, 10, missing=0.2),
]
STRICT = [
    *(Scenario("flat", seeds=seeds) for seeds in (3, 5, 10, 30)),
    *(Scenario("plateau", 0.4, seeds) for seeds in (3, 5, 10, 20)),
    Scenario("quadratic", 0.2, 5),
    Scenario("skewed", 0.4, 5),
    Scenario("edge", 0.1, 5),
]
FORECASTS = [
    *(Scenario("flat", seeds=seeds) for seeds in (3, 5, 10)),
    *(Scenario("quadratic", curvature, seeds) for curvature in (0.05, 0.1) for seeds in (5, 10)),
    Scenario("skewed", 0.05, 5),
    Scenario("slope", 0.1, 5),
]
LOOKS = 3


def _skewed_apart(optimum: float, curvature: float) -> tuple[Truth, ...]:
    return (Truth("steep left", optimum, curvature), Truth("steep right", optimum, curvature))


def _quadratic(*optima: float, curvatures: Sequence[float]) -> tuple[Truth, ...]:
    each = curvatures if len(curvatures) > 1 else [*curvatures] * len(optima)
    return tuple(Truth("quadratic", optimum, curvature) for optimum, curvature in zip(optima, each, strict=True))


SHARED = {
    "flat": (Truth("flat", 1.5, 0.0),) * 3,
    "equal, 1.5, curvature 0.2": _quadratic(1.5, 1.5, 1.5, curvatures=[0.2]),
    "equal, 1, curvature 0.4": _quadratic(1.0, 1.0, 1.0, curvatures=[0.4]),
    "unequal curvature 0.05, 0.2, 0.4, at 1.5": _quadratic(1.5, 1.5, 1.5, curvatures=[0.05, 0.2, 0.4]),
    "unequal curvature 0.05, 0.2, 0.4, at 1": _quadratic(1.0, 1.0, 1.0, curvatures=[0.05, 0.2, 0.4]),
    **{
        f"mirror-skewed 8:1, at {optimum:g}, curvature {curvature:g}": _skewed_apart(optimum, curvature)
        for optimum in (1.0, 1.25, 1.5)
        for curvature in (0.1, 0.2, 0.4)
    },
    "mirror-skewed and quadratic, at 1, curvature 0.3": (*_skewed_apart(1.0, 0.3), Truth("quadratic", 1.0, 0.3)),
    "rising, slopes 0.1, 0.3": (Truth("rising", 0.0, 0.1), Truth("rising", 0.0, 0.3)),
    "plateaus that meet at 1.5, curvature 0.3": (Truth("plateau left", 1.5, 0.3), Truth("plateau right", 1.5, 0.3)),
}
MOVED = {
    **{f"1, 1.5, 2, curvature {curvature:g}": _quadratic(1.0, 1.5, 2.0, curvatures=[curvature]) for curvature in (0.1, 0.2, 0.4)},
    "0.5, 1.5, 2.5, curvature 0.2": _quadratic(0.5, 1.5, 2.5, curvatures=[0.2]),
    "1 and 2, curvature 0.2": _quadratic(1.0, 2.0, curvatures=[0.2]),
    "1, 1.5 and rising, curvature 0.2": (*_quadratic(1.0, 1.5, curvatures=[0.2]), Truth("rising", 0.0, 0.2)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=4000, help="simulated studies per scenario")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random numbers")
    arguments = parser.parse_args()
    repetitions, seed = arguments.repetitions, arguments.seed
    print(f"{repetitions} repetitions per row; shares in percent; 7 values, noise in percentage points per run.\n")
    _print_labels(repetitions, seed)
    print(f"\n{repetitions // 4} repetitions per row, up to {LOOKS} looks.\n")
    _print_looks(repetitions // 4, seed)
    print(f"\n{repetitions // 2} repetitions per row; noise 0.25 points per run.\n")
    _print_shifts(repetitions // 2, seed)
    print(f"\n{repetitions // 4} repetitions per row; noise 0.25 points per run, 10 fresh seeds.\n")
    _print_optimism(repetitions // 4, seed)


def _print_labels(repetitions: int, seed: int) -> None:
    print(_row("truth", "curvature", "noise", "seeds", "remark", *LABELS, "better", "kept", "all kept", "astray", "span"))
    print(_row(*["---"] * (10 + len(LABELS))))
    for strict, scenarios in ((False, SCENARIOS), (True, STRICT)):
        for scenario in scenarios:
            seen = simulate(scenario, repetitions=repetitions, seed=seed, question=replace(QUESTION, strict=strict))
            print(_frequencies(scenario, seen, strict), flush=True)


def _print_looks(repetitions: int, seed: int) -> None:
    heads = ("undecided", "more seeds (median)", "then decided", "better in the end", "if each look were like the first")
    print(_row("truth", "curvature", "noise", "seeds", *heads))
    print(_row(*["---"] * 9))
    for scenario in FORECASTS:
        then = follow_up(scenario, repetitions=repetitions, seed=seed, looks=LOOKS)
        beyond = scenario.truth == "flat" and then.better > 0.065
        shares = [_share(then.undecided), f"{then.asked:.0f}", _share(then.decided), _share(then.better, beyond), _share(then.careless)]
        print(_row(*_truth(scenario), *shares), flush=True)


def _print_shifts(repetitions: int, seed: int) -> None:
    print(_row("best values", "seeds", "SHIFT", "SHIFT with a zoom", "bare slope test", "disjoint sets", "interaction F"))
    print(_row(*["---"] * 7))
    for shared, truths in ((True, SHARED), (False, MOVED)):
        for name, curves in truths.items():
            for seeds in (5, 10, 20):
                seen = simulate_shift(curves, seeds=seeds, repetitions=repetitions, seed=seed)
                claims = [_share(share, shared and share > 0.07) for share in (seen.claimed, seen.with_zoom)]
                others = [_share(seen.bare), _share(seen.disjoint), _share(seen.interaction)]
                print(_row(f"{'shared' if shared else 'moved'}: {name}", str(seeds), *claims, *others), flush=True)


def _print_optimism(repetitions: int, seed: int) -> None:
    print(_row("cells screened", "spread of true means", "best of the screen", "its printed gain", "best picked on fresh seeds"))
    print(_row(*["---"] * 5))
    for cells, spread in ((10, 0.0), (50, 0.0), (50, 0.25), (200, 0.0)):
        seen = optimism(cells=cells, spread=spread, seeds=10, repetitions=repetitions, seed=seed)
        printed = f"{seen.printed:+.3f}{'!' if abs(seen.printed) > 0.03 else ''}"
        print(_row(str(cells), f"{spread:g}", f"{seen.screened:+.2f}", printed, f"{seen.picked:+.2f}"), flush=True)


def _frequencies(scenario: Scenario, seen: Frequencies, strict: bool) -> str:
    labels = [_share(seen.labels.get(label, 0.0)) for label in LABELS]
    better = _share(seen.better, scenario.truth == "flat" and seen.better > 0.065)
    kept = _share(seen.covered, seen.covered < 0.94)
    all_kept = _share(seen.all_covered, strict and seen.all_covered < 0.94)
    astray = _share(seen.located_elsewhere, scenario.truth in ("edge", "slope") and seen.located_elsewhere > 0.005)
    missing = f"{scenario.missing:.0%} missing" if scenario.missing else ""
    remarks = [remark for remark in (scenario.errors, missing, "strict" if strict else "") if remark not in ("", "normal")]
    return _row(*_truth(scenario), ", ".join(remarks), *labels, better, kept, all_kept, astray, f"{seen.width:.2f}")


def _truth(scenario: Scenario) -> list[str]:
    curvature = "" if scenario.truth == "flat" else f"{scenario.curvature:g}"
    return [scenario.truth, curvature, f"{scenario.noise:g}", str(scenario.seeds)]


def _share(value: float, beyond: bool = False) -> str:
    return f"{100.0 * value:.1f}{'!' if beyond else ''}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
