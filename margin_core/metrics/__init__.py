"""What is measured of a trained network, as plain functions of tensors."""

from margin_core.metrics.accuracy import close_enough_accuracy, top_k_accuracy
from margin_core.metrics.calibration import expected_calibration_error, negative_log_likelihood
from margin_core.metrics.margins import class_margin, sample_margin

__all__ = [
    "class_margin",
    "close_enough_accuracy",
    "expected_calibration_error",
    "negative_log_likelihood",
    "sample_margin",
    "top_k_accuracy",
]
