"""Revisions: which committed cells are opened again, that the schedule's promise holds, and that traces and the player know it."""

import itertools
import json
from typing import Any

import numpy as np
import pytest

from tests.unit.test_sampler import DECIDED, assert_same, records
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.branching import branch
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.run import RecordOptions
from uncage_demo.decoding.schedule import mask_count
from uncage_demo.decoding.taking_back import mean_since_committed
from uncage_demo.diagnosis.diagnose import diagnose
from uncage_demo.diagnosis.evidence import swapped_picks
from uncage_demo.diagnosis.health import health
from uncage_demo.orders.revise import REASON_CODE, REASONS, REVISIONS, Committed, Revision, lots_drawn, outranked, tapered
from uncage_demo.player.payload import build_payload
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.runner import generate
from uncage_demo.trace.record import StepRecord, Trace, TraceFormatError

TINY = EmbeddedBackend.tiny(seed=0)
PAIR = parse_prompt("a turtle and a pink apple", TINY)
# So strong that each takes something back in 8 steps of 36 cells.
STRONG = {"remask": 0.3, "plan": 1.0, "correct": 0.2, "critic": 0.3, "zigzag": 0.3}
NAN = float("nan")


def config(name: str, **more) -> DecodingConfig:
    return DecodingConfig(num_steps=8, seed=3, revise=name, revise_strength=STRONG[name], **more)


def look(**given: Any) -> Committed:
    """Six cells: four held, two masked, of which one stays."""
    usual: dict[str, Any] = {
        "step": 5, "num_steps": 10, "held": [1, 1, 1, 1, 0, 0], "masked": [0, 0, 0, 0, 1, 1], "likelihood": [-0.1, -3, -0.2, -1, 0, 0],
        "trust": [-2, -0.1, -0.3, -0.2, 0, 0], "left_out": None, "confidence": [0, 0, 0, 0, -0.5, -0.7], "total": 6, "stay": 1,
        "lots": [0.9, 0.1, 0.2, 0.8, 0.5, 0.5],
    }  # fmt: skip
    values = usual | given
    kinds = {"held": bool, "masked": bool, "likelihood": np.float32, "trust": np.float32, "confidence": np.float32, "lots": float}
    arrays: dict[str, Any] = {key: np.array(value, kinds[key]) if key in kinds else value for key, value in values.items()}
    return Committed(**arrays)


def opened(name: str, strength: float, **given) -> list[int]:
    return np.flatnonzero(REVISIONS[name].open(look(**given), strength)).tolist()


def test_by_lot_the_cap_is_what_the_schedule_leaves_room_for() -> None:
    assert lots_drawn(look(stay=2), 0.15) == 1
    # sigma_max = stay / unmasked = 1/4: cells 1 and 2 are below it, whatever the strength
    assert lots_drawn(look(), 1.0) == 2
    assert opened("remask", 1.0) == [1]  # but only one cell stays masked
    assert opened("remask", 1.0, stay=2) == [1, 2]


def test_path_planning_exchanges_cells_as_long_as_what_waits_is_more_probable() -> None:
    # The schedule commits cell 4 (-0.5); cell 5 (-0.7) is more probable than the tokens of 1 (-3) and 3 (-1), but only one may stay.
    assert opened("plan", 1.0) == [1]
    assert opened("plan", 0.1) == []  # -0.3 against -0.7
    assert outranked(look(stay=2), 1.0) == 2
    assert outranked(look(likelihood=[-0.1, -0.7, -0.2, -0.3, 0, 0]), 1.0) == 0  # as probable as what waits
    assert outranked(look(stay=2, confidence=[0, 0, 0, 0, -0.5, -1.5]), 1.0) == 1


def test_self_correction_takes_the_cells_that_were_doubted_longest_and_tapers_off() -> None:
    assert opened("correct", 0.2) == [0]
    counts = [tapered(look(step=step, total=1000), 0.016) for step in range(10)]
    assert counts == [0, 0, 0, 0, 0, 16, 8, 8, 4, 0]


