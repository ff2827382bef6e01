"""What reproduces a finished run: the command line and the Python that decode it again. Reads traces and settings; runs nothing."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from uncage_demo.backends.embedded import vocab
from uncage_demo.backends.options import TRACE_KEY, ModelOptions
from uncage_demo.config import DecodingConfig
from uncage_demo.prompt.parse import overrides_of, parse_prompt
from uncage_demo.trace.lineage import Lineage
from uncage_demo.trace.record import Trace
from uncage_demo.types import TextToken

_DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(DecodingConfig)} | DecodingConfig().to_dict()
PROGRAM = ("python", "-m", "uncage_demo")


def command_line(
    traces: Sequence[Trace], *, subjects: str = "", out: str = "run", model: str | None = None, options: ModelOptions | None = None
) -> str:
    """The shell command that makes these runs again; quoted so that a prompt cannot become a command.

    Args:
        traces: runs of one prompt and model. Runs that differ only in order and seed become one command, others one command each.
        subjects: the correction of the prompt's subjects as given to `--subjects`; "" = what the traces say of it (see `correction_of`).
        out: the folder to write.
        model: the model's folder or hub id as it was given; None = the name that the traces know it by.
        options: what it was loaded with; None = what the traces say of it.

    Returns:
        One command a line.

    Raises:
        ValueError: no traces, unreadable model options in them, or a branch (it continues another run and is made again from that run's
            trace, not from a prompt).
    """
    _check(traces)
    shared = [_settings(t, without=("order", "seed")) for t in traces]
    orders = list(dict.fromkeys(str(t.config["order"]) for t in traces))
    seeds = list(dict.fromkeys(int(t.config["seed"]) for t in traces))
    full_grid = sorted((str(t.config["order"]), int(t.config["seed"])) for t in traces) == sorted((o, s) for o in orders for s in seeds)
    if len(traces) > 1 and (not full_grid or any(s != shared[0] for s in shared)):
        given: dict[str, Any] = {"subjects": subjects, "model": model, "options": options}
        return "\n".join(command_line([t], out=f"{out}/{i + 1}", **given) for i, t in enumerate(traces))
    first = traces[0]
    correction = None if subjects else correction_of(first)
    subjects = subjects if correction is None else json.dumps(correction, separators=(",", ":"))
    parts = [*PROGRAM, "generate" if len(orders) == 1 else "compare", "--model", model or first.model.id]
    parts += _flags(_options(first) if options is None else options)
    parts += ["--order", orders[0]] if len(orders) == 1 else ["--orders", ",".join(orders)]
    parts += ["--seed", str(seeds[0])] if len(seeds) == 1 else ["--seeds", ",".join(map(str, seeds))]
    for name, value in shared[0].items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            parts += [f"--{flag}" if value else f"--no-{flag}"]
        else:
            parts += [f"--{flag}", *(map(_text, value) if isinstance(value, list) else [_text(value)])]
    parts += ["--subjects", subjects] if subjects else []
    # the prompt comes last, after "--", so that one that begins with a dash is not taken for an option
    return shlex.join([*parts, "--out", out, "--", first.prompt.text])


def python_snippet(
    traces: Sequence[Trace],
    *,
    overrides: Sequence[dict[str, Any]] | None = None,
    model: str | None = None,
    options: ModelOptions | None = None,
) -> str:
    """Python that makes these runs again through the public API; the prompt appears as a literal.

    Args:
        traces: runs of one prompt and model; a branch comes after the run that it continues.
        overrides: the correction of the prompt's subjects; None = what the traces say of it (see `correction_of`).
        model, options: see `command_line`.

    Raises:
        ValueError: as `command_line`, except that a branch of a run that is given, too, is possible.
    """
    roots = [t for t in traces if t.lineage is None]
    names = {t.id: f"traces[{number}]" for number, t in enumerate(roots)}
    given_ids = {t.id for t in traces}
    _check([t for t in traces if t.lineage is None or t.lineage.parent not in given_ids])
    first = traces[0]
    overrides = correction_of(first) if overrides is None else overrides
    given = "" if overrides is None else f", overrides={list(overrides)!r}"
    loaded = "".join(f", {name}={value!r}" for name, value in (_options(first) if options is None else options).given().items())
    lines = ["import uncage_demo as ud", "", f"backend = ud.load_backend({model or first.model.id!r}{loaded})"]
    lines += [f"prompt = ud.parse_prompt({first.prompt.text!r}, backend{given})", "configs = ["]
    lines += [f"    {_config(trace.config)}," for trace in roots]
    lines += ["]", "traces = ud.compare(backend, prompt, configs)"]
    number = 0
    for trace in traces:
        if trace.lineage is None:
            continue
        if trace.lineage.parent not in names:
            raise ValueError("a branch comes before the run that it continues; give them in the order in which they were made")
        number += 1
        name = f"branch_{number}"
        lines.append(f"{name} = {_branch_call(trace, trace.lineage, names[trace.lineage.parent])}")
        names[trace.id] = name
    return "\n".join(lines)


def correction_of(trace: Trace) -> list[dict[str, Any]] | None:
    """How a run's reading of its prompt was corrected: its subjects, where a fresh reading of the text gives others; else None.

    Args:
        trace: a run, from a file or just made. Its own text tokens stand for those of a large model's text encoder.

    Returns:
        Overrides as `parse_prompt` takes them.
    """
    said = overrides_of(trace.prompt)
    try:
        fresh = parse_prompt(trace.prompt.text, _Reader(trace))
        parse_prompt(trace.prompt.text, _Reader(trace), said)
    except ValueError:  # a text or subjects that no parser made: nothing that a command could say
        return None
    return None if overrides_of(fresh) == said else said


class _Reader:
    """Reads a run's prompt again without its model."""

    def __init__(self, trace: Trace) -> None:
        self._prompt, self._closed = trace.prompt, trace.model.id == "embedded"
        self.vocabulary = vocab.VOCABULARY if self._closed else None

    def tokenize(self, text: str) -> tuple[tuple[TextToken, ...], str]:
        """The run's text tokens, or those of the embedded model's words."""
        if not self._closed:
            return self._prompt.tokens, self._prompt.truncated
        tokens, _, truncated = vocab.tokenize(text)
        return tokens, truncated


