"""Hostile trace files: made of raw arrays and a raw zip, so that no check of the package stands in the way of making them."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.factories import make_trace


def unpacked(data: bytes) -> dict[str, bytes]:
    """Name -> content of the members of a file."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def packed(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """The opposite of `unpacked`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return buffer.getvalue()


def npy(values: np.ndarray) -> bytes:
    """An array as the bytes of an .npy file."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, values, version=(1, 0), allow_pickle=values.dtype == object)
    return buffer.getvalue()


def header_in(members: dict[str, bytes]) -> dict[str, Any]:
    """The header of unpacked members."""
    return json.loads(np.load(io.BytesIO(members["header.npy"])).tobytes())


def with_header(members: dict[str, bytes], header: dict[str, Any]) -> dict[str, bytes]:
    """The members with another header."""
    return {**members, "header.npy": npy(np.frombuffer(json.dumps(header, separators=(",", ":")).encode(), np.uint8))}


def repeated_subject(times: int = 400) -> bytes:
    """One step, its first subject many times over (fault 2: 195 KB kept a processor busy for a minute)."""
    members = unpacked(make_trace(grid=(12, 12), steps=1).to_bytes())
    header = header_in(members)
    header["prompt"]["subjects"] = header["prompt"]["subjects"][:1] * times
    return packed(with_header(members, header))


def bomb() -> bytes:
    """700 MB of zeros where attention is expected, with a shape that does not fit (fault 3: 1.3 GB before it was refused)."""
    members = unpacked(make_trace(grid=(12, 12), steps=1).to_bytes())
    members["attention.npy"] = npy(np.zeros((1, 9, 144 * 140_000), np.float32))
    return packed(members)


def fitting_bomb() -> bytes:
    """650 MB of frames that fit the header, and one wrong value in the last array: what can only be seen after unpacking (fault 3)."""
    members = unpacked(make_trace(grid=(12, 12), steps=8).to_bytes())
    members["image.npy"] = npy(np.zeros((3840, 3840, 3), np.uint8))
    members["frames.npy"] = npy(np.zeros((8, 3840, 3840, 3), np.uint8))
    entropy = np.load(io.BytesIO(members["entropy.npy"])).copy()
    entropy[-1, -1] = -5
    members["entropy.npy"] = npy(entropy)
    return packed(members)


def huge_token_pictures() -> bytes:
    """Twenty token pictures of 3212 x 3212 (fault 3: accepted, 620 MB kept)."""
    members = unpacked(make_trace(grid=(12, 12), steps=1).to_bytes())
    members["picture_ids.npy"] = npy(np.arange(20, dtype=np.int32))
    members["pictures.npy"] = npy(np.zeros((20, 3212, 3212, 3), np.uint8))
    return packed(members)


def nested_lineage(count: int = 1_200_000) -> bytes:
    """A lineage that holds over a million empty lists (fault 4: 90 MB kept, 0.24 MB counted)."""
    members = unpacked(make_trace(grid=(12, 12), steps=1).to_bytes())
    line = {"parent": "f" * 16, "at_step": 0, "edits": {"keep": [], "drop": [], "forbid": [], "suppress_word": None}, "parent_config": {}}
    header = {**header_in(members), "lineage": {**line, "earlier": [{**line, "earlier": [[]] * count}]}}
    return packed(with_header(members, header))


def long_directory(count: int = 100_000) -> bytes:
    """An archive that lists a great many members: the list itself takes the memory."""
    members = unpacked(make_trace(grid=(12, 12), steps=1).to_bytes())
    return packed({**members, **{f"{number:x}": b"" for number in range(count)}}, zipfile.ZIP_STORED)


def malformed_array_header() -> bytes:
    """An array header that is no Python literal (fault 9: tokenize.TokenError)."""
    members = unpacked(make_trace(grid=(12, 12), steps=1).to_bytes())
    members["scores.npy"] = members["scores.npy"].replace(b"'shape': (", b"'shape': '''", 1)
    return packed(members)


def huge_number() -> bytes:
    """A setting of 400 digits (fault 9: OverflowError)."""
    members = unpacked(make_trace(grid=(12, 12), steps=1).to_bytes())
    header = header_in(members)
    header["config"]["guidance_scale"] = 10**400
    return packed(with_header(members, header))


def no_columns() -> bytes:
    """Attention for no text column (fault 11: accepted, the payload failed)."""
    members = unpacked(make_trace(grid=(12, 12), steps=1).to_bytes())
    members["attention.npy"] = npy(np.zeros((1, 0, 144), np.float32))
    return packed(with_header(members, {**header_in(members), "columns": []}))


def large_codebook() -> bytes:
    """More image tokens than 16 bits tell apart (fault 11: accepted, the payload refused)."""
    members = unpacked(make_trace(grid=(12, 12), steps=1).to_bytes())
    header = header_in(members)
    header["model"]["codebook_size"] = 70_000
    return packed(with_header(members, header))


def attention_at_some_steps() -> bytes:
    """A valid file whose second step has no attention (fault 11: accepted, the figure failed)."""
    trace = make_trace(grid=(12, 12), steps=3)
    trace.steps[1].attention = None
    return trace.to_bytes()


def many_subjects(count: int = 16) -> bytes:
    """As many subjects as a trace may have (fault 11: more than 8 could not be drawn as PNG)."""
    members = unpacked(make_trace(grid=(12, 12), steps=2).to_bytes())
    header = header_in(members)
    header["prompt"]["subjects"] = (header["prompt"]["subjects"] * count)[:count]
    return packed(with_header(members, header))


def largest(steps: int = 256, side: int = 64) -> bytes:
    """A valid file of 256 steps of 64 x 64 cells, without frames (fault 11: its GIF took over a minute)."""
    return make_trace(grid=(side, side), steps=steps, image_px=side * 4, frames=False).to_bytes()


FILES: dict[str, Callable[[], bytes]] = {
    "2 subject 400 times": repeated_subject,
    "3 bomb of zeros": bomb,
    "3 bomb that fits": fitting_bomb,
    "3 token pictures": huge_token_pictures,
    "4 nested lineage": nested_lineage,
    "3 long directory": long_directory,
    "9 array header": malformed_array_header,
    "9 huge number": huge_number,
    "11 no columns": no_columns,
    "11 codebook": large_codebook,
    "11 some attention": attention_at_some_steps,
    "11 16 subjects": many_subjects,
    "11 256 steps": largest,
}
