"""The settings of the page: an input for every setting that is declared and an order for each stage; every one of them is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import gradio as gr

from uncage_demo.backends.options import ModelOptions, named
from uncage_demo.config import LEFT_TO_MODEL, SETTINGS, DecodingConfig
from uncage_demo.decoding.presets import NAMED, named_preset
from uncage_demo.orders.table import COMPARED, order_choices
from uncage_demo.setting import GROUPS, Setting
from uncage_demo.ui.model_options import build_inputs, options_from, updates_for
from uncage_demo.ui.models import entry_of, folders_allowed, kept_ages, option_facts, own_settings
from uncage_demo.ui.settings import BROWSER_MAX, SHARED_FIELDS, Settings, tidy

_DEFAULT = DecodingConfig()
_KEYS = ("first step", "last step")  # of the two inputs of a pair
_FRAMES = (("of every step", "all"), *((f"of every {k}th step", f"every {k}") for k in (4, 8, 16)), ("none but the finished one", "final"))


@dataclass
class Panel:
    """The inputs, in the order in which handlers receive their values.

    Args:
        model, order_a, order_b: the model and the order of each stage.
        age: how much of its training the model has had; hidden for a model that keeps no ages.
        frames: of which steps pictures are made.
        options: option of a large model -> its input; hidden where the model lacks it.
        shared: setting -> its input; a pair has two, see `input_names`.
    """

    model: gr.Dropdown
    order_a: gr.Dropdown
    order_b: gr.Dropdown
    age: gr.Radio
    frames: gr.Dropdown
    options: dict[str, Any] = field(default_factory=dict)
    shared: dict[str, Any] = field(default_factory=dict)

    @property
    def inputs(self) -> list[Any]:
        """All inputs."""
        return [self.model, self.order_a, self.order_b, self.age, self.frames, *self.options.values(), *self.shared.values()]

    def _parted(self, values: Sequence[Any]) -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
        """The values of the inputs: model, orders, age and frames; the options by name; the settings by their inputs' keys."""
        first = len(values) - len(self.options) - len(self.shared)
        last = first + len(self.options)
        options, shared = dict(zip(self.options, values[first:last], strict=True)), dict(zip(self.shared, values[last:], strict=True))
        return list(values[:first]), options, shared

    def settings(self, values: Sequence[Any], orders: Sequence[str] | None = None) -> Settings:
        """What the inputs say, validated.

        Raises:
            ValueError: naming the field, the value and what is allowed.
        """
        (model, order_a, order_b, age, frames), options, given = self._parted(values)
        shared = {}
        for name in SHARED_FIELDS:
            parts = [given[key] for key in input_names(name)]
            shared[name] = tidy(name, parts[0] if len(parts) == 1 else tuple(parts))
        of_model = str(age or "") if kept_ages(str(model)) else ""
        chosen = tuple(dict.fromkeys((order_a, order_b) if orders is None else orders))
        return Settings(str(model), chosen, shared, of_model, options_from(str(model), options), str(frames or "all"))

    def values(self, chosen: Settings) -> list[Any]:
        """Inverse of settings(): what to put into the inputs. A run of more than two orders shows its first two."""
        config = chosen.configs()[0]
        shown: dict[str, Any] = {}
        for name in SHARED_FIELDS:
            shown |= dict(zip(input_names(name), shown_values(name, getattr(config, name), chosen.backend), strict=True))
        orders = (*chosen.orders, *chosen.orders)[:2]
        age, options = gr.update(**age_input(chosen.model, chosen.age)), updates_for(chosen.model, chosen.options)
        return [chosen.model, *orders, age, chosen.frames, *options, *(shown[key] for key in self.shared)]

    def apply_preset(self, name: str, values: Sequence[Any]) -> list[Any]:
        """The inputs' values after choosing a preset: everything to its default but the model and its options, the seed and the steps."""
        chosen = named_preset(name)
        now, (_, _, given) = self.settings(values), self._parted(values)
        kept: Mapping[str, Any] = {k: tidy(k, given[k]) for k in ("seed", *(("num_steps",) if chosen.keeps_steps else ()))}
        shared = {**kept, **chosen.shared}
        if shared.get("contrast_steps") is not None and shared.get("num_steps") is not None:
            shared["contrast_steps"] = min(shared["contrast_steps"], shared["num_steps"])  # "in every step" of however many there are
        return self.values(replace(now, orders=chosen.orders, shared=shared))


