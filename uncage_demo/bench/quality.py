"""How good a model is before any method is judged on it: success rates with intervals, failure counts, and how much the order matters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from uncage_demo.backends.base import Backend
from uncage_demo.bench.run import make_images, own_seed
from uncage_demo.bench.scorers_detector import DetectorScorer
from uncage_demo.bench.statistics import Estimate, rate
from uncage_demo.bench.suites import BenchPrompt, build_suites
from uncage_demo.bench.titles import method_title
from uncage_demo.config import DecodingConfig
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.types import Prompt

QUALITY_SUITES = ("single-object", "attend-excite", "three-subjects", "places", "positions", "numbers")
SPREAD_ORDERS = ("random", "confidence", "meissonic", "halton")
_NAMES = {
    "one": "at least one object",
    "two": "at least two objects",
    "all": "every object",
    "colored": "asked colours right",
    "bound": "every object in its colour",
    "place": "place right",
    "position": "position right",
    "correct": "fully correct",
    "no_extra": "no extra object",
}


# Kinds of failure and what each means; a picture can show several.
FAILURE_KINDS = {
    "missing": "an object asked for was not found",
    "mixture": "two nouns were seen in one place",
    "leaked": "an object has a colour that was given to another one",
    "recoloured": "all objects found, one in a colour that nobody was given",
    "duplicate": "an object was found more often than asked for",
    "stranger": "an object was found that nobody asked for",
}


@dataclass(frozen=True)
class JudgedImage:
    """One judged picture.

    Args:
        item, order, seed: what was drawn and how.
        metrics: numbers of `scorers_detector.metrics`, "no_extra", and 0 or 1 for each of FAILURE_KINDS.
        seen: (noun, colour) of every detection, strongest first.
    """

    item: BenchPrompt
    order: str
    seed: int
    metrics: dict[str, float]
    seen: tuple[tuple[str, str], ...]


Watch = Callable[[JudgedImage, np.ndarray], None]


# What docs/RESULTS.md shows: suite, category, and what such prompts are called.
SUMMARY_ROWS = (
    ("single-object", "all", "one object"),
    ("attend-excite", "animals", "two animals"),
    ("attend-excite", "animals-objects", "an animal and an object"),
    ("attend-excite", "objects", "two coloured objects"),
    ("three-subjects", "all", "three objects"),
    ("places", "all", "one or two in a named place"),
    ("positions", "all", "two, and where each is"),
    ("numbers", "all", "two or three of a kind"),
)
MARKS = ("<!-- model:begin (written by `model-card --readme`; do not edit) -->", "<!-- model:end -->")


def quality(
    backend: Backend,
    suites: Sequence[str] = QUALITY_SUITES,
    seeds: Sequence[int] = (0, 1),
    *,
    base: DecodingConfig | None = None,
    orders: Sequence[str] = SPREAD_ORDERS,
    limit: int | None = None,
    batch: int = 64,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Judge a model by its own detector on suites of prompts, decoded with the baseline order.

    Args:
        backend: a model with a detector.
        suites: keys of suites.SUITES.
        seeds: how many noises each prompt has, all of its own (see `run.own_seed`): under a shared one all prompts would err together.
        base: settings; None = the model's default steps and guidance with the baseline order.
        orders: orders whose success on the two-animal prompts is compared (the spread); () leaves it out.
        limit: at most this many prompts of each category, evenly spread over it (for a quick look); None = all.
        batch: pictures decoded together.
        watch: called with every judged picture of the suites (not of the orders' spread) and its pixels "H W 3" uint8.

    Returns:
        JSON-able dict: "rates": {suite: {category: {name: {value, low, high, count, clusters}}}} (category "all" is the whole suite),
        "failures": {suite: {kind: {"images": number of images that show it, "of": images judged, value, low, high, ...}}} for each kind of
        FAILURE_KINDS, "orders": {"rates": {order: {...}}, "spread_points": best minus worst, in points},
        and what was run ("config", "seeds", "model", "scorer").
        Intervals are 95 %, by bootstrap over prompts.

    Raises:
        ValueError: unknown suite or order, no seeds, or a backend without a detector.
    """
    if not seeds:
        raise ValueError("seeds: give at least one")
    base = base or DecodingConfig(num_steps=backend.info.default_steps)
    prompts = _limited(build_suites(suites), limit)
    judged, scorer = _judge(backend, prompts, seeds, base, batch, watch=watch)
    rates: dict[str, dict[str, Any]] = {}
    failed: dict[str, dict[str, Any]] = {}
    for suite in dict.fromkeys(item.suite for item in prompts):
        images = [image for image in judged if image.item.suite == suite]
        categories = list(dict.fromkeys(image.item.category for image in images))
        rates[suite] = {c: _rates([i for i in images if i.item.category == c]) for c in categories}
        rates[suite]["all"] = _rates(images)
        failed[suite] = {
            kind: {"images": int(sum(image.metrics[kind] for image in images)), "of": len(images), **_estimate(images, kind)}
            for kind in FAILURE_KINDS
        }
    result: dict[str, Any] = {"rates": rates, "failures": failed}
    if orders:
        result["orders"] = _spread(backend, orders, seeds, base, limit, batch)
    config = base.to_dict()
    config.pop("seed")
    model = {"id": backend.info.id, "weight_hash": backend.info.weight_hash}
    return result | {"config": config, "seeds": list(seeds), "model": model, "scorer": scorer}


