"""Own words only: who reads what, worked out by hand, and what it does in the engine."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.factories import make_prompt
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.branching import attention_at, branch
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.run import Run, Start
from uncage_demo.decoding.sampler import decode
from uncage_demo.decoding.sight import doubtful_objects, hidden_tokens, own_sight
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.runner import compare, generate
from uncage_demo.trace.record import Trace
from uncage_demo.types import Subject

GRID = (12, 12)
# The shipped weights: random ones attend to no object more than to another.
MODEL = EmbeddedBackend.load()
PAIR = parse_prompt("a green turtle and a pink apple", MODEL)
MEND = DecodingConfig(order="mend", num_steps=8, seed=3)


def far_from(*cells: tuple[int, int]) -> np.ndarray:
    """Distance "o n" of every cell from one cell per object."""
    y, x = np.divmod(np.arange(144), 12)
    return np.stack([np.hypot(y - cy, x - cx) for cy, cx in cells])


def places(*centres: tuple[int, int]) -> np.ndarray:
    """Cells "o n" of one place per object: what is within two cells of its centre."""
    return far_from(*centres) < 2.1


def test_each_place_reads_its_own_object_and_the_rest_reads_none() -> None:
    centres = (2, 2), (9, 9)
    sight = own_sight(places(*centres), far_from(*centres), GRID).reshape(GRID)
    assert (sight[2, 2], sight[9, 9], sight[11, 0], sight[0, 11]) == (0b01, 0b10, 0, 0)
    # The reach is 0.29 of twelve cells: 3.48.
    assert (sight[2, 5], sight[2, 6]) == (0b01, 0)


def test_a_missing_object_may_appear_wherever_no_other_is() -> None:
    centres = (2, 2), (9, 9)
    kept = places(*centres)
    kept[1] = False
    sight = own_sight(kept, far_from(*centres), GRID).reshape(GRID)
    assert (sight[2, 2], sight[9, 9], sight[11, 0]) == (0b01, 0b10, 0b10)
    kept[0] = False
    assert (own_sight(kept, far_from(*centres), GRID) == 0b11).all()


def test_a_place_is_kept_only_where_attention_vouches_for_its_colour() -> None:
    # Words: green, turtle, pink, apple.
    subjects = (Subject((1,), ((0,),)), Subject((3,), ((2,),)))
    kept = places((2, 2), (9, 9))
    maps = np.zeros((4, 144))
    maps[0, kept[0]], maps[2, kept[1]] = 0.3, 0.3
    assert doubtful_objects(maps, kept, subjects) == ()
    maps[2, kept[0]] = 0.4
    assert doubtful_objects(maps, kept, subjects) == (0,)
    assert doubtful_objects(maps * 0.01, kept, subjects) == (0, 1)
    assert doubtful_objects(maps, kept, (subjects[0], Subject((3,)))) == ()
    assert doubtful_objects(maps, np.zeros_like(kept), subjects) == ()


def test_hidden_are_the_words_of_other_subjects_alone() -> None:
    hidden = hidden_tokens(np.array([0b01, 0b10, 0, 0b11], np.uint16), PAIR)
    named = [[PAIR.tokens[t].text for t in np.flatnonzero(row)] for row in hidden]
    assert named == [["pink", "apple"], ["green", "turtle"], ["green", "turtle", "pink", "apple"], []]


@pytest.fixture(scope="module")
def mended() -> Trace:
    return generate(MODEL, PAIR, MEND)


def test_cells_do_not_attend_to_what_is_hidden_from_them(mended: Trace) -> None:
    final = mended
    step = final.steps[-1]
    assert step.sight is not None
    assert step.attention is not None
    hidden = hidden_tokens(step.sight, PAIR)[:, list(final.columns)].T
    assert hidden.any()
    assert step.attention[hidden].max() == 0
    assert step.attention[~hidden].min() > 0
    assert all(record.sight is None for record in final.steps[:6])


def test_reading_every_word_is_the_same_as_no_sight() -> None:
    tokens = torch.full((2, 144), MODEL.mask_id)
    given = [MODEL.encode_prompt(PAIR)] * 2
    nothing = torch.zeros((2, 144, len(PAIR.tokens)), dtype=torch.bool)
    plain, masked = (MODEL.forward(tokens, 0, 4, given, hidden=hidden) for hidden in (None, nothing))
    torch.testing.assert_close(plain.cond, masked.cond, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(plain.uncond, masked.uncond, atol=1e-3, rtol=1e-3)


def test_redraw_with_own_words_is_a_setting_of_every_order() -> None:
    redraw = DecodingConfig(order="redraw", num_steps=8, seed=3)
    last = {
        name: list(decode(MODEL, Run(PAIR, one)))[-1]
        for name, one in {"own": redraw.with_(redraw_words="own"), "usual": redraw, "every": MEND.with_(redraw_words="every")}.items()
    }
    assert [last[name].sight is None for name in ("own", "usual", "every")] == [False, True, True]
    assert "redraw_words" not in redraw.to_dict()
    with pytest.raises(ValueError, match="redraw_words='some'"):
        redraw.with_(redraw_words="some")


def test_branches_and_attention_read_again_keep_the_sight(mended: Trace) -> None:
    trace = mended
    for at_step in (5, 6, 7):
        again = branch(MODEL, trace, at_step)
        assert np.array_equal(again.tokens, trace.tokens)
        assert np.array_equal(again.unmask_step, trace.unmask_step)
    seen = attention_at(MODEL, trace, 7)
    sight = trace.steps[7].sight
    assert sight is not None
    assert (seen.mean(axis=(0, 1))[hidden_tokens(sight, PAIR)[:, list(trace.columns)].T] == 0).all()


def test_files_keep_the_sight(mended: Trace) -> None:
    trace = mended
    loaded = Trace.from_bytes(trace.to_bytes())
    for record, again in zip(trace.steps, loaded.steps, strict=True):
        assert (record.sight is None) == (again.sight is None)
        assert record.sight is None or again.sight is None or np.array_equal(record.sight, again.sight)


def test_side_by_side_is_the_same_as_alone() -> None:
    configs = [MEND, MEND.with_(seed=4), MEND.with_(order="redraw")]
    for together, config in zip(compare(MODEL, PAIR, configs), configs, strict=True):
        assert np.array_equal(together.tokens, generate(MODEL, PAIR, config).tokens)


def test_without_subjects_nothing_is_mended() -> None:
    prompt = parse_prompt("and", MODEL)
    trace = generate(MODEL, prompt, MEND)
    assert all(record.sight is None for record in trace.steps)


def test_a_sight_that_does_not_fit_is_refused() -> None:
    start = Start(np.full(144, -1), sight=np.zeros(5, np.uint16))
    with pytest.raises(ValueError, match=r"start.sight is uint16 of shape \(5,\)"):
        list(decode(MODEL, Run(PAIR, DecodingConfig(num_steps=4), start)))


def test_a_prompt_of_one_object_keeps_its_place() -> None:
    prompt = make_prompt()
    assert hidden_tokens(np.zeros(4, np.uint16), prompt).shape == (4, len(prompt.tokens))
