"""Notes on steps and cells: kept in trace files that older programs open as well, and bounded whoever wrote them."""

import dataclasses
import io
import json
import zipfile

import numpy as np
import pytest
from pydantic import TypeAdapter

from tests.factories import make_trace
from uncage_demo.player.payload import build_payload
from uncage_demo.trace import header as headers
from uncage_demo.trace.notes import MAX_ALL_CHARS, MAX_NOTE_CHARS, MAX_NOTES, Note, tidy
from uncage_demo.trace.record import Trace, TraceFormatError
from uncage_demo.ui.exports import with_notes
from uncage_demo.ui.session import Entry

NOTES = (Note(2, "Here the turtle’s “head” is drawn; why?\nLook at wₐ, {x}, [1, 2] 👩‍🔬"), Note(0, "<b>first</b>", cell=17))


@pytest.fixture(scope="module")
def trace() -> Trace:
    return make_trace(0, steps=4)


def noted(trace: Trace, *notes: Note) -> Trace:
    return dataclasses.replace(trace, notes=notes)


def test_notes_come_back_and_change_nothing_else(trace):
    plain, back = Trace.from_bytes(trace.to_bytes()), Trace.from_bytes(noted(trace, *NOTES).to_bytes())
    assert back.notes == NOTES
    assert plain.notes == ()
    assert back.id == plain.id == trace.id
    assert back.versions == trace.versions
    assert np.array_equal(back.tokens, trace.tokens)
    assert Trace.from_bytes(back.to_bytes()).notes == NOTES


def test_a_file_without_notes_is_the_file_of_before(trace):
    assert b"note" not in headers.write_header(headers.header_of(trace, {}))
    with zipfile.ZipFile(io.BytesIO(trace.to_bytes())) as archive:
        assert b"note 1" not in archive.read("header.npy")


def test_a_program_from_before_there_were_notes_opens_the_file(trace):
    """Its header had no such key, and it refuses keys that it does not know; texts among the versions it keeps."""
    with zipfile.ZipFile(io.BytesIO(noted(trace, *NOTES).to_bytes())) as archive:
        text = np.load(io.BytesIO(archive.read("header.npy"))).tobytes()
    header = headers.read_json(TypeAdapter(headers.Header), text, "the header")
    assert set(json.loads(text)) <= {field.name for field in dataclasses.fields(headers.Header)}
    assert [json.loads(header.versions[f"note {k}"])["text"] for k in (1, 2)] == [note.text for note in NOTES]
    assert all(len(value) <= 4096 for value in header.versions.values())  # what such a program allows


@pytest.mark.parametrize(
    ("notes", "match"),
    [
        ([Note(0, "a")] * (MAX_NOTES + 1), "101 notes: at most 100"),
        ([Note(0, "a" * (MAX_NOTE_CHARS + 1))], "note 1 has 501 characters"),
        ([Note(0, "")], "note 1 has 0 characters"),
        ([Note(0, "ü" * MAX_NOTE_CHARS)] * (MAX_ALL_CHARS // MAX_NOTE_CHARS + 1), "together"),
        ([Note(0, "a\x07")], "control characters"),
        ([Note(0, "\u202eabc")], "control characters"),
        ([Note(4, "a")], "note 1 is on step 4: this run has steps 0 to 3"),
        ([Note(-1, "a")], "note 1 is on step -1"),
        ([Note(0, "a", cell=144)], "note 1 is on cell 144: this run has cells 0 to 143"),
    ],
)
def test_what_is_too_much_or_nowhere_is_named(trace, notes, match):
    with pytest.raises(TraceFormatError, match=match):
        noted(trace, *notes).validate()


@pytest.mark.parametrize(
    "text", ['{"step": "1", "text": "a"}', '{"step": 1, "text": "a", "more": 1}', "[]", "nonsense", '{"step": true, "text": "a"}']
)
def test_a_hostile_files_notes_are_refused(trace, text):
    hostile = dataclasses.replace(trace, versions={**trace.versions, "note 1": text})
    with pytest.raises(TraceFormatError, match="note 1"):
        Trace.from_bytes(hostile.to_bytes())


def test_notes_at_every_bound_are_written_and_read(trace):
    most = [Note(3, ",[{" * (MAX_ALL_CHARS // MAX_NOTES // 3), cell=143)] * MAX_NOTES
    assert Trace.from_bytes(noted(trace, *most).to_bytes()).notes == tuple(most)


def test_a_text_is_kept_as_it_reads():
    assert tidy("  a\r\nb\tc\x00\u200b ") == "a\nb c"
    assert tidy("👩‍🔬 نمی‌خواهم") == "👩‍🔬 نمی‌خواهم"


def test_the_player_is_given_the_notes(trace):
    run = build_payload([noted(trace, *NOTES)])["runs"][0]
    assert run["notes"] == [{"step": 2, "text": NOTES[0].text, "cell": None}, {"step": 0, "text": "<b>first</b>", "cell": 17}]


def test_a_visitors_notes_go_into_files_and_not_into_what_others_share(trace):
    entries = [Entry("one", noted(trace, Note(1, "of the file"))), Entry("two", trace)]
    made = with_notes(entries, {"one": [{"step": 3, "text": " mine\r\n", "cell": None}], "three": "ignored"})
    assert made[0].trace.notes == (Note(3, "mine"),)
    assert made[1] is entries[1]
    assert entries[0].trace.notes == (Note(1, "of the file"),)
    assert with_notes(entries, None) == entries
    assert with_notes(entries, {"one": []})[0].trace.notes == ()


@pytest.mark.parametrize(
    "given",
    [
        [],
        "x",
        {"one": "x"},
        {"one": [{"step": 9, "text": "a"}]},
        {"one": [{"text": "a"}]},
        {"one": [{"step": 0, "text": "a"}] * 101},
        {"one": [1]},
    ],
)
def test_hostile_notes_from_a_page_are_named(trace, given):
    with pytest.raises(ValueError, match=r"note"):
        with_notes([Entry("one", trace)], given)
