"""The small value types that every layer shares: text tokens, words, subjects, prompts, verdicts, model facts.

Knows nothing of tensors, images, files or any user interface; only numbers, strings and tuples of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

# "unused": a word that a closed vocabulary does not hold and that names nothing to draw ("sitting"): read over, and shown as such.
WordKind = Literal["object", "attribute", "other", "unknown", "unused"]


@dataclass(frozen=True)
class TextToken:
    """One token of the text encoder.

    Args:
        text: the piece as a person would read it ("turtle", "<start>", "<end>", "<pad>").
        start, end: character span in the prompt, half-open; start == end for special tokens.
        special: True for start, end and padding tokens.
    """

    text: str
    start: int
    end: int
    special: bool = False


@dataclass(frozen=True)
class Word:
    """One word of the prompt with its character span and the text tokens it is made of.

    Args:
        text: exactly as typed.
        start, end: character span, half-open.
        tokens: indices into Prompt.tokens; empty when the text encoder cut the word off.
        kind: what the parser takes it for.
    """

    text: str
    start: int
    end: int
    tokens: tuple[int, ...] = ()
    kind: WordKind = "other"


@dataclass(frozen=True)
class Subject:
    """An object of the prompt with the attributes that belong to it (2508.05399 section 3).

    Args:
        object: indices into Prompt.words of the words that name the object (several for a compound noun).
        attributes: one tuple of word indices for each attribute.
        label: readable name, e.g. "pink apple".
        noun: canonical noun of the model's vocabulary ("apple"), or the lower-case words.
        colors: canonical colour names among the attributes (may be empty).
        count: how many of it the prompt asks for, >= 1 ("two cats": 2).
    """

    object: tuple[int, ...]
    attributes: tuple[tuple[int, ...], ...] = ()
    label: str = ""
    noun: str = ""
    colors: tuple[str, ...] = ()
    count: int = 1

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """The object's word group followed by its attributes' word groups."""
        return (self.object, *self.attributes)


@dataclass(frozen=True)
class UnknownWord:
    """A word that the chosen model cannot draw, with the nearest words that it can."""

    word: int
    suggestions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prompt:
    """A prompt as a model reads it.

    Args:
        text: what the user typed.
        tokens: the text encoder's tokens in order (special ones included).
        words: words with spans.
        subjects: objects with attributes, in order of appearance; never empty groups.
        unknown: words the model cannot draw (empty for open-vocabulary models).
        truncated: the part of the text that the text encoder cut off, or "".
        given: what the model is given in place of the text (a plain caption of what was understood), or "" where it is the text itself.
            The tokens are then those of the caption, in its order; their spans say which words of the text they come from, and are empty
            for words that only the caption has.
    """

    text: str
    tokens: tuple[TextToken, ...]
    words: tuple[Word, ...]
    subjects: tuple[Subject, ...] = ()
    unknown: tuple[UnknownWord, ...] = ()
    truncated: str = ""
    given: str = ""

    @property
    def said(self) -> str:
        """The text that the model reads: `given` where there is one, else what was typed."""
        return self.given or self.text

    @property
    def unused(self) -> tuple[int, ...]:
        """Indices of the words that are read over because they name nothing that the model draws."""
        return tuple(index for index, word in enumerate(self.words) if word.kind == "unused")

    def owners(self) -> dict[int, tuple[int, Literal["object", "attribute"]]]:
        """Which subject a word belongs to, and as what: {word index: (subject index, role)}.

        A word that names an object is that object's, even where it is another one's attribute; a word shared by several subjects is
        the first one's.
        """
        owner: dict[int, tuple[int, Literal["object", "attribute"]]] = {}
        for index, subject in enumerate(self.subjects):
            for word in subject.object:
                owner.setdefault(word, (index, "object"))
        for index, subject in enumerate(self.subjects):
            for word in (word for group in subject.attributes for word in group):
                owner.setdefault(word, (index, "attribute"))
        return owner


@dataclass(frozen=True)
class Vocabulary:
    """What a closed-vocabulary model can draw. Names are canonical and lower-case.

    Args:
        objects: nouns it can draw.
        colors: colour words it knows.
        others: further words its text encoder knows ("a", "and", "with" ...).
        aliases: typed word -> canonical word ("grey" -> "gray", "apples" -> "apple").
        places: of the others, the words for where a scene can be, and how to say it ("night": "at night").
        positions: of the others, the words for where in a scene an object can be, and how to say it ("left": "on the left").
        numbers: of the others, the words for how many of an object there can be ("two"), from two up.
        most_objects: how many objects a picture can hold in all; 0 = no limit.
    """

    objects: tuple[str, ...]
    colors: tuple[str, ...]
    others: tuple[str, ...] = ()
    aliases: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    positions: dict[str, str] = field(default_factory=dict)
    numbers: tuple[str, ...] = ()
    most_objects: int = 0

    def canonical(self, word: str) -> str:
        """The vocabulary's own form of a word or name in lower case; what it does not know stays as it is."""
        return self.aliases.get(word, word)


