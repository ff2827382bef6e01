"""The decoding loop on a tiny real model: counts, commits, identities of the orders, and independence from company and recording."""

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from tests.toy_backend import ToyBackend
from uncage_demo.backends.base import Backend
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.config import GUIDED_ORDERS, ORDER_NAMES, SCHEDULE_NAMES, DecodingConfig
from uncage_demo.decoding.run import recorded_columns
from uncage_demo.decoding.sampler import RecordOptions, Run, Start, decode, decode_many
from uncage_demo.orders.table import ORDERS
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.trace.record import StepRecord
from uncage_demo.types import Prompt, Subject, Word

TINY = EmbeddedBackend.tiny(seed=0)
PAIR = parse_prompt("a turtle and a pink apple", TINY)
PLAIN = parse_prompt("a turtle and a bird", TINY)
ONE = parse_prompt("a turtle", TINY)
N = 36
# Guided orders whose score is a sum of terms; the other one is told in test_laboratory.
SUMMED = [order for order in GUIDED_ORDERS if ORDERS[order].terms]


def given(values: np.ndarray | None) -> np.ndarray:
    """An array that must be there."""
    assert values is not None
    return values


def records(config: DecodingConfig, prompt: Prompt = PAIR, backend: Backend = TINY, **more) -> list[StepRecord]:
    return list(decode(backend, Run(prompt, config, more.pop("start", None), more.pop("suppress", ())), **more))


@cache
def known(config: DecodingConfig) -> list[StepRecord]:
    """A run that several tests hold others against, decoded once. Whoever wants to see that a run repeats takes `records`."""
    return records(config)


def same(one: StepRecord, other: StepRecord, names: tuple[str, ...] = ()) -> bool:
    names = names or tuple(vars(one))
    pairs = [(getattr(one, name), getattr(other, name)) for name in names]
    return all(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in pairs)


def assert_same(one: list[StepRecord], other: list[StepRecord], names: tuple[str, ...] = ()) -> None:
    assert len(one) == len(other)
    assert all(same(a, b, names) for a, b in zip(one, other, strict=True))


DECIDED = ("step", "sampled", "committed", "masked_before", "confidence", "noise", "weight", "scores", "cutoff")


WHOLE = [order for order in ORDER_NAMES if not ORDERS[order].redraw_share]  # the others' story: test_redraw, test_sight


# Every order under every schedule: tests/slow/test_sweeps.py.
@pytest.mark.parametrize(
    ("order", "schedule"), [*((order, "cosine") for order in WHOLE), *(("uncage", name) for name in SCHEDULE_NAMES[1:])]
)
@pytest.mark.shapes
def test_every_run_commits_each_position_once_and_never_changes_it(order: str, schedule: str) -> None:
    masked, held = np.ones(N, bool), np.full(N, -1)
    steps = records(DecodingConfig(order=order, schedule=schedule, num_steps=7, seed=4))
    assert [r.step for r in steps] == list(range(7))
    for r in steps:
        assert np.array_equal(r.masked_before, masked)
        assert not (r.committed & ~masked).any()
        assert np.array_equal(r.sampled[~masked], held[~masked])
        assert r.scores.dtype == np.float32
        assert (r.scores[~masked] == -np.inf).all()
        assert np.isfinite(r.scores[masked]).all()
        waiting = masked & ~r.committed
        assert r.cutoff == r.scores[r.committed].min() if r.committed.any() else r.cutoff == math.inf
        assert not waiting.any() or r.scores[waiting].max() <= r.cutoff
        held[r.committed] = r.sampled[r.committed]
        masked = masked & ~r.committed
    assert not masked.any()


def test_counts_are_those_of_the_schedule() -> None:
    steps = records(DecodingConfig(num_steps=8))
    left = [math.floor(N * math.cos(math.pi / 2 * (s + 1) / 8)) for s in range(7)] + [0]
    assert [int((r.masked_before & ~r.committed).sum()) for r in steps] == left