def test_the_critic_looks_at_hidden_cells_only() -> None:
    left_out = np.array([NAN, NAN, -1.0, -2.0, NAN, NAN], np.float32)
    assert opened("critic", 0.5, left_out=left_out) == [3]
    assert opened("critic", 0.2, left_out=left_out) == []


def test_zigzag_judges_beside_what_is_about_to_be_committed_and_without_the_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []
    forward = TINY.forward
    monkeypatch.setattr(TINY, "forward", lambda tokens, *a, **more: (seen.append(tokens[0].numpy()), forward(tokens, *a, **more))[1])
    steps = records(config("zigzag"), backend=TINY)
    second = steps[1]  # the first step that holds something: its own forward, then the one that looks ahead
    assert np.array_equal(seen[1] == TINY.mask_id, second.masked_before)
    ahead = second.masked_before & (seen[2] != TINY.mask_id)
    assert ahead.sum() == mask_count("cosine", 0, 8, 36, 36) - mask_count("cosine", 1, 8, 36, 36)
    assert np.array_equal(seen[2][ahead], second.sampled[ahead])
    assert not (ahead & ~second.committed).any()  # and what it saw is committed, with as many more as it takes back
    codes = {code for record in steps if record.reopened is not None for code in record.reopened}
    assert codes == {0, REASON_CODE["unfitting"]}


@pytest.mark.parametrize("revision", REVISIONS.values(), ids=REVISIONS)
def test_nothing_is_opened_that_is_not_held_nor_more_than_stays(revision: Revision) -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        masked = rng.random(30) < 0.4
        held = ~masked & (rng.random(30) < 0.8)
        stay = int(rng.integers(0, masked.sum() + 1))
        left_out = np.where(rng.random(30) < 0.5, rng.normal(size=30), NAN).astype(np.float32)
        numbers = {name: -rng.exponential(size=30) for name in ("likelihood", "trust", "confidence")}
        seen = look(held=held, masked=masked, stay=stay, total=30, lots=rng.random(30), left_out=left_out, **numbers)
        cells = revision.open(seen, 3.0)
        assert not (cells & ~held).any()
        assert cells.sum() <= stay
        assert not revision.open(seen, 0.0).any()


def test_trust_is_the_mean_since_the_cell_was_committed_last() -> None:
    rows = [[-9, NAN, -1], [NAN, NAN, -2], [-1, -4, -3], [-3, -2, NAN]]
    assert mean_since_committed([np.array(row, np.float32) for row in rows]).tolist() == [-2, -3, 0]


@pytest.mark.parametrize("name", REVISIONS)
def test_strength_0_is_the_baseline_bit_for_bit(name: str) -> None:
    plain = DecodingConfig(num_steps=8, seed=3)
    assert_same(records(plain), records(plain.with_(revise=name, revise_strength=0.0)))


# Every revision with each: tests/slow/test_sweeps.py.
@pytest.mark.parametrize(
    ("name", "order"), [*((name, "uncage") for name in REVISIONS), ("critic", "meissonic"), ("plan", "halton"), ("remask", "mend")]
)
@pytest.mark.shapes
def test_tokens_change_only_where_a_step_says_so_and_the_schedule_holds(name: str, order: str) -> None:
    settings = config(name, order=order)
    steps = records(settings)
    draft = settings.draft_steps
    taken = 0
    for before, after in itertools.pairwise(steps):
        reopened = np.zeros(36, bool) if before.reopened is None else before.reopened > 0
        open_before = before.masked_before & ~before.committed
        assert np.array_equal(after.masked_before, open_before | reopened)
        assert not (open_before & reopened).any()
        fixed = ~after.masked_before
        assert np.array_equal(after.sampled[fixed], before.sampled[fixed])
        if before.step == draft - 1:
            continue
        taken += int(reopened.sum())
        total = 36 if before.step < draft else int(steps[draft].masked_before.sum())
        length = draft if before.step < draft else settings.redrawn_steps
        stay = mask_count("cosine", before.step % draft, length, total, int(before.masked_before.sum()))
        assert int(after.masked_before.sum()) == stay
    assert taken or (name == "correct" and order == "mend")  # a third of 8 steps is too short for it
    assert steps[-1].reopened is None
    assert not (steps[-1].masked_before & ~steps[-1].committed).any()