@dataclass(frozen=True)
class FoundObject:
    """One object that the detector sees in a picture.

    Args:
        noun: canonical noun.
        color: canonical colour, or "" for the art's own colours.
        score: the detector's probability, 0..1.
        box: (y0, x0, y1, x1) as fractions of the picture, 0..1.
        rival: another noun that the detector half sees in the same place, or "" (one drawn thing that is part of each is a mixture).
    """

    noun: str
    color: str
    score: float
    box: tuple[float, float, float, float]
    rival: str = ""


@dataclass(frozen=True)
class Wish:
    """Something a prompt asks for besides objects and colours, and whether a scorer finds it in the picture.

    Args:
        kind: "position" (where an object is, in the picture or seen from another one), "place" (where the scene is) or "region" (an
            object has a box that it is asked for in).
        label: readable, in the prompt's own words where possible ("cat on the left", "cat left of car", "night", "cat in its region").
        met: the scorer's judgement.
    """

    kind: Literal["position", "place", "region"]
    label: str
    met: bool


@dataclass(frozen=True)
class Verdict:
    """What a scorer says of one picture; a model's judgement, not the truth.

    Args:
        objects_found: one bool a subject of the prompt, in order; True when as many were found as were asked for.
        colors_right: one bool a subject; True when found and either no colour was asked for or it matches.
        extra_objects: number of detected objects beyond those asked for.
        all_correct: every object found, every colour right, no extra object, every wish met.
        detections: everything the detector reported.
        scorer: name and version of the scorer.
        wishes: what else the prompt asks for, where the scorer can judge it.
    """

    objects_found: tuple[bool, ...]
    colors_right: tuple[bool, ...]
    extra_objects: int
    all_correct: bool
    detections: tuple[FoundObject, ...] = ()
    scorer: str = ""
    wishes: tuple[Wish, ...] = ()


@dataclass(frozen=True)
class ModelDefaults:
    """A model's own settings: what holds where a DecodingConfig leaves them open, field by field under the same names.

    Args:
        num_steps: T, 1..256.
        guidance_scale: g, >= 0; 1 = conditional only.
        noise_temperature: (first step, last step) of the noise in the order score, >= 0.
        schedule: name of the schedule.
    """

    num_steps: int = 32
    guidance_scale: float = 3.0
    noise_temperature: tuple[float, float] = (1.0, 0.01)
    schedule: str = "cosine"


@dataclass(frozen=True)
class ModelInfo:
    """Facts about a backend that traces record and users see.

    Args:
        id: "embedded", "meissonic", ...
        title: readable name.
        weight_hash: sha256 (first 16 hex digits) over all weight files.
        grid: token grid (y, x).
        codebook_size: number of image tokens v.
        image_size_px: (height, width) of decoded pictures.
        attention_grid: (y, x) at which attention is read; equal to `grid` unless the model downsamples.
        single_layers: number of layers attention can be read from (the paper's single-modal blocks).
        num_heads: heads of each of those layers.
        default_source: name of the attention source guidance reads by default ("chosen", "all" or a band "layers:A-B").
        default_steps, default_guidance_scale, default_noise_temperature, default_schedule: the model's own settings, see `defaults`.
        default_negative_prompt: the text that its authors steer away from, "" = none.
        description: one sentence for people.
    """

    id: str
    title: str
    weight_hash: str
    grid: tuple[int, int]
    codebook_size: int
    image_size_px: tuple[int, int]
    attention_grid: tuple[int, int]
    single_layers: int
    num_heads: int
    default_source: str = "all"
    default_steps: int = 32
    default_guidance_scale: float = 3.0
    description: str = ""
    # Later than the first trace files: those lack them, and were made with these values.
    default_noise_temperature: tuple[float, float] = (1.0, 0.01)
    default_schedule: str = "cosine"
    default_negative_prompt: str = ""

    @property
    def defaults(self) -> ModelDefaults:
        """What holds where a DecodingConfig leaves it open."""
        return ModelDefaults(self.default_steps, self.default_guidance_scale, self.default_noise_temperature, self.default_schedule)
