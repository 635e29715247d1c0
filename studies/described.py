"""A configuration's loss in words, for whoever shows one: the terminal, the report and the verdicts."""

from __future__ import annotations

from margin_core.losses import get_family
from search_spaces import Config


def describe(config: Config) -> str:
    """A configuration's loss in words: knobs that are not at their only value, options that are not the default, and regularisers."""
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
    return ", ".join(parts) or "as it is"


def _schedule_words(config: Config, name: str) -> str:
    kind, start = config[f"{name}.kind"], config[f"{name}.start"]
    if kind == "constant":
        return f"{start:.4g}"
    return f"{start:.4g} → {config[f'{name}.end']:.4g} ({kind}, first {float(config[f'{name}.length']):.0%})"
