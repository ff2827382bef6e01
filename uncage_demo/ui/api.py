"""The page's functions for programs: named endpoints for gradio_client and `view API`, and MCP tools. Typed, documented, few."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import gradio as gr
from gradio import events

from uncage_demo import runner
from uncage_demo.config import ORDER_NAMES
from uncage_demo.decoding.presets import PRESETS
from uncage_demo.orders.base import CONTRAST_MODES
from uncage_demo.orders.table import COMPARED
from uncage_demo.setting import whole_number
from uncage_demo.ui import exports, scratch
from uncage_demo.ui import settings as options
from uncage_demo.ui.api_files import columns_of, files_of, nothing_yet, opened_trace, opened_traces, picture_file, summary
from uncage_demo.ui.asked import BRANCH_CHANGES, branch_event, chosen_settings, further_settings, shared_settings, with_settings_named
from uncage_demo.ui.errors import explained
from uncage_demo.ui.handlers import Handlers
from uncage_demo.ui.inputs import checked_choice, checked_number, model_input
from uncage_demo.ui.models import DEVICE_QUEUE, MOST_IN_LINE, about, default_model, folders_allowed, model_choices
from uncage_demo.ui.runs import Made, branch_arguments, checked_steps
from uncage_demo.ui.session import Entry
from uncage_demo.ui.settings import BROWSER_MAX, Settings


def add_api(handlers: Handlers) -> None:
    """Register `generate`, `compare`, `branch`, `open_trace`, `export`, `parse` and `list_models` in the current Blocks."""

    @explained
    @with_settings_named
    def generate(
        prompt: str,
        order: str,
        seed: int,
        num_steps: int,
        contrast_weight: float,
        contrast_steps: int,
        contrast_mode: str,
        guidance_scale: float,
        model: str,
        settings: str,
        age: str = "",
        preset: str = "",
        model_options: str = "",
        frames: str = "all",
    ) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Generate one picture with a masked generative transformer and record every step.

        Args:
            prompt: what to draw, for example "a turtle and a pink apple".
            order: which positions are committed next: meissonic is the baseline, uncage the guided order.
            seed: 0 to 9007199254740991; 0 is a seed like any other.
            num_steps: decoding steps, 1 to 256; -1 means the model's own.
            contrast_weight: w_a, weight of the attention contrast (uncage only); 0 equals the baseline.
            contrast_steps: number of guided steps; -1 means a quarter of num_steps.
            contrast_mode: both, positive or negative terms of the contrast.
            guidance_scale: classifier-free guidance; -1 means the model's own.
            model: name of the model, see list_models; where the server's owner allows it, also a folder of the server.
            settings: FURTHER
            age: of a model that keeps ages: the part of its training that it has had, such as 1/5; empty means all of it.
            preset: PRESETS
            model_options: OPTIONS
            frames: FRAMES

        Returns:
            The picture, the trace file (.npz, opens in the page and in Python), and a summary with verdict and settings.
        """
        shared = shared_settings(seed, num_steps, contrast_weight, contrast_steps, guidance_scale, contrast_mode)
        chosen = chosen_settings(model, (order,), shared | further_settings(settings), age, preset, model_options, frames)
        for made in _finished(handlers, prompt, chosen):
            yield made[0] if made else nothing_yet(3)

    @explained
    @with_settings_named
    def compare(
        prompt: str,
        orders: list[str],
        seed: int,
        num_steps: int,
        contrast_weight: float,
        model: str,
        settings: str,
        age: str = "",
        preset: str = "",
        model_options: str = "",
        frames: str = "all",
    ) -> Iterator[tuple[list[str], list[str], list[dict[str, Any]]]]:
        """Generate one prompt in several decoding orders from one seed, side by side.

        Args:
            prompt: what to draw.
            orders: one to six orders.
            seed: 0 to 9007199254740991.
            num_steps: decoding steps, 1 to 256; -1 means the model's own.
            contrast_weight: w_a of the guided order.
            model: name of the model, see list_models; where the server's owner allows it, also a folder of the server.
            settings: FURTHER
            age: of a model that keeps ages: the part of its training that it has had, such as 1/5; empty means all of it.
            preset: PRESETS
            model_options: OPTIONS
            frames: FRAMES

        Returns:
            The pictures, the trace files and the summaries, in the order of `orders`.
        """
        shared = shared_settings(seed, num_steps, contrast_weight, None, None, "both")
        chosen = chosen_settings(model, tuple(orders or ()), shared | further_settings(settings), age, preset, model_options, frames)
        for made in _finished(handlers, prompt, chosen):
            yield columns_of(made) if made else nothing_yet(3)

    @explained
    def branch(trace: str, at_step: int, change: str, cell: int, order: str, word: int) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Continue a recorded run from one of its steps with one change: what if this token had been kept, or this word not been read?

        Args:
            trace: an .npz file made by generate, compare or branch with the model that is offered here.
            at_step: step to branch at, from 0.
            change: keep or drop (put off) or forbid the token at `cell`; order = go on with `order`; knock_out = go on without `word`.
            cell: position from 0, row by row; for keep, drop and forbid.
            order: for change = order.
            word: number of the prompt's word, from 0; for change = knock_out.

        Returns:
            The picture, the trace file of the whole branch, and a summary with verdict and settings.
        """
        parent = opened_trace(trace)
        changes = branch_arguments(parent, branch_event(parent, at_step, change, cell, order, word))
        handlers.check_same_model(parent)
        for answer in handlers.branching(parent, changes):
            yield files_of(answer)[0] if isinstance(answer, Made) else nothing_yet(3)

    @explained
    def open_trace(trace: str) -> tuple[str, dict[str, Any]]:
        """Check and summarise a trace file, and say in words what happened in it.

        Args:
            trace: an .npz file made by this project.

        Returns:
            The finished picture and a summary: prompt, objects, settings, model, steps, the verdict where that very model is at hand,
            and what the diagnosis found.
        """
        from uncage_demo.diagnosis.diagnose import diagnose

        loaded = opened_trace(trace)
        verdict = handlers.verdict_on(loaded)
        found = [{"kind": f.kind, "text": f.text, "step": f.step, "confidence": f.confidence} for f in diagnose(loaded, verdict)]
        picture = picture_file(loaded.image, f"{loaded.config['order']}-seed{loaded.config['seed']}")
        return picture, {**summary(loaded, verdict), "findings": found}

    @explained
    def export(traces: list[str], kind: str, step: int) -> str:
        """Make a film, figure or stand-alone player of one to six trace files of one model; a figure shows runs of one prompt.

        Args:
            traces: .npz files.
            kind: html (player that works offline), webp, mp4 or gif (film), still (PNG of one step), png or svg (figure with heatmaps).
            step: the step that still, png and svg show, from 0; -1 means the last one.

        Returns:
            The file.
        """
        if not traces or len(traces) > options.MAX_STAGES:
            raise ValueError(f"{len(traces or ())} traces: give 1 to {options.MAX_STAGES}")
        entries = [Entry(str(number), opened) for number, opened in enumerate(opened_traces(traces))]
        last = max(len(e.trace.steps) for e in entries) - 1
        if whole_number("step", step, -1, last) == -1:
            step = last
        return str(exports.make_file(entries, kind, step, scratch.folder()))

    with gr.Group(visible=False):
        prompt = gr.Textbox("a turtle and a pink apple", label="prompt")
        order = checked_choice(ORDER_NAMES, value=COMPARED[-1], label="order", blank=True)
        orders = checked_choice(ORDER_NAMES, value=list(COMPARED), label="orders", several=True, blank=True)
        seed = checked_number(0, precision=0, minimum=0, maximum=BROWSER_MAX, label="seed")
        steps = checked_number(-1, precision=0, label="num_steps")
        further = gr.Textbox("", label="settings")
        weight = checked_number(3.0, label="contrast_weight")
        guided = checked_number(-1, precision=0, label="contrast_steps")
        mode = checked_choice(CONTRAST_MODES, value="both", label="contrast_mode")
        scale = checked_number(-1, label="guidance_scale")
        age = gr.Textbox("", label="age")
        named = checked_choice(["", *PRESETS], value="", label="preset", blank=True)
        loaded, pictured = gr.Textbox("", label="model_options"), gr.Textbox("all", label="frames")
        model = model_input()
        given = gr.File(label="trace", type="filepath", file_types=[".npz"])
        several = gr.Files(label="traces", type="filepath", file_types=[".npz"])
        at_step = checked_number(0, precision=0, label="at_step")
        change = checked_choice(BRANCH_CHANGES, value="knock_out", label="change")
        cell, word = checked_number(0, precision=0, label="cell"), checked_number(0, precision=0, label="word")
        kind = checked_choice([name for name in exports.KINDS if name != "npz"], value="html", label="kind")
        step, file = checked_number(-1, precision=0, label="step"), gr.File(label="file")
        picture, trace_file, said = gr.Image(label="picture", type="filepath"), gr.File(label="trace"), gr.JSON(label="summary")
        pictures, trace_files, many_said = gr.Gallery(label="pictures"), gr.Files(label="traces"), gr.JSON(label="summaries")
        device: dict[str, Any] = {"concurrency_limit": MOST_IN_LINE, "concurrency_id": DEVICE_QUEUE}
        gr.Button().click(
            generate,
            [prompt, order, seed, steps, weight, guided, mode, scale, model, further, age, named, loaded, pictured],
            [picture, trace_file, said],
            api_name="generate",
            **device,
        )
        gr.Button().click(
            compare,
            [prompt, orders, seed, steps, weight, model, further, age, named, loaded, pictured],
            [pictures, trace_files, many_said],
            api_name="compare",
            **device,
        )
        gr.Button().click(branch, [given, at_step, change, cell, order, word], [picture, trace_file, said], api_name="branch", **device)
        gr.Button().click(open_trace, given, [picture, said], api_name="open_trace", concurrency_limit=2)
        gr.Button().click(export, [several, kind, step], file, api_name="export", concurrency_limit=2)
    add_readers(handlers)


def add_readers(handlers: Handlers) -> None:
    """Endpoints that neither decode nor make files."""

    def parse(prompt: str, model: str = "embedded") -> dict:
        """Read a prompt the way guidance reads it: objects with their attributes, and words that the model cannot draw.

        Args:
            prompt: what to draw.
            model: name of the model, see list_models; where the server's owner allows it, also a folder of the server.

        Returns:
            {"objects": [{"label", "noun", "colors", "count", "words"}], "unknown": [{"word", "suggestions"}], "unused": words that are read
            over, "given": what the model is given in place of the prompt ("" = the prompt itself), "truncated"}.
        """
        from uncage_demo.prompt.parse import parse_prompt

        read = parse_prompt(prompt, handlers.slot.reader(str(model)))
        return {
            "objects": [
                {
                    "label": s.label,
                    "noun": s.noun,
                    "colors": list(s.colors),
                    "count": s.count,
                    "words": [[read.words[w].text for w in g] for g in s.groups],
                }
                for s in read.subjects
            ],
            "unknown": [{"word": read.words[u.word].text, "suggestions": list(u.suggestions)} for u in read.unknown],
            "unused": [read.words[i].text for i in read.unused],
            "given": read.given,
            "truncated": read.truncated,
        }

    def list_models() -> list[dict]:
        """The models on offer: name, what each can draw, what it costs.

        Returns:
            A list of {"id", "title", "draws", "cost", "download_gb", "present", "ages", "settings" (its own), "options" (it has here)}.
        """
        return [about(name) for _, name in model_choices()]

    # real types instead of text, because the model's names are known only now
    names: Any = str if folders_allowed() else Literal[tuple(name for _, name in model_choices())]
    parse.__annotations__ = {"prompt": str, "model": names, "return": dict}
    parse.__defaults__ = (default_model(),)
    list_models.__annotations__ = {"return": list[dict]}
    events.api(explained(parse), api_name="parse", queue=False)
    events.api(explained(list_models), api_name="list_models", queue=False)


def _finished(handlers: Handlers, text: str, chosen: Settings) -> Iterator[list[tuple[str, str, dict[str, Any]]]]:
    """[] at every step, then (picture file, trace file, summary) of every order."""
    configs = chosen.configs()
    checked_steps(chosen)
    prompt, _ = handlers.understood_prompt(text, "", chosen.backend)
    runs, labels = [runner.Run(prompt, c) for c in configs], [c.order for c in configs]
    for answer in handlers.decode(chosen.backend, runs, labels, frames=chosen.frames):
        yield files_of(answer) if isinstance(answer, Made) else []
