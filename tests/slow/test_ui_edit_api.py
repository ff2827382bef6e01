"""Editing over HTTP and by assistants: five endpoints with good and bad input, hostile files included. A real server, the tiny model."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio")
pytest.importorskip("mcp")

from tests.pictures import SAID, hostile_pictures
from tests.running_page import call, client, running_page
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.config import DecodingConfig
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.runner import generate
from uncage_demo.trace.record import Trace

PAIR, OTHER = "a turtle and a pink apple", "a turtle and a blue apple"


@pytest.fixture(scope="module")
def server() -> Iterator[SimpleNamespace]:
    with running_page() as page:
        yield page


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tiny = EmbeddedBackend.tiny(seed=0)
    trace = generate(tiny, parse_prompt(PAIR, tiny), DecodingConfig(order="meissonic", num_steps=4, seed=3))
    return trace.save(tmp_path_factory.mktemp("run") / "run.npz")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pictures")
    made = {}
    for name, data in hostile_pictures().items():
        made[name] = folder / name
        made[name].write_bytes(data)
    return made


def ask(server: SimpleNamespace, name: str, *arguments: Any) -> tuple[list[Any], list[Trace], list[dict[str, Any]]]:
    """Pictures, traces and summaries of an endpoint."""
    from gradio_client import Client, handle_file

    given = [handle_file(str(one)) if isinstance(one, Path) else one for one in arguments]
    if getattr(server, "loader", None) is None:
        server.loader = Client(server.address, verbose=False, httpx_kwargs={"timeout": 120})
    pictures, traces, said = server.loader.predict(*given, api_name=f"/{name}")
    return pictures, [Trace.load(path) for path in traces], said


def test_edit_draws_what_is_erased_in_every_order_asked_for(server: SimpleNamespace, run: Path) -> None:
    old = Trace.load(run)
    pictures, traces, said = ask(server, "edit", run, "0-2,8", OTHER, ["meissonic", "halton"], 7, -1)
    assert (len(pictures), [one["settings"]["order"] for one in said]) == (2, ["meissonic", "halton"])
    for made in traces:
        assert np.flatnonzero(made.steps[0].masked_before).tolist() == [0, 1, 2, 8]
        assert np.array_equal(np.delete(made.tokens.flat, [0, 1, 2, 8]), np.delete(old.tokens.flat, [0, 1, 2, 8]))
        assert (made.prompt.text, made.config["seed"]) == (OTHER, 7)
        assert made.origin is not None
        assert made.origin.source == old.id
    _, (named,), _ = ask(server, "edit", run, "apple", "", [], -1, -1)
    assert named.steps[0].masked_before.any()
    assert named.config["seed"] == 4, "the one after the run's"
    _, (early,), _ = ask(server, "edit", run, "0", "", [], -1, 1)
    assert early.steps[0].masked_before.sum() > 1, "what was open after that step is drawn, too"


def test_extend_remix_and_compose(server: SimpleNamespace, run: Path) -> None:
    old = Trace.load(run)
    _, (moved,), _ = ask(server, "extend", run, 0, 2, "", [], -1)
    assert np.array_equal(moved.tokens[:, 2:], old.tokens[:, :-2])
    _, rounds, said = ask(server, "remix", run, OTHER, 0.3, 2, ["halton"], 5)
    assert [one.origin.round for one in rounds if one.origin] == [1, 2]
    assert [one["settings"]["order"] for one in said] == ["halton", "halton"]
    regions = json.dumps({"turtle": [0, 0, 3, 3], "pink apple": [3, 3, 6, 6]})
    _, (placed,), (told,) = ask(server, "compose", PAIR, regions, '{"35": 7}', [], 2, 4, "embedded")
    assert placed.tokens.flat[35] == 7
    assert placed.origin is not None
    assert [region.box for region in placed.origin.regions] == [(0, 0, 3, 3), (3, 3, 6, 6)]
    assert [wish["label"] for wish in told["verdict"]["wishes"]] == ["turtle in its region", "apple in its region"]
    assert placed.config["order"] == "uncage"


@pytest.mark.parametrize("name", sorted(name for name, words in SAID.items() if not words.startswith("!")))
def test_pictures_of_every_kind_are_read(server: SimpleNamespace, files: dict[str, Path], name: str) -> None:
    pictures, (trace,), (said,) = ask(server, "read_picture", files[name], PAIR, "embedded")
    assert len(pictures) == 2
    assert np.shape(said["picture"]["error"]) == trace.grid
    assert SAID[name] in " ".join(said["picture"]["notes"])
    assert trace.origin is not None
    assert trace.origin.kind == "picture"


@pytest.mark.parametrize("name", sorted(name for name, words in SAID.items() if words.startswith("!")))
def test_files_that_are_no_pictures_get_a_clear_error(server: SimpleNamespace, files: dict[str, Path], name: str) -> None:
    with pytest.raises(Exception, match=SAID[name][1:]):
        ask(server, "read_picture", files[name], PAIR, "embedded")


BAD: list[tuple[str, list[Any], str]] = [
    ("edit", ["RUN", "36", "", [], -1, -1], "mask: cell 36 is not one of 0..35"),
    ("edit", ["RUN", "", "", [], -1, -1], "cells ''"),
    ("edit", ["RUN", "zebra", "", [], -1, -1], "cells 'zebra': the prompt 'a turtle and a pink apple' has turtle, pink apple"),
    ("edit", ["RUN", "0", "a purple zebra", [], -1, -1], "zebra"),
    ("edit", ["RUN", "0", "", ["meissonic"] * 2, -1, -1], "different ones"),
    ("edit", ["RUN", "0", "", ["best"], -1, -1], "best"),
    ("edit", ["RUN", "0", "", [], -2, -1], "seed=-2"),
    ("edit", ["RUN", "0", "", [], -1, 9], "after_step=9"),
    ("edit", [None, "0", "", [], -1, -1], r"trace: give an \.npz file"),
    ("edit", ["truncated.png", "0", "", [], -1, -1], "npz|trace"),
    ("extend", ["RUN", 0, 0, "", [], -1], "move the picture by at least one row or column"),
    ("extend", ["RUN", 6, 0, "", [], -1], "from -5 to 5"),
    ("remix", ["RUN", OTHER, 0, 3, [], -1], "strength=0"),
    ("remix", ["RUN", OTHER, 0.5, 17, [], -1], "rounds=17"),
    ("remix", ["RUN", OTHER, 0.5, 2, ["halton", "uncage"], -1], "one order at a time"),
    ("compose", [PAIR, "", "", [], -1, 4, "embedded"], "nothing is pinned"),
    ("compose", [PAIR, "{", "", [], -1, 4, "embedded"], "regions='{': give a JSON object"),
    ("compose", [PAIR, '{"zebra": [0, 0, 1, 1]}', "", [], -1, 4, "embedded"], "region of 'zebra'"),
    ("compose", [PAIR, '{"turtle": [0, 0, 9, 9]}', "", [], -1, 4, "embedded"], "is not one of this grid"),
    ("compose", [PAIR, '{"turtle": "left"}', "", [], -1, 4, "embedded"], "region of 'turtle': give"),
    ("compose", [PAIR, "", '{"99": 1}', [], -1, 4, "embedded"], "pins: cell=99: give a whole number from 0 to 35"),
    ("compose", [PAIR, "", '{"1": "red"}', [], -1, 4, "embedded"], "pins: token at cell 1"),
    ("compose", [PAIR, "[" * 100_000, "", [], -1, 4, "embedded"], "give a JSON object"),
    ("read_picture", [None, PAIR, "embedded"], "picture is missing: give a PNG, JPEG"),
]


@pytest.mark.parametrize(("name", "arguments", "message"), BAD)
def test_what_is_wrong_is_named(
    server: SimpleNamespace, run: Path, files: dict[str, Path], name: str, arguments: list[Any], message: str
) -> None:
    given = [run if one == "RUN" else files.get(one, one) if isinstance(one, str) else one for one in arguments]
    with pytest.raises(Exception, match=message):
        ask(server, name, *given)


def test_the_server_still_answers_after_all_that(server: SimpleNamespace) -> None:
    assert client(server).predict("a cat", ["meissonic"], 0, 2, 3.0, "embedded", api_name="/compare")[2][0]["steps"] == 2


def data_url(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def test_assistants_can_compose_and_read_pictures(server: SimpleNamespace, files: dict[str, Path]) -> None:
    answer = call(server, "compose", {"prompt": PAIR, "regions": '{"turtle": [0, 0, 3, 3]}', "num_steps": 2, "seed": 1})
    assert not answer.isError, answer.content
    assert sum(one.type == "image" for one in answer.content) == 1
    given = {"picture": data_url(files["turned.jpg"].read_bytes(), "image/jpeg"), "prompt": PAIR}
    seen = call(server, "read_picture", given)
    assert not seen.isError, seen.content
    images = [Image.open(io.BytesIO(base64.b64decode(one.data))) for one in seen.content if one.type == "image"]
    assert len(images) == 2
    assert any("upright" in one.text for one in seen.content if one.type == "text")


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        ("compose", {"prompt": PAIR, "regions": "{}"}, "nothing is pinned"),
        ("compose", {"prompt": "a zeppelin", "regions": '{"zeppelin": [0, 0, 1, 1]}'}, "zeppelin"),
        ("read_picture", {"picture": data_url(b"\x89PNG broken", "image/png"), "prompt": PAIR}, "no picture that can be read"),
        ("edit", {"trace": data_url(b"PK not really", "application/octet-stream"), "cells": "0"}, "npz|trace|zip"),
    ],
)
def test_assistants_are_told_what_is_wrong(server: SimpleNamespace, tool: str, arguments: dict[str, Any], message: str) -> None:
    import re

    answer = call(server, tool, arguments)
    assert answer.isError
    assert re.search(message, answer.content[0].text), answer.content[0].text
