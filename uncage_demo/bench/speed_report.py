"""All speed measurements of one model in one go, and how they are printed."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from uncage_demo.backends.base import Backend
from uncage_demo.bench.run import versions
from uncage_demo.bench.speed import Timing, attention_kernels, features, first_frame, throughput
from uncage_demo.bench.speed_rivals import against_diffusers
from uncage_demo.bench.tables import markdown_table


def measure(
    backend: Backend, num_steps: int, rounds: int = 5, batches: Sequence[int] = (1, 4, 16), step_counts: Sequence[int] = (8, 16, 32)
) -> dict[str, Any]:
    """Everything `uncage speed` reports, JSON-able.

    Args:
        backend: the model.
        num_steps: T of the feature and first-frame measurements.
        rounds: paired rounds of each.
        batches, step_counts: grid of the throughput measurement.
    """
    device = backend.device
    return {
        "model": {"id": backend.info.id, "weight_hash": backend.info.weight_hash},
        "machine": {"processor": platform.processor() or platform.machine(), **versions(backend)},
        "num_steps": num_steps,
        "rounds": rounds,
        "features": [asdict(t) for t in features(backend, num_steps, rounds)],
        "first_frame_s": first_frame(backend, num_steps, rounds),
        "throughput": throughput(backend, batches, step_counts, rounds),
        "against_diffusers": [asdict(t) for t in against_diffusers(rounds, device)],
        "attention": {name: [asdict(t) for t in timings] for name, timings in attention_kernels(device, rounds).items()},
    }


def to_markdown(result: dict[str, Any]) -> str:
    """The measurements as Markdown. Ratios are the result; seconds say on what scale."""
    machine = ", ".join(f"{key} {value}" for key, value in result["machine"].items())
    parts = [
        f"Model {result['model']['id']} {result['model']['weight_hash']}; {result['num_steps']} steps; median of {result['rounds']} paired "
        f"rounds in one process (smallest and largest ratio in brackets); {machine}.",
        "",
        _timing_table("one picture", result["features"]),
        f"From the typed prompt to the first picture on the live view: {result['first_frame_s']:.3f} s.",
        "",
        _throughput_table(result["throughput"]),
        _timing_table("aMUSEd with small random weights, one picture, 12 steps", result["against_diffusers"]),
    ]
    parts += [_timing_table(f"attention of one layer, {name}", timings) for name, timings in result["attention"].items()]
    return "\n".join(parts)


def _timing_table(title: str, timings: Sequence[dict[str, Any]]) -> str:
    rows = []
    for entry in timings:
        timing = Timing(**entry)
        ratio = "1 (reference)" if entry is timings[0] else f"{timing.ratio:.3f} [{timing.ratio_low:.3f}, {timing.ratio_high:.3f}]"
        rows.append([timing.name, ratio, _seconds(timing.seconds), f"{timing.peak_bytes / 2**20:.0f}"])
    return markdown_table([title, "time, ratio", "time", "memory growth, MiB"], rows)


def _throughput_table(rows: Sequence[dict[str, float]]) -> str:
    batches = list(dict.fromkeys(int(row["batch"]) for row in rows))
    found = {(int(row["steps"]), int(row["batch"])): row["images_per_s"] for row in rows}
    lines = [[str(steps), *(f"{found[steps, b]:.2f}" for b in batches)] for steps in dict.fromkeys(int(row["steps"]) for row in rows)]
    return markdown_table(["steps (images a second, guided)", *(f"batch {b}" for b in batches)], lines)


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{1000 * value:.2f} ms"
