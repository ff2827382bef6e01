"""Runs of different prompts on one clock: one list of words and objects for all of them, and where each run's own stand in it.

An edit asks for "a blue apple" where its source had "a pink apple". Both read "turtle" and "apple"; only one reads "pink". So words and
objects that are the same in both share one entry, and maps, curves and verdicts of both can be compared by it; the others are added.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import combinations
from typing import Any

import numpy as np

from uncage_demo.player.packing import array
from uncage_demo.types import Prompt, Subject


@dataclass(frozen=True)
class Place:
    """Where one prompt's words and objects stand in the shared lists.

    Args:
        number: of the prompt among the different ones, from 0.
        words: of each of its words the index in the shared list.
        subjects: of each of its objects likewise.
    """

    number: int
    words: tuple[int, ...]
    subjects: tuple[int, ...]


def shared_prompt(prompts: Sequence[Prompt]) -> tuple[Prompt, list[Place]]:
    """Prompts as one.

    Args:
        prompts: one per run, the same one as often as it is used.

    Returns:
        The first prompt with the others' words and objects after its own (such words have the span -1, -1), and the place of each prompt.
        An object that is the same in all but its attributes is one object, called by its noun where its labels differ.
    """
    shared, places, known = prompts[0], [], []
    for prompt in prompts:
        number = next((k for k, one in enumerate(known) if _reads_alike(one, prompt)), len(known))
        if number == len(known):
            known.append(prompt)
            shared, words, subjects = _joined(shared, prompt)
            places.append(Place(number, words, subjects))
        else:
            places.append(next(place for place in places if place.number == number))
    return shared, places


def prompts_view(prompts: Sequence[Prompt], places: Sequence[Place]) -> list[dict[str, Any]]:
    """The different prompts for the player: text, what was cut off, [shared index, start, end] of each word, objects with their labels."""
    found = {place.number: (prompt, place) for prompt, place in zip(prompts, places, strict=True)}
    return [
        {
            "text": prompt.text,
            "truncated": prompt.truncated,
            "words": [[at, word.start, word.end] for at, word in zip(place.words, prompt.words, strict=True)],
            "subjects": list(place.subjects),
            "labels": [_label(prompt, subject) for subject in prompt.subjects],
        }
        for _, (prompt, place) in sorted(found.items())
    ]


def placed(run: dict[str, Any], place: Place, objects: int) -> dict[str, Any]:
    """A run of the payload with all its words and objects numbered as in the shared lists.

    Args:
        run: as built for its own prompt.
        place: of that prompt.
        objects: how many the shared prompt has. What a run has not got an object for is None, or no number.
    """
    words, subjects = place.words, place.subjects
    own_pairs = [tuple(sorted((subjects[a], subjects[b]))) for a, b in run["pairs"]]
    pairs = list(combinations(range(objects), 2))
    return {
        **run,
        "prompt": place.number,
        "attention": run["attention"] and {**run["attention"], "words": [words[w] for w in run["attention"]["words"]]},
        "mass": _columns(run["mass"], subjects, objects),
        "overlap": _columns(run["overlap"], [pairs.index(pair) for pair in own_pairs], len(pairs)),
        "pairs": [list(pair) for pair in pairs],
        "sight": run["sight"] and {**run["sight"], "maps": [[_bits(bits, subjects) for bits in cells] for cells in run["sight"]["maps"]]},
        "lineage": _lineage(run["lineage"], words),
        "origin": run["origin"] and {**run["origin"], "regions": [_of(one, subjects) for one in run["origin"]["regions"]]},
        "verdict": run["verdict"] and _verdict(run["verdict"], subjects, objects),
        "binding": run["binding"] and _binding(run["binding"], place, objects),
        "findings": [_finding(one, place) for one in run["findings"]],
    }


def _reads_alike(one: Prompt, other: Prompt) -> bool:
    return (one.text, one.subjects) == (other.text, other.subjects)


def _joined(shared: Prompt, prompt: Prompt) -> tuple[Prompt, tuple[int, ...], tuple[int, ...]]:
    """The shared prompt with another one's words and objects; where those stand."""
    if prompt is shared:
        return shared, tuple(range(len(prompt.words))), tuple(range(len(prompt.subjects)))
    words, at = list(shared.words), _same_words(shared, prompt)
    for index, word in enumerate(prompt.words):
        if index not in at:
            at[index] = len(words)
            words.append(replace(word, start=-1, end=-1, tokens=()))
    subjects = list(shared.subjects)
    stand: list[int] = []
    for subject in prompt.subjects:
        group = tuple(at[w] for w in subject.object)
        attributes = tuple(tuple(at[w] for w in attribute) for attribute in subject.attributes)
        same = next((o for o, one in enumerate(subjects) if one.object == group and o not in stand), len(subjects))
        if same == len(subjects):
            subjects.append(replace(subject, object=group, attributes=attributes, label=_label(prompt, subject)))
        else:
            one = subjects[same]
            label = one.label if one.label == subject.label else " ".join(words[w].text for w in group)
            new = tuple(attribute for attribute in attributes if attribute not in one.attributes)
            subjects[same] = replace(one, attributes=one.attributes + new, label=label)
        stand.append(same)
    return replace(shared, words=tuple(words), subjects=tuple(subjects)), tuple(at[i] for i in range(len(prompt.words))), tuple(stand)


