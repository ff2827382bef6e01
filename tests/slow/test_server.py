"""The running page with hostile callers: a real server, the tiny real model (a class's load: tests/slow/test_server_load.py)."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from PIL import Image

pytest.importorskip("gradio")
pytest.importorskip("mcp")

from tests.awaiting import awaited
from tests.running_page import call, client, running_page
from uncage_demo import runner
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.config import DecodingConfig
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.ui import listeners
from uncage_demo.ui.head_requests import BUSY, MOST_WAITING, heads_function
from uncage_demo.ui.jobs import check_cost
from uncage_demo.ui.models import ModelSlot


@pytest.fixture(scope="module")
def server() -> Iterator[SimpleNamespace]:
    with running_page() as page:
        yield page


def test_one_request_has_a_bound_and_says_it(server: SimpleNamespace) -> None:
    check_cost(6, 4, 64)
    with pytest.raises(ValueError, match=r"6 orders × 4 seeds × 65 steps are 1560 decoding steps: one request may take at most 1536"):
        check_cost(6, 4, 65)
    with pytest.raises(Exception, match="7 orders"):
        client(server).predict("a cat", ["meissonic"] * 7, 0, 4, 3.0, "embedded", api_name="/compare")


@pytest.mark.parametrize(
    ("place", "value", "wrong"),
    [
        (2, 1.5, "seed='1.5': give a whole number from 0 to 9007199254740991"),
        (2, "0", "seed='0'"),
        (2, -1, "seed='-1'"),
        (3, "a", "num_steps='a'"),
    ],
)
def test_errors_name_the_argument(server: SimpleNamespace, place: int, value: Any, wrong: str) -> None:
    arguments: list[Any] = ["a cat", "meissonic", 0, 4, 3.0, -1, "both", -1, "embedded"]
    arguments[place] = value
    with pytest.raises(Exception, match=wrong.replace("(", r"\(")):
        client(server).predict(*arguments, api_name="/generate")


def test_no_file_is_no_accident(server: SimpleNamespace) -> None:
    with pytest.raises(Exception, match=r"trace: give an \.npz file"):
        client(server).predict(None, api_name="/open_trace")


@pytest.mark.parametrize(("tool", "pictures"), [("generate", 1), ("compare", 2)])
def test_assistants_get_pictures(server: SimpleNamespace, tool: str, pictures: int) -> None:
    """They got text with the server's paths (findings: reports, 6)."""
    answer = call(server, tool, {"prompt": "a cat and a dog", "num_steps": 2, "seed": 5})
    images = [one for one in answer.content if one.type == "image"]
    assert len(images) == pictures
    for one in images:
        picture = Image.open(io.BytesIO(base64.b64decode(one.data)))
        assert Image.MIME[picture.format or ""] == one.mimeType
    texts = [one.text for one in answer.content if one.type == "text"]
    assert sum(".npz (" in text for text in texts) == pictures
    assert not any(text.startswith("/") or "{'path'" in text for text in texts)


def test_assistants_are_told_what_is_wrong(server: SimpleNamespace) -> None:
    answer = call(server, "generate", {"prompt": "a zeppelin", "num_steps": 2})
    assert answer.isError
    assert "zeppelin" in answer.content[0].text


def test_the_server_answers_while_many_ask_for_layers_and_heads(server: SimpleNamespace) -> None:
    """60 calls once froze it for 22 s (findings: reliability, 1)."""
    from tests.factories import make_trace
    from uncage_demo.ui.handlers import Handlers

    handlers = Handlers(ModelSlot(lambda name, allowed: EmbeddedBackend.tiny()))
    identity = handlers.store.add(make_trace())
    ask = heads_function(handlers)
    assert handlers.slot.reading.acquire(blocking=False)
    began = time.monotonic()
    with ThreadPoolExecutor(60) as pool:
        waiting = [pool.submit(ask, {"id": identity, "step": 0, "word": 1}) for _ in range(60)]
        time.sleep(0.5)
        refused = sum(one.done() for one in waiting)
        handlers.slot.reading.release()
        answers = [json.loads(one.result(30)) for one in waiting]
    assert refused >= 60 - MOST_WAITING
    assert sum(answer.get("error") == BUSY for answer in answers) >= 60 - MOST_WAITING
    assert time.monotonic() - began < 20