@pytest.mark.parametrize("name", REVISIONS)
def test_what_is_recorded_changes_nothing_and_forwards_are_counted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []
    forward = TINY.forward
    monkeypatch.setattr(TINY, "forward", lambda *a, **more: (counts.append(1 + more["unconditional"]), forward(*a, **more))[1])
    lean = records(config(name), backend=TINY, record=RecordOptions(level="minimal"))
    assert sum(counts) == sum(record.passes or 0 for record in lean)
    assert sum(counts) == (16 + 12 if name in ("critic", "zigzag") else 16)  # not before anything is held, nor in the last step
    assert_same(records(config(name)), lean, (*DECIDED, "reopened", "likelihood", "passes"))


@pytest.fixture(scope="module")
def traces() -> dict[str, Trace]:
    return {name: generate(TINY, PAIR, config(name)) for name in REVISIONS}


@pytest.mark.parametrize("name", REVISIONS)
def test_a_file_keeps_it_and_the_checks_know_it(name: str, traces: dict[str, Trace]) -> None:
    trace = traces[name]
    again = Trace.from_bytes(trace.to_bytes())
    assert [r.passes for r in again.steps] == [r.passes for r in trace.steps]
    for one, other in zip(trace.steps, again.steps, strict=True):
        assert (one.reopened is None) == (other.reopened is None)
        assert np.array_equal(one.reopened if one.reopened is not None else 0, other.reopened if other.reopened is not None else 0)
    found = health(again)
    assert found.counts_ok
    assert found.changed == 0
    assert found.taken_back == sum(int((r.reopened > 0).sum()) for r in trace.steps if r.reopened is not None) > 0
    told = {code for r in trace.steps if r.reopened is not None for code in r.reopened[r.reopened > 0].tolist()}
    assert told == {REASON_CODE[REVISIONS[name].reason]}


def test_a_cell_that_is_opened_without_a_word_is_a_fault(traces: dict[str, Trace]) -> None:
    trace = Trace.from_bytes(traces["plan"].to_bytes())
    at = next(k for k, record in enumerate(trace.steps) if record.reopened is not None)
    trace.steps[at].reopened = None
    assert health(trace).changed > 0
    with pytest.raises(TraceFormatError, match="masked again"):
        trace.validate()
    again = Trace.from_bytes(traces["plan"].to_bytes())
    record = again.steps[at]
    assert record.reopened is not None
    record.reopened[int(np.flatnonzero(record.masked_before & ~record.committed)[0])] = 2
    with pytest.raises(TraceFormatError, match="still masked"):
        again.validate()
    late = Trace.from_bytes(traces["plan"].to_bytes())
    late.steps[-1].reopened = np.where(np.arange(36) == 0, np.uint8(REASON_CODE[REVISIONS["plan"].reason]), np.uint8(0))
    with pytest.raises(TraceFormatError, match="the last step opens positions again"):
        late.validate()


@pytest.mark.parametrize("name", REVISIONS)
@pytest.mark.parametrize("step", [1, 4, 6])
def test_a_branch_without_edits_is_its_parent(name: str, step: int, traces: dict[str, Trace]) -> None:
    child = branch(TINY, traces[name], step)
    assert_same(traces[name].steps, child.steps)
    assert np.array_equal(child.image, traces[name].image)


