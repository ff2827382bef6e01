"""An accepted trace becomes every format, however many subjects it has (a smaller one: tests/unit/test_trace_hostile.py)."""

from tests.every_format import assert_every_format
from tests.hostile_traces import many_subjects
from uncage_demo.trace.record import Trace


def test_the_most_subjects(tmp_path) -> None:
    assert_every_format(Trace.from_bytes(many_subjects()), tmp_path)
