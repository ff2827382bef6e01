"""A small trace file and its members, for tests that take it apart and put it together wrongly."""

import io
import json
import zipfile

import numpy as np

from tests.factories import make_trace

TRACE = make_trace(grid=(6, 6), steps=5, image_px=48)
DATA = TRACE.to_bytes()


def members(data: bytes = DATA) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def packed(content: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, body in content.items():
            archive.writestr(name, body)
    return buffer.getvalue()


def array(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, values, version=(1, 0), allow_pickle=values.dtype == object)
    return buffer.getvalue()


def with_array(name: str, values: np.ndarray) -> bytes:
    return packed({**members(), f"{name}.npy": array(values)})


def read_header() -> dict:
    return json.loads(np.load(io.BytesIO(members()["header.npy"])).tobytes())


def with_header(**changes) -> bytes:
    text = json.dumps({**read_header(), **changes}).encode()
    return with_array("header", np.frombuffer(text, np.uint8))
