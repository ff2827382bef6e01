"""A visitor's session costs nothing until somebody needs what it holds.

Gradio describes every component of the page anew for each visitor: 0.1 s of processor time here, on the event loop, so that a class that
comes in within a second stops the server for several. Only deep links read those descriptions; single ones are made where a value changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from gradio.state_holder import SessionState

_begin: Any = SessionState.__init__
_all_components: Any = SessionState.components.fget  # type: ignore[attr-defined]


def install() -> None:
    """Let sessions that begin from now on describe components when the descriptions are read."""
    patched: Any = SessionState
    patched.__init__ = _begin_light
    patched.components = property(_described)


def _begin_light(self: Any, blocks: Any) -> None:
    # Gradio describes what is in `blocks.blocks`, and copies the rest from `default_config`.
    _begin(self, SimpleNamespace(default_config=blocks.default_config, blocks=()))
    self._page = blocks


def _described(self: Any) -> Iterator[dict]:
    for key, block in self.blocks_config.blocks.items():
        if key in self._page.blocks and key not in self.config_values:
            self.config_values[key] = self.blocks_config.config_for_block(key, [], block)
    yield from _all_components(self)