def test_an_edit_is_never_taken_back(traces: dict[str, Trace]) -> None:
    parent = traces["remask"]
    waits = int(np.flatnonzero(parent.steps[2].masked_before & ~parent.steps[2].committed)[0])
    child = branch(TINY, parent, 2, keep=(waits,), config=config("remask").with_(revise_strength=1.0))
    assert child.steps[2].committed[waits]
    assert not any(record.masked_before[waits] for record in child.steps[3:])
    assert sum(int((r.reopened > 0).sum()) for r in child.steps if r.reopened is not None) > 10


@pytest.mark.parametrize("name", REVISIONS)
def test_the_player_is_told_which_cells_and_why(name: str, traces: dict[str, Trace]) -> None:
    trace = traces[name]
    run = json.loads(json.dumps(build_payload([trace])))["runs"][0]["taken_back"]
    assert run["reasons"] == [reason.told for reason in REASONS]
    for record, cells in zip(trace.steps, run["steps"], strict=True):
        assert [cell for cell, _, _ in cells] == ([] if record.reopened is None else np.flatnonzero(record.reopened).tolist())
        for cell, code, logp in cells:
            assert code == REASON_CODE[REVISIONS[name].reason]
            assert record.likelihood is not None
            assert logp == pytest.approx(record.likelihood[cell], abs=1e-4)
    assert any(run["steps"])
    assert build_payload([generate(TINY, PAIR, DecodingConfig(num_steps=3))])["runs"][0]["taken_back"] is None


@pytest.mark.parametrize("order", ["redraw", "mend"])
def test_the_player_is_told_of_a_redraw(order: str) -> None:
    trace = generate(TINY, PAIR, DecodingConfig(order=order, num_steps=8, seed=3))
    run = json.loads(json.dumps(build_payload([trace])))["runs"][0]["taken_back"]
    told = {run["reasons"][code] for cells in run["steps"] for _, code, _ in cells}
    assert told
    assert told <= {REASONS[REASON_CODE[why]].told for why in ("elsewhere", "unvouched")}


def test_a_redraw_tells_its_reasons_too() -> None:
    trace = generate(TINY, PAIR, DecodingConfig(order="mend", num_steps=8, seed=3))
    told: StepRecord = trace.steps[DecodingConfig.from_dict(trace.config).draft_steps - 1]
    assert told.reopened is not None
    assert np.array_equal(told.reopened > 0, trace.steps[told.step + 1].masked_before)
    assert set(told.reopened[told.reopened > 0].tolist()) <= {REASON_CODE["elsewhere"], REASON_CODE["unvouched"]}


def test_the_diagnosis_counts_what_was_taken_back(traces: dict[str, Trace]) -> None:
    trace = traces["remask"]
    (told,) = (finding for finding in diagnose(trace) if finding.kind == "redraw")
    opened = [(r.sampled, np.flatnonzero(r.reopened)) for r in trace.steps if r.reopened is not None]
    assert told.evidence["opened"] == sum(len(cells) for _, cells in opened)
    assert told.evidence["changed"] == sum(int((s[cells] != trace.tokens.reshape(-1)[cells]).sum()) for s, cells in opened) > 0
    assert not [finding for finding in diagnose(generate(TINY, PAIR, DecodingConfig(num_steps=4))) if finding.kind == "redraw"]


def test_guidance_is_not_blamed_for_what_spacing_picks() -> None:
    trace = generate(TINY, PAIR, DecodingConfig(order="uncage", num_steps=8, contrast_steps=8, spacing=3.0))
    for record in trace.steps:
        record.scores = np.where(record.masked_before, record.scores - record.weight * record.contrast, record.scores)
        record.contrast = np.zeros_like(record.contrast)
    plain = generate(TINY, PAIR, DecodingConfig(num_steps=8, spacing=3.0))
    for record in plain.steps:
        record.weight = 1.0
        record.contrast = np.zeros_like(record.contrast)
    assert set(swapped_picks(plain).values()) == {0}
    assert sum(swapped_picks(trace).values()) > 0
