"""A real server of the page on a free port with the tiny real model, and one client for all its visitors."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from tests.awaiting import awaited
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.ui.layout import build_ui
from uncage_demo.ui.models import ModelSlot
from uncage_demo.ui.theme import launch_options

PAUSE_S = 0.02


@contextmanager
def running_page() -> Iterator[SimpleNamespace]:
    """Address of the page, and how many forwards its model has made."""
    backend, seen = EmbeddedBackend.tiny(seed=0), SimpleNamespace(forwards=0, address="", client=None)
    forward = backend.forward

    @functools.wraps(forward)
    def counted(*args: Any, **kwargs: Any) -> Any:
        seen.forwards += 1
        time.sleep(PAUSE_S)
        return forward(*args, **kwargs)

    backend.forward = counted  # type: ignore[method-assign]
    with serving(ModelSlot(lambda name, allowed: backend), seen):
        yield seen


@contextmanager
def serving(slot: ModelSlot, seen: SimpleNamespace | None = None) -> Iterator[SimpleNamespace]:
    """Address of a page over a slot, stopped in the end."""
    seen = seen or SimpleNamespace(address="", client=None)
    demo = build_ui(slot)
    _, seen.address, _ = demo.launch(prevent_thread_lock=True, quiet=True, _frontend=False, **launch_options())
    try:
        yield seen
    finally:
        try:
            demo.close()
        except RuntimeError:  # Gradio wakes who waits from this thread, while the server's own may be changing their list
            demo.close()


@contextmanager
def serving_folders() -> Iterator[SimpleNamespace]:
    """The page of an owner who allows folders, with its client; models are loaded as they are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNCAGE_FOLDERS", "1")
        patch.delenv("UNCAGE_MODELS", raising=False)
        with serving(ModelSlot()) as page:
            client(page)
            yield page


def client(server: SimpleNamespace) -> Any:
    """One for all visitors: each of its calls is a visitor of its own to the server."""
    from gradio_client import Client

    if server.client is None:
        server.client = Client(server.address, verbose=False, download_files=False, httpx_kwargs={"timeout": 120})
    return server.client


def compare(server: SimpleNamespace, prompt: str, seed: int, steps: int = 4) -> dict[str, Any]:
    """The first run's summary."""
    return client(server).predict(prompt, ["meissonic", "halton"], seed, steps, 3.0, "embedded", api_name="/compare")[2][0]


def call(server: SimpleNamespace, tool: str, arguments: dict[str, Any]) -> Any:
    """What an assistant gets of a tool."""
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    async def ask() -> Any:
        async with streamablehttp_client(f"{server.address}gradio_api/mcp/") as (read, write, _), ClientSession(read, write) as session:
            await session.initialize()
            return await session.call_tool(tool, arguments)

    return awaited(ask())
