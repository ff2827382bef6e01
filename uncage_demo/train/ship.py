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

from uncage_demo.backends.ages import AGES, WHOLE
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.bench.run import make_images
from uncage_demo.bench.scorers_detector import failures
from uncage_demo.config import DecodingConfig
from uncage_demo.files import write_atomically
from uncage_demo.prompt.judging import counted
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.render.animation import Timing, save_animation
from uncage_demo.render.frames import FrameStyle, compare_frames
from uncage_demo.runner import generate
from uncage_demo.shipped import ASSETS, EMBEDDED, EXAMPLES
from uncage_demo.trace.record import Trace, stem_of
from uncage_demo.types import Prompt, Verdict

ORDERS = ("meissonic", "uncage")
MENDED = ("meissonic", "mend")
OPENING = "rescue"
# The README's moving picture: file -> the example and the runs of it that are shown.
MOVING = {ASSETS / "readme.webp": (OPENING, ORDERS)}
MOVING_PICTURE_BYTES = 230_000

# What a run of an example should show: fully correct or not, a kind of failure (`scorers_detector.FAILURES`) or several, and no other
# failure of binding, "unbound" = an object or a colour is wrong, or None = anything.
Want = bool | str | tuple[str, ...] | None


@dataclass(frozen=True)
class Wanted:
    """An example to look for: the first prompt with a seed whose verdicts are as wanted.

    Args:
        title, about: shown on the page.
        prompts: tried in this order.
        wants: what each stage's run should show.
        orders: the order of each stage.
        model: whose runs, see `shipped.EMBEDDED`.
        ages: the model's age of each stage, "" = the whole of its training; () = that everywhere.
        own_seeds: whether each stage has a seed of its own, to show several outcomes of one prompt; else all share one.
        seeds: how many seeds of a prompt are tried, from 0.
        preferred: a seed each stage for the first prompt, taken where the runs are as wanted: the clearest to the eye of those tried.
        frames: of which steps the picture is kept, see `runner.parse_frames`; pictures are most of a file.
    """

    title: str
    about: str
    prompts: tuple[str, ...]
    wants: tuple[Want, ...]
    orders: tuple[str, ...] = ORDERS
    model: str = "embedded"
    ages: tuple[str, ...] = ()
    own_seeds: bool = False
    seeds: int = 24
    preferred: tuple[int, ...] = ()
    frames: int = 1

    def config(self, stage: int, seed: int) -> DecodingConfig:
        """The settings of one try of a stage, in the model's own number of steps."""
        return DecodingConfig(order=self.orders[stage], seed=seed)

    def age(self, stage: int) -> str:
        """The model's age on a stage."""
        return self.ages[stage] if self.ages else ""

    def stems(self, name: str, seeds: Sequence[int]) -> list[str]:
        """File names of the stages without their ending: "NAME.ORDER", with age or seed where the stages differ in it."""
        told = [stem_of(order, (self.age(i) or "1") if self.ages else "") for i, order in enumerate(self.orders)]
        return [f"{name}.{label}" + (f"-seed-{seed}" if self.own_seeds else "") for label, seed in zip(told, seeds, strict=True)]


_TWO_COLORS = (
    "a red turtle and a green apple",
    "a pink cat and a green clock",
    "a yellow bow and a blue car",
    "a blue bear and a yellow balloon",
    "a purple frog and a red crown",
    "an orange bird and a blue chair",
)
_TWO_THINGS = (
    "a red car and a blue bench",
    "a yellow balloon and a purple suitcase",
    "a green backpack and an orange chair",
    "a pink bowl and a black clock",
)
_BASELINES = ("meissonic",)
WANTED = {
    OPENING: Wanted(
        "Guidance helps",
        "The baseline puts a colour on the wrong object. The guided order, from the same seed, draws both right.",
        _TWO_COLORS + _TWO_THINGS,
        ("leaked", True),
        model="embedded-blind",
        seeds=12,
        frames=4,
    ),
    "embedded-web.mended": Wanted(
        "A binding failure, mended",
        "The baseline puts a colour on the wrong object. Draft and mend, from the same seed, draws both right.",
        ("a green backpack and an orange chair", *_TWO_THINGS),
        # The lesson on parallel drawing looks for the double.
        (("leaked", "duplicate"), True),
        MENDED,
        model="embedded-web",
        seeds=40,
        preferred=(24, 24),
        frames=3,
    ),
    "embedded-web.failures": Wanted(
        "A leak, a mixture, a missing object",
        "One prompt, one order, three seeds: three ways in which binding fails.",
        (
            "a white backpack and a green suitcase",
            "a green chair and a yellow clock",
            "a yellow chair and an orange suitcase",
            "a black chair and a yellow crown",
            "a green chair and a pink crown",
        ),
        ("leaked", "mixture", "missing"),
        _BASELINES * 3,
        model="embedded-web",
        own_seeds=True,
        # Mixtures are rare: about one picture of a hundred.
        seeds=72,
        preferred=(58, 25, 4),
        frames=6,
    ),
    "embedded-web.ages": Wanted(
        "One prompt, four ages",
        "The same prompt and seed at four points of the training: first blots, then objects, then the right colours.",
        _TWO_COLORS,
        ("missing", None, None, True),
        _BASELINES * (len(AGES) + 1),
        model="embedded-web",
        ages=(*map(str, AGES), ""),
        seeds=12,
        frames=6,
    ),
    "no-help": Wanted(
        "Guidance does not help",
        "The guided order fails too: attention can err as well.",
        _TWO_COLORS,
        ("unbound", "unbound"),
        model="embedded-blind",
        seeds=12,
        frames=12,
    ),
}


