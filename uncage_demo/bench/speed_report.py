"""All speed measurements of one model in one go, and how they are printed."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from uncage_demo.backends.base import Backend
from uncage_demo.backends.options import TRACE_KEY, recorded
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
        "model": {"id": backend.info.id, "weight_hash": backend.info.weight_hash, **recorded(backend)},
        "machine": {**machine(), **versions(backend)},
        "num_steps": num_steps,
        "rounds": rounds,
        "features": [asdict(t) for t in features(backend, num_steps, rounds)],
        "first_frame_s": first_frame(backend, num_steps, rounds),
        "throughput": throughput(backend, batches, step_counts, rounds),
        "against_diffusers": [asdict(t) for t in against_diffusers(rounds, device)],
        "attention": {name: [asdict(t) for t in timings] for name, timings in attention_kernels(device, rounds).items()},
    }


def machine(cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, str]:
    """Processor, cores that this process may use, and how busy the machine was (load of the last minute) when measuring began."""
    processor = platform.processor() or platform.machine()
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), processor)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {"processor": processor, "cores": str(cores), "load before": f"{os.getloadavg()[0]:.1f}"}


def to_markdown(result: dict[str, Any]) -> str:
    """The measurements as Markdown. Ratios are the result; seconds say on what scale."""
    parts = [
        "# Speed\n",
        f"{_circumstances(result)} {', '.join(f'{key} {value}' for key, value in result['machine'].items())}.",
        "",
        _timing_table("one picture", result["features"], result["num_steps"]),
        f"From the typed prompt to the first picture on the live view: {result['first_frame_s']:.3f} s.",
        "",
        _throughput_table(result["throughput"]),
        _timing_table("aMUSEd with small random weights, one picture, 12 steps", result["against_diffusers"]),
    ]
    parts += [_timing_table(f"attention of one layer, {name}", timings) for name, timings in result["attention"].items()]
    return "\n".join(parts)


def overhead_section(result: dict[str, Any], link: str = "") -> str:
    """The README's part: what guidance and recording add to a step, and images a second.

    Args:
        result: what `measure` gave.
        link: where the whole measurement is; "" leaves it out.
    """
    about = result["machine"]
    where = f"{about['processor']}, {about['cores']} cores, {about['threads']} thread(s)"
    rows = max(result["throughput"], key=lambda row: (row["steps"] == result["num_steps"], row["batch"]))
    alone = next((row for row in result["throughput"] if row["steps"] == rows["steps"] and row["batch"] == 1), None)
    rate = f"{rows['images_per_s']:.2f} in batches of {rows['batch']:.0f}"
    rate += f", {alone['images_per_s']:.2f} one at a time" if alone else ""
    return (
        f"### What it costs\n\n{_circumstances(result)} {where}; load of the machine before: {about['load before']} "
        "(above 0: other programs ran, so processor time is the fairer ratio).\n\n"
        f"{_timing_table('one picture', result['features'], result['num_steps'])}\n"
        f"Images a second, guided, {rows['steps']:.0f} steps: {rate}."
        + (f" First picture on the live view {result['first_frame_s']:.2f} s after the prompt." if "first_frame_s" in result else "")
        + (f" [All measurements]({link}).\n" if link else "\n")
    )


def _circumstances(result: dict[str, Any]) -> str:
    model = result["model"]
    loaded = f", loaded with `{model[TRACE_KEY]}`" if TRACE_KEY in model else ""
    return (
        f"Model `{model['id']}`, weights `{model['weight_hash']}`{loaded}, {result['num_steps']} steps. "
        f"Medians of {result['rounds']} paired rounds in one process; ratios are within a round, smallest and largest in brackets."
    )


def _timing_table(title: str, timings: Sequence[dict[str, Any]], num_steps: int = 0) -> str:
    """Ratios first. With `num_steps`, times are those of a step: a picture's time divided by its steps."""
    rows = []
    for entry in timings:
        timing = Timing(**entry)
        reference = entry is timings[0]
        passed = "1 (reference)" if reference else _ratio(timing.ratio, timing.ratio_low, timing.ratio_high)
        worked = "1 (reference)" if reference else _ratio(timing.cpu_ratio, timing.cpu_ratio_low, timing.cpu_ratio_high)
        times = (_seconds(value / (num_steps or 1)) for value in (timing.seconds, timing.cpu_seconds))
        rows.append([timing.name, passed, worked, *times, f"{timing.peak_bytes / 2**20:.0f}"])
    what = " a step" if num_steps else ""
    head = [title, "time, ratio", "processor time, ratio", f"time{what}", f"processor time{what}", "memory growth, MiB"]
    return markdown_table(head, rows)


def _ratio(value: float, low: float, high: float) -> str:
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _throughput_table(rows: Sequence[dict[str, float]]) -> str:
    batches = list(dict.fromkeys(int(row["batch"]) for row in rows))
    found = {(int(row["steps"]), int(row["batch"])): row["images_per_s"] for row in rows}
    lines = [[str(steps), *(f"{found[steps, b]:.2f}" for b in batches)] for steps in dict.fromkeys(int(row["steps"]) for row in rows)]
    return markdown_table(["steps (images a second, guided)", *(f"batch {b}" for b in batches)], lines)


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{1000 * value:.2f} ms"
