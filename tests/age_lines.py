"""Result lines of one order at two ages of a model, with gains worked out by hand."""

from __future__ import annotations

PROMPTS = ("p", "q", "r", "s")


def line(method: str, prompt: str, age: str, correct: int, leaked: int = 0) -> dict:
    failures = {"missing": 0, "mixture": 0, "duplicate": 0, "leaked": leaked}
    return {
        "schema": 1,
        "key": f"{age} {method} {prompt}",
        "experiment": "ages",
        "method": method,
        "baseline": "base",
        "suite": "s",
        "category": "objects",
        "cluster": prompt,
        "prompt": prompt,
        "seed": 0,
        "image_key": f"{age} {method} {prompt}",
        "config": {"order": method, "seed": 0},
        "model": {"id": "web", "weight_hash": f"h{age}"} | ({} if age == "1" else {"options": {"age": age}}),
        "scorer": "detector 1",
        "metrics": {"all": 1, "bound": 1 - leaked, "correct": correct, **failures},
    }


# By hand: young, the order gains nothing; old, it mends one leak of two (of four pictures), so +25 and -25 points.
LINES = [line(method, prompt, "1/16", 0, 1) for method in ("base", "new") for prompt in PROMPTS]
LINES += [line("base", prompt, "1", int(prompt in "rs"), int(prompt in "pq")) for prompt in PROMPTS]
LINES += [line("new", prompt, "1", int(prompt in "qrs"), int(prompt == "p")) for prompt in PROMPTS]
