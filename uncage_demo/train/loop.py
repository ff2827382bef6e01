"""What every training stage shares: a time budget, checkpoints that resume with the same data order, a log of losses.

A stage's batch depends on (seed, step) alone, so a killed run that resumes sees the same data as one that was never killed.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader, Dataset

from uncage_demo.files import replacing

# An accelerator asks for scenes faster than one process can compose them (2,500 a second); on a CPU the cores are needed for training.
MAX_WORKERS = 12
REPORT_EVERY_S = 300.0


@dataclass
class Progress:
    """Where a stage stands: steps done, images seen, seconds spent in training (over all resumed runs)."""

    step: int = 0
    images: int = 0
    seconds_s: float = 0.0
    log: list[dict[str, float]] = field(default_factory=list)


def batch_rng(seed: int, stage: str, step: int) -> np.random.Generator:
    """The generator of one batch, from (seed, stage, step) alone."""
    return np.random.default_rng([seed, *stage.encode(), step])


def has_bf16(device: torch.device) -> bool:
    """Whether the device computes in bf16 itself; a processor without it imitates it a hundred times slower than float32."""
    return device.type != "cpu" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def autocast(device: torch.device) -> torch.autocast:
    """bf16 autocast where the device has it, else float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=has_bf16(device))


@contextmanager
def plain_attention(device: torch.device) -> Iterator[None]:
    """Attention as matrix products while a short sequence trains on a processor with bf16.

    There the fused kernel's backward pass takes a third of a step, because it leaves the processor's matrix units alone; with them a step
    takes a fifth less. Elsewhere nothing changes.
    """
    if device.type != "cpu" or not has_bf16(device):
        yield
        return
    before = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(before)


def loader_workers(device: torch.device) -> int:
    """How many processes compose the batches: none beside training on a CPU, the spare cores beside an accelerator."""
    if device.type == "cpu" or "fork" not in multiprocessing.get_all_start_methods():
        return 0
    return max(0, min(MAX_WORKERS, (os.cpu_count() or 1) - 2))


class StepBatches(Dataset[Any]):
    """Batches by step, for a data loader whose processes may be ahead of training.

    Args:
        make: (step, done fraction 0..1 of the budget) -> batch, on the CPU.
    """

    def __init__(self, make: Callable[[int, float], Any]) -> None:
        self.make = make
        # Shared with the loader's processes: how far training is when they compose a batch.
        self.fraction = multiprocessing.Value("d", 0.0)

    def __getitem__(self, step: int) -> Any:
        """The batch of a step."""
        return self.make(step, self.fraction.value)

    def stream(self, first_step: int, workers: int) -> Iterator[Any]:
        """Batches of `first_step` and all that follow, in order, composed by `workers` processes (0 = here, when asked for)."""
        steps = range(first_step, sys.maxsize)
        # A loader draws from its generator when it starts; its own, so that nothing else's randomness depends on it.
        options: dict[str, Any] = {"num_workers": workers, "generator": torch.Generator(), "collate_fn": _as_it_is}
        return iter(DataLoader(self, batch_size=None, sampler=steps, **options))


def _as_it_is(batch: Any) -> Any:
    return batch


def save_checkpoint(path: Path, progress: Progress, modules: dict[str, nn.Module], optimizers: list[torch.optim.Optimizer]) -> None:
    """Write everything needed to resume; atomic, so a kill while writing leaves the previous checkpoint."""
    state = {
        "progress": vars(progress),
        "modules": {name: module.state_dict() for name, module in modules.items()},
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
    }
    with replacing(path) as place:
        torch.save(state, place)


def load_checkpoint(path: Path, modules: dict[str, nn.Module], optimizers: list[torch.optim.Optimizer]) -> Progress:
    """Restore modules and optimizers in place; a fresh Progress when there is no checkpoint.

    Raises:
        RuntimeError: the checkpoint belongs to another architecture.
    """
    if not path.exists():
        return Progress()
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    for name, module in modules.items():
        module.load_state_dict(state["modules"][name])
    # No optimizers: the caller only wants the weights.
    for optimizer, saved in zip(optimizers, state["optimizers"] if optimizers else [], strict=True):
        optimizer.load_state_dict(saved)
    return Progress(**state["progress"])