@pytest.mark.parametrize("order", ORDER_NAMES)
def test_a_sample_is_the_same_alone_and_in_company(order: str) -> None:
    alone = records(DecodingConfig(order=order, num_steps=6, seed=2))
    others = [Run(PAIR, DecodingConfig(order=o, num_steps=6, seed=s)) for o, s in (("random", 0), ("uncage", 2), ("meissonic", 2))]
    mine = Run(PAIR, DecodingConfig(order=order, num_steps=6, seed=2))
    together = list(decode_many(TINY, [others[0], mine, *others[1:]]))
    assert_same(alone, [row[1] for row in together])


def test_other_prompts_guidance_and_numbers_of_steps_may_run_beside_it() -> None:
    runs = [
        Run(PAIR, DecodingConfig(num_steps=6)),
        Run(ONE, DecodingConfig(num_steps=6, guidance_scale=1.0)),
        Run(PLAIN, DecodingConfig(num_steps=3, order="uncage", attention_source="all")),
        Run(PAIR, DecodingConfig(num_steps=6, guidance_scale=5.0, guidance_schedule="ramp")),
    ]
    together = list(decode_many(TINY, runs))
    assert len(together) == 6
    for i, run in enumerate(runs):
        assert_same(list(decode(TINY, run)), [row[i] for row in together][: run.config.num_steps])
    assert together[5][2] is together[2][2]


def test_batches_are_used_only_where_they_change_nothing() -> None:
    runs = [Run(PAIR, DecodingConfig(num_steps=4, seed=s)) for s in range(3)]
    honest, leaky = ToyBackend(), ToyBackend(leaky=True)
    for backend in (honest, leaky):
        together = list(decode_many(backend, runs))
        backend.calls.clear()
        for i, run in enumerate(runs):
            assert_same(list(decode(backend, run)), [row[i] for row in together])
    for backend, sizes in ((honest, {1: 0, 3: 3}), (leaky, {1: 9, 3: 0})):
        list(decode_many(backend, runs))
        backend.calls.clear()
        list(decode_many(backend, runs))
        # the first step's grids are all masked: one shared forward
        assert backend.calls[0] == (1, 0)
        assert {size: [b for b, _ in backend.calls[1:]].count(size) for size in sizes} == sizes


def test_side_by_side_shares_every_forward_up_to_the_first_different_commit() -> None:
    backend = ToyBackend()
    runs = [Run(PAIR, DecodingConfig(order="meissonic", num_steps=8)), Run(PAIR, DecodingConfig(order="uncage", num_steps=8))]
    rows = list(decode_many(backend, runs))
    held = [[np.where(r.masked_before, -1, r.sampled) for r in row] for row in rows]
    equal = [np.array_equal(a, b) for a, b in held]
    backend.calls.clear()
    list(decode_many(backend, runs))
    assert [b for b, _ in backend.calls] == [1 if shared else 2 for shared in equal]
    assert 1 <= sum(equal) < 8


def test_max_batch_of_a_backend_is_respected() -> None:
    backend = ToyBackend()
    backend.max_batch = 2
    list(decode_many(backend, [Run(PAIR, DecodingConfig(num_steps=3, seed=s)) for s in range(5)]))
    assert max(size for size, _ in backend.calls) == 2


@pytest.mark.parametrize("order", SUMMED)
def test_weight_0_decodes_as_the_baseline_bit_for_bit(order: str) -> None:
    guided = DecodingConfig(order=order, num_steps=8, contrast_weight=0.0, contrast_steps=8)
    words = "own" if guided.redraws_by_own_words else "every"
    baseline = DecodingConfig(order="meissonic", num_steps=8, redraw_steps=guided.redrawn_steps, redraw_words=words)
    # What is recorded of the contrast differs between the orders; what is decided does not.
    assert_same(records(guided), records(baseline), DECIDED)


def test_weight_changes_the_order() -> None:
    # The tiny model's contrast is faint: the default weight 3 changes no pick in these eight steps.
    guided = records(DecodingConfig(order="uncage", num_steps=8, contrast_weight=10.0))
    baseline = records(DecodingConfig(order="meissonic", num_steps=8))
    assert not all(same(a, b, ("committed",)) for a, b in zip(guided, baseline, strict=True))
    assert same(guided[0], baseline[0], ("sampled", "confidence", "noise", "contrast"))


