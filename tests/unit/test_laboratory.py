"""The laboratory's other decisions: how many, where, which token. Neutral settings change nothing; the rest does what its formula says."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.test_sampler import DECIDED, PAIR, TINY, N, assert_same, known, records
from uncage_demo.branching import branch
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding import logits
from uncage_demo.decoding.noise import uniforms
from uncage_demo.decoding.order import select
from uncage_demo.decoding.run import RecordOptions
from uncage_demo.decoding.sampler import Run, decode_many
from uncage_demo.decoding.schedule import scheduled_share
from uncage_demo.decoding.tokens import TokenOpinion
from uncage_demo.diagnosis.health import health
from uncage_demo.orders.counts import above_threshold, hitting_levels, least, within_entropy
from uncage_demo.orders.spacing import spread
from uncage_demo.player.payload import build_payload
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.render.frames import masked_after
from uncage_demo.runner import compare, generate
from uncage_demo.trace.record import Trace

PLAIN = DecodingConfig(num_steps=8, seed=3)
ONE = parse_prompt("a turtle", TINY)
# Settings under which each method does something on the tiny model.
ACTIVE: dict[str, dict[str, Any]] = {
    "guidance_interval": {"guidance_interval": (0.25, 0.75)},
    "composition": {"composition": 1.0},
    "self_guidance": {"self_guidance": 1.5},
    "logit_noise": {"logit_noise": 2.0},
    "differential": {"differential": 0.5},
    "entropy_heat": {"entropy_heat": 1.0},
    "entropy": {"how_many": "entropy", "entropy_budget": 9.0, "num_steps": 12},
    "confidence": {"how_many": "confidence", "confidence_threshold": 0.2, "num_steps": 12},
    "first_hitting": {"how_many": "first_hitting", "num_steps": 12},
    "reuse": {"reuse_steps": 2},
    "spacing": {"spacing": 3.0},
    "halton_aware": {"order": "halton_aware"},
}
NEUTRAL: dict[str, dict[str, Any]] = {
    "guidance_interval": {"guidance_interval": (0.0, 1.0)},
    "composition": {"composition": 0.0},
    "self_guidance": {"self_guidance": 0.0},
    "logit_noise": {"logit_noise": 0.0},
    "differential": {"differential": 0.0},
    "entropy_heat": {"entropy_heat": 0.0, "entropy_decay": 3.0},
    "how_many": {"how_many": "schedule", "entropy_budget": 0.0, "confidence_threshold": 0.1},
    "reuse": {"reuse_steps": 0, "reuse_from": 0.0},
    "spacing": {"spacing": 1.0},
}


@pytest.mark.parametrize("changes", NEUTRAL.values(), ids=NEUTRAL)
def test_a_neutral_setting_is_the_baseline_bit_for_bit(changes: dict[str, Any]) -> None:
    assert_same(known(PLAIN), records(PLAIN.with_(**changes)))


def test_runs_that_use_none_of_them_are_written_as_before() -> None:
    new = {"how_many", "spacing", "revise", "composition", "guidance_interval", "entropy_decay"}
    assert not new & set(PLAIN.to_dict())
    assert "composition" in PLAIN.with_(composition=0.5).to_dict()


@pytest.mark.parametrize("name", ACTIVE)
@pytest.mark.shapes
def test_each_does_something_and_keeps_to_the_rules(name: str) -> None:
    config = PLAIN.with_(**ACTIVE[name])
    steps, plain = known(config), known(PLAIN.with_(num_steps=config.num_steps))
    assert not np.array_equal(steps[-1].sampled, plain[-1].sampled) or len(steps) != len(plain)
    masked, held = np.ones(N, bool), np.full(N, -1)
    for record in steps:
        assert np.array_equal(record.masked_before, masked)
        assert np.array_equal(record.sampled[~masked], held[~masked])
        held[record.committed] = record.sampled[record.committed]
        masked &= ~record.committed
    assert not masked.any()
    assert_same(steps, records(config, record=RecordOptions(level="minimal")), (*DECIDED, "passes"))


# Every method: tests/slow/test_sweeps.py.
@pytest.mark.parametrize("name", ["composition", "differential", "confidence", "reuse"])
def test_a_branch_without_edits_is_its_parent_and_files_and_checks_cope(name: str) -> None:
    config = PLAIN.with_(**ACTIVE[name])
    trace = generate(TINY, PAIR, config)
    again = Trace.from_bytes(trace.to_bytes())
    found = health(again)
    assert found.counts_ok
    assert found.changed == 0
    run = build_payload([again])["runs"][0]
    assert run["num_steps"] == run["steps_done"] == len(trace.steps)
    assert run["image"] is not None
    assert_same(trace.steps, branch(TINY, trace, len(trace.steps) // 2).steps)


@pytest.mark.parametrize("name", ACTIVE)
def test_a_sample_is_the_same_alone_and_in_company(name: str) -> None:
    config = PLAIN.with_(**ACTIVE[name])
    together = list(decode_many(TINY, [Run(PAIR, PLAIN), Run(PAIR, config), Run(ONE, config)]))
    alone = known(config)
    assert_same(alone, [row[1] for row in together][: len(alone)])


def passes(config: DecodingConfig, prompt: Any = PAIR) -> list[float]:
    return [record.passes or 0 for record in records(config, prompt, record=RecordOptions(level="minimal"))]


def test_forwards_are_counted() -> None:
    assert passes(PLAIN) == [2] * 8
    assert passes(PLAIN.with_(guidance_scale=1.0)) == [1] * 8
    assert passes(PLAIN.with_(guidance_interval=(0.25, 0.75))) == [1, 1, 2, 2, 2, 2, 1, 1]
    assert passes(PLAIN.with_(composition=0.5)) == [4] * 8
    assert passes(PLAIN.with_(composition=0.5), ONE) == [2] * 8
    assert passes(PLAIN.with_(self_guidance=1.0)) == [2] + [3] * 7
    assert sum(passes(PLAIN.with_(**ACTIVE["entropy"]))) == 2 * len(records(PLAIN.with_(**ACTIVE["entropy"])))


# -- how many


def test_an_entropy_budget_takes_cells_until_the_sum_without_the_greatest_is_above_it() -> None:
    scores, entropy = np.array([3, 1, 2, 0, 9], np.float32), np.array([0.5, 2.0, 1.0, 0.1, 0.3], np.float32)
    masked = np.array([True, True, True, True, False])
    # in the order's ranking 0.5, 1.0, 2.0, 0.1: sums without the greatest 0, 0.5, 1.5, 1.6
    assert [within_entropy(scores, entropy, masked, gamma) for gamma in (0.0, 0.49, 0.5, 1.5, 1.7)] == [1, 1, 2, 3, 4]


def test_a_threshold_counts_likely_tokens() -> None:
    confidence = np.log(np.array([0.9, 0.5, 0.95, 0.99], np.float32))
    assert above_threshold(confidence, np.array([True, True, True, False]), 0.8) == 2
    assert above_threshold(np.zeros(3, np.float32), np.ones(3, bool), 1.0) == 3, "certain is at least as probable as 1"


def test_what_is_committed_at_least_is_enough_to_be_done_in_time() -> None:
    left, took = 36, []
    for step in range(8):
        took.append(least(left, step, 8))
        left -= took[-1]
    assert (left, min(took)) == (0, 4)


@pytest.mark.parametrize("name", ["entropy", "confidence"])
def test_runs_end_when_they_are_full_and_t_is_the_limit(name: str) -> None:
    own = {"entropy": "entropy_budget", "confidence": "confidence_threshold"}[name]
    slow, fast = (0.0, 1e2) if name == "entropy" else (1.0, 0.0)
    config = PLAIN.with_(**ACTIVE[name])
    assert len(records(config.with_(**{own: fast}))) == 1
    assert [int(r.committed.sum()) for r in records(config.with_(**{own: slow, "num_steps": 36}))] == [1] * 36
    assert len(records(config.with_(**{own: slow, "num_steps": 5}))) == 5
    assert config.num_steps is not None
    assert 1 < len(known(config)) < config.num_steps


def test_runs_of_different_lengths_stand_side_by_side() -> None:
    config = PLAIN.with_(**ACTIVE["confidence"])
    traces = compare(TINY, PAIR, [PLAIN, config])
    assert len(traces[1].steps) not in (8, config.num_steps)
    payload = build_payload(traces)
    assert payload["num_steps"] == max(len(trace.steps) for trace in traces)
    assert not masked_after(traces[1], traces[1].length - 1).any()
    assert np.array_equal(traces[1].image, generate(TINY, PAIR, config).image)


def test_a_draft_has_a_fixed_number_of_steps() -> None:
    with pytest.raises(ValueError, match='how_many="entropy" with 2 steps of redraw'):
        records(PLAIN.with_(order="redraw", how_many="entropy"))


def test_first_hitting_levels_are_sorted_uniforms_in_float64() -> None:
    """The closed form has the distribution of n sorted uniform numbers: mean (n - k) / (n + 1), and every level below the one before."""
    n, runs = 40, 4000
    levels = np.stack([hitting_levels(uniforms(seed, 0, "hitting", n)) for seed in range(runs)])
    assert levels.dtype == np.float64
    assert (np.diff(levels, axis=1) < 0).all()
    expected = np.arange(n, 0, -1) / (n + 1)
    spread_of = np.sqrt(expected * (1 - expected) / (n + 2) / runs)
    assert (np.abs(levels.mean(axis=0) - expected) < 5 * spread_of).all()
    # Kolmogorov-Smirnov of all levels together against the uniform: each run holds n exchangeable uniforms
    sample = np.sort(levels.reshape(-1))
    distance = np.abs(sample - (np.arange(len(sample)) + 0.5) / len(sample)).max()
    assert distance < 1.95 / math.sqrt(len(sample))


def test_first_hitting_counts_are_binomial_around_the_schedule() -> None:
    share = scheduled_share("cosine", 3, 8)
    assert share == pytest.approx(math.cos(math.pi / 4))
    counts = [int((hitting_levels(uniforms(seed, 0, "hitting", N)) < share).sum()) for seed in range(2000)]
    assert np.mean(counts) == pytest.approx(N * share, abs=5 * math.sqrt(N * share * (1 - share) / 2000))
    assert np.var(counts) == pytest.approx(N * share * (1 - share), rel=0.2)


# -- where


def test_cells_of_one_step_keep_their_distance_as_long_as_there_is_room() -> None:
    scores = np.zeros(25, np.float32)
    scores[[12, 13, 0, 4]] = [9, 8, 7, 6]
    everything, nothing = np.ones(25, bool), np.zeros(25, bool)
    assert np.flatnonzero(spread(scores, everything, 3, nothing, (5, 5), 2.5)).tolist() == [0, 4, 12]
    assert spread(scores, everything, 20, nothing, (5, 5), 3).sum() == 20
    taken = nothing.copy()
    taken[12] = True
    assert np.flatnonzero(spread(scores, everything, 1, taken, (5, 5), 2)).tolist() == [0]
    assert np.array_equal(select(scores, everything, 4), select(scores, everything, 4, grid=(5, 5), spacing=1.0))
    row = np.array([9, 8, 7, 6], np.float32)
    assert np.flatnonzero(spread(row, np.ones(4, bool), 2, np.zeros(4, bool), (1, 4), 2)).tolist() == [0, 2], "as far apart as asked"


@pytest.mark.parametrize("order", ["confidence", "uncage", "halton"])
def test_spacing_filters_any_order(order: str) -> None:
    config = PLAIN.with_(order=order, num_steps=16)
    near, far = (records(config.with_(spacing=spacing)) for spacing in (0.0, 3.0))
    assert [int(r.committed.sum()) for r in near] == [int(r.committed.sum()) for r in far]
    first = np.stack(np.divmod(np.flatnonzero(far[8].committed), 6), axis=1)
    apart = np.sqrt(((first[:, None] - first) ** 2).sum(-1))
    assert apart[apart > 0].min() >= 2


def test_halton_from_the_objects_is_halton_without_weight_and_starts_at_the_contrast_with_it() -> None:
    aware = PLAIN.with_(order="halton_aware", contrast_weight=0.0)
    assert_same(records(PLAIN.with_(order="halton")), records(aware), ("step", "sampled", "committed", "masked_before", "confidence"))
    first = records(aware.with_(contrast_weight=100.0))[0]
    assert first.weight == 100
    assert first.contrast[first.committed].min() >= first.contrast[~first.committed].max()
    assert [r.weight for r in records(PLAIN.with_(order="halton_aware"))] == [3, 3, 0, 0, 0, 0, 0, 0]


# -- which token


def test_a_product_of_experts_by_hand() -> None:
    c, u, one, two = (torch.tensor([row], dtype=torch.float32) for row in ([3, 1], [1, 1], [2, 0], [0, 4]))
    assert torch.equal(logits.composed(c, u, [one, two], 2.0, 0.0), u + 2 * (c - u))
    assert logits.composed(c, u, [one, two], 2.0, 1.0).tolist() == [[1, 5]]  # u + 2 ((1, -1) + (-1, 3))
    assert logits.composed(c, u, [one, two], 2.0, 0.5).tolist() == [[3, 3]]


def test_noise_of_the_logits_is_standard_normal_and_its_amount_falls_and_rises() -> None:
    noise = logits.normal_noise(1, 2, (200, 101))
    assert (noise.shape, noise.dtype) == ((200, 101), np.float32)
    assert (abs(noise.mean()) < 0.03, abs(noise.std() - 1) < 0.03) == (True, True)
    assert not np.array_equal(noise, logits.normal_noise(1, 3, (200, 101)))
    amounts = [logits.noise_amount(2.0, step, 5) for step in range(5)]
    assert amounts == pytest.approx([2, math.sqrt(2), 0, math.sqrt(2), 2])


def test_differential_sampling_draws_from_what_grew_where_least_changed() -> None:
    before = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8], [0.3, 0.3, 0.4]])
    now = torch.tensor([[0.4, 0.25, 0.35], [0.8, 0.1, 0.1], [0.3, 0.3, 0.4]])
    chances, rows = logits.grown(now, before, np.array([True, True, False]), 0.5)
    assert rows.tolist() == [True, False, False]
    assert chances[0].tolist() == pytest.approx([1e-5, 1e-5, 1], abs=3e-5)
    assert torch.equal(chances[1:], now[1:])


def test_the_temperature_falls_with_the_entropy() -> None:
    found = logits.entropy_temperature(np.array([0.0, 2.0], np.float32), 0.5, 2.0, 0.6)
    assert found == pytest.approx([1.1, 0.5 / math.e + 0.6])


def test_a_temperature_of_each_position_is_that_of_all_where_they_are_equal() -> None:
    opinion, draws = TokenOpinion.from_logits(torch.randn(50, 30, generator=torch.Generator().manual_seed(0))), uniforms(0, 0, "token", 50)
    for temperature in (0.0, 0.5, 1.0):
        assert np.array_equal(opinion.sample(draws, np.full(50, temperature)), opinion.sample(draws, temperature))
    mixed = opinion.sample(draws, np.where(np.arange(50) < 25, 0.0, 2.0))
    assert np.array_equal(mixed[:25], opinion.sample(draws, 0.0)[:25])
    assert np.array_equal(mixed[25:], opinion.sample(draws, 2.0)[25:])


def test_an_interval_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ValueError, match="guidance_interval="):
        DecodingConfig(guidance_interval=(0.6, 0.4))


def test_halton_from_the_objects_is_halton_where_the_prompt_has_none() -> None:
    bare = replace(PAIR, subjects=())
    decided = ("step", "sampled", "committed", "masked_before", "confidence")
    assert_same(records(PLAIN.with_(order="halton"), bare), records(PLAIN.with_(order="halton_aware"), bare), decided)
