"""How fast, and what each feature costs: paired rounds in one process, so that ratios are the result and seconds are context.

In every round each variant runs once, in an order that rotates; a ratio is the median over rounds of variant / reference.
"""

from __future__ import annotations

import io
import math
import os
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from uncage_demo.backends.attention import scaled_dot_product_with_columns
from uncage_demo.backends.base import Backend
from uncage_demo.bench.run import make_images
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.run import RecordOptions, Run
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.runner import compare, generate, stream

PROMPT = "a turtle and a pink apple"
_CALLS_AHEAD = 2


@dataclass(frozen=True)
class Timing:
    """Times of one variant.

    Args:
        name: what was timed.
        seconds: median over the rounds.
        ratio: median over the rounds of its time divided by the reference's time in the same round (1 for the reference).
        ratio_low, ratio_high: smallest and largest of these.
        peak_bytes: growth of memory while it ran, at its highest (0 where the system does not tell).
        cpu_seconds: processor time of the whole process (all its threads), median over the rounds; other programs do not count in it.
        cpu_ratio, cpu_ratio_low, cpu_ratio_high: the same ratios of processor time.
    """

    name: str
    seconds: float
    ratio: float
    ratio_low: float
    ratio_high: float
    peak_bytes: int
    cpu_seconds: float
    cpu_ratio: float
    cpu_ratio_low: float
    cpu_ratio_high: float


def time_paired(
    variants: Mapping[str, Callable[[], object]],
    rounds: int,
    device: torch.device | None = None,
    *,
    min_seconds: float = 0.0,
    ahead: int = 0,
    clock: Callable[[], float] = time.perf_counter,
    cpu_clock: Callable[[], float] = time.process_time,
) -> list[Timing]:
    """Time variants against the first of them.

    Args:
        variants: name -> what to run; the first is the reference.
        rounds: how many rounds, after one that is not counted.
        device: waited for before the clock is read.
        min_seconds: short variants are repeated within a round until the reference takes about this long.
        ahead: further runs of each that are not counted, for what is kept of work that comes often; memory is measured before them.
        clock, cpu_clock: seconds that pass, and seconds of processor time.

    Raises:
        ValueError: no variant or no round.
    """
    if not variants or rounds < 1:
        raise ValueError(f"{len(variants)} variants, rounds={rounds!r}: give at least one of each")
    names = list(variants)
    times: dict[str, list[float]] = {name: [] for name in names}
    cpu_times: dict[str, list[float]] = {name: [] for name in names}
    peaks = dict.fromkeys(names, 0)
    for name in names:
        with PeakMemory(device) as memory:
            variants[name]()
        peaks[name] = memory.peak_bytes
    for name in names * ahead:
        variants[name]()
    repeats = 1
    if min_seconds > 0:
        once, _ = _elapsed(variants[names[0]], 1, device, clock, cpu_clock)
        repeats = max(1, min(1000, math.ceil(min_seconds / max(once, 1e-9))))
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            passed, worked = _elapsed(variants[name], repeats, device, clock, cpu_clock)
            times[name].append(passed / repeats)
            cpu_times[name].append(worked / repeats)
    timings = []
    for name in names:
        passed, worked = _ratios(times[name], times[names[0]]), _ratios(cpu_times[name], cpu_times[names[0]])
        timings.append(Timing(name, statistics.median(times[name]), *passed, peaks[name], statistics.median(cpu_times[name]), *worked))
    return timings


def _ratios(own: Sequence[float], reference: Sequence[float]) -> tuple[float, float, float]:
    """Median, smallest and largest of the ratios within a round (1 where the clock did not move)."""
    ratios = [a / b if b > 0 else 1.0 for a, b in zip(own, reference, strict=True)]
    return statistics.median(ratios), min(ratios), max(ratios)


def _elapsed(
    run: Callable[[], object], repeats: int, device: torch.device | None, clock: Callable[[], float], cpu_clock: Callable[[], float]
) -> tuple[float, float]:
    """Seconds passed and seconds of processor time."""
    _wait(device)
    began, cpu_began = clock(), cpu_clock()
    for _ in range(repeats):
        run()
    _wait(device)
    return clock() - began, cpu_clock() - cpu_began


