"""The header of a trace file: what older files lack is filled in, what is out of range is refused."""

from __future__ import annotations

import json

import pytest

from tests.factories import make_trace
from uncage_demo.trace.header import header_of, parse_header
from uncage_demo.trace.record import TraceFormatError


def test_files_from_before_objects_were_counted_still_open() -> None:
    header = header_of(make_trace(), {})
    for subject in header["prompt"]["subjects"]:
        del subject["count"]
    assert all(subject.count == 1 for subject in parse_header(json.dumps(header).encode()).prompt.subjects)
    header["prompt"]["subjects"][0]["count"] = 0
    with pytest.raises(TraceFormatError, match=r"subject\.count is 0"):
        parse_header(json.dumps(header).encode())
