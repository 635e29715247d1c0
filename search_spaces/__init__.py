"""What a study may vary: one declarative, conditional space, listed as a grid, drawn by number, or searched by Optuna."""

from search_spaces.grid import grid, grid_size
from search_spaces.joint import Parts, decode, joint_space
from search_spaces.optuna_space import frozen_trial, suggest, tpe_sampler
from search_spaces.quasi_random import sample_random, sobol
from search_spaces.space import Choice, Condition, Config, Dimension, Parameter, Range, Space, Value

__all__ = [
    "Choice",
    "Condition",
    "Config",
    "Dimension",
    "Parameter",
    "Parts",
    "Range",
    "Space",
    "Value",
    "decode",
    "frozen_trial",
    "grid",
    "grid_size",
    "joint_space",
    "sample_random",
    "sobol",
    "suggest",
    "tpe_sampler",
]
