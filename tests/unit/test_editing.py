"""Editing: what is given stays, what is erased is drawn, and the traces say so to everything that reads traces."""

from __future__ import annotations

import json

import numpy as np
import pytest

import uncage_demo as ud
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.backends.embedded.verdict import verdict_of
from uncage_demo.branching import branch, state_before
from uncage_demo.config import MAX_SEED, DecodingConfig
from uncage_demo.decoding.run import Start
from uncage_demo.diagnosis.diagnose import diagnose
from uncage_demo.diagnosis.health import health
from uncage_demo.editing import cells
from uncage_demo.editing.edit import compose, edit, extend, look, remix, sketch
from uncage_demo.editing.plans import opened_in_round, plan_edit, token_log_likelihood
from uncage_demo.orders.revise import REASON_CODE
from uncage_demo.orders.structure import likeness, outdone, structure_score
from uncage_demo.player.payload import build_payload
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.runner import generate
from uncage_demo.trace.header import header_of
from uncage_demo.trace.origin import Origin, Region, region_cells, region_sight
from uncage_demo.trace.record import Trace, TraceFormatError
from uncage_demo.types import FoundObject

TINY = EmbeddedBackend.tiny(seed=0)
GRID = TINY.info.grid
PAIR = parse_prompt("a turtle and a pink apple", TINY)
OTHER = "a turtle and a blue apple"
CONFIG = DecodingConfig(order="meissonic", num_steps=6, seed=3)
ERASED = cells.rectangle(1, 1, 4, 5, GRID)


@pytest.fixture(scope="module")
def parent() -> Trace:
    return generate(TINY, PAIR, CONFIG)


def whole(trace: Trace) -> Trace:
    """The trace after everything that reads traces has read it, from a file."""
    trace.validate()
    again = Trace.from_bytes(trace.to_bytes())
    assert (again.id, again.origin) == (trace.id, trace.origin)
    found = health(again)
    assert found.counts_ok
    assert found.changed == 0
    assert diagnose(again)
    json.dumps(build_payload([again], [None], [diagnose(again)]), allow_nan=False)
    return again


def given_stay(made: Trace, tokens: np.ndarray, drawn: np.ndarray) -> None:
    assert np.array_equal(made.tokens.reshape(-1)[~drawn], tokens.reshape(-1)[~drawn])
    assert (made.unmask_step.reshape(-1)[~drawn] == -1).all()
    assert (made.unmask_step.reshape(-1)[drawn] >= 0).all()
    assert np.array_equal(made.steps[0].masked_before, drawn)


@pytest.mark.parametrize("order", ["meissonic", "uncage", "halton", "mend"])  # every order: tests/slow/test_sweeps.py
@pytest.mark.shapes
def test_what_is_not_erased_stays_token_for_token_in_every_order(parent: Trace, order: str) -> None:
    made = whole(edit(TINY, parent, ERASED, prompt=OTHER, config=CONFIG.with_(order=order)))
    given_stay(made, parent.tokens, ERASED)
    assert made.prompt.text == OTHER
    assert made.origin == Origin("edit", parent.id, PAIR.text)


def test_masks_in_every_form_are_the_same(parent: Trace) -> None:
    forms = (ERASED, ERASED.reshape(GRID), np.flatnonzero(ERASED), np.flatnonzero(ERASED).tolist(), set(np.flatnonzero(ERASED).tolist()))
    runs = [plan_edit(TINY, parent, form).start for form in forms]
    assert all(run is not None and np.array_equal(run.tokens, (runs[0] or Start(np.zeros(1))).tokens) for run in runs)


def test_without_settings_the_next_seed_and_no_more_steps_than_cells(parent: Trace) -> None:
    few = plan_edit(TINY, parent, [0, 1]).config
    assert (few.seed, few.num_steps, few.order) == (4, 2, "meissonic")
    last = generate(TINY, PAIR, CONFIG.with_(seed=MAX_SEED))
    assert plan_edit(TINY, last, [0]).config.seed == 0
    assert plan_edit(TINY, parent, [0], config=CONFIG).config == CONFIG, "settings that are given are the settings"
    assert plan_edit(TINY, parent, [0, 5, 7], config=DecodingConfig()).config.num_steps == 3