def _config(config: dict[str, Any]) -> str:
    values = {"order": config["order"], "seed": config["seed"]}
    values |= {n: v for n, v in config.items() if n in _DEFAULTS and n not in values and v != _DEFAULTS[n]}
    return f"ud.DecodingConfig({', '.join(f'{n}={tuple(v) if isinstance(v, list) else v!r}' for n, v in values.items())})"


def _branch_call(trace: Trace, lineage: Lineage, parent: str) -> str:
    edits = lineage.edits
    given: dict[str, Any] = {name: positions for name, positions in (("keep", edits.keep), ("drop", edits.drop)) if positions}
    if edits.forbid:
        given["forbid"] = dict(edits.forbid)
    if edits.suppress_word is not None:
        given["suppress_word"] = edits.suppress_word
    arguments = [f"at_step={lineage.at_step}", *(f"{name}={value!r}" for name, value in given.items())]
    if trace.config != lineage.parent_config:
        arguments.append(f"config={_config(trace.config)}")
    return f"ud.branch(backend, {parent}, {', '.join(arguments)})"


def _settings(trace: Trace, without: tuple[str, ...]) -> dict[str, Any]:
    """The run's settings that differ from their defaults."""
    return {n: v for n, v in trace.config.items() if n in _DEFAULTS and n not in without and v != _DEFAULTS[n]}


def _options(trace: Trace) -> ModelOptions:
    return ModelOptions.from_json(trace.versions.get(TRACE_KEY))


def _flags(options: ModelOptions) -> list[str]:
    """The command line's options of the model; a value is joined to its flag, so that one with a dash is not taken for another flag."""
    flags = []
    for name, value in options.given().items():
        flag = "--image-size" if name == "image_size_px" else "--" + name.replace("_", "-")
        text = "x".join(map(str, value)) if isinstance(value, tuple) else value
        flags.append(flag if value is True else f"{flag}={text}")
    return flags


def _text(value: object) -> str:
    return repr(value) if isinstance(value, float) else str(value)


def _check(traces: Sequence[Trace]) -> None:
    if not traces:
        raise ValueError("0 traces: give at least one")
    for trace in traces:
        if trace.lineage:
            parent, step = trace.lineage.parent, trace.lineage.at_step
            raise ValueError(f"this run branched off run {parent} at step {step}: make it again with uncage_demo.branch and that trace")
        if (trace.prompt.text, trace.model.id, _options(trace)) != (traces[0].prompt.text, traces[0].model.id, _options(traces[0])):
            raise ValueError("the traces have different prompts or models: give runs that belong together")
