"""What is measured of a trained network, as plain functions of tensors, and as sums over batches for those that add up."""

from margin_core.metrics.accuracy import (
    CloseEnoughAccuracy,
    SuperclassAccuracy,
    TopKAccuracy,
    close_enough_accuracy,
    superclass_accuracy,
    top_k_accuracy,
)
from margin_core.metrics.calibration import (
    ExpectedCalibrationError,
    NegativeLogLikelihood,
    expected_calibration_error,
    negative_log_likelihood,
)
from margin_core.metrics.confidence import GRADIENT_DECAY_EDGES, ConfidenceHistogram, confidence_histogram
from margin_core.metrics.margins import MeanSampleMargin, class_margin, sample_margin
from margin_core.metrics.streaming import Streaming

__all__ = [
    "GRADIENT_DECAY_EDGES",
    "CloseEnoughAccuracy",
    "ConfidenceHistogram",
    "ExpectedCalibrationError",
    "MeanSampleMargin",
    "NegativeLogLikelihood",
    "Streaming",
    "SuperclassAccuracy",
    "TopKAccuracy",
    "class_margin",
    "close_enough_accuracy",
    "confidence_histogram",
    "expected_calibration_error",
    "negative_log_likelihood",
    "sample_margin",
    "superclass_accuracy",
    "top_k_accuracy",
]
