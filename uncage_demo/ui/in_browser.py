"""Runs in the visitor's browser: the server reads the prompt, hands out files, and explains finished runs. It decodes and keeps nothing.

Answers are JSON texts for the page's scripts (static/page-here.js), as in `exports`.
"""

from __future__ import annotations

import base64
import binascii
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from pydantic import TypeAdapter

from uncage_demo.browser.served import SHELF, Shelf, check_parts
from uncage_demo.config import SETTINGS
from uncage_demo.prompt.judging import counted
from uncage_demo.prompt.parse import check_drawable, parse_prompt
from uncage_demo.setting import shortened
from uncage_demo.shipped import EMBEDDED
from uncage_demo.trace.header import read_json
from uncage_demo.trace.record import Trace
from uncage_demo.types import Prompt, Verdict
from uncage_demo.ui import chips, exports, theme
from uncage_demo.ui import settings as options
from uncage_demo.ui.browser_files import FOLDER
from uncage_demo.ui.lessons import held_lessons
from uncage_demo.ui.models import entry_of, is_embedded, kept_ages
from uncage_demo.ui.panel import Panel, input_names
from uncage_demo.ui.session import Entry

if TYPE_CHECKING:
    from uncage_demo.ui.handlers import Handlers

# A run of 64 steps with all pictures; files of more steps are larger than a page sends in one piece.
MAX_TRACE_BYTES = 24 << 20
OFFLINE_TITLE = "Watch a masked generative transformer decide"
_VERDICT = TypeAdapter(Verdict)


def build(handlers: Handlers, panel: Panel, prompt: Any) -> gr.HTML:
    """The switch "Runs: on the server / in this browser", and what starts a run here, in the current Blocks.

    Its script works from the start and moves the switch into the settings, whose fields are made only once they are opened.

    Args:
        handlers: whose prompts are read.
        panel: the settings.
        prompt: the field of the prompt.
    """
    switch = gr.HTML(
        json.dumps(facts(panel)),
        html_template=theme.static_text("here.html"),
        js_on_load=theme.attach_script("UncagePage.attach.here", ("here_seed",)),
        server_functions=[*functions(handlers)],
        elem_id="uc-here",
        apply_default_css=False,
    )
    quiet: dict[str, Any] = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}
    # Nothing of these reaches the server: the values of the fields go to the page's own script.
    for name in ("generate", "prepare"):
        hidden = gr.Button(name, visible="hidden", elem_id=f"uc-here-{name}")
        hidden.click(
            None, [prompt, *panel.inputs], None, js=f"(...values) => {{ window.UncagePage.here.{name}(values); return []; }}", **quiet
        )
    seeded = switch.here_seed(None, None, panel.shared["seed"], js=f"() => Math.floor(Math.random() * {options.SEEDS_SHOWN})", **quiet)
    seeded.then(None, None, None, js="() => window.UncagePage.here.press()", **quiet)
    return switch


def facts(panel: Panel) -> dict[str, Any]:
    """What the page's script must know to make settings of the fields' values."""
    names = ["model", "order_a", "order_b", "age", "frames", *panel.options, *panel.shared]
    fields = {}
    for name in options.SHARED_FIELDS:
        setting = SETTINGS[name]
        told: dict[str, Any] = {"inputs": list(input_names(name)), "kind": setting.kind, "open": bool(setting.left_open)}
        if setting.kind in ("whole", "number", "pair"):
            told |= {"low": setting.low, "high": setting.high}
        fields[name] = told | ({"choices": list(setting.choices)} if setting.kind == "choice" else {})
    return {
        "folder": FOLDER,
        "models": list(EMBEDDED),
        "names": names,
        "fields": fields,
        "most": options.MAX_STAGES,
        "lacking": lacking(),
    }


def lacking() -> str:
    """What this server lacks for drawing in browsers, in a sentence for whoever runs it; "" = nothing."""
    try:
        _with_parts(check_parts)
    except ValueError as error:
        return str(error)
    return ""