class PeakMemory:
    """Measures the highest growth of memory inside a `with` block: of the GPU's allocator, else of this process's resident set.

    Args:
        device: where the work runs; None = CPU.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        self.device = device
        self.peak_bytes = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._before = 0

    def __enter__(self) -> PeakMemory:
        if self.device is not None and self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_allocated(self.device)
        else:
            self._before = resident_bytes()
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._thread is None:
            self.peak_bytes = max(0, torch.cuda.max_memory_allocated(self.device) - self._before)
            return
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.peak_bytes = max(self.peak_bytes, resident_bytes() - self._before)
            if self._stop.wait(0.005):
                return


def resident_bytes() -> int:
    """Resident memory of this process; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def features(backend: Backend, num_steps: int, rounds: int, prompt_text: str = PROMPT) -> list[Timing]:
    """What each feature adds to a plain decode of one picture with the baseline order; guidance and recording apart and together.

    Args:
        backend: the model.
        num_steps: T.
        rounds: of the paired timing.
        prompt_text: a prompt with two subjects.
    """
    prompt = parse_prompt(prompt_text, backend)
    plain = DecodingConfig(num_steps=num_steps)
    guided = plain.with_(order="uncage")
    everywhere = guided.with_(contrast_steps=num_steps)

    def live() -> None:
        for progress in stream(backend, [Run(prompt, plain), Run(prompt, guided)]):
            for frame in progress.frames or []:
                Image.fromarray(frame).save(io.BytesIO(), "JPEG", quality=82)

    def traced(config: DecodingConfig, full_attention: bool = False) -> None:
        for _ in stream(backend, [Run(prompt, config)], frames=False, record=RecordOptions(full_attention=full_attention)):
            pass

    variants: dict[str, Callable[[], object]] = {
        "plain decode": lambda: make_images(backend, [prompt], [plain]),
        "+ guidance (a quarter of the steps)": lambda: make_images(backend, [prompt], [guided]),
        "+ guidance (all steps)": lambda: make_images(backend, [prompt], [everywhere]),
        "+ full trace": lambda: traced(plain),
        "+ guidance + full trace": lambda: traced(guided),
        "+ guidance + full trace + every layer and head": lambda: traced(guided, full_attention=True),
        "+ guidance + full trace + a picture per step": lambda: generate(backend, prompt, guided),
        "baseline and guided side by side, full traces, a picture per step": lambda: compare(backend, prompt, [plain, guided]),
        "the same + live view": live,
    }
    return time_paired(variants, rounds, backend.device, ahead=_CALLS_AHEAD)


def throughput(
    backend: Backend, batches: Sequence[int], steps: Sequence[int], rounds: int, prompt_text: str = PROMPT
) -> list[dict[str, float]]:
    """Images a second against batch size and number of steps: [{"batch", "steps", "images_per_s"}]."""
    prompt = parse_prompt(prompt_text, backend)
    rows = []
    for count in steps:
        for batch in batches:
            configs = [DecodingConfig(order="uncage", num_steps=count, seed=seed) for seed in range(batch)]
            timing = time_paired({"batch": lambda c=configs: make_images(backend, [prompt] * len(c), c)}, rounds, backend.device)[0]
            rows.append({"batch": batch, "steps": count, "images_per_s": batch / timing.seconds})
    return rows


def first_frame(backend: Backend, num_steps: int, rounds: int, prompt_text: str = PROMPT) -> float:
    """Seconds from a typed prompt to the first picture on the live view (baseline and guided side by side); median."""

    def run() -> None:
        prompt = parse_prompt(prompt_text, backend)
        plain = DecodingConfig(num_steps=num_steps)
        steps = stream(backend, [Run(prompt, plain), Run(prompt, plain.with_(order="uncage"))])
        for frame in next(steps).frames or []:
            Image.fromarray(frame).save(io.BytesIO(), "JPEG", quality=82)
        steps.close()  # pyright: ignore[reportAttributeAccessIssue]

    return time_paired({"first frame": run}, rounds, backend.device)[0].seconds


def attention_kernels(
    device: torch.device, rounds: int, sizes: Sequence[tuple[str, int, int, int, int, int]] = ()
) -> dict[str, list[Timing]]:
    """Exact text columns beside the fused kernel, against plain fused attention and against the full matrix (output_attentions).

    Args:
        device: where to run.
        rounds: of the paired timing.
        sizes: (name, batch, heads, image tokens, text tokens, head width); () = the embedded model's and Meissonic's.
    """
    sizes = sizes or (("embedded, 12 x 12 tokens", 2, 2, 144, 16, 80), ("Meissonic, 32 x 32 tokens", 2, 8, 1024, 77, 128))
    results = {}
    for name, batch, heads, image, text, width in sizes:
        generator = torch.Generator("cpu").manual_seed(0)
        q, k, v = (torch.randn(batch, heads, text + image, width, generator=generator).to(device) for _ in range(3))
        columns, rows, scale = list(range(text)), slice(text, None), width**-0.5

        def plain(q: Any = q, k: Any = k, v: Any = v) -> torch.Tensor:
            return torch.nn.functional.scaled_dot_product_attention(q, k, v)

        def ours(q: Any = q, k: Any = k, v: Any = v, columns: Any = columns, rows: Any = rows) -> torch.Tensor:
            return scaled_dot_product_with_columns(q, k, v, columns, rows=rows)[1].mean(dim=1)

        def eager(q: Any = q, k: Any = k, v: Any = v, text: Any = text, scale: Any = scale) -> torch.Tensor:
            weights = torch.softmax(q.float() @ k.float().transpose(-1, -2) * scale, dim=-1)
            _ = weights.to(v.dtype) @ v
            return weights[:, :, text:, :text].mean(dim=1).transpose(-1, -2)

        with torch.inference_mode():
            difference = (ours() - eager()).abs().max().item()
            if difference > 1e-4:
                raise ArithmeticError(f"{name}: the two ways of reading attention differ by {difference:.2g}")
            timings = time_paired(
                {"fused, nothing read": plain, "fused + exact text columns": ours, "eager, full matrix": eager},
                rounds,
                device,
                min_seconds=0.05,
            )
        results[name] = timings
    return results


def _wait(device: torch.device | None) -> None:
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
