"""The settings of the page: every input is a DecodingConfig field or a stage's order, and every one of them is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from uncage_demo.config import CONTRAST_MODES, GUIDANCE_SCHEDULES, RESCALE_MODES, SCHEDULE_NAMES, DecodingConfig
from uncage_demo.ui import settings as options
from uncage_demo.ui.presets import PRESETS, preset
from uncage_demo.ui.settings import Settings, tidy

MAX_SEED = 2**53 - 1  # what a browser's numbers hold exactly
_DEFAULT = DecodingConfig()


@dataclass
class Panel:
    """The inputs, in the order in which handlers receive their values.

    Args:
        model, order_a, order_b: the model and the order of each stage.
        shared: DecodingConfig field -> its input; noise_temperature has two ("noise_start", "noise_end").
    """

    model: gr.Dropdown
    order_a: gr.Dropdown
    order_b: gr.Dropdown
    shared: dict[str, Any] = field(default_factory=dict)

    @property
    def inputs(self) -> list[Any]:
        """All inputs."""
        return [self.model, self.order_a, self.order_b, *self.shared.values()]

    def settings(self, values: Sequence[Any], orders: Sequence[str] | None = None) -> Settings:
        """What the inputs say, validated.

        Raises:
            ValueError: naming the field, the value and what is allowed.
        """
        model, order_a, order_b, *rest = values
        given = dict(zip(self.shared, rest, strict=True))
        start, end = given.pop("noise_start"), given.pop("noise_end")
        shared = {name: tidy(name, value) for name, value in given.items()}
        shared["noise_temperature"] = (tidy("noise_temperature", start), tidy("noise_temperature", end))
        return Settings(str(model), tuple(orders) if orders is not None else (order_a, order_b), shared)

    def values(self, chosen: Settings) -> list[Any]:
        """Inverse of settings(): what to put into the inputs. A run of more than two orders shows its first two."""
        config = chosen.configs()[0]
        start, end = config.noise_temperature
        noise = {"noise_start": start, "noise_end": end}
        orders = (*chosen.orders, *chosen.orders)[:2]
        return [chosen.model, *orders, *(noise[name] if name in noise else getattr(config, name) for name in self.shared)]

    def apply_preset(self, name: str, values: Sequence[Any]) -> list[Any]:
        """The inputs' values after choosing a preset: everything to its default but model, seed and steps."""
        chosen = preset(name)
        model, _, _, *rest = values
        given = dict(zip(self.shared, rest, strict=True))
        kept: Mapping[str, Any] = {k: tidy(k, given[k]) for k in ("seed", "num_steps")}
        return self.values(Settings(str(model), chosen.orders, {**kept, **chosen.shared}))


def build_panel(models: Sequence[tuple[str, str]], model: str) -> tuple[Panel, gr.Dropdown, gr.HTML, gr.Button]:
    """The inputs inside the current Blocks.

    Args:
        models: (title, name) of the models on offer; model: the one chosen at first.

    Returns:
        the panel, the preset dropdown with the line that says what the chosen one is for, and the "new seed" button.
    """
    orders = options.order_choices()
    with gr.Row(elem_classes="uc-settings-row"):
        order_a = gr.Dropdown(orders, value="meissonic", label="Stage A: order", min_width=150)
        order_b = gr.Dropdown(orders, value="uncage", label="Stage B: order", min_width=150)
        chosen = gr.Dropdown([("as set here", ""), *((p.name, p.name) for p in PRESETS)], value="", label="Preset", min_width=170)
        name = gr.Dropdown(list(models), value=model, label="Model", min_width=150)
    about = gr.HTML("", elem_id="uc-preset-about", apply_default_css=False)
    shared: dict[str, Any] = {}
    with gr.Row(elem_classes="uc-settings-row"):
        with gr.Row(elem_id="uc-seed-row"):
            shared["seed"] = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=MAX_SEED, min_width=100, elem_id="uc-seed")
            new_seed = gr.Button("New seed", size="sm", min_width=84, elem_id="uc-new-seed")
        shared["num_steps"] = gr.Slider(1, 64, value=_DEFAULT.num_steps, step=1, label="Steps", min_width=150)
        shared["contrast_weight"] = gr.Slider(0, 20, value=_DEFAULT.contrast_weight, step=0.5, label="Contrast weight wₐ", min_width=150)
        shared["contrast_steps"] = gr.Number(
            None, label="Guided steps", placeholder="a quarter", precision=0, minimum=0, maximum=256, min_width=120
        )
    with gr.Accordion("More settings", open=False, elem_id="uc-more-settings"):
        with gr.Row(elem_classes="uc-settings-row"):
            shared["contrast_mode"] = gr.Dropdown(list(CONTRAST_MODES), value="both", label="Contrast terms", min_width=140)
            shared["contrast_blur"] = gr.Number(
                None, label="Blur of the maps, cells", placeholder="model's default", minimum=0, maximum=64, min_width=140
            )
            shared["contrast_rescale"] = gr.Dropdown(
                list(RESCALE_MODES), value=_DEFAULT.contrast_rescale, label="Rescale each map by", min_width=140
            )
            shared["attention_source"] = gr.Dropdown(
                ["default", "all", "layers:0-0"], value="default", label="Attention read from", allow_custom_value=True, min_width=140
            )
            shared["anchor_radius"] = gr.Slider(0.02, 1, value=_DEFAULT.anchor_radius, step=0.01, label="Reach of an anchor", min_width=140)
            shared["redraw_steps"] = gr.Number(
                None, label="Steps that redraw", placeholder="as the order says", precision=0, minimum=0, maximum=255, min_width=140
            )
        with gr.Row(elem_classes="uc-settings-row"):
            shared["guidance_scale"] = gr.Number(
                None, label="Guidance scale (CFG)", placeholder="model's default", minimum=0, maximum=100, min_width=140
            )
            shared["guidance_schedule"] = gr.Dropdown(list(GUIDANCE_SCHEDULES), value="constant", label="CFG over the steps", min_width=140)
            shared["token_temperature"] = gr.Number(1.0, label="Token temperature", minimum=0, maximum=100, min_width=140)
            shared["noise_start"] = gr.Number(1.0, label="Order noise, first step", minimum=0, maximum=100, min_width=140)
            shared["noise_end"] = gr.Number(0.01, label="Order noise, last step", minimum=0, maximum=100, min_width=140)
        with gr.Row(elem_classes="uc-settings-row"):
            shared["schedule"] = gr.Dropdown(list(SCHEDULE_NAMES), value="cosine", label="Schedule", min_width=140)
            shared["schedule_power"] = gr.Number(2.0, label="Power (power schedule)", minimum=0.01, maximum=100, min_width=140)
            shared["use_confidence"] = gr.Checkbox(True, label="Use confidence in the score", min_width=140)
            shared["use_noise"] = gr.Checkbox(True, label="Use noise in the score", min_width=140)
            shared["halton_randomize"] = gr.Checkbox(False, label="Roll Halton by the seed", min_width=140)
    return Panel(name, order_a, order_b, shared), chosen, about, new_seed
