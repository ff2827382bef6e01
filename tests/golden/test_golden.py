"""Golden token grids: the same seed gives the same picture as when the grids were written (see `regenerate`).

Those of the shipped model: tests/slow/test_golden_embedded.py.
"""

import json

from tests.golden.regenerate import FOLDER, grids, load


def test_grids_of_the_tiny_model_are_those_on_record() -> None:
    check("tiny")


def check(kind: str) -> None:
    """Compare what a model draws now with what is on record.

    Args:
        kind: as `regenerate.load`.
    """
    golden = json.loads((FOLDER / f"{kind}.json").read_text())
    backend = load(kind)
    assert backend.info.weight_hash == golden["weight_hash"], f"other weights: run `python -m tests.golden.regenerate {kind}`"
    made = grids(backend)["runs"]
    assert made.keys() == golden["runs"].keys()
    assert [name for name in made if made[name] != golden["runs"][name]] == []
