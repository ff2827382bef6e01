"""Files for browsers in which runs are drawn, served beside the page with headers that let a browser keep them for good.

Nothing here knows of the page; it is a layer of plain ASGI around the server.
"""

from __future__ import annotations

import gzip
import re

from uncage_demo.browser.served import SHELF, Served, Shelf
from uncage_demo.ui.kept_answers import App, Message, Receive, Send

# Below whatever path the page is reached at.
FOLDER = "uncage-web"
_PATH = re.compile(rf"/{FOLDER}/([0-9a-f]+/[\w.-]+)$")
KEEP = b"public, max-age=31536000, immutable"


class BrowserFiles:
    """ASGI middleware that answers for the files of a shelf.

    Args:
        app: the server inside.
        shelf: the files.
    """

    def __init__(self, app: App, shelf: Shelf = SHELF) -> None:
        self.app = app
        self.shelf = shelf

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        asked = _PATH.search(scope["path"]) if scope["type"] == "http" and scope["method"] in ("GET", "HEAD") else None
        if asked is None:
            await self.app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        status, told, body = answer(self.shelf.get(asked[1]), headers)
        await send({"type": "http.response.start", "status": status, "headers": told})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def answer(file: Served | None, asked: dict[bytes, bytes]) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, headers and body of a file's answer.

    Args:
        file: None where there is no such file.
        asked: the request's headers by their names in lower case.
    """
    if file is None:
        body = b"There is no such file any more: load the page again."
        return 404, [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")], body
    tag = f'"{file.name}"'.encode()
    told = [(b"cache-control", KEEP), (b"etag", tag), (b"x-content-type-options", b"nosniff")]
    if tag in asked.get(b"if-none-match", b"").replace(b" ", b"").split(b","):
        return 304, told, b""
    body = file.data
    if file.plain:
        told.append((b"vary", b"accept-encoding"))
        if b"gzip" in asked.get(b"accept-encoding", b""):
            told.append((b"content-encoding", b"gzip"))
        else:
            body = gzip.decompress(body)
    if file.saved_as:
        told.append((b"content-disposition", f'attachment; filename="{file.saved_as}"'.encode()))
    told += [(b"content-type", file.kind.encode()), (b"content-length", str(len(body)).encode())]
    return 200, told, body
