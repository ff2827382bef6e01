"""Make the shipped examples: `python -m uncage_demo.ui.choose_examples` decodes pairs and keeps one of each kind the lessons need.

The kinds are chosen by the detector's verdicts, and index.json says so, with how many pairs were tried and how each kind did among them:
an example shows what can happen, not how often. Runs in minutes on two cores; the result depends on the weights and seeds alone.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from uncage_demo import runner
from uncage_demo.backends.base import Backend
from uncage_demo.decoding.config import DecodingConfig
from uncage_demo.prompt import parse_prompt
from uncage_demo.types import Verdict
from uncage_demo.ui.examples import FOLDER

log = logging.getLogger(__name__)
ORDERS = ("meissonic", "uncage")
PROMPTS = (
    "a turtle and a pink apple",
    "a cat and a dog",
    "a bird and a blue car",
    "a red balloon and a green chair",
    "a frog and a rabbit",
    "a lion and a purple crown",
    "a horse and a yellow clock",
    "a monkey and a white bowl",
)
Test = Callable[[Verdict, Verdict], bool]


@dataclass(frozen=True)
class Kind:
    """What an example shows.

    Args:
        name: file stem; lessons refer to it.
        title, about: for people.
        fits: whether (baseline verdict, guided verdict) is of this kind.
    """

    name: str
    title: str
    about: str
    fits: Test


# The first one opens the page.
KINDS = (
    Kind(
        "rescue",
        "Guidance puts it right",
        "The baseline's picture is wrong, the guided one is right.",
        lambda a, b: not a.all_correct and b.all_correct,
    ),
    Kind(
        "failure",
        "An object goes missing",
        "The baseline draws some of the objects asked for, not all.",
        lambda a, b: 0 < sum(a.objects_found) < len(a.objects_found),
    ),
    Kind("both-right", "Both orders get it right", "Two different pictures, both right.", lambda a, b: a.all_correct and b.all_correct),
    Kind("no-help", "Guidance does not help", "Both pictures are wrong.", lambda a, b: not a.all_correct and not b.all_correct),
    Kind(
        "worse",
        "Guidance makes it worse",
        "The baseline's picture is right, the guided one is wrong.",
        lambda a, b: a.all_correct and not b.all_correct,
    ),
)


def verdict_pairs(backend: Backend, seeds: int) -> Iterator[tuple[str, int, tuple[Verdict, Verdict]]]:
    """(prompt, seed, (baseline verdict, guided verdict)) of every prompt and seed, seed by seed.

    Raises:
        ValueError: when the backend has no scorer.
    """
    for seed, text in itertools.product(range(seeds), PROMPTS):
        prompt = parse_prompt(text, backend)
        traces = runner.compare(backend, prompt, [DecodingConfig(order=order, seed=seed) for order in ORDERS], frames=False)
        first, second = (backend.judge(trace, prompt) for trace in traces)
        if first is None or second is None:
            raise ValueError(f"{backend.info.title} has no scorer, so examples cannot be chosen by their verdicts")
        yield text, seed, (first, second)


def choose(backend: Backend, folder: Path, seeds: int = 4) -> dict[str, Any]:
    """Decode, choose, and write the traces and index.json of every kind that was found.

    Args:
        backend: the shipped model.
        folder: where to write; existing examples there are replaced.
        seeds: how many seeds of every prompt to try, 1..64.

    Returns:
        The index: kind -> title, about, first, verdicts.

    Raises:
        ValueError: for seeds out of range, or a backend without scorer.
    """
    if not 1 <= seeds <= 64:
        raise ValueError(f"seeds={seeds}: give a whole number from 1 to 64")
    tried = list(verdict_pairs(backend, seeds))
    folder.mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob("*.npz"), *folder.glob("index.json")):
        old.unlink()
    index: dict[str, Any] = {}
    used: set[tuple[str, int]] = set()
    prompts_used: set[str] = set()
    for kind in KINDS:
        fitting = [(text, seed) for text, seed, pair in tried if kind.fits(*pair)]
        # a prompt and a run of its own where there is one, so that examples differ
        fresh = sorted((f for f in fitting if f not in used), key=lambda f: f[0] in prompts_used)
        if not fresh:
            log.warning("no pair of kind %r among %d", kind.name, len(tried))
            continue
        text, seed = fresh[0]
        used.add((text, seed))
        prompts_used.add(text)
        prompt = parse_prompt(text, backend)
        traces = runner.compare(backend, prompt, [DecodingConfig(order=order, seed=seed) for order in ORDERS])
        verdicts = {}
        for order, trace in zip(ORDERS, traces, strict=True):
            trace.save(folder / f"{kind.name}.{order}.npz")
            verdict = backend.judge(trace, prompt)
            verdicts[f"{kind.name}.{order}"] = None if verdict is None else asdict(verdict)
        share = f"Chosen to show this: {len(fitting)} of {len(tried)} pairs that were tried ended so, by the detector's judgement."
        index[kind.name] = {"title": f"{kind.title}: {text}", "about": f"{kind.about} {share}", "first": list(ORDERS), "verdicts": verdicts}
    (folder / "index.json").write_text(json.dumps(index, indent=1), encoding="utf-8")
    return index


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="Make the shipped example runs from the embedded model.")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder to write (default: the shipped one)")
    parser.add_argument("--seeds", type=int, default=4, help="seeds tried of each prompt, 1 to 64 (default: %(default)s)")
    options = parser.parse_args(arguments)
    from uncage_demo.backends import load_backend

    index = choose(load_backend("embedded"), options.out, options.seeds)
    for name, entry in index.items():
        sys.stdout.write(f"{name}: {entry['title']}. {entry['about']}\n")
    return 0 if index else 1


if __name__ == "__main__":
    raise SystemExit(main())
