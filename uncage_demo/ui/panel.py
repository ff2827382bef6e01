"""The settings of the page: an input for every setting that is declared and an order for each stage; every one of them is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from uncage_demo.config import LEFT_TO_MODEL, SETTINGS, DecodingConfig
from uncage_demo.orders.table import COMPARED, order_choices
from uncage_demo.setting import GROUPS, Setting
from uncage_demo.ui.models import kept_ages, own_steps
from uncage_demo.ui.presets import PRESETS, preset
from uncage_demo.ui.settings import SHARED_FIELDS, Settings, tidy

BROWSER_MAX = 2**53 - 1  # what a browser's numbers hold exactly
_DEFAULT = DecodingConfig()
_ENDS = ("first step", "last step")


@dataclass
class Panel:
    """The inputs, in the order in which handlers receive their values.

    Args:
        model, order_a, order_b: the model and the order of each stage.
        age: how much of its training the model has had; hidden for a model that keeps no ages.
        shared: setting -> its input; a pair has two, see `input_names`.
    """

    model: gr.Dropdown
    order_a: gr.Dropdown
    order_b: gr.Dropdown
    age: gr.Radio
    shared: dict[str, Any] = field(default_factory=dict)

    @property
    def inputs(self) -> list[Any]:
        """All inputs."""
        return [self.model, self.order_a, self.order_b, self.age, *self.shared.values()]

    def settings(self, values: Sequence[Any], orders: Sequence[str] | None = None) -> Settings:
        """What the inputs say, validated.

        Raises:
            ValueError: naming the field, the value and what is allowed.
        """
        model, order_a, order_b, age, *rest = values
        given = dict(zip(self.shared, rest, strict=True))
        shared = {}
        for name in SHARED_FIELDS:
            parts = [given[key] for key in input_names(name)]
            shared[name] = tidy(name, parts[0] if len(parts) == 1 else tuple(parts))
        of_model = str(age or "") if kept_ages(str(model)) else ""
        return Settings(str(model), tuple(dict.fromkeys((order_a, order_b) if orders is None else orders)), shared, of_model)

    def values(self, chosen: Settings) -> list[Any]:
        """Inverse of settings(): what to put into the inputs. A run of more than two orders shows its first two."""
        config = chosen.configs()[0]
        shown: dict[str, Any] = {}
        for name in SHARED_FIELDS:
            keys, value = input_names(name), shown_value(name, getattr(config, name), chosen.model)
            shown |= dict(zip(keys, value if isinstance(value, tuple) else [value] * len(keys), strict=True))
        orders = (*chosen.orders, *chosen.orders)[:2]
        return [chosen.model, *orders, gr.update(**age_input(chosen.model, chosen.age)), *(shown[key] for key in self.shared)]

    def apply_preset(self, name: str, values: Sequence[Any]) -> list[Any]:
        """The inputs' values after choosing a preset: everything to its default but model, seed and steps."""
        chosen = preset(name)
        model, _, _, age, *rest = values
        given = dict(zip(self.shared, rest, strict=True))
        kept: Mapping[str, Any] = {k: tidy(k, given[k]) for k in ("seed", "num_steps")}
        shared = {**kept, **chosen.shared}
        if shared.get("contrast_steps") is not None and shared["num_steps"] is not None:
            shared["contrast_steps"] = min(shared["contrast_steps"], shared["num_steps"])  # "in every step" of however many there are
        return self.values(Settings(str(model), chosen.orders, shared, str(age or "")))


def age_input(model: str, age: str = "") -> dict[str, Any]:
    """What the input of the age shows for a model: its ages, or nothing at all where it keeps none."""
    kept = kept_ages(model)
    return {"choices": [*((f"{one}", one) for one in kept), ("all of it", "")], "value": age if age in kept else "", "visible": bool(kept)}


def input_names(name: str) -> tuple[str, ...]:
    """The inputs of a setting, by their keys in Panel.shared: one, or two for a pair."""
    return tuple(f"{name}, {end}" for end in _ENDS) if SETTINGS[name].kind == "pair" else (name,)


def shown_value(name: str, value: Any, model: str) -> Any:
    """What an input shows of a setting: blank where it is left open, except on a slider, which shows the model's own number."""
    if value is None and SETTINGS[name].slider:
        return own_steps(model)
    return "" if value is None and SETTINGS[name].kind == "choice" else value


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
        chosen = gr.Dropdown([("as set here", ""), *((p.name, p.name) for p in PRESETS)], value="", label="Preset", min_width=170)
        name = gr.Dropdown(list(models), value=model, label="Model", min_width=150)
    about = gr.HTML("", elem_id="uc-preset-about", apply_default_css=False)
    age = gr.Radio(
        **age_input(model),
        label="How much has it learnt?",
        info="The same model after a part of its training. Everything else stays, so what changes is what it has learnt.",
        elem_id="uc-age",
    )
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
    panel = Panel(name, order_a, order_b, age, shared)
    own = [key for key, setting in SETTINGS.items() if setting.left_open == LEFT_TO_MODEL]

    def left_to(model: str) -> list[Any]:
        return [gr.update(**age_input(model)), *(shown_value(key, None, model) for key in own for _ in input_names(key))]

    # A visitor's own choice of a model, not a link or an example, which name settings of their own.
    inputs = [age, *(shared[part] for key in own for part in input_names(key))]
    name.input(left_to, name, inputs, api_visibility="private", show_progress="hidden", queue=False)
    return panel, chosen, about, new_seed


def _group(group: str, model: str) -> dict[str, Any]:
    """The inputs of a group of settings, by their keys in Panel.shared."""
    made: dict[str, Any] = {}
    for name, setting in SETTINGS.items():
        if setting.group == group:
            value = shown_value(name, getattr(_DEFAULT, name), model)
            labels = [setting.label] if setting.kind != "pair" else [f"{setting.label}, {end}" for end in _ENDS]
            values = value if isinstance(value, tuple) else [value] * len(labels)
            for key, label, start in zip(input_names(name), labels, values, strict=True):
                made[key] = _input(setting, label, start)
    return made


def _input(setting: Setting, label: str, value: Any) -> Any:
    """The input that fits a setting."""
    # A setting that may cost forwards says what it does and what that takes.
    info = f"{setting.help[0].upper()}{setting.help[1:]}. Cost: {setting.cost}." if setting.cost else None
    wide: dict[str, Any] = {"label": label, "min_width": 140, "info": info}
    if setting.kind == "switch":
        return gr.Checkbox(value, **wide)
    if setting.kind == "choice":
        own = [(setting.left_open, "")] if setting.left_open else []
        return gr.Dropdown([*own, *((choice, choice) for choice in setting.choices)], value=value, **wide)
    if setting.kind == "text":
        return gr.Dropdown(list(setting.choices), value=value, allow_custom_value=True, **wide)
    if setting.slider:
        low, high, step = setting.slider
        return gr.Slider(low, high, value=value, step=step, **wide)
    return gr.Number(
        value,
        placeholder=setting.left_open or None,
        precision=0 if setting.kind == "whole" else None,
        minimum=setting.low,
        maximum=setting.high,
        **wide,
    )
