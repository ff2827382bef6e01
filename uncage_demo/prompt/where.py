"""Where a text asks objects to be: on a side of the picture or beside another object, said before or after the object.

"on the left a cat", "a cat on the left", "a cat and to its left a dog", "to the right of a dog is a cat", "left: cat".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from uncage_demo.prompt import lexicon as lex
from uncage_demo.prompt.words import HARD_BREAKS, SOFT_BREAKS, Span
from uncage_demo.types import Subject, Vocabulary

_LEADING = frozenset(
    [
        "on",
        "to",
        "at",
        "in",
        "the",
        "its",
        "his",
        "her",
        "their",
        "it's",
        "far",
        "just",
        "is",
        "are",
        "placed",
        "located",
        "positioned",
        "standing",
        "sitting",
        "seated",
        "lying",
        "sits",
        "stands",
    ]
)
_TRAILING = frozenset(["side", "hand", "half", "part", "edge", "corner"])
_PICTURE = frozenset(["picture", "image", "photo", "photograph", "frame", "scene", "screen", "canvas", "painting", "drawing", "view"])
_ANAPHORS = frozenset(["it", "him", "her", "them", "that", "this"])
_OWNERS = frozenset(["its", "his", "her", "their"])
_JOINS = frozenset(["and", "or", "while", "whereas", "but", "plus", "&", "+"])
_NO_SIDE = frozenset(
    [
        "next",
        "beside",
        "behind",
        "near",
        "by",
        "in",
        "at",
        "on",
        "above",
        "below",
        "after",
        "under",
        "over",
        "now",
        "there",
        "here",
        "in-front",
    ]
)
_SIDES = frozenset(["left", "right", "top", "bottom"])


@dataclass(frozen=True)
class Where:
    """One position that a text asks for.

    Args:
        subject: index of the object that is to be there.
        position: canonical position ("left").
        other: index of the object that it is seen from; None = a side of the picture.
        word: index of the word that says it.
        in_order: whether the text says it in the order in which captions say it: the object, the position, the other object.
    """

    subject: int
    position: str
    other: int | None
    word: int
    in_order: bool


@dataclass(frozen=True)
class _Mention:
    first: int
    last: int
    subject: int
    own: bool = True  # False for a later mention of an object ("a bear and a turtle, the bear on the left")


class PositionReader:
    """Reads the positions of one text.

    Args:
        text: what was typed; words: its words.
        names: canonical noun of each word that names an object, else "".
        subjects: the objects found.
        vocabulary: gives positions, places and aliases.
    """

    def __init__(self, text: str, words: Sequence[Span], names: Sequence[str], subjects: Sequence[Subject], vocabulary: Vocabulary) -> None:
        self.text, self.words, self.vocabulary = text, words, vocabulary
        self.lowers = [word.lower for word in words]
        self.mentions = self._mentions(names, subjects)
        self.at = {i: name for i in range(len(words)) if (name := self._position(i))}

    def read(self) -> tuple[list[Where], set[int]]:
        """(positions that can be told in a caption, position words that say nothing that can)."""
        found: list[Where] = []
        lost: set[int] = {i for i, lower in enumerate(self.lowers) if self._canonical(i) in self.vocabulary.positions and i not in self.at}
        lost -= {i for i in lost if self._says_place(i)}
        first_mention = self.mentions[0].first if self.mentions else len(self.words)
        leading = bool(self.at) and min(self.at) < first_mention and self._relation(min(self.at)) is None
        taken: set[int] = set()
        for i, name in self.at.items():
            where = self._where(i, name, leading, taken)
            if where is None or where.subject == where.other:
                lost.add(i)
                continue
            taken.add(where.subject)
            found.append(where)
        told = [w for w in found if sum(o.subject == w.subject for o in found) == 1]
        relation = next((w for w in told if w.other is not None), None)
        if relation is not None:
            told = [relation]
        return told, lost | {w.word for w in found if w not in told}

    def _mentions(self, names: Sequence[str], subjects: Sequence[Subject]) -> list[_Mention]:
        own = {s.object[0]: (s.object[-1], index) for index, s in enumerate(subjects)}
        inside = {i for s in subjects for i in s.object}
        mentions = []
        for i, name in enumerate(names):
            if i in own:
                mentions.append(_Mention(i, own[i][0], own[i][1]))
            elif name and i not in inside:
                again = next((index for index, s in enumerate(subjects) if s.noun == name), None)
                if again is not None and not (i + 1 < len(names) and self.lowers[i + 1] in ("'s", "'")):
                    mentions.append(_Mention(i, i, again, own=False))
        return mentions

    def _canonical(self, i: int) -> str:
        return self.vocabulary.canonical(self.lowers[i])

    def _says_place(self, i: int) -> bool:
        """Whether the word only leads to a place: "under the sea"."""
        following = next((k for k in range(i + 1, min(i + 3, len(self.words))) if self.lowers[k] not in lex.DETERMINERS), None)
        if following is None or self._parted(i, following):
            return False
        return self._canonical(following) in self.vocabulary.places

    def _position(self, i: int) -> str:
        name = self._canonical(i)
        if name not in self.vocabulary.positions or self._says_place(i):
            return ""
        after = self.lowers[i + 1] if i + 1 < len(self.words) else ""
        adverb = self.lowers[i] == "right" and after in _NO_SIDE and not (i and self.lowers[i - 1] in ("the", "its"))
        return "" if adverb else name

    def _parted(self, start: int, end: int) -> str:
        """What parts word `start` from word `end`: "", "," or "and" (which is also said for a full stop)."""
        if any(self.lowers[k] in _JOINS for k in range(start + 1, end)):
            return "and"
        gaps = "".join(self.text[self.words[k].end : self.words[k + 1].start] for k in range(start, min(end, len(self.words) - 1)))
        if any(sign in HARD_BREAKS for sign in gaps):
            return "and"
        return "," if any(sign in SOFT_BREAKS for sign in gaps) else ""

    def _phrase(self, i: int) -> tuple[int, int]:
        """First and last word of the position's phrase: "on the left-hand side of the picture"."""
        start = i
        while start and self.lowers[start - 1] in _LEADING and not self._parted(start - 1, start):
            start -= 1
        end = i
        while end + 1 < len(self.words) and self.lowers[end + 1] in _TRAILING and not self._parted(end, end + 1):
            end += 1
        if end + 1 < len(self.words) and self.lowers[end + 1] == "of":
            k = end + 2
            while k < len(self.words) and self.lowers[k] in lex.DETERMINERS:
                k += 1
            if k < len(self.words) and self.lowers[k] in _PICTURE:
                end = k
        return start, end

    def _relation(self, i: int) -> _Mention | str | None:
        """What the position is seen from: an object's mention, a word for the last one ("it"), or None for the picture."""
        _, end = self._phrase(i)
        if self.lowers[end] in _PICTURE and end > i:
            return None
        k = end + 1
        if k < len(self.words) and self.lowers[k] == "of":
            k += 1
        elif self.lowers[i] in _SIDES:
            return None
        following = next((m for m in self.mentions if m.first >= k), None)
        if k < len(self.words) and self.lowers[k] in _ANAPHORS and self.lowers[k] not in ("that", "this") and not self._parted(end, k):
            return "it"
        if following is None or self._parted(end, following.first):
            return None
        return following

    def _where(self, i: int, name: str, leading: bool, taken: set[int]) -> Where | None:
        start, end = self._phrase(i)
        owner = any(self.lowers[k] in _OWNERS for k in range(start, i))
        seen_from = "it" if owner else self._relation(i)
        before = [m for m in self.mentions if m.last < start]
        prev = before[-1] if before else None
        parted = self._parted(prev.last, start) if prev else "and"
        if isinstance(seen_from, _Mention):
            return self._seen_from(i, name, seen_from, prev, parted)
        after = [m for m in self.mentions if m.first > end]
        following = after[0] if after else None
        if seen_from == "it":
            if prev and not parted and len(before) > 1 and before[-2].subject != prev.subject:
                return Where(prev.subject, name, before[-2].subject, i, False)
            return Where(following.subject, name, prev.subject, i, False) if prev and following else None
        ahead = following is not None and self._parted(end, following.first) != "and"
        if leading and ahead and following:
            return Where(following.subject, name, None, i, False)
        if prev and not parted and not (prev.subject in taken and ahead and following):
            in_order = following is None or bool(self._parted(i, following.first)) or "with" in self.lowers[i : following.first]
            return Where(prev.subject, name, None, i, in_order and prev.own)
        directly = following is not None and not self._parted(end, following.first)
        if following and ahead and (parted == "and" or directly or not prev):
            return Where(following.subject, name, None, i, False)
        if prev is None:
            return None
        return Where(prev.subject, name, None, i, False)

    def _seen_from(self, i: int, name: str, seen_from: _Mention, prev: _Mention | None, parted: str) -> Where | None:
        later = next((m for m in self.mentions if m.first > seen_from.last), None)
        between = self._parted(seen_from.last, later.first) if later else "and"
        if prev and not parted:
            adjacent = prev.own and seen_from.own and prev.subject + 1 == seen_from.subject
            return Where(prev.subject, name, seen_from.subject, i, adjacent)
        if later and (between == "" or (between == "," and prev is None)):
            return Where(later.subject, name, seen_from.subject, i, False)
        return Where(prev.subject, name, seen_from.subject, i, False) if prev else None