@dataclass(frozen=True)
class Found:
    """An example that was found: prompt, a seed each stage, how many seeds were tried, and whether any was as wanted."""

    text: str
    seeds: tuple[int, ...]
    tried: int
    fits: bool


class Models:
    """The shipped models, each loaded once, and what was found of their runs, so that no try is decoded twice."""

    def __init__(self) -> None:
        self._loaded: dict[tuple[str, str], EmbeddedBackend] = {}
        self._judged: dict[tuple[str, str, str, DecodingConfig], Verdict] = {}

    def __call__(self, name: str, age: str = "") -> EmbeddedBackend:
        """The model of that name at that age."""
        if (name, age) not in self._loaded:
            self._loaded[name, age] = EmbeddedBackend.load(EMBEDDED[name], age=age or WHOLE)
        return self._loaded[name, age]

    def verdicts(self, name: str, age: str, prompt: Prompt, configs: Sequence[DecodingConfig]) -> list[Verdict]:
        """What the detector says of the picture of each of these settings."""
        keys = [(name, age, prompt.text, config) for config in configs]
        new = [key for key in keys if key not in self._judged]
        if new:
            backend, prompts = self(name, age), [prompt] * len(new)
            _, images = make_images(backend, prompts, [config for *_, config in new])
            self._judged.update(zip(new, backend.judge_many(images, prompts), strict=True))
        return [self._judged[key] for key in keys]


def as_wanted(want: Want, verdict: Verdict, prompt: Prompt) -> bool:
    """Whether a verdict is what an example's stage should show (see Want)."""
    if want is None or isinstance(want, bool):
        return want is None or want == verdict.all_correct
    if want == "unbound":
        return not (all(verdict.objects_found) and all(verdict.colors_right))
    shown = {kind for kind, is_shown in failures(verdict, prompt.subjects).items() if is_shown}
    wanted = {want} if isinstance(want, str) else set(want)
    return not verdict.all_correct and wanted <= shown <= wanted | {"duplicate"}


def find(models: Models, wanted: Wanted, taken: set[tuple[str, int]]) -> Found:
    """The seed, or a seed each stage, whose verdicts are as wanted, of the first prompt that has them.

    Of several, the clearest: the last run's least certain detection is the most certain. The first seed of all where none is as wanted.
    These are illustrations and chosen as such; averages over all seeds are the benchmark's business.
    """
    tried = 0
    for text in wanted.prompts:
        prompt = parse_prompt(text, models(wanted.model))
        seeds = [seed for seed in range(wanted.seeds) if (text, seed) not in taken]
        tried += wanted.seeds
        chosen, clear = [], {}
        for stage in range(len(wanted.wants)):
            fitting = _fitting(models, prompt, wanted, stage, seeds)
            clear = {seed: fitting[seed] for seed in seeds if seed in fitting}
            if not clear:
                break
            by_eye = wanted.preferred[stage] if wanted.preferred and text == wanted.prompts[0] else None
            chosen.append(by_eye if by_eye in clear else max(clear, key=lambda seed: (clear[seed], -seed)))
            seeds = [seed for seed in seeds if seed != chosen[-1]] if wanted.own_seeds else list(clear)
        else:
            return Found(text, tuple(chosen) if wanted.own_seeds else (chosen[-1],) * len(chosen), tried, True)
    return Found(wanted.prompts[0], (0,) * len(wanted.wants), tried, False)


