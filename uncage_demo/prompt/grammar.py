"""The grammar of picture prompts: words with spans -> noun phrases with their attributes.

A rule-based reader in two passes: every word gets a part of speech (`tagging`); then one scan from left to right builds the phrases.
No model, no download, linear in the length of the text.

What it does not know: which of several nouns a trailing clause means ("a cat and a dog that are black" gives "black" to the dog, the
nearest), gapping ("a red and a blue car" leaves "red" without an object), or languages other than English. The page lets users correct it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from uncage_demo.prompt import lexicon as lex
from uncage_demo.prompt.tagging import (
    ADV,
    ATTR,
    BREAK,
    CONJ,
    COP,
    DESCRIBE,
    DET,
    DUAL,
    FRAME,
    NEG,
    NOUN,
    OTHER,
    PART,
    POSITION,
    POSS,
    REL,
    RELATION,
    SUFFIX,
    VERB,
    base_tag,
    requests,
    settle,
    style_spans,
)
from uncage_demo.prompt.words import Span

# Words that a closed vocabulary need not hold: the picture is the same without them
_PLAIN_WORDS = lex.PLAIN_RELATIONS | lex.DEGREE_WORDS | {"it", "they", "them", "there", "itself", "both", "all", "1", "one"}

# Breaks that add what follows to the noun before
_ADDING = frozenset("([:=-–—")


@dataclass
class Phrase:
    """A noun phrase under construction: word indices of the object, and of each attribute."""

    object: tuple[int, ...]
    attributes: list[tuple[int, ...]] = field(default_factory=list)


@dataclass(frozen=True)
class Meaning:
    """What a closed vocabulary says of a word: kind "object", "color" or "other", canonical form, and how many words it spans."""

    kind: str
    name: str
    length: int = 1


@dataclass
class Reading:
    """Result of `read`.

    Args:
        phrases: noun phrases in order.
        loose: attribute words that belong to none.
        unknown: words that a closed vocabulary does not cover.
        tags: part of speech of each word.
    """

    phrases: list[Phrase]
    loose: list[int]
    unknown: list[int]
    tags: list[int]


def _compounds(spans: Sequence[Span]) -> list[int]:
    """Where a name of two words begins ("hot dog", "teddy bears")."""
    pairs = ((i, spans[i].lower, spans[i + 1].lower) for i in range(len(spans) - 1) if not spans[i].stop and not spans[i + 1].stop)
    return [i for i, first, second in pairs if {(first, second), (first, second.removesuffix("s"))} & lex.COMPOUNDS]


def read(spans: Sequence[Span], meanings: Sequence[Meaning | None] | None = None) -> Reading:
    """Noun phrases of a text.

    Args:
        spans: words and breaks in order (`split`).
        meanings: None for an open vocabulary; else what the closed vocabulary says of each span (None = not in it, and for breaks).

    Returns:
        phrases whose indices count words only (breaks are not counted).
    """
    return _Reader(spans, meanings).run()


class _Reader:
    """The left-to-right scan; its fields are the state that a reader of the sentence would keep in mind."""

    def __init__(self, spans: Sequence[Span], meanings: Sequence[Meaning | None] | None) -> None:
        self.spans, self.meanings = spans, meanings
        base = [BREAK if s.stop else base_tag(s.lower) for s in spans]
        for i in range(1, len(spans)):
            if base[i] == POSS and spans[i - 1].lower in lex.BEFORE_IS:  # "an apple that's green"
                base[i] = COP
        self.unknown = [False] * len(spans)
        if meanings is not None:
            base = [self._closed_tag(i, tag) for i, tag in enumerate(base)]
        else:
            passed = requests(spans) | style_spans(spans, base)
            base = [OTHER if i in passed and tag != BREAK else tag for i, tag in enumerate(base)]
            for i in _compounds(spans):
                base[i] = base[i + 1] = NOUN
        self.tags, self.leads, self.direct = settle(spans, base, guess=meanings is None)
        counted = 0
        self.words = [span for span in spans if not span.stop]
        self.word_of: list[int] = []
        for span in spans:
            self.word_of.append(counted)
            counted += not span.stop
        self.phrases: list[Phrase] = []
        self.loose: list[int] = []
        self.pending: list[tuple[int, ...]] = []  # attributes that wait for their noun
        self.last: Phrase | None = None  # the nearest noun phrase
        self.head: Phrase | None = None  # the nearest one that no preposition introduced: what "is red" speaks of
        self.target: Phrase | None = None  # set after "is", "painted", "in": what a bare attribute describes
        self.definite: list[bool] = []  # for each phrase, whether "the" introduced it
        self.by_relation = self.relative = self.negated = self.owns = self.the = False

    def _closed_tag(self, i: int, tag: int) -> int:
        """The tag of span i under the closed vocabulary; notes the words it does not cover."""
        assert self.meanings is not None
        meaning, lower = self.meanings[i], self.spans[i].lower
        if tag == BREAK:
            return tag
        if meaning is None:
            plain = tag in (DET, CONJ, REL, COP, DESCRIBE) or lower in _PLAIN_WORDS
            frame = tag == FRAME and i + 1 < len(self.spans) and self.spans[i + 1].lower == "of"
            self.unknown[i] = not (plain or frame)
            return tag
        if meaning.kind == "object":
            return NOUN
        if meaning.kind == "color":
            return DUAL if tag == DUAL else ATTR
        return OTHER if tag in (NOUN, DUAL, SUFFIX, PART, VERB, POSITION, FRAME, NEG) else tag

    def run(self) -> Reading:
        """Scan once from left to right."""
        i = 0
        while i < len(self.spans):
            i = self._step(i)
        self._drop_pending()
        unknown = [self.word_of[i] for i, flag in enumerate(self.unknown) if flag]
        tags = [tag for tag, span in zip(self.tags, self.spans, strict=True) if not span.stop]
        return Reading(self.phrases, sorted(set(self.loose)), unknown, tags)

    def _step(self, i: int) -> int:
        """Read the word at i; returns the index of the next one to read."""
        tag, lower = self.tags[i], self.spans[i].lower
        color_follows = i + 1 < len(self.spans) and self.tags[i + 1] == ATTR and self.spans[i + 1].lower in lex.COLORS
        if lower in lex.SHADES and color_follows and tag in (NOUN, ATTR) and self.meanings is None:
            self._attribute((i, i + 1), i + 1)
            return i + 2
        if tag == NOUN:
            return self._noun(i)
        if tag == ATTR:
            self._attribute((i,), i)
        elif tag == BREAK:
            if self.spans[i].stop == 2:
                self._drop_pending()
                self.head = self.target = None
                self.negated = self.by_relation = self.owns = False
        elif tag == DET:
            self._drop_pending()
            self.target, self.the = None, lower == "the"
        elif tag == RELATION:
            self._drop_pending()
            described = i > 0 and self.tags[i - 1] == DESCRIBE
            self.target = self.target if described else (self.last if lower == "in" else None)
            self.by_relation = not (i > 0 and self.tags[i - 1] == FRAME)
            self.relative, self.owns = False, lower in ("with", "has", "have", "having")
        elif tag == REL:
            self.relative = True
        elif tag in (COP, DESCRIBE):
            self._drop_pending()
            self.target = self.last if self.relative or tag == DESCRIBE else (self.head or self.last)
            self.relative = False
        elif tag == NEG:
            self._drop_pending()
            self.negated = True
        elif tag == VERB:
            self._drop_pending()
            self.target, self.by_relation, self.owns, self.relative = None, True, False, False
        elif tag == FRAME:
            self._drop_pending()
        return i + 1

    def _drop_pending(self) -> None:
        self.loose += [self.word_of[i] for group in self.pending for i in group]
        self.pending = []

    def _attribute(self, group: tuple[int, ...], end: int) -> None:
        """An attribute whose last word is span `end`: wait for a noun, or describe one that came before."""
        if any(self.unknown[i] for i in group):
            return
        words = tuple(self.word_of[i] for i in group)
        noun_before = group[0] > 0 and (self.tags[group[0] - 1] == NOUN or self._is_added(group[0]))
        if self.negated and not self.leads[end]:
            self.negated = False
        elif self.direct[end] or (self.leads[end] and self.target is None):
            self.pending.append(group)
        elif self.target is not None:
            self.target.attributes.append(words)
        elif noun_before and self.last is not None:
            self.last.attributes.append(words)
        else:
            self.loose += words

    def _is_added(self, i: int) -> bool:
        """Whether the attribute at i is added to the noun before it: "apple (green)", "apple: green"."""
        return i > 1 and self.spans[i - 1].text in _ADDING and self.tags[i - 2] == NOUN

    def _noun(self, i: int) -> int:
        """The run of nouns that begins at i."""
        j = i + 1
        while j < len(self.spans) and self.tags[j] == NOUN and not self._is_known_color(j):
            j += 1
        if self._describes_before(i):
            self._attribute((i,), i)
            return i + 1
        if self.meanings is not None:
            return self._closed_nouns(i, j)
        group = tuple(range(i, j))
        has_owner_sign = j < len(self.spans) and self.tags[j] == POSS
        if has_owner_sign and j + 1 < len(self.spans) and (self.tags[j + 1] == NOUN or (self.tags[j + 1] == ATTR and self.direct[j + 1])):
            self.pending.append(group)
            return j + 1
        words = tuple(self.word_of[k] for k in group)
        owner = self.head or self.last
        if self.negated:
            self.pending, self.negated = [], False
        elif j < len(self.spans) and self.tags[j] == FRAME:  # "an oil painting of"
            self._drop_pending()
        elif self.owns and owner is not None and self.spans[j - 1].lower in lex.BODY_PARTS:
            described = tuple(self.word_of[k] for g in self.pending for k in g)
            owner.attributes.append((*described, *words))
            self.pending, self.by_relation = [], False
        else:
            self._add(group)
        return j

    def _describes_before(self, i: int) -> bool:
        """Whether a colour or material that could be a thing describes the noun before it: "is orange", "made of glass", "car orange"."""
        lower = self.spans[i].lower
        if lower not in lex.DUALS:
            return False
        if self.target is not None:
            return True
        return self._is_known_color(i) and self.last is not None and (self.tags[i - 1] == NOUN or self._is_added(i))

    def _is_known_color(self, i: int) -> bool:
        meaning = self.meanings[i] if self.meanings is not None else None
        return meaning is not None and meaning.kind == "color"

    def _closed_nouns(self, i: int, j: int) -> int:
        """Nouns i .. j - 1 under a closed vocabulary: each one it knows is an object of its own."""
        assert self.meanings is not None
        if self.negated or self._owns_known(j):
            for k in range(i, j):
                self.unknown[k] = True
            self.negated, self.pending = False, []
            return j
        known = False
        k = i
        while k < j:
            meaning = self.meanings[k]
            length = meaning.length if meaning else 1
            if meaning is not None and meaning.kind == "object":
                known = True
                self._add(tuple(range(k, k + length)))
            else:
                self.unknown[k] = True
            k += length
        if not known:
            self.pending, self.last, self.head = [], None, None
        return j

    def _owns_known(self, j: int) -> bool:
        """Whether span j makes the nouns before it the owner of a thing that the closed vocabulary knows ("a dog's red bowl")."""
        assert self.meanings is not None
        if j >= len(self.spans) or self.tags[j] != POSS:
            return False
        k = j + 1
        while k < len(self.spans) and self.tags[k] in (NOUN, ATTR, ADV):
            meaning = self.meanings[k]
            if meaning is not None and meaning.kind == "object":
                return True
            k += 1
        return False

    def _add(self, group: tuple[int, ...]) -> None:
        """A noun phrase made of the spans in `group`, or one more mention of an earlier phrase ("a cat and a car. The car is red")."""
        words = tuple(self.word_of[i] for i in group)
        named = [self.spans[i].lower for i in group]
        phrase = None
        if self.the and not self.pending:
            phrase = next((p for p, t in zip(self.phrases, self.definite, strict=True) if not t and self._name(p) == named), None)
        if phrase is None:
            phrase = Phrase(words, [tuple(self.word_of[i] for i in g) for g in self.pending])
            self.phrases.append(phrase)
            self.definite.append(self.the)
        self.last, self.target, self.pending = phrase, None, []
        if not self.by_relation:
            self.head = phrase
        self.by_relation = self.the = False

    def _name(self, phrase: Phrase) -> list[str]:
        return [self.words[i].lower for i in phrase.object]