def addresses(answer: Any) -> list[str]:
    """Of the trace files that an assistant was told of."""
    return [one.text.split(": ", 1)[1] for one in answer.content if one.type == "text" and ".npz (" in one.text]


def test_assistants_can_give_back_the_traces_that_they_got(server: SimpleNamespace) -> None:
    made = call(server, "compare", {"prompt": "a turtle and a pink apple", "orders": ["meissonic", "halton"], "num_steps": 3})
    traces = addresses(made)
    assert len(traces) == 2
    assert all(one.startswith("http://") for one in traces)
    opened = call(server, "open_trace", {"trace": traces[0]})
    assert not opened.isError
    assert json.loads(opened.content[-1].text)["prompt"] == "a turtle and a pink apple"
    branch = call(server, "branch", {"trace": traces[1], "at_step": 1, "change": "order", "order": "uncage"})
    assert not branch.isError, branch.content[0].text
    still = call(server, "export", {"traces": traces, "kind": "still"})
    assert not still.isError, still.content[0].text
    assert [one.mimeType for one in still.content if one.type == "image"] == ["image/png"]


def test_assistants_can_give_a_trace_as_data(server: SimpleNamespace, tmp_path: Path) -> None:
    backend = EmbeddedBackend.tiny(seed=0)
    trace = runner.generate(backend, parse_prompt("a cat", backend), DecodingConfig(num_steps=2))
    trace.save(tmp_path / "run.npz")
    data = "data:application/octet-stream;base64," + base64.b64encode((tmp_path / "run.npz").read_bytes()).decode()
    opened = call(server, "open_trace", {"trace": data})
    assert not opened.isError, opened.content[0].text
    assert json.loads(opened.content[-1].text)["timings_s"] == trace.timings_s
    wrong = call(server, "open_trace", {"trace": data + "*"})
    assert wrong.isError
    assert "base64" in wrong.content[0].text


@pytest.mark.parametrize("address", ["gradio_api/file=/etc/passwd", "gradio_api/file=../../etc/passwd"])
def test_an_address_of_this_server_names_its_answers_alone(server: SimpleNamespace, address: str) -> None:
    answer = call(server, "open_trace", {"trace": server.address + address})
    assert answer.isError
    assert "root:" not in answer.content[0].text


def test_a_run_ends_when_its_assistant_leaves(server: SimpleNamespace) -> None:
    async def left() -> None:
        async with httpx.AsyncClient(timeout=1.5) as visitor:
            asked = {"name": "generate", "arguments": {"prompt": "a dog", "num_steps": 256, "seed": 77}}
            body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": asked}
            headers = {"accept": "application/json, text/event-stream"}
            with suppress(httpx.TimeoutException):
                await visitor.post(f"{server.address}gradio_api/mcp/", json=body, headers=headers)

    before = server.forwards
    awaited(left())
    assert server.forwards > before
    settles(server)
    assert server.forwards < before + 200


def test_a_run_whose_answer_nobody_opens_ends_and_says_so(server: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "PATIENCE_S", 1.0)
    before = server.forwards
    data = ["a dog", "meissonic", 78, 256, 3.0, -1, "both", -1, "embedded", "{}", "", "", "", "final"]
    asked = httpx.post(f"{server.address}gradio_api/call/generate", json={"data": data}).json()
    settles(server)
    assert server.forwards < before + 200
    with httpx.stream("GET", f"{server.address}gradio_api/call/generate/{asked['event_id']}", timeout=30) as answer:
        told = "".join(answer.iter_text())
    assert "nobody has opened the stream of this answer for 1 s" in told


def settles(server: SimpleNamespace) -> None:
    """Wait until no forward has been made for a second."""
    last, since = server.forwards, time.monotonic()
    until = since + 60
    while time.monotonic() < until:
        time.sleep(0.1)
        if server.forwards != last:
            last, since = server.forwards, time.monotonic()
        elif time.monotonic() - since > 1:
            return
    pytest.fail("the run did not end")
