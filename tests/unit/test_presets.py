"""Presets in other numbers of steps than their own: each of them draws, and its guided steps keep their share."""

from __future__ import annotations

import pytest

from tests.unit.test_sampler import PAIR, TINY
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.presets import PRESETS, preset, preset_with
from uncage_demo.decoding.run import Run, resolve


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_draws_in_its_own_number_of_steps_and_in_another(name: str) -> None:
    for given in ({}, {"num_steps": 5}, {"num_steps": 1}, {"num_steps": 7, "contrast_steps": 2}):
        config = DecodingConfig(preset(name).order).with_(**preset_with(name, given))
        found = resolve(TINY, Run(PAIR, config))
        assert found.total_steps == given.get("num_steps", preset(name).num_steps or TINY.info.default_steps)
        assert (found.contrast_steps or 0) <= found.total_steps
    assert preset_with(name, {"num_steps": 7, "contrast_steps": 2})["contrast_steps"] == 2


def test_guided_steps_of_a_preset_keep_their_share() -> None:
    shares = {steps: preset_with("paper", {"num_steps": steps})["contrast_steps"] for steps in (1, 4, 8, 64, 128)}
    assert shares == {1: 1, 4: 1, 8: 2, 64: 16, 128: 32}
    assert preset_with("uncage_dagger", {"num_steps": 8})["contrast_steps"] == 8
    assert preset_with("every_step", {"num_steps": 8})["contrast_steps"] == 8
    assert resolve(TINY, Run(PAIR, preset("every_step"))).contrast_steps == TINY.info.default_steps
    with pytest.raises(ValueError, match="contrast_steps=9: at most num_steps=8"):
        resolve(TINY, Run(PAIR, DecodingConfig("uncage", 8, contrast_steps=9)))
    with pytest.raises(ValueError, match="preset='best': choose one of"):
        preset_with("best", {})
