"""Writing files so that nothing is ever left half-written: the old file stays until the new one is complete on disk; and their order."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A place beside `path` to write to; what was written there becomes `path` in one step when the block ends without an error.

    For writers that take a path (Pillow, matplotlib, ffmpeg): the place has the same suffix. After an error the old file is as it was and
    the place is gone. A path that is no regular file (a pipe, a device) is written to directly.

    Args:
        path: the file to make or replace; its folder exists. A link is followed.

    Raises:
        OSError: when the folder cannot be written or the disk is full.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        yield path
        return
    place = path.with_name(f".{secrets.token_hex(4)}.part{path.suffix}")
    try:
        yield place
        with place.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(place, path)
    finally:
        place.unlink(missing_ok=True)


def write_atomically(path: str | Path, data: bytes | str) -> Path:
    """Write a whole file, text as UTF-8 with the line ends that it has; returns its path.

    Args:
        path, data: the file and all of its content.

    Raises:
        OSError: as `replacing`; the old file is then as it was.
    """
    with replacing(path) as place:
        place.write_bytes(data.encode() if isinstance(data, str) else data)
    return Path(path)


def append_whole(file: BinaryIO, data: bytes) -> None:
    """Add bytes at the end of a file and wait until they are on disk: all of them or, after an error, none.

    Args:
        file: opened to append, without a buffer (`buffering=0`), by the only writer.
        data: what is added.

    Raises:
        OSError: when the disk is full, say; the file then ends where it did.
    """
    before = os.fstat(file.fileno()).st_size
    left = memoryview(data)
    try:
        while left:
            left = left[file.write(left) :]
        os.fsync(file.fileno())
    except BaseException:
        # Half a line would be glued to the next one that is added. Interrupted by a key is as bad as a full disk.
        file.truncate(before)
        raise


def in_order(paths: Iterable[Path]) -> list[Path]:
    """Paths by their names as people sort them: 8 before 12."""
    return sorted(paths, key=lambda path: [part.zfill(9) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)])
