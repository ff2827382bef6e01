"""What is shipped belongs together: weights, card, example traces, golden grids, sizes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.bench.quality import MARKS, quality_summary
from uncage_demo.bench.report import current_section
from uncage_demo.shipped import EMOJI_SCENES, EXAMPLES
from uncage_demo.train.refresh import DIAGNOSIS
from uncage_demo.train.steps import file_hashes

ROOT = Path(__file__).parents[2]
TRACES = sorted(EXAMPLES.glob("*.npz"))


@pytest.fixture(scope="module")
def backend():
    return EmbeddedBackend.load()


def test_card_belongs_to_the_weights(backend):
    assert json.loads((EMOJI_SCENES / "metrics.json").read_text())["weight_hash"] == backend.info.weight_hash
    assert backend.info.weight_hash in (EMOJI_SCENES / "README.md").read_text()


def test_pictures_of_the_card_belong_to_its_figures():
    metrics = json.loads((EMOJI_SCENES / "metrics.json").read_text())
    named = re.findall(r"\]\(([\w-]+\.webp)\)", (EMOJI_SCENES / "README.md").read_text())
    assert {path.name for path in EMOJI_SCENES.glob("*.webp")} == set(named)
    for name in named:
        assert file_hashes([EMOJI_SCENES / name])[name] == metrics["pictures"][name], f"{name}: run `python -m uncage_demo model-card`"


def test_calibration_says_which_weights_it_was_measured_on():
    """Its thresholds may outlive a change of weights (fitting them anew is a choice), but it must not pass for a measurement of these."""
    if not (DIAGNOSIS / "calibration.json").exists():
        pytest.skip("no calibration is shipped")
    measured_on = json.loads((DIAGNOSIS / "calibration.json").read_text())["weights"]
    assert measured_on in (DIAGNOSIS / "README.md").read_text()


def test_golden_grids_belong_to_the_weights(backend):
    assert json.loads((ROOT / "tests/golden/embedded.json").read_text())["weight_hash"] == backend.info.weight_hash


def test_sizes():
    files = [path for path in (ROOT / "assets").rglob("*") if path.is_file()]
    assert max(path.stat().st_size for path in files) < 10_000_000
    assert sum(path.stat().st_size for path in files) < 45_000_000


def test_the_results_page_tells_what_the_card_measured():
    metrics = json.loads((EMOJI_SCENES / "metrics.json").read_text())
    assert current_section((ROOT / "docs/RESULTS.md").read_text(), MARKS) == quality_summary(metrics["quality"]).strip()
