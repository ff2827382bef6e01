"""The running page under a class's load, and runs that nobody waits for (its answers: tests/unit/test_server.py)."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

pytest.importorskip("gradio")
pytest.importorskip("mcp")

from tests.running_page import client, compare, running_page


@pytest.fixture(scope="module")
def server() -> Iterator[SimpleNamespace]:
    with running_page() as page:
        yield page


def test_a_class_is_served_and_nobody_gets_anothers_run(server: SimpleNamespace) -> None:
    """25 of 50 were refused once (findings: reliability, 6)."""
    prompts = [
        f"a {one} and a {other}"
        for one in ("cat", "dog", "bear", "frog", "lion", "bird")
        for other in ("car", "bow", "clock", "apple", "bench")
    ]
    with ThreadPoolExecutor(len(prompts)) as pool:
        said = list(pool.map(lambda text: compare(server, text, 3, 2), prompts))
    assert [one["prompt"] for one in said] == prompts


def test_equal_requests_are_decoded_once_and_that_is_told(server: SimpleNamespace) -> None:
    alone = compare(server, "a cat and a dog", 11)
    before = server.forwards
    compare(server, "a cat and a dog", 12)
    cost = server.forwards - before
    before = server.forwards
    with ThreadPoolExecutor(12) as pool:
        said = list(pool.map(lambda _: compare(server, "a cat and a dog", 13), range(12)))
    assert server.forwards - before <= cost
    assert {one["settings"]["seed"] for one in said} == {13}
    assert not alone["made_before"]
    before = server.forwards
    assert compare(server, "a cat and a dog", 13)["made_before"]
    assert server.forwards == before


def test_what_nobody_waits_for_stops(server: SimpleNamespace) -> None:
    """An abandoned API run once kept the device to its end (findings: reliability, 5)."""
    job = client(server).submit("a cat", "meissonic", 21, 256, 3.0, -1, "both", -1, "embedded", api_name="/generate")
    until = time.monotonic() + 60
    begun = server.forwards
    while server.forwards < begun + 2 and time.monotonic() < until:
        time.sleep(0.05)
    job.cancel()
    time.sleep(3)
    before = server.forwards
    time.sleep(1)
    assert server.forwards == before
    assert before < begun + 256


def test_nothing_else_waits_behind_runs(server: SimpleNamespace) -> None:
    """Opening a trace and the like were refused while runs waited (findings: reliability, 6)."""
    with ThreadPoolExecutor(20) as pool:
        runs = [pool.submit(compare, server, "a lion and a clock", 100 + number, 6) for number in range(20)]
        time.sleep(0.5)
        client(server).predict("a cat", "embedded", api_name="/parse")
        with urllib.request.urlopen(f"{server.address}config", timeout=60):
            left = sum(not run.done() for run in runs)
        for run in runs:
            run.result(120)
    assert left > 0, "both were answered while runs were still waiting"