def _same_words(shared: Prompt, prompt: Prompt) -> dict[int, int]:
    """Words of a prompt that the shared one has, too: the same text, in the same role for the same noun."""
    ours, theirs = _roles(shared), _roles(prompt)
    at: dict[int, int] = {}
    for block in SequenceMatcher(None, ours, theirs, autojunk=False).get_matching_blocks():
        at |= {block.b + k: block.a + k for k in range(block.size)}
    for index, key in enumerate(theirs):
        if index not in at:  # at another place of the text
            free = (k for k, other in enumerate(ours) if other == key and k not in at.values())
            if (found := next(free, None)) is not None:
                at[index] = found
    return at


def _roles(prompt: Prompt) -> list[tuple[str, str, str]]:
    owner = prompt.owners()
    keys = []
    for index, word in enumerate(prompt.words):
        subject, role = owner.get(index, (-1, ""))
        keys.append((word.text.lower(), role, prompt.subjects[subject].noun if subject >= 0 else ""))
    return keys


def _label(prompt: Prompt, subject: Subject) -> str:
    return subject.label or " ".join(prompt.words[w].text for w in subject.object)


def _columns(packed: dict[str, Any] | None, places: Sequence[int], count: int) -> dict[str, Any] | None:
    """Columns of "s k" float32 at their places among so many; the others hold no number."""
    if packed is None:
        return None
    values = np.frombuffer(base64.b64decode(packed["d"]), "<f4").reshape(packed["s"])
    wide = np.full((len(values), count), np.nan, np.float32)
    wide[:, list(places)] = values
    return array(wide, "float32")


def _spread(values: Sequence[Any], places: Sequence[int], count: int) -> list[Any]:
    out: list[Any] = [None] * count
    for at, value in zip(places, values, strict=True):
        out[at] = value
    return out


def _bits(bits: int, subjects: Sequence[int]) -> int:
    return sum(1 << at for o, at in enumerate(subjects) if bits >> o & 1)


def _of(value: dict[str, Any], subjects: Sequence[int]) -> dict[str, Any]:
    return {**value, "subject": subjects[value["subject"]] if value["subject"] >= 0 else -1}


def _lineage(lineage: dict[str, Any], words: Sequence[int]) -> dict[str, Any]:
    hidden = lineage["edits"]["suppress_word"] if lineage else None
    return lineage if hidden is None else {**lineage, "edits": {**lineage["edits"], "suppress_word": words[hidden]}}


def _verdict(verdict: dict[str, Any], subjects: Sequence[int], count: int) -> dict[str, Any]:
    spread = {name: _spread(verdict[name], subjects, count) for name in ("objects_found", "colors_right")}
    return {**verdict, **spread, "detections": [_of(one, subjects) for one in verdict["detections"]]}


def _binding(binding: dict[str, Any], place: Place, count: int) -> dict[str, Any]:
    objects = []
    for one in binding["objects"]:
        made = one["decision"]
        objects.append({**one, "decision": made and {**made, "word": place.words[made["word"]]}})
    return {"words": [place.words[w] for w in binding["words"]], "objects": _spread(objects, place.subjects, count)}


def _finding(finding: dict[str, Any], place: Place) -> dict[str, Any]:
    """A finding of the diagnosis; -1, or nothing, stands for no object and no word."""
    moved = dict(finding)
    for name, at in (("subject", place.subjects), ("word", place.words)):
        value = finding.get(name)
        if isinstance(value, int) and 0 <= value < len(at):
            moved[name] = at[value]
    if finding.get("subjects"):
        moved["subjects"] = [place.subjects[o] for o in finding["subjects"]]
    return moved
