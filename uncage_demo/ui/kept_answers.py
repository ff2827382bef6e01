"""Answers that never change while the page runs are made once: its config and its description for programs, asked by every visitor.

Gradio copies and encodes its whole config (440 KB here, 23 ms of processor time) for each of them, in a thread that competes with the runs.
Nothing here knows of the page; it is a layer of plain ASGI around the server.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from cachetools import LRUCache

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

PATHS = ("/config", "/config/", "/gradio_api/info")
QUERIES = (b"", b"serialize=False")
_MOST_KEPT = 16  # one a way in which the page is reached: host names and proxies
_READ = (b"host", b"accept-encoding")  # and x-forwarded-*: the answers name the page's own address


class KeptAnswers:
    """ASGI middleware that answers from memory what was answered well before.

    Args:
        app: the server inside.
    """

    def __init__(self, app: App) -> None:
        self.app = app
        self._kept: LRUCache[tuple[Any, ...], list[Message]] = LRUCache(_MOST_KEPT)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        key = _key(scope)
        if key is None:
            await self.app(scope, receive, send)
            return
        if key not in self._kept:
            said: list[Message] = []

            async def listen(message: Message) -> None:
                said.append(message)

            await self.app(scope, receive, listen)
            if said and said[0].get("status") == 200:
                self._kept[key] = said
        else:
            said = self._kept[key]
        for message in said:
            await send(dict(message))


def _key(scope: Message) -> tuple[Any, ...] | None:
    """What an answer depends on; None where it is not one of those kept, or where somebody has signed in."""
    if scope["type"] != "http" or scope["method"] != "GET":
        return None
    if scope["path"] not in PATHS or scope.get("query_string", b"") not in QUERIES:
        return None
    headers = [(name.lower(), value) for name, value in scope["headers"]]
    if any(name == b"authorization" or (name == b"cookie" and b"access-token" in value) for name, value in headers):
        return None
    read = tuple(sorted((name, value) for name, value in headers if name in _READ or name.startswith((b"x-forwarded", b"x-gradio"))))
    return scope["path"], scope.get("query_string", b""), scope.get("scheme"), scope.get("root_path"), scope.get("server"), read
