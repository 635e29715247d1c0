"""An exported trial in the flat style of timm's ``args.yaml``: what timm's training script calls by the same name, under that name.

It is to be read, and to start from in a pipeline of one's own: ``config.yaml`` alone is complete. What timm has no name for, the loss and
the dials of the dataset, stands under names of its own.
"""

from __future__ import annotations

from typing import Any

from margin_core.knobs import Schedule
from margin_core.losses import get_family
from margin_core.training import Cell, Trial

_AMP = ("bfloat16", "float16")


def flat_args(trial: Trial) -> dict[str, Any]:
    """The arguments, each a number, a name, a list of numbers or None."""
    cell, recipe, dataset = trial.cell, trial.cell.recipe, trial.data.dataset
    step = recipe.lr_schedule == "step"
    return {
        "model": cell.model.removeprefix("timm:"),
        "pretrained": cell.weights == "pretrained",
        "initial_checkpoint": "" if cell.weights in ("random", "pretrained") else cell.weights,
        "dataset": cell.dataset.name,
        "num_classes": trial.data.num_classes,
        "input_size": list(trial.data.in_shape),
        "mean": list(dataset.mean),
        "std": list(dataset.std),
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size // recipe.accumulate,
        "grad_accum_steps": recipe.accumulate,
        "opt": recipe.optimizer,
        "lr": recipe.lr.start if isinstance(recipe.lr, Schedule) else recipe.lr,
        "momentum": recipe.momentum,
        "weight_decay": recipe.weight_decay,
        "sched": "multistep" if step else recipe.lr_schedule,
        "decay_milestones": [round(place * recipe.epochs) if place < 1 else place for place in recipe.lr_steps] if step else None,
        "decay_rate": recipe.lr_factor if step else None,
        "warmup_epochs": recipe.warm_up * recipe.epochs if recipe.warm_up < 1 else recipe.warm_up,
        "clip_grad": recipe.clip_norm,
        "amp": recipe.precision in _AMP,
        "amp_dtype": recipe.precision if recipe.precision in _AMP else "float32",
        "channels_last": recipe.channels_last,
        "torchcompile": "inductor" if recipe.compile else None,
        "model_ema": recipe.ema is not None,
        "model_ema_decay": recipe.ema,
        "mixup": recipe.mixup or 0.0,
        "seed": trial.study_seed,
        **_ours(trial),
    }


def _ours(trial: Trial) -> dict[str, Any]:
    """What timm has no name for."""
    cell, recipe = trial.cell, trial.cell.recipe
    dials = {f"dataset_{name}": value for name, value in cell.dataset.to_dict().items() if name != "name" and not isinstance(value, dict)}
    sharpness = {"sharpness": recipe.sharpness, "rho": recipe.rho, "eta": recipe.eta} if recipe.sharpness != "none" else {}
    return {
        "backbone": cell.backbone,
        "replicate": trial.replicate,
        "augment": recipe.augment,
        "processes": recipe.processes,
        **sharpness,
        **dials,
        "loss": cell.family,
        **({f"lr_{part}": told for part, told in recipe.lr.to_dict().items()} if isinstance(recipe.lr, Schedule) else {}),
        **_settings(cell),
    }


def _settings(cell: Cell) -> dict[str, Any]:
    """The loss's knobs and the regularisers' weights; a schedule by its parts."""
    family = get_family(cell.family)
    names = [*(knob.name for knob in family.knobs), *(option.name for option in family.options)]
    values = {f"loss_{name}": cell.knobs[name] for name in names if name in cell.knobs}
    values |= {f"{name}_weight": weight for name, weight in cell.regularizers.items()}
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= {f"{name}_{part}": told for part, told in value.to_dict().items()} if isinstance(value, Schedule) else {name: value}
    return flat
