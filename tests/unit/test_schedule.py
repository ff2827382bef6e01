"""How many stay masked: the formulas of the papers, and the limits every step obeys."""

import itertools
import math

import pytest

from tests.schedule_counts import compare_counts
from uncage_demo.config import SCHEDULE_NAMES, DecodingConfig
from uncage_demo.decoding.schedule import leading_steps, mask_count, scheduled_masked

pytestmark = pytest.mark.shapes


def run(schedule: str, num_steps: int, num_tokens: int, power: float = 2.0) -> list[int]:
    masked, left = num_tokens, []
    for step in range(num_steps):
        masked = mask_count(schedule, step, num_steps, num_tokens, masked, power)
        left.append(masked)
    return left


def test_cosine_counts_by_hand() -> None:
    # floor(144 cos(pi/2 (s+1)/8)): 141.2, 133.04, 119.7, 101.8, 80.002, 55.1, 28.1
    assert run("cosine", 8, 144) == [141, 133, 119, 101, 80, 55, 28, 0]


def test_linear_and_power_counts_by_hand() -> None:
    assert run("linear", 4, 10) == [7, 5, 2, 0]
    assert run("power", 4, 16, power=2.0) == [15, 12, 7, 0]
    assert run("power", 4, 16, power=1.0) == run("linear", 4, 16)


def test_arccos_reveals_at_least_one_more_token_a_step() -> None:
    # revealed = max(s+1, floor(N (1 - 2/pi arccos((s+1)/T)))); arccos(1/2) = pi/3, so exactly a third is revealed half way
    assert scheduled_masked("arccos", 0, 4, 144) == 144 - math.floor(144 * (1 - 2 / math.pi * math.acos(0.25)))
    assert scheduled_masked("arccos", 1, 4, 144) == 96
    assert [scheduled_masked("arccos", s, 64, 64) for s in range(3)] == [63, 62, 61]


def test_values_that_are_whole_in_exact_arithmetic_do_not_lose_one() -> None:
    # cos(pi/3) = 1/2 and arccos(1/2) = pi/3 exactly, whatever the last bit of the platform's functions says
    for tokens in range(3, 3000, 3):
        assert scheduled_masked("cosine", 1, 3, 2 * tokens) == tokens
        assert scheduled_masked("arccos", 0, 2, tokens) == tokens - max(1, tokens // 3)


@pytest.mark.parametrize("num_tokens", [64, 256, 1024, 2304, 4096])
def test_float32_counts_are_those_of_diffusers_scheduler(num_tokens: int) -> None:
    """Its own arithmetic, one line each, over every step (at every number of steps: tests/slow/test_schedule_counts.py)."""
    looked_at = (*range(1, 19), 32, 48, 64, 128, 159)
    # One third of the way has no float32, so one position is lost at two thirds of the steps.
    assert compare_counts(num_tokens, looked_at) == {num_steps: [1] for num_steps in looked_at if num_steps % 3 == 0}
    compare_counts(num_tokens, [256])


@pytest.mark.parametrize("schedule", SCHEDULE_NAMES)
@pytest.mark.parametrize(("num_steps", "num_tokens"), [(1, 1), (1, 144), (12, 144), (32, 144), (64, 4096), (20, 7), (256, 144)])
def test_every_run_ends_with_nothing_masked_and_never_grows(schedule: str, num_steps: int, num_tokens: int) -> None:
    left = run(schedule, num_steps, num_tokens)
    assert left[-1] == 0
    assert all(later <= earlier for earlier, later in zip([num_tokens, *left], left, strict=False))
    assert all(count >= 1 for count in left[:-1])


@pytest.mark.parametrize("schedule", SCHEDULE_NAMES)
def test_each_step_commits_at_least_one_while_more_than_one_is_masked(schedule: str) -> None:
    left = [144, *run(schedule, 60, 144)]
    assert all(before - after >= 1 for before, after in itertools.pairwise(left) if before > 1)


def test_a_single_masked_position_waits_for_the_last_step_and_none_stays_none() -> None:
    assert mask_count("cosine", 3, 8, 144, 1) == 1
    assert mask_count("cosine", 7, 8, 144, 1) == 0
    assert mask_count("cosine", 3, 8, 144, 0) == 0


def test_dropped_tokens_are_caught_up_with_and_kept_ones_waited_for() -> None:
    assert mask_count("cosine", 4, 8, 144, 120) == 80
    assert mask_count("cosine", 4, 8, 144, 40) == 39


@pytest.mark.parametrize(
    "arguments",
    [("sine", 0, 8, 10, 10), ("cosine", 8, 8, 10, 10), ("cosine", -1, 8, 10, 10), ("cosine", 0, 0, 10, 10), ("cosine", 0, 8, -1, 0)],
)
def test_bad_arguments_are_named(arguments: tuple) -> None:
    with pytest.raises(ValueError, match=r"schedule=|step=|num_tokens="):
        mask_count(*arguments)


def test_regions_lead_for_a_quarter_of_the_draft() -> None:
    assert [leading_steps(DecodingConfig(num_steps=steps)) for steps in (1, 4, 7, 8, 15, 16)] == [1, 1, 1, 2, 3, 4]
    assert leading_steps(DecodingConfig(num_steps=16, redraw_steps=4)) == 3
