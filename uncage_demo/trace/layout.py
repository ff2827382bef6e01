"""The arrays of a trace file before any of them is unpacked: what each declares, checked against the header and against the bounds."""

from __future__ import annotations

import math
import re
import zipfile
from dataclasses import dataclass

import numpy as np

from uncage_demo.prompt.judging import counted
from uncage_demo.trace import check
from uncage_demo.trace.header import Header
from uncage_demo.trace.record import TraceFormatError

MAX_CONTENT_BYTES = 768 << 20
MAX_MEMBERS = 32
_DIRECTORY_BYTES = MAX_MEMBERS * 512
_NPY_HEADER_BYTES = 4096
_END_OF_ARCHIVE = b"PK\x05\x06"
_END_BYTES = 22


class TraceTooLarge(TraceFormatError):
    """A trace of more bytes than are taken; `size_bytes` says how many it has."""

    def __init__(self, what: str, size_bytes: int, most: int) -> None:
        super().__init__(f"the {what} has {size_bytes} bytes; a trace has at most {most}")
        self.size_bytes = size_bytes


STEP_ARRAYS = {
    "sampled": np.int32,
    "committed": np.bool_,
    "masked_before": np.bool_,
    "confidence": np.float32,
    "noise": np.float32,
    "contrast": np.float32,
    "scores": np.float32,
}
OPTIONAL_STEP_ARRAYS = {
    "attention": np.float32,
    "attention_full": np.float32,
    "alternatives": np.int32,
    "alternative_probs": np.float32,
    "entropy": np.float32,
    "sight": np.uint16,
    "reopened": np.uint8,
    "likelihood": np.float32,
    "renewed": np.bool_,
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
    "passes": np.float64,
}
DTYPES = {"header": np.uint8, **STEP_ARRAYS, **OPTIONAL_STEP_ARRAYS, **_WHOLE_ARRAYS}
REQUIRED = ("header", *STEP_ARRAYS, "tokens", "unmask_step", "image", "weight", "cutoff")

# What numpy writes before an array; nothing else is read, so that no text of a file is ever evaluated.
_NPY_HEADER = re.compile(
    r"\{'descr': '([<>|=][a-zA-Z]\d{0,4})', 'fortran_order': (False|True), 'shape': (\((?:\d{1,12}, ?)*(?:\d{1,12})?\)), \} *\n"
)


@dataclass(frozen=True)
class Member:
    """One array as the file declares it.

    Args:
        name: of the array.
        info: its place in the archive.
        shape, dtype: declared.
        start: bytes before its values.
        size_bytes: of its values.
    """

    name: str
    info: zipfile.ZipInfo
    shape: tuple[int, ...]
    dtype: np.dtype
    start: int
    size_bytes: int


def check_directory(tail: bytes) -> None:
    """Bound the archive's list of members before it is read, which takes memory for each of them.

    Args:
        tail: the last 64 KB of the file, or all of it.

    Raises:
        TraceFormatError: no archive, or one whose list is larger than a trace's.
    """
    at = tail.rfind(_END_OF_ARCHIVE)
    if at < 0 or len(tail) - at < _END_BYTES:
        raise TraceFormatError("this is not a readable trace file: it does not end as an archive does")
    members, size_bytes = int.from_bytes(tail[at + 10 : at + 12], "little"), int.from_bytes(tail[at + 12 : at + 16], "little")
    if members > MAX_MEMBERS or size_bytes > _DIRECTORY_BYTES or tail[max(0, at - 20) : at].startswith(b"PK\x06\x07"):
        raise TraceFormatError(f"the file lists {members} members in {size_bytes} bytes; a trace has at most {MAX_MEMBERS} members")


