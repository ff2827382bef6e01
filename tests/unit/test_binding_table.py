"""The binding table against numbers worked out by hand, on a 2 x 2 picture with two steps."""

from dataclasses import replace

import numpy as np
import pytest

from tests.factories import make_trace
from uncage_demo.diagnosis.binding import binding_table, commitment, committed_steps, foreign_leads
from uncage_demo.player.binding_view import binding_view, sight_view
from uncage_demo.trace.record import Trace
from uncage_demo.types import FoundObject, Verdict

TEXT = "a blue turtle and a pink apple"  # words: a blue turtle and a pink apple
BLUE, TURTLE, PINK, APPLE = 1, 2, 5, 6
TOP, BOTTOM = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
SEEN = Verdict((True, True), (True, True), 0, True, (FoundObject("turtle", "blue", 0.9, TOP), FoundObject("apple", "pink", 0.9, BOTTOM)))


def small() -> Trace:
    """Step 0 commits cell 0 (turtle) and cell 2 (apple), step 1 cells 1 and 3. The turtle's cells read "pink" in step 1."""
    trace = make_trace(0, (2, 2), 2, TEXT, 64, order="meissonic", frames=False)
    first, second = trace.steps
    maps = [np.zeros((len(trace.prompt.tokens), 4), np.float32) for _ in range(2)]
    rows = {w: trace.prompt.words[w].tokens[0] for w in (BLUE, TURTLE, PINK, APPLE)}
    #                     step 0           step 1             cells 0 1 | 2 3
    said = {
        BLUE: ((0.4, 0.2, 0.1, 0.1), (0.2, 0.1, 0.1, 0.0)),
        TURTLE: ((0.3, 0.3, 0.0, 0.0), (0.3, 0.3, 0.0, 0.0)),
        PINK: ((0.1, 0.1, 0.3, 0.3), (0.0, 0.6, 0.0, 0.2)),
        APPLE: ((0.0, 0.0, 0.2, 0.2), (0.0, 0.0, 0.2, 0.2)),
    }
    for word, both in said.items():
        for k, values in enumerate(both):
            maps[k][rows[word]] = values
    on = np.array([True, False, True, False])
    trace.steps = [
        replace(
            first,
            attention=maps[0],
            committed=on,
            masked_before=np.ones(4, bool),
            confidence=np.array([-1, -2, -3, -2], np.float32),
            noise=np.array([0, 0, 4, 0], np.float32),
            contrast=np.zeros(4, np.float32),
            scores=np.array([-1, -2, 1, -2], np.float32),
            cutoff=-1.0,
        ),
        replace(
            second,
            attention=maps[1],
            committed=~on,
            masked_before=~on,
            confidence=np.array([0, -1, 0, -1], np.float32),
            noise=np.zeros(4, np.float32),
            scores=np.array([-np.inf, -1, -np.inf, -1], np.float32),
            cutoff=-1.0,
        ),
    ]
    trace.unmask_step = np.array([[0, 1], [0, 1]], np.int32)
    return trace


def test_each_cell_is_read_when_it_is_committed_as_a_multiple_of_the_words_average():
    table = binding_table(small(), SEEN)
    assert table is not None
    assert table.words == (BLUE, TURTLE, PINK, APPLE)
    assert table.cells == ((0, 1), (2, 3))
    assert table.sources == ("detector", "detector")
    # blue: averages 0.2 and 0.1. Turtle: (0.4 / 0.2 + 0.1 / 0.1) / 2 = 1.5. Apple: (0.1 / 0.2 + 0 / 0.1) / 2 = 0.25.
    # pink: averages 0.2 and 0.2. Turtle: (0.1 / 0.2 + 0.6 / 0.2) / 2 = 1.75. Apple: (0.3 / 0.2 + 0.2 / 0.2) / 2 = 1.25.
    np.testing.assert_allclose(table.times, [[1.5, 2, 1.75, 0], [0.25, 0, 1.25, 2]], atol=1e-6)
    np.testing.assert_allclose(table.raw[0], [0.25, 0.3, 0.35, 0], atol=1e-6)
    assert table.own.tolist() == [[True, True, False, False], [False, False, True, True]]
    assert table.leads.tolist() == [[False, False, True, False], [False] * 4]  # pink 1.75 before blue 1.5 on the turtle
    assert table.peaks[0].tolist() == [0, 0, 1, 0]


