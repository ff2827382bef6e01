"""What reproduces a finished run: the command line and the Python that decode it again. Reads traces and settings; runs nothing."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from uncage_demo.backends.ages import AGES
from uncage_demo.backends.embedded import vocab
from uncage_demo.backends.options import TRACE_KEY, ModelOptions
from uncage_demo.config import DecodingConfig
from uncage_demo.prompt.parse import overrides_of, parse_prompt
from uncage_demo.shipped import EMBEDDED
from uncage_demo.trace.frames import frames_told
from uncage_demo.trace.lineage import Lineage
from uncage_demo.trace.origin import Origin
from uncage_demo.trace.record import Trace
from uncage_demo.types import TextToken

_DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(DecodingConfig)} | DecodingConfig().to_dict()
PROGRAM = ("python", "-m", "uncage_demo")
_CALLS = {"edit": "edit", "extend": "extend", "remix": "remix", "compose": "compose", "picture": "look", "sketch": "sketch"}


def command_line(
    traces: Sequence[Trace], *, subjects: str = "", out: str = "run", model: str | None = None, options: ModelOptions | None = None
) -> str:
    """The shell command that makes these runs again; quoted so that a prompt cannot become a command.

    Args:
        traces: runs of one prompt and model. Runs that differ only in order and seed, or only in the model's age and then have all of
            them, become one command, others one command each.
        subjects: the correction of the prompt's subjects as given to `--subjects`; "" = what the traces say of it (see `correction_of`).
        out: the folder to write.
        model: the model's folder or hub id as it was given; None = the name that the traces know it by.
        options: what it was loaded with; None = what the traces say of it.

    Returns:
        One command a line.

    Raises:
        ValueError: no traces, unreadable model options in them, or an edit (it is made again from its source's trace, not from a prompt).
    """
    _check(traces, branches=True)
    if any(trace.lineage for trace in traces):
        told: dict[str, Any] = {"subjects": subjects, "model": model, "options": options}
        if len(traces) > 1:
            return "\n".join(command_line([t], out=f"{out}/{i + 1}", **told) for i, t in enumerate(traces))
        root = replace(traces[0], config=dict(traces[0].branches[-1].parent_config), lineage=None)
        words = shlex.split(command_line([root], out=out, **told))
        flags = [part for one in branch_steps(traces[0]) for part in ("--branch", json.dumps(one))]
        return shlex.join([*words[:-4], *flags, *words[-4:]])  # before "--out FOLDER -- PROMPT"
    shared = [_settings(t, without=("order", "seed")) for t in traces]
    orders = list(dict.fromkeys(str(t.config["order"]) for t in traces))
    seeds = list(dict.fromkeys(int(t.config["seed"]) for t in traces))
    full_grid = sorted((str(t.config["order"]), int(t.config["seed"])) for t in traces) == sorted((o, s) for o in orders for s in seeds)
    several_ages = options is None and len(_ages(traces)) > 1
    all_ages = several_ages and _are_all_ages(traces)
    frames = [frames_told(t.versions) for t in traces]
    alike = full_grid and not several_ages and all(one == (shared[0], frames[0]) for one in zip(shared, frames, strict=True))
    if len(traces) > 1 and not all_ages and not alike:
        given: dict[str, Any] = {"subjects": subjects, "model": model, "options": options}
        return "\n".join(command_line([t], out=f"{out}/{i + 1}", **given) for i, t in enumerate(traces))
    first = traces[0]
    correction = None if subjects else correction_of(first)
    subjects = subjects if correction is None else json.dumps(correction, separators=(",", ":"))
    single = len(orders) == 1 and not all_ages
    parts = [*PROGRAM, "generate" if single else "compare", "--model", model or first.model.id]
    parts += ["--ages"] if all_ages else _flags(_options(first) if options is None else options)
    parts += ["--order", orders[0]] if single else ["--orders", ",".join(orders)]
    parts += ["--seed", str(seeds[0])] if len(seeds) == 1 else ["--seeds", ",".join(map(str, seeds))]
    for name, value in shared[0].items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            parts += [f"--{flag}" if value else f"--no-{flag}"]
        else:
            parts += [f"--{flag}", *(map(_text, value) if isinstance(value, list) else [_text(value)])]
    parts += ["--frames", frames[0]] if frames[0] != "all" else []
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
    roots = [t for t in traces if t.lineage is None and t.origin is None]
    names = {t.id: f"traces[{number}]" for number, t in enumerate(roots)}
    given_ids = {t.id for t in traces}
    _check([t for t in traces if _parent(t) not in given_ids])
    first = traces[0]
    overrides = correction_of(first) if overrides is None else overrides
    given = "" if overrides is None else f", overrides={list(overrides)!r}"
    if options is None and _ages(traces)[1:]:
        return _python_of_ages(traces, model or first.model.id, given)
    loaded = "".join(f", {name}={value!r}" for name, value in (_options(first) if options is None else options).given().items())
    lines = ["import uncage_demo as ud", "", f"backend = ud.load_backend({model or first.model.id!r}{loaded})"]
    lines += [f"prompt = ud.parse_prompt({first.prompt.text!r}, backend{given})", "configs = ["]
    lines += [f"    {_config(trace.config)}," for trace in roots]
    lines += ["]", f"traces = ud.compare(backend, prompt, configs{_frames(first)})"]
    number = 0
    for trace in traces:
        parent = _parent(trace)
        if parent is None:
            continue
        if parent not in names:
            raise ValueError("a branch or an edit comes before the run that it continues; give them in the order in which they were made")
        number += 1
        name = f"branch_{number}" if trace.lineage else f"edit_{number}"
        call = _branch_call(trace, trace.lineage, names[parent]) if trace.lineage else _edit_call(trace, trace.origin, names[parent])
        lines.append(f"{name} = {call}")
        names[trace.id] = name
    return "\n".join(lines)


def _python_of_ages(traces: Sequence[Trace], model: str, overrides: str) -> str:
    """Python of runs that differ in the model's age: one call where they are all ages of one run, else every run by itself."""
    if _are_all_ages(traces):
        of_seeds = {trace.config["seed"]: trace for trace in traces}.values()
        calls = [f"ud.compare_ages({model!r}, {t.prompt.text!r}, {_config(t.config)}{overrides}{_frames(t)})" for t in of_seeds]
        return f"import uncage_demo as ud\n\ntraces = {' + '.join(calls)}"
    if any(trace.lineage for trace in traces):
        raise ValueError("runs of several ages with a branch among them: give those of one age")
    lines = ["import uncage_demo as ud", "", "traces = []"]
    for trace in traces:
        age = f", age={trace.age!r}" if trace.age else ""
        lines.append(f"backend = ud.load_backend({model!r}{age})")
        prompt = f"ud.parse_prompt({trace.prompt.text!r}, backend{overrides})"
        lines.append(f"traces.append(ud.generate(backend, {prompt}, {_config(trace.config)}{_frames(trace)}))")
    return "\n".join(lines)


def _ages(traces: Sequence[Trace]) -> list[str]:
    """The different ages of the model that made these runs, in their order; "" = all of its training."""
    return list(dict.fromkeys(trace.age for trace in traces))


def _are_all_ages(traces: Sequence[Trace]) -> bool:
    """Whether these are one run at every age, youngest first, as `runner.compare_ages` makes them; or such runs of several seeds."""
    count = len(AGES) + 1
    one_run = [{**trace.config, "seed": None} == {**traces[0].config, "seed": None} and not trace.lineage for trace in traces]
    ages, seeds = [trace.age for trace in traces], [trace.config["seed"] for trace in traces]
    groups = [(ages[at : at + count], set(seeds[at : at + count])) for at in range(0, len(traces), count)]
    every = [*map(str, AGES), ""]
    return all(one_run) and all(found == every and len(one) == 1 for found, one in groups) and len(set(seeds)) == len(groups)


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


def branch_steps(trace: Trace) -> list[dict[str, Any]]:
    """The branches that led to a run, oldest first, as `generate --branch` takes them; [] for a run that is none."""
    lines = trace.branches[::-1]
    steps = []
    for line, after in zip(lines, [*(later.parent_config for later in lines[1:]), trace.config], strict=True):
        edits = line.edits.to_json()
        edits["forbid"] = {str(position): list(ids) for position, ids in line.edits.forbid}
        changed = {name: value for name, value in after.items() if value != line.parent_config.get(name)}
        given = {name: value for name, value in edits.items() if value not in (None, [], {})}
        steps.append({"at_step": line.at_step, **given, **({"settings": changed} if changed else {}), "of": line.parent})
    return steps


class _Reader:
    """Reads a run's prompt again without its model."""

    def __init__(self, trace: Trace) -> None:
        self._prompt, self._closed = trace.prompt, trace.model.id in EMBEDDED
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


def _parent(trace: Trace) -> str | None:
    """Id of the run that a branch or an edit comes from; "" for one of something else, None for a run of its own."""
    if trace.lineage is not None:
        return trace.lineage.parent
    return None if trace.origin is None else trace.origin.source


def _edit_call(trace: Trace, origin: Origin | None, source: str) -> str:
    """The call that makes an edit of a run again: whatever its kind, it draws the cells that its first step found masked."""
    assert origin is not None
    if origin.kind == "extend":
        return f"ud.extend(backend, {source}, {origin.shift!r}, prompt={trace.prompt.text!r}, config={_config(trace.config)})"
    if origin.kind == "sketch":
        given = f"prompt={trace.prompt.text!r}, strength={origin.strength!r}, config={_config(trace.config)}"
        return f"ud.sketch(backend, {source}, {given})"
    cells = np.flatnonzero(trace.steps[0].masked_before).tolist()
    given = {"mask": cells, "prompt": trace.prompt.text}
    if origin.regions:
        given["regions"] = {region.subject: region.box for region in origin.regions}
    arguments = ", ".join(f"{name}={value!r}" for name, value in given.items())
    return f"ud.edit(backend, {source}, {arguments}, config={_config(trace.config)})"


def _settings(trace: Trace, without: tuple[str, ...]) -> dict[str, Any]:
    """The run's settings that differ from their defaults."""
    return {n: v for n, v in trace.config.items() if n in _DEFAULTS and n not in without and v != _DEFAULTS[n]}


def _frames(trace: Trace) -> str:
    """The argument of Python's functions that says of which steps pictures are kept; "" for all of them."""
    said = frames_told(trace.versions)
    return "" if said == "all" else f", frames={said!r}"


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


def _check(traces: Sequence[Trace], branches: bool = False) -> None:
    if not traces:
        raise ValueError("0 traces: give at least one")
    for trace in traces:
        if trace.origin:
            kind, source = trace.origin.kind, trace.origin.source
            of = f"run {source}" if source else "what was put down before the first step"
            raise ValueError(f"this run is an edit ({kind}) of {of}: make it again with uncage_demo.{_CALLS[kind]}")
        if trace.lineage and not branches:
            parent, step = trace.lineage.parent, trace.lineage.at_step
            raise ValueError(f"this run branched off run {parent} at step {step}: make it again with uncage_demo.branch and that trace")
        told, first = (replace(_options(one), age=None) for one in (trace, traces[0]))
        if (trace.prompt.text, trace.model.id, told) != (traces[0].prompt.text, traces[0].model.id, first):
            raise ValueError("the traces have different prompts or models: give runs that belong together")
