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


def test_rounds_and_edits_have_names_of_their_own():
    from dataclasses import replace

    from tests.factories import make_trace
    from uncage_demo.trace.origin import Origin
    from uncage_demo.ui.api_files import _saved

    run = make_trace(grid=(6, 6), steps=3, image_px=48)
    rounds = [replace(run, origin=Origin("remix", strength=0.5, round=number)) for number in (1, 2)]
    runs = {"named-run": run, "named-edit": replace(run, origin=Origin("edit")), "named-1": rounds[0], "named-2": rounds[1]}
    names = [Path(_saved(identity, one)[0]).name for identity, one in runs.items()]
    assert names == ["uncage-seed0.png", "uncage-edit-seed0.png", "uncage-round-1-seed0.png", "uncage-round-2-seed0.png"]


ENDPOINTS = ("generate", "compare", "branch", "export", "edit", "extend", "remix", "sketch", "compose", "read_picture")
WRONG = [[], {}, 1.5, 10**40, True, "\0", "x" * 100_000, ["x" * 100_000], [[1]], {"a": 1}]


def test_a_wrong_choice_is_named_and_not_shown_whole():
    """Gradio's own refusal names no argument and shows all of the value; a model of None came to the model slot."""
    blocks = layout.build_ui()
    refusals = 0
    for function in blocks.fns.values():
        if function.api_name not in ENDPOINTS:
            continue
        for component in function.inputs:
            if type(component).__name__ != "Dropdown":
                continue
            name = component.label
            blank = name in ("order", "orders", "preset")
            for value in [*WRONG, *([] if blank else [None])]:
                if (name, value) == ("orders", []):
                    assert component.preprocess(value) == []
                    continue
                with pytest.raises(Exception, match=f"^['\"]?{name}=") as said:
                    component.preprocess(value)
                assert type(said.value).__name__ == "Error"
                assert len(str(said.value)) < 300, said.value
                refusals += 1
    assert refusals > 150


def test_a_folder_of_the_server_is_a_text(monkeypatch):
    from uncage_demo.ui.inputs import model_input

    monkeypatch.setenv("UNCAGE_FOLDERS", "1")
    model = model_input()
    assert model.preprocess("/some/folder") == "/some/folder"
    for value in (None, [], "", 3):
        with pytest.raises(Exception, match=r"model=.*give a name"):
            model.preprocess(value)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"at_step": -5}, "at_step=-5: give a whole number from 0 to 4"),
        ({"at_step": None}, "at_step=None: give a whole number from 0 to 4"),
        ({"at_step": 10**40}, "at_step=a number of about 39 digits"),
        ({"change": None}, "change=None: choose one of keep, drop, forbid, order, knock_out"),
        ({"change": "knock_out", "word": None}, "word=None: give a whole number from 0 to 5"),
        ({"change": "order", "order": None}, "order=None: choose one of random"),
        ({"change": "keep", "cell": None}, "cell=None: give a whole number from 0 to 35"),
        ({"change": "forbid", "cell": 36}, "cell=36: give a whole number from 0 to 35"),
    ],
)
def test_a_branch_names_the_argument_that_does_not_fit(asked, says):
    from tests.factories import make_trace
    from uncage_demo.ui.asked import branch_event

    parent = make_trace(grid=(6, 6), steps=5, image_px=48)
    usual = {"at_step": 1, "change": "keep", "cell": 0, "order": "halton", "word": 0}
    with pytest.raises(ValueError, match=f"^{says}"):
        branch_event(parent, **usual | asked)
    # What the change does not need may be anything.
    assert branch_event(parent, 1, "order", None, "halton", None) == {"step": 1, "order": "halton"}
    assert branch_event(parent, 1, "knock_out", None, None, 2) == {"step": 1, "word": 2}
    token = int(parent.steps[1].sampled[3])
    assert branch_event(parent, 1, "drop", 3, None, None) == {"step": 1, "action": "drop", "cell": 3, "token": token}


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