def test_the_colour_is_decided_where_the_last_leader_began_to_lead():
    table = binding_table(small(), SEEN)
    assert table is not None
    turtle, apple = table.decisions
    assert turtle is not None
    assert apple is not None
    # The turtle read blue (2 against 0.5) in step 0; with cell 1 the mean of pink, 1.75, passes that of blue, 1.5.
    assert (turtle.word, turtle.commitment.step, turtle.commitment.cell) == (PINK, 1, 1)
    assert turtle.commitment.last
    assert (apple.word, apple.commitment.step, apple.commitment.cell) == (PINK, 0, 2)


def test_the_term_that_committed_a_cell():
    trace = small()
    made = commitment(trace, 0, 2)
    # confidence -3 against a mean of -2; noise 4 against a mean of 1. Without noise it would be the last of four.
    assert made.lead == pytest.approx({"confidence": -1.0, "noise": 3.0})
    assert made.needed == ("noise",)
    assert not made.last
    # Without its confidence cell 0 would tie with all but cell 2 and be taken by index; noise gave it nothing.
    assert commitment(trace, 0, 0).needed == ()
    assert commitment(trace, 1, 1).needed == ()  # the last step takes what is left


def test_cells_by_attention_where_no_detector_says():
    table = binding_table(small())
    assert table is not None
    assert set(table.sources) <= {"attention", ""}
    lost = Verdict((True, False), (True, False), 0, False, SEEN.detections[:1])
    table = binding_table(small(), lost)
    assert table is not None
    assert table.sources[0] == "detector"
    assert table.cells[0] == (0, 1)
    assert table.sources[1] != "detector"


def test_without_an_attribute_of_its_own_a_foreign_one_leads_where_it_beats_its_own_object():
    prompt = make_trace(0, (2, 2), 2, "a turtle and a pink apple", 64).prompt
    words = (1, 4, 5)  # turtle, pink, apple
    assert foreign_leads(np.array([[2, 1.6, 0], [0, 1.5, 2]]), words, prompt).tolist() == [[False, True, False], [False] * 3]
    assert not foreign_leads(np.array([[2, 1.4, 0], [0, 1.5, 2]]), words, prompt).any()
    assert not foreign_leads(np.array([[2, 0.9, 0], [0, 0.5, 2]]), words, prompt).any()  # less than average is no lead
    assert not foreign_leads(np.full((2, 3), np.nan), words, prompt).any()


def test_no_table_without_objects_or_attention_and_plain_data_with_them():
    assert binding_table(make_trace(0, steps=4, attention=False)) is None
    assert binding_view(make_trace(0, steps=4, prompt_text="the and"), None) is None
    view = binding_view(small(), SEEN)
    assert view is not None
    assert view["objects"][0]["times"] == [1.5, 2.0, 1.75, 0.0]
    assert view["objects"][0]["peaks"][2] == [1, 1]
    lead = {"confidence": 0.0, "noise": 0.0}
    assert view["objects"][0]["decision"] == {"word": PINK, "step": 1, "cell": 1, "lead": lead, "needed": [], "last": True}


def test_a_cell_drawn_again_counts_when_it_was_committed_last():
    trace = small()
    trace.steps[1] = replace(trace.steps[1], committed=np.array([False, True, True, True]))
    assert committed_steps(trace).tolist() == [0, 1, 1, 1]


def test_sight_travels_once_for_equal_steps():
    trace = small()
    assert sight_view(trace) is None
    trace.steps[1] = replace(trace.steps[1], sight=np.array([1, 2, 0, 3], np.uint16))
    assert sight_view(trace) == {"at": [-1, 0], "maps": [[1, 2, 0, 3]]}
    trace.steps[0] = replace(trace.steps[0], sight=np.array([1, 2, 0, 3], np.uint16))
    assert sight_view(trace) == {"at": [0, 0], "maps": [[1, 2, 0, 3]]}
