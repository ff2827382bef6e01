"""From what the embedded model's detector sees to a verdict on a prompt: objects, numbers, colours, positions, place.

Numpy only. Knows the closed vocabulary, not models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from uncage_demo.backends.embedded import vocab
from uncage_demo.prompt.judging import color_fits, match, region_wishes
from uncage_demo.types import FoundObject, Prompt, Verdict, Wish

SCORER = "emoji-scenes detector"
# An object lies left of another one when its middle does by this much of the picture: half an object.
CLEARLY_FRAC = 2.5 / 12
# It is on the left when its middle is left of the picture's by this much: one cell.
ASIDE_FRAC = 1 / 12
# A pixel has a place's paper where no channel differs by more than this (0..255); a picture shows the place that has the most such pixels.
PAPER_TOLERANCE = 14
LEAST_PAPER_FRAC = 0.1


def verdict_of(
    found: Sequence[FoundObject], prompt: Prompt, place: str | None = None, regions: Mapping[int, Sequence[float]] | None = None
) -> Verdict:
    """The verdict on a picture: detections matched to the prompt's subjects (see `match`), what is left over is extra.

    Args:
        found: detections, strongest first.
        prompt: what was asked for.
        place: where the picture is (`place_of`); None = not judged.
        regions: {subject: (top, left, bottom, right) as shares of the picture}: where objects were asked for.
    """
    matching = match(prompt.subjects, found)
    matched = [[found[i] for i in own] for own in matching.own]
    objects = tuple(len(own) == subject.count for subject, own in zip(prompt.subjects, matched, strict=True))
    colors = tuple(ok and all(color_fits(d, s) for d in own) for ok, s, own in zip(objects, prompt.subjects, matched, strict=True))
    wishes = (*_positions(prompt, matched), *_places(prompt, place), *region_wishes(prompt.subjects, matched, regions or {}))
    correct = all(objects) and all(colors) and not matching.left and bool(objects) and all(wish.met for wish in wishes)
    return Verdict(objects, colors, len(matching.left), correct, tuple(found), SCORER, wishes)


def place_of(image: np.ndarray, papers: Mapping[str, Sequence[int]]) -> str:
    """The place whose paper most of the background has; "" for plain paper or none.

    Args:
        image: "H W 3" uint8.
        papers: place -> (red, green, blue) 0..255; "" is the plain paper.
    """
    channels = np.ascontiguousarray(np.moveaxis(image, -1, 0), np.int16)  # so that numpy goes through each in one piece
    shares = {}
    for place, rgb in papers.items():
        red, green, blue = (np.abs(channel - value) <= PAPER_TOLERANCE for channel, value in zip(channels, rgb, strict=True))
        shares[place] = float((red & green & blue).mean())
    best = max(shares, key=lambda place: shares[place], default="")
    return best if shares.get(best, 0.0) >= LEAST_PAPER_FRAC else ""


def _positions(prompt: Prompt, matched: Sequence[Sequence[FoundObject]]) -> list[Wish]:
    """Where each subject is asked to be, judged by the middles of all that was found of it.

    Read from what the model was given, where a position comes after its object. One between two subjects without "and" is how they lie to
    each other ("a cat left of a car"); else it is a side of the picture.
    """
    said, wishes = [token.text for token in prompt.tokens if not token.special], []
    place = {index: k for k, index in enumerate(i for i, token in enumerate(prompt.tokens) if not token.special)}
    spans = [sorted(place[t] for group in s.groups for w in group for t in prompt.words[w].tokens if t in place) for s in prompt.subjects]
    nouns = [max((place[t] for w in s.object for t in prompt.words[w].tokens if t in place), default=-1) for s in prompt.subjects]
    order = sorted((i for i in range(len(spans)) if nouns[i] >= 0), key=lambda i: nouns[i])
    for number, index in enumerate(order):
        following = order[number + 1] if number + 1 < len(order) else None
        end = len(said) if following is None else min(k for k in spans[following] if k > nouns[index])
        there = {k: name for k in range(nouns[index] + 1, end) if (name := vocab.position(said, k))}
        if len(there) != 1:
            continue
        at, position = next(iter(there.items()))
        subject = prompt.subjects[index]
        if following is None or any(word.lower() in ("and", "with", ",") for word in said[at:end]):
            met = bool(matched[index]) and all(_on_side(position, found) for found in matched[index])
            wishes.append(Wish("position", f"{subject.noun} {vocab.POSITION_SAID[position]}", met))
            continue
        pairs = [(a, b) for a in matched[index] for b in matched[following]]
        met = bool(pairs) and all(_lies(position, a, b) for a, b in pairs)
        joint = "of " if position in ("left", "right") else ""
        wishes.append(Wish("position", f"{subject.noun} {position} {joint}{prompt.subjects[following].noun}", met))
    return wishes


def _middle(found: FoundObject, axis: int) -> float:
    return (found.box[axis] + found.box[axis + 2]) / 2


def _on_side(position: str, found: FoundObject) -> bool:
    apart = 0.5 - _middle(found, 0 if position in ("above", "below") else 1)
    return (apart if position in ("above", "left") else -apart) >= ASIDE_FRAC


def _lies(position: str, a: FoundObject, b: FoundObject) -> bool:
    axis = 0 if position in ("above", "below") else 1
    apart = _middle(b, axis) - _middle(a, axis)
    return (apart if position in ("above", "left") else -apart) >= CLEARLY_FRAC


def _places(prompt: Prompt, place: str | None) -> list[Wish]:
    """The prompt's place, where it names just one and the picture was looked at for it."""
    asked = dict.fromkeys(name for token in prompt.tokens if (name := vocab.canonical(token.text)) in vocab.PLACES)
    if place is None or len(asked) != 1:
        return []
    return [Wish("place", next(iter(asked)), next(iter(asked)) == place)]
