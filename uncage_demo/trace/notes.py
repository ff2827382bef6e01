"""Notes that people write on a step or a cell of a run. They travel in its trace file and say nothing about how it was decoded.

A file holds each note as one text among its header's versions ("note 1", "note 2", ...). Programs from before there were notes open such
files and keep those texts.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

MAX_NOTES = 100
MAX_NOTE_CHARS = 500
MAX_ALL_CHARS = 20_000
_JOINERS = "\n\u200c\u200d"  # emoji and some scripts need the last two
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
_KEY = re.compile(r"note [1-9][0-9]{0,3}")


@dataclass(frozen=True)
class Note:
    """One note.

    Args:
        step: the step that it is about, counted over the whole run from 0.
        text: 1 to 500 characters; never markup.
        cell: the cell that it is about, row-major; None for a note on the whole step.
    """

    step: int
    text: str
    cell: int | None = None

    def to_json(self) -> dict[str, Any]:
        """The note as JSON-able values, as trace files and the player have it."""
        return asdict(self)


def tidy(text: str) -> str:
    """A note's text as it is kept: line breaks and emoji stay; other control and formatting characters and blank ends go."""
    lines = re.sub(r"\r\n?", "\n", text).replace("\t", " ")
    return "".join(c for c in lines if c in _JOINERS or unicodedata.category(c) not in _UNSEEN).strip()


def problem_of(notes: Sequence[Note], first: int, last: int, cells: int) -> str:
    """What is wrong with the notes of a run; "" where nothing is.

    Args:
        notes: of any origin.
        first, last: steps that the run has.
        cells: n, of its grid.
    """
    if len(notes) > MAX_NOTES:
        return f"{len(notes)} notes: at most {MAX_NOTES}"
    total = sum(len(note.text) for note in notes)
    if total > MAX_ALL_CHARS:
        return f"the notes have {total} characters together: at most {MAX_ALL_CHARS}"
    for number, note in enumerate(notes, 1):
        if not 1 <= len(note.text) <= MAX_NOTE_CHARS:
            return f"note {number} has {len(note.text)} characters: give 1 to {MAX_NOTE_CHARS}"
        if note.text != tidy(note.text):
            return f"note {number} has control characters or blank ends"
        if not first <= note.step <= last:
            return f"note {number} is on step {note.step}: this run has steps {first} to {last}"
        if note.cell is not None and not 0 <= note.cell < cells:
            return f"note {number} is on cell {note.cell}: this run has cells 0 to {cells - 1}"
    return ""


def written(notes: Sequence[Note]) -> dict[str, str]:
    """What a file's versions say of the notes; nothing where there are none."""
    return {f"note {number}": json.dumps(note.to_json(), ensure_ascii=False) for number, note in enumerate(notes, 1)}


def taken_out(versions: dict[str, str]) -> list[str]:
    """The texts of the notes in their order, removed from a file's versions."""
    names = sorted((name for name in versions if _KEY.fullmatch(name)), key=lambda name: int(name.split()[1]))
    return [versions.pop(name) for name in names]
