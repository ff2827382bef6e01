"""What is free goes back to the system, and what stays is left out of garbage collections, until something large is let go."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.ui import memory
from uncage_demo.ui.models import ModelSlot


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    frozen = gc.get_freeze_count()
    yield
    if frozen:
        gc.freeze()


def test_free_memory_goes_back_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    if memory._libc() is None:
        pytest.skip("another C library than glibc")
    monkeypatch.setattr(memory, "_given_back_at", float("-inf"))
    assert memory.give_back()
    assert not memory.give_back(), "not after every run of a crowd"
    monkeypatch.setattr(memory, "_given_back_at", memory.time.monotonic() - 60)
    assert memory.give_back()


def test_elsewhere_than_on_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_libc", lambda: None)
    assert not memory.give_back()
    assert not memory.share_arenas()


def test_an_embedded_model_is_left_out_of_collections_and_a_large_one_that_goes_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny: Any = EmbeddedBackend.tiny(seed=0)
    monkeypatch.setenv("UNCAGE_MODELS", "embedded,meissonic,monetico")
    monkeypatch.setattr(gc, "collect", lambda: 0)  # of all tests' objects, twice
    gc.unfreeze()
    slot = ModelSlot(lambda name, allowed: tiny)
    slot.get("embedded")
    assert gc.get_freeze_count() > 1000
    slot.get("meissonic")
    slot.get("monetico")
    assert gc.get_freeze_count() == 0, "meissonic must be found should it refer to itself"


def test_what_is_left_out_is_freed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc, "collect", lambda: 0)

    class Large:
        gone = False

        def __del__(self) -> None:
            Large.gone = True

    large = Large()
    memory.settle()
    del large
    assert Large.gone
