"""Golden token grids of the shipped model, every order bit for bit (those of the tiny model: tests/golden)."""

import pytest

from tests.golden.test_golden import check


@pytest.mark.shapes
def test_grids_of_the_shipped_model_are_those_on_record() -> None:
    check("embedded")