def functions(handlers: Handlers, shelf: Shelf = SHELF) -> Sequence[Callable[[Any], str]]:
    """The functions for scripts.

    Args:
        handlers: whose prompts are read.
        shelf: where the files are.
    """

    def here_files(data: Any) -> dict[str, Any]:
        name, age = str(_dict(data).get("model")), str(_dict(data).get("age") or "")
        entry_of(name)
        if is_embedded(name) and age and age not in kept_ages(name):
            raise ValueError(f"age={shortened(age)}: this model keeps {', '.join(kept_ages(name)) or 'no weights of its training'}")
        build = str(_dict(data).get("build") or "wasm")
        return {"files": _with_parts(lambda: shelf.model(name, age, build))}

    def here_read(data: Any) -> dict[str, Any]:
        given = _dict(data)
        text, edits, model = str(given.get("text") or "").strip(), str(given.get("edits") or ""), str(given.get("model"))
        if not is_embedded(model):
            raise ValueError(f"model {shortened(model)} is drawn on the server only; in a browser: {', '.join(EMBEDDED)}")
        return {"prompt": asdict(read_prompt(handlers, text, edits, model))}

    def here_told(data: Any) -> dict[str, Any]:
        entries, edits = given_runs(data), str(_dict(data).get("edits") or "")
        traces = [entry.trace for entry in entries]
        chosen = None if any(trace.lineage for trace in traces) else options.settings_of_traces(traces)
        payload = exports.payload_of(entries)
        runs = [{"binding": run["binding"], "findings": run["findings"]} for run in payload["runs"]]
        return {"runs": runs, **handlers.reproduced([entry.id for entry in entries], traces, chosen, edits)}

    def here_export(data: Any) -> dict[str, Any]:
        entries = exports.with_notes(given_runs(data), _dict(data).get("notes"))
        with tempfile.TemporaryDirectory() as folder:
            return exports.told_file(entries, _dict(data), Path(folder))

    def here_page(data: Any) -> dict[str, Any]:
        names = tuple(name for name in EMBEDDED if name == str(_dict(data).get("model"))) or tuple(EMBEDDED)[:1]
        entry_of(names[0])
        return {"name": _with_parts(lambda: shelf.page(names, OFFLINE_TITLE, held_lessons))}

    return tuple(map(exports.answered, (here_files, here_read, here_told, here_export, here_page)))


def read_prompt(handlers: Handlers, text: str, edits: str, model: str) -> Prompt:
    """A prompt as a model reads it, without loading the model.

    Raises:
        ValueError: a blank or oversized prompt, corrections that do not fit it, or words outside the model's vocabulary.
    """
    if len(text) > options.MAX_PROMPT_CHARS:
        raise ValueError(f"The prompt has {len(text)} characters; at most {options.MAX_PROMPT_CHARS} are allowed.")
    reader = handlers.slot.reader(model)
    prompt = parse_prompt(text, reader, chips.read_edits(edits))
    check_drawable(prompt, reader)
    return prompt


def given_runs(data: Any) -> list[Entry]:
    """Finished runs that a page sends: trace files with what the browser's detector says of them. Nothing of it is trusted or kept.

    Raises:
        ValueError: not 1 to 6 trace files, one too large or damaged, or a verdict that does not fit its run.
    """
    given = _dict(data)
    files, verdicts = given.get("traces"), given.get("verdicts")
    if (
        not isinstance(files, list)
        or not isinstance(verdicts, list)
        or len(files) != len(verdicts)
        or not 1 <= len(files) <= options.MAX_STAGES
    ):
        raise ValueError(f"1 to {options.MAX_STAGES} trace files with a verdict each are needed")
    entries = []
    for number, (file, said) in enumerate(zip(files, verdicts, strict=True)):
        if not isinstance(file, str) or len(file) > MAX_TRACE_BYTES * 4 // 3 + 4:
            raise ValueError(f"a trace file of more than {MAX_TRACE_BYTES >> 20} MB is not read")
        try:
            trace = Trace.from_bytes(base64.b64decode(file, validate=True))
        except binascii.Error as error:
            raise ValueError(f"trace file {number + 1} is damaged: {error}") from None
        verdict = None if said is None else read_json(_VERDICT, json.dumps(said), "the verdict")
        if verdict is not None and not len(verdict.objects_found) == len(verdict.colors_right) == len(trace.prompt.subjects):
            raise ValueError(
                f"the verdict judges {counted(len(verdict.objects_found), 'object')}, the prompt has {len(trace.prompt.subjects)}"
            )
        entries.append(Entry(f"here:{number}", trace, verdict))
    return entries


def _dict(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise ValueError("an object with named values is expected")
    return data


def _with_parts(make: Callable[[], Any]) -> Any:
    """What is made with the parts that drawing in a browser needs; what is missing is said for whoever runs the server."""
    from uncage_demo.browser.export_model import WebPartsMissing
    from uncage_demo.browser.runtime import RuntimeMissing

    try:
        return make()
    except (WebPartsMissing, RuntimeMissing) as error:
        raise ValueError(f"This server is not set up for drawing in browsers: {error}.") from error
