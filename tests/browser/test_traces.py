"""What the browser saves and shows: its trace files open here, and its player is told what the server would tell."""

import base64
import json
import subprocess
from typing import Any

import numpy as np
import pytest

from tests.browser import test_engine, test_whole_runs
from tests.browser.test_engine import ROOT, node_test, passed
from tests.golden.regenerate import load
from uncage_demo.browser.export_model import write_model
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
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(traces, payload, verdicts) of runs that were made in JavaScript with the tiny model."""
    folder = tmp_path_factory.mktemp("drawn")
    write_model(load("tiny"), folder / "model")
    command = ("node", str(ROOT / "tests/browser/draw.mjs"), str(folder / "model"), str(folder), json.dumps(ASKED))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    # The worker talks as a page asks it to, on the same model.
    assert passed(node_test("worker.test.mjs", UNCAGE_WEB_MODEL=str(folder / "model"))) == 4
    branch = Trace.from_bytes((folder / "branch.npz").read_bytes())
    # What Python writes opens in the browser as the same run.
    branch.save(folder / "again.npz")
    opened = subprocess.run(
        ("node", str(ROOT / "tests/browser/open.mjs"), str(folder / "model"), str(folder / "again.npz")),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert opened.returncode == 0, opened.stderr[-3000:]
    assert branch.frames is not None
    wanted = {"id": branch.id, "steps": len(branch.steps), "frames": len(branch.frames), "text": branch.prompt.text}
    assert json.loads(opened.stdout) == wanted
    traces = [Trace.from_bytes((folder / f"{i}.npz").read_bytes()) for i in range(len(ASKED["configs"]))]
    assert branch.lineage is not None
    assert branch.lineage.parent == traces[0].id, "a branch names its parent as Python does"
    return traces, json.loads((folder / "payload.json").read_text()), json.loads((folder / "verdicts.json").read_text())


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
