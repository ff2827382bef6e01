"""Trace files that a visitor opens: one, several at once, or those in a .zip as the page gives them away. Nothing in them is trusted."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from uncage_demo.files import in_order
from uncage_demo.trace.file import MAX_FILE_BYTES, load_trace
from uncage_demo.trace.layout import MAX_CONTENT_BYTES, check_directory, limit
from uncage_demo.trace.record import Trace, TraceFormatError
from uncage_demo.ui.api_files import MAX_SENT_BYTES
from uncage_demo.ui.settings import MAX_STAGES

KINDS = [".npz", ".zip"]
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError)


def read_traces(paths: Sequence[str | Path]) -> list[Trace]:
    """The runs of some files, in the order of their names. All of them together are bounded as one run is.

    Args:
        paths: trace files, and archives of trace files.

    Raises:
        TraceFormatError: too many runs, runs that do not belong together, or what is wrong with which file.
    """
    given = [(path, _trace_files_in(path)) for path in in_order(map(Path, paths[: MAX_STAGES + 1]))]
    count = sum(len(infos) or 1 for _, infos in given)
    if not 1 <= count <= MAX_STAGES:
        raise TraceFormatError(f"{count} trace files: open 1 to {MAX_STAGES} at once")
    # What is in a hostile archive may be a thousand times as large: no more is unpacked than one trace file may have.
    limit("archive", sum(info.file_size for _, infos in given for info in infos), MAX_FILE_BYTES)
    traces: list[Trace] = []
    left = MAX_CONTENT_BYTES
    with tempfile.TemporaryDirectory() as folder:
        for path, infos in given:
            for file in _unzipped(path, infos, Path(folder)) if infos else [path]:
                with _about(file if count > 1 else None):
                    traces.append(load_trace(file, max_bytes=min(left, MAX_SENT_BYTES)))
                    left -= _content_bytes(file)
    first = traces[0]
    if any((trace.model.id, trace.grid) != (first.model.id, first.grid) for trace in traces):
        raise TraceFormatError("the runs are of different models: open those of one model at once")
    return traces


def _unzipped(path: Path, infos: Sequence[zipfile.ZipInfo], folder: Path) -> Iterator[Path]:
    """The trace files in an archive, one after the other; each is gone with the next."""
    with _about(path), zipfile.ZipFile(path) as archive:
        for info in infos:
            # A name in an archive may lead anywhere: only its last part is used.
            file = folder / Path(info.filename.replace("\\", "/")).name[-100:]
            with archive.open(info) as packed, file.open("wb") as place:
                shutil.copyfileobj(packed, place)
            yield file
            file.unlink()


def _trace_files_in(path: Path) -> list[zipfile.ZipInfo]:
    """The trace files that an archive lists; none where the file is no archive of them, but a trace file or nothing of the kind."""
    with path.open("rb") as file:
        limit("file", file.seek(0, 2), MAX_FILE_BYTES)
        file.seek(-min(file.tell(), 1 << 16), 2)
        check_directory(file.read())
    with _about(None), zipfile.ZipFile(path) as archive:
        named = [info for info in archive.infolist() if info.filename.endswith(".npz") and not info.filename.startswith("__MACOSX/")]
        if any(info.flag_bits & 0x1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for info in named):
            raise TraceFormatError(f"{path.name[:60]} is encrypted or compressed in a way archives of traces are not")
        return named


def _content_bytes(path: Path) -> int:
    """What the arrays of a trace file take; it has been read, so its sizes are true."""
    with zipfile.ZipFile(path) as archive:
        return sum(info.file_size for info in archive.infolist())


@contextmanager
def _about(path: Path | None) -> Iterator[None]:
    """Whatever cannot be read is a TraceFormatError that names the file, if one is given."""
    name = f"{path.name[:60]}: " if path else ""
    try:
        yield
    except TraceFormatError as error:
        raise TraceFormatError(f"{name}{error}") from error
    except _UNREADABLE as error:
        raise TraceFormatError(f"{name}this is not a readable trace file: {error}") from error
