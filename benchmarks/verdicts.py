"""How often the verdicts are right, on known truths: `python benchmarks/verdicts.py [--repetitions 4000] [--seed 0]`.

Prints two Markdown tables. The first gives, for every scenario, how often each label came out, how often the baseline was excluded
("better"), how often the optimum set held a best value ("kept") and all of them ("all kept"), how often LOCATED pointed away from every
best value ("astray"), and the mean span of the set on a knob that runs from 0 to 3 in steps of 0.5. The second gives what became of
tables that were undecided once the seeds they asked for were run; "better in the end" of a flat truth is the error of looking twice.

Limits: where no value matters ("flat"), "better" is at most 5 %; "kept" is at least 95 % everywhere, "all kept" where strict; both up to
three binomial standard errors, and both only for equal, independent noise: the rows with heavy tails, uneven noise and missing runs tell
what departures cost. A figure beyond its limit is marked with an exclamation mark. Takes about a minute on one core.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace

from studies.analysis.rule import LABELS
from studies.analysis.simulation import QUESTION, Frequencies, Scenario, follow_up, simulate

SCENARIOS = [
    *(Scenario("flat", seeds=seeds) for seeds in (3, 5, 10, 20, 60)),
    Scenario("flat", seeds=5, noise=1.0, correlation=0.0),
    *(Scenario("quadratic", curvature, seeds) for curvature in (0.1, 0.2, 0.4) for seeds in (3, 5, 10, 20)),
    *(Scenario("skewed", curvature, seeds) for curvature in (0.1, 0.4) for seeds in (5, 20)),
    *(Scenario("plateau", curvature, seeds) for curvature in (0.1, 0.4) for seeds in (5, 10)),
    *(Scenario("edge", curvature, 5) for curvature in (0.05, 0.1)),
    *(Scenario("slope", curvature, 5) for curvature in (0.1, 0.3)),
    Scenario("worse", 0.5, 5),
    Scenario("step", 0.2, 60),
    *(Scenario("flat", seeds=seeds, errors="heavy") for seeds in (5, 10)),
    *(Scenario("flat", seeds=seeds, errors="uneven") for seeds in (5, 10)),
    *(Scenario("flat", seeds=10, missing=missing) for missing in (0.1, 0.3)),
    Scenario("quadratic", 0.2, 10, missing=0.2),
]
STRICT = [Scenario("flat", seeds=5), Scenario("flat", seeds=10), Scenario("plateau", 0.4, 10), Scenario("quadratic", 0.2, 5)]
FORECASTS = [
    *(Scenario("flat", seeds=seeds) for seeds in (5, 10)),
    *(Scenario("quadratic", curvature, seeds) for curvature in (0.05, 0.1) for seeds in (5, 10)),
    Scenario("skewed", 0.05, 5),
    Scenario("slope", 0.1, 5),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=4000, help="simulated studies per scenario")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random numbers")
    arguments = parser.parse_args()
    print(f"{arguments.repetitions} repetitions per row; shares in percent; 7 values, noise in percentage points per run.\n")
    print(_row("truth", "curvature", "noise", "seeds", "remark", *LABELS, "better", "kept", "all kept", "astray", "span"))
    print(_row(*["---"] * (10 + len(LABELS))))
    for strict, scenarios in ((False, SCENARIOS), (True, STRICT)):
        for scenario in scenarios:
            question = replace(QUESTION, strict=strict)
            seen = simulate(scenario, repetitions=arguments.repetitions, seed=arguments.seed, question=question)
            print(_frequencies(scenario, seen, strict), flush=True)
    print()
    print(_row("truth", "curvature", "noise", "seeds", "undecided", "more seeds (median)", "then decided", "better in the end"))
    print(_row(*["---"] * 8))
    for scenario in FORECASTS:
        then = follow_up(scenario, repetitions=arguments.repetitions // 4, seed=arguments.seed)
        shares = [_share(then.undecided), f"{then.asked:.0f}", _share(then.decided), _share(then.better)]
        print(_row(*_truth(scenario), *shares), flush=True)


def _frequencies(scenario: Scenario, seen: Frequencies, strict: bool) -> str:
    slack = 3.0 * math.sqrt(0.05 * 0.95 / seen.repetitions)
    labels = [_share(seen.labels.get(label, 0.0)) for label in LABELS]
    better = _share(seen.better, scenario.truth == "flat" and seen.better > 0.05 + slack)
    kept = _share(seen.covered, seen.covered < 0.95 - slack)
    all_kept = _share(seen.all_covered, strict and seen.all_covered < 0.95 - slack)
    missing = f"{scenario.missing:.0%} missing" if scenario.missing else ""
    remarks = [remark for remark in (scenario.errors, missing, "strict" if strict else "") if remark not in ("", "normal")]
    return _row(*_truth(scenario), ", ".join(remarks), *labels, better, kept, all_kept, _share(seen.located_elsewhere), f"{seen.width:.2f}")


def _truth(scenario: Scenario) -> list[str]:
    curvature = "" if scenario.truth == "flat" else f"{scenario.curvature:g}"
    return [scenario.truth, curvature, f"{scenario.noise:g}", str(scenario.seeds)]


def _share(value: float, beyond: bool = False) -> str:
    return f"{100.0 * value:.1f}{'!' if beyond else ''}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
