"""Pictures of steps: every one, every K-th, or only the finished one; what is decoded never changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.toy_backend import ToyBackend
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.run import Run
from uncage_demo.runner import compare, generate, stream
from uncage_demo.trace.frames import FRAMES_KEY, parse_frames
from uncage_demo.types import Prompt, TextToken

PROMPT = Prompt("a", (TextToken("<start>", 0, 0, True), TextToken("a", 0, 1)), ())


@pytest.mark.parametrize(
    ("value", "every"),
    [
        (True, 1),
        ("all", 1),
        (False, 0),
        ("none", 0),
        ("final", 0),
        (1, 1),
        (8, 8),
        ("every 8", 8),
        ("every:3", 3),
        (" Every 2 ", 2),
        ("4", 4),
    ],
)
def test_ways_to_say_it(value: Any, every: int) -> None:
    assert parse_frames(value) == every


@pytest.mark.parametrize("value", ["", "some", "every", "every 0", 0, -1, 257, "every x", 1.5, None])
def test_what_means_nothing_is_named(value: Any) -> None:
    with pytest.raises(ValueError, match=r'frames=.*give "all", "final"'):
        parse_frames(value)


class Counting(ToyBackend):
    """Counts the grids that it decodes."""

    decoded = 0

    def decode_tokens(self, tokens: Any) -> np.ndarray:
        self.decoded += len(tokens)
        return super().decode_tokens(tokens)


def test_fewer_pictures_are_decoded_and_nothing_else_changes() -> None:
    config = DecodingConfig("meissonic", 8)
    every = generate(Counting(), PROMPT, config)
    assert every.frames is not None
    for frames, steps in ((3, (0, 3, 6, 7)), ("every 7", (0, 7)), (20, (0, 7))):
        backend = Counting()
        trace = generate(backend, PROMPT, config, frames=frames)
        np.testing.assert_array_equal(trace.tokens, every.tokens)
        np.testing.assert_array_equal(trace.image, every.image)
        assert trace.frames is not None
        assert len(trace.frames) == 8
        for step in range(8):  # the last picture that was drawn stands for those that were not
            np.testing.assert_array_equal(trace.frames[step], every.frames[max(s for s in steps if s <= step)])
        assert backend.decoded <= len(steps) + 2  # the finished picture is the last step's; the first batches are tried singly, too
        assert trace.versions[FRAMES_KEY] == f"every {parse_frames(frames)}"
    assert FRAMES_KEY not in every.versions
    for frames in ("final", "none", False):
        backend = Counting()
        trace = generate(backend, PROMPT, config, frames=frames)
        assert trace.frames is None
        np.testing.assert_array_equal(trace.image, every.image)
        assert backend.decoded == 1


def test_runs_of_different_length_and_the_live_picture() -> None:
    configs = [DecodingConfig("meissonic", 3), DecodingConfig("random", 7)]
    traces = compare(ToyBackend(), PROMPT, configs, frames=2)
    assert [len(trace.frames) for trace in traces if trace.frames is not None] == [3, 7]
    for trace in traces:
        assert trace.frames is not None
        np.testing.assert_array_equal(trace.frames[-1], trace.image)
    shown = [item.frames for item in stream(ToyBackend(), [Run(PROMPT, configs[1])], frames=3)]
    assert all(frames is not None for frames in shown)
    assert shown[1] is not None
    np.testing.assert_array_equal(shown[1][0], shown[0][0])  # type: ignore[index]
    assert all(item.frames is None for item in stream(ToyBackend(), [Run(PROMPT, configs[1])], frames="none"))
