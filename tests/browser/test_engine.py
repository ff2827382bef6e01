"""The browser's engine against the Python engine, in node: given the same logits, every decision is the same.

Skipped with a reason where node is absent; a failure where UNCAGE_REQUIRE_NODE is set, as in continuous integration.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.browser.make_fixture import write
from tests.golden.regenerate import load

ROOT = Path(__file__).parents[2]
DECODING = ROOT / "uncage_demo/decoding"
ENGINE = ROOT / "uncage_demo/browser/static"
# Python files of decoding that the browser needs no counterpart of, and why.
NOT_NEEDED = {
    "__init__": "holds nothing",
    "presets": "settings by name are resolved on the server",
    "cost": "serves the benchmark's comparisons at equal cost",
    "sample": "one picture between two steps; in the browser it is part of sampler",
    "step": "one step of one picture; in the browser it is part of sampler",
    "reuse": "partial steps are refused by name in the browser",
}


@pytest.fixture(scope="module", autouse=True)
def node() -> None:
    """Node, which reads the same modules as the browser does."""
    if shutil.which("node"):
        return
    reason = "no node: install node 18 or later"
    if os.environ.get("UNCAGE_REQUIRE_NODE"):
        pytest.fail(reason)
    pytest.skip(reason)


def node_test(file: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Node's tests of one file; never raises."""
    command = ("node", "--test", "--test-reporter=tap", str(ROOT / "tests/browser" / file))
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, env={**os.environ, **environment})


def passed(done: subprocess.CompletedProcess[str]) -> int:
    """How many of node's tests passed, none having failed or been skipped."""
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    told = dict(re.findall(r"^# (pass|fail|skipped) (\d+)$", done.stdout, re.MULTILINE))
    assert told["fail"] == told["skipped"] == "0", done.stdout[-3000:]
    return int(told["pass"])


@pytest.mark.parametrize("kind", ["tiny", "embedded"])
def test_given_the_same_logits_every_decision_is_the_same(kind, tmp_path):
    write(load(kind), tmp_path, further=kind == "tiny")
    assert passed(node_test("engine.test.mjs", UNCAGE_ENGINE_FIXTURE=str(tmp_path))) >= 29


def test_every_file_of_decoding_has_its_counterpart():
    names = {path.stem for path in DECODING.glob("*.py")}
    here = {path.stem for path in (ENGINE / "decoding").glob("*.js")}
    assert names - here == set(NOT_NEEDED), "write it, or say in NOT_NEEDED why the browser does without"
    assert here <= names, "a module that Python does not have"


def test_what_computes_is_chosen_and_told():
    assert passed(node_test("device.test.mjs")) == 9
