"""An exported trial in the flat style of timm's ``args.yaml``: what timm's training script calls by the same name, under that name.

It is to be read, and to start from in a pipeline of one's own: ``config.yaml`` alone is complete. Where timm's default is not what was
done, its name is here with what was. What timm has no name for, the loss and the dials of the dataset, stands under names of its own.
"""

from __future__ import annotations

from typing import Any

from margin_core.knobs import Schedule
from margin_core.losses import get_family
from margin_core.training import Cell, Recipe, Trial

_AMP = ("bfloat16", "float16")


def flat_args(trial: Trial) -> dict[str, Any]:
    """The arguments, each a number, a name, a list of numbers or None; ``opt_kwargs`` alone is a mapping, as it is in timm."""
    cell, recipe, dataset = trial.cell, trial.cell.recipe, trial.data.dataset
    return {
        "model": cell.model.removeprefix("timm:"),
        "pretrained": cell.weights == "pretrained",
        "initial_checkpoint": "" if cell.weights in ("random", "pretrained") else cell.weights,
        "dataset": cell.dataset.name,
        "num_classes": trial.data.num_classes,
        "input_size": list(trial.data.in_shape),
        "crop_pct": 1.0,
        "mean": list(dataset.mean),
        "std": list(dataset.std),
        "batch_size": recipe.batch_size // recipe.accumulate,
        "grad_accum_steps": recipe.accumulate,
        **_optimizer(recipe),
        **_schedule(recipe),
        **_augmentation(recipe),
        "smoothing": _smoothing(cell),
        "bce_loss": False,
        "jsd_loss": False,
        "amp": recipe.precision in _AMP,
        "amp_dtype": recipe.precision if recipe.precision in _AMP else "float32",
        "channels_last": recipe.channels_last,
        "torchcompile": "inductor" if recipe.compile else None,
        "model_ema": recipe.ema is not None,
        "model_ema_decay": recipe.ema,
        "model_ema_warmup": False,
        "seed": trial.study_seed,
        **_ours(trial),
    }


def _optimizer(recipe: Recipe) -> dict[str, Any]:
    """Without Nesterov's momentum, which timm means by ``sgd``, and with decay of all weights, where timm leaves out biases and norms."""
    sgd = recipe.optimizer == "sgd"
    return {
        "opt": "momentum" if sgd else recipe.optimizer,
        "opt_betas": None if sgd else [0.9, 0.999],
        "opt_eps": None if sgd else 1e-8,
        "opt_kwargs": {"filter_bias_and_bn": False},
        "momentum": recipe.momentum,
        "weight_decay": recipe.weight_decay,
        "layer_decay": None,
        "clip_grad": recipe.clip_norm,
        "clip_mode": "norm",
    }


def _schedule(recipe: Recipe) -> dict[str, Any]:
    """The learning rate, moved after each step from 0 up and, by a cosine, down to 0.

    A cosine that begins after the warm-up is one whose warm-up timm does not count among ``epochs``.
    """
    step, warm_up = recipe.lr_schedule == "step", recipe.share(recipe.warm_up) * recipe.epochs
    before = recipe.lr_schedule == "cosine" and warm_up > 0.0
    return {
        "sched": "multistep" if step else recipe.lr_schedule,
        "sched_on_updates": True,
        "lr": recipe.lr.start if isinstance(recipe.lr, Schedule) else recipe.lr,
        "min_lr": 0.0,
        "warmup_lr": 0.0,
        "epochs": _whole(recipe.epochs - warm_up) if before else recipe.epochs,
        "warmup_epochs": _whole(warm_up),
        "warmup_prefix": before,
        "cooldown_epochs": 0,
        "decay_milestones": [round(place * recipe.epochs) if place < 1 else int(place) for place in recipe.lr_steps],
        "decay_rate": recipe.lr_factor,
    }


def _augmentation(recipe: Recipe) -> dict[str, Any]:
    """The random changes that timm knows; ``augment``, ours, says which crop and turn there were."""
    return {
        "no_aug": recipe.augment == "none",
        "scale": [1.0, 1.0],
        "ratio": [1.0, 1.0],
        "hflip": 0.0 if recipe.augment == "none" else 0.5,
        "vflip": 0.0,
        "color_jitter": None,
        "aa": None,
        "reprob": 0.0,
        "mixup": recipe.mixup or 0.0,
        "mixup_prob": 1.0,
        "mixup_mode": "batch",
        "cutmix": 0.0,
    }


def _smoothing(cell: Cell) -> float:
    """Cross-entropy's, at the beginning where it follows a schedule; of the other families none."""
    setting = cell.knobs.get("label_smoothing", 0.0) if cell.family == "ce" else 0.0
    return float(setting.start if isinstance(setting, Schedule) else setting)


def _whole(number: float) -> float:
    """A whole number as an int, as timm's script counts epochs."""
    return int(number) if number == int(number) else number


def _ours(trial: Trial) -> dict[str, Any]:
    """What timm has no name for."""
    cell, recipe = trial.cell, trial.cell.recipe
    dials = {f"dataset_{name}": value for name, value in cell.dataset.to_dict().items() if name != "name" and not isinstance(value, dict)}
    sharpness = {"sharpness": recipe.sharpness, "rho": recipe.rho, "eta": recipe.eta} if recipe.sharpness != "none" else {}
    return {
        "backbone": cell.backbone,
        "replicate": trial.replicate,
        "augment": recipe.augment,
        "precision": recipe.precision,
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
