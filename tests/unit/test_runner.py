"""From runs to traces: one, several, live, cancelled, branched."""

import numpy as np
import pytest
import torch

from uncage_demo import runner
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.branching import branch
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.sampler import Run, Start
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.trace.record import Trace, TraceFormatError
from uncage_demo.trace.story import settings_at

TINY = EmbeddedBackend.tiny(seed=0)
PAIR = parse_prompt("a turtle and a pink apple", TINY)
CONFIG = DecodingConfig(order="uncage", num_steps=6)
CONFIGS = [CONFIG.with_(order=order) for order in ("meissonic", "uncage", "halton")]


def parent() -> Trace:
    return runner.generate(TINY, PAIR, CONFIG)


def assert_equal_traces(one: Trace, other: Trace, from_step: int = 0) -> None:
    assert one.config == other.config
    assert len(one.steps) == len(other.steps)
    for a, b in zip(one.steps[from_step:], other.steps[from_step:], strict=True):
        assert all(np.array_equal(getattr(a, name), getattr(b, name)) for name in vars(a) if getattr(a, name) is not None)
    for name in ("tokens", "unmask_step", "image", "frames"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name


def test_a_generated_trace_is_whole_and_valid() -> None:
    trace = parent()
    trace.validate()
    assert trace.tokens.shape == (6, 6)
    assert trace.frames is not None
    assert trace.frames.shape == (6, *trace.image.shape)
    assert np.array_equal(trace.frames[-1], trace.image)
    assert np.array_equal(trace.image, TINY.decode_tokens(torch.from_numpy(trace.tokens).long()[None])[0])
    assert np.array_equal(trace.frames[2], TINY.decode_tokens(torch.from_numpy(trace.steps[2].sampled).long()[None])[0])
    assert trace.config["guidance_scale"] == TINY.info.default_guidance_scale
    assert trace.config["contrast_blur"] == TINY.default_blur
    assert trace.model == TINY.info
    assert set(trace.timings_s) == {"forward", "decode", "total"}
    assert trace.timings_s["total"] >= trace.timings_s["forward"] + trace.timings_s["decode"] > 0
    assert {"torch", "numpy", "python"} <= set(trace.versions)
    shown = {int(i) for r in trace.steps for i in r.alternatives.flat}  # type: ignore[union-attr]
    assert set(trace.token_pictures) == shown
    for y, x in np.ndindex(6, 6):
        step = trace.unmask_step[y, x]
        assert trace.steps[step].committed[6 * y + x]
        assert trace.steps[step].sampled[6 * y + x] == trace.tokens[y, x]


def test_frames_and_full_attention_are_options() -> None:
    trace = runner.generate(TINY, PAIR, CONFIG, frames=False, full_attention=True)
    assert trace.frames is None
    assert trace.steps[0].attention_full is not None
    assert np.array_equal(trace.tokens, parent().tokens)


def test_compare_is_generate_one_by_one() -> None:
    for together, config in zip(runner.compare(TINY, PAIR, CONFIGS), CONFIGS, strict=True):
        assert_equal_traces(together, runner.generate(TINY, PAIR, config))


def test_compare_with_other_numbers_of_steps() -> None:
    short, long = runner.compare(TINY, PAIR, [CONFIG.with_(num_steps=3), CONFIG])
    assert [len(short.steps), len(long.steps)] == [3, 6]
    assert short.frames is not None
    assert len(short.frames) == 3
    short.validate()
    assert_equal_traces(short, runner.generate(TINY, PAIR, CONFIG.with_(num_steps=3)))


def test_stream_tells_every_step_and_ends_with_the_traces() -> None:
    items = list(runner.stream(TINY, [Run(PAIR, config) for config in CONFIGS]))
    assert [item.step for item in items] == [0, 1, 2, 3, 4, 5, 5]
    assert all(item.num_steps == 6 and len(item.records) == 3 for item in items)
    assert [item.traces is None for item in items] == [True] * 6 + [False]
    elapsed = [item.elapsed_s for item in items]
    assert elapsed == sorted(elapsed)
    last = items[-1].traces
    assert last is not None
    assert items[1].frames is not None
    assert all(np.array_equal(frame, trace.frames[1]) for frame, trace in zip(items[1].frames, last, strict=True))  # type: ignore[index]
    assert next(runner.stream(TINY, [Run(PAIR, CONFIG)], frames=False)).frames is None


def test_on_step_is_called_for_every_step_and_may_cancel() -> None:
    seen = []

    def stop_after_third(step: int, num_steps: int, records: list) -> None:
        seen.append((step, num_steps, len(records)))
        if step == 2:
            raise runner.Cancelled

    with pytest.raises(runner.Cancelled):
        runner.compare(TINY, PAIR, CONFIGS, on_step=stop_after_third)
    assert seen == [(0, 6, 3), (1, 6, 3), (2, 6, 3)]


def test_settings_that_do_not_fit_are_refused_before_anything_runs() -> None:
    with pytest.raises(ValueError, match="contrast_steps=7"):
        runner.compare(TINY, PAIR, [CONFIG, CONFIG.with_(contrast_steps=7)])
    with pytest.raises(ValueError, match="at least one run"):
        runner.compare(TINY, PAIR, [])


def test_editing_starts_from_given_tokens() -> None:
    whole = parent()
    given = whole.tokens.reshape(-1).astype(np.int64).copy()
    given[12:24] = -1
    trace = runner.generate(TINY, PAIR, CONFIG.with_(seed=9), start=Start(given))
    trace.validate()
    assert np.array_equal(trace.tokens.reshape(-1)[:12], given[:12])
    assert (trace.unmask_step.reshape(-1)[:12] == -1).all()
    assert (trace.unmask_step.reshape(-1)[12:24] >= 0).all()
    trace.unmask_step.flat[0] = 3
    with pytest.raises(TraceFormatError, match="unmask_step of a position present before step 0 must be below 0"):
        trace.validate()


@pytest.mark.parametrize("at_step", [0, 1, 3, 5])
def test_a_branch_without_edits_is_its_parent(at_step: int) -> None:
    trace = parent()
    made = branch(TINY, trace, at_step)
    made.validate()
    assert_equal_traces(made, trace)
    assert made.branches[0].parent == trace.id
    assert made.branches[0].at_step == at_step
    assert made.id != trace.id


def test_the_settings_of_a_step_are_the_parents_until_the_branch_begins() -> None:
    made = branch(TINY, parent(), 2, config=CONFIG.with_(order="halton"))
    again = branch(TINY, made, 4, config=CONFIG.with_(order="meissonic"))
    assert [settings_at(made, step).order for step in range(6)] == ["uncage"] * 2 + ["halton"] * 4
    assert [settings_at(again, step).order for step in range(6)] == ["uncage"] * 2 + ["halton"] * 2 + ["meissonic"] * 2


def test_keep_commits_the_parents_token_now_and_for_good() -> None:
    trace = parent()
    late = int(np.flatnonzero(trace.steps[5].committed)[0])
    made = branch(TINY, trace, 2, keep=[late])
    made.validate()
    assert made.unmask_step.flat[late] == 2
    assert made.tokens.flat[late] == trace.steps[2].sampled[late]
    assert made.branches[0].edits.keep == (late,)
    assert_equal_traces_before(made, trace, 2)


def test_keep_holds_the_parents_token_even_under_another_seed() -> None:
    trace = parent()
    late = np.flatnonzero(trace.steps[5].committed).tolist()
    made = branch(TINY, trace, 2, keep=late, config=CONFIG.with_(seed=77))
    made.validate()
    assert np.array_equal(made.tokens.flat[late], trace.steps[2].sampled[late])


def test_drop_masks_a_committed_token_again() -> None:
    trace = parent()
    early = int(np.flatnonzero(trace.steps[0].committed)[0])
    made = branch(TINY, trace, 3, drop=[early])
    made.validate()
    assert made.steps[3].masked_before[early]
    assert made.unmask_step.flat[early] >= 3
    # as many stay masked as the schedule says, so the dropped one is caught up with
    assert (made.steps[3].masked_before & ~made.steps[3].committed).sum() == (
        trace.steps[3].masked_before & ~trace.steps[3].committed
    ).sum()


def test_drop_of_a_token_about_to_be_committed_holds_it_back() -> None:
    trace = parent()
    now = int(np.flatnonzero(trace.steps[3].committed)[0])
    made = branch(TINY, trace, 3, drop=[now])
    made.validate()
    assert not made.steps[3].committed[now]
    assert made.unmask_step.flat[now] > 3
    with pytest.raises(ValueError, match="last step commits everything"):
        branch(TINY, trace, 5, drop=[int(np.flatnonzero(trace.steps[5].committed)[0])])


def test_forbid_holds_for_the_rest_of_the_run_and_drops_what_is_there() -> None:
    trace = parent()
    early = int(np.flatnonzero(trace.steps[0].committed)[0])
    token = int(trace.tokens.flat[early])
    made = branch(TINY, trace, 4, forbid={early: [token]})
    made.validate()
    assert made.tokens.flat[early] != token
    assert made.unmask_step.flat[early] >= 4


def test_another_strategy_from_here_on() -> None:
    trace = parent()
    made = branch(TINY, trace, 3, config=CONFIG.with_(order="halton"))
    made.validate()
    assert made.config["order"] == "halton"
    assert made.branches[0].parent_config == trace.config
    assert_equal_traces_before(made, trace, 3)
    more = branch(TINY, trace, 3, config=CONFIG.with_(num_steps=9))
    more.validate()
    assert len(more.steps) == 9


def test_a_hidden_word_has_no_attention_left() -> None:
    trace = parent()
    word = PAIR.subjects[1].object[0]
    made = branch(TINY, trace, 2, suppress_word=word)
    made.validate()
    assert made.word_maps(1)[word].max() > 0
    assert made.word_maps(2)[word].max() == 0
    again = branch(TINY, made, 4)
    assert again.branches[0].edits.suppress_word == word
    assert_equal_traces(again, made)


def test_a_branch_of_a_branch_keeps_what_is_still_in_force() -> None:
    trace = parent()
    late, early = int(np.flatnonzero(trace.steps[5].committed)[0]), int(np.flatnonzero(trace.steps[0].committed)[0])
    token = int(trace.tokens.flat[early])
    first = branch(TINY, trace, 2, keep=[late], forbid={early: [token]})
    for at_step in (2, 4):
        second = branch(TINY, first, at_step)
        second.validate()
        assert_equal_traces(second, first)
        assert [line.at_step for line in second.branches[1:]] == [2]
    before = branch(TINY, first, 1)
    assert before.branches[1:] == ()
    assert_equal_traces(before, trace)
    third = branch(TINY, branch(TINY, first, 4, drop=[late]), 5)
    third.validate()
    assert [line.at_step for line in third.branches[1:]] == [4, 2]
    assert Trace.from_bytes(third.to_bytes()).lineage == third.lineage


def test_a_branch_of_a_loaded_trace_is_that_of_the_live_one() -> None:
    trace = parent()
    loaded = Trace.from_bytes(trace.to_bytes())
    live, stored = (branch(TINY, t, 3, drop=[1], config=CONFIG.with_(seed=5)) for t in (trace, loaded))
    assert_equal_traces(live, stored)
    assert live.lineage == stored.lineage


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"at_step": 6}, "steps 0 to 5"),
        ({"at_step": -1}, "steps 0 to 5"),
        ({"at_step": True}, "steps 0 to 5"),
        ({"at_step": 2, "keep": [36]}, "keep: position 36"),
        ({"at_step": 2, "drop": [-1]}, "drop: position -1"),
        ({"at_step": 2, "forbid": {40: [1]}}, "forbid: position 40"),
        ({"at_step": 2, "forbid": {4: [99]}}, "allowed are 0..31"),
        ({"at_step": 2, "keep": [4], "drop": [4]}, "position 4 is both"),
        ({"at_step": 2, "suppress_word": 6}, "words 0 to 5"),
        ({"at_step": 2, "config": CONFIG.with_(num_steps=2)}, "start.step=2"),
    ],
)
def test_edits_that_do_not_fit_are_named(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        branch(TINY, parent(), **arguments)


def test_a_branch_needs_the_model_that_made_the_trace() -> None:
    with pytest.raises(ValueError, match="tiny-1"):
        branch(EmbeddedBackend.tiny(seed=1), parent(), 2)


def assert_equal_traces_before(made: Trace, trace: Trace, at_step: int) -> None:
    assert made.steps[:at_step] == trace.steps[:at_step]
    assert made.frames is not None
    assert trace.frames is not None
    assert np.array_equal(made.frames[:at_step], trace.frames[:at_step])


def test_a_branch_of_a_branch_at_the_same_step_still_drops_what_the_first_dropped() -> None:
    trace = parent()
    early = int(np.flatnonzero(trace.steps[1].committed)[0])
    now = int(np.flatnonzero(trace.steps[3].committed)[0])
    first = branch(TINY, trace, 3, drop=[early, now])
    second = branch(TINY, first, 3)
    assert second.lineage is not None
    assert second.lineage.edits.drop == tuple(sorted([early, now]))
    assert second.steps[3].masked_before[early]
    assert not second.steps[3].committed[now]
    assert np.array_equal(second.tokens, first.tokens)
    # A kept position is no longer dropped.
    kept = branch(TINY, first, 3, keep=[early]).lineage
    assert kept is not None
    assert (kept.edits.keep, kept.edits.drop) == ((early,), (now,))
