"""Result lines of the benchmark, written by hand for tests."""

from __future__ import annotations

from typing import Any

from uncage_demo.bench.records import image_key, record_key


def make(number: int, *, method: str = "a", correct: int = 1, image_hash: str = "00") -> dict:
    """A whole line as a result file holds it; `number` is its seed."""
    key = image_key("a cat", {"seed": number, "order": method}, "embedded", "ffff", "detector")
    return {
        "schema": 1,
        "key": record_key("table1", method, "suite", key),
        "image_key": key,
        "experiment": "table1",
        "method": method,
        "suite": "suite",
        "category": "animals",
        "cluster": "a cat",
        "prompt": "a cat",
        "seed": number,
        "config": {"seed": number, "order": method},
        "model": {"id": "embedded", "weight_hash": "ffff"},
        "metrics": {"correct": correct},
        "image_hash": image_hash,
    }


def line(method: str, prompt: str, seed: int, correct: int, **changes: object) -> dict:
    """What a table needs of a line."""
    return {
        "experiment": "table1",
        "method": method,
        "baseline": "base",
        "suite": "s",
        "category": "animals",
        "cluster": prompt,
        "prompt": prompt,
        "seed": seed,
        "image_key": f"{method} {prompt} {seed}",
        "config": {"order": method, "seed": seed},
        "model": {"id": "embedded", "weight_hash": "ffff"},
        "scorer": "detector 1",
        "metrics": {"all": 1, "correct": correct},
        **changes,
    }


RESULTS = {
    ("base", "p"): (0, 0),
    ("base", "q"): (1, 0),
    ("new", "p"): (1, 1),
    ("new", "q"): (0, 1),
    ("bad", "p"): (0, 0),
    ("bad", "q"): (0, 0),
}
LINES = [line(m, p, seed, value) for (m, p), values in RESULTS.items() for seed, value in enumerate(values)]


FAILURES = {"missing": 0, "mixture": 0, "leaked": 0, "duplicate": 0, "extra": 0}


def several(experiment: str, rates: dict[str, float], prompts: range, seed: int, baseline: str, suite: str = "s") -> list[dict]:
    """Lines of an experiment: the first share of the prompts is correct; two categories."""
    lines = []
    for method, rate in rates.items():
        for i, prompt in enumerate(prompts):
            right = int(i < rate * len(prompts))
            metrics = {"all": 1, "correct": right, **FAILURES, "missing": 1 - right}
            category = ("animals", "objects")[i % 2]
            lines.append(line(method, f"p{prompt}", seed, right, experiment=experiment, baseline=baseline, suite=suite, metrics=metrics))
            lines[-1]["category"] = category
    return lines


def timing(name: str, ratio: float) -> dict[str, Any]:
    ratios = {"ratio": ratio, "ratio_low": ratio, "ratio_high": ratio, "cpu_ratio": ratio, "cpu_ratio_low": ratio, "cpu_ratio_high": ratio}
    return {"name": name, "seconds": 0.32 * ratio, "cpu_seconds": 0.16 * ratio, "peak_bytes": 0, **ratios}


SPEED: dict[str, Any] = {
    "model": {"id": "embedded", "weight_hash": "ffff"},
    "machine": {"processor": "a processor", "cores": "2", "load before": "0.1", "device": "cpu", "threads": "1"},
    "num_steps": 32,
    "rounds": 3,
    "features": [timing("plain decode", 1.0), timing("+ guidance", 1.25)],
    "first_frame_s": 0.2,
    "throughput": [{"batch": 1, "steps": 32, "images_per_s": 2.0}, {"batch": 16, "steps": 32, "images_per_s": 4.0}],
    "against_diffusers": [timing("rival", 1.0)],
    "attention": {"small": [timing("fused", 1.0)]},
}
EVERYTHING = [
    *several("table1", {"meissonic": 0.5, "uncage": 0.75, "random": 0.25}, range(8), 0, "meissonic"),
    *several("weights", {"0": 0.5, "0.5": 0.75, "1": 1.0}, range(8), 0, "0"),
    *several("choose", {"meissonic": 0.5, "uncage": 0.5, "bad | idea": 0.25, "good idea": 1.0, "so-so": 0.6}, range(8), 0, "meissonic"),
    *several("confirm", {"meissonic": 0.0, "uncage": 0.0, "good idea": 1.0, "so-so": 0.25}, range(8, 16), 7, "meissonic"),
]
