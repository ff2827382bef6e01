"""The prompt as chips: what the page shows of a parsed prompt, and the corrections that a visitor made by click.

Corrections are kept as the overrides that parse_prompt takes, as JSON text; what is shown is exactly what guidance uses.
"""

from __future__ import annotations

import json
import re
from typing import Any

from uncage_demo.prompt import attach, detach, make_object, overrides_of
from uncage_demo.render.palette import subject_colors
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
    raise ValueError(f"action={action!r}: use make_object, attach or detach")


def chips_value(prompt: Prompt, vocabulary: Vocabulary | None, model: str, edits: str = "", message: str = "") -> str:
    """JSON text for the chips component; texts in it are data, shown as text only."""
    colors = subject_colors(len(prompt.subjects))
    owner: dict[int, tuple[int, str]] = {}
    for number, subject in enumerate(prompt.subjects):
        owner.update({word: (number, "attribute") for group in subject.attributes for word in group})
        owner.update(dict.fromkeys(subject.object, (number, "object")))
    unknown = {u.word: u.suggestions for u in prompt.unknown}
    words = []
    for index, word in enumerate(prompt.words):
        number, role = owner.get(index, (-1, "other"))
        if index in unknown:
            role = "unknown"
        words.append({"text": word.text, "role": role, "subject": number, "suggestions": list(unknown.get(index, ()))})
    return json.dumps(
        {
            "text": prompt.text,
            "words": words,
            "subjects": [{"label": s.label, "color": c} for s, c in zip(prompt.subjects, colors, strict=True)],
            "vocabulary": None if vocabulary is None else {"objects": list(vocabulary.objects), "colors": list(vocabulary.colors)},
            "truncated": prompt.truncated,
            "model": model,
            "edited": bool(edits),
            "message": message,
        }
    ).replace("<", "\\u003c")


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
    """The text with an object ("a turtle" -> "a turtle and a crown") or a colour (before the last object) added.

    Raises:
        ValueError: when the model cannot draw the word.
    """
    if vocabulary is None or word not in (*vocabulary.objects, *vocabulary.colors):
        raise ValueError(f"{word!r} is not a word of this model")
    text = text.strip()
    if kind != "color":
        return f"{text} and {_article(word)} {word}" if text else f"{_article(word)} {word}"
    pattern = r"\b(?:(an?)\s+)?(" + "|".join(map(re.escape, vocabulary.objects)) + r")(?!.*\b(?:" + "|".join(vocabulary.objects) + r")\b)"
    match = re.search(pattern, text, re.IGNORECASE | re.DOTALL)
    if not match:
        return f"{text} {word}".strip()
    article = f"{_article(word)} " if match.group(1) else ""
    return text[: match.start()] + f"{article}{word} {match.group(2)}" + text[match.end() :]


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"