def test_same_seed_same_picture_and_seeds_matter(parent: Trace) -> None:
    one, two, other = (edit(TINY, parent, ERASED, config=CONFIG.with_(seed=s)) for s in (8, 8, 9))
    assert one.id == two.id
    assert np.array_equal(one.image, two.image)
    assert not np.array_equal(one.tokens, other.tokens)


def test_an_edit_of_any_step_draws_what_was_still_open(parent: Trace) -> None:
    made = whole(edit(TINY, parent, [0], after_step=2))
    tokens, _ = state_before(parent, 3)
    drawn = (tokens < 0) | cells.mask_of([0], GRID)
    given_stay(made, parent.tokens, drawn)
    assert made.origin is not None
    assert made.origin.after_step == 2


def test_an_edit_can_be_edited_and_branched(parent: Trace) -> None:
    first = edit(TINY, parent, ERASED, prompt=OTHER)
    second = whole(edit(TINY, first, [0, 1, 2]))
    given_stay(second, first.tokens, cells.mask_of([0, 1, 2], GRID))
    assert second.origin is not None
    assert (second.origin.source, second.prompt.text) == (first.id, OTHER)
    continued = whole(branch(TINY, first, 3, config=DecodingConfig.from_dict(first.config)))
    assert continued.origin == first.origin
    assert np.array_equal(continued.tokens, first.tokens)


def test_tokens_of_ones_own_need_a_prompt() -> None:
    tokens = np.arange(36).reshape(GRID) % TINY.info.codebook_size
    made = whole(edit(TINY, tokens, [3, 4], prompt=PAIR, config=CONFIG))
    given_stay(made, tokens, cells.mask_of([3, 4], GRID))
    assert made.origin == Origin("edit")
    with pytest.raises(ValueError, match="prompt=None"):
        edit(TINY, tokens, [3, 4])


def test_extending_moves_and_draws_the_border(parent: Trace) -> None:
    made = whole(extend(TINY, parent, (-2, 1)))
    assert np.array_equal(made.tokens[:4, 1:], parent.tokens[2:, :5])
    drawn = np.zeros(GRID, bool)
    drawn[4:], drawn[:, 0] = True, True
    assert np.array_equal(made.steps[0].masked_before, drawn.reshape(-1))
    assert made.origin is not None
    assert made.origin.shift == (-2, 1)


def test_a_remix_opens_what_the_prompt_finds_least_likely(parent: Trace) -> None:
    rounds = remix(TINY, parent, OTHER, strength=0.5, rounds=2)
    assert [r.origin and r.origin.round for r in rounds] == [1, 2]
    likely = token_log_likelihood(TINY, parent.tokens.reshape(-1).astype(np.int64), rounds[0].prompt, CONFIG.with_(seed=4))
    least = np.argsort(likely, kind="stable")[: opened_in_round(36, 0.5, 2)]
    given_stay(whole(rounds[0]), parent.tokens, cells.mask_of(least, GRID))
    assert rounds[1].origin is not None
    assert rounds[1].origin.source == rounds[0].id
    assert (opened_in_round(36, 1.0, 1), opened_in_round(36, 0.001, 4)) == (36, 1)


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_a_sketch_keeps_the_cells_that_are_most_alike_and_says_what_it_takes_back(parent: Trace, strength: float) -> None:
    made = whole(sketch(TINY, parent, prompt=OTHER, strength=strength))
    assert made.origin is not None
    assert (made.origin.kind, made.origin.source, made.origin.strength) == ("sketch", parent.id, strength)
    assert made.origin.guide == tuple(parent.tokens.reshape(-1).tolist())
    assert made.config["seed"] == 4
    assert [r.passes for r in made.steps] == [4] + [3] * 5  # guidance, attention within the picture, and once within the guiding one
    taken = [r.reopened for r in made.steps if r.reopened is not None]
    assert {int(code) for codes in taken for code in codes} <= {0, REASON_CODE["unlike"]}
    for record in made.steps[:-1]:
        waiting = record.masked_before & ~record.committed
        assert record.scores[record.committed].min() >= record.scores[waiting].max(initial=-np.inf)
    assert branch(TINY, made, 3).id != made.id
    assert np.array_equal(branch(TINY, made, 3).tokens, made.tokens)


