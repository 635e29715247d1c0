"""Datasets in memory, their splits, and the dials that change them. One file is one dataset or dial; `listing` names the datasets."""

from margin_core.data.class_sizes import Imbalance, ImbalanceKind
from margin_core.data.dataset import (
    OFFICIAL,
    VALIDATION,
    Choice,
    Dataset,
    DatasetConfig,
    DatasetSource,
    Merge,
    Noise,
    Official,
    Pretext,
    Superclasses,
    resolve_data_root,
)
from margin_core.data.decoded import PictureError
from margin_core.data.listing import SOURCES, check_dataset, check_dials, dataset_info, list_datasets, load_dataset, number_of_classes
from margin_core.data.manifold_points import Manifold, ManifoldKind
from margin_core.data.prepared import Prepared, prepare
from margin_core.data.tasks import RetrievalTask, TaskName, VerificationTask

__all__ = [
    "OFFICIAL",
    "SOURCES",
    "VALIDATION",
    "Choice",
    "Dataset",
    "DatasetConfig",
    "DatasetSource",
    "Imbalance",
    "ImbalanceKind",
    "Manifold",
    "ManifoldKind",
    "Merge",
    "Noise",
    "Official",
    "PictureError",
    "Prepared",
    "Pretext",
    "RetrievalTask",
    "Superclasses",
    "TaskName",
    "VerificationTask",
    "check_dataset",
    "check_dials",
    "dataset_info",
    "list_datasets",
    "load_dataset",
    "number_of_classes",
    "prepare",
    "resolve_data_root",
]
