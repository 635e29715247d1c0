"""One trial, from a cell and its seeds to a stream of epoch reports, with exact checkpoints."""

from margin_core.training.array import TrialArray
from margin_core.training.cell import Backbone, Cell, Setting, check_frozen
from margin_core.training.checkpoint import CheckpointError, checkpoint_files
from margin_core.training.cost import TrialCost, trial_cost
from margin_core.training.embeddings import TASK_METRICS
from margin_core.training.examples import Examples
from margin_core.training.recipe import Recipe
from margin_core.training.record import Record, Split
from margin_core.training.reports import EpochReport, Predictions, StepReport
from margin_core.training.trial import Trial

__all__ = [
    "TASK_METRICS",
    "Backbone",
    "Cell",
    "CheckpointError",
    "EpochReport",
    "Examples",
    "Predictions",
    "Recipe",
    "Record",
    "Setting",
    "Split",
    "StepReport",
    "Trial",
    "TrialArray",
    "TrialCost",
    "check_frozen",
    "checkpoint_files",
    "trial_cost",
]
