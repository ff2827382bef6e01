"""Who the load script lets in: somebody on the page, who sends what its scripts send, and a program."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from typing import Any

import httpx

PATIENCE_S = 600.0


class Page:
    """What the server's description of its page says: where the events of the first tab are, and what their fields hold.

    Args:
        address: of the page.
    """

    def __init__(self, address: str) -> None:
        config = httpx.get(f"{address}/config", timeout=PATIENCE_S).raise_for_status().json()
        self._parts = {part["id"]: part["props"] for part in config["components"]}
        self._events = config["dependencies"]
        self.stage, self.late = self._number("uc-stage"), self._number("uc-pictures")
        self.generate, self._fields = self._event("uc-generate", "click")
        self.owed, _ = self._event("uc-pictures", "owed")

    def _number(self, name: str) -> int:
        return next(number for number, props in self._parts.items() if props.get("elem_id") == name)

    def _event(self, name: str, kind: str) -> tuple[int, list[int]]:
        number = self._number(name)
        event = next(one for one in self._events if [number, kind] in [list(target) for target in one["targets"]])
        return event["id"], event["inputs"]

    def filled(self, **given: Any) -> list[Any]:
        """The fields as a new visitor finds them, some of them filled in by their labels."""
        return [given.get(self._parts[field].get("label", ""), self._parts[field].get("value")) for field in self._fields]


class PageVisitor:
    """Somebody with the page open, who presses Generate; sends and reads what the page's scripts do.

    Speaks plain HTTP: real visitors bring a processor each, these share the server's.

    Args:
        address: of the page.
        page: its description.
    """

    def __init__(self, address: str, page: Page) -> None:
        self._client = httpx.Client(base_url=address, timeout=PATIENCE_S)
        self._page, self._session = page, secrets.token_urlsafe(8)
        self._owed: list[str] = []

    def ask(self, prompt: str, steps: int, seed: int) -> tuple[float, str]:
        """Press Generate and wait for the finished pictures; (seconds, prompt of the runs that came back).

        Raises:
            RuntimeError: what the server answered instead.
            httpx.HTTPError: when it answered nothing, or not in time.
        """
        began = time.perf_counter()
        fields = self._page.filled(Prompt=prompt, Steps=steps, Seed=seed)
        said = self._answer(self._page.generate, fields, None)
        if said["kind"] != "traces":
            raise RuntimeError(str(said)[:300])
        answer = self._payload(self._page.stage, said["ids"])
        self._owed = said["ids"] if answer["owed"] else []
        return time.perf_counter() - began, answer["payload"]["prompt"]["text"]

    def wait_for_steps(self) -> None:
        """Wait for the pictures of the steps, where they are still to come.

        Raises:
            RuntimeError: what the server answered instead.
        """
        if not self._owed:
            return
        said = self._answer(self._page.owed, [], {"ids": self._owed})
        if "problem" in said or self._payload(self._page.late, said["ids"])["owed"]:
            raise RuntimeError(str(said)[:300])

    def _payload(self, component: int, ids: Sequence[str]) -> dict[str, Any]:
        asked = {"session_hash": self._session, "component_id": component, "fn_name": "payload", "data": {"ids": ids}}
        answer = self._client.post("/gradio_api/component_server", json=asked).raise_for_status().json()
        answer = json.loads(answer) if isinstance(answer, str) else answer
        if "error" in answer:
            raise RuntimeError(answer["error"][:300])
        return answer

    def _answer(self, event: int, fields: list[Any], data: Any) -> dict[str, Any]:
        """The last message of an event."""
        asked = {"data": fields, "fn_index": event, "session_hash": self._session, "event_data": data}
        self._client.post("/gradio_api/queue/join", json=asked).raise_for_status()
        with self._client.stream("GET", "/gradio_api/queue/data", params={"session_hash": self._session}) as stream:
            for line in stream.iter_lines():
                if '"process_completed"' not in line:
                    continue
                output = json.loads(line.removeprefix("data: "))["output"]
                if "data" not in output:
                    raise RuntimeError(str(output)[:300])
                return json.loads(output["data"][0])
        raise RuntimeError("the answer ended early")


class Visitor:
    """A program that asks for a run. Speaks plain HTTP.

    Args:
        address: of the page.
    """

    def __init__(self, address: str) -> None:
        self._client = httpx.Client(base_url=address, timeout=PATIENCE_S)
        # As every page and every Gradio client has one: without it the server builds the state of a new session for every message.
        self._session = secrets.token_urlsafe(8)

    def ask(self, prompt: str, orders: Sequence[str], steps: int, seed: int) -> tuple[float, str]:
        """Ask for a run in some orders and fetch its pictures and traces; (seconds, prompt of the run that came back).

        Raises:
            RuntimeError: what the server answered instead.
            httpx.HTTPError: when it answered nothing, or not in time.
        """
        began = time.perf_counter()
        asked = {"data": [prompt, list(orders), seed, steps, 3.0, "embedded", "", "", "", "", "all"], "session_hash": self._session}
        event = self._client.post("/gradio_api/call/compare", json=asked).raise_for_status().json()["event_id"]
        pictures, traces, said = self._answer(f"/gradio_api/call/compare/{event}")
        for file in (*(picture["image"] for picture in pictures), *traces):
            self._client.get(httpx.URL(file["url"]).raw_path.decode()).raise_for_status()
        return time.perf_counter() - began, said[0]["prompt"]

    def _answer(self, path: str) -> Any:
        """The data of the last event of an answer."""
        kind = ""
        with self._client.stream("GET", path) as stream:
            for line in stream.iter_lines():
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ")
                elif line.startswith("data: ") and kind == "complete":
                    return json.loads(line.removeprefix("data: "))
                elif line.startswith("data: ") and kind == "error":
                    raise RuntimeError(line.removeprefix("data: ")[:300])
        raise RuntimeError("the answer ended early")