def test_a_sketch_is_scored_by_likeness_and_probability() -> None:
    rng = np.random.default_rng(0)
    guide, found = rng.random((2, 2, 1, 4, 4)).astype(np.float32)
    one, other = guide / guide.sum(axis=2, keepdims=True), found / found.sum(axis=2, keepdims=True)
    by_hand = [(one[..., q] * np.log(other[..., q]) + other[..., q] * np.log(one[..., q])).sum(axis=2).mean() for q in range(4)]
    assert np.allclose(likeness(guide, found), by_hand, atol=1e-4)
    assert np.allclose(likeness(3 * guide, found), by_hand, atol=1e-4)  # what goes to the text does not count
    assert (likeness(guide, guide) >= likeness(guide, found)).all()
    alike, confidence, free = np.array([-3, -1, -2, 9.0]), np.log(np.array([0.5, 0.1, 0.9, 1.0])), np.array([True, True, True, False])
    assert structure_score(alike, confidence, free, 1.0).tolist() == [0, 1, 0.5, 1]
    assert structure_score(alike, confidence, free, 0.0).tolist() == pytest.approx([0.5, 0, 1, 1])
    scores, masked, held = np.array([0.1, 0.2, 0.3, 0.4]), np.array([True, True, False, False]), np.array([False, False, True, False])
    assert outdone(scores, masked, held, 2).tolist() == [False] * 4
    assert outdone(scores, masked, held, 3).tolist() == [False, False, True, False]


def test_likelihood_is_the_models_own() -> None:
    """Of four groups, the cells of each are asked while they alone are hidden: worked out once more, by hand."""
    import torch

    tokens = np.arange(36, dtype=np.int64) % TINY.info.codebook_size
    config = CONFIG.with_(guidance_scale=1.0)
    likely = token_log_likelihood(TINY, tokens, PAIR, config)
    group = np.random.default_rng([config.seed, 36]).permutation(36) % 4
    cell = int(np.flatnonzero(group == 2)[3])
    shown = torch.from_numpy(np.where(group == 2, TINY.mask_id, tokens))[None]
    logits = TINY.forward(shown, 3, 4, [TINY.encode_prompt(PAIR)], unconditional=False).cond[0, cell]
    assert likely[cell] == pytest.approx(float(logits.log_softmax(-1)[tokens[cell]]), abs=1e-4)


def test_pins_stay_and_a_patch_moves(parent: Trace) -> None:
    pins = cells.patch_of(parent.tokens.reshape(-1).astype(np.int64), (0, 0, 2, 3), (4, 3), GRID)
    made = whole(compose(TINY, PAIR, pins=pins, config=CONFIG))
    assert np.array_equal(made.tokens[4:, 3:], parent.tokens[:2, :3])
    assert (made.unmask_step[4:, 3:] == -1).all()
    assert made.origin == Origin("compose")


def test_regions_start_the_order_and_hide_foreign_words() -> None:
    boxes = {0: (0, 0, 3, 6), 1: (3, 0, 6, 3)}
    made = whole(compose(TINY, PAIR, regions=boxes, config=CONFIG.with_(num_steps=8)))
    assert made.origin is not None
    assert made.origin.regions == (Region(0, (0, 0, 3, 6)), Region(1, (3, 0, 6, 3)))
    inside = cells.rectangle(0, 0, 3, 6, GRID) | cells.rectangle(3, 0, 6, 3, GRID)
    for record in made.steps[:2]:  # a quarter of 8
        assert (record.committed & ~inside).sum() == 0
    sight = made.steps[-1].sight
    assert sight is not None
    assert sight.reshape(GRID)[:3].tolist() == [[1] * 6] * 3
    assert sight.reshape(GRID)[3:].tolist() == [[2, 2, 2, 0, 0, 0]] * 3
    apple = PAIR.subjects[1].object[0]
    assert made.word_maps(0)[apple][cells.rectangle(0, 0, 3, 6, GRID)].max() == 0
    for order in ("mend", "uncage", "redraw"):
        whole(compose(TINY, PAIR, regions=boxes, config=CONFIG.with_(order=order)))
    resumed = branch(TINY, made, 1)
    assert np.array_equal(resumed.tokens, made.tokens), "a branch goes on with the regions"


