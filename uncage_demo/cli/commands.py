"""What the commands do: decode, write files, print verdicts. Called by cli with parsed options; ValueError for what cannot be done."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from uncage_demo.backends.ages import ages_of, said
from uncage_demo.backends.arguments import load_model, options_from
from uncage_demo.cli.arguments import MAX_SEEDS, chosen_order, chosen_orders, config_fields, parse_orders
from uncage_demo.cli.branches import branched
from uncage_demo.config import DecodingConfig, parse_seeds
from uncage_demo.export import Look, check_formats, check_free, planned_files, view_formats, write_run, write_view
from uncage_demo.orders.table import COMPARED, order_of
from uncage_demo.prompt.judging import counted, too_many
from uncage_demo.trace.frames import frames_said
from uncage_demo.trace.record import Trace, stem_of
from uncage_demo.trace.reproduce import command_line, python_snippet
from uncage_demo.trace.wish import BranchWish, parse_branch
from uncage_demo.types import Prompt, Verdict

_VIEW_OF_FORMAT = {"html": "player", "webp": "reveal", "gif": "reveal", "mp4": "reveal", "png": "heatmaps", "svg": "heatmaps"}


def compare(options: argparse.Namespace) -> int:
    """Decode a prompt in several orders, or at all ages of the model, from each seed, write a folder per seed, print the verdicts."""
    if not options.ages:
        return _decode(options, chosen_orders(options))
    if options.age is not None:
        raise ValueError(f"--age {options.age} is one age and --ages is all of them: give one of the two")
    orders = parse_orders(options.orders or COMPARED[0])
    if len(orders) > 1:
        raise ValueError(f"--orders {options.orders}: with --ages give one order")
    return _decode(options, orders, tuple(map(str, ages_of(options.model))))


def generate(options: argparse.Namespace) -> int:
    """Decode a prompt in one order from each seed."""
    wishes = [parse_branch(text) for text in options.branches]
    if wishes and options.seeds is not None:
        raise ValueError(f"--branch with --seeds {options.seeds}: a branch continues one run; give --seed")
    return _decode(options, (chosen_order(options),), branches=wishes)


def export(options: argparse.Namespace) -> int:
    """Write one view of trace files."""
    traces = _load(options.traces)
    view = options.view or _VIEW_OF_FORMAT[options.to]
    if options.to not in view_formats(view):
        raise ValueError(f"--view {view} cannot be written as {options.to}: choose {' or '.join(view_formats(view))}")
    path = options.out or options.traces[0].with_name(f"{options.traces[0].stem}-{view}.{options.to}")
    if path.suffix.lower() != f".{options.to}":
        raise ValueError(f"--out {path.name} does not end in .{options.to}")
    check_free([path], options.force)
    steps = None if options.steps is None else [_one_based(part) for part in options.steps.split(",")]
    step = None if options.step is None else options.step - 1
    findings = _diagnose(traces) if view == "player" else None
    write_view(path, traces, view, step=step, steps=steps, look=_look(options), findings=findings)
    print(path)
    return 0


def reproduce(options: argparse.Namespace) -> int:
    """Print what makes trace files again."""
    traces = _load(options.traces)
    print(python_snippet(traces) if options.python else command_line(traces))
    return 0


def app(options: argparse.Namespace) -> int:
    """Serve the page until interrupted."""
    if not 1 <= options.port <= 65535:
        raise ValueError(f"--port {options.port}: give a whole number from 1 to 65535")
    from uncage_demo.ui.layout import build_ui
    from uncage_demo.ui.theme import launch_options

    build_ui(ahead=True).launch(server_name=options.host, server_port=options.port, inbrowser=options.open, **launch_options())
    return 0


def models(options: argparse.Namespace) -> int:
    """List the models: whether they are here, what they draw, what they cost."""
    from uncage_demo.backends.large.catalog import describe

    for entry in describe():
        here = "present" if entry["present"] else f"absent, {entry['download_gb']:g} GB to fetch on first use"
        print(f"{entry['id']} ({here})\n    {entry['title']}. {entry['draws']}\n    {entry['cost']}")
    return 0


def _decode(options: argparse.Namespace, orders: tuple[str, ...], ages: tuple[str, ...] = (), branches: Sequence[BranchWish] = ()) -> int:
    # everything that can be wrong with the request is found before a model is loaded
    seeds = parse_seeds(options.seeds, MAX_SEEDS) if options.seeds is not None else (options.seed,)
    settings = config_fields(options)
    configs = {seed: [DecodingConfig(order=order, seed=seed, **settings) for order in orders] for seed in seeds}
    frames = frames_said(options.frames)
    formats = tuple(dict.fromkeys(part.strip() for part in options.formats.split(",") if part.strip()))
    check_formats(formats)
    look = _look(options)
    overrides = _overrides(options.subjects)
    # of several ages, each trace tells its own
    asked: dict[str, Any] = {"model": options.model, "options": None if ages else options_from(options)}
    stems = [stem_of(order, age) for order in orders for age in ages or ("",)]
    folders = {seed: options.out if len(seeds) == 1 else options.out / f"seed-{seed}" for seed in seeds}
    if options.out.exists() and not options.out.is_dir():
        raise ValueError(f"--out {options.out} is a file; give a folder")
    check_free([f for folder in folders.values() for f in planned_files(folder, stems, formats)], options.force)

    from tqdm import tqdm

    from uncage_demo.prompt.parse import check_drawable, parse_prompt
    from uncage_demo.runner import Run, finish, stream, stream_together

    # one model, or the same one at several ages
    backends = [load_model(options, age=age) for age in ages] if ages else [load_model(options)]
    backend = backends[0]
    prompt = parse_prompt(options.prompt, backend, overrides)
    check_drawable(prompt, backend)
    _print_prompt(prompt)
    everything: list[Trace] = []
    for seed in seeds:
        with tqdm(desc=f"seed {seed}", unit="step", disable=options.quiet or options.watch, leave=False) as bar:

            def advance(step: int, num_steps: int, records: Any, bar: Any = bar) -> None:
                bar.set_description_str(f"seed {seed}, step {step + 1} of {num_steps}")  # noqa: B023 (called within this turn)
                bar.total = num_steps
                bar.update(1)

            runs = [Run(prompt, config) for config in configs[seed]]
            items = stream_together([stream(one, runs, frames=frames) for one in backends])
            if options.watch:
                titles = [order_of(order).title if not age else f"{said(age)}" for age in ages or ("",) for order in orders]
                items = watched(items, backend.info.grid, titles)
            traces = finish(items, advance)
        if branches:
            traces = [branched(backend, traces[0], branches)]
        verdicts = [backend.judge(trace, prompt) for trace in traces]
        for trace, verdict in zip(traces, verdicts, strict=True):
            age = f", {trace.age_said}" if ages else ""
            print(verdict_line(f"{trace.config['order']}, seed {seed}{age}", prompt, verdict))
        facts = {"command": command_line(traces, subjects=options.subjects, out=str(folders[seed]), **asked)}
        with _files_bar(options.quiet, len(planned_files(folders[seed], stems, formats))) as told:
            findings = _diagnose(traces, verdicts) if "html" in formats else None
            files = write_run(folders[seed], traces, verdicts, formats, look=look, findings=findings, facts=facts, on_file=told.name)
        if not options.quiet:
            print(f"wrote {counted(len(files), 'file')} to {folders[seed]}: {', '.join(f.name for f in files)}")
        everything += [_without_arrays(trace) for trace in traces]
    print("\nto do this again:\n" + command_line(everything, subjects=options.subjects, out=str(options.out), **asked))
    if not branches:
        print("\nor in Python:\n" + python_snippet(everything, overrides=overrides, **asked))
    return 0


def watched(items: Iterator[Any], grid: tuple[int, int], titles: Sequence[str]) -> Iterator[Any]:
    """The items of a stream of runs, each drawn into the terminal as it passes.

    Args:
        items: from `runner.stream`.
        grid: (y, x) of the runs.
        titles: one per run.
    """
    from uncage_demo.render.terminal import frame_text, over_itself

    live, color = sys.stdout.isatty(), not os.environ.get("NO_COLOR")
    before = ""
    for item in items:
        over = item.traces is not None
        if (live and not over) or (not live and over):
            columns = shutil.get_terminal_size((120, 40)).columns
            text = frame_text(item.records, grid, titles, item.num_steps, item.frames, color, columns)
            sys.stdout.write((over_itself(text, before) if live else text) + "\n")
            sys.stdout.flush()
            before = text
        yield item


def verdict_line(name: str, prompt: Prompt, verdict: Verdict | None) -> str:
    """One line for people: what a scorer says of a run's picture, marked as a model's judgement."""
    if verdict is None:
        return f"{name}: this model has no scorer"
    said = []
    for subject, found, right in zip(prompt.subjects, verdict.objects_found, verdict.colors_right, strict=True):
        state = "missing" if not found else "found" if not subject.colors else "found, colour right" if right else "found, colour wrong"
        said.append(f"{subject.label} {state}")
    said += [f"{wish.label}: {'right' if wish.met else 'wrong'}" for wish in verdict.wishes]
    said += too_many(prompt.subjects, verdict)
    whole = "all correct" if verdict.all_correct else "not all correct"
    return f"{name}: {whole} ({'; '.join(said)}), judged by a detector" + (f" ({verdict.scorer})" if verdict.scorer else "")


class _files_bar:
    """A progress bar over the files that are written; names the one in work."""

    def __init__(self, quiet: bool, count: int) -> None:
        from tqdm import tqdm

        self._bar = tqdm(total=count, unit="file", disable=quiet, leave=False)

    def __enter__(self) -> _files_bar:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def name(self, path: Path) -> None:
        self._bar.set_description_str(f"writing {path.name}")
        self._bar.update(1)


def _print_prompt(prompt: Prompt) -> None:
    found = [f"{s.label} ({', '.join(prompt.words[w].text for g in s.groups for w in g)})" for s in prompt.subjects]
    print(f"objects: {'; '.join(found) if found else 'none found, so nothing is guided'}")
    if prompt.unused:
        print(f"not used: {', '.join(prompt.words[i].text for i in prompt.unused)}")
    if prompt.given:
        print(f"the model is given: {prompt.given}")
    if prompt.truncated:
        sys.stderr.write(f"uncage: note: the model does not read the end of the prompt: {prompt.truncated!r}\n")


def _load(paths: Sequence[Path]) -> list[Trace]:
    if len(paths) > 6:
        raise ValueError(f"{len(paths)} traces: give 1 to 6")
    traces = []
    for path in paths:
        try:
            traces.append(Trace.load(path))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    return traces


def _diagnose(traces: Sequence[Trace], verdicts: Sequence[Verdict | None] | None = None) -> list[list[Any]]:
    from uncage_demo.diagnosis.diagnose import diagnose

    return [diagnose(*pair) for pair in zip(traces, verdicts or [None] * len(traces), strict=True)]


def _without_arrays(trace: Trace) -> Trace:
    """The trace without its steps and pictures: enough to say what reproduces it, and light to keep for many seeds."""
    from dataclasses import replace

    return replace(trace, steps=[], frames=None, token_pictures={})


def _overrides(text: str) -> list[dict[str, Any]] | None:
    if not text:
        return None
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"--subjects is not JSON: {error}") from error
    if not isinstance(value, list):
        raise ValueError('--subjects: give a list such as [{"object": [1], "attributes": [[0]]}]')
    return value


def _look(options: argparse.Namespace) -> Look:
    from uncage_demo.render.animation import Timing
    from uncage_demo.render.frames import FrameStyle

    FrameStyle(stage_px=options.stage_px, theme=options.theme)
    Timing(step_s=options.step_s, hold_s=options.hold_s)
    return Look(options.theme, options.stage_px, options.step_s, options.hold_s)


def _one_based(text: str) -> int:
    if not text.strip().isdigit() or int(text) < 1:
        raise ValueError(f"--steps {text.strip()!r}: give whole numbers from 1, such as 1,4,8,16")
    return int(text) - 1
