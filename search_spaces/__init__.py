"""What a study may vary: one declarative, conditional space, listed as a grid, drawn by number, or searched by what is learnt."""

from search_spaces.arms import Arm, arms
from search_spaces.grid import grid, grid_size
from search_spaces.joint import Parts, decode, joint_space
from search_spaces.learning import METHODS, Learner, Method
from search_spaces.outcome import Outcome
from search_spaces.population import Changes, changed, replaced, replacements, schedulable
from search_spaces.quasi_random import sample_random, sobol
from search_spaces.space import Choice, Condition, Config, Dimension, Parameter, Range, Space, Value

__all__ = [
    "METHODS",
    "Arm",
    "Changes",
    "Choice",
    "Condition",
    "Config",
    "Dimension",
    "Learner",
    "Method",
    "Outcome",
    "Parameter",
    "Parts",
    "Range",
    "Space",
    "Value",
    "arms",
    "changed",
    "decode",
    "grid",
    "grid_size",
    "joint_space",
    "replaced",
    "replacements",
    "sample_random",
    "schedulable",
    "sobol",
]
