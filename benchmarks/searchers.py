"""What it costs to ask a searcher that learns: `python benchmarks/searchers.py [--known 100 1000 10000] [--asks 200]`.

Tells each searcher of so many cells of a conditional space, drawn at random with made-up results, and then asks for more while sixteen are
under way, as a study with sixteen slots does. Prints a Markdown table of milliseconds of processor time, which other processes disturb
less than wall time: ``ask`` for one suggestion, ``take`` for what it costs to note it and to be told what came of it. The Gaussian process
is asked a tenth as often.

Limits: an ``ask`` of ``tpe`` and ``cma_es`` takes at most 5 ms whatever is known. A figure beyond it is marked with an exclamation mark.
"""

from __future__ import annotations

import argparse
import time
import zlib
from collections import deque

from margin_core.losses import get_family, list_losses
from search_spaces import METHODS, Config, Learner, Method, Outcome, Space, joint_space, sample_random

MILLISECONDS, UNDER_WAY = 5.0, 16
FOUR = ("ce", "gds", "gradient_decay", "cos_face")


def space(families: tuple[str, ...]) -> Space:
    """Every knob over its declared range, beside a learning rate."""
    return joint_space({name: {knob.name: "search" for knob in get_family(name).knobs} for name in families}, {}, {"lr": "search"})


def result(config: Config) -> Outcome:
    """A made-up accuracy that depends on the configuration alone."""
    return Outcome.of(90.0 + zlib.crc32(repr(config).encode()) / 2**32 + (config["family"] == "gds"))


def measure(where: Space, method: Method, known: int, asks: int) -> tuple[float, float]:
    """Milliseconds of processor time per suggestion: to ask for it, and to take it up and be told of another."""
    learner, under_way = Learner(where, method, seed=0), deque[tuple[int, Config]]()
    asking = taking = 0.0
    for number in range(known + asks):
        began = time.process_time()
        config = learner.ask(number) if number >= known else sample_random(where, seed=0, index=number)
        asked = time.process_time()
        assert config is not None
        learner.begin(number, config)
        under_way.append((number, config))
        if len(under_way) > UNDER_WAY:
            earlier, ended = under_way.popleft()
            learner.tell(earlier, result(ended))
        if number >= known:
            asking += asked - began
            taking += time.process_time() - asked
    return 1e3 * asking / asks, 1e3 * taking / asks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--known", type=int, nargs="+", default=[100, 1000, 10000], help="how many cells the searcher knows")
    parser.add_argument("--asks", type=int, default=200, help="how many suggestions are asked for")
    arguments = parser.parse_args()
    print("| searcher | families | known | ask, ms | take, ms |\n| --- | --- | --- | --- | --- |")
    for method in METHODS:
        for families in (FOUR, tuple(list_losses())):
            for known in arguments.known:
                asks = max(1, arguments.asks // 10) if method == "gp" else arguments.asks
                ask, take = measure(space(families), method, known, asks)
                beyond = "!" if ask > MILLISECONDS and method != "gp" else ""
                print(f"| {method} | {len(families)} | {known} | {ask:.2f}{beyond} | {take:.2f} |", flush=True)


if __name__ == "__main__":
    main()