def check_members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The archive's members by array name, after checking names, number, kind and declared sizes; nothing is unpacked yet.

    Raises:
        TraceFormatError: naming the member that does not belong there or is missing.
    """
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = info.filename.removesuffix(".npy")
        if name not in DTYPES or not info.filename.endswith(".npy") or name in members:
            raise TraceFormatError(f"unexpected or repeated member {info.filename[:80]!r}")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 0x1:
            raise TraceFormatError(f"{info.filename} is encrypted or compressed in a way traces are not")
        members[name] = info
    missing = [name for name in REQUIRED if name not in members]
    if missing:
        raise TraceFormatError(f"the file lacks {', '.join(missing)}; it is not a trace")
    limit("content", sum(info.file_size for info in members.values()), MAX_CONTENT_BYTES)
    return members


def declared(archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo) -> Member:
    """What an array says of itself: type and shape, which must match its name and the member's size.

    Raises:
        TraceFormatError: naming the array, what it is and what was expected.
    """
    wanted = np.dtype(DTYPES[name])
    with archive.open(info) as member:
        head = member.read(min(info.file_size, 10))
        length = int.from_bytes(head[8:10], "little")
        if head[:8] != b"\x93NUMPY\x01\x00" or length > _NPY_HEADER_BYTES:
            raise TraceFormatError(f"{name} is not a version 1.0 .npy array")
        found = _NPY_HEADER.fullmatch(member.read(length).decode("latin-1"))
    if found is None:
        raise TraceFormatError(f"{name} has an array header that numpy does not write")
    shape = tuple(int(side) for side in re.findall(r"\d+", found[3]))
    dtype = _dtype(found[1])
    if dtype != wanted or found[2] == "True" or len(shape) > 5:
        raise TraceFormatError(f"{name} is {dtype or found[1]} {shape[:6]}, expected {wanted} in row-major order")
    start, size_bytes = 10 + length, math.prod(shape) * wanted.itemsize
    if size_bytes != info.file_size - start:
        raise TraceFormatError(f"{name} claims {size_bytes} bytes, its member holds {info.file_size - start}")
    return Member(name, info, shape, wanted, start, size_bytes)


def check_layout(header: Header, members: dict[str, Member]) -> None:
    """Check the shape of every array against the header and the bounds of a trace; nothing is unpacked yet.

    Raises:
        TraceFormatError: naming the array, its shape and what was expected.
    """
    check.check_prompt(header.prompt)
    check.check_columns(header.columns, header.prompt)
    grid, columns = header.model.grid, len(header.columns)
    if not all(1 <= side <= check.MAX_GRID for side in grid):
        raise TraceFormatError(f"the model's grid is {grid}: give y x, each 1..{check.MAX_GRID}")
    weight, image = members["weight"].shape, members["image"].shape
    if len(weight) != 1 or not 1 <= weight[0] <= check.MAX_STEPS:
        raise TraceFormatError(f"weight has shape {weight}: give one number per step, 1..{check.MAX_STEPS}")
    if len(image) != 3 or image[2] != 3 or not all(1 <= side <= check.MAX_IMAGE_PX for side in image[:2]):
        raise TraceFormatError(f"image has shape {image}: give H W 3, each side 1..{check.MAX_IMAGE_PX} px")
    steps, cells = weight[0], grid[0] * grid[1]
    _check_present(header.present, set(members), steps)
    check.check_amount(header.prompt, steps * cells, "attention" in members, columns)
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(STEP_ARRAYS, (steps, cells))
    shapes |= {"cutoff": (steps,), "passes": (steps,), "tokens": grid, "unmask_step": grid, "frames": (steps, *image)}
    for name, places in header.present.items():
        shape, recorded = members[name].shape, len(places)
        shapes[name] = (recorded, cells)
        if name == "attention":
            shapes[name] = (recorded, columns, cells)
        elif name == "attention_full":
            inner = shape[1:3] if len(shape) == 5 and all(1 <= side <= check.MAX_LAYERS for side in shape[1:3]) else (1, 1)
            shapes[name] = (recorded, *inner, columns, cells)
        elif name in ("alternatives", "alternative_probs"):
            ranks = members["alternatives"].shape[-1:] if "alternatives" in members else ()
            shapes[name] = (recorded, cells, *(ranks if ranks and 1 <= ranks[0] <= check.MAX_ALTERNATIVES else (1,)))
    _check_token_pictures(members)
    for name, expected in shapes.items():
        if name in members and members[name].shape != expected:
            hint = ": it is not the model's grid" if name in ("tokens", "unmask_step") else f" for {counted(steps, 'step')}"
            raise TraceFormatError(f"{name} has shape {members[name].shape}, expected {expected}{hint}")


def limit(what: str, size: int, most: int) -> None:
    """Refuse what is larger than a trace's.

    Raises:
        TraceTooLarge: naming both sizes.
    """
    if size > most:
        raise TraceTooLarge(what, size, most)


def _check_present(present: dict[str, list[int]], members: set[str], steps: int) -> None:
    stored = members & set(OPTIONAL_STEP_ARRAYS)
    if set(present) != stored:
        raise TraceFormatError(f"header and content disagree about {', '.join(sorted(set(present) ^ stored))}")
    for name, places in present.items():
        if not places or places != sorted(set(places)) or not 0 <= places[0] <= places[-1] < steps:
            raise TraceFormatError(f"present.{name} is {places[:8]}: give different steps, ascending, below {steps}")
    if present.get("alternatives") != present.get("alternative_probs"):
        raise TraceFormatError("alternatives need their probabilities at the same steps")


def _check_token_pictures(members: dict[str, Member]) -> None:
    ids, pictures = members.get("picture_ids"), members.get("pictures")
    if ids is None and pictures is None:
        return
    if ids is None or pictures is None or len(ids.shape) != 1 or len(pictures.shape) != 4 or ids.shape[0] != pictures.shape[0]:
        raise TraceFormatError("picture_ids and pictures do not belong together")
    if ids.shape[0] > check.MAX_TOKEN_PICTURES:
        raise TraceFormatError(f"{ids.shape[0]} token pictures: at most {check.MAX_TOKEN_PICTURES}")
    if pictures.shape[3] != 3 or not all(1 <= side <= check.MAX_TOKEN_PICTURE_PX for side in pictures.shape[1:3]):
        raise TraceFormatError(f"token pictures have shape {pictures.shape[1:]}: give p p 3, p from 1 to {check.MAX_TOKEN_PICTURE_PX}")
    limit("set of token pictures", pictures.size_bytes, check.MAX_TOKEN_PICTURE_BYTES)


def _dtype(text: str) -> np.dtype | None:
    try:
        return np.dtype(text)
    except TypeError:
        return None
