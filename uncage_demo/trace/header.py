"""The JSON header of a trace file: what it holds is declared once, as types; pydantic checks every value on the way in."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from uncage_demo.setting import shortened
from uncage_demo.trace.lineage import Lineage, lineage_json
from uncage_demo.trace.notes import Note, taken_out
from uncage_demo.trace.origin import Origin, origin_json
from uncage_demo.trace.record import SCHEMA_VERSION, Trace, TraceFormatError
from uncage_demo.types import ModelInfo, Prompt

MAX_HEADER_BYTES = 2 << 20
# Numbers, texts and lists in a header, counted by their separators before anything is made of them.
MAX_HEADER_VALUES = 32_768

T = TypeVar("T")


@dataclass(frozen=True)
class Header:
    """What the header of a trace file says.

    Args:
        prompt, config, model, columns, lineage, timings_s, versions, created: as `Trace`; lineage {} for a run that is no branch.
        first_step: number of the first recorded step.
        present: optional array -> the places of the steps that have it.
        schema: version of the layout.
        origin: as `Trace`; files of runs from an empty grid lack it.
    """

    prompt: Prompt
    config: dict[str, bool | int | float | str | list[int | float] | None]
    model: ModelInfo
    columns: tuple[int, ...]
    first_step: int
    present: dict[str, list[int]]
    lineage: Lineage | dict[str, None]
    timings_s: dict[str, float]
    versions: dict[str, str]
    created: str
    schema: int
    origin: Origin | None = None


_HEADER = TypeAdapter(Header)
_NOTE = TypeAdapter(Note)


def header_of(trace: Trace, present: dict[str, list[int]]) -> dict[str, Any]:
    """The JSON-able header of a trace; `present` maps an optional array to the places of the steps that have it."""
    header: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "prompt": asdict(trace.prompt),
        "config": trace.config,
        "model": asdict(trace.model),
        "columns": list(trace.columns),
        "first_step": trace.steps[0].step,
        "present": present,
        "lineage": lineage_json(trace.lineage),
        "timings_s": trace.timings_s,
        "versions": trace.versions,
        "created": trace.created,
    }
    if trace.origin is not None:
        header["origin"] = origin_json(trace.origin)
    return header


def write_header(header: dict[str, Any]) -> bytes:
    """A header as JSON text; what `parse_header` would refuse for its size is not written.

    Raises:
        TraceFormatError: larger than a header may be, or a number that JSON does not have.
    """
    try:
        text = json.dumps(header, sort_keys=True, allow_nan=False).encode()
    except ValueError as error:
        raise TraceFormatError(f"the header cannot be written: {error}") from error
    _check_size(text)
    return text


def parse_header(text: bytes) -> Header:
    """Read a header.

    Raises:
        TraceFormatError: not JSON, too large, another schema version, or a value of the wrong type, named.
    """
    _check_size(text)

    header = read_json(_HEADER, text, "the header", _explain)
    if header.schema != SCHEMA_VERSION:
        raise TraceFormatError(f"the file has schema version {shortened(header.schema)}; this program reads version {SCHEMA_VERSION}")
    if isinstance(header.lineage, dict) and header.lineage:
        raise TraceFormatError(f"lineage is {shortened(header.lineage)}: expected parent, at_step, edits and parent_config, or nothing")
    return header


def read_notes(versions: dict[str, str]) -> tuple[Note, ...]:
    """The notes of a file, removed from its versions; their number, length and places are for `check.check_notes`.

    Raises:
        TraceFormatError: a text that is no note, named.
    """
    notes = []
    for number, text in enumerate(taken_out(versions), 1):
        try:
            notes.append(read_json(_NOTE, text, "it"))
        except TraceFormatError as error:
            raise TraceFormatError(f"note {number}: {error}") from None
    return tuple(notes)


def _explain(where: str, value: Any) -> str | None:
    if where == "schema":
        return f"the file has schema version {shortened(value)}; this program reads version {SCHEMA_VERSION}"
    if where.startswith(("config.", "lineage.parent_config.")):
        return f"{where} is {shortened(value)}: expected a number, a text, true, false, null or a list of numbers"
    return None


def read_json(adapter: TypeAdapter[T], text: bytes | str, what: str, explain: Callable[[str, Any], str | None] = lambda *_: None) -> T:
    """A typed value from JSON text; no value is turned into another type, and unknown keys are refused.

    Args:
        adapter: of the type wanted.
        text: from anywhere.
        what: the whole value's name in messages.
        explain: (field, value) -> a message of its own, or None.

    Raises:
        TraceFormatError: naming the first field that does not fit, its value, and what is allowed.
    """
    try:
        return adapter.validate_json(text, strict=True, extra="forbid")
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        first = next((one for one in found if one["loc"][:1] == ("schema",)), found[0])
        # A union's branches are part of a place ("config", "order", "int"); none of our fields has such a name.
        where = ".".join(str(part) for part in first["loc"] if str(part) not in _BRANCHES) or what
        message = explain(where, first["input"])
        if message is None and first["type"] == "json_invalid":
            message = f"{what} is not readable JSON: {first['msg'].removeprefix('Invalid JSON: ')}"
        if message is None and first["type"] in ("missing", "unexpected_keyword_argument"):
            message = f"{where}: {'this key is missing' if first['type'] == 'missing' else 'there is no such key'}"
        raise TraceFormatError(
            message or f"{where} is {shortened(first['input'])}: {first['msg'].replace('Input should be', 'expected')}"
        ) from None


_BRANCHES = frozenset({"bool", "int", "float", "str", "list[union[int,float]]", "Lineage", "Origin", "dict[str,none]", "none"})


def _check_size(text: bytes) -> None:
    if len(text) > MAX_HEADER_BYTES:
        raise TraceFormatError(f"the header has {len(text)} bytes; a trace has at most {MAX_HEADER_BYTES}")
    values = text.count(b",") + text.count(b"[") + text.count(b"{")
    if values > MAX_HEADER_VALUES:
        raise TraceFormatError(f"the header has {values} values; a trace has at most {MAX_HEADER_VALUES}")