def age_input(model: str, age: str = "") -> dict[str, Any]:
    """What the input of the age shows for a model: its ages, or nothing at all where it keeps none."""
    kept = kept_ages(model)
    return {"choices": [*((f"{one}", one) for one in kept), ("all of it", "")], "value": age if age in kept else "", "visible": bool(kept)}


def input_names(name: str) -> tuple[str, ...]:
    """The inputs of a setting, by their keys in Panel.shared: one, or two for a pair."""
    return tuple(f"{name}, {end}" for end in _KEYS) if SETTINGS[name].kind == "pair" else (name,)


def own_value(name: str, model: str) -> Any:
    """A model's own value of a setting that may be left to it; None where it is known only once the model is loaded.

    Args:
        name: the setting.
        model: its name, with its options or without.
    """
    return getattr(own_settings(model), name, None)


def shown_values(name: str, value: Any, model: str) -> list[Any]:
    """What the inputs of a setting show, one for each: blank where it is left open, with the model's own value said; a slider shows it.

    Args:
        name: the setting.
        value: as DecodingConfig has it.
        model: whose own value is said, with its options or without.
    """
    setting, own = SETTINGS[name], own_value(name, model)
    count = len(input_names(name))
    parts = list(value) if isinstance(value, (tuple, list)) else [value] * count
    if setting.slider:
        return [own if part is None else part for part in parts]
    if setting.kind == "choice":
        parts = [part or "" for part in parts]
    if setting.left_open != LEFT_TO_MODEL:
        return parts
    if setting.kind == "choice":
        return [gr.update(value=part, choices=_choices(setting, own)) for part in parts]
    owns = own if isinstance(own, tuple) else [own] * count
    return [gr.update(value=part, placeholder=_left_open(setting, one)) for part, one in zip(parts, owns, strict=True)]


def _left_open(setting: Setting, own: Any) -> str:
    """What stands in an input that is left open: the model's own value where it is known."""
    return f"{setting.left_open}: {setting.to_text(own)}" if own is not None else setting.left_open


def _choices(setting: Setting, own: Any = None) -> list[tuple[str, str]]:
    left_open = [(_left_open(setting, own), "")] if setting.left_open else []
    titles = {one.name: one.title for one in setting.methods}
    return [*left_open, *((titles.get(choice, choice.replace("_", " ")), choice) for choice in setting.choices)]


