"""Everything that can be wrong with a call, looked at before anything starts. Each fault is one sentence."""

from __future__ import annotations

from pathlib import Path

from margin_core.cache import check_cache
from margin_core.data import check_dataset, dataset_info, prepare, resolve_data_root
from margin_core.models import build_model
from studies.plan import stage_sizes
from studies.spec import StudySpec
from studies.tracking.mlflow_mirror import check_tracking_uri
from studies.workspace import check_workdir


class CallError(ValueError):
    """A call or a study file that cannot be carried out; the message is one sentence."""


def check_call(spec: StudySpec, *, workdir: Path, address: str | None, tracking_uri: str | None, data_root: Path | None) -> None:
    """Raise `CallError` where ``spec`` cannot be run with these options.

    Looks at the plan, the datasets, the model's weights (which it downloads where they are published), the cache, the Ray address, the
    tracking server, the work directory and, for a local run, the GPU, in this order.
    """
    from studies.running.address import check_address

    try:
        stage_sizes(spec)
        for entry in spec.datasets:
            check_dataset(entry.dataset, data_root)
            if (
                entry.config().sizes_classes
            ):  # only the data tell whether the classes are large enough; they are of one size in all replicates
                prepare(entry.config(), data_root=data_root, study_seed=spec.seed, replicate=0)
        if spec.model.weights != "random":
            _check_weights(spec, data_root)
        if spec.model.backbone == "frozen":
            check_cache()
        check_address(address)
        if tracking_uri is not None:
            check_tracking_uri(tracking_uri)
        check_workdir(workdir)
    except (ValueError, OSError) as error:
        raise CallError(str(error)) from error
    if spec.resources.gpu > 0 and address in (None, "local"):
        import torch

        if not torch.cuda.is_available():
            raise CallError(f"resources.gpu is {spec.resources.gpu:g}, but this machine has no GPU that torch can use")


def _check_weights(spec: StudySpec, data_root: Path | None) -> None:
    """Load the weights into the model for each shape of images: whether they are to be had and fit is not to be told otherwise."""
    for in_shape in {dataset_info(entry.dataset).in_shape for entry in spec.datasets}:
        build_model(
            spec.model.name,
            in_shape=in_shape,
            num_classes=2,
            reads="logits",
            seed_parts=(spec.seed,),
            weights=spec.model.weights,
            data_root=resolve_data_root(data_root),
        )
