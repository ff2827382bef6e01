"""What a visitor chose: model, two orders and the decoding settings; to and from inputs, share links, command line and Python.

Knows nothing of Gradio; a Settings is plain values, validated by DecodingConfig.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from uncage_demo.backends.ages import aged
from uncage_demo.backends.options import ModelOptions
from uncage_demo.config import SETTINGS, DecodingConfig
from uncage_demo.orders.table import COMPARED

MAX_STAGES = 6
MAX_SEEDS = 4
MAX_PROMPT_CHARS = 500

# Everything a visitor can set of a DecodingConfig, in the order of the page's inputs; the order of decoding is set for each stage.
SHARED_FIELDS = tuple(name for name in SETTINGS if name != "order")
_DEFAULTS = DecodingConfig()
_WHOLE = re.compile(r"[0-9]{1,19}")  # isdigit would take "²" as well


@dataclass(frozen=True)
class Settings:
    """One run of the page: the model, the orders of the stages, and the settings they share.

    Args:
        model: name of the backend.
        orders: one a stage, 1 to 6.
        shared: DecodingConfig fields other than `order`; missing ones take their defaults.
        age: the part of its training after which the model's weights were kept, such as "1/5"; "" = all of it.

    Raises:
        ValueError: naming the field, the value and what is allowed.
    """

    model: str = "embedded"
    orders: tuple[str, ...] = COMPARED
    shared: Mapping[str, Any] = field(default_factory=dict)
    age: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "age", ModelOptions(age=self.age or None).age or "")
        if not 1 <= len(self.orders) <= MAX_STAGES:
            raise ValueError(f"{len(self.orders)} orders: choose 1 to {MAX_STAGES}")
        unknown = sorted(set(self.shared) - set(SHARED_FIELDS))
        if unknown:
            raise ValueError(f"unknown setting(s) {', '.join(unknown)}; allowed: {', '.join(SHARED_FIELDS)}")
        self.configs()

    @property
    def backend(self) -> str:
        """What the model slot knows the model by: its name with its age."""
        return aged(self.model, self.age)

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
    """A value as an input field delivers it (floats for whole numbers, blank for "left open") -> as DecodingConfig takes it.

    Raises:
        ValueError: when a field that needs a value is blank, or a whole number has a fraction.
    """
    return SETTINGS[name].from_field(name, value)


def to_query(prompt: str, settings: Settings, edits: str = "") -> dict[str, str]:
    """Query parameters of a link that restores prompt, corrections and settings (the page adds the step)."""
    query = {"prompt": prompt, "model": settings.model, "orders": ",".join(settings.orders)}
    if settings.age:
        query["age"] = settings.age
    for name, value in settings.changed().items():
        query[name] = SETTINGS[name].to_text(value)
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
    shared = {name: _from_link(name, str(query[name])) for name in SHARED_FIELDS if name in query}
    given = [order for order in str(query.get("orders", "")).split(",") if order]
    orders = tuple(given) or Settings().orders
    step = query.get("step", "")
    if step and not _WHOLE.fullmatch(str(step)):
        raise ValueError(f"step={step!r} in the link: give a whole number from 0")
    settings = Settings(str(query.get("model", "embedded")), orders, shared, str(query.get("age", "")))
    return prompt, settings, int(step) if step else None, str(query.get("edits", ""))


def settings_of_traces(traces: Sequence[Any]) -> Settings:
    """The settings that finished traces were made with (of the first, where they differ in more than the order)."""
    first = traces[0]
    shared = {k: v for k, v in first.config.items() if k in SHARED_FIELDS}
    orders = tuple(str(t.config.get("order", "meissonic")) for t in traces)[:MAX_STAGES]
    return Settings(first.model.id, orders, {k: tuple(v) if isinstance(v, list) else v for k, v in shared.items()}, first.age)


def _from_link(name: str, text: str) -> Any:
    try:
        return SETTINGS[name].from_text(name, text)
    except ValueError as error:
        raise ValueError(f"in the link: {error}") from None
