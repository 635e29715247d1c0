"""Datasets in memory, their splits and their label noise. One file is one dataset; `listing` names them all."""

from margin_core.data.dataset import Dataset, DatasetConfig, DatasetSource, Noise, Superclasses, resolve_data_root
from margin_core.data.listing import SOURCES, check_dataset, dataset_info, list_datasets, load_dataset
from margin_core.data.prepared import Prepared, prepare

__all__ = [
    "SOURCES",
    "Dataset",
    "DatasetConfig",
    "DatasetSource",
    "Noise",
    "Prepared",
    "Superclasses",
    "check_dataset",
    "dataset_info",
    "list_datasets",
    "load_dataset",
    "prepare",
    "resolve_data_root",
]
