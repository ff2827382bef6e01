"""The float32 schedules against diffusers' arithmetic at every number of steps (at a few: tests/unit/test_schedule.py)."""

import pytest

from tests.schedule_counts import compare_counts


@pytest.mark.parametrize("num_tokens", [64, 256, 1024, 2304, 4096])
def test_float32_counts_are_those_of_diffusers_scheduler_at_every_number_of_steps(num_tokens: int) -> None:
    differ = compare_counts(num_tokens, range(1, 257))
    # One third of the way has no float32, so one position is lost at two thirds of the steps; elsewhere it takes large numbers.
    assert {num_steps: gap for num_steps, gap in differ.items() if num_steps < 160} == {num_steps: [1] for num_steps in range(3, 160, 3)}
