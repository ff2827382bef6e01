"""The header of a trace file: what older files lack is filled in, what is out of range is refused."""

from __future__ import annotations

import json

import pytest

from tests.factories import make_trace
from uncage_demo.trace.header import MAX_HEADER_VALUES, header_of, parse_header
from uncage_demo.trace.lineage import MAX_LINES, Edits, Lineage, lineage_json, within_limit
from uncage_demo.trace.record import TraceFormatError


def test_files_from_before_objects_were_counted_still_open() -> None:
    header = header_of(make_trace(), {})
    for subject in header["prompt"]["subjects"]:
        del subject["count"]
    assert all(subject.count == 1 for subject in parse_header(json.dumps(header).encode()).prompt.subjects)


LONG = json.dumps({"created": "x" * 5000, "schema": "y" * 5000, "z" * 5000: 1}).encode()


@pytest.mark.parametrize("text", [b"[" * 30_000, b"{", b"\xff", b"null", b'{"schema": 1}', LONG])
def test_messages_about_hostile_headers_are_short(text: bytes) -> None:
    with pytest.raises(TraceFormatError) as caught:
        parse_header(text)
    assert 10 < len(str(caught.value)) < 300


def test_a_flood_of_wrong_values_is_not_looked_at() -> None:
    header = header_of(make_trace(), {})
    header["columns"] = [[]] * MAX_HEADER_VALUES
    with pytest.raises(TraceFormatError, match=f"at most {MAX_HEADER_VALUES}"):
        parse_header(json.dumps(header).encode())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"created": "x" * 5000, "columns": ["y" * 5000]}, "columns.0 is 'yyy"),
        ({"created": 10**400}, "created is a number of about 398 digits"),
        ({"created": {"a": 1}}, "created is {'a': 1}: expected"),
        ({"created": {"a": "x" * 5000}}, "created is an object of 1: expected"),
        ({"created": ["x" * 5000] * 7}, "created is a list of 7: expected"),
        ({"z" * 5000: 1}, "there is no such key"),
    ],
)
def test_values_are_shortened(changes: dict, message: str) -> None:
    with pytest.raises(TraceFormatError) as caught:
        parse_header(json.dumps(header_of(make_trace(), {}) | changes).encode())
    assert message in str(caught.value)
    assert len(str(caught.value)) < 300


def test_every_field_of_a_header_comes_back_with_its_type() -> None:
    trace = make_trace()
    config = {**trace.config, "guidance_scale": 3, "contrast_weight": 2.0, "noise_temperature": [1, 0.5]}
    header = parse_header(json.dumps({**header_of(trace, {"attention": [0, 2]}), "config": config}).encode())
    assert (header.prompt, header.model, header.columns) == (trace.prompt, trace.model, trace.columns)
    assert header.present == {"attention": [0, 2]}
    assert [(name, type(value)) for name, value in header.config.items()] == [(name, type(value)) for name, value in config.items()]
    assert header.config == config


def test_lineage_is_the_same_json_as_before_it_had_a_type() -> None:
    line = {"parent": "a" * 16, "at_step": 2, "edits": {"keep": [1], "drop": [], "forbid": [[3, [4, 5]]], "suppress_word": 0}}
    line["parent_config"] = make_trace().config
    for said in ({}, line, {**line, "earlier": []}, {**line, "earlier": [line, line]}):
        read = parse_header(json.dumps({**header_of(make_trace(), {}), "lineage": said}).encode()).lineage
        assert lineage_json(read if isinstance(read, Lineage) else None) == said
    with pytest.raises(TraceFormatError, match=r"lineage is \{'x': None\}: expected parent"):
        parse_header(json.dumps({**header_of(make_trace(), {}), "lineage": {"x": None}}).encode())


def test_too_many_branches_are_thinned_out_to_the_first_and_last_of_each_step() -> None:
    def line(at_step: int, number: int) -> Lineage:
        return Lineage(str(number), at_step, Edits((), (), (), None), {})

    few = [line(5, 1), line(3, 2)]
    assert within_limit(few) == tuple(few)
    many = [line(9, 0), *(line(4, number) for number in range(1, MAX_LINES + 9)), line(2, 9999)]
    assert [kept.parent for kept in within_limit(many)] == ["0", "1", str(MAX_LINES + 8), "9999"]
