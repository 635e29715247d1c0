"""What may choose: which metrics a study may compare cells by, and that none of them is measured on the test split."""

from __future__ import annotations

from collections.abc import Mapping

MAXIMISED: Mapping[str, bool] = {
    "val_accuracy": True,
    "val_nll": False,
    "val_ece": False,
    "class_margin": True,
    "val_sample_margin": True,
}
"""Whether more of a metric is better, of each metric that every study has."""


def refuse_test_metric(metric: object) -> None:
    """Raise `ValueError` where ``metric`` is measured on the test split, which is recorded at most and chooses nothing.

    Example:
        >>> refuse_test_metric("val_accuracy")
        >>> refuse_test_metric("test_accuracy")
        Traceback (most recent call last):
        ValueError: test_accuracy is measured on the test split, which never chooses; the metric may be val_accuracy
    """
    if isinstance(metric, str) and metric.startswith("test_"):
        instead = f"val_{metric.removeprefix('test_')}"
        raise ValueError(f"{metric} is measured on the test split, which never chooses; the metric may be {instead}")
