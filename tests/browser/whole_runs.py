"""Whole runs of the Python engine, for the browser's engine to make again with the exported model.

`python -m tests.browser.whole_runs embedded FOLDER [COUNT]` exports the model and writes `whole.json` beside it.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from uncage_demo.backends.embedded import vocab
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.browser.export_model import write_model
from uncage_demo.config import ORDER_NAMES, DecodingConfig
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.runner import generate
from uncage_demo.shipped import EMBEDDED

STEPS = 8


def choices_of(number: int) -> tuple[list[dict[str, Any]], str]:
    """The `number`-th of many different prompts that the menus offer: what was chosen, and the place."""
    random = np.random.default_rng(number)
    objects, left = [], vocab.MOST_OBJECTS
    for _ in range(int(random.integers(1, 4))):
        if not left:
            break
        count = int(random.integers(1, left + 1)) if random.random() < 0.2 else 1
        left -= count
        noun, color = random.choice(vocab.NOUNS), random.choice(("", *vocab.COLORS))
        side = str(random.choice(tuple(vocab.POSITION_SAID))) if random.random() < 0.15 else ""
        objects.append({"noun": str(noun), "color": str(color), "count": count, "side": side})
    place = str(random.choice(("", "", *vocab.PLACES)))
    return objects, place


def text_of(objects: list[dict[str, Any]], place: str) -> str:
    """The text of what was chosen, written here a second time so that the browser's way of saying it is checked."""
    said = []
    for one in objects:
        many = one["count"] > 1
        noun = vocab.plural(one["noun"]) if many else one["noun"]
        first = one["color"] or noun
        number = {2: "two ", 3: "three "}.get(one["count"], "")
        article = number if many else "" if one["noun"] == "glasses" else "an " if first[0] in "aeiou" else "a "
        side = f" {vocab.POSITION_SAID[one['side']]}" if one["side"] else ""
        said.append(f"{article}{one['color'] + ' ' if one['color'] else ''}{noun}{side}")
    return " and ".join(said) + (f" {vocab.PLACE_SAID[place]}" if place else "")


def fitting(count: int) -> list[tuple[list[dict[str, Any]], str]]:
    """The first `count` choices whose text the model reads to its end."""
    found, number = [], 0
    while len(found) < count:
        objects, place = choices_of(number)
        number += 1
        if len(text_of(objects, place).split()) <= vocab.TEXT_LENGTH - 2:
            found.append((objects, place))
    return found


def write(backend: EmbeddedBackend, folder: Path, count: int, composed: int = 300) -> None:
    """Export the model, decode `count` prompts in the orders by turns, and parse `composed` prompts."""
    write_model(backend, folder)
    runs = []
    for number, (objects, place) in enumerate(fitting(count)):
        config = DecodingConfig(order=ORDER_NAMES[number % len(ORDER_NAMES)], num_steps=STEPS, seed=number)
        prompt = parse_prompt(text_of(objects, place), backend)
        trace = generate(backend, prompt, config, frames=False)
        verdict = backend.judge(trace, prompt)
        told = {
            "choices": objects,
            "place": place,
            "config": config.to_dict(),
            "text": prompt.text,
            "sampled": [record.sampled.tolist() for record in trace.steps],
            "committed": [np.flatnonzero(record.committed).tolist() for record in trace.steps],
            "tokens": trace.tokens.reshape(-1).tolist(),
            "verdict": asdict(verdict),
        }
        if number < 3:
            told["image"] = trace.image.reshape(-1).tolist()
        runs.append(told)
    menus = [
        {"choices": c, "place": p, "prompt": asdict(parsed), "ids": backend.encode_prompt(parsed).tolist()}
        for c, p in fitting(composed)
        for parsed in [parse_prompt(text_of(c, p), backend)]
    ]
    typed = json.loads((Path(__file__).parents[1] / "data/prompts_closed.json").read_text())
    read = [
        {"tokens": asdict(parsed)["tokens"], "ids": backend.encode_prompt(parsed).tolist()}
        for one in typed
        for parsed in [parse_prompt(one["text"], backend)]
    ]
    (folder / "whole.json").write_text(json.dumps({"runs": runs, "menus": menus, "typed": read}), encoding="utf-8")


if __name__ == "__main__":
    name, target = sys.argv[1], Path(sys.argv[2])
    write(EmbeddedBackend.load(EMBEDDED[name]), target, int(sys.argv[3]) if len(sys.argv) > 3 else 60)
