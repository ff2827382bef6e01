"""Compiled blocks: traced without breaks, the same logits as plain ones within rounding, and bitwise the same with and without capture.

The code is traced for real but run by torch's own operators, which needs no C++ compiler; test_compiler.py has one make it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from tests.tiny_checkpoints import CODEBOOK, WIDTH, tiny_transformer, tiny_uvit
from uncage_demo.backends.attention import ColumnRecorder
from uncage_demo.backends.large.amused import AmusedNetwork
from uncage_demo.backends.large.compiling import compile_methods

T = 7
NETWORKS: dict[str, Callable[[], Any]] = {"meissonic": lambda: tiny_transformer(True), "amused": lambda: AmusedNetwork(tiny_uvit(True))}
# However many blocks: before and after attention, of two kinds of block; of aMUSEd the down block, the layer and the up block.
GRAPHS = {"meissonic": 4, "amused": 3}


@pytest.fixture(autouse=True)
def _traced_only(monkeypatch: pytest.MonkeyPatch) -> None:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))


def inputs(batch: int) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(7)
    tokens = torch.randint(0, CODEBOOK, (batch, 4, 6), generator=generator)
    text, pooled = torch.randn(batch, T, WIDTH, generator=generator), torch.randn(batch, WIDTH, generator=generator)
    return tokens, text, pooled, torch.tensor([[96.0, 64.0, 0.0, 0.0, 6.0]]).expand(batch, -1), torch.full((batch,), 3.0)


@pytest.mark.parametrize("family", NETWORKS)
def test_capture_knock_out_and_further_blocks_need_no_other_code(family: str) -> None:
    plain, compiled = NETWORKS[family](), NETWORKS[family]()
    compiled.compile_blocks()
    mask = torch.ones(2, T, dtype=torch.bool)
    mask[1, 3] = False
    layers = range(1, 3) if family == "meissonic" else plain.main_layers

    def recorder() -> ColumnRecorder:
        return ColumnRecorder([1, 4], layers, full=True, rows=slice(T, None) if family == "meissonic" else slice(None), samples=slice(1, 2))

    with torch.no_grad():
        want = plain(*inputs(2))
        logits = compiled(*inputs(2))
        counted = dict(torch._dynamo.utils.counters["stats"])
        reads, own = recorder(), recorder()
        watched = compiled(*inputs(2), recorder=reads)
        hidden = compiled(*inputs(2), mask, recorder())
        hidden_unread = compiled(*inputs(2), mask)
        assert dict(torch._dynamo.utils.counters["stats"]) == counted  # nothing was traced again
        plain(*inputs(2), recorder=own)
        want_hidden = plain(*inputs(2), mask)
        # Tracing for another batch size takes as long again; of both families it is tested with the compiler (tests/slow).
        if family == "amused":
            torch.testing.assert_close(compiled(*inputs(4)), plain(*inputs(4)), atol=1e-5, rtol=1e-4)
    assert counted["unique_graphs"] == GRAPHS[family]
    assert set(compiled.state_dict()) == set(plain.state_dict())
    torch.testing.assert_close(logits, want, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(hidden, want_hidden, atol=1e-5, rtol=1e-4)
    assert torch.equal(watched, logits)
    assert torch.equal(hidden_unread, hidden)
    found, expected = reads.stacked(), own.stacked()
    assert found is not None
    assert expected is not None
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_a_method_that_cannot_be_traced_is_not_cut_in_pieces_silently() -> None:
    class Broken(torch.nn.Module):
        def before(self, x: torch.Tensor) -> torch.Tensor:
            print("seen")
            return x * float(x.sum())

    module = Broken()
    compile_methods(module, "before")
    with pytest.raises(RuntimeError):
        module.before(torch.ones(2))