def test_an_object_without_a_region_is_read_outside_of_them() -> None:
    origin = Origin("compose", regions=(Region(1, (0, 0, 1, 2)),))
    rows = region_cells(origin, 3, (2, 2))
    assert rows is not None
    assert region_sight(rows).tolist() == [2, 2, 5, 5]
    assert region_cells(None, 3, (2, 2)) is None


def test_the_verdict_says_whether_a_region_was_obeyed() -> None:
    turtle = FoundObject("turtle", "", 0.9, (0.0, 0.0, 0.4, 0.4))
    apple = FoundObject("apple", "pink", 0.9, (0.5, 0.5, 0.9, 0.9))
    right = verdict_of([turtle, apple], PAIR, regions={0: (0.0, 0.0, 0.5, 0.5)})
    assert [(w.kind, w.label, w.met) for w in right.wishes] == [("region", "turtle in its region", True)]
    assert right.all_correct
    wrong = verdict_of([turtle, apple], PAIR, regions={1: (0.0, 0.0, 0.5, 0.5)})
    assert not wrong.wishes[0].met
    assert not wrong.all_correct
    made = compose(TINY, PAIR, regions={0: (0, 0, 3, 3)}, config=CONFIG)
    assert [w.label for w in TINY.judge(made, made.prompt).wishes] == ["turtle in its region"]
    assert TINY.judge(made.image, made.prompt).wishes == (), "a picture alone has no regions"


def test_looking_at_a_picture_draws_nothing_and_can_be_edited() -> None:
    tokens = np.arange(36).reshape(GRID) % TINY.info.codebook_size
    seen = whole(look(TINY, tokens, PAIR))
    assert np.array_equal(seen.tokens, tokens)
    assert (seen.unmask_step == -1).all()
    assert len(seen.steps) == 1
    assert cells.object_cells(seen, 0).shape == (36,)
    given_stay(whole(edit(TINY, seen, [7])), tokens, cells.mask_of([7], GRID))
    assert plan_edit(TINY, seen, ERASED).config.num_steps == TINY.info.default_steps or ERASED.sum() < TINY.info.default_steps


def test_object_cells_are_of_one_object_each(parent: Trace) -> None:
    own = [cells.object_cells(parent, o) for o in (0, 1)]
    assert not (own[0] & own[1]).any()
    assert cells.object_cells(parent, 0, margin=1).sum() >= own[0].sum()
    field = np.zeros(GRID, bool)
    field[0, 0] = True
    assert cells.grown(field.reshape(-1), GRID).reshape(GRID)[:2, :2].all()
    assert cells.grown(field.reshape(-1), GRID).sum() == 4
    assert cells.box_cells((0.0, 0.0, 0.5, 0.5), GRID).reshape(GRID)[:3, :3].all()


def test_old_headers_have_no_origin(parent: Trace) -> None:
    assert "origin" not in header_of(parent, {})
    assert Trace.from_bytes(parent.to_bytes()).origin is None


