"""The config is made once for all visitors, and again for whoever reaches the page another way."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from uncage_demo.ui.kept_answers import KeptAnswers


def ask(app: KeptAnswers, path: str = "/config", query: bytes = b"", method: str = "GET", **headers: str) -> tuple[int, bytes]:
    """Status and body of an answer."""
    said: list[Any] = []
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in {"host": "here", **headers}.items()]
    scope = {"type": "http", "method": method, "path": path, "query_string": query, "scheme": "http", "headers": named}

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        said.append(message)

    # In a thread of its own: a browser test before this one in the same process leaves its loop running in the main one.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, app(scope, receive, send)).result()
    return said[0]["status"], b"".join(message.get("body", b"") for message in said[1:])


@pytest.fixture
def served() -> tuple[KeptAnswers, list[str]]:
    """A server that answers with the number of the request, in two parts, and what it was asked."""
    asked: list[str] = []

    async def server(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope["path"])
        await send(
            {"type": "http.response.start", "status": 500 if len(asked) == 1 and scope["path"] == "/config/" else 200, "headers": []}
        )
        await send({"type": "http.response.body", "body": b"answer ", "more_body": True})
        await send({"type": "http.response.body", "body": str(len(asked)).encode()})

    return KeptAnswers(server), asked


def test_one_answer_serves_everybody(served: tuple[KeptAnswers, list[str]]) -> None:
    app, asked = served
    assert [ask(app) for _ in range(3)] == [(200, b"answer 1")] * 3
    assert asked == ["/config"]


@pytest.mark.parametrize(
    "other",
    [
        {"query": b"page=about"},
        {"query": b"deep_link=x"},
        {"method": "POST"},
        {"path": "/gradio_api/queue/data"},
        {"cookie": "access-token-unsecure-abc=1"},
        {"authorization": "Bearer x"},
    ],
)
def test_what_may_differ_is_asked_anew(served: tuple[KeptAnswers, list[str]], other: dict[str, Any]) -> None:
    app, _ = served
    assert [ask(app, **other)[1] for _ in range(2)] == [b"answer 1", b"answer 2"]


def test_the_answer_names_the_address_it_was_asked_at(served: tuple[KeptAnswers, list[str]]) -> None:
    app, _ = served
    ways: list[dict[str, Any]] = [{}, {"x_forwarded_host": "elsewhere"}, {"x_forwarded_proto": "https"}, {"host": "there"}]
    assert [ask(app, **way)[1] for way in ways] == [b"answer 1", b"answer 2", b"answer 3", b"answer 4"]
    assert ask(app, x_forwarded_host="elsewhere")[1] == b"answer 2"


def test_a_failure_is_not_kept(served: tuple[KeptAnswers, list[str]]) -> None:
    app, _ = served
    assert [ask(app, "/config/") for _ in range(3)] == [(500, b"answer 1"), (200, b"answer 2"), (200, b"answer 2")]
