"""A small trace file and its members, for tests that take it apart and put it together wrongly."""

import json

import numpy as np

from tests.factories import make_trace
from tests.hostile_traces import header_in, packed, unpacked
from tests.hostile_traces import npy as array
from uncage_demo.trace.record import Trace

TRACE = make_trace(grid=(6, 6), steps=5, image_px=48)
DATA = TRACE.to_bytes()


def members(data: bytes = DATA) -> dict[str, bytes]:
    return unpacked(data)


def with_array(name: str, values: np.ndarray) -> bytes:
    return packed({**members(), f"{name}.npy": array(values)})


def read_header() -> dict:
    return header_in(members())


def with_header(**changes) -> bytes:
    text = json.dumps({**read_header(), **changes}).encode()
    return with_array("header", np.frombuffer(text, np.uint8))


def assert_equal(one: Trace, other: Trace) -> None:
    for name in ("prompt", "config", "model", "columns", "lineage", "timings_s", "versions", "created"):
        assert getattr(one, name) == getattr(other, name), name
    for name in ("tokens", "unmask_step", "image", "frames"):
        assert_same_array(getattr(one, name), getattr(other, name))
    assert one.token_pictures.keys() == other.token_pictures.keys()
    for token, picture in one.token_pictures.items():
        assert_same_array(picture, other.token_pictures[token])
    assert len(one.steps) == len(other.steps)
    for a, b in zip(one.steps, other.steps, strict=True):
        for name, value in vars(a).items():
            if isinstance(value, np.ndarray):
                assert_same_array(value, getattr(b, name))
            else:
                assert value == getattr(b, name), name


def assert_same_array(one: np.ndarray | None, other: np.ndarray | None) -> None:
    if one is None or other is None:
        assert one is other
    else:
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)