@pytest.mark.parametrize(
    ("origin", "message"),
    [
        (Origin("edit", source="x" * 65), "origin.source"),
        (Origin("conjure"), "origin.kind"),  # type: ignore[arg-type]
        (Origin("edit", after_step=256), "origin.after_step"),
        (Origin("remix", strength=1.5, round=1), "origin.strength"),
        (Origin("remix", strength=0.5, round=0), "origin.round"),
        (Origin("extend", shift=(6, 0)), "origin.shift"),
        (Origin("sketch", strength=0.5), "origin.guide"),
        (Origin("edit", guide=(1,) * 36), "origin.guide"),
        (Origin("sketch", guide=(1,) * 36), "origin.strength is missing"),
        (Origin("sketch", strength=0.5, guide=(999,) * 36), "origin.guide"),
        (Origin("compose", regions=(Region(2, (0, 0, 1, 1)),)), "origin.regions"),
        (Origin("compose", regions=(Region(0, (0, 0, 7, 1)),)), "not within the grid"),
    ],
)
def test_an_origin_that_does_not_fit_is_named(parent: Trace, origin: Origin, message: str) -> None:
    from dataclasses import replace

    with pytest.raises(TraceFormatError, match=message):
        replace(parent, origin=origin).validate()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: edit(TINY, t, []), "nothing to draw"),
        (lambda t: edit(TINY, t, [36]), "cell 36 is not one of 0..35"),
        (lambda t: edit(TINY, t, np.zeros((3, 3), bool)), r"shape \(3, 3\)"),
        (lambda t: edit(TINY, t, np.zeros(GRID, int)), "list of cell numbers"),
        (lambda t: edit(TINY, t, [0.5]), "float64"),
        (lambda t: edit(TINY, t, [0], after_step=6), "after_step=6"),
        (lambda t: edit(TINY, t.tokens, [0], prompt=PAIR, after_step=1), "only a run has steps"),
        (lambda t: edit(TINY, t.tokens + 99, [0], prompt=PAIR), "allowed are -1"),
        (lambda t: edit(TINY, t.tokens[:3], [0], prompt=PAIR), r"shape \(3, 6\)"),
        (lambda t: edit(TINY, t, [0], prompt="a purple zebra"), "zebra"),
        (lambda t: edit(EmbeddedBackend.tiny(seed=1), t, [0]), "tiny-1"),
        (lambda t: extend(TINY, t, (0, 0)), "not both 0"),
        (lambda t: extend(TINY, t, (6, 0)), "from -5 to 5"),
        (lambda t: remix(TINY, t, OTHER, strength=0), "above 0"),
        (lambda t: remix(TINY, t, OTHER, strength=float("nan")), "above 0"),
        (lambda t: remix(TINY, t, OTHER, rounds=0), "rounds=0"),
        (lambda t: sketch(TINY, t, strength=1.5), "strength=1.5"),
        (lambda t: sketch(TINY, np.where(ERASED, -1, 0), prompt=PAIR), "12 cells are masked"),
        (lambda t: sketch(TINY, t, config=CONFIG.with_(revise="remask")), "revise='remask' in a run after the structure"),
        (lambda t: compose(TINY, PAIR), "nothing is pinned"),
        (lambda t: compose(TINY, PAIR, pins={36: 0}), "pins: cell=36"),
        (lambda t: compose(TINY, PAIR, pins={0: 9999}), "pins: token at cell 0=9999"),
        (lambda t: compose(TINY, PAIR, pins=dict.fromkeys(range(36), 0)), "all 36 cells"),
        (lambda t: compose(TINY, PAIR, regions={2: (0, 0, 1, 1)}), r"this prompt has 0 \(turtle\), 1 \(pink apple\)"),
        (lambda t: compose(TINY, PAIR, regions={0: (0, 0, 0, 1)}), "region of turtle"),
        (lambda t: cells.patch_of(t.tokens.reshape(-1), (0, 0, 2, 2), (5, 5), GRID), "place of the patch"),
        (lambda t: look(TINY, np.where(ERASED, -1, 0), PAIR), "12 cells are masked"),
        (lambda t: look(TINY, np.r_[-1, np.zeros(35, int)], PAIR), "1 cell is masked"),
        (lambda t: cells.object_cells(t, 2), "objects 0 to 1"),
    ],
)
def test_what_does_not_fit_is_named(parent: Trace, call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(parent)


def test_the_public_names() -> None:
    assert (ud.edit, ud.extend, ud.compose, ud.remix, ud.sketch, ud.look) == (edit, extend, compose, remix, sketch, look)


def test_what_made_an_edit_can_be_run_again(parent: Trace) -> None:
    from uncage_demo.trace.reproduce import command_line, python_snippet

    first = edit(TINY, parent, ERASED, prompt=OTHER)
    second = extend(TINY, first, (0, 2))
    third = sketch(TINY, second, prompt=PAIR, strength=0.25)
    code = python_snippet([parent, first, second, third]).replace("ud.load_backend('embedded')", "TINY")
    made: dict = {"TINY": TINY}
    exec(code, made)
    assert made["edit_1"].id == first.id
    assert made["edit_2"].id == second.id
    assert made["edit_3"].id == third.id
    for alone in (first, compose(TINY, PAIR, pins={0: 1}, config=CONFIG)):
        with pytest.raises(ValueError, match="make it again with uncage_demo"):
            python_snippet([alone])
        with pytest.raises(ValueError, match="make it again with uncage_demo"):
            command_line([alone])


def test_stages_say_what_an_edit_did(parent: Trace) -> None:
    from uncage_demo.player.titles import edit_made

    assert edit_made(parent) == ""
    assert edit_made(edit(TINY, parent, ERASED)) == "12 cells drawn again"
    assert edit_made(extend(TINY, parent, (-2, 1))) == "Extended: 2 rows below and 1 column on the left"
    assert edit_made(extend(TINY, parent, (1, -3))) == "Extended: 1 row above and 3 columns on the right"
    assert edit_made(extend(TINY, parent, (0, 2))) == "Extended: 2 columns on the left"
    assert edit_made(remix(TINY, parent, OTHER, strength=0.1, rounds=1)[0]) == "Round 1, 4 cells"
    assert edit_made(compose(TINY, PAIR, pins={0: 1}, regions={0: (0, 0, 3, 3)}, config=CONFIG)) == "With 1 pin and 1 region"
    assert edit_made(sketch(TINY, parent)) == "With a picture's structure"
    assert edit_made(look(TINY, parent.tokens, PAIR)) == "Your picture"
    titles = [run["title"] for run in build_payload([parent, edit(TINY, parent, ERASED)])["runs"]]
    assert titles == ["Baseline, seed 3", "Baseline · 12 cells drawn again, seed 4"]


def test_a_request_says_the_same_in_plain_values(parent: Trace) -> None:
    from uncage_demo.editing.request import EditRequest, checked_orders, cost_of, stream_request
    from uncage_demo.runner import finish

    erased = tuple(np.flatnonzero(ERASED).tolist())
    asked = EditRequest("edit", cells=erased, prompt=OTHER, orders=("meissonic", "halton"), seed=9)
    one, two = finish(stream_request(TINY, parent, asked))
    assert one.id == edit(TINY, parent, ERASED, prompt=OTHER, config=CONFIG.with_(seed=9)).id
    assert two.config["order"] == "halton"
    assert cost_of(asked, 6) == 12
    rounds = finish(stream_request(TINY, parent, EditRequest("remix", prompt=OTHER, strength=0.3, rounds=2, orders=("halton",))))
    assert [(r.config["order"], r.config["seed"]) for r in rounds] == [("halton", 4), ("halton", 5)]
    for request, message in (
        (EditRequest("remix", orders=("halton", "random")), "one order at a time"),
        (EditRequest("edit", cells=(0,), orders=("best",)), "order='best'"),
        (EditRequest("paint"), "kind='paint'"),  # type: ignore[arg-type]
    ):
        with pytest.raises(ValueError, match=message):
            finish(stream_request(TINY, parent, request))
    with pytest.raises(ValueError, match="edit needs a run or a picture"):
        finish(stream_request(TINY, None, EditRequest("edit", cells=(0,))))
    with pytest.raises(ValueError, match="at most 2 different"):
        checked_orders(("halton", "halton"), 2)


def test_cells_are_told_as_they_are_read() -> None:
    assert cells.told_cells([14, 2, 0, 1, 14]) == "0-2,14"
    assert cells.cells_named(cells.told_cells({35, 7, 8, 9}), (6, 6), "mask") == [7, 8, 9, 35]
    assert cells.told_cells([]) == ""
