"""An accepted trace becomes every format, however many subjects it has and however few steps recorded attention."""

from tests.every_format import assert_every_format
from tests.hostile_traces import attention_at_some_steps, many_subjects
from uncage_demo.trace.record import Trace


def test_the_most_subjects(tmp_path) -> None:
    assert_every_format(Trace.from_bytes(many_subjects()), tmp_path)


def test_attention_at_some_steps(tmp_path) -> None:
    assert_every_format(Trace.from_bytes(attention_at_some_steps()), tmp_path)
