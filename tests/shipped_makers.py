"""The shipped models by what examples say of their maker; each is loaded once."""

from __future__ import annotations

from functools import cache

from uncage_demo.backends.ages import WHOLE
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.shipped import EMBEDDED


@cache
def maker(model: str, age: str) -> EmbeddedBackend:
    """The shipped model that an example says it was made by."""
    return EmbeddedBackend.load(EMBEDDED[model], age=age or WHOLE)
