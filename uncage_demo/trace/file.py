"""Trace files: one .npz (a zip of .npy arrays, no pickle) with a JSON header; written the same way every time, read with distrust.

Every array of a step is stacked over the steps that have it. Everything is exact: no array is stored at lower precision.
`frames` holds differences between consecutive pictures (modulo 256), which compress well because most of a picture stays.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
import zlib
from typing import Any

import numpy as np

from uncage_demo.trace.check import MAX_STEPS, check_trace
from uncage_demo.trace.header import header_of, parse_header
from uncage_demo.trace.record import StepRecord, Trace, TraceFormatError

MAX_FILE_BYTES = 256 << 20
MAX_CONTENT_BYTES = 768 << 20
MAX_HEADER_BYTES = 4 << 20
MAX_MEMBERS = 32
_NPY_HEADER_BYTES = 4096

_REQUIRED_STEP_ARRAYS = {
    "sampled": np.int32,
    "committed": np.bool_,
    "masked_before": np.bool_,
    "confidence": np.float32,
    "noise": np.float32,
    "contrast": np.float32,
    "scores": np.float32,
}
_OPTIONAL_STEP_ARRAYS = {
    "attention": np.float32,
    "attention_full": np.float32,
    "alternatives": np.int32,
    "alternative_probs": np.float32,
    "entropy": np.float32,
}
_WHOLE_ARRAYS = {
    "tokens": np.int32,
    "unmask_step": np.int32,
    "image": np.uint8,
    "frames": np.uint8,
    "picture_ids": np.int32,
    "pictures": np.uint8,
    "weight": np.float64,
    "cutoff": np.float64,
}
_DTYPES = {"header": np.uint8, **_REQUIRED_STEP_ARRAYS, **_OPTIONAL_STEP_ARRAYS, **_WHOLE_ARRAYS}


def write_trace(trace: Trace, *, frames: bool = True) -> bytes:
    """A trace as the bytes of one .npz file; see Trace.to_bytes."""
    check_trace(trace)
    arrays: dict[str, np.ndarray] = {
        "tokens": trace.tokens,
        "unmask_step": trace.unmask_step,
        "image": trace.image,
        "weight": np.array([record.weight for record in trace.steps], np.float64),
        "cutoff": np.array([record.cutoff for record in trace.steps], np.float64),
    }
    if frames and trace.frames is not None:
        # uint8 differences wrap around, so the running sum on reading is exact.
        arrays["frames"] = np.diff(trace.frames, axis=0, prepend=np.zeros_like(trace.frames[:1]))
    if trace.token_pictures:
        arrays["picture_ids"] = np.array(sorted(trace.token_pictures), np.int32)
        arrays["pictures"] = np.stack([trace.token_pictures[int(token)] for token in arrays["picture_ids"]])
    present: dict[str, list[int]] = {}
    for name in (*_REQUIRED_STEP_ARRAYS, *_OPTIONAL_STEP_ARRAYS):
        places = [i for i, record in enumerate(trace.steps) if getattr(record, name) is not None]
        if places:
            arrays[name] = _stack(name, [getattr(trace.steps[i], name) for i in places])
        if name in _OPTIONAL_STEP_ARRAYS and places:
            present[name] = places
    header = json.dumps(header_of(trace, present), sort_keys=True, allow_nan=False).encode()
    arrays["header"] = np.frombuffer(header, np.uint8)
    _limit("header", len(header), MAX_HEADER_BYTES)
    _limit("content", sum(values.nbytes for values in arrays.values()), MAX_CONTENT_BYTES)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name in sorted(arrays):
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(arrays[name]), version=(1, 0), allow_pickle=False)
            # A fixed date: the same trace gives the same bytes.
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, member.getvalue())
    _limit("file", buffer.tell(), MAX_FILE_BYTES)
    return buffer.getvalue()


def read_trace(data: bytes) -> Trace:
    """A trace from the bytes of a file, none of which are trusted; see Trace.from_bytes."""
    _limit("file", len(data), MAX_FILE_BYTES)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _read_archive(archive)
    except TraceFormatError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError) as error:
        raise TraceFormatError(f"this is not a readable trace file: {error}") from error


def _read_archive(archive: zipfile.ZipFile) -> Trace:
    members = _check_members(archive)
    header_member = members.pop("header", None)
    if header_member is None:
        raise TraceFormatError("the file has no header.npy; it is not a trace")
    _limit("header", header_member.file_size, MAX_HEADER_BYTES)
    header = parse_header(_read_array(archive, "header", header_member).tobytes())
    missing = [name for name in (*_REQUIRED_STEP_ARRAYS, "tokens", "unmask_step", "image", "weight", "cutoff") if name not in members]
    if missing:
        raise TraceFormatError(f"the file lacks {', '.join(missing)}")
    arrays = {name: _read_array(archive, name, member) for name, member in members.items()}
    trace = Trace(
        prompt=header.prompt,
        config=header.config,
        model=header.model,
        columns=header.columns,
        steps=_read_steps(arrays, header.first_step, header.present),
        tokens=arrays["tokens"],
        unmask_step=arrays["unmask_step"],
        image=arrays["image"],
        frames=np.add.accumulate(arrays["frames"], axis=0, dtype=np.uint8) if "frames" in arrays else None,
        token_pictures=_read_token_pictures(arrays),
        lineage=header.lineage,
        timings_s=header.timings_s,
        versions=header.versions,
        created=header.created,
    )
    check_trace(trace)
    return trace


def _read_steps(arrays: dict[str, np.ndarray], first_step: int, present: dict[str, list[int]]) -> list[StepRecord]:
    count = len(arrays["weight"]) if arrays["weight"].ndim == 1 else 0
    if not 1 <= count <= MAX_STEPS:
        raise TraceFormatError(f"weight has shape {arrays['weight'].shape}: give one number a step, 1..{MAX_STEPS}")
    places = {name: list(range(count)) for name in _REQUIRED_STEP_ARRAYS} | {"cutoff": list(range(count))}
    stored = {name for name in _OPTIONAL_STEP_ARRAYS if name in arrays}
    if set(present) != stored:
        raise TraceFormatError(f"header and content disagree about {', '.join(sorted(set(present) ^ stored))[:200]}")
    places |= present
    for name, wanted in places.items():
        increasing = wanted == sorted(set(wanted) & set(range(count)))
        if arrays[name].ndim < 1 or len(arrays[name]) != len(wanted) or not increasing:
            raise TraceFormatError(f"{name} has shape {arrays[name].shape} for {len(wanted)} of {count} steps")
    index = {name: {place: i for i, place in enumerate(wanted)} for name, wanted in places.items()}

    def values(name: str, place: int) -> Any:
        at = index.get(name, {}).get(place)
        return None if at is None else arrays[name][at]

    return [
        StepRecord(
            step=first_step + i,
            weight=float(arrays["weight"][i]),
            cutoff=float(arrays["cutoff"][i]),
            **{name: values(name, i) for name in (*_REQUIRED_STEP_ARRAYS, *_OPTIONAL_STEP_ARRAYS)},
        )
        for i in range(count)
    ]


def _read_token_pictures(arrays: dict[str, np.ndarray]) -> dict[int, np.ndarray]:
    if "pictures" not in arrays and "picture_ids" not in arrays:
        return {}
    ids, pictures = arrays.get("picture_ids"), arrays.get("pictures")
    if ids is None or pictures is None or ids.ndim != 1 or pictures.ndim != 4 or len(ids) != len(pictures):
        raise TraceFormatError("picture_ids and pictures do not belong together")
    if len(set(ids.tolist())) != len(ids):
        raise TraceFormatError("picture_ids names an id twice")
    return {int(token): picture for token, picture in zip(ids, pictures, strict=True)}


def _check_members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The archive's members by array name, after checking names, number, kind and declared sizes; nothing is unpacked yet."""
    infos = archive.infolist()
    if len(infos) > MAX_MEMBERS:
        raise TraceFormatError(f"the file has {len(infos)} members; a trace has at most {MAX_MEMBERS}")
    members: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name = info.filename.removesuffix(".npy")
        if name not in _DTYPES or not info.filename.endswith(".npy") or name in members:
            raise TraceFormatError(f"unexpected or repeated member {info.filename[:80]!r}")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 0x1:
            raise TraceFormatError(f"{info.filename} is encrypted or compressed in a way traces are not")
        members[name] = info
    _limit("content", sum(info.file_size for info in infos), MAX_CONTENT_BYTES)
    return members


