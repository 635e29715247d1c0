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
from margin_core.metrics.collapse import (
    ClassMoments,
    Moments,
    NearestCentreAgreement,
    NeuralCollapse,
    collapse_of_moments,
    neural_collapse,
)
from margin_core.metrics.confidence import GRADIENT_DECAY_EDGES, ConfidenceHistogram, confidence_histogram
from margin_core.metrics.gradients import target_gradient
from margin_core.metrics.margins import MeanSampleMargin, class_margin, sample_margin
from margin_core.metrics.retrieval import Retrieval, retrieval
from margin_core.metrics.streaming import Streaming
from margin_core.metrics.verification import OperatingPoint, Verification, tar_at_far, verification

__all__ = [
    "GRADIENT_DECAY_EDGES",
    "ClassMoments",
    "CloseEnoughAccuracy",
    "ConfidenceHistogram",
    "ExpectedCalibrationError",
    "MeanSampleMargin",
    "Moments",
    "NearestCentreAgreement",
    "NegativeLogLikelihood",
    "NeuralCollapse",
    "OperatingPoint",
    "Retrieval",
    "Streaming",
    "SuperclassAccuracy",
    "TopKAccuracy",
    "Verification",
    "class_margin",
    "close_enough_accuracy",
    "collapse_of_moments",
    "confidence_histogram",
    "expected_calibration_error",
    "negative_log_likelihood",
    "neural_collapse",
    "retrieval",
    "sample_margin",
    "superclass_accuracy",
    "tar_at_far",
    "target_gradient",
    "top_k_accuracy",
    "verification",
]
