"""What may choose: which metrics a study may compare cells by, and that none of them is measured on the test split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

EVERYWHERE: Mapping[str, bool] = {
    "val_accuracy": True,
    "val_nll": False,
    "val_ece": False,
    "class_margin": True,
    "val_sample_margin": True,
}
"""Whether more of a metric is better, of each metric that every study has."""


def comparable(recorded: Iterable[str], tasks: Sequence[Mapping[str, bool]], *, validated: bool = True) -> dict[str, bool]:
    """The metrics that a study may compare cells by, and whether more of each is better.

    Args:
        recorded: What the study records of the validation split; of all of it more is better.
        tasks: For each dataset what its task measures, without the split's name, and whether more is better. What all measure counts.
        validated: Whether every dataset has examples that validate. Without, there is only what a network's weights tell.

    Example:
        >>> retrieval = {"map": True, "rank_1": True}
        >>> list(comparable(["val_top_5_accuracy"], [retrieval]))[len(EVERYWHERE) :]
        ['val_top_5_accuracy', 'val_map', 'val_rank_1']
        >>> comparable([], [retrieval, {}]) == EVERYWHERE
        True
        >>> comparable([], [retrieval], validated=False)
        {'class_margin': True}
    """
    shared = {f"val_{name}": more for name, more in tasks[0].items() if all(name in task for task in tasks)}
    metrics = {**EVERYWHERE, **dict.fromkeys(recorded, True), **shared}
    return {name: more for name, more in metrics.items() if validated or not name.startswith("val_")}


def refuse_test_metric(metric: str) -> None:
    """Raise `ValueError` where ``metric`` is measured on the test split, which is recorded at most and chooses nothing.

    Example:
        >>> refuse_test_metric("val_accuracy")
        >>> refuse_test_metric("test_accuracy")
        Traceback (most recent call last):
        ValueError: test_accuracy is measured on the test split, which never chooses; the metric may be val_accuracy
    """
    if metric.startswith("test_"):
        instead = f"val_{metric.removeprefix('test_')}"
        raise ValueError(f"{metric} is measured on the test split, which never chooses; the metric may be {instead}")