def _read_array(archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo) -> np.ndarray:
    """One array; its declared dtype and shape must match what is expected and the member's size before memory is taken."""
    with archive.open(info) as member:
        head = io.BytesIO(member.read(min(info.file_size, _NPY_HEADER_BYTES)))
        if np.lib.format.read_magic(head) != (1, 0):
            raise TraceFormatError(f"{name} is not a version 1.0 .npy array")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(head, max_header_size=_NPY_HEADER_BYTES)
        if dtype != _DTYPES[name] or fortran or len(shape) > 5 or any(side < 0 for side in shape):
            raise TraceFormatError(f"{name} is {dtype} {shape}, expected {np.dtype(_DTYPES[name])} in row-major order")
        size = math.prod(shape) * dtype.itemsize
        if size != info.file_size - head.tell():
            raise TraceFormatError(f"{name} claims {size} bytes, its member holds {info.file_size - head.tell()}")
        body = head.read() + member.read()
    if len(body) != size:
        raise TraceFormatError(f"{name} is cut short: {len(body)} of {size} bytes")
    values = np.frombuffer(body, dtype).reshape(shape)
    if dtype == np.bool_ and size and values.view(np.uint8).max() > 1:
        raise TraceFormatError(f"{name} holds bytes that are neither 0 nor 1")
    return values.copy()


def _stack(name: str, values: list[np.ndarray]) -> np.ndarray:
    if len({v.shape for v in values}) > 1:
        raise TraceFormatError(f"{name} has different shapes at different steps")
    return np.stack(values)


def _limit(what: str, size: int, limit: int) -> None:
    if size > limit:
        raise TraceFormatError(f"the {what} has {size} bytes; a trace has at most {limit}")
