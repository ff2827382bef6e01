"""How large payloads are, and what they need (what they say: tests/unit/test_payload.py)."""

import json
import subprocess
import sys

import pytest

from tests.factories import make_trace
from uncage_demo.player.payload import build_payload


def test_embedded_pair_fits_a_megabyte():
    traces = [make_trace(0, steps=32, order=order, codebook_size=512) for order in ("meissonic", "uncage")]
    text = json.dumps(build_payload(traces), allow_nan=False, separators=(",", ":"))
    assert len(text) <= 1_000_000


def test_grid_of_24_runs_is_small_and_leaves_details_out():
    run = make_trace(0, steps=12, order="meissonic")
    built = build_payload([run] * 24)
    assert built["detail"] == "grid"
    assert built["runs"][0]["alternatives"] is None
    assert built["atlas"] is None
    with pytest.raises(ValueError, match="25 runs"):
        build_payload([run] * 25)


def test_render_needs_no_torch_and_no_gradio():
    code = "import sys, uncage_demo.player.page, uncage_demo.player.payload; sys.exit(bool({'torch', 'gradio'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
