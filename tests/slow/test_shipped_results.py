"""The shipped result lines were made with the shipped weights (what else belongs together: tests/unit/test_shipped.py)."""

import pytest

from uncage_demo.train.refresh import stale_results
from uncage_demo.train.worlds import WORLDS


@pytest.mark.parametrize("world", WORLDS.values(), ids=lambda world: world.name)
def test_results_belong_to_the_weights(world):
    stale = [path.name for path in stale_results(world)]
    assert stale == [], f"other weights made these: run `python -m uncage_demo refresh --world {world.name} --bench EXPERIMENT`"
