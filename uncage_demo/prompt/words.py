"""Words of a text with their character spans: letters of any script, hyphens, apostrophes, emoji. Knows no grammar."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from uncage_demo.types import TextToken

SOFT_BREAKS = frozenset(",，、/|()[]{}:–—")
HARD_BREAKS = frozenset(".;!?。！？；")
APOSTROPHES = "'’ʼ"
HYPHENS = "-‐‑"
# Signs that show nothing and part nothing: soft hyphen, zero-width space and joiners, byte order mark.
INVISIBLE = "\u00ad\u200b\u200c\u200d\u2060\ufeff"
_SEEN = str.maketrans(dict.fromkeys(INVISIBLE))


@dataclass(frozen=True)
class Span:
    """One word (or, with `stop` > 0, a break between phrases) and where it stands. stop: 0 word, 1 comma-like, 2 full stop."""

    text: str
    start: int
    end: int
    stop: int = 0

    @property
    def lower(self) -> str:
        """The word as word lists have it."""
        return lowered(self.text)


def lowered(word: str) -> str:
    """The form that word lists are asked for: lower case, straight apostrophes and hyphens, nothing invisible in a word of letters."""
    text = word.translate(_SEEN) if _is_letter(word[:1] or " ") else word
    return unicodedata.normalize("NFC", text.lower().replace("’", "'").replace("ʼ", "'").replace("‐", "-").replace("‑", "-"))


def split(text: str) -> list[Span]:
    """Words and breaks of a text, with character spans.

    A word is a run of letters, digits and their marks, with apostrophes, hyphens and invisible signs inside it; "'s" is a word of its own,
    and so is the apostrophe of "dogs' bowls"; an emoji with its modifiers is one word; "&" and "+" are words. An empty line is a break, a
    line's end is a blank. Other signs are passed over.
    """
    spans: list[Span] = []
    i, n = 0, len(text)
    while i < n:
        char = text[i]
        if _is_letter(char):
            j = i + 1
            while j < n and (_is_letter(text[j]) or _joins(text, j)):
                j += 1
            cut = j - 2 if j - i > 2 and text[j - 1] in "sS" and text[j - 2] in APOSTROPHES else j
            spans.append(Span(text[i:cut], i, cut))
            if cut < j:
                spans.append(Span(text[cut:j], cut, j))
            i = j
        elif unicodedata.category(char) == "So":
            j = _emoji_end(text, i)
            spans.append(Span(text[i:j], i, j))
            i = j
        else:
            if char in "&+" or (char in APOSTROPHES and _owns(text, i)):
                spans.append(Span(char, i, i + 1))
            elif _parts_phrases(text, i):
                spans.append(Span(char, i, i + 1, 1))
            elif char in HARD_BREAKS:
                spans.append(Span(char, i, i + 1, 2))
            i += 1
    return spans


def _is_letter(char: str) -> bool:
    return unicodedata.category(char)[0] in "LNM"


def _parts_phrases(text: str, i: int) -> bool:
    """Whether the sign at i is a break like a comma: one of them, a dash after a blank, or the end of an empty line."""
    if text[i] == "\n":
        return not text[:i].rpartition("\n")[2].strip() and bool(text[:i].strip())
    return text[i] in SOFT_BREAKS or (text[i] in HYPHENS and text[i - 1 : i].isspace())


def _joins(text: str, i: int) -> bool:
    """Whether the sign at i belongs to the word around it: letters on both sides, and an apostrophe, hyphen or invisible sign there."""
    if text[i] in INVISIBLE:
        after = next((char for char in text[i:] if char not in INVISIBLE), " ")
        return _is_letter(after)
    return text[i] in APOSTROPHES + HYPHENS and i + 1 < len(text) and _is_letter(text[i + 1])


def _owns(text: str, i: int) -> bool:
    """Whether the apostrophe at i makes owners of the word before it ("two dogs' bowls") and does not end a quotation."""
    owners = text[i - 1 : i] in ("s", "S") and text[i + 1 : i + 2].isspace() and _is_letter(text[i + 2 : i + 3] or " ")
    opened = any(text[k] in "'‘" and _is_letter(text[k + 1]) and not _is_letter(text[k - 1 : k] or " ") for k in range(i - 1))
    return owners and not opened


def _emoji_end(text: str, start: int) -> int:
    """End of the emoji that begins at `start`: variation selectors, skin tones, joined signs, and the second half of a flag."""
    end = start + 1
    if _is_flag_letter(text[start]) and end < len(text) and _is_flag_letter(text[end]):
        return end + 1
    while end < len(text):
        if text[end] in "\ufe0e\ufe0f" or 0x1F3FB <= ord(text[end]) <= 0x1F3FF:
            end += 1
        elif text[end] == "\u200d" and end + 1 < len(text) and unicodedata.category(text[end + 1]) in ("So", "Sk"):
            end += 2
        else:
            break
    return end


def _is_flag_letter(char: str) -> bool:
    return 0x1F1E6 <= ord(char) <= 0x1F1FF


class WordReader:
    """Reads words where no text encoder is loaded: every word is one token, every word can be drawn."""

    vocabulary = None

    def tokenize(self, text: str) -> tuple[tuple[TextToken, ...], str]:
        """One token per word, split at blanks and punctuation."""
        return tuple(TextToken(m.group(), m.start(), m.end()) for m in re.finditer(r"\w+|[^\w\s]", text)), ""
