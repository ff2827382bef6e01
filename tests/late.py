"""Modules that are loaded when a test first uses them: Gradio takes five seconds, which one of two processes can do without.

Unit tests that name this module run in one process (`tests/conftest.py`).
"""

from importlib import import_module
from typing import Any


class _Late:
    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        # pytest asks everything that a file of tests holds whether it is a test or a mock.
        if attribute.startswith("__") or attribute == "_mock_name":
            raise AttributeError(attribute)
        return getattr(import_module(self._name), attribute)


def late(name: str) -> Any:
    """What a module holds, by the module's full name; nothing is loaded before it is asked for."""
    return _Late(name)