@pytest.mark.parametrize("order", SUMMED)
def test_score_is_the_sum_of_its_recorded_parts(order: str) -> None:
    for r in records(DecodingConfig(order=order, num_steps=8, contrast_weight=2.0, contrast_steps=5)):
        m = r.masked_before
        assert np.array_equal(r.scores[m], (r.confidence + r.noise + np.float32(r.weight) * r.contrast)[m])
        assert r.weight == (2.0 if r.step < 5 else 0.0)
        assert r.contrast.any()


def test_two_plain_objects_are_guided_by_the_absolute_difference_of_their_maps() -> None:
    config = DecodingConfig(order="uncage", num_steps=4, contrast_blur=0.0, contrast_rescale="none")
    first = records(config, PLAIN)[0]
    turtle, bird = (first.attention[PLAIN.words[s.object[0]].tokens[0]] for s in PLAIN.subjects)  # type: ignore[index]
    assert first.contrast == pytest.approx(np.abs(turtle - bird), abs=1e-7)
    negative = records(config.with_(contrast_mode="negative"), PLAIN)
    assert_same(negative, records(config, PLAIN))


def test_the_anchored_order_depends_on_its_radius() -> None:
    near, far = (records(DecodingConfig(order="anchored", num_steps=8, anchor_radius=r)) for r in (0.05, 2.0))
    assert not all(same(a, b, ("contrast",)) for a, b in zip(near, far, strict=True))


@pytest.mark.parametrize("order", SUMMED)
def test_prompts_without_subjects_are_not_guided(order: str) -> None:
    bare = replace(PAIR, subjects=())
    guided = records(DecodingConfig(order=order, num_steps=5), bare)
    assert_same(guided, records(DecodingConfig(order="meissonic", num_steps=5), bare))
    assert all(r.weight == 0 and not r.contrast.any() for r in guided)


def test_halton_commits_in_its_fixed_order_and_rolls_on_request() -> None:
    from uncage_demo.orders.halton import halton_order

    def order_of(config: DecodingConfig) -> list[int]:
        return [int(p) for r in records(config) for p in np.flatnonzero(r.committed)[np.argsort(-r.scores[r.committed])]]

    fixed = order_of(DecodingConfig(order="halton", num_steps=6, seed=1))
    assert fixed == halton_order(6, 6).tolist()
    rolled = order_of(DecodingConfig(order="halton", num_steps=6, seed=1, halton_randomize=True))
    start = fixed.index(rolled[0])
    assert start > 0
    assert rolled == fixed[start:] + fixed[:start]


def test_seeds_differ_and_0_is_a_seed() -> None:
    a, b, again = (records(DecodingConfig(num_steps=4, seed=s)) for s in (0, 1, 0))
    assert_same(a, again)
    assert not same(a[0], b[0], ("sampled",))


@pytest.mark.parametrize("order", ["meissonic", "uncage", "halton", "margin", "entropy"])
@pytest.mark.shapes
def test_what_is_recorded_never_changes_what_is_decoded(order: str) -> None:
    config = DecodingConfig(order=order, num_steps=6)
    full = records(config)
    minimal = records(config, record=RecordOptions(level="minimal"))
    whole = records(config, record=RecordOptions(full_attention=True, alternatives=2))
    assert_same(full, minimal, DECIDED)
    assert_same(full, whole, (*DECIDED, "contrast", "attention", "entropy"))
    assert all(r.attention is None and r.alternatives is None and r.entropy is None for r in minimal)
    k = len(recorded_columns(PAIR))
    assert k == 8  # <start>, six words, <end>; no padding
    assert all(np.shape(given(r.attention)) == (k, N) and np.shape(given(r.alternatives)) == (N, 4) for r in full)
    assert all(np.shape(given(r.attention_full)) == (2, 2, k, N) for r in whole)
    if order == "uncage":
        assert [r.weight for r in minimal] == [r.weight for r in full]
        assert np.array_equal(minimal[0].contrast, full[0].contrast)


