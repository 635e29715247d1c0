"""A configuration's loss in words, for whoever shows one: the terminal, the report and the verdicts."""

from __future__ import annotations

from margin_core.losses import get_family
from search_spaces import Config
from search_spaces.paths import Jumps, read_jumps

# A path of more jumps is told by its ends; the ledger, MLflow and exports have all of it.
_MOST_JUMPS = 4


def describe(config: Config) -> str:
    """A configuration's loss in words: knobs that are not at their only value, options that are not the default, and regularisers.

    A learning rate that follows a path belongs to what was found, and is told too.
    """
    family = get_family(str(config["family"]))
    parts = []
    for knob in family.knobs:
        name = f"{family.name}.{knob.name}"
        if f"{name}.kind" in config:
            parts.append(f"{knob.symbol} = {_schedule_words(config, name)}")
        elif name in config and (len(knob.grid) > 1 or config[name] != knob.default):
            parts.append(f"{knob.symbol} = {config[name]:.4g}")
    for option in family.options:
        if (choice := config.get(f"{family.name}.{option.name}", option.default)) != option.default:
            parts.append(f"{option.name.replace('_', ' ')} {choice}")
    for name, value in config.items():
        if name.endswith(".weight") and isinstance(value, (int, float)) and value:
            parts.append(f"{name.removesuffix('.weight')} {value:.4g}")
        elif name.endswith(".weight.kind") or name == "lr.kind":
            parts.append(f"{name.removesuffix('.kind').removesuffix('.weight')} {_schedule_words(config, name.removesuffix('.kind'))}")
    return ", ".join(parts) or "as it is"


def _schedule_words(config: Config, name: str) -> str:
    kind, start = config[f"{name}.kind"], config[f"{name}.start"]
    if kind == "constant":
        return f"{start:.4g}"
    if kind == "path":
        return _path_words(float(start), read_jumps(config[f"{name}.then"]))
    return f"{start:.4g} → {config[f'{name}.end']:.4g} ({kind}, first {float(config[f'{name}.length']):.0%})"


def _path_words(start: float, jumps: Jumps) -> str:
    """Each value of a path, or, of one with many, where it begins, where it ends and how far it goes."""
    values = [start, *(value for _, value in jumps)]
    if len(jumps) > _MOST_JUMPS:
        return f"{start:.4g} → {values[-1]:.4g} ({len(jumps)} jumps, {min(values):.4g} to {max(values):.4g})"
    return ", ".join([f"{start:.4g}", *(f"{value:.4g} from {place:.0%}" for place, value in jumps)])
