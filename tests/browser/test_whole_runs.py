"""Whole runs with the exported model in node: from menus to verdict, the same tokens as the Python engine."""

import json
import os

import numpy as np
import pytest
import torch

from tests.browser import test_engine
from tests.browser.test_engine import ROOT, node_test, passed
from tests.browser.whole_runs import write
from tests.golden.regenerate import load
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.browser.export_model import MAX_FILE_BYTES, check, export_model
from uncage_demo.browser.graphs import as_whole_numbers, graphs_of, written
from uncage_demo.shipped import EMBEDDED

node = test_engine.node


@pytest.fixture(scope="module", autouse=True)
def web() -> None:
    """The packages of the extra "web", and the runtime for node."""
    for name in ("onnx", "onnxruntime"):
        try:
            __import__(name)
        except ImportError:
            _absent(f"no {name}: pip install -r requirements-web.txt")
    if not (ROOT / "node_modules/onnxruntime-web").exists():
        _absent("no node_modules/onnxruntime-web: run `npm ci`")


def _absent(reason: str) -> None:
    if os.environ.get("UNCAGE_REQUIRE_NODE"):
        pytest.fail(reason)
    pytest.skip(reason)


# The last digits of the logits decide where a draw falls close to a border between two tokens. A model that is less sure has more borders.
@pytest.mark.parametrize(("name", "count", "least_equal"), [("embedded", 60, 0.95), ("embedded-web", 12, 0.5), ("embedded-blind", 8, 0.5)])
def test_whole_runs_are_those_of_python(name, count, least_equal, tmp_path):
    write(EmbeddedBackend.load(EMBEDDED[name]), tmp_path, count)
    files = json.loads((tmp_path / "manifest.json").read_text())["files"]
    assert set(files) == {"transformer", "decoder", "detector", "tiles"}
    assert all((tmp_path / one["file"]).stat().st_size == one["bytes"] < MAX_FILE_BYTES for one in files.values())
    done = node_test("whole.test.mjs", UNCAGE_WEB_MODEL=str(tmp_path), UNCAGE_LEAST_EQUAL=str(least_equal))
    assert passed(done) >= 4
    print("\n".join(line for line in done.stdout.splitlines() if "runs equal" in line or "first at step" in line))


@pytest.mark.parametrize("age", ["1/20", "3/5"])
def test_younger_weights_are_small_and_the_same(age):
    """They are whole numbers with a scale, which half precision does not hold."""
    young = EmbeddedBackend.load(EMBEDDED["embedded-web"], age=age)
    graph = graphs_of({"transformer": young.transformer, "tokenizer": young.tokenizer, "detector": young.detector})[0]
    data = written(graph)
    assert len(data) < 4_000_000
    assert check(graph, data)["logits"] < 1e-3


def test_only_what_whole_numbers_hold_exactly_is_stored_so():
    random = np.random.default_rng(0)
    whole = random.integers(-127, 128, (6, 5)).astype(np.int8)
    whole[:, 0], whole[2] = 127, 0  # a row's largest is 127, or the row is empty
    scale = random.uniform(0.001, 0.1, (6, 1)).astype(np.float16).astype(np.float32)
    values = whole * scale
    for given in (values, values.T):
        parts = as_whole_numbers(given)
        assert parts is not None
        numbers, factor = parts
        assert numbers.dtype == np.int8
        assert np.array_equal(numbers * factor, given)
    assert as_whole_numbers(random.normal(size=(6, 5)).astype(np.float32)) is None
    assert as_whole_numbers(values.reshape(-1)) is None


def test_a_graph_that_is_not_the_model_is_refused():
    tiny = load("tiny")
    parts = {"transformer": tiny.transformer, "tokenizer": tiny.tokenizer, "detector": tiny.detector}
    graph = graphs_of(parts)[0]
    data = written(graph)
    assert max(check(graph, data).values()) < 1e-4
    tiny.transformer.output_bias[:4] += 1.0
    with pytest.raises(ValueError, match=r"differs from PyTorch's by 1; allowed is 0\.001"):
        check(graph, data)


def test_padding_at_the_end_of_a_text_changes_nothing():
    """The browser leaves it out: a third of the model's text length is read at most."""
    tiny = load("tiny")
    graph = graphs_of({"transformer": tiny.transformer, "tokenizer": tiny.tokenizer, "detector": tiny.detector})[0]
    given, read = graph.examples, 6
    assert not given["text"][:, read:].any()
    with torch.no_grad():
        logits, attention = graph.module(*given.values())
        fewer = {"text": given["text"][:, :read], "visible": given["visible"][:, :read], "hidden": given["hidden"][:, :, :read]}
        short = graph.module(*{**given, **fewer}.values())
    assert torch.allclose(short[0], logits, atol=1e-4)
    assert torch.allclose(short[1], attention[:, :, :, :read], atol=1e-6)
    assert not attention[:, :, :, read:].any()


def test_an_unknown_model_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no config\.json"):
        export_model(str(tmp_path / "nothing"), tmp_path / "out")