def test_recorded_opinion_is_that_of_the_model() -> None:
    config = DecodingConfig(num_steps=4, guidance_scale=2.5)
    conditioning = TINY.encode_prompt(PAIR)
    held = np.full(N, TINY.mask_id)
    for r in records(config):
        output = TINY.forward(torch.from_numpy(held)[None], r.step, 4, [conditioning])
        assert output.uncond is not None
        p = torch.softmax(output.uncond[0].double() + 2.5 * (output.cond[0].double() - output.uncond[0].double()), -1).numpy()
        m = r.masked_before
        assert r.confidence[m] == pytest.approx(np.log(p[np.arange(N), r.sampled])[m], abs=1e-4)
        assert (r.confidence[~m] == 0).all()
        assert r.entropy == pytest.approx(-(p * np.log(p)).sum(-1), abs=1e-4)
        assert r.alternative_probs == pytest.approx(-np.sort(-p, axis=-1)[:, :4], abs=1e-5)
        held[r.committed] = r.sampled[r.committed]


def state_after(steps: list[StepRecord], k: int) -> tuple[np.ndarray, np.ndarray]:
    tokens, since = np.full(N, -1), np.full(N, -1)
    for r in steps[:k]:
        tokens[r.committed], since[r.committed] = r.sampled[r.committed], r.step
    opened = steps[k].masked_before  # more than what was never committed, where a redraw has begun
    return np.where(opened, -1, tokens), np.where(opened, -1, since)


# Every order from each: tests/slow/test_sweeps.py.
@pytest.mark.parametrize(("order", "k"), [*((order, 4) for order in ORDER_NAMES), ("uncage", 1), ("mend", 7)])
def test_resumed_is_uninterrupted(order: str, k: int) -> None:
    config = DecodingConfig(order=order, num_steps=8, seed=3)
    whole = known(config)
    tokens, since = state_after(whole, k)
    assert_same(whole[k:], records(config, start=Start(tokens, k, since, sight=whole[k].sight)))


def test_given_tokens_stay_and_the_schedule_counts_the_rest() -> None:
    given = np.where(np.arange(N) < 16, np.arange(N) % TINY.info.codebook_size, -1)
    steps = records(DecodingConfig(num_steps=5), start=Start(given))
    assert np.array_equal(steps[-1].sampled[:16], given[:16])
    assert [int((r.masked_before & ~r.committed).sum()) for r in steps] == [
        *(math.floor(20 * math.cos(math.pi / 2 * (s + 1) / 5)) for s in range(4)),
        0,
    ]


def test_kept_held_and_forbidden() -> None:
    plain = records(DecodingConfig(num_steps=6))
    late = int(np.flatnonzero(plain[5].committed)[0])
    soon = int(plain[0].scores.argmax())  # it would be first though another one is kept
    assert soon not in (late, 7)
    token = (int(plain[0].sampled[late]) + 1) % TINY.info.codebook_size
    forbidden = tuple(i for i in range(TINY.info.codebook_size) if i not in (3, 5))
    start = Start(np.full(N, -1), keep={late: token}, hold=frozenset({soon}), forbid={7: forbidden})
    steps = records(DecodingConfig(num_steps=6), start=start)
    assert steps[0].committed[late]
    assert steps[-1].sampled[late] == token
    assert not steps[0].committed[soon]
    assert steps[0].committed.sum() == plain[0].committed.sum()
    won = np.flatnonzero(steps[0].committed)
    won = won[won != late]
    assert steps[0].scores[late] < steps[0].cutoff == steps[0].scores[won].min()  # what is kept has earned nothing
    assert all(r.sampled[7] in (3, 5) for r in steps)


def test_nothing_to_decode_is_not_an_error() -> None:
    done = records(DecodingConfig(num_steps=3), start=Start(np.zeros(N, int)))
    assert len(done) == 3
    assert not any(r.committed.any() for r in done)


