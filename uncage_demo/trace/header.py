"""The JSON header of a trace file: plain values to text and back, with every type checked on the way in."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, get_args

from uncage_demo.trace.record import SCHEMA_VERSION, Trace, TraceFormatError
from uncage_demo.types import ModelInfo, Prompt, Subject, TextToken, UnknownWord, Word, WordKind

MAX_STRING_CHARS = 4096
MAX_ITEMS = 4096
MAX_DEPTH = 64


@dataclass(frozen=True)
class Header:
    """What the header of a trace file says; `present` maps an optional array to the places of the steps that have it."""

    prompt: Prompt
    config: dict[str, Any]
    model: ModelInfo
    columns: tuple[int, ...]
    first_step: int
    present: dict[str, list[int]]
    lineage: dict[str, Any]
    timings_s: dict[str, float]
    versions: dict[str, str]
    created: str


def header_of(trace: Trace, present: dict[str, list[int]]) -> dict[str, Any]:
    """The JSON-able header of a trace."""
    return {
        "schema": SCHEMA_VERSION,
        "prompt": asdict(trace.prompt),
        "config": trace.config,
        "model": asdict(trace.model),
        "columns": list(trace.columns),
        "first_step": trace.steps[0].step,
        "present": present,
        "lineage": trace.lineage,
        "timings_s": trace.timings_s,
        "versions": trace.versions,
        "created": trace.created,
    }


def parse_header(text: bytes) -> Header:
    """Read a header.

    Raises:
        TraceFormatError: not JSON, another schema version, or a value of the wrong type, named.
    """
    try:
        data = json.loads(text.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise TraceFormatError(f"the header is not readable JSON: {error}") from error
    header = _dict("header", data)
    version = header.get("schema")
    if version != SCHEMA_VERSION:
        raise TraceFormatError(f"the file has schema version {str(version)[:20]}; this program reads version {SCHEMA_VERSION}")
    expected = {"schema", *Header.__dataclass_fields__}
    if set(header) != expected:
        raise TraceFormatError(f"the header has the wrong keys: {', '.join(sorted(map(str, set(header) ^ expected)))[:200]}")
    _check_depth(header["lineage"])
    return Header(
        prompt=_prompt(header["prompt"]),
        config=_dict("config", header["config"]),
        model=_model(header["model"]),
        columns=_integers("columns", header["columns"]),
        first_step=_integer("first_step", header["first_step"]),
        present={k: list(_integers(f"present.{k}", v)) for k, v in _dict("present", header["present"]).items()},
        lineage=_dict("lineage", header["lineage"]),
        timings_s={k: _number(f"timings_s.{k}", v) for k, v in _dict("timings_s", header["timings_s"]).items()},
        versions={k: _string(f"versions.{k}", v) for k, v in _dict("versions", header["versions"]).items()},
        created=_string("created", header["created"]),
    )


def _prompt(value: Any) -> Prompt:
    data = _exact("prompt", value, Prompt)
    return Prompt(
        text=_string("prompt.text", data["text"]),
        tokens=tuple(_token(v) for v in _list("prompt.tokens", data["tokens"])),
        words=tuple(_word(v) for v in _list("prompt.words", data["words"])),
        subjects=tuple(_subject(v) for v in _list("prompt.subjects", data["subjects"])),
        unknown=tuple(_unknown(v) for v in _list("prompt.unknown", data["unknown"])),
        truncated=_string("prompt.truncated", data["truncated"]),
    )


def _token(value: Any) -> TextToken:
    data = _exact("text token", value, TextToken)
    special = data["special"]
    if not isinstance(special, bool):
        raise TraceFormatError(f"special={_short(special)}: give true or false")
    span = _integer("token.start", data["start"]), _integer("token.end", data["end"])
    return TextToken(_string("token.text", data["text"]), *span, special)


def _word(value: Any) -> Word:
    data = _exact("word", value, Word)
    kinds = get_args(WordKind)
    if data["kind"] not in kinds:
        raise TraceFormatError(f"word kind {_short(data['kind'])}: choose one of {', '.join(kinds)}")
    span = _integer("word.start", data["start"]), _integer("word.end", data["end"])
    return Word(_string("word.text", data["text"]), *span, _integers("word.tokens", data["tokens"]), data["kind"])


def _subject(value: Any) -> Subject:
    # Files written before objects could be counted do not have the key.
    data = _exact("subject", {"count": 1} | _dict("subject", value), Subject)
    count = _integer("subject.count", data["count"])
    if not 1 <= count <= MAX_ITEMS:
        raise TraceFormatError(f"subject.count is {count}, expected 1 to {MAX_ITEMS}")
    return Subject(
        object=_integers("subject.object", data["object"]),
        attributes=tuple(_integers("subject.attributes", v) for v in _list("subject.attributes", data["attributes"])),
        label=_string("subject.label", data["label"]),
        noun=_string("subject.noun", data["noun"]),
        colors=_strings("subject.colors", data["colors"]),
        count=count,
    )


def _unknown(value: Any) -> UnknownWord:
    data = _exact("unknown word", value, UnknownWord)
    return UnknownWord(_integer("unknown.word", data["word"]), _strings("unknown.suggestions", data["suggestions"]))


def _model(value: Any) -> ModelInfo:
    # Files written before a model told its noise, schedule and negative prompt were made with the values that are filled in.
    later = {"default_noise_temperature": [1.0, 0.01], "default_schedule": "cosine", "default_negative_prompt": ""}
    data = _exact("model", later | _dict("model", value), ModelInfo)
    given = _list("model.default_noise_temperature", data["default_noise_temperature"])
    noise = [_number("model.default_noise_temperature", v) for v in given]
    if len(noise) != 2:
        raise TraceFormatError(f"model.default_noise_temperature has {len(noise)} numbers, expected two")
    return ModelInfo(
        id=_string("model.id", data["id"]),
        title=_string("model.title", data["title"]),
        weight_hash=_string("model.weight_hash", data["weight_hash"]),
        grid=_pair("model.grid", data["grid"]),
        codebook_size=_integer("model.codebook_size", data["codebook_size"]),
        image_size_px=_pair("model.image_size_px", data["image_size_px"]),
        attention_grid=_pair("model.attention_grid", data["attention_grid"]),
        single_layers=_integer("model.single_layers", data["single_layers"]),
        num_heads=_integer("model.num_heads", data["num_heads"]),
        default_source=_string("model.default_source", data["default_source"]),
        default_steps=_integer("model.default_steps", data["default_steps"]),
        default_guidance_scale=_number("model.default_guidance_scale", data["default_guidance_scale"]),
        description=_string("model.description", data["description"]),
        default_noise_temperature=(noise[0], noise[1]),
        default_schedule=_string("model.default_schedule", data["default_schedule"]),
        default_negative_prompt=_string("model.default_negative_prompt", data["default_negative_prompt"]),
    )


def _exact(name: str, value: Any, kind: Any) -> dict[str, Any]:
    data, expected = _dict(name, value), set(kind.__dataclass_fields__)
    if set(data) != expected:
        raise TraceFormatError(f"{name} has the wrong keys: {', '.join(sorted(set(data) ^ expected))[:200]}")
    return data


def _dict(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or len(value) > MAX_ITEMS:
        raise TraceFormatError(f"{name} is {_short(value)}, expected an object")
    return value


def _list(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > MAX_ITEMS:
        raise TraceFormatError(f"{name} is {_short(value)}, expected a list of at most {MAX_ITEMS}")
    return value


def _string(name: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > MAX_STRING_CHARS:
        raise TraceFormatError(f"{name} is {_short(value)}, expected a text of at most {MAX_STRING_CHARS} characters")
    return value


def _integer(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**31:
        raise TraceFormatError(f"{name} is {_short(value)}, expected a whole number")
    return value


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > 1e300 or not math.isfinite(value):
        raise TraceFormatError(f"{name} is {_short(value)}, expected a finite number")
    return float(value)


def _tuple_of(item: Callable[[str, Any], Any]) -> Callable[[str, Any], tuple[Any, ...]]:
    return lambda name, value: tuple(item(name, v) for v in _list(name, value))


_integers = _tuple_of(_integer)
_strings = _tuple_of(_string)


def _pair(name: str, value: Any) -> tuple[int, int]:
    values = _integers(name, value)
    if len(values) != 2:
        raise TraceFormatError(f"{name} is {_short(value)}, expected two whole numbers")
    return values[0], values[1]


def _check_depth(value: Any, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise TraceFormatError(f"the lineage is nested deeper than {MAX_DEPTH} levels")
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        _check_depth(child, depth + 1)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not allowed")


def _short(value: Any) -> str:
    return repr(value)[:80] if isinstance(value, (str, int, float, bool, type(None))) else type(value).__name__
