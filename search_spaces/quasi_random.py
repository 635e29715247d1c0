"""Configurations drawn by a seed and a number: Sobol points and uniform random ones.

A draw depends on the space, the seed and its index, and on nothing else: not on which indices were drawn before, by how many
workers, or in which process. Two indices may give equal configurations where a space is small; that is left to the caller.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from margin_core.seeds import derive_seed, numpy_generator
from search_spaces.space import Choice, Config, Parameter, Space, Value

_BLOCK = 128


def sobol(space: Space, *, seed: int, index: int) -> Config:
    """The configuration at ``index`` of a scrambled Sobol sequence.

    The values of the first parameter, where it is a choice, take turns (in a joint space: the families), and each has a
    sequence of its own over the parameters that can exist beside it. So the counts of the families never differ by more than
    one, and within a family the knobs and nuisance values fill the space evenly.

    Args:
        space: Where to draw from.
        seed: The study's seed; another seed scrambles the sequences otherwise.
        index: Which configuration, from 0, below 2**30.

    Raises:
        ValueError: ``index`` is negative.

    Example:
        >>> space = Space((Parameter("family", Choice(("ce", "gds"))),))
        >>> [sobol(space, seed=0, index=index)["family"] for index in range(4)]
        ['ce', 'gds', 'ce', 'gds']
    """
    _check(index)
    first = space.parameters[0]
    turns = first.dimension.values if isinstance(first.dimension, Choice) else (None,)
    turn = turns[index % len(turns)]
    fixed: Config = {} if turn is None else {first.name: turn}
    free = [parameter.name for parameter in space.parameters if parameter.name not in fixed and _possible(space, parameter, fixed)]
    point = _sobol_point(len(free), derive_seed(seed, "sobol", str(turn)), index // len(turns))
    positions = dict(zip(free, point, strict=True))

    def pick(parameter: Parameter) -> Value:
        return fixed[parameter.name] if parameter.name in fixed else parameter.dimension.at(positions[parameter.name])

    return space.compose(pick)


def sample_random(space: Space, *, seed: int, index: int) -> Config:
    """The configuration at ``index`` of independent uniform draws; every choice is equally likely, a range is even on its scale.

    Args:
        space: Where to draw from.
        seed: The study's seed.
        index: Which configuration, from 0.

    Raises:
        ValueError: ``index`` is negative.
    """
    _check(index)
    generator = numpy_generator(seed, "random", index)
    return space.compose(lambda parameter: parameter.dimension.at(generator.random()))


def _possible(space: Space, parameter: Parameter, fixed: Config) -> bool:
    """Whether ``parameter`` exists in any configuration that has the values ``fixed``."""
    if parameter.when is None:
        return True
    parent = next(candidate for candidate in space.parameters if candidate.name == parameter.when.parent)
    if parent.name in fixed:
        return fixed[parent.name] in parameter.when.values
    return _possible(space, parent, fixed)


def _sobol_point(dimensions: int, seed: int, index: int) -> list[float]:
    return [float(position) for position in _sobol_block(dimensions, seed, index // _BLOCK)[index % _BLOCK]] if dimensions else []


@lru_cache(maxsize=128)
def _sobol_block(dimensions: int, seed: int, number: int) -> NDArray[np.float64]:
    """A stretch of a sequence: to scramble it takes longer than to draw a hundred points."""
    from scipy.stats import qmc  # it takes a second, which every process that runs trials would spend

    engine = qmc.Sobol(dimensions, scramble=True, rng=np.random.default_rng(seed))
    if number:
        engine.fast_forward(number * _BLOCK)
    return np.asarray(engine.random(_BLOCK))


def _check(index: int) -> None:
    if index < 0:
        raise ValueError(f"index must be >= 0, got {index!r}")
