"""What a visitor chose: model, two orders and the decoding settings; to and from inputs, share links, command line and Python.

Knows nothing of Gradio; a Settings is plain values, validated by DecodingConfig.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from uncage_demo.config import ORDER_NAMES, DecodingConfig
from uncage_demo.player.payload import ORDER_TITLES

MAX_STAGES = 6
MAX_SEEDS = 4
MAX_PROMPT_CHARS = 500

# Everything a visitor can set of a DecodingConfig, in the order of the page's inputs; the order of decoding is set for each stage.
SHARED_FIELDS = tuple(f.name for f in fields(DecodingConfig) if f.name != "order")
_DEFAULTS = DecodingConfig()
_WHOLE_FIELDS = ("num_steps", "seed", "contrast_steps", "redraw_steps")
_FLOAT_FIELDS = ("schedule_power", "guidance_scale", "token_temperature", "contrast_weight", "contrast_blur", "noise_temperature")


def order_title(name: str) -> str:
    """Readable name of an order; names that this page has no title for keep their own."""
    return ORDER_TITLES.get(name, name.replace("_", " ").capitalize())


def order_choices() -> list[tuple[str, str]]:
    """(title, name) of every order, the baseline and the guided one first."""
    first = [name for name in ("meissonic", "uncage") if name in ORDER_NAMES]
    return [(order_title(name), name) for name in (*first, *(n for n in ORDER_NAMES if n not in first))]


@dataclass(frozen=True)
class Settings:
    """One run of the page: the model, the orders of the stages, and the settings they share.

    Args:
        model: name of the backend.
        orders: one a stage, 1 to 6.
        shared: DecodingConfig fields other than `order`; missing ones take their defaults.

    Raises:
        ValueError: naming the field, the value and what is allowed.
    """

    model: str = "embedded"
    orders: tuple[str, ...] = ("meissonic", "uncage")
    shared: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 1 <= len(self.orders) <= MAX_STAGES:
            raise ValueError(f"{len(self.orders)} orders: choose 1 to {MAX_STAGES}")
        unknown = sorted(set(self.shared) - set(SHARED_FIELDS))
        if unknown:
            raise ValueError(f"unknown setting(s) {', '.join(unknown)}; allowed: {', '.join(SHARED_FIELDS)}")
        self.configs()

    def configs(self) -> list[DecodingConfig]:
        """One validated config a stage."""
        return [DecodingConfig(order=order, **self.shared) for order in self.orders]

    def changed(self) -> dict[str, Any]:
        """The shared settings that differ from their defaults, plus the seed, which is always named."""
        config = self.configs()[0]
        return {
            name: getattr(config, name) for name in SHARED_FIELDS if name == "seed" or getattr(config, name) != getattr(_DEFAULTS, name)
        }

    def with_shared(self, **changes: Any) -> Settings:
        """A copy with some shared settings changed."""
        return replace(self, shared={**self.shared, **changes})


def tidy(name: str, value: Any) -> Any:
    """A value as an input field delivers it (floats for whole numbers, blank for "default") -> as DecodingConfig takes it.

    Raises:
        ValueError: when a field that needs a number is blank, or a whole number has a fraction.
    """
    if value in (None, ""):
        if getattr(_DEFAULTS, name) is None:
            return None
        raise ValueError(f"{name} is blank; give a value (default {getattr(_DEFAULTS, name)!r})")
    if name in _WHOLE_FIELDS and isinstance(value, float):
        if value != int(value):
            raise ValueError(f"{name}={value!r}: give a whole number")
        return int(value)
    if name in _FLOAT_FIELDS and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def to_query(prompt: str, settings: Settings, edits: str = "") -> dict[str, str]:
    """Query parameters of a link that restores prompt, corrections and settings (the page adds the step)."""
    query = {"prompt": prompt, "model": settings.model, "orders": ",".join(settings.orders)}
    for name, value in settings.changed().items():
        query[name] = ",".join(f"{v:g}" for v in value) if isinstance(value, tuple) else _text(value)
    if edits:
        query["edits"] = edits
    return query


def from_query(query: Mapping[str, str]) -> tuple[str, Settings, int | None, str]:
    """Inverse of to_query: (prompt, settings, step or None, edits). Parameters of other programs are ignored.

    Raises:
        ValueError: naming the parameter and what is allowed.
    """
    prompt = str(query.get("prompt", ""))
    if len(prompt) > MAX_PROMPT_CHARS:
        raise ValueError(f"the link's prompt has {len(prompt)} characters; at most {MAX_PROMPT_CHARS} are allowed")
    shared = {name: _parse(name, str(query[name])) for name in SHARED_FIELDS if name in query}
    given = [order for order in str(query.get("orders", "")).split(",") if order]
    orders = tuple(given) or Settings().orders
    step = query.get("step", "")
    if step and not str(step).isdigit():
        raise ValueError(f"step={step!r} in the link: give a whole number from 0")
    settings = Settings(str(query.get("model", "embedded")), orders, shared)
    return prompt, settings, int(step) if step else None, str(query.get("edits", ""))


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds typed as "0, 1, 2" or "0-3" -> (0, 1, 2, ...), 1 to 4 of them, none twice.

    Raises:
        ValueError: naming what was typed and what is allowed.
    """
    seeds: list[int] = []
    for part in str(text).replace(";", ",").split(","):
        part = part.strip()
        if not part:
            continue
        first, dash, last = part.partition("-")
        if not first.strip().isdigit() or (dash and not last.strip().isdigit()):
            raise ValueError(f'seeds "{text}": give whole numbers such as "0, 1, 2" or a range such as "0-3"')
        low, high = int(first), int(last) if dash else int(first)
        if not low <= high < low + MAX_SEEDS:
            raise ValueError(f'seeds "{part}": a range needs first <= last and at most {MAX_SEEDS} seeds')
        seeds += [s for s in range(low, high + 1) if s not in seeds]
    if not 1 <= len(seeds) <= MAX_SEEDS:
        raise ValueError(f'seeds "{text}" are {len(seeds)}: give 1 to {MAX_SEEDS}')
    return tuple(seeds)


def settings_of_traces(traces: Sequence[Any]) -> Settings:
    """The settings that finished traces were made with (of the first, where they differ in more than the order)."""
    first = traces[0]
    shared = {k: v for k, v in first.config.items() if k in SHARED_FIELDS}
    orders = tuple(str(t.config.get("order", "meissonic")) for t in traces)[:MAX_STAGES]
    if isinstance(shared.get("noise_temperature"), list):
        shared["noise_temperature"] = tuple(shared["noise_temperature"])
    return Settings(first.model.id, orders, shared)


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _parse(name: str, text: str) -> Any:
    default = getattr(_DEFAULTS, name)
    try:
        if text == "None" and default is None:
            return None
        if isinstance(default, bool):
            return {"True": True, "False": False}[text]
        if name in _WHOLE_FIELDS:
            return int(text)
        if name == "noise_temperature":
            start, end = (float(v) for v in text.split(","))
            return start, end
        if isinstance(default, float) or name in ("guidance_scale", "contrast_blur"):
            return float(text)
    except (ValueError, KeyError):
        raise ValueError(f"{name}={text!r} in the link is not a value that {name} can take") from None
    return text
