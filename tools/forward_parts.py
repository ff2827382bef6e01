"""Where a forward's, a step's and a picture's time goes, and what it could be at best: `python -m tools.forward_parts` prints the tables.

Every operator that a guided forward (or a picture) calls is noted with its tensors and then called again, alone, many times: the least
processor time of each is what its kernel needs with warm caches. What the whole takes beyond the sum of these is Python, torch's own
bookkeeping and cold caches. Least times, because other programs of the machine can only add to them.

    python -m tools.forward_parts --threads 1 --rounds 100
"""

from __future__ import annotations

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from uncage_demo.backends.base import Capture
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.run import RecordOptions, Run
from uncage_demo.decoding.sampler import decode_many
from uncage_demo.prompt.parse import parse_prompt

PROMPT = "a turtle and a pink apple"
KINDS = {
    "matrix products": ("addmm", "mm", "bmm", "baddbmm"),
    "convolutions": ("convolution",),
    "attention": ("_scaled_dot_product_flash_attention_for_cpu",),
    "GELU": ("gelu",),
    "norms": ("native_layer_norm", "native_group_norm"),
}
OTHERS = "copies, sums, turns by position and the like"

Call = tuple[Any, tuple[Any, ...], dict[str, Any]]


class _Noted(TorchDispatchMode):
    """Notes every call of an operator that computes something, with its tensors as they are then."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        # A view computes nothing; its cost is bookkeeping, which the whole shows.
        if not func.is_view and func not in (torch.ops.aten.empty.memory_format, torch.ops.aten.detach.default):
            self.calls.append((func, _fresh(args) if func._schema.is_mutable else args, kwargs))
        return func(*args, **kwargs)


def _fresh(args: tuple[Any, ...]) -> tuple[Any, ...]:
    return (args[0].clone(), *args[1:]) if args and isinstance(args[0], torch.Tensor) else args


def least_ms(work: Callable[[], Any], rounds: int, clock: Callable[[], float]) -> float:
    """Milliseconds that `work` takes at least, in so many rounds after a few that do not count."""
    best = float("inf")
    for turn in range(rounds + 3):
        began = clock()
        work()
        took = clock() - began
        best = min(best, took) if turn >= 3 else best
    return best * 1e3


def flops(call: Call) -> float:
    """Floating point operations of a matrix product or a convolution; 0 for others."""
    name, tensors = call[0]._schema.name.removeprefix("aten::"), [one for one in call[1] if isinstance(one, torch.Tensor)]
    if name in KINDS["matrix products"]:
        left, right = tensors[-2], tensors[-1]
        return 2.0 * left.numel() * right.shape[-1]
    if name in KINDS["convolutions"]:
        image, weight = tensors[0], tensors[1]
        return 2.0 * len(image) * image.shape[2] * image.shape[3] * weight.numel()  # all of them keep the size
    return 0.0


def parts_of(work: Callable[[], Any], rounds: int, clock: Callable[[], float]) -> dict[str, tuple[float, int, float]]:
    """Of each kind of operator within `work`: milliseconds alone, calls, GFLOP."""
    with torch.no_grad(), _Noted() as noted:
        work()
    found: dict[str, list[float]] = defaultdict(lambda: [0.0, 0, 0.0])
    with torch.no_grad():
        for call in noted.calls:
            func, args, kwargs = call
            name = func._schema.name.removeprefix("aten::")
            kind = next((kind for kind, names in KINDS.items() if name in names), OTHERS)
            again = _fresh(args) if func._schema.is_mutable else args
            if func._schema.is_mutable and name.endswith("_"):
                again = (args[0].clone().fill_(1), *args[1:])  # called again and again, a product would grow beyond all numbers
            took = least_ms(lambda func=func, args=again, kwargs=kwargs: func(*args, **kwargs), rounds, clock)
            for place, value in enumerate((took, 1, flops(call) / 1e9)):
                found[kind][place] += value
    return {kind: (ms, int(count), gflop) for kind, (ms, count, gflop) in sorted(found.items(), key=lambda item: -item[1][0])}


def print_table(title: str, whole: float, parts: dict[str, tuple[float, int, float]]) -> None:
    """One table: each kind alone, and what is left of the whole."""
    print(f"\n| {title} | ms | share | calls | GFLOP/s |\n|---|---|---|---|---|")
    for kind, (ms, count, gflop) in parts.items():
        print(f"| {kind} | {ms:.2f} | {ms / whole:.0%} | {count} | {f'{gflop / ms * 1e3:.0f}' if gflop else ''} |")
    rest = whole - sum(ms for ms, _, _ in parts.values())
    print(f"| Python, bookkeeping, cold caches | {rest:.2f} | {rest / whole:.0%} | | |\n| whole | {whole:.2f} | 100% | | |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=100)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    # Processor time of the calling thread where it works alone: whatever interrupts it does not count.
    clock = time.thread_time if asked.threads == 1 else time.perf_counter
    backend = EmbeddedBackend.load()
    prompt = parse_prompt(PROMPT, backend)
    said = backend.encode_prompt(prompt)
    count = backend.info.grid[0] * backend.info.grid[1]
    tokens = torch.randint(0, backend.mask_id + 1, (1, count), generator=torch.Generator().manual_seed(0))
    capture = Capture(source="default")
    pictured = tokens.clamp(max=backend.mask_id - 1)

    def forward() -> None:
        backend.forward(tokens, 3, 16, [said])

    print(f"{asked.threads} thread(s), {asked.rounds} rounds, load before {os.getloadavg()[0]:.1f}, torch {torch.__version__}")
    square = torch.randn(512, 512)
    peak = 2 * 512**3 / least_ms(lambda: square @ square, asked.rounds, clock) / 1e6
    print(f"a product of 512 x 512 by 512 x 512: {peak:.0f} GFLOP/s")
    whole = least_ms(forward, asked.rounds, clock)
    print_table("a guided forward", whole, parts_of(forward, asked.rounds, clock))
    read = least_ms(lambda: backend.forward(tokens, 3, 16, [said], capture=capture), asked.rounds, clock)
    print(f"\nWith attention read: {read:.2f} ms.")

    def step(level: Any) -> float:
        def run() -> None:
            for _ in decode_many(backend, [Run(prompt, DecodingConfig(num_steps=16))], record=RecordOptions(level=level)):
                pass

        return least_ms(run, max(5, asked.rounds // 10), clock) / 16

    plain, full = step("minimal"), step("full")
    print(f"A step: {plain:.2f} ms, with all that a trace records {full:.2f} ms ({full / plain:.3f} times).")
    print_table(
        "a picture",
        least_ms(lambda: backend.decode_tokens(pictured), asked.rounds, clock),
        parts_of(lambda: backend.decode_tokens(pictured), asked.rounds, clock),
    )


if __name__ == "__main__":
    main()
