"""What the browser saves and shows: its trace files open here, and its player is told what the server would tell."""

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.browser import test_engine, test_whole_runs
from tests.browser.test_engine import ROOT, node_test, passed
from tests.golden.regenerate import load
from uncage_demo.browser.export_model import write_model
from uncage_demo.editing.edit import edit
from uncage_demo.player.payload import build_payload
from uncage_demo.trace.record import Trace
from uncage_demo.types import FoundObject, Verdict, Wish

node, web = test_engine.node, test_whole_runs.web
ASKED = {
    "choices": [{"noun": "turtle", "color": "", "count": 1, "side": ""}, {"noun": "apple", "color": "pink", "count": 1, "side": "left"}],
    "place": "night",
    "configs": [
        {"order": "meissonic", "num_steps": 6, "seed": 5},
        {"order": "uncage", "num_steps": 6, "seed": "9007199254740993", "contrast_weight": 5},
        {"order": "mend", "num_steps": 9, "seed": 5},
        {"order": "entropy", "num_steps": 4, "seed": 5},
        {"order": "uncage", "num_steps": 10, "seed": 6, "revise": "correct", "revise_strength": 0.2},
        {
            "order": "meissonic",
            "num_steps": 5,
            "seed": 7,
            "logit_noise": 1.0,
            "differential": 0.5,
            "self_guidance": 1.0,
            "composition": 0.5,
        },
    ],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs that were made in JavaScript with the tiny model."""
    folder = tmp_path_factory.mktemp("drawn")
    write_model(load("tiny"), folder / "model")
    _node("draw.mjs", str(folder / "model"), str(folder), json.dumps(ASKED))
    return folder


@pytest.fixture(scope="module")
def drawn(folder: Path) -> Any:
    """(traces, payload, verdicts) of these runs."""
    traces = [Trace.from_bytes((folder / f"{i}.npz").read_bytes()) for i in range(len(ASKED["configs"]))]
    return traces, json.loads((folder / "payload.json").read_text()), json.loads((folder / "verdicts.json").read_text())


def _node(script: str, *arguments: str) -> str:
    """What a script beside this file prints."""
    command = ("node", str(ROOT / "tests/browser" / script), *arguments)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_the_worker_talks_as_a_page_asks_it_to(folder: Path):
    assert passed(node_test("worker.test.mjs", UNCAGE_WEB_MODEL=str(folder / "model"))) == 5


@pytest.mark.parametrize("name", ["branch", "edit"])
def test_what_python_writes_opens_in_the_browser_as_the_same_run(name: str, folder: Path):
    trace = Trace.from_bytes((folder / f"{name}.npz").read_bytes())
    trace.save(folder / "again.npz")
    assert trace.frames is not None
    wanted = {"id": trace.id, "steps": len(trace.steps), "frames": len(trace.frames), "text": trace.prompt.text}
    assert json.loads(_node("open.mjs", str(folder / "model"), str(folder / "again.npz"))) == wanted


def test_a_branch_names_its_parent_as_python_does(folder: Path, drawn):
    branch = Trace.from_bytes((folder / "branch.npz").read_bytes())
    assert branch.lineage is not None
    assert branch.lineage.parent == drawn[0][0].id


def test_cells_are_drawn_again_as_python_draws_them(folder: Path, drawn):
    parent = drawn[0][0]
    made = Trace.from_bytes((folder / "edit.npz").read_bytes())
    made.validate()
    wanted = edit(load("tiny"), parent, [17, 18, 19, 33, 34, 35], after_step=3)
    assert made.origin == wanted.origin
    assert made.config == wanted.config
    assert made.tokens.tolist() == wanted.tokens.tolist()
    assert made.unmask_step.tolist() == wanted.unmask_step.tolist()
    told = json.loads((folder / "edit.json").read_text())["runs"]
    ours = build_payload([parent, made], [None, None], detail="full")["runs"]
    for shown, said in zip(told, ours, strict=True):
        for key in ("origin", "title", "divergence", "first_step", "steps_done"):
            assert shown[key] == json.loads(json.dumps(said[key])), key
        for key in ("scheduled", "counts_ok", "changed", "taken_back"):
            assert shown["health"][key] == said["health"][key], key


def test_trace_files_of_the_browser_open_here(drawn):
    traces, _, _ = drawn
    for trace, asked in zip(traces, ASKED["configs"], strict=True):
        trace.validate()
        assert trace.config["order"] == asked["order"]
        assert trace.config["seed"] == int(asked["seed"])
        assert len(trace.steps) == trace.config["num_steps"] == asked["num_steps"]
        assert trace.prompt.text == "a turtle and a pink apple on the left at night"
        assert trace.model.weight_hash == "tiny-0"
        assert trace.frames is not None
        assert np.array_equal(trace.frames[-1], trace.image)
        assert trace.token_pictures
        assert Trace.from_bytes(trace.to_bytes()).id == trace.id


def test_the_player_is_told_what_the_server_would_tell(drawn):
    traces, payload, told = drawn
    verdicts = [_verdict(one) for one in told]
    ours = build_payload(traces, verdicts, detail="full")
    assert payload.keys() == ours.keys()
    for key in ("version", "detail", "grid", "num_steps", "model", "prompt", "tables", "orders"):
        assert payload[key] == ours[key], key
    for name, limits in ours["scales"].items():
        assert payload["scales"][name] == pytest.approx(limits, rel=1e-5), name
    assert payload["atlas"]["ids"] == ours["atlas"]["ids"]
    for made, wanted in zip(payload["runs"], ours["runs"], strict=True):
        assert made.keys() == wanted.keys()
        for key in (
            "order",
            "guided",
            "seed",
            "num_steps",
            "first_step",
            "steps_done",
            "title",
            "divergence",
            "pairs",
            "terms",
            "sight",
            "lineage",
            "taken_back",
        ):
            assert made[key] == wanted[key], key
        for key in ("masked", "committed", "drawn", "tokens", "unmask_step"):
            assert _array(made[key]).tolist() == _array(wanted[key]).tolist(), key
        for key in ("weight", "cutoff", "mass", "overlap"):
            assert _array(made[key]) == pytest.approx(_array(wanted[key]), rel=1e-5, abs=1e-7), key
        for key, values in wanted["maps"].items():
            assert made["maps"][key]["at"] == values["at"]
            assert _array(made["maps"][key]["values"]) == pytest.approx(_array(values["values"]), rel=1e-6), key
        assert (made["scores"] is None) == (wanted["scores"] is None)
        assert made["health"]["scheduled"] == wanted["health"]["scheduled"]
        assert made["health"]["counts_ok"] is wanted["health"]["counts_ok"] is True
        assert made["health"]["changed"] == wanted["health"]["changed"] == 0
        assert made["health"]["taken_back"] == wanted["health"]["taken_back"]
        assert _array(made["health"]["special"]) == pytest.approx(_array(wanted["health"]["special"]), rel=1e-5, nan_ok=True)
        assert made["attention"]["words"] == wanted["attention"]["words"]
        codes = _array(made["attention"]["codes"]).astype(int), _array(wanted["attention"]["codes"]).astype(int)
        assert np.abs(codes[0] - codes[1]).max() <= 1
        assert _array(made["alternatives"]["ids"]).shape == _array(wanted["alternatives"]["ids"]).shape
        assert len(made["frames"]) == len(wanted["frames"])
        assert {key: made["verdict"][key] for key in ("objects_found", "too_many", "wishes")} == {
            key: wanted["verdict"][key] for key in ("objects_found", "too_many", "wishes")
        }


def _array(packed: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed["d"]), np.dtype("<" + packed["t"]))


def _verdict(told: dict[str, Any]) -> Verdict:
    return Verdict(
        tuple(told["objects_found"]),
        tuple(told["colors_right"]),
        told["extra_objects"],
        told["all_correct"],
        tuple(FoundObject(**{**one, "box": tuple(one["box"])}) for one in told["detections"]),
        told["scorer"],
        tuple(Wish(**wish) for wish in told["wishes"]),
    )
