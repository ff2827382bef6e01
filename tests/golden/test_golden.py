"""Golden token grids: the same seed gives the same picture as when the grids were written (see `regenerate`)."""

import json

import pytest

from tests.golden.regenerate import FOLDER, grids, load

KINDS = sorted(path.stem for path in FOLDER.glob("*.json"))


def test_there_are_goldens_of_the_tiny_model() -> None:
    assert "tiny" in KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_grids_are_those_on_record(kind: str) -> None:
    golden = json.loads((FOLDER / f"{kind}.json").read_text())
    backend = load(kind)
    assert backend.info.weight_hash == golden["weight_hash"], f"other weights: run `python -m tests.golden.regenerate {kind}`"
    made = grids(backend)["runs"]
    assert made.keys() == golden["runs"].keys()
    assert [name for name in made if made[name] != golden["runs"][name]] == []
