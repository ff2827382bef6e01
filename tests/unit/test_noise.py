"""Noise that depends on (seed, step, position, purpose) and on nothing else."""

import numpy as np
import pytest

from uncage_demo.decoding.noise import PURPOSES, gumbel, random_start, roll_offset, uniforms

pytestmark = pytest.mark.shapes


def test_the_stream_itself_never_changes() -> None:
    # Recorded values: traces made earlier must be reproducible by later versions.
    assert uniforms(0, 0, "token", 3).tolist() == FIRST_TOKEN_UNIFORMS
    assert uniforms(7, 5, "order", 2).tolist() == LATER_ORDER_UNIFORMS


def test_position_is_the_index_whatever_the_length() -> None:
    assert np.array_equal(uniforms(3, 2, "token", 4096)[:10], uniforms(3, 2, "token", 10))


@pytest.mark.parametrize("other", [(1, 0, "token"), (0, 1, "token"), (0, 0, "order"), (2**63 - 1, 0, "token")])
def test_seed_step_and_purpose_each_give_another_stream(other: tuple[int, int, str]) -> None:
    assert not np.isin(uniforms(*other, 64), uniforms(0, 0, "token", 64)).any()


def test_purposes_have_numbers_of_their_own() -> None:
    assert len(set(PURPOSES.values())) == len(PURPOSES)


def test_uniforms_are_uniform_and_never_0_or_1() -> None:
    values = uniforms(0, 0, "token", 200_000)
    assert values.dtype == np.float64
    assert values.min() > 0
    assert values.max() < 1
    histogram = np.histogram(values, 20, (0, 1))[0]
    assert ((histogram - 10_000) ** 2 / 10_000).sum() < 45  # chi-squared, 19 degrees of freedom, p = 0.001


def test_gumbel_has_the_mean_and_variance_of_gumbel_and_reaches_its_tails() -> None:
    values = np.concatenate([gumbel(0, step, 10_000) for step in range(30)])
    assert values.dtype == np.float32
    assert values.mean() == pytest.approx(np.euler_gamma, abs=0.01)
    assert values.var() == pytest.approx(np.pi**2 / 6, abs=0.03)
    assert values.max() > 11
    assert np.isfinite(values).all()


def test_roll_offset_is_within_the_list_and_varies() -> None:
    offsets = {roll_offset(seed, 144) for seed in range(50)}
    assert len(offsets) > 30
    assert min(offsets) >= 0
    assert max(offsets) < 144


@pytest.mark.parametrize("arguments", [(-1, 0, "token", 1), (2**63, 0, "token", 1), (0, -1, "token", 1), (0, 0, "weather", 1)])
def test_bad_arguments_are_named(arguments: tuple) -> None:
    with pytest.raises(ValueError, match=r"seed=|step=|purpose="):
        uniforms(*arguments)


FIRST_TOKEN_UNIFORMS = [0.40995227058831907, 0.6461813556239812, 0.9581003757621452]
LATER_ORDER_UNIFORMS = [0.8039523632146349, 0.4508322201758531]


@pytest.mark.parametrize(("share", "masked"), [(0.6, 38), (1.0, 64), (0.0, 1), (0.001, 1)])
def test_a_random_start_masks_a_fixed_number_of_positions_and_at_least_one(share: float, masked: int) -> None:
    starts = [random_start(seed, 64, 24, share) for seed in (3, 3, 4)]
    assert [int((start < 0).sum()) for start in starts] == [masked] * 3
    assert all(start.max() < 24 and start.min() == -1 for start in starts)
    assert np.array_equal(starts[0], starts[1])
    assert share == 1.0 or not np.array_equal(starts[0], starts[2])
