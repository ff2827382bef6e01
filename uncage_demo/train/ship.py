"""Everything in the repository that belongs to the shipped weights: example traces, their index, README pictures, golden grids.

One command (`python -m uncage_demo ship`) makes all of it anew when the weights change; a test fails when it belongs to other weights.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.bench.run import make_images
from uncage_demo.config import DEFAULT_STEPS, DecodingConfig
from uncage_demo.files import write_atomically
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.render.animation import Timing, save_animation
from uncage_demo.render.frames import FrameStyle, compare_frames
from uncage_demo.runner import compare
from uncage_demo.shipped import ASSETS, EMOJI_SCENES, EXAMPLES
from uncage_demo.trace.record import Trace
from uncage_demo.types import Verdict

ORDERS = ("meissonic", "uncage")
# The README's moving pictures: file -> the example and the runs of it that are shown.
MOVING = {ASSETS / "readme.webp": ("turtle-apple", ORDERS), ASSETS / "redraw.webp": ("redraw", ("meissonic", "redraw"))}
SEEDS = range(24)
MOVING_PICTURE_BYTES = 2_500_000


@dataclass(frozen=True)
class Wanted:
    """An example to look for: the first seed, over these prompts in turn, whose verdicts are as wanted.

    Args:
        title, about: shown on the page.
        prompts: tried in this order.
        correct: whether each order's run should be fully correct; None = either.
        orders: the runs, one a stage.
        num_steps: T.
    """

    title: str
    about: str
    prompts: tuple[str, ...]
    correct: tuple[bool | None, ...]
    orders: tuple[str, ...] = ORDERS
    num_steps: int = DEFAULT_STEPS

    def configs(self, seed: int) -> list[DecodingConfig]:
        """The settings of one try."""
        return [DecodingConfig(order=order, num_steps=self.num_steps, seed=seed) for order in self.orders]


_PROMPTS = (
    "a cat and a red car in the snow",
    "a bird and a blue clock on a beach",
    "a frog and a purple crown at night",
    "a dog and a yellow balloon on a meadow",
    "a green apple and a pink chair at night",
    "a horse and an orange backpack in the snow",
    "a lion and a purple bowl in the sea",
)
WANTED = {
    "turtle-apple": Wanted(
        "A turtle and a pink apple",
        "One seed, two orders: where they part, and what comes of it.",
        ("a turtle and a pink apple on a meadow",),
        (False, True),
    ),
    "rescue": Wanted(
        "Guidance helps",
        "The baseline gets something wrong that the guided order draws right.",
        _PROMPTS,
        (False, True),
    ),
    "failure": Wanted(
        "A failure of the baseline",
        "Something is missing, doubled, mixed or has the wrong colour.",
        _PROMPTS[::-1],
        (False, None),
    ),
    "no-help": Wanted(
        "Guidance does not help",
        "The guided order fails too: attention can err as well.",
        _PROMPTS[2:],
        (False, False),
        num_steps=12,
    ),
    "three": Wanted(
        "Three objects",
        "More objects compete for the same cells.",
        ("a cat, a blue bow and a red car on a beach",),
        (False, True),
    ),
    "redraw": Wanted(
        "One place an object",
        "Twelve steps keep many cells at once, and an object is begun in two places. The anchored order lets the second place wait; "
        "draft and redraw keeps the first and draws the rest again.",
        ("a blue bow and a red car at night", "a green backpack and a purple clock at night", "a yellow balloon and a blue chair at night"),
        (False, None, True),
        ("meissonic", "anchored", "redraw"),
        12,
    ),
    "company": Wanted(
        "Two frogs and a crown",
        "Numbers and places are words too. Draft and redraw keeps as many places as the prompt asks for.",
        ("two frogs and a red crown in the sea",),
        (False, True),
        ("meissonic", "redraw"),
    ),
}


@dataclass(frozen=True)
class Found:
    """An example that was found: prompt, seed, how many pairs were tried, and whether any was as wanted."""

    text: str
    seed: int
    tried: int
    fits: bool


def find(backend: EmbeddedBackend, wanted: Wanted, taken: set[tuple[str, int]]) -> Found:
    """The runs of one seed whose verdicts are as wanted, of the first prompt that has them; the clearest where there are several.

    Clearest: the last run's least certain detection is the most certain. The first seed of all where none is as wanted.
    These are illustrations and chosen as such; averages over all seeds are the benchmark's business.
    """
    tried = 0
    for text in wanted.prompts:
        prompt = parse_prompt(text, backend)
        configs = [config for seed in SEEDS for config in wanted.configs(seed)]
        _, images = make_images(backend, [prompt] * len(configs), configs)
        verdicts = backend.judge_many(images, [prompt] * len(configs))
        tried += len(SEEDS)
        fitting: list[tuple[float, int]] = []
        for index, seed in enumerate(SEEDS):
            runs = verdicts[len(wanted.orders) * index :][: len(wanted.orders)]
            as_wanted = all(want is None or want == verdict.all_correct for want, verdict in zip(wanted.correct, runs, strict=True))
            if as_wanted and (text, seed) not in taken:
                fitting.append((min((found.score for found in runs[-1].detections), default=0.0), -seed))
        if fitting:
            return Found(text, -max(fitting)[1], tried, True)
    return Found(wanted.prompts[0], 0, tried, False)


def write_examples(backend: EmbeddedBackend, folder: Path = EXAMPLES, only: Sequence[str] = ()) -> dict[str, Any]:
    """Write every example's traces and index.json; returns the index.

    Args:
        backend: the model.
        folder: where.
        only: names of the examples to make anew; the others' files stay. None named = all.

    Raises:
        ValueError: a name that is no example's.
    """
    wrong = [name for name in only if name not in WANTED]
    if wrong:
        raise ValueError(f"example {wrong[0]!r}: choose from {', '.join(WANTED)}")
    folder.mkdir(parents=True, exist_ok=True)
    kept = json.loads((folder / "index.json").read_text()) if only else {}
    kept = {name: entry for name, entry in kept.items() if name in WANTED and name not in only}
    for old in folder.glob("*.npz"):
        if old.name.split(".")[0] not in kept:
            old.unlink()
    index: dict[str, Any] = {}
    taken: set[tuple[str, int]] = set()
    for name, wanted in WANTED.items():
        if name in kept:
            index[name] = kept[name]
            first = Trace.load(folder / f"{name}.{wanted.orders[0]}.npz")
            taken.add((first.prompt.text, int(first.config["seed"])))
            continue
        found = find(backend, wanted, taken)
        text, seed = found.text, found.seed
        taken.add((text, seed))
        chosen = f"Chosen by the detector's verdicts among {found.tried} seeds tried." if found.fits else "Not chosen: the first seed."
        prompt = parse_prompt(text, backend)
        traces = compare(backend, prompt, wanted.configs(seed))
        verdicts = {}
        for order, trace in zip(wanted.orders, traces, strict=True):
            stem = f"{name}.{order}"
            trace.save(folder / f"{stem}.npz")
            verdicts[stem] = asdict(backend.judge(trace, prompt))
        index[name] = {"title": wanted.title, "about": f"{wanted.about} {chosen}", "first": list(wanted.orders), "verdicts": verdicts}
        print(f"{name}: {text!r}, seed {seed}: " + ", ".join(f"{stem} {v['all_correct']}" for stem, v in verdicts.items()), flush=True)
    write_atomically(folder / "index.json", json.dumps(index, indent=1) + "\n")
    return index


def write_moving_picture(traces: Sequence[Trace], verdicts: Sequence[Verdict | None], path: Path) -> None:
    """A moving picture for the README: both runs on one clock with their objects' attention."""
    frames = compare_frames(traces, FrameStyle(stage_px=300, scale=1, attention=True), verdicts=verdicts)
    save_animation(frames, path, Timing(step_s=0.18, hold_s=3.5), max_bytes=MOVING_PICTURE_BYTES, quality=88)


def write_shipped_pictures(backend: EmbeddedBackend) -> None:
    """The README's moving pictures of the shipped examples, as they were written."""
    for path, (example, orders) in MOVING.items():
        traces = [Trace.load(EXAMPLES / f"{example}.{order}.npz") for order in orders]
        write_moving_picture(traces, [backend.judge(trace, trace.prompt) for trace in traces], path)


def ship(folder: Path = EMOJI_SCENES, only: Sequence[str] = ()) -> None:
    """Make everything that belongs to the weights in `folder` anew; of the examples, those named in `only` (none named = all)."""
    backend = EmbeddedBackend.load(folder)
    write_examples(backend, only=only)
    write_shipped_pictures(backend)
    subprocess.run([sys.executable, "-m", "tests.golden.regenerate", "embedded"], cwd=ASSETS.parent, check=True)
