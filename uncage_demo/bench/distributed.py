"""Work split over processes and GPUs with Hugging Face Accelerate; every process writes its own JSONL shard, the shards are merged.

    accelerate launch --num_processes 4 -m uncage_demo.bench.distributed --model meissonic --prompts prompts.txt --seeds 4 --out pictures

Started without `accelerate launch` the same command runs in one process. An interrupted run continues where it stopped, with any
number of processes. Knows nothing of scores (that is bench/run.py); its lines are plain dicts with a "key".
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from uncage_demo.files import append_whole, replacing, write_atomically

Line = dict[str, Any]
SHARD = "shard-{index:05d}-of-{count:05d}.jsonl"


def share(items: Sequence[Any], index: int, count: int) -> list[Any]:
    """The part of process `index` of `count`: every count-th item, so that shares differ by one item at most.

    Raises:
        ValueError: when index is not in 0..count-1.
    """
    if not 0 <= index < count:
        raise ValueError(f"process {index} of {count}: the first number counts from 0 and is below the second")
    return list(items[index::count])


def read_lines(path: Path) -> list[Line]:
    """The complete lines of a shard; a torn last line (the writer was killed) is left out.

    Raises:
        ValueError: naming file and line where a complete line is damaged.
    """
    raw = path.read_bytes()
    lines: list[Line] = []
    for number, text in enumerate(raw[: raw.rfind(b"\n") + 1].splitlines(), start=1):
        try:
            line = json.loads(text)
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path.name}, line {number}: {error}") from None
        if not isinstance(line, dict) or not isinstance(line.get("key"), str):
            raise ValueError(f"{path.name}, line {number}: not an object with a key")
        lines.append(line)
    return lines


def merge(shards: Iterable[Sequence[Line]], keys: Sequence[str]) -> list[Line]:
    """One line for each key, in the order of the keys; equal lines of several shards count once.

    Args:
        shards: the lines of each shard.
        keys: what must be there.

    Raises:
        ValueError: when a key is missing, or two lines of one key contradict each other.
    """
    found: dict[str, Line] = {}
    for shard in shards:
        for line in shard:
            known = found.setdefault(line["key"], line)
            if known != line:
                raise ValueError(f"two results for {line['key']} contradict each other")
    missing = [key for key in keys if key not in found]
    if missing:
        raise ValueError(f"{len(missing)} of {len(keys)} results are missing, the first is {missing[0]}")
    return [found[key] for key in keys]


def run_shared(
    keys: Sequence[str], work: Callable[[int, Any], Line], folder: Path, name: str = "results.jsonl", *, state: Any = None
) -> list[Line] | None:
    """Do every piece of work once, somewhere, and merge the results.

    Args:
        keys: identity of each piece, all different.
        work: (index into keys, torch device of this process) -> result; a plain dict, to which "key" is added.
        folder: where shards and the merged file go, seen by all processes.
        name: of the merged file.
        state: accelerate's PartialState; None = made here (reads what the launcher set).

    Returns:
        All lines in the order of the keys in the main process, None in the others.

    Raises:
        ValueError: repeated keys, damaged or contradicting shards.
    """
    if len(set(keys)) != len(keys):
        raise ValueError("work keys repeat")
    if state is None:
        from accelerate import PartialState

        state = PartialState()
    folder.mkdir(parents=True, exist_ok=True)
    done = {line["key"] for path in sorted(folder.glob("shard-*.jsonl")) for line in read_lines(path)}
    # Nobody writes before everybody has read: all processes agree on what is left, so nothing is done twice or not at all.
    state.wait_for_everyone()
    left = [i for i, key in enumerate(keys) if key not in done]
    path = folder / SHARD.format(index=state.process_index, count=state.num_processes)
    with path.open("ab", buffering=0) as file:
        _cut_torn_line(path)
        for i in share(left, state.process_index, state.num_processes):
            line = work(i, state.device) | {"key": keys[i]}
            append_whole(file, json.dumps(line, sort_keys=True, ensure_ascii=False).encode() + b"\n")
    state.wait_for_everyone()
    lines = None
    if state.is_main_process:
        lines = merge((read_lines(part) for part in sorted(folder.glob("shard-*.jsonl"))), keys)
        text = b"".join(json.dumps(line, sort_keys=True, ensure_ascii=False).encode() + b"\n" for line in lines)
        write_atomically(folder / name, text)
    state.wait_for_everyone()
    return lines


def _cut_torn_line(path: Path) -> None:
    """Remove what a killed writer left behind its last complete line."""
    raw = path.read_bytes()
    os.truncate(path, raw.rfind(b"\n") + 1)


def generate_pictures(
    backend: Any, prompts: Sequence[str], seeds: Sequence[int], config: Any, folder: Path, *, state: Any = None
) -> list[Line] | None:
    """Generate prompts x seeds over all processes; pictures as PNG files, one line each in results.jsonl.

    Args:
        backend: the model, loaded in each process on its own device.
        prompts, seeds: what to draw; repetitions count once.
        config: DecodingConfig; its seed is replaced.
        folder: where everything goes.
        state: see run_shared.

    Returns:
        As run_shared.

    Raises:
        ValueError: nothing to draw, settings that do not fit, or see run_shared.
    """
    from PIL import Image

    from uncage_demo.backends.options import model_facts
    from uncage_demo.prompt.parse import parse_prompt
    from uncage_demo.runner import generate

    pairs = [(prompt, seed) for prompt in dict.fromkeys(prompts) for seed in dict.fromkeys(seeds)]
    if not pairs:
        raise ValueError("nothing to draw: give at least one prompt and one seed")
    model = model_facts(backend)
    keys = [_digest({"prompt": prompt, "config": config.with_(seed=seed).to_dict(), "model": model}) for prompt, seed in pairs]

    def work(index: int, _: Any) -> Line:
        prompt, seed = pairs[index]
        trace = generate(backend, parse_prompt(prompt, backend), config.with_(seed=seed), frames=False)
        name = f"{keys[index]}.png"
        with replacing(folder / name) as place:
            Image.fromarray(trace.image).save(place)
        tokens = hashlib.sha256(trace.tokens.tobytes()).hexdigest()[:16]
        return {"prompt": prompt, "seed": seed, "config": trace.config, "model": model, "picture": name, "tokens_hash": tokens}

    folder.mkdir(parents=True, exist_ok=True)
    return run_shared(keys, work, folder, state=state)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: generate a file of prompts over all processes that the launcher started."""
    from accelerate import PartialState

    from uncage_demo.backends.arguments import add_model_arguments, load_model
    from uncage_demo.config import ORDER_NAMES, DecodingConfig
    from uncage_demo.decoding.presets import PRESETS, preset_with

    parser = argparse.ArgumentParser(prog="python -m uncage_demo.bench.distributed", description="Generate many pictures over processes.")
    add_model_arguments(parser, device=None)
    parser.add_argument("--prompts", type=Path, required=True, help="text file, one prompt per line")
    parser.add_argument("--seeds", type=int, default=1, help="pictures of each prompt: seeds 0 to N-1")
    parser.add_argument("--order", choices=ORDER_NAMES, help="default: the preset's, else uncage")
    parser.add_argument("--preset", choices=tuple(PRESETS), help="settings by name; --order and --steps count before (see generate --help)")
    parser.add_argument("--steps", type=int, default=None, help="number of steps (default: the preset's, else the model's)")
    parser.add_argument("--out", type=Path, required=True, help="folder for pictures and results.jsonl")
    options = parser.parse_args(arguments)
    prompts = [line.strip() for line in options.prompts.read_text(encoding="utf-8").splitlines() if line.strip()]
    state = PartialState()
    backend = load_model(options, device=str(state.device))
    if state.is_main_process:
        for prompt in prompts:
            lost = backend.tokenize(prompt)[1]
            if lost:
                sys.stderr.write(f"note: the model does not read the end of {prompt[:40]!r}...: {lost!r}\n")
    given = {} if options.steps is None else {"num_steps": options.steps}
    settings = given if options.preset is None else preset_with(options.preset, given)
    order = options.order or ("uncage" if options.preset is None else PRESETS[options.preset].order)
    config = DecodingConfig(order).with_(**{"num_steps": backend.info.default_steps, **settings})
    lines = generate_pictures(backend, prompts, range(options.seeds), config, options.out, state=state)
    if lines is not None:
        print(f"{len(lines)} pictures in {options.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
