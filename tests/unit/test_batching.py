"""Forwards together: only where each sample gets the bits that it gets alone, in every part of the output."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.toy_backend import ToyBackend
from uncage_demo.backends.base import Capture, ForwardOutput
from uncage_demo.decoding.batching import Request, _same, found_exact, in_batches

ALL = ForwardOutput(torch.zeros(1, 4, 3), torch.ones(1, 4, 3), torch.full((1, 2, 4), 0.5), torch.full((1, 1, 2, 2, 4), 0.25))


def test_equal_outputs_are_the_same() -> None:
    assert _same(ALL, replace(ALL, cond=ALL.cond.clone(), attention_full=torch.full((1, 1, 2, 2, 4), 0.25)))


# Features are not compared: a forward that keeps them goes by itself.
@pytest.mark.parametrize("name", [field.name for field in fields(ForwardOutput) if field.name != "features"])
def test_one_other_bit_in_any_part_is_told(name: str) -> None:
    values = getattr(ALL, name).clone()
    values.view(-1)[-1] = torch.nextafter(values.view(-1)[-1], torch.tensor(9.0))
    assert not _same(ALL, replace(ALL, **{name: values}))
    if name != "cond":
        assert not _same(ALL, replace(ALL, **{name: None}))


GRID = np.full(4, -1)
CONDITIONING = object()
REQUEST = Request(GRID, 2, 8, CONDITIONING, 3, True, Capture(columns=(0,)))


@pytest.mark.parametrize(
    ("change", "batched"),
    [
        ({"tokens": np.array([-1, -1, 5, -1])}, True),
        ({"conditioning": object()}, True),
        ({"step": 3}, False),
        ({"text_length": 4}, False),
        ({"unconditional": False}, False),
        ({"capture": None}, False),
        ({"suppress": (1,)}, False),
        ({"hidden": np.zeros((4, 3), bool)}, False),
        ({"keep": True}, False),
    ],
    ids=lambda value: next(iter(value), "") if isinstance(value, dict) else str(value),
)
def test_what_may_share_a_batch_and_what_has_the_same_output(change: dict[str, Any], batched: bool) -> None:
    other = replace(REQUEST, **change)
    assert (other.shape_key == REQUEST.shape_key) == batched
    assert other.input_key != REQUEST.input_key
    assert replace(REQUEST, tokens=GRID.copy()).input_key == REQUEST.input_key


def test_a_kernel_is_chosen_by_shapes_and_not_by_values() -> None:
    assert replace(REQUEST, step=3, tokens=np.zeros(4, int)).kernel_key == REQUEST.kernel_key
    hidden = replace(REQUEST, hidden=np.zeros((4, 3), bool))
    suppressed = replace(REQUEST, suppress=(1,))
    assert len({REQUEST.kernel_key, hidden.kernel_key, suppressed.kernel_key}) == 3
    assert replace(REQUEST, suppress=(2,)).kernel_key == suppressed.kernel_key


def test_what_was_found_counts_for_the_same_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    backend: Any = ToyBackend()

    def inexact(items: Sequence[float]) -> list[float]:
        return [item + len(items) for item in items]

    assert found_exact(backend)
    assert in_batches(backend, ("a sum",), [1.0, 2.0], inexact, lambda one, other: one == other) == [2.0, 3.0]
    assert not found_exact(backend)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 99)
    assert found_exact(backend)
