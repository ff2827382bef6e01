"""What reusing features costs and gives: processor seconds and success of the same prompts and seeds, with and without partial steps.

    OMP_NUM_THREADS=1 python -m uncage_demo.bench.reuse_report --every 3 --variants 16,16/3@0,24,24/3@0

A variant is a number of steps, optionally "/K" partial steps after each whole one and "@S" the share of steps that are whole in any case.
Every prompt is drawn by all variants one after the other, so a ratio compares what ran in the same seconds.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from uncage_demo.backends import load_backend
from uncage_demo.backends.base import Backend
from uncage_demo.bench.run import own_seed
from uncage_demo.bench.scorers_detector import judge_many
from uncage_demo.bench.statistics import Comparison, Estimate, paired, rate
from uncage_demo.bench.suites import build_suites
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.run import RecordOptions, Run
from uncage_demo.decoding.sampler import decode
from uncage_demo.prompt.parse import parse_prompt


@dataclass(frozen=True)
class Drawn:
    """One picture of one variant: processor seconds of its decoding, forwards, and whether it is fully correct."""

    seconds: float
    forwards: float
    correct: bool


@dataclass(frozen=True)
class Line:
    """One variant: success, its difference from the first, and seconds of the first divided by its own (median over prompts)."""

    name: str
    correct: Estimate
    difference: Comparison
    forwards: float
    seconds: float
    faster: float


def parse_variant(text: str, base: DecodingConfig) -> DecodingConfig:
    """Settings of "24", "24/3" or "24/3@0.1".

    Raises:
        ValueError: naming the text.
    """
    found = re.fullmatch(r"(\d+)(?:/(\d+)(?:@([\d.]+))?)?", text.strip())
    if not found:
        raise ValueError(f"variant {text!r}: write steps, steps/partial or steps/partial@share, such as 24/3@0")
    share = {} if found[3] is None else {"reuse_from": float(found[3])}
    return base.with_(num_steps=int(found[1]), reuse_steps=int(found[2] or 0), **share)


def draw(backend: Backend, text: str, config: DecodingConfig) -> Drawn:
    """One picture, timed without its decoder and its verdict."""
    prompt = parse_prompt(text, backend)
    run = Run(prompt, config.with_(seed=own_seed(text, config.seed)))
    began = time.process_time()
    steps = list(decode(backend, run, record=RecordOptions(level="minimal")))
    seconds = time.process_time() - began
    image = backend.decode_tokens(torch.from_numpy(steps[-1].sampled)[None].long())
    verdict = judge_many(backend, image, [prompt])[0]
    return Drawn(seconds, sum(step.passes or 0 for step in steps) / 2, bool(verdict.all_correct))


def lines_of(drawn: dict[str, list[Drawn]], prompts: Sequence[str]) -> list[Line]:
    """The table, the first variant being what the others are compared with."""
    first = next(iter(drawn.values()))
    table = []
    for name, own in drawn.items():
        correct, before = ([float(one.correct) for one in side] for side in (own, first))
        table.append(
            Line(
                name,
                rate(correct, prompts),
                paired(correct, before, prompts),
                statistics.mean(one.forwards for one in own),
                statistics.median(one.seconds for one in own),
                statistics.median(a.seconds / b.seconds for a, b in zip(first, own, strict=True)),
            )
        )
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: draw, keep every picture's line, print the table."""
    parser = argparse.ArgumentParser(prog="python -m uncage_demo.bench.reuse_report", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--suite", default="attend-excite")
    parser.add_argument("--every", type=int, default=3, help="take every so manieth prompt")
    parser.add_argument("--variants", default="16,16/3@0,24,24/3@0", help="the first is what the others are compared with")
    parser.add_argument("--order", default="meissonic")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="JSON lines, one per picture")
    options = parser.parse_args(arguments)
    backend = load_backend(options.model)
    base = DecodingConfig(order=options.order, seed=options.seed)
    variants = {text.strip(): parse_variant(text, base) for text in options.variants.split(",")}
    prompts = [item.text for item in build_suites([options.suite])][:: options.every]
    random.Random(0).shuffle(prompts)  # so that the first so many of them are a sample of all
    drawn: dict[str, list[Drawn]] = {name: [] for name in variants}
    names = list(variants)
    for number, text in enumerate(prompts):
        turn = number % len(names)  # another one first each time
        for name in names[turn:] + names[:turn]:
            drawn[name].append(draw(backend, text, variants[name]))
            if options.out:
                with Path(options.out).open("a") as file:
                    file.write(json.dumps({"prompt": text, "variant": name, **vars(drawn[name][-1])}) + "\n")
    print(
        f"{len(prompts)} prompts, {torch.get_num_threads()} thread(s), seconds of the processor for decoding one picture", file=sys.stdout
    )
    for line in lines_of(drawn, prompts):
        shown, gap = line.correct, line.difference.difference
        print(
            f"{line.name:12} {line.seconds:6.3f} s  x {line.faster:4.2f}  {line.forwards:5.2f} forward passes  "
            f"correct {100 * shown.value:5.1f} "
            f"[{100 * shown.low:.1f}, {100 * shown.high:.1f}]  {100 * gap.value:+5.1f} [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}]"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
