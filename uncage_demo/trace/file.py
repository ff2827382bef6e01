"""Trace files: one .npz (a zip of .npy arrays, no pickle) with a JSON header; written the same way every time, read with distrust.

Every array of a step is stacked over the steps that have it. Everything is exact: no array is stored at lower precision.
`frames` holds differences between consecutive pictures (modulo 256), which compress well because most of a picture stays.

Reading takes little memory from a file that is refused: header and shapes are checked before an array is unpacked, the small arrays and
the story that they tell before the large ones, and large ones are looked through piece by piece before any of them is kept.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from uncage_demo.files import write_atomically
from uncage_demo.trace.check import check_trace, value_range
from uncage_demo.trace.header import MAX_HEADER_BYTES, Header, header_of, parse_header, read_notes, write_header
from uncage_demo.trace.layout import (
    MAX_CONTENT_BYTES,
    OPTIONAL_STEP_ARRAYS,
    STEP_ARRAYS,
    Member,
    check_directory,
    check_layout,
    check_members,
    declared,
    limit,
)
from uncage_demo.trace.notes import written
from uncage_demo.trace.record import StepRecord, Trace, TraceFormatError

MAX_FILE_BYTES = 256 << 20
# zlib's level: 6 takes 0.22 s of processor time for an embedded run, 3 takes 0.09 s and makes the file 3 % larger.
_COMPRESSION = 3
# Pieces in which arrays are unpacked, and from how much on large ones are looked through before they are kept.
_PIECE_BYTES = 4 << 20
_LOOK_THROUGH_BYTES = 32 << 20
# Part of the story that the steps tell, so needed before anything large is looked at.
_STORY = ("reopened",)
_LARGE = ("frames", "pictures", *(name for name in OPTIONAL_STEP_ARRAYS if name not in _STORY))
# How frames are stored, among the versions of the header: the one place where readers from before this was told take a text.
_FRAMES_KEY = "frames.npy"
_FRAMES_TEXT = "differences from the picture before, modulo 256; the first from black"

Check = Callable[[np.ndarray], None]


def trace_to_bytes(trace: Trace, *, frames: bool = True) -> bytes:
    """A trace as the bytes of one .npz file; the same trace gives the same bytes.

    Args:
        trace: any.
        frames: False leaves the pictures of the steps out.

    Raises:
        TraceFormatError: when the trace is not valid or larger than a file may be.
    """
    check_trace(trace)
    arrays: dict[str, np.ndarray] = {
        "tokens": trace.tokens,
        "unmask_step": trace.unmask_step,
        "image": trace.image,
        "weight": np.array([record.weight for record in trace.steps], np.float64),
        "cutoff": np.array([record.cutoff for record in trace.steps], np.float64),
    }
    passes = [record.passes for record in trace.steps]
    if None not in passes:
        arrays["passes"] = np.array(passes, np.float64)
    if frames and trace.frames is not None:
        # uint8 differences wrap around, so the running sum on reading is exact.
        arrays["frames"] = np.diff(trace.frames, axis=0, prepend=np.zeros_like(trace.frames[:1]))
    if trace.token_pictures:
        arrays["picture_ids"] = np.array(sorted(trace.token_pictures), np.int32)
        arrays["pictures"] = np.stack([trace.token_pictures[int(token)] for token in arrays["picture_ids"]])
    present: dict[str, list[int]] = {}
    for name in (*STEP_ARRAYS, *OPTIONAL_STEP_ARRAYS):
        places = [i for i, record in enumerate(trace.steps) if getattr(record, name) is not None]
        if places:
            arrays[name] = _stack(name, [getattr(trace.steps[i], name) for i in places])
        if name in OPTIONAL_STEP_ARRAYS and places:
            present[name] = places
    header = header_of(trace, present)
    header["versions"] = {**trace.versions, **({_FRAMES_KEY: _FRAMES_TEXT} if "frames" in arrays else {}), **written(trace.notes)}
    text = write_header(header)
    parse_header(text)  # what could not be read again is not written
    arrays["header"] = np.frombuffer(text, np.uint8)
    limit("content", sum(values.nbytes for values in arrays.values()), MAX_CONTENT_BYTES)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(arrays):
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(arrays[name]), version=(1, 0), allow_pickle=False)
            # A fixed date: the same trace gives the same bytes.
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            # Said of each member: the archive's own level does not reach members that bring a ZipInfo.
            archive.writestr(info, member.getvalue(), zipfile.ZIP_DEFLATED, _COMPRESSION)
    limit("file", buffer.tell(), MAX_FILE_BYTES)
    return buffer.getvalue()


def save_trace(trace: Trace, path: str | Path, *, frames: bool = True) -> Path:
    """Write a trace to a file, whole or not at all; returns its path.

    Args:
        trace, frames: as `trace_to_bytes`.
        path: the file to make or replace.

    Raises:
        TraceFormatError: as `trace_to_bytes`.
        OSError: when the file cannot be written; an older one is then as it was.
    """
    return write_atomically(path, trace_to_bytes(trace, frames=frames))


def trace_from_bytes(data: bytes) -> Trace:
    """Inverse of `trace_to_bytes`. The bytes are not trusted.

    Raises:
        TraceFormatError: saying what is wrong.
    """
    return _read(io.BytesIO(data), MAX_CONTENT_BYTES)


def load_trace(path: str | Path, *, max_bytes: int = MAX_CONTENT_BYTES) -> Trace:
    """Read a trace file. Its content is not trusted.

    Args:
        path: the file.
        max_bytes: refuse a trace whose arrays take more memory than this.

    Raises:
        TraceFormatError: saying what is wrong with the content.
        OSError: when the file cannot be read.
    """
    with Path(path).open("rb") as file:
        return _read(file, max_bytes)


def _read(file: BinaryIO, max_bytes: int) -> Trace:
    limit("file", file.seek(0, io.SEEK_END), MAX_FILE_BYTES)
    file.seek(-min(file.tell(), 1 << 16), io.SEEK_END)
    check_directory(file.read())
    try:
        with zipfile.ZipFile(file) as archive:
            return _read_archive(archive, max_bytes)
    except TraceFormatError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError) as error:
        raise TraceFormatError(f"this is not a readable trace file: {error}") from error


def _read_archive(archive: zipfile.ZipFile, max_bytes: int) -> Trace:
    infos = check_members(archive)
    limit("header", infos["header"].file_size, MAX_HEADER_BYTES)
    header = parse_header(_unpack(archive, declared(archive, "header", infos.pop("header"))).tobytes())
    members = {name: declared(archive, name, info) for name, info in infos.items()}
    check_layout(header, members)
    limit("content", sum(member.size_bytes for member in members.values()), max_bytes)
    arrays = {name: _unpack(archive, member, _booleans(member)) for name, member in members.items() if name not in _LARGE}
    frames_told = header.versions.pop(_FRAMES_KEY, _FRAMES_TEXT)
    if frames_told != _FRAMES_TEXT:
        raise TraceFormatError(f"versions.{_FRAMES_KEY} is {frames_told[:80]!r}: this program reads {_FRAMES_TEXT!r}")
    trace = Trace(
        prompt=header.prompt,
        config=header.config,
        model=header.model,
        columns=header.columns,
        steps=_read_steps(arrays, header),
        tokens=arrays["tokens"],
        unmask_step=arrays["unmask_step"],
        image=arrays["image"],
        lineage=None if isinstance(header.lineage, dict) else header.lineage,
        timings_s=header.timings_s,
        versions=header.versions,
        created=header.created,
        origin=header.origin,
        notes=read_notes(header.versions),
    )
    check_trace(trace)
    ids = arrays.get("picture_ids", np.zeros(0, np.int32)).tolist()
    if len(set(ids)) != len(ids):
        raise TraceFormatError("picture_ids names an id twice")
    if ids and not 0 <= min(ids) <= max(ids) < trace.model.codebook_size:
        raise TraceFormatError(f"picture_ids holds {min(ids)}..{max(ids)}: allowed 0..{trace.model.codebook_size - 1}")
    _add_large(trace, archive, header, {name: member for name, member in members.items() if name in _LARGE}, ids)
    return trace


def _add_large(trace: Trace, archive: zipfile.ZipFile, header: Header, members: dict[str, Member], ids: list[int]) -> None:
    """Unpack the arrays that may be large and put them where they belong."""
    checks = {name: _within(name, *value_range(name, trace.model.codebook_size)) for name in members if name in OPTIONAL_STEP_ARRAYS}
    if sum(member.size_bytes for member in members.values()) > _LOOK_THROUGH_BYTES:
        for name, member in members.items():
            _unpack(archive, member, checks.get(name), keep=False)
    arrays = {name: _unpack(archive, member, checks.get(name)) for name, member in members.items()}
    for name, places in header.present.items():
        for at, place in enumerate(places if name in arrays else []):
            setattr(trace.steps[place], name, arrays[name][at])
    if "frames" in arrays:
        trace.frames = arrays["frames"]
        for before, frame in zip(trace.frames, trace.frames[1:], strict=False):
            np.add(before, frame, out=frame)
    if ids:
        trace.token_pictures = dict(zip(ids, arrays["pictures"], strict=True))


def _read_steps(arrays: dict[str, np.ndarray], header: Header) -> list[StepRecord]:
    passes = arrays.get("passes")
    steps = [
        StepRecord(
            step=header.first_step + i,
            weight=float(weight),
            cutoff=float(cutoff),
            passes=None if passes is None else float(passes[i]),
            **{name: arrays[name][i] for name in STEP_ARRAYS},
        )
        for i, (weight, cutoff) in enumerate(zip(arrays["weight"], arrays["cutoff"], strict=True))
    ]
    for name in _STORY:
        for at, place in enumerate(header.present.get(name, [])):
            setattr(steps[place], name, arrays[name][at])
    return steps


def _unpack(archive: zipfile.ZipFile, member: Member, check: Check | None = None, keep: bool = True) -> np.ndarray:
    """The values of one array, in memory that is taken once.

    Args:
        check: called with every piece of the values.
        keep: False only looks through them, and returns an empty array.

    Raises:
        TraceFormatError: cut short, or from check.
    """
    values = np.empty(member.shape if keep else 0, member.dtype)
    room = values.reshape(-1).view(np.uint8)
    with archive.open(member.info) as file:
        file.read(member.start)
        for at in range(0, member.size_bytes, _PIECE_BYTES):
            piece = file.read(min(_PIECE_BYTES, member.size_bytes - at))
            if len(piece) != min(_PIECE_BYTES, member.size_bytes - at):
                raise TraceFormatError(f"{member.name} is cut short: {at + len(piece)} of {member.size_bytes} bytes")
            if check is not None:
                check(np.frombuffer(piece, member.dtype))
            if keep:
                room[at : at + len(piece)] = np.frombuffer(piece, np.uint8)
    return values


def _within(name: str, low: float, high: float) -> Check:
    def check(values: np.ndarray) -> None:
        if not values.min() >= low:
            raise TraceFormatError(f"{name} has a minimum of {values.min()}, allowed from {low}")
        if not values.max() <= high:
            raise TraceFormatError(f"{name} has a maximum of {values.max()}, allowed up to {high}")

    return check


def _booleans(member: Member) -> Check | None:
    def check(values: np.ndarray) -> None:
        if values.view(np.uint8).max() > 1:
            raise TraceFormatError(f"{member.name} holds bytes that are neither 0 nor 1")

    return check if member.dtype == np.bool_ else None


def _stack(name: str, values: list[np.ndarray]) -> np.ndarray:
    if len({v.shape for v in values}) > 1:
        raise TraceFormatError(f"{name} has different shapes at different steps")
    return np.stack(values)