def run(
    stage: str,
    folder: Path,
    *,
    modules: dict[str, nn.Module],
    optimizers: list[torch.optim.Optimizer],
    make_batch: Callable[[int, float], Any],
    train_step: Callable[[int, float, Any], tuple[dict[str, float], int]],
    device: torch.device,
    budget_s: float,
    max_steps: int | None = None,
    report: Callable[[Progress], dict[str, float]] | None = None,
    marks: Sequence[Fraction] = (),
    passed: Callable[[Fraction, Progress], None] | None = None,
    report_every_s: float = REPORT_EVERY_S,
    checkpoint_every_s: float = 120.0,
    print_every_s: float = 15.0,
) -> Progress:
    """Train until the time budget or the step limit is used up; returns the progress.

    Args:
        stage: name of the stage; names its checkpoint and its log.
        folder: where `<stage>.ckpt` and `<stage>.jsonl` live.
        modules, optimizers: what a checkpoint holds.
        make_batch: (step, done fraction 0..1 of the budget) -> the step's data, on the CPU.
        train_step: (step, done fraction, data) -> (losses, images seen).
        device: where the modules are; says how many processes compose data ahead of training.
        budget_s: training seconds over all resumed runs.
        max_steps: stop after this many steps (None: only the budget counts).
        report: called now and then with the progress; its figures go to the log.
        marks: done fractions 0..1 of the budget after which `passed` is called with the fraction and the progress. A run that was killed
            after a mark, and resumes from before it, passes it again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint, log_path = folder / f"{stage}.ckpt", folder / f"{stage}.jsonl"
    progress = load_checkpoint(checkpoint, modules, optimizers)
    if progress.step:
        print(f"{stage}: resumed at step {progress.step}, {progress.seconds_s:.0f} s of {budget_s:.0f} s used", flush=True)
    last = time.monotonic()
    since = {"print": last, "checkpoint": last, "report": last}
    window: list[tuple[dict[str, float], int]] = []

    def due(what: str, every_s: float) -> bool:
        if last - since[what] < every_s:
            return False
        since[what] = last
        return True

    def write(entry: dict[str, float]) -> None:
        with log_path.open("a") as handle:
            handle.write(json.dumps(entry) + "\n")

    batches = StepBatches(make_batch)
    stream = batches.stream(progress.step, loader_workers(device))

    def done() -> float:
        return min(progress.seconds_s / budget_s if max_steps is None else progress.step / max_steps, 1.0)

    for step in _steps(progress, budget_s, max_steps):
        fraction = done()
        batches.fraction.value = fraction
        losses, images = train_step(step, fraction, next(stream))
        window.append((losses, images))
        now = time.monotonic()
        progress.seconds_s += now - last
        last = now
        progress.step, progress.images = step + 1, progress.images + images
        for mark in marks:
            if passed is not None and fraction < mark <= done():
                passed(mark, progress)
        if due("print", print_every_s):
            entry = _summary(window, progress, print_every_s)
            window.clear()
            write(entry)
            print(f"{stage}: " + "  ".join(f"{k} {v:.4g}" for k, v in entry.items()), flush=True)
        if due("checkpoint", checkpoint_every_s):
            save_checkpoint(checkpoint, progress, modules, optimizers)
        if report is not None and due("report", report_every_s):
            figures = report(progress)
            write({"step": progress.step, "seconds_s": progress.seconds_s, **figures})
            print(f"{stage}: " + "  ".join(f"{k} {v:.4g}" for k, v in figures.items()), flush=True)
            last = time.monotonic()
    save_checkpoint(checkpoint, progress, modules, optimizers)
    return progress


def _steps(progress: Progress, budget_s: float, max_steps: int | None) -> Iterator[int]:
    while (max_steps is None and progress.seconds_s < budget_s) or (max_steps is not None and progress.step < max_steps):
        yield progress.step


def _summary(window: list[tuple[dict[str, float], int]], progress: Progress, seconds_s: float) -> dict[str, float]:
    keys = window[0][0]
    means = {key: sum(losses[key] for losses, _ in window) / len(window) for key in keys}
    return {
        "step": progress.step,
        "seconds_s": round(progress.seconds_s, 1),
        "images_per_s": sum(images for _, images in window) / seconds_s,
        **means,
    }
