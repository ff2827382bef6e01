"""Whether somebody still listens to a run.

Gradio closes a run's generator when it sees the caller's stream closing. Two kinds of callers it does not see: one who asks for a run and
never opens the stream of its answer, and an assistant's, whose call a client of the server's own listens to. Both end here.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Iterator
from typing import Any, TypeVar

from cachetools import TTLCache

T = TypeVar("T")

# A stream is opened right after asking, by hand within some seconds.
PATIENCE_S = 20.0
# Names an assistant's call in the request that the server makes of it.
CALL_HEADER = "x-uncage-call"
_left: TTLCache[str, bool] = TTLCache(4096, 3600)


def leave(call: str) -> None:
    """Tell that whoever made a call of this name has left."""
    _left[call] = True


def while_heard(items: Generator[T, None, None]) -> Iterator[T]:
    """The items, as long as somebody listens to the request at hand; outside of one, all of them.

    Args:
        items: closed when nobody listens, as when the caller closes this.

    Raises:
        ValueError: nobody listens.
    """
    ear = _Ear()
    try:
        for item in items:
            ear.check()
            yield item
    finally:
        items.close()


class _Ear:
    """Listens for a listener of the request at hand."""

    def __init__(self) -> None:
        context = sys.modules.get("gradio.context")  # a process that has not loaded Gradio answers no request
        local = context and context.LocalContext
        request: Any = local and local.request.get(None)
        self._blocks: Any = local and local.blocks.get(None)
        self._session = getattr(request, "session_hash", None)
        headers = getattr(request, "headers", None)
        self._call = headers.get(CALL_HEADER) if headers is not None else None
        self._heard, self._said, self._since = False, 0, time.monotonic()

    def check(self) -> None:
        if self._call in _left:
            raise ValueError("the caller has left, so the run was stopped")
        if self._heard or self._blocks is None or self._session is None:
            return
        messages = self._blocks._queue.pending_messages_per_session.get(self._session)
        unread = 0 if messages is None else messages.qsize()
        # Fewer are unread than were said: the stream is open, and when it closes, Gradio sees it.
        self._heard = unread == 0 or unread < self._said
        self._said += 1
        if not self._heard and time.monotonic() - self._since > PATIENCE_S:
            raise ValueError(
                f"nobody has opened the stream of this answer for {PATIENCE_S:g} s, so the run was stopped; open it right after asking"
            )
