"""Result lines of the benchmark, written by hand for tests."""

from __future__ import annotations

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
