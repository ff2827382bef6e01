"""The prompt as chips: what the page shows of a parsed prompt, and the corrections that a visitor made by click.

Corrections are kept as the overrides that parse_prompt takes, as JSON text; what is shown is exactly what guidance uses.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from uncage_demo.prompt.caption import plural_of
from uncage_demo.prompt.parse import UndrawableError, attach, check_drawable, detach, make_object, overrides_of
from uncage_demo.prompt.words import lowered
from uncage_demo.render.palette import subject_colors
from uncage_demo.setting import shortened
from uncage_demo.trace.record import Trace
from uncage_demo.trace.reproduce import correction_of
from uncage_demo.types import Prompt, Vocabulary

MAX_EDITS_CHARS = 4000


def read_edits(text: str) -> list[dict[str, Any]] | None:
    """Kept corrections -> overrides of parse_prompt; "" -> None.

    Raises:
        ValueError: when the text is not a list of subjects.
    """
    if not text:
        return None
    try:
        if len(text) > MAX_EDITS_CHARS:
            raise ValueError
        subjects = json.loads(text)
        if not isinstance(subjects, list):
            raise ValueError
    except (ValueError, RecursionError):
        raise ValueError('the corrections of the prompt must be a JSON list such as [{"object": [1], "attributes": [[0]]}]') from None
    return subjects


def write_edits(prompt: Prompt) -> str:
    """The subjects of a prompt as corrections to keep."""
    return json.dumps(overrides_of(prompt), separators=(",", ":"))


def keep(text: str, edits: str) -> str:
    """Corrections tied to the text they were made for: words are counted, so on another text they would mean other words."""
    return json.dumps([text.strip(), edits]) if edits else ""


def edits_for(kept: str, text: str | None) -> str:
    """The corrections kept for this text; "" when they were made for another one."""
    if not kept:
        return ""
    made_for, edits = json.loads(kept)
    return edits if made_for == (text or "").strip() else ""


def edit(prompt: Prompt, vocabulary: Vocabulary | None, action: Any, word: Any, subject: Any = None) -> Prompt:
    """The prompt after one click on its chips.

    Raises:
        ValueError: when the click does not describe a correction of this prompt.
    """
    if action == "make_object":
        return make_object(prompt, word, vocabulary)
    if action == "attach":
        return attach(prompt, word, subject, vocabulary)
    if action == "detach":
        return detach(prompt, word, vocabulary)
    raise ValueError(f"action={shortened(action)}: use make_object, attach or detach")


def chips_value(prompt: Prompt, vocabulary: Vocabulary | None, model: str, edits: str = "", message: str = "") -> str:
    """JSON text for the chips component; texts in it are data, shown as text only."""
    colors = subject_colors(len(prompt.subjects))
    owner: dict[int, tuple[int, str]] = {**prompt.owners()}
    unknown = {u.word: u.suggestions for u in prompt.unknown}
    words = []
    for index, word in enumerate(prompt.words):
        number, role = owner.get(index, (-1, "other"))
        if index in unknown or (role == "other" and word.kind == "unused"):
            role = "unknown" if index in unknown else "unused"
        says = meaning_of(word.text, vocabulary) if role == "other" else ""
        words.append({"text": word.text, "role": role, "subject": number, "says": says, "suggestions": list(unknown.get(index, ()))})
    return json.dumps(
        {
            "text": prompt.text,
            "words": words,
            "subjects": [{"label": s.label, "color": c} for s, c in zip(prompt.subjects, colors, strict=True)],
            "vocabulary": None if vocabulary is None else word_lists(vocabulary),
            "truncated": prompt.truncated,
            "cut_off": [prompt.words[i].text for i in prompt.unused if not prompt.words[i].tokens] if vocabulary is None else [],
            "given": prompt.given,
            "rest": rest_of(prompt, vocabulary),
            "model": model,
            "edited": bool(edits),
            "edits": edits,
            "message": message or ("" if unknown else problem_of(prompt, vocabulary)),
        }
    ).replace("<", "\\u003c")


def corrections_of(trace: Trace) -> str:
    """The corrections to keep for a run that was opened, "" where its prompt was read as it is read today."""
    correction = correction_of(trace)
    return "" if correction is None else json.dumps(correction, separators=(",", ":"))


def rest_of(prompt: Prompt, vocabulary: Vocabulary | None) -> str:
    """What can be drawn of a prompt that names things the model does not know: a prompt of the rest, or "" where there is no such thing."""
    if not prompt.unknown or not prompt.given:
        return ""
    return "" if problem_of(replace(prompt, unknown=()), vocabulary) else prompt.given


def problem_of(prompt: Prompt, vocabulary: Vocabulary | None) -> str:
    """Why a prompt with words cannot be drawn, before anybody asks for it; "" where it can."""
    if not prompt.words:
        return ""
    try:
        check_drawable(prompt, vocabulary)
    except UndrawableError as error:
        return error.reason
    except ValueError as error:
        return str(error)
    return ""


def meaning_of(word: str, vocabulary: Vocabulary | None) -> str:
    """What a word that is no object and no attribute says to the model: "place", "position", "number", or ""."""
    if vocabulary is None:
        return ""
    name = vocabulary.canonical(lowered(word))
    lists = {"place": vocabulary.places, "position": vocabulary.positions, "number": vocabulary.numbers}
    return next((kind for kind, words in lists.items() if name in words), "")


def word_lists(vocabulary: Vocabulary) -> list[dict[str, Any]]:
    """What a model can draw, list by list: {"title", "kind" of `add_word`, "words": [{"word", "said"}]}; empty lists are left out."""
    lists = (
        ("Objects", "object", {word: word for word in vocabulary.objects}),
        ("Colours", "color", {word: word for word in vocabulary.colors}),
        ("Places", "place", vocabulary.places),
        ("Positions", "position", vocabulary.positions),
        ("Numbers", "number", {word: word for word in vocabulary.numbers}),
    )
    return [
        {"title": title, "kind": kind, "words": [{"word": word, "said": said} for word, said in words.items()]}
        for title, kind, words in lists
        if words
    ]


def replace_word(text: str, prompt: Prompt, word: Any, new: Any) -> str:
    """The text with one word replaced by one of its suggestions.

    Raises:
        ValueError: when the word does not exist or the replacement was not suggested.
    """
    suggestions = {u.word: u.suggestions for u in prompt.unknown}
    if not isinstance(word, int) or word not in suggestions or new not in suggestions[word]:
        raise ValueError("this suggestion does not belong to the prompt any more; look at the words again")
    span = prompt.words[word]
    return text[: span.start] + str(new) + text[span.end :]


def add_word(text: str, kind: Any, word: Any, vocabulary: Vocabulary | None) -> str:
    """The text with a word of the model's lists put where it belongs.

    An object is joined at the end ("a turtle" -> "a turtle and a crown"); a colour, a number or a position goes to the last object; a place
    to the end. A place or a position takes the place of the one that is there.

    Args:
        text: the prompt as it stands.
        kind: "object", "color", "place", "position" or "number".
        word: one of the vocabulary's words of that kind.

    Raises:
        ValueError: when the model cannot draw the word, or there is no object that it could go to.
    """
    known = {} if vocabulary is None else {entry["kind"]: {w["word"] for w in entry["words"]} for entry in word_lists(vocabulary)}
    if vocabulary is None or not isinstance(kind, str) or word not in known.get(kind, ()):
        raise ValueError(f"{shortened(word)} is not a word of this model")
    text, where = _cut_place(text.strip(), vocabulary)
    if kind == "place":
        where = vocabulary.places[word]
    elif kind == "object":
        text = f"{text} and {_article(word)} {word}" if text else f"{_article(word)} {word}"
    elif kind == "color":
        text = _with_color(text, word, vocabulary)
    elif kind == "position":
        text = _with_position(text, word, vocabulary)
    else:
        text = _with_number(text, word, vocabulary)
    return f"{text} {where}".strip()


def _cut_place(text: str, vocabulary: Vocabulary) -> tuple[str, str]:
    """The text without the place at its end, and that place as it was said; ("a cat at night" -> "a cat", "at night")."""
    names = [*vocabulary.places, *(alias for alias, name in vocabulary.aliases.items() if name in vocabulary.places)]
    if not names:
        return text, ""
    match = re.search(
        r"\s+((?:in|on|at|under)\s+(?:(?:a|an|the)\s+)?(?:" + "|".join(map(re.escape, names)) + r"))\s*$", text, re.IGNORECASE
    )
    return (text[: match.start()], match.group(1)) if match else (text, "")


def _object_pattern(vocabulary: Vocabulary) -> str:
    """Matches one object with what stands before it: groups before (article or number), color, noun."""
    nouns = [*vocabulary.objects, *(alias for alias, name in vocabulary.aliases.items() if name in vocabulary.objects)]
    before = "|".join(("an?", "the", *vocabulary.numbers))
    ordered = sorted(map(re.escape, nouns), key=len, reverse=True)
    return rf"\b(?:(?P<before>{before})\s+)?(?:(?P<color>{'|'.join(vocabulary.colors)})\s+)?(?P<noun>{'|'.join(ordered)})\b"


def _last_object(text: str, vocabulary: Vocabulary, what: str) -> re.Match[str]:
    matches = list(re.finditer(_object_pattern(vocabulary), text, re.IGNORECASE))
    if not matches:
        raise ValueError(f"“{what}” needs an object: add one first")
    return matches[-1]


def _with_color(text: str, color: str, vocabulary: Vocabulary) -> str:
    try:
        match = _last_object(text, vocabulary, color)
    except ValueError:
        return f"{text} {color}".strip()
    before = match["before"] or ""
    if before.lower() in ("a", "an"):
        before = _article(color)
    return text[: match.start()] + " ".join(filter(None, (before, color, match["noun"]))) + text[match.end() :]


def _with_number(text: str, number: str, vocabulary: Vocabulary) -> str:
    match = _last_object(text, vocabulary, number)
    noun = vocabulary.canonical(lowered(match["noun"]))
    return text[: match.start()] + " ".join(filter(None, (number, match["color"], plural_of(noun, vocabulary)))) + text[match.end() :]


def _with_position(text: str, position: str, vocabulary: Vocabulary) -> str:
    _last_object(text, vocabulary, position)
    there = "|".join(map(re.escape, vocabulary.positions.values()))
    bare = re.sub(rf"\s+(?:{there})$", "", text, flags=re.IGNORECASE)
    return f"{bare} {vocabulary.positions[position]}"


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"
