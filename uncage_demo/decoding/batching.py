"""Forwards for several runs at once: equal inputs share one forward, different ones go as a batch where that changes nothing.

A sample must come out the same alone and in a batch, bit for bit. Whether a batched forward has that property depends on the
machine's matrix kernels, so it is measured once for each backend and batch shape, and batches are used only where it holds.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch

from uncage_demo.backends.base import Backend, Capture, ForwardOutput, Reuse
from uncage_demo.backends.threads import lanes

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class Request:
    """One sample's forward.

    Args:
        tokens: "n" int64, -1 = masked.
        step, num_steps: s and T.
        conditioning: from backend.encode_prompt; the same object means the same conditioning.
        text_length: number of text tokens of the prompt.
        unconditional: also run the unconditional half.
        capture: attention wanted, or None.
        suppress: text tokens hidden from attention.
        hidden: "n t" bool, True where an image token may not attend to a text token; None = nowhere.
        keep: return the features for reuse.
        reuse: run some positions only.
    """

    tokens: np.ndarray
    step: int
    num_steps: int
    conditioning: Any
    text_length: int
    unconditional: bool
    capture: Capture | None
    suppress: tuple[int, ...] = ()
    hidden: np.ndarray | None = None
    keep: bool = False
    reuse: Reuse | None = None

    @property
    def alone(self) -> int:
        """Of a request that goes by itself, because features belong to one sample, a number of its own; 0 for the others."""
        return id(self) if self.keep or self.reuse is not None else 0

    @property
    def shape_key(self) -> tuple[Any, ...]:
        """Requests that agree here may go in one batch."""
        common = (self.step, self.num_steps, self.text_length, self.unconditional, self.capture, self.suppress)
        return (*common, self.hidden is None, self.alone)

    @property
    def kernel_key(self) -> tuple[Any, ...]:
        """What may choose another kernel: suppress and step are values, not shapes, but whether anything is hidden counts."""
        return "forward", self.text_length, self.unconditional, self.capture, bool(self.suppress), self.hidden is None

    @property
    def input_key(self) -> tuple[Any, ...]:
        """Requests that agree here have the same output."""
        return (*self.shape_key, id(self.conditioning), self.tokens.tobytes(), b"" if self.hidden is None else self.hidden.tobytes())


_exact: weakref.WeakKeyDictionary[Any, dict[tuple[Any, ...], bool]] = weakref.WeakKeyDictionary()


def forward_all(backend: Backend, requests: Sequence[Request]) -> list[ForwardOutput]:
    """Outputs of all requests in order, each with a batch axis of 1; equal requests get the same object.

    Args:
        backend: the model.
        requests: any mix of steps, prompts and captures.

    Returns:
        One ForwardOutput a request: the same bits as `backend.forward` on that request alone.
    """
    unique: dict[tuple[Any, ...], Request] = {}
    for request in requests:
        unique.setdefault(request.input_key, request)
    groups: dict[tuple[Any, ...], list[Request]] = {}
    for request in unique.values():
        groups.setdefault(request.shape_key, []).append(request)
    outputs: dict[tuple[Any, ...], ForwardOutput] = {}
    for group in groups.values():
        limit = max(1, backend.max_batch)
        for part in (group[i : i + limit] for i in range(0, len(group), limit)):
            made = in_batches(backend, part[0].kernel_key, part, partial(_forward_each, backend), _same)
            outputs.update(zip((request.input_key for request in part), made, strict=True))
    return [outputs[request.input_key] for request in requests]


def in_batches(
    backend: Backend, key: tuple[Any, ...], items: Sequence[T], compute: Callable[[Sequence[T]], list[R]], same: Callable[[R, R], bool]
) -> list[R]:
    """Results of all items, computed together where that gives each the bits that it gets alone; measured once, then remembered.

    Args:
        backend: the model; what was measured is remembered as long as it lives.
        key: what is computed and every shape it depends on, the number of items aside. Kernels are chosen by shape, never by value, so
            the items at hand are as good a probe as any.
        items: any number.
        compute: results of some items, one each.
        same: whether two results are equal to the last bit.

    Returns:
        One result per item, in order.
    """
    if len(items) < 2:
        return compute(items) if items else []
    known = _exact.setdefault(backend, {})
    shape = (*key, len(items), lanes(backend.device))
    if known.get(shape, False):
        return compute(items)
    alone = [compute([item])[0] for item in items]
    if shape not in known:
        known[shape] = all(same(one, other) for one, other in zip(compute(items), alone, strict=True))
    return alone


def found_exact(backend: Backend) -> bool:
    """Whether every batch that was measured so far, of this many threads, gave each sample the bits that it gets alone."""
    known = _exact.get(backend, {})
    threads = lanes(backend.device)
    return all(exact for shape, exact in tuple(known.items()) if shape[-1] == threads)


def _forward(backend: Backend, requests: Sequence[Request]) -> ForwardOutput:
    first = requests[0]
    grids = np.stack([request.tokens for request in requests])
    tokens = torch.from_numpy(np.where(grids < 0, backend.mask_id, grids)).to(backend.device)
    with torch.inference_mode():
        return backend.forward(
            tokens,
            first.step,
            first.num_steps,
            [request.conditioning for request in requests],
            unconditional=first.unconditional,
            capture=first.capture,
            suppress=first.suppress,
            hidden=None if first.hidden is None else _stacked(backend, requests),
            # A model that cannot keep features need not know the words.
            **({"keep": first.keep, "reuse": first.reuse} if first.alone else {}),
        )


def _stacked(backend: Backend, requests: Sequence[Request]) -> torch.Tensor:
    """What is hidden from each of the requests: "b n t" bool."""
    return torch.from_numpy(np.stack([request.hidden for request in requests if request.hidden is not None])).to(backend.device)


def _forward_each(backend: Backend, requests: Sequence[Request]) -> list[ForwardOutput]:
    return _split(_forward(backend, requests), len(requests))


def _split(output: ForwardOutput, count: int) -> list[ForwardOutput]:
    def part(values: torch.Tensor | None, i: int) -> torch.Tensor | None:
        return None if values is None else values[i : i + 1]

    if count == 1:
        return [output]
    return [
        ForwardOutput(output.cond[i : i + 1], part(output.uncond, i), part(output.attention, i), part(output.attention_full, i))
        for i in range(count)
    ]


def _same(one: ForwardOutput, other: ForwardOutput) -> bool:
    pairs = (
        (one.cond, other.cond),
        (one.uncond, other.uncond),
        (one.attention, other.attention),
        (one.attention_full, other.attention_full),
    )
    return all(a is b or (a is not None and b is not None and torch.equal(a, b)) for a, b in pairs)
