"""The script that runs before Gradio's own: it is in Gradio's pages and in nothing else that the server answers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.awaiting import awaited
from uncage_demo.ui.first_script import FirstScript

PAGE = b"<!doctype html><head><script>window.gradio_config = {};</script></head>"


def ask(kind: str, *parts: bytes, method: str = "GET", **headers: str) -> tuple[dict[bytes, bytes], bytes]:
    """Headers and body of a server's answer of these parts."""
    said: list[Any] = []
    told = [(b"content-type", kind.encode()), (b"Content-Length", str(sum(map(len, parts))).encode())]
    told += [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]

    async def server(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": told})
        for number, part in enumerate(parts, 1):
            await send({"type": "http.response.body", "body": part, "more_body": number < len(parts)})

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        said.append(message)

    awaited(FirstScript(server, "first()")({"type": "http", "method": method, "path": "/"}, receive, send))
    body = b"".join(message["body"] for message in said[1:])
    return {name.lower(): value for name, value in said[0]["headers"]}, body


def test_a_page_has_the_script_before_all_others() -> None:
    headers, body = ask("text/html; charset=utf-8", PAGE)
    assert body == PAGE.replace(b"<head>", b"<head><script>first()</script>")
    assert headers[b"content-length"] == str(len(body)).encode()


@pytest.mark.parametrize(
    ("kind", "parts", "headers"),
    [
        ("application/json", (PAGE,), {}),
        ("text/html", (b"<head></head>a trace's own page",), {}),
        ("text/html", (PAGE,), {"content_encoding": "br"}),
        ("text/html", (PAGE,), {"method": "POST"}),
        ("text/html", (PAGE[:20], PAGE[20:]), {}),
        ("text/html", (b"",), {}),
    ],
)
def test_every_other_answer_stays_as_it_is(kind: str, parts: tuple[bytes, ...], headers: dict[str, str]) -> None:
    told, body = ask(kind, *parts, **headers)
    assert body == b"".join(parts)
    assert told[b"content-length"] == str(len(body)).encode()


def test_a_script_that_would_end_its_element_is_refused() -> None:
    with pytest.raises(ValueError, match="would end its element"):
        FirstScript(ask, "'</script>'")  # type: ignore[arg-type]
