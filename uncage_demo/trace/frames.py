"""Of which steps a run has pictures: what people ask for, and how a trace says it."""

from __future__ import annotations

Frames = bool | int | str
FRAMES_KEY = "step_pictures"  # where Trace.versions says that not every step has a picture of its own ("every 8", "final")


def parse_frames(value: Frames) -> int:
    """How often the picture of a step is decoded: every how many steps, 0 = of no step.

    Args:
        value: True or "all" = every step; False, "none" or "final" = only the finished picture; K or "every K" = the first step and every
            K-th after it (the finished picture always comes).

    Raises:
        ValueError: naming the value and what is allowed.
    """
    text = str(value if isinstance(value, (bool, int, str)) else "").strip().lower().replace(":", " ")
    named = {"true": 1, "all": 1, "false": 0, "none": 0, "final": 0}
    if text in named:
        return named[text]
    count = text.removeprefix("every ").strip()
    if count.isascii() and count.isdigit() and len(count) <= 3 and 1 <= int(count) <= 256:
        return int(count)
    raise ValueError(f'frames={str(value)[:40]!r}: give "all", "final" (or "none") or "every K" with K from 1 to 256')


def frames_said(value: Frames) -> str:
    """The same in one form: "all", "final" or "every K".

    Raises:
        ValueError: as parse_frames.
    """
    every = parse_frames(value)
    return "final" if every == 0 else "all" if every == 1 else f"every {every}"


def recorded_frames(value: Frames) -> dict[str, str]:
    """What a trace says of it among its versions: nothing where every step has its picture."""
    said = frames_said(value)
    return {} if said == "all" else {FRAMES_KEY: said}


def of_every_step(versions: dict[str, str]) -> dict[str, str]:
    """The versions of a run whose steps all have pictures, or are to get them."""
    return {name: text for name, text in versions.items() if name != FRAMES_KEY}


def frames_told(versions: dict[str, str]) -> str:
    """Inverse of recorded_frames, from a file, so of anything: "all" where nothing readable is said."""
    try:
        return frames_said(str(versions.get(FRAMES_KEY, "all")))
    except ValueError:
        return "all"
