"""The checks of the scripts (eslint, types, node's tests), and the payload against its one description.

Skipped with a reason where node or its packages are absent; a failure where UNCAGE_REQUIRE_NODE is set, as in continuous integration.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.factories import make_trace
from tests.scripts.make_fixture import fixture
from uncage_demo.player.head_maps import recorded_heads
from uncage_demo.player.payload import build_payload
from uncage_demo.types import FoundObject, Verdict, Wish

ROOT = Path(__file__).parents[2]
TYPES = ROOT / "uncage_demo/player/static/payload.d.ts"


def _absent(reason: str) -> None:
    if os.environ.get("UNCAGE_REQUIRE_NODE"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module", autouse=True)
def node() -> None:
    """Node and the packages of package-lock.json."""
    if not shutil.which("npm"):
        _absent("no node: install node 18 or later, then `npm ci`")
    if not (ROOT / "node_modules/typescript").exists():
        _absent("no node_modules: run `npm ci`")


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command in the repository's root; never raises."""
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, env={**os.environ, **environment})


@pytest.mark.parametrize("script", ["lint", "types"])
def test_scripts_are_clean(script):
    done = run("npm", "run", "--silent", script)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_pure_half_of_the_player_says_what_the_engine_says(tmp_path):
    fresh = tmp_path / "fixture.json"
    fresh.write_text(json.dumps(fixture()), encoding="utf-8")
    done = run("npm", "run", "--silent", "test", UNCAGE_FIXTURE=str(fresh))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def payload():
    traces = [make_trace(0, steps=4, order="meissonic"), make_trace(0, steps=4)]
    found = (FoundObject("cat", "", 0.9, (0.0, 0.0, 1.0, 1.0)),)
    verdict = Verdict((True, False), (True, False), 1, False, found, "detector 1", (Wish("place", "night", True),))
    finding = {"text": "Both words look at the same cells.", "step": 2, "layer": "object", "subject": 1, "cell": 4}
    sent = build_payload(traces, [verdict, None], [[finding], []])
    return {**sent, "heads": recorded_heads(traces, ["0", "1"])}


@pytest.fixture(scope="module")
def errors(payload, tmp_path_factory) -> dict[str, list[str]]:
    """TypeScript's word on payloads, by name, asked once: as a literal, a key too many is an error like one that is missing."""
    first = payload["runs"][0]
    sent = {
        "right": payload,
        "extra": {**payload, "runs": [{**first, "unheard_of": 1}]},
        "less": {**payload, "runs": [{key: value for key, value in first.items() if key != "cutoff"}]},
    }
    folder = tmp_path_factory.mktemp("payloads")
    for name, one in sent.items():
        (folder / f"{name}.ts").write_text(f"export const sent: Payload = {json.dumps(one)};\n", encoding="utf-8")
    files = [str(folder / f"{name}.ts") for name in sent]
    done = run("npx", "--no-install", "tsc", "--noEmit", "--strict", "--lib", "es2022", str(TYPES), *files)
    told = [line for line in done.stdout.splitlines() if "error TS" in line]
    found = {name: [line for line in told if f"{name}.ts(" in line] for name in sent}
    assert told, done.stdout + done.stderr
    assert sum(map(len, found.values())) == len(told), f"errors elsewhere: {told}"
    return found


def test_the_payload_is_as_its_description_says(errors):
    assert errors["right"] == []


def test_a_key_too_many_or_too_few_is_found(errors):
    assert "unheard_of" in "".join(errors["extra"])
    assert "cutoff" in "".join(errors["less"])
