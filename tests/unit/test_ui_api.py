"""The page's functions for assistants: the tools are few, named, typed and explained. No server, no model."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.awaiting import awaited
from tests.late import late

layout = late("uncage_demo.ui.layout")


@pytest.fixture(scope="module")
def tools() -> dict[str, Any]:
    """What the tool server says of every tool."""
    from gradio.mcp import GradioMCPServer

    request: Any = SimpleNamespace(query_params={})
    server = GradioMCPServer(layout.build_ui())
    answer = awaited(server.get_complete_schema(request))
    return {tool["name"]: tool for tool in json.loads(bytes(answer.body))}


def test_the_tools_are_those_of_the_api_and_nothing_of_the_page_leaks(tools):
    drawing = {"generate", "compare", "branch", "edit", "extend", "remix", "sketch", "compose", "read_picture"}
    assert set(tools) == drawing | {"open_trace", "export", "parse", "list_models"}
    assert all(len(tool["description"]) > 40 for tool in tools.values())


def test_every_input_has_a_type_and_an_explanation(tools):
    for name, tool in tools.items():
        for field, said in tool["inputSchema"]["properties"].items():
            assert said.get("description"), f"{name} does not explain {field}"
            assert said.get("type") or said.get("enum"), f"{name} does not say what {field} is"
    inputs = tools["generate"]["inputSchema"]["properties"]
    assert "uncage" in inputs["order"]["enum"]
    assert (inputs["seed"]["type"], inputs["contrast_weight"]["type"]) == ("integer", "number")
    assert set(tools["branch"]["inputSchema"]["properties"]["change"]["enum"]) == {"keep", "drop", "forbid", "order", "knock_out"}


def test_any_declared_setting_can_be_given_by_name(tools):
    from uncage_demo.config import SETTINGS
    from uncage_demo.ui.asked import further_settings

    fields = tools["generate"]["inputSchema"]["properties"]
    assert all(name in fields or name in fields["settings"]["description"] for name in SETTINGS)
    assert further_settings('{"schedule": "linear", "noise_temperature": [2, 0], "token_temperature": 1}') == {
        "schedule": "linear",
        "noise_temperature": (2.0, 0.0),
        "token_temperature": 1.0,
    }
    assert further_settings("") == further_settings(None) == {}
    for wrong in ("[]", "{", '{"speed": 1}', '{"seed": 1}', "[" * 100_000):
        with pytest.raises(ValueError, match="give a JSON object with some of schedule"):
            further_settings(wrong)


def test_files_of_a_run_are_made_once_for_everybody_who_asked_for_the_same(monkeypatch):
    from tests.factories import make_trace
    from uncage_demo.trace.record import Trace
    from uncage_demo.ui.api_files import files_of
    from uncage_demo.ui.device_runs import Finished
    from uncage_demo.ui.runs import Made

    trace = make_trace()
    saved, save = [], Trace.save
    monkeypatch.setattr(Trace, "save", lambda self, path, **kwargs: saved.append(path) or save(self, path, **kwargs))
    made = Made(["an-id-of-this-test"], Finished([trace], [None]))
    with ThreadPoolExecutor(4) as pool:
        answers = [future.result() for future in [pool.submit(files_of, made) for _ in range(8)]]
    assert len(saved) == 1
    assert all(answer == answers[0] for answer in answers)
    assert Trace.load(answers[0][0][1]).tokens.tolist() == trace.tokens.tolist()


def test_traces_of_one_request_share_what_memory_they_may_take(tmp_path, monkeypatch):
    from tests.factories import make_trace
    from uncage_demo.ui import api_files
    from uncage_demo.ui.session import held_bytes

    path = tmp_path / "run.npz"
    run = make_trace(grid=(6, 6), steps=3, image_px=96)
    run.save(path)
    size = held_bytes(api_files.opened_trace(str(path)))
    monkeypatch.setattr(api_files, "MAX_CONTENT_BYTES", 2 * size + 1000)
    assert [one.id for one in api_files.opened_traces([str(path)] * 2)] == [run.id] * 2
    with pytest.raises(ValueError, match=r"^traces, number 3: the run takes \d+ MiB .*all of one request together") as said:
        api_files.opened_traces([str(path)] * 3)
    assert len(str(said.value)) < 300
    monkeypatch.setattr(api_files, "MAX_SENT_BYTES", 1000)
    with pytest.raises(ValueError, match=r"^trace: the run takes 0 MiB of memory; one may take 0 here\. Save it with fewer"):
        api_files.opened_trace(str(path))
    with pytest.raises(ValueError, match=r"^traces: give an \.npz file"):
        api_files.opened_traces([None])


def test_the_largest_run_that_a_model_makes_is_taken():
    from uncage_demo.ui.api_files import MAX_SENT_BYTES

    cells, steps, columns, alternatives = 64 * 64, 64, 77, 4
    of_a_cell = 5 * 4 + 2 + 4 * columns + 8 * alternatives + (4 + 4 + 2 + 1 + 1)
    pictures = (steps + 1) * 1024 * 1024 * 3 + (64 << 20)
    assert 352 << 20 < cells * steps * of_a_cell + pictures < MAX_SENT_BYTES


def test_the_documents_name_every_argument(tools):
    page = (Path(__file__).parents[2] / "docs/API.md").read_text()
    rows = dict(re.findall(r"^\| `/(\w+)` \| (.*?) \|", page, re.MULTILINE))
    assert set(rows) == set(tools)
    for name, tool in tools.items():
        fields = tool["inputSchema"]["properties"]
        named = [field for field in fields if re.search(rf"\b{field}\b", rows[name])]
        assert named == list(fields), name