def _fitting(models: Models, prompt: Prompt, wanted: Wanted, stage: int, seeds: Sequence[int]) -> dict[int, float]:
    """Of these seeds, those whose run is as wanted on a stage, with the score of its least certain detection."""
    verdicts = models.verdicts(wanted.model, wanted.age(stage), prompt, [wanted.config(stage, seed) for seed in seeds])
    return {
        seed: min((found.score for found in verdict.detections), default=0.0)
        for seed, verdict in zip(seeds, verdicts, strict=True)
        if as_wanted(wanted.wants[stage], verdict, prompt)
    }


def write_examples(folder: Path = EXAMPLES, only: Sequence[str] = ()) -> dict[str, Any]:
    """Write every example's traces and index.json; returns the index.

    Args:
        folder: where.
        only: names of the examples to make anew; the others' files stay. None named = all.

    Raises:
        ValueError: a name that is no example's.
    """
    wrong = [name for name in only if name not in WANTED]
    if wrong:
        raise ValueError(f"example {wrong[0]!r}: choose from {', '.join(WANTED)}")
    folder.mkdir(parents=True, exist_ok=True)
    models = Models()
    kept = json.loads((folder / "index.json").read_text()) if only else {}
    kept = {name: entry for name, entry in kept.items() if name in WANTED and name not in only}
    for old in folder.glob("*.npz"):
        if old.stem.rpartition(".")[0] not in kept:
            old.unlink()
    index: dict[str, Any] = {}
    taken: set[tuple[str, int]] = set()
    for name, wanted in WANTED.items():
        if name in kept:
            index[name] = kept[name]
            traces = [Trace.load(folder / f"{stem}.npz") for stem in kept[name]["verdicts"]]
            taken |= {(trace.prompt.text, int(trace.config["seed"])) for trace in traces}
        elif not only or name in only:
            found = find(models, wanted, taken)
            taken |= {(found.text, seed) for seed in found.seeds}
            index[name] = _write_example(models, name, wanted, found, folder)
            write_atomically(folder / "index.json", json.dumps(index, indent=1) + "\n")
    write_atomically(folder / "index.json", json.dumps(index, indent=1) + "\n")
    return index


def _write_example(models: Models, name: str, wanted: Wanted, found: Found, folder: Path) -> dict[str, Any]:
    """Decode and write the runs of an example; returns its entry of the index."""
    picked = f"Picked from {counted(found.tried, 'seed')} to show this effect." if found.fits else "Not picked: the first seed."
    verdicts: dict[str, Any] = {}
    for stage, stem in enumerate(wanted.stems(name, found.seeds)):
        backend = models(wanted.model, wanted.age(stage))
        prompt = parse_prompt(found.text, backend)
        trace = generate(backend, prompt, wanted.config(stage, found.seeds[stage]), frames=wanted.frames)
        trace.save(folder / f"{stem}.npz")
        verdicts[stem] = asdict(backend.judge(trace, prompt))
    print(f"{name}: {found.text!r}, seeds {found.seeds}, as wanted: {found.fits}, of {found.tried} tried", flush=True)
    first = [stem.rpartition(".")[2] for stem in verdicts]
    return {"title": wanted.title, "about": f"{wanted.about} {picked}", "model": wanted.model, "first": first, "verdicts": verdicts}


def write_moving_picture(traces: Sequence[Trace], verdicts: Sequence[Verdict | None], path: Path) -> None:
    """A moving picture for the README: both runs on one clock with their objects' attention."""
    frames = compare_frames(traces, FrameStyle(stage_px=300, scale=1, attention=True), verdicts=verdicts)
    save_animation(frames, path, Timing(step_s=0.18, hold_s=3.5), max_bytes=MOVING_PICTURE_BYTES, quality=88)


def write_shipped_pictures() -> None:
    """The README's moving pictures of the shipped examples, as they were written."""
    models = Models()
    for path, (example, orders) in MOVING.items():
        traces = [Trace.load(EXAMPLES / f"{example}.{order}.npz") for order in orders]
        write_moving_picture(traces, [models(t.model.id, t.age).judge(t, t.prompt) for t in traces], path)


def ship(only: Sequence[str] = ()) -> None:
    """Make everything that belongs to the shipped weights anew; of the examples, those named in `only` (none named = all)."""
    write_examples(only=only)
    write_shipped_pictures()
    subprocess.run([sys.executable, "-m", "tests.golden.regenerate", "embedded"], cwd=ASSETS.parent, check=True)