def test_a_hidden_word_changes_the_run() -> None:
    word = PAIR.words[PAIR.subjects[0].object[0]]
    shown, hidden = records(DecodingConfig(num_steps=3)), records(DecodingConfig(num_steps=3), suppress=word.tokens)
    assert hidden[0].attention is not None
    assert hidden[0].attention[word.tokens[0]].max() == 0
    assert not same(shown[0], hidden[0], ("confidence",))


def cut_off(prompt: Prompt) -> Prompt:
    words = tuple(Word(w.text, w.start, w.end, (), w.kind) if w.text == "apple" else w for w in prompt.words)
    return replace(prompt, words=words)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (Run(PAIR, DecodingConfig(num_steps=8, contrast_steps=9)), "contrast_steps=9"),
        (Run(PAIR, DecodingConfig(attention_source="layers:1-2")), "layers 0 to 1"),
        (Run(cut_off(PAIR), DecodingConfig(order="uncage")), "'apple'"),
        (Run(replace(PAIR, subjects=(Subject((99,)),)), DecodingConfig()), "word groups"),
        (Run(PAIR, DecodingConfig(), suppress=(99,)), "suppress="),
        (Run(PAIR, DecodingConfig(), Start(np.zeros(5, int))), "give 36"),
        (Run(PAIR, DecodingConfig(), Start(np.full(N, 32))), "32"),
        (Run(PAIR, DecodingConfig(), Start(np.full(N, -2))), "-2"),
        (Run(PAIR, DecodingConfig(num_steps=4), Start(np.full(N, -1), 4)), r"start.step=4"),
        (Run(PAIR, DecodingConfig(), Start(np.zeros(N, int), 2, np.full(N, 2))), "unmask_step"),
        (Run(PAIR, DecodingConfig(), Start(np.full(N, -1), hold=frozenset({36}))), "position 36"),
        (Run(PAIR, DecodingConfig(), Start(np.zeros(N, int), keep={1: 1})), "not masked"),
        (Run(PAIR, DecodingConfig(), Start(np.full(N, -1), keep={1: 1}, hold=frozenset({1}))), "both name position 1"),
        (Run(PAIR, DecodingConfig(num_steps=4), Start(np.full(N, -1), 3, hold=frozenset({1}))), "last step"),
        (Run(PAIR, DecodingConfig(), Start(np.full(N, -1), keep={1: 32})), "id 32"),
        (Run(PAIR, DecodingConfig(), Start(np.full(N, -1), forbid={1: (32,)})), "0..31"),
        (Run(PAIR, DecodingConfig(), Start(np.full(N, -1), forbid={1: tuple(range(32))})), "every id"),
        (Run(PAIR, DecodingConfig(), Start(np.zeros(N, int), forbid={1: (0,)})), "holds a forbidden id"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_first_forward(run: Run, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        next(iter(decode(TINY, run)))


def test_a_cut_off_word_does_not_stop_orders_that_do_not_read_it() -> None:
    steps = records(DecodingConfig(num_steps=3), cut_off(PAIR))
    assert not any(r.contrast.any() for r in steps)


def test_no_runs_and_bad_options_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one run"):
        next(decode_many(TINY, []))
    with pytest.raises(ValueError, match="alternatives=0"):
        RecordOptions(alternatives=0)
    with pytest.raises(ValueError, match="level='some'"):
        RecordOptions(level="some")  # type: ignore[arg-type]


def test_a_model_that_is_not_finite_is_reported() -> None:
    backend = ToyBackend()
    backend.out[:, 3] = torch.nan
    with pytest.raises(FloatingPointError, match="logits are not finite"):
        records(DecodingConfig(num_steps=3), backend=backend)


def test_the_callers_arrays_are_not_written_to() -> None:
    tokens = np.full(N, -1)
    records(DecodingConfig(num_steps=3), start=Start(tokens))
    assert (tokens == -1).all()


def test_steps_come_one_at_a_time() -> None:
    backend = ToyBackend()
    steps = decode(backend, Run(PAIR, DecodingConfig(num_steps=8)))
    assert backend.calls == []
    next(steps)
    assert len(backend.calls) == 1
