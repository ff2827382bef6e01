"""How many of an object a text asks for, in all the usual forms: "two red cats", "a couple of cats", "cats: two", "some cats"."""

from __future__ import annotations

import re
from collections.abc import Sequence

from uncage_demo.prompt import lexicon as lex
from uncage_demo.prompt.words import Span, lowered
from uncage_demo.types import Word

_TIMES = re.compile(r"^(?:x(\d{1,4})|(\d{1,4})x)$")
_MOST = 4096


def number_of(lower: str) -> int | None:
    """The number that a word says by itself ("two", "2", "2x", "x2"), 1..4096; None where it says none."""
    if lower in lex.COUNTS:
        return lex.COUNTS[lower]
    match = _TIMES.match(lower.replace("×", "x"))
    digits = (match[1] or match[2]) if match else lower
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 4:
        return None
    return int(digits) if 1 <= int(digits) <= _MOST else None


def count_of(
    text: str, words: Sequence[Word | Span], group: Sequence[int], attributes: Sequence[Sequence[int]], name: str = ""
) -> tuple[int, tuple[int, ...]]:
    """How many of an object are asked for, and the indices of the words that say so.

    Args:
        text: what was typed; `words` are its words with their spans.
        group, attributes: the object's words and those of its attributes.
        name: the noun's canonical name, where it tells that a plural form names one thing ("glasses").

    Returns:
        (count >= 1, words): without a number, 2 for a plural and 1 for anything else.
    """
    lowers = [lowered(word.text) for word in words]
    noun = " ".join(lowers[i] for i in group)
    plural = lex.is_plural(noun) and name not in lex.PLURAL_OF_ONE
    first = min(index for part in (group, *attributes) for index in part if index <= group[0])
    before = _before(text, words, lowers, first, plural, noun)
    if before is None:
        before = _after(text, words, lowers, group)
    return before if before is not None else (2 if plural else 1, ())


def _before(
    text: str, words: Sequence[Word | Span], lowers: Sequence[str], first: int, plural: bool, noun: str
) -> tuple[int, tuple[int, ...]] | None:
    """The number on the left of a noun phrase that begins at word `first`."""
    said: list[int] = []
    pairs = False
    for k in range(first - 1, -1, -1):
        gap = text[words[k].end : words[k + 1].start]
        if gap.strip("\"'“”‘’ \t\r\n×") and not lex.COUNTS.get(lowers[k]):
            return None
        lower = lowers[k]
        number = number_of(lower)
        if number is not None:
            if gap.strip("\"'“”‘’ \t\r\n×(") and number > 1:
                return None
            return (number, (k, *said))
        if lower in ("pair", "pairs") and lowers[k + 1] == "of":
            if noun in lex.PLURAL_OF_ONE or not plural:  # "two pairs of glasses": the pairs are counted
                said.insert(0, k)
                if lower == "pair":
                    return (1, tuple(said))
                pairs = True
                continue
            return (2, (k, *said))
        if lower in lex.VAGUE_COUNTS and not (lower == "some" and not plural):
            return (lex.VAGUE_COUNTS[lower], (k, *said))
        if lower == "of" and k and (lowers[k - 1] in lex.VAGUE_COUNTS or number_of(lowers[k - 1]) is not None or lowers[k - 1] == "pairs"):
            said.insert(0, k)
            continue
        of_follows = any(lowers[m] == "of" and _counts(lowers[m - 1]) for m in range(max(1, k - 2), k))
        if lower in ("the", "these", "those", "my", "your", "his", "her", "its", "our", "their") and (
            of_follows or _counts(lowers[k - 1] if k else "")
        ):
            continue
        if lower in lex.COUNT_PASSES or lower in lex.DEGREE_WORDS or lower in lex.ADJECTIVES or lower in lex.COLORS or lower in lex.DUALS:
            continue
        if lower.endswith(("y", "ing", "ed", "en", "ish", "ful", "ous")) and k and _counts(lowers[k - 1]):
            continue
        break
    return (2, tuple(said)) if pairs else None


def _counts(lower: str) -> bool:
    return number_of(lower) is not None or lower in lex.VAGUE_COUNTS or lower in lex.COUNT_PASSES


def _after(text: str, words: Sequence[Word | Span], lowers: Sequence[str], group: Sequence[int]) -> tuple[int, tuple[int, ...]] | None:
    """The number behind a noun: "cats: two", "cats (2)", "cats x2", "cats x 2"."""
    k = group[-1] + 1
    if k >= len(words):
        return None
    gap = text[words[k - 1].end : words[k].start].strip()
    number = number_of(lowers[k])
    ends = k + 1 == len(words) or bool(text[words[k].end : words[k + 1].start].strip()) or lowers[k + 1] == "and"
    if number is not None and ends and (gap in (":", "(", "=", "×") or lowers[k].startswith("x")):
        return (number, (k,))
    if lowers[k] in ("x", "×") and k + 1 < len(words) and (number := number_of(lowers[k + 1])) is not None:
        return (number, (k, k + 1))
    return None
