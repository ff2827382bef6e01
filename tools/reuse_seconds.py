"""Seconds of whole runs of a Meissonic-shaped model with and without reuse of features, step by step side by side. Weights are random.

    OMP_NUM_THREADS=1 python -m tools.reuse_seconds --out docs/reuse-seconds.json

A run of each variant advances by one step in turn, so that a ratio compares what ran in the same seconds; on a CPU they are the processor's
own. Random weights tell what a run costs and nothing of what it draws: for that see `python -m uncage_demo.bench.reuse_report`. Full size
takes 4 GB and hours on a CPU; the usual size keeps the shape at three eighths of the width and a fifth of the blocks.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tools.gpu_report import PROMPT, Plan, random_backend
from uncage_demo.backends.devices import parse_device
from uncage_demo.backends.large.backend import LargeBackend
from uncage_demo.bench.reuse_report import parse_variant
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.run import RecordOptions, Run
from uncage_demo.decoding.sampler import decode
from uncage_demo.files import write_atomically
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.trace.record import StepRecord

GOAL = 1.5  # times fewer seconds
HEAD_WIDTH = 128  # of Meissonic's heads


@dataclass
class Spent:
    """What a variant has taken so far.

    Args:
        seconds: of its steps. passes: of the network, 2 = the whole grid with and without the prompt. partial: steps that ran a part of
            the grid.
    """

    seconds: float = 0.0
    passes: float = 0.0
    partial: int = 0


def side_by_side(backend: LargeBackend, variants: dict[str, DecodingConfig], clock: Callable[[], float]) -> dict[str, Spent]:
    """One run of each variant, advanced in turn.

    Args:
        backend: the model. variants: name -> settings. clock: seconds.
    """
    prompt = parse_prompt(PROMPT, backend)
    runs: dict[str, Iterator[StepRecord]] = {
        name: decode(backend, Run(prompt, config), record=RecordOptions(level="minimal")) for name, config in variants.items()
    }
    spent = {name: Spent() for name in runs}
    while runs:
        for name in list(runs):
            began = clock()
            record = next(runs[name], None)
            spent[name].seconds += clock() - began
            if record is None:
                del runs[name]
                continue
            spent[name].passes += record.passes or 0.0
            spent[name].partial += record.renewed is not None
    return spent


def measure(backend: LargeBackend, variants: Sequence[str], rounds: int, clock: Callable[[], float]) -> list[dict[str, Any]]:
    """One line per variant: seconds (median over the rounds), forwards, and seconds of the first one divided by its own.

    Args:
        backend: the model. variants: see `reuse_report.parse_variant`; the first is what the others are compared with.
        rounds: each with another seed. clock: seconds.
    """
    base = DecodingConfig("meissonic")
    configs = {text: parse_variant(text, base) for text in variants}
    side_by_side(backend, {text: config.with_(num_steps=2) for text, config in configs.items()}, clock)  # what only a first run takes
    found = [side_by_side(backend, {text: one.with_(seed=seed) for text, one in configs.items()}, clock) for seed in range(rounds)]
    first = variants[0]
    return [
        {
            "variant": text,
            "steps": configs[text].total_steps,
            "partial_steps": found[0][text].partial,
            "forwards": round(statistics.mean(one[text].passes for one in found) / 2, 3),
            "seconds": round(statistics.median(one[text].seconds for one in found), 3),
            "times_faster": [round(one[first].seconds / one[text].seconds, 3) for one in found],
        }
        for text in variants
    ]


def table(found: dict[str, Any]) -> str:
    """The lines as a Markdown table."""
    lines = ["| run | partial steps | forward passes | seconds | times faster |", "| --- | ---: | ---: | ---: | ---: |"]
    for line in found["lines"]:
        ratio = statistics.median(line["times_faster"])
        told = "" if line is found["lines"][0] else f"{ratio:.2f}"
        lines.append(
            f"| {line['variant']} | {line['partial_steps']} of {line['steps']} | {line['forwards']:.1f} | {line['seconds']:.1f} | {told} |"
        )
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: measure, write JSON, print the table."""
    parser = argparse.ArgumentParser(prog="python -m tools.reuse_seconds", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--grid", type=int, default=64, help="tokens per side; 64 = 1024 pixels (default: %(default)s)")
    parser.add_argument("--width", type=int, default=384, help=f"channels, a multiple of {HEAD_WIDTH}; Meissonic has 1024")
    parser.add_argument("--blocks", type=int, nargs=2, default=(3, 6), metavar=("MULTI", "SINGLE"), help="Meissonic has 14 and 28")
    parser.add_argument("--codes", type=int, default=2048, help="codebook; Meissonic has 8192")
    parser.add_argument("--variants", default="64,64/3@0.25,64/3@0", help="the first is what the others are compared with")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    if options.width < HEAD_WIDTH or options.width % HEAD_WIDTH:
        parser.error(f"--width {options.width}: give a multiple of {HEAD_WIDTH}")
    if options.grid < 4 or options.grid % 2:
        parser.error(f"--grid {options.grid}: give an even number from 4")
    network = {
        "num_layers": options.blocks[0],
        "num_single_layers": options.blocks[1],
        "attention_head_dim": HEAD_WIDTH,
        "num_attention_heads": options.width // HEAD_WIDTH,
        "axes_dims_rope": (16, 56, 56),
        "codebook_size": options.codes,
        "vocab_size": options.codes + 64,
    }
    device = parse_device(options.device)
    backend = random_backend(Plan("meissonic", options.grid, tiny=True, network=network), device, torch.float32)
    clock = time.process_time if device.type == "cpu" else _synchronized(device)
    found: dict[str, Any] = {
        "what": "a Meissonic-shaped transformer of random weights, decoding alone",
        "grid": options.grid,
        "width": options.width,
        "blocks": list(options.blocks),
        "codebook": options.codes,
        "parameters": sum(parameter.numel() for parameter in backend.network.parameters()),
        "device": device.type,
        "clock": "processor" if device.type == "cpu" else "wall",
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
        "goal_times_faster": GOAL,
        "lines": measure(backend, options.variants.split(","), options.rounds, clock),
    }
    if options.out:
        write_atomically(options.out, json.dumps(found, indent=1) + "\n")
    sys.stdout.write(table(found))
    return 0


def _synchronized(device: torch.device) -> Callable[[], float]:
    def clock() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return clock


if __name__ == "__main__":
    raise SystemExit(main())