def quality_summary(result: dict[str, Any]) -> str:
    """The result of `quality` in short, as Markdown for docs/RESULTS.md: what is drawn right, and how much the order alone matters."""
    count = len(result["seeds"])
    seeds = f"{count} picture{'s' if count > 1 else ''} per prompt, each with its own seed"
    lines = [
        f"The embedded model with the baseline order and default settings ({result['config']['num_steps']} steps), judged by its detector;"
        f" percent with 95 % intervals by prompt; {seeds}. Its [model card](../assets/emoji-scenes/README.md) also has the detector's own"
        " error, what goes wrong with pictures, and binding by layer and head.",
        "",
        "| prompts | images | every object | every object in its colour | fully correct |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for suite, category, title in SUMMARY_ROWS:
        found = result["rates"][suite][category]
        shown = (_percent(found[name]) for name in ("all", "bound", "correct"))
        lines.append(f"| {title} | {found['all']['count']} | {' | '.join(shown)} |")
    if "orders" in result:
        told = ", ".join(f"{_percent(entry)} % with {method_title(order)}" for order, entry in result["orders"]["rates"].items())
        lines += ["", f"The order alone matters: two animals are fully correct in {told}."]
    return "\n".join(lines)


def quality_markdown(result: dict[str, Any]) -> str:
    """The result of `quality` as Markdown tables for a model card."""
    lines = [
        f"Judged by {result['scorer']}; {len(result['seeds'])} pictures per prompt, each with its own seed; 95 % intervals by prompt;"
        " percent.",
        "",
    ]
    for suite, categories in result["rates"].items():
        names = [name for name in _NAMES if any(name in found for found in categories.values())]
        lines += [f"| {suite} | images | " + " | ".join(_NAMES[name] for name in names) + " |", "| --- |" + " ---: |" * (len(names) + 1)]
        for category, found in categories.items():
            images = next(iter(found.values()))["count"]
            lines.append(f"| {category} | {images} | " + " | ".join(_percent(found[n]) if n in found else "" for n in names) + " |")
        lines.append("")
    suites = list(result["failures"])
    lines += ["| failure (percent of images; one can show several) | " + " | ".join(suites) + " |", "| --- |" + " ---: |" * len(suites)]
    for kind, meaning in FAILURE_KINDS.items():
        lines.append(f"| {kind}: {meaning} | " + " | ".join(_percent(result["failures"][suite][kind]) for suite in suites) + " |")
    lines.append("")
    if "orders" in result:
        lines += ["| order (two animals) | fully correct |", "| --- | ---: |"]
        lines += [f"| {method_title(order)} | {_percent(entry)} |" for order, entry in result["orders"]["rates"].items()]
        lines += ["", f"Spread between the best and the worst order: {result['orders']['spread_points']:.1f} points.", ""]
    return "\n".join(lines)


def _judge(
    backend: Backend,
    prompts: Sequence[BenchPrompt],
    seeds: Sequence[int],
    base: DecodingConfig,
    batch: int,
    orders: Sequence[str] = ("",),
    watch: Watch | None = None,
) -> tuple[list[JudgedImage], str]:
    """Every prompt with every seed and order, judged; and the scorer's name."""
    scorer = DetectorScorer(backend)
    parsed: dict[str, Prompt] = {item.text: parse_prompt(item.text, backend) for item in prompts}
    jobs = [(item, order or base.order, own_seed(item.text, seed)) for item in prompts for seed in seeds for order in orders]
    judged, name = [], ""
    for start in range(0, len(jobs), batch):
        part = jobs[start : start + batch]
        texts = [parsed[item.text] for item, _, _ in part]
        _, images = make_images(backend, texts, [base.with_(order=order, seed=seed) for _, order, seed in part])
        for (item, order, seed), image, line in zip(part, images, scorer.score(images, texts), strict=True):
            seen = tuple((noun, color) for noun, color, *_ in line["verdict"]["seen"])
            numbers = line["metrics"] | _further(line["metrics"], seen, {subject.noun for subject in parsed[item.text].subjects})
            judged.append(JudgedImage(item, order, seed, numbers, seen))
            name = line["scorer"]
            if watch is not None:
                watch(judged[-1], image)
    return judged, name


def _further(metrics: dict[str, int], seen: Sequence[tuple[str, str]], asked: set[str]) -> dict[str, int]:
    """What the scorer's numbers do not say outright: nothing extra, a colour of nobody's, an object that nobody asked for."""
    return {
        "no_extra": int(metrics["extra"] == 0),
        "recoloured": int(metrics["all"] and not metrics["bound"] and not metrics["leaked"]),
        "stranger": int(any(noun not in asked for noun, _ in seen)),
    }


def _spread(
    backend: Backend, orders: Sequence[str], seeds: Sequence[int], base: DecodingConfig, limit: int | None, batch: int
) -> dict[str, Any]:
    """How much the order alone changes, on prompts of two animals."""
    pairs = _limited([item for item in build_suites(["attend-excite"]) if item.category == "animals"], limit)
    judged, _ = _judge(backend, pairs, seeds, base, batch, orders)
    found = {order: _estimate([i for i in judged if i.order == order], "correct") for order in orders}
    values = [entry["value"] for entry in found.values()]
    return {"rates": found, "spread_points": 100 * (max(values) - min(values))}


def _rates(images: Sequence[JudgedImage]) -> dict[str, dict[str, Any]]:
    return {name: _estimate(images, name) for name in _NAMES if all(name in image.metrics for image in images)}


def _estimate(images: Sequence[JudgedImage], name: str) -> dict[str, Any]:
    estimate: Estimate = rate([image.metrics[name] for image in images], [image.item.cluster for image in images])
    return asdict(estimate)


def _limited(prompts: Sequence[BenchPrompt], limit: int | None) -> list[BenchPrompt]:
    """At most `limit` prompts of each suite's category, evenly spread over it."""
    if limit is None:
        return list(prompts)
    if limit < 1:
        raise ValueError(f"limit={limit!r}: give a whole number from 1")
    kept = []
    for group in dict.fromkeys((item.suite, item.category) for item in prompts):
        members = [item for item in prompts if (item.suite, item.category) == group]
        kept += members if len(members) <= limit else [members[i * len(members) // limit] for i in range(limit)]
    return kept


def _percent(entry: dict[str, Any]) -> str:
    low, high = 100 * entry["low"], 100 * entry["high"]
    value = f"{100 * entry['value']:.1f}"
    return value if low != low else f"{value} [{low:.1f}, {high:.1f}]"
