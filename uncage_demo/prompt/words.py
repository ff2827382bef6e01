"""Words of a text with their character spans: letters of any script, hyphens, apostrophes, emoji. Knows no grammar."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

SOFT_BREAKS = frozenset(",，、/|()[]{}:–—\n")
HARD_BREAKS = frozenset(".;!?。！？；")
APOSTROPHES = "'’ʼ"
HYPHENS = "-‐‑"


@dataclass(frozen=True)
class Span:
    """One word (or, with `stop` > 0, a break between phrases) and where it stands. stop: 0 word, 1 comma-like, 2 full stop."""

    text: str
    start: int
    end: int
    stop: int = 0

    @property
    def lower(self) -> str:
        """The form that word lists are asked for: lower case, straight apostrophes and hyphens."""
        return unicodedata.normalize("NFC", self.text.lower().replace("’", "'").replace("ʼ", "'").replace("‐", "-").replace("‑", "-"))


def split(text: str) -> list[Span]:
    """Words and breaks of a text, with character spans.

    A word is a run of letters, digits and their marks, with apostrophes and hyphens inside it; "'s" is a word of its own; an emoji with its
    modifiers is one word; "&" and "+" are words. Other signs are passed over.
    """
    spans: list[Span] = []
    i, n = 0, len(text)
    while i < n:
        char = text[i]
        if _is_letter(char):
            j = i + 1
            while j < n and (_is_letter(text[j]) or (text[j] in APOSTROPHES + HYPHENS and j + 1 < n and _is_letter(text[j + 1]))):
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
            if char in "&+":
                spans.append(Span(char, i, i + 1))
            elif char in SOFT_BREAKS or (char in HYPHENS and text[i - 1 : i].isspace()):
                spans.append(Span(char, i, i + 1, 1))
            elif char in HARD_BREAKS:
                spans.append(Span(char, i, i + 1, 2))
            i += 1
    return spans


def _is_letter(char: str) -> bool:
    return unicodedata.category(char)[0] in "LNM"


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
