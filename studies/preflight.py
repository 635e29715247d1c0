"""Everything that can be wrong with a call, looked at before anything starts. Each fault is one sentence."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

from margin_core.cache import check_cache
from margin_core.data import VALIDATION, check_dataset, check_dials, dataset_info, load_dataset, prepare, resolve_data_root
from margin_core.data.dataset import DATA_ROOT_VARIABLE, DatasetSource
from margin_core.models import build_model
from studies.runner import choose_runner
from studies.spec import StudySpec
from studies.stage_sizes import stage_sizes
from studies.storage import Storage
from studies.tracking.address import check_tracking_uri
from studies.workspace import check_workdir


class CallError(ValueError):
    """A call or a study file that cannot be carried out; the message is one sentence."""


def check_call(
    spec: StudySpec, *, workdir: Path, address: str | None, tracking_uri: str | None, data_root: Path | None, storage: str | None = None
) -> list[str]:
    """Raise `CallError` where ``spec`` cannot be run with these options; returns what is worth a warning.

    Looks at the plan, the datasets, the model's weights (which it downloads where they are published), the cache, the Ray address, the
    tracking server, the work directory, the storage and, for a local run, the compiler and the GPU, in this order. Last, pictures are
    decoded that never were, so that what cannot be read is told now and the trials find it done.

    A tracking server that does not answer is worth a warning only: the ledger keeps everything for it.
    """
    from studies.running.address import check_address

    warnings = []
    try:
        stage_sizes(spec)
        choose_runner(spec)
        if spec.screen is not None and spec.screen.searcher == "cma_es" and find_spec("cmaes") is None:
            raise CallError("screen.searcher cma_es needs a package that is not there: pip install 'margin-studies[cma]'")
        for entry in spec.datasets:
            check_dataset(entry.dataset, data_root)
            # Only the data tell whether the classes are large enough; they are of one size in all replicates.
            if entry.config().sizes_classes or entry.validation != VALIDATION:
                prepare(entry.config(), data_root=data_root, study_seed=spec.seed, replicate=0)
        networks = [(spec.model.name, spec.model.weights), *((network.name, network.weights) for network in spec.describe)]
        for name, weights in dict.fromkeys(networks):
            if weights != "random":
                _check_weights(spec, name, weights, data_root)
        if spec.model.backbone == "frozen":
            check_cache()
        check_address(address)
        if tracking_uri is not None:
            try:
                check_tracking_uri(tracking_uri)
            except ConnectionError as error:
                warnings.append(f"{error}; the study runs all the same, and sends it everything when it is back")
        check_workdir(workdir)
        if storage is not None:
            Storage(storage, spec.name).check()
    except (ValueError, OSError) as error:
        raise CallError(str(error)) from error
    compiler = os.environ.get("CXX", "g++")
    if spec.recipe.compile and address in (None, "local") and shutil.which(compiler) is None:
        raise CallError(f"recipe.compile needs a C++ compiler, but this machine has no {compiler}; CXX may name another")
    if spec.resources.gpu > 0 and address in (None, "local"):
        import torch

        if not torch.cuda.is_available():
            raise CallError(f"resources.gpu is {spec.resources.gpu:g}, but this machine has no GPU that torch can use")
        _check_count("gpu", spec, torch.cuda.device_count())
    if address in (None, "local"):
        _check_count("cpu", spec, os.cpu_count() or 1)
    try:
        for entry in spec.datasets:
            if dataset_info(entry.dataset).decodes:
                check_dials(entry.config(), load_dataset(entry.dataset, data_root, size=entry.size).num_classes)
    except (ValueError, OSError) as error:
        raise CallError(str(error)) from error
    return warnings


def _check_count(name: str, spec: StudySpec, there: int) -> None:
    """See that a trial finds room on this machine at all."""
    need, processes = getattr(spec.resources, name), spec.recipe.processes
    if int(there / need) < processes:
        each = f" for each of recipe.processes {processes}" if processes > 1 else ""
        raise CallError(f"resources.{name} is {need:g}{each}, but this machine has {there}")


def _check_weights(spec: StudySpec, name: str, weights: str, data_root: Path | None) -> None:
    """Load weights into their model for each shape of images: whether they are to be had and fit is not to be told otherwise."""
    for in_shape in {dataset_info(entry.dataset, entry.size).in_shape for entry in spec.datasets}:
        build_model(
            name,
            in_shape=in_shape,
            num_classes=2,
            reads="logits",
            seed_parts=(spec.seed,),
            weights=weights,
            data_root=resolve_data_root(data_root),
        )


def download_dataset(name: str, data_root: Path | None) -> DatasetSource:
    """Put the files of dataset ``name`` below the data root, where they can be had without people; its declaration.

    Raises:
        CallError: On an unknown dataset, one that people must have themselves, no data root, or a download that fails.
    """
    try:
        source = dataset_info(name)
        if data_root is None:
            raise CallError(f"{name}: no data root was given (--data-root or {DATA_ROOT_VARIABLE}) to download into")
        if source.download is None:
            raise CallError(f"{name} cannot be downloaded from here; margin-studies datasets tells how it is had")
        data_root.mkdir(parents=True, exist_ok=True)
        source.download(data_root)
    except CallError:
        raise
    except Exception as error:  # whatever a library raises of a net, a server or a disk
        raise CallError(f"{name} could not be had: {' '.join(str(error).split())}") from error
    return source
