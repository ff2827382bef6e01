"""Mutants of trace files: whatever is done to a file, it is refused with a short reason, or opened and shown.

python -m tests.fuzz_traces [--count 100000] [--seed 0]
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from typing import Any

import numpy as np

from tests.factories import make_trace
from tests.hostile_traces import header_in, packed, unpacked, with_header
from uncage_demo.player.payload import build_payload
from uncage_demo.trace.record import Trace, TraceFormatError

VALUES: tuple[Any, ...] = (None, True, -1, 0, 1, 3, 2**31, 10**400, 1.5, -0.0, 1e308, "", "a", "x" * 5000, "\ud7ff\u202e\0", [], {}, [[]])
NUMPY_WORDS = (b"'shape'", b"(", b")", b",", b"<f4", b"|O", b"True", b"9" * 30, b"'''", b"\\", b"\n", b"{", b"}")


def mutant(rng: np.random.Generator, members: dict[str, bytes], data: bytes) -> bytes:
    """One changed file.

    Args:
        rng: decides everything.
        members, data: of a good file, unpacked and whole.
    """
    kind = rng.integers(0, 6)
    if kind == 0:  # bytes of the file
        return _poked(rng, data, int(rng.integers(1, 8)))
    if kind == 1:  # cut
        return data[: int(rng.integers(0, len(data)))]
    if kind == 2:  # a value of the header
        header = header_in(members)
        for _ in range(int(rng.integers(1, 3))):
            _change(rng, header)
        return packed(with_header(members, header))
    name = str(rng.choice(list(members)))
    body = members[name]
    if kind == 3:  # bytes of an array
        return packed({**members, name: _poked(rng, body, int(rng.integers(1, 5)))})
    if kind == 4:  # the array's own header
        at, word = int(rng.integers(10, min(len(body), 110))), NUMPY_WORDS[rng.integers(0, len(NUMPY_WORDS))]
        return packed({**members, name: body[:at] + word + body[at + (len(word) if rng.random() < 0.7 else 0) :]})
    if rng.random() < 0.5:  # arrays change places, or one is missing
        return packed({key: value for key, value in members.items() if key != name})
    return packed({**members, name: members[str(rng.choice(list(members)))]})


def _poked(rng: np.random.Generator, data: bytes, times: int) -> bytes:
    changed = bytearray(data)
    for _ in range(times):
        changed[int(rng.integers(0, len(changed)))] = int(rng.integers(0, 256))
    return bytes(changed)


def _change(rng: np.random.Generator, value: Any) -> None:
    """Change one place of a tree of JSON values: another value, a repeated or a missing one."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = keys[int(rng.integers(0, len(keys)))]
        inner = value[key]
        if isinstance(inner, (dict, list)) and inner and rng.random() < 0.85:
            value = inner
            continue
        what = rng.random()
        if what < 0.1:
            del value[key]
        elif what < 0.2 and isinstance(value, list):
            value.extend([inner] * int(rng.integers(1, 600)))
        elif what < 0.25 and isinstance(value, dict):
            value["y" * int(rng.integers(1, 3000))] = inner
        else:
            value[key] = json.loads(json.dumps(VALUES[rng.integers(0, len(VALUES))]))
        return


def run(count: int, seed: int = 0, shown: float = 1.0) -> Counter[str]:
    """Open mutants; those that open are shown and written again.

    Args:
        count: number of mutants.
        seed: of all of them.
        shown: share of the opened ones that are made into a payload.

    Returns:
        How many were "opened" and "refused".

    Raises:
        AssertionError: with the number of a mutant that gave another error, or a message of 300 characters or more.
    """
    trace = make_trace(grid=(4, 4), steps=3, image_px=16, codebook_size=8)
    trace.token_pictures = {token: picture[:2, :2] for token, picture in trace.token_pictures.items()}
    data = trace.to_bytes()
    members = unpacked(data)
    results: Counter[str] = Counter()
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        try:
            opened = Trace.from_bytes(mutant(rng, members, data))
        except TraceFormatError as error:
            reason = str(error)
        except Exception as error:
            raise AssertionError(f"mutant {number} of seed {seed}: {type(error).__name__}: {str(error)[:200]}") from error
        else:
            results["opened"] += 1
            opened.to_bytes()
            if rng.random() < shown:
                build_payload([opened])
            continue
        assert 5 < len(reason) < 300, f"mutant {number} of seed {seed}: {len(reason)} characters: {reason}"
        results["refused"] += 1
    return results


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(dict(run(args.count, args.seed)))


if __name__ == "__main__":
    main()
