"""One trial, from a cell and its seeds to a stream of epoch reports, with exact checkpoints."""

from margin_core.training.cell import Backbone, Cell, Setting
from margin_core.training.checkpoint import CheckpointError
from margin_core.training.recipe import Recipe
from margin_core.training.trial import EpochReport, Predictions, Split, Trial

__all__ = ["Backbone", "Cell", "CheckpointError", "EpochReport", "Predictions", "Recipe", "Setting", "Split", "Trial"]
