"""What a visitor chose: model, two orders and the decoding settings; to and from inputs, share links, command line and Python.

Knows nothing of Gradio; a Settings is plain values, validated by DecodingConfig.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from uncage_demo.backends.options import NEGATIVE_PROMPTS, OPTIONS, TRACE_KEY, ModelOptions, named
from uncage_demo.config import SETTINGS, DecodingConfig
from uncage_demo.orders.table import COMPARED
from uncage_demo.setting import listed, retold, shortened
from uncage_demo.trace.frames import frames_said, frames_told

MAX_STAGES = 6
MAX_SEEDS = 4
MAX_PROMPT_CHARS = 500
BROWSER_MAX = 2**53 - 1  # what a browser's numbers hold exactly
SEEDS_SHOWN = 10_000  # "another seed" draws one below this: short enough to say aloud

# Everything a visitor can set of a DecodingConfig, in the order of the page's inputs; the order of decoding is set for each stage.
SHARED_FIELDS = tuple(name for name in SETTINGS if name != "order")
_DEFAULTS = DecodingConfig()
_WHOLE = re.compile(r"[0-9]{1,19}")  # isdigit would take "²" as well


@dataclass(frozen=True)
class Settings:
    """One run of the page: the model, the orders of the stages, and the settings they share.

    Args:
        model: name of the backend.
        orders: one per stage, 1 to 6.
        shared: DecodingConfig fields other than `order`; missing ones take their defaults.
        age: the part of its training after which the model's weights were kept, such as "1/5"; "" = all of it.
        options: what a large model is loaded with, its age aside.
        frames: of which steps pictures are made: "all", "final" or "every K".

    Raises:
        ValueError: naming the field, the value and what is allowed.
    """

    model: str = "embedded"
    orders: tuple[str, ...] = COMPARED
    shared: Mapping[str, Any] = field(default_factory=dict)
    age: str = ""
    options: ModelOptions = field(default_factory=ModelOptions)
    frames: str = "all"

    def __post_init__(self) -> None:
        age = _options(age=self.age or None).age or self.options.age
        object.__setattr__(self, "age", age or "")
        object.__setattr__(self, "options", replace(self.options, age=None))
        object.__setattr__(self, "frames", frames_said(self.frames))
        if not 1 <= len(self.orders) <= MAX_STAGES:
            raise ValueError(f"{len(self.orders)} orders: choose 1 to {MAX_STAGES}")
        unknown = sorted(set(self.shared) - set(SHARED_FIELDS))
        if unknown:
            raise ValueError(f"unknown setting(s) {listed(unknown, 80)}; allowed: {listed(SHARED_FIELDS, 160)}")
        self.configs()

    @property
    def backend(self) -> str:
        """What the model slot knows the model by: its name with its age and options."""
        return named(self.model, self.loaded)

    @property
    def loaded(self) -> ModelOptions:
        """What the model is loaded with, its age included."""
        return replace(self.options, age=self.age or None)

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
    query |= {name: option_text(name, value) for name, value in settings.options.given().items()}
    if settings.frames != "all":
        query["frames"] = settings.frames
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
        raise ValueError(f"step={shortened(step)} in the link: give a whole number from 0")
    loaded = {one.name: option_value(one.name, str(query[one.name])) for one in OPTIONS if one.name in query}
    model, age, frames = str(query.get("model", "embedded")), str(query.get("age", "")), str(query.get("frames", "all"))
    settings = Settings(model, orders, shared, age, _options(**loaded), frames)
    return prompt, settings, int(step) if step else None, str(query.get("edits", ""))


def settings_of_traces(traces: Sequence[Any]) -> Settings:
    """The settings that finished traces were made with (of the first, where they differ in more than the order).

    Where they differ in the model's age it is the whole training's: the next run should not be one of a model that hardly draws.
    """
    first = traces[0]
    age = first.age if len({trace.age for trace in traces}) == 1 else ""
    shared = {k: v for k, v in first.config.items() if k in SHARED_FIELDS}
    orders = tuple(str(t.config.get("order", "meissonic")) for t in traces)[:MAX_STAGES]
    options = replace(ModelOptions.from_json(first.versions.get(TRACE_KEY)), age=None)
    shared = {k: tuple(v) if isinstance(v, list) else v for k, v in shared.items()}
    return Settings(first.model.id, orders, shared, age, options, frames_told(first.versions))


def option_value(name: str, text: str) -> Any:
    """A model's option as text (of a link, or typed into a field) -> as ModelOptions takes it.

    Raises:
        ValueError: naming the option and what is allowed.
    """
    kind = next(one.kind for one in OPTIONS if one.name == name)
    if kind == "switch":
        if text not in ("True", "False"):
            raise ValueError(f"{name}={text[:40]!r}: give True or False")
        return text == "True"
    if kind != "size":
        return text
    found = re.fullmatch(r"\s*([0-9]{1,5})(?:\s*[x×]\s*([0-9]{1,5}))?\s*", text)
    if not found:
        raise ValueError(f"{name}={text[:40]!r}: give one number or HEIGHTxWIDTH, such as 512 or 512x768")
    return int(found[1]), int(found[2] or found[1])


def option_text(name: str, value: Any) -> str:
    """Inverse of option_value; a negative prompt that has a name by that name."""
    if name == "negative_prompt":
        return next((known for known, text in NEGATIVE_PROMPTS.items() if text == value), value)
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _options(**given: Any) -> ModelOptions:
    """ModelOptions of untrusted values.

    Raises:
        ValueError: naming the option, the beginning of its value and what is allowed.
    """
    try:
        return ModelOptions(**given)
    except ValueError as error:
        raise ValueError(retold(error, *given.values())) from None


def _from_link(name: str, text: str) -> Any:
    try:
        return SETTINGS[name].from_text(name, text)
    except ValueError as error:
        raise ValueError(f"in the link: {error}") from None
