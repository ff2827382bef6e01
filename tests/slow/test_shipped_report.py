"""The shipped results and the documents made of them: every line is read and every interval drawn, which takes its time."""

from __future__ import annotations

import re
from pathlib import Path

from uncage_demo.bench.ages import WHOLE, age_of
from uncage_demo.bench.records import read_many
from uncage_demo.bench.report import current_section, disagreement, load_speed
from uncage_demo.bench.results import shipped_weights
from uncage_demo.shipped import RESULTS

ROOT = Path(__file__).resolve().parents[2]


def test_documents_agree_with_the_shipped_results() -> None:
    """docs/RESULTS.md and the README's table: numbers, costs, and the weights that they are about."""
    records = read_many([RESULTS])
    speed = load_speed([RESULTS])
    for page in (ROOT / "docs/RESULTS.md", ROOT / "README.md"):
        text = page.read_text(encoding="utf-8")
        assert disagreement(text, records, speed=speed) == "", (
            "run `python -m uncage_demo bench-report assets/results --readme docs/RESULTS.md README.md`"
        )
        # The results page names every model, the README's table the clean one; ages are told by their part of the training.
        named = {record["model"]["weight_hash"] for record in records if age_of(record) == WHOLE}
        for weights in named if page.name == "RESULTS.md" else named & {shipped_weights()["embedded"]}:
            assert weights in text
    section = current_section((ROOT / "docs/RESULTS.md").read_text(encoding="utf-8"))
    shown = set(re.findall(r"\(\.\./assets/results/([^)]+)\)", section))
    assert len(shown) > 10
    assert shown <= {path.name for path in RESULTS.iterdir()}, "the section names files that are not there"
