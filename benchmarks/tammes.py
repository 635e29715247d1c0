"""The Tammes problem for eight points, solved by losses: `python benchmarks/tammes.py [--seeds 3] [--steps 1000]`.

Eight prototypes on the sphere S^2 are to be as far apart as can be. A loss is minimised over the prototypes alone, each its own feature
("8 points"), or over prototypes and ten free features to each ("80 features"), by AdamW with a learning rate that falls from 0.1 to 0.
Prints a Markdown table of the class margin in degrees and of the seconds it took, for every loss and seed, beside what the slides of
"Learning towards the largest margins" show for that loss; at what s and m they had it is not said there.

Optimum: 74.8585 degrees, the square antiprism, arccos((2 sqrt(2) - 1) / 7) (Schütte and van der Waerden 1951); no loss can exceed it.
Limits: LM-Softmax whose s rises from 5 to 1000 comes to 74.8 degrees at least, in less than ten seconds on one core, with every seed. A
figure beyond its limit is marked with an exclamation mark. Takes half a minute on one core.
"""

from __future__ import annotations

import argparse
import math
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from margin_core.heads import CosineHead
from margin_core.knobs import Schedule
from margin_core.losses import build_loss
from margin_core.machine import processor_name
from margin_core.metrics import class_margin
from margin_core.training.optimizer import build_optimizer
from margin_core.training.recipe import Recipe

POINTS = 8
OPTIMUM = math.degrees(math.acos((2.0 * math.sqrt(2.0) - 1.0) / 7.0))
RISING = Schedule("cosine", start=5.0, end=1000.0)
LEAST_DEGREES, MOST_SECONDS = 74.8, 10.0
RECIPE = Recipe(epochs=1, optimizer="adamw", lr=0.1)


@dataclass(frozen=True)
class Arm:
    """A loss with its knobs, and how many free features each point has; without any, it is its own."""

    title: str
    family: str
    knobs: Mapping[str, float | Schedule]
    features: int = 10
    slides: float | None = None


ARMS = [
    Arm("LM-Softmax, s 5 to 1000", "lm_softmax", {"s": RISING}, features=0),
    Arm("LM-Softmax, s 5 to 1000", "lm_softmax", {"s": RISING}),
    Arm("LM-Softmax, s = 20", "lm_softmax", {"s": 20.0}, slides=74.46),
    Arm("LM-Softmax, s = 64", "lm_softmax", {"s": 64.0}),
    Arm("NormFace, s = 10", "norm_face", {"s": 10.0}, slides=68.50),
    Arm("CosFace, s = 10, m = 0.1", "cos_face", {"s": 10.0, "m": 0.1}, slides=71.86),
    Arm("ArcFace, s = 10, m = 0.1", "arc_face", {"s": 10.0, "m": 0.1}, slides=67.74),
]


def arrange(arm: Arm, *, seed: int, steps: int) -> Tensor:
    """Prototypes (8, 3) that the arm's loss arranged on the sphere, from a random start."""
    generator = torch.Generator().manual_seed(seed)
    head = CosineHead(3, POINTS).double()
    nn.init.normal_(head.weight, generator=generator)
    features, target, moved = head.weight, torch.arange(POINTS), [head.weight]
    if arm.features:
        target = target.repeat_interleave(arm.features)
        features = nn.Parameter(torch.randn(len(target), 3, dtype=torch.float64, generator=generator))
        moved.append(features)
    loss = build_loss(arm.family, num_classes=POINTS)
    optimizer = build_optimizer(RECIPE, moved, loss.parameters())
    for step in range(steps):
        loss.set_knobs(**{name: knob.value(step / steps) if isinstance(knob, Schedule) else knob for name, knob in arm.knobs.items()})
        for group in optimizer.param_groups:
            group["lr"] = RECIPE.learning_rate(step / steps)
        optimizer.zero_grad()
        loss(head(features), target).backward()
        optimizer.step()
    return head.weight.detach()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="random starts for each loss")
    parser.add_argument("--steps", type=int, default=1000, help="steps of the optimiser")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{arguments.steps} steps on one core of {_machine()}; optimum {OPTIMUM:.4f} degrees.\n")
    print(_row("loss", "minimised over", "seed", "degrees", "seconds", "slides"))
    print(_row(*["---"] * 6))
    for arm in ARMS:
        points = f"{POINTS * arm.features} features" if arm.features else f"{POINTS} points"
        for seed in range(arguments.seeds):
            start = time.perf_counter()
            degrees = class_margin(arrange(arm, seed=seed, steps=arguments.steps))
            seconds = time.perf_counter() - start
            limited = arm.knobs["s"] is RISING
            too_near = degrees > OPTIMUM or (limited and degrees < LEAST_DEGREES)
            reached = f"{degrees:.4f}{'!' if too_near else ''}"
            taken = f"{seconds:.1f}{'!' if limited and seconds >= MOST_SECONDS else ''}"
            print(_row(arm.title, points, str(seed), reached, taken, "" if arm.slides is None else f"{arm.slides:.2f}"), flush=True)


def _machine() -> str:
    """The processor, system and versions that the seconds are of."""
    return f"{processor_name()}, {platform.system()}, Python {platform.python_version()}, torch {torch.__version__}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
