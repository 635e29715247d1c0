"""How often the verdicts on dials and descriptors are right, on known truths: `python benchmarks/dials.py [--repetitions 2000] [--seed 0]`.

Prints the last two tables of `docs/verdicts.md`. The first gives how often TREND is claimed along a dial of three or four levels, which
way, and how often Page's test on the values at which each seed did best rejects, which is no verdict. The second gives how often RELATED is
claimed of datasets whose optima go with one of four primary descriptors at correlation r, or with none.

Limits: where the optimum stays, TREND at most 5 % of the time; where optima go with nothing, RELATED at most 6.5 %. A figure beyond its
limit is marked with an exclamation mark. Takes about five minutes on one core.
"""

from __future__ import annotations

import argparse

from studies.analysis.simulated_shift import Truth
from studies.analysis.simulated_trend import simulate_relation, simulate_trend


def _quadratic(optima: tuple[float, ...], *curvatures: float) -> tuple[Truth, ...]:
    each = curvatures if len(curvatures) > 1 else curvatures * len(optima)
    return tuple(Truth("quadratic", optimum, curvature) for optimum, curvature in zip(optima, each, strict=True))


FLATTER = (0.4, 0.2, 0.1, 0.05)
STAYING = {
    "flat": (Truth("flat", 1.5, 0.0),) * 4,
    "equal, at 1.5, curvature 0.2": _quadratic((1.5,) * 4, 0.2),
    "ever flatter, 0.4 to 0.05, at 1": _quadratic((1.0,) * 4, *FLATTER),
    "ever flatter, 0.4 to 0.05, at 0.5": _quadratic((0.5,) * 4, *FLATTER),
    "rising, slopes 0.4 to 0.05": tuple(Truth("rising", 0.0, slope) for slope in FLATTER),
    "skewed 8:1 to the one side, then to the other, at 1.5": (
        Truth("steep left", 1.5, 0.2),
        *_quadratic((1.5, 1.5), 0.2),
        Truth("steep right", 1.5, 0.2),
    ),
    "quadratic, then skewed, at 1": (*_quadratic((1.0, 1.0), 0.4, 0.2), Truth("steep left", 1.0, 0.1), Truth("steep left", 1.0, 0.2)),
}
MOVED = {
    **{f"1, 1.5, 2, curvature {curvature:g}": _quadratic((1.0, 1.5, 2.0), curvature) for curvature in (0.1, 0.2, 0.4)},
    **{f"0.75, 1.25, 1.75, 2.25, curvature {curvature:g}": _quadratic((0.75, 1.25, 1.75, 2.25), curvature) for curvature in (0.1, 0.2)},
    "0.75, 1.25, 1.75, 2.25, ever flatter, 0.4 to 0.1": _quadratic((0.75, 1.25, 1.75, 2.25), 0.4, 0.3, 0.2, 0.1),
    "0.5, 1.5, 2.5, curvature 0.2": _quadratic((0.5, 1.5, 2.5), 0.2),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=2000, help="simulated dials per row; a quarter of it of descriptors")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random numbers")
    arguments = parser.parse_args()
    print(f"{arguments.repetitions} repetitions per row; shares in percent; 7 values, noise 0.25 points per run.\n")
    _print_trends(arguments.repetitions, arguments.seed)
    print(f"\n{arguments.repetitions // 4} repetitions per row; errors 0.15 to 0.45 of the optima's spread.\n")
    _print_relations(arguments.repetitions // 4, arguments.seed)


def _print_trends(repetitions: int, seed: int) -> None:
    print(_row("best values along the dial", "seeds", "TREND, rising", "TREND, falling", "Page's test on best values"))
    print(_row(*["---"] * 5))
    for stays, truths in ((True, STAYING), (False, MOVED)):
        for name, levels in truths.items():
            for seeds in (5, 10, 20):
                seen = simulate_trend(levels, seeds=seeds, repetitions=repetitions, seed=seed)
                beyond = stays and seen.rises + seen.falls > 0.05
                shares = [_share(share, beyond) for share in (seen.rises, seen.falls)]
                print(_row(f"{'stay' if stays else 'move'}: {name}", str(seeds), *shares, _share(seen.places)), flush=True)


def _print_relations(repetitions: int, seed: int) -> None:
    strengths = (0.0, 0.5, 0.7, 0.85, 0.95)
    print(_row("datasets", *(f"r = {r:g}" for r in strengths)))
    print(_row(*["---"] * (1 + len(strengths))))
    for datasets in (4, 5, 6, 8, 10, 12, 16, 20):
        seen = [simulate_relation(datasets, r=r, repetitions=repetitions, seed=seed) for r in strengths]
        print(
            _row(str(datasets), *(_share(share, r == 0.0 and share > 0.065) for r, share in zip(strengths, seen, strict=True))), flush=True
        )


def _share(value: float, beyond: bool = False) -> str:
    return f"{100.0 * value:.1f}{'!' if beyond else ''}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
