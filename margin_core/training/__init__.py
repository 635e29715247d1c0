"""One trial, from a cell and its seeds to a stream of epoch reports, with exact checkpoints."""

from margin_core.training.cell import Cell, Setting
from margin_core.training.checkpoint import CheckpointError
from margin_core.training.recipe import Recipe
from margin_core.training.record import Record, Split
from margin_core.training.trial import EpochReport, Predictions, StepReport, Trial

__all__ = ["Cell", "CheckpointError", "EpochReport", "Predictions", "Recipe", "Record", "Setting", "Split", "StepReport", "Trial"]
