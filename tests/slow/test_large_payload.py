"""The payload of a large model's pair with eight objects stays small enough to send."""

import json

from tests.factories import make_trace
from uncage_demo.player.payload import build_payload

EIGHT = " and ".join(f"a {color} thing{i}" for i, color in enumerate(("red", "blue", "green", "pink", "black", "white", "gray", "brown")))


def test_large_pair_fits_six_megabytes():
    traces = [
        make_trace(0, grid=(32, 32), steps=64, prompt_text=EIGHT, order=order, codebook_size=512) for order in ("meissonic", "uncage")
    ]
    built = build_payload(traces)
    assert len(built["prompt"]["subjects"]) == 8
    assert len(json.dumps(built, allow_nan=False, separators=(",", ":"))) <= 6_000_000