def build_panel(models: Sequence[tuple[str, str]], model: str) -> tuple[Panel, gr.Dropdown, gr.HTML, gr.Button]:
    """The inputs inside the current Blocks.

    Args:
        models: (title, name) of the models on offer; model: the one chosen at first.

    Returns:
        the panel, the preset dropdown with the line that says what the chosen one is for, and the "new seed" button.
    """
    orders = order_choices()
    with gr.Row(elem_classes="uc-settings-row"):
        order_a = gr.Dropdown(orders, value=COMPARED[0], label="Stage A: order", min_width=150)
        order_b = gr.Dropdown(orders, value=COMPARED[1], label="Stage B: order", min_width=150)
        chosen = gr.Dropdown([("Custom", ""), *((one.title, one.name) for one in NAMED.values())], value="", label="Preset", min_width=170)
        by_folder = "Or type the path of a model's folder on the server." if folders_allowed() else None
        name = gr.Dropdown(
            list(models),
            value=model,
            label="Model",
            min_width=320,  # a line of its own: titles begin alike
            allow_custom_value=folders_allowed(),
            info=by_folder,
            elem_id="uc-model-name",
        )
    about = gr.HTML("", elem_id="uc-preset-about", apply_default_css=False)
    age = gr.Radio(
        **age_input(model),
        label="How much has it learnt?",
        info="The same model after a part of its training. Everything else stays, so what changes is what it has learnt.",
        elem_id="uc-age",
    )
    with (
        gr.Accordion("Options of this model", open=False, visible=bool(option_facts(model)), elem_id="uc-model-options") as of_model,
        gr.Row(elem_classes="uc-settings-row"),
    ):
        options = build_inputs(model)
    shared: dict[str, Any] = {}
    with gr.Row(elem_classes="uc-settings-row"):
        with gr.Row(elem_id="uc-seed-row"):
            shared["seed"] = gr.Number(
                _DEFAULT.seed, label=SETTINGS["seed"].label, precision=0, minimum=0, maximum=BROWSER_MAX, min_width=100, elem_id="uc-seed"
            )
            new_seed = gr.Button("New seed", size="sm", min_width=84, elem_id="uc-new-seed")
        shared |= _group("first", model)
    with gr.Accordion("More settings", open=False, elem_id="uc-more-settings"):
        for group, heading in GROUPS.items():
            gr.HTML(heading, elem_classes="uc-settings-heading", apply_default_css=False)
            with gr.Row(elem_classes="uc-settings-row"):
                shared |= _group(group, model)
        frames = gr.Dropdown(
            list(_FRAMES),
            value="all",
            label="Pictures of the steps",
            info="Each is decoded by the model; at 1024 pixels one costs more than a step. The finished picture always comes.",
            allow_custom_value=True,
            elem_id="uc-frames",
        )
    panel = Panel(name, order_a, order_b, age, frames, options, shared)
    own = [key for key, setting in SETTINGS.items() if setting.left_open == LEFT_TO_MODEL]

    open_inputs = [shared[part] for key in own for part in input_names(key)]

    def left_open(model: str, family: str | None = None) -> list[Any]:
        asked = named(str(model), ModelOptions(family=family or None))
        try:
            return [value for key in own for value in shown_values(key, None, asked)]
        except ValueError:  # the line under the settings says what is wrong with this model
            return [gr.skip()] * len(open_inputs)

    def left_to(model: str) -> list[Any]:
        try:
            entry_of(model)
        except ValueError:
            return [gr.skip()] * (1 + len(options) + len(open_inputs))
        return [gr.update(**age_input(model)), *updates_for(model), *left_open(model)]

    # A visitor's own choice of a model, not a link or an example, which name settings of their own.
    inputs = [age, *options.values(), *open_inputs]
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "queue": False}
    name.input(left_to, name, inputs, **quiet)
    # Of a folder whose config does not tell its family, the family told here decides the steps and all else that is its own.
    options["family"].input(
        left_open,
        [name, options["family"]],
        open_inputs,
        **quiet,
    )
    name.change(lambda model: gr.update(visible=has_options(str(model))), name, of_model, **quiet)
    return panel, chosen, about, new_seed


def has_options(model: str) -> bool:
    """Whether there is anything to choose about a model; no for one that is not offered."""
    try:
        return bool(option_facts(model))
    except ValueError:
        return False


def _group(group: str, model: str) -> dict[str, Any]:
    """The inputs of a group of settings, by their keys in Panel.shared."""
    made: dict[str, Any] = {}
    for name, setting in SETTINGS.items():
        if setting.group == group:
            labels = [setting.label] if setting.kind != "pair" else [f"{setting.label}, {end}" for end in setting.ends]
            own = own_value(name, model)
            owns = own if isinstance(own, tuple) else [own] * len(labels)
            usual = getattr(_DEFAULT, name)
            starts = usual if isinstance(usual, tuple) else [usual] * len(labels)
            for key, label, start, one in zip(input_names(name), labels, starts, owns, strict=True):
                made[key] = _input(setting, label, start, one)
    return made


def _input(setting: Setting, label: str, value: Any, own: Any) -> Any:
    """The input that fits a setting; where the value is left open, it says the model's own."""
    # What is tucked away says what it does, and what it takes where it may cost forwards.
    info = f"{setting.help[0].upper()}{setting.help[1:]}." if setting.group != "first" or setting.cost else None
    info = f"{info} Cost: {setting.cost}." if setting.cost else info
    if setting.methods:
        told = (f"- **{one.title}**: {one.about}{f' ({one.cost})' if one.cost else ''}." for one in setting.methods)
        info = "\n".join([f"{info}\n", *told])
    wide: dict[str, Any] = {"label": label, "min_width": 400 if setting.methods else 140, "info": info}
    if setting.kind == "switch":
        return gr.Checkbox(value, **wide)
    if setting.kind == "choice":
        return gr.Dropdown(_choices(setting, own), value="" if value is None else value, **wide)
    if setting.kind == "text":
        return gr.Dropdown(list(setting.choices), value=value, allow_custom_value=True, **wide)
    if setting.slider:
        low, high, step = setting.slider
        return gr.Slider(low, high, value=own if value is None else value, step=step, **wide)
    return gr.Number(
        value,
        placeholder=_left_open(setting, own) if setting.left_open else None,
        precision=0 if setting.kind == "whole" else None,
        minimum=setting.low,
        maximum=setting.high,
        **wide,
    )
