"""What makes a trace valid: shapes, dtypes and ranges of every array; that its steps tell one story is checked in `trace.story`.

The same check runs on traces that were just made and on traces from files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np

from uncage_demo.config import DecodingConfig
from uncage_demo.orders.revise import REASONS
from uncage_demo.prompt.judging import counted
from uncage_demo.trace import notes
from uncage_demo.trace.lineage import MAX_LINES, Lineage
from uncage_demo.trace.origin import Kind, Origin
from uncage_demo.trace.record import StepRecord, Trace, TraceFormatError, require
from uncage_demo.trace.story import check_story
from uncage_demo.types import ModelInfo, Prompt

# Bounds of anything a trace may claim; checked before memory is taken. What is within them can be drawn in every format.
MAX_GRID = 256
MAX_STEPS = 256
MAX_TEXT_TOKENS = 512
MAX_WORDS = 512
MAX_SUBJECTS = 16
MAX_TEXT_CHARS = 4096
MAX_CODEBOOK = 1 << 16  # the player has 16 bits for a token id
MAX_IMAGE_PX = 4096
MAX_ALTERNATIVES = 16
MAX_PASSES = 1024
MAX_LAYERS = 256
MAX_TOKEN_PICTURES = 1 << 14
MAX_TOKEN_PICTURE_PX = 256
MAX_TOKEN_PICTURE_BYTES = 64 << 20
# Products bound the time and memory of what is computed from a trace: cells x steps, and those times what is computed for each.
MAX_CELL_STEPS = 1 << 21
MAX_WORD_MAPS = 1 << 26  # x words, or x the text tokens that they are made of
MAX_SUBJECT_MAPS = 1 << 24  # x the words of objects and attributes

# Of scores and what they are sums of. Log-probabilities end at -1e4, noise and weighted contrast at some thousands; what is larger would
# overflow where it is added up, multiplied or drawn in float32.
MAX_SCORE = 1e9

# Settings that a run is told apart and made again by; one from before another setting was invented has its default.
_STATED = ("order", "seed", "num_steps")

# Probabilities and attention are float32 sums; they may exceed 1 by rounding.
_PROBABILITY_SLACK = 1e-3


def value_range(name: str, codebook: int) -> tuple[float, float]:
    """The least and greatest value that an array of every step may hold.

    Args:
        name: "attention", "attention_full", "alternatives", "alternative_probs", "entropy", "sight", "reopened", "likelihood" or "renewed".
        codebook: number of image tokens.
    """
    if name == "alternatives":
        return 0, codebook - 1
    if name == "sight":
        return 0, 2**16 - 1
    if name == "reopened":
        return 0, len(REASONS) - 1
    if name == "likelihood":
        return -MAX_SCORE, _PROBABILITY_SLACK
    return (-_PROBABILITY_SLACK, 64) if name == "entropy" else (0, 1 + _PROBABILITY_SLACK)


def check_trace(trace: Trace) -> None:
    """Check a whole trace.

    Raises:
        TraceFormatError: naming the part, its value and what is allowed.
    """
    config = _settings(trace.config, "config")
    lacking = [name for name in _STATED if name not in trace.config]
    require(not lacking, f"config lacks {', '.join(lacking)}: a run states its {', '.join(_STATED)}")
    check_prompt(trace.prompt)
    _check_model(trace.model)
    _check_texts(trace)
    height, width = trace.grid if trace.tokens.ndim == 2 else (0, 0)
    count = height * width
    require(1 <= height <= MAX_GRID and 1 <= width <= MAX_GRID, f"tokens has shape {trace.tokens.shape}: give y x, each 1..{MAX_GRID}")
    require(tuple(trace.model.grid) == (height, width), f"tokens is {height}x{width}, the model's grid is {trace.model.grid}")
    check_array("tokens", trace.tokens, np.int32, (height, width), 0, trace.model.codebook_size - 1)
    check_array("unmask_step", trace.unmask_step, np.int32, (height, width), -1, config.total_steps - 1)
    columns = trace.columns
    check_columns(columns, trace.prompt)
    _check_lineage(trace)
    _check_origin(trace)
    _check_pictures(trace)
    require(1 <= len(trace.steps) <= MAX_STEPS, f"{len(trace.steps)} steps: give 1..{MAX_STEPS}")
    check_notes(trace)
    check_amount(trace.prompt, count * len(trace.steps), any(record.attention is not None for record in trace.steps), len(columns))
    begins = trace.steps[0].step if config.varies else config.total_steps - len(trace.steps)
    fits = 0 <= begins <= config.total_steps - len(trace.steps)
    require(fits, f"{len(trace.steps)} steps from {begins} on are more than num_steps={config.total_steps}")
    for index, record in enumerate(trace.steps):
        expected = begins + index
        require(record.step == expected, f"steps[{index}].step={record.step}, expected {expected} (num_steps={config.total_steps})")
        _check_record(record, count, trace.model.codebook_size, len(columns))
    check_story(trace)


def check_prompt(prompt: Prompt) -> None:
    """Check that a prompt's spans, token indices and word indices exist.

    Raises:
        TraceFormatError: naming the part that does not fit.
    """
    texts = [prompt.text, prompt.truncated, *(piece.text for piece in (*prompt.tokens, *prompt.words))]
    texts += [text for s in prompt.subjects for text in (s.label, s.noun, *s.colors)]
    texts += [text for unknown in prompt.unknown for text in unknown.suggestions]
    longest = max(map(len, texts))
    require(longest <= MAX_TEXT_CHARS, f"the prompt has a text of {longest} characters: at most {MAX_TEXT_CHARS}")
    require(1 <= len(prompt.tokens) <= MAX_TEXT_TOKENS, f"{len(prompt.tokens)} text tokens: give 1..{MAX_TEXT_TOKENS}")
    require(len(prompt.words) <= MAX_WORDS, f"{len(prompt.words)} words: at most {MAX_WORDS}")
    for piece in (*prompt.tokens, *prompt.words):
        fits = 0 <= piece.start <= piece.end <= len(prompt.text)
        require(fits, f"{piece.text[:40]!r} spans {piece.start}..{piece.end} of a text of {len(prompt.text)} characters")
    for word in prompt.words:
        fits = _distinct(word.tokens, len(prompt.tokens))
        require(fits, f"word {word.text[:40]!r} has text tokens {word.tokens[:8]}: give different ones below {len(prompt.tokens)}")
    require(len(prompt.subjects) <= MAX_SUBJECTS, f"{len(prompt.subjects)} subjects: at most {MAX_SUBJECTS}")
    for subject in prompt.subjects:
        require(1 <= subject.count <= MAX_STEPS, f"subject.count is {subject.count}, expected 1 to {MAX_STEPS}")
        for group in subject.groups:
            fits = len(group) > 0 and _distinct(group, len(prompt.words))
            require(fits, f"subject {subject.label[:40]!r} has the word group {group[:8]}: give different words of {len(prompt.words)}")
    require(len(prompt.unknown) <= MAX_WORDS, f"{len(prompt.unknown)} unknown words: at most {MAX_WORDS}")
    for unknown in prompt.unknown:
        require(0 <= unknown.word < len(prompt.words), f"unknown word {unknown.word}; the prompt has {counted(len(prompt.words), 'word')}")


def check_array(name: str, values: Any, dtype: Any, shape: tuple[int, ...], low: float | None = None, high: float | None = None) -> None:
    """Check type, shape and range of one array; NaN is never in range.

    Raises:
        TraceFormatError: naming the array, what it is and what was expected.
    """
    if not isinstance(values, np.ndarray) or values.dtype != dtype or values.shape != shape:
        got = f"{values.dtype} {values.shape}" if isinstance(values, np.ndarray) else type(values).__name__
        raise TraceFormatError(f"{name} is {got}, expected {np.dtype(dtype)} {shape}")
    if values.size and low is not None and not values.min() >= low:
        raise TraceFormatError(f"{name} has a minimum of {values.min()}, allowed from {low}")
    if values.size and high is not None and not values.max() <= high:
        raise TraceFormatError(f"{name} has a maximum of {values.max()}, allowed up to {high}")


def check_columns(columns: Sequence[int], prompt: Prompt) -> None:
    """Check that recorded text columns are different text tokens of the prompt.

    Raises:
        TraceFormatError: naming them.
    """
    fits = _distinct(columns, len(prompt.tokens))
    require(fits, f"columns={tuple(columns[:8])}: give different indices below {len(prompt.tokens)}")


def check_amount(prompt: Prompt, cell_steps: int, attention: bool, columns: int) -> None:
    """Bound what can be computed from a trace: its cells times its steps, and with attention those times its words and subjects.

    Args:
        prompt: checked.
        cell_steps: n x s.
        attention: whether any step has it.
        columns: number of recorded text columns.

    Raises:
        TraceFormatError: naming the product and what is allowed.
    """
    require(cell_steps <= MAX_CELL_STEPS, f"cells x steps is {cell_steps}: at most {MAX_CELL_STEPS}")
    if attention:
        require(columns > 0, "attention is recorded for 0 text columns: give at least one, or no attention")
        words = max(len(prompt.words), sum(len(word.tokens) for word in prompt.words))
        require(words * cell_steps <= MAX_WORD_MAPS, f"words x cells x steps is {words * cell_steps}: at most {MAX_WORD_MAPS}")
        named = sum(len(group) for subject in prompt.subjects for group in subject.groups)
        require(
            named * cell_steps <= MAX_SUBJECT_MAPS, f"subjects' words x cells x steps is {named * cell_steps}: at most {MAX_SUBJECT_MAPS}"
        )


def _check_model(model: ModelInfo) -> None:
    require(1 <= model.codebook_size <= MAX_CODEBOOK, f"model.codebook_size={model.codebook_size}: 1..{MAX_CODEBOOK}")
    for name, sides, most in (("image_size_px", model.image_size_px, MAX_IMAGE_PX), ("attention_grid", model.attention_grid, MAX_GRID)):
        require(all(1 <= side <= most for side in sides), f"model.{name} is {sides}: each 1..{most}")
    for name in ("single_layers", "num_heads", "default_steps"):
        value = getattr(model, name)
        require(0 <= value <= 1024, f"model.{name}={value}: 0..1024")
    scale = model.default_guidance_scale
    require(0 <= scale <= 1000, f"model.default_guidance_scale={scale}: 0..1000")


def _check_texts(trace: Trace) -> None:
    """What is only shown: texts of a bounded length, times that are numbers."""
    texts = [trace.created, *trace.versions, *trace.versions.values(), *trace.timings_s]
    texts += [value for value in vars(trace.model).values() if isinstance(value, str)]
    longest = max(map(len, texts))
    require(longest <= MAX_TEXT_CHARS, f"the header has a text of {longest} characters: at most {MAX_TEXT_CHARS}")
    for name, seconds in trace.timings_s.items():
        require(0 <= seconds <= 1e9, f"timings_s.{name}={seconds}: give seconds from 0")


def check_notes(trace: Trace) -> None:
    """Check that a run's notes are few, short, and on steps and cells that it has.

    Raises:
        TraceFormatError: naming the note.
    """
    wrong = notes.problem_of(trace.notes, trace.steps[0].step, trace.steps[-1].step, trace.tokens.size)
    require(not wrong, wrong)


def _check_lineage(trace: Trace) -> None:
    """Positions, ids and words of every branch exist, and only the newest branch lists earlier ones."""
    if trace.lineage is None:
        return
    require(isinstance(trace.lineage, Lineage), f"lineage is {type(trace.lineage).__name__}: give a Lineage or None")
    require(len(trace.branches) <= MAX_LINES, f"lineage names {len(trace.branches)} branches: at most {MAX_LINES}")
    count, words, codebook = trace.tokens.size, len(trace.prompt.words), trace.model.codebook_size
    for number, line in enumerate(trace.branches):
        require(number == 0 or line.earlier is None, "lineage.earlier: only the newest branch lists earlier ones")
        require(len(line.parent) <= 64, f"lineage.parent has {len(line.parent)} characters: at most 64")
        _settings(line.parent_config, "lineage.parent_config")
        require(0 <= line.at_step < MAX_STEPS, f"lineage.at_step={line.at_step}: give a step below {MAX_STEPS}")
        edits = line.edits
        positions = _distinct(edits.keep, count) and _distinct(edits.drop, count) and _distinct([p for p, _ in edits.forbid], count)
        require(positions, f"lineage.edits: give different positions 0..{count - 1}")
        fits = all(_distinct(ids, codebook) for _, ids in edits.forbid)
        require(fits, f"lineage.edits.forbid: give different token ids 0..{codebook - 1} for each position")
        word = edits.suppress_word
        require(word is None or 0 <= word < words, f"lineage.edits.suppress_word={word!r}: the prompt has {counted(words, 'word')}")


def _check_origin(trace: Trace) -> None:
    """What a run began with names places and objects that exist."""
    origin = trace.origin
    if origin is None:
        return
    require(isinstance(origin, Origin), f"origin is {type(origin).__name__}: give an Origin or None")
    (height, width), subjects = trace.tokens.shape, len(trace.prompt.subjects)
    require(origin.kind in get_args(Kind), f"origin.kind={origin.kind!r}: choose one of {', '.join(get_args(Kind))}")
    require(len(origin.source) <= 64, f"origin.source has {len(origin.source)} characters: at most 64")
    longest = len(origin.source_prompt)
    require(longest <= MAX_TEXT_CHARS, f"origin.source_prompt has {longest} characters: at most {MAX_TEXT_CHARS}")
    step, number, strength = origin.after_step, origin.round, origin.strength
    require(step is None or 0 <= step < MAX_STEPS, f"origin.after_step={step}: give a step below {MAX_STEPS}")
    require(number is None or 1 <= number <= MAX_STEPS, f"origin.round={number}: give 1 to {MAX_STEPS}")
    require(strength is None or 0 <= strength <= 1, f"origin.strength={strength}: give 0 to 1")
    guide, codebook = origin.guide, trace.model.codebook_size
    fits = len(guide) == (height * width if origin.kind == "sketch" else 0) and all(0 <= token < codebook for token in guide)
    require(fits, f"origin.guide has {len(guide)} tokens: a sketch has one of 0..{codebook - 1} for each cell, other kinds none")
    require(origin.kind != "sketch" or strength is not None, "origin.strength is missing: a sketch says how much likeness counts")
    down, right = origin.shift
    require(abs(down) < height and abs(right) < width, f"origin.shift={origin.shift}: less than the grid, {height} by {width} cells")
    require(_distinct([region.subject for region in origin.regions], subjects), f"origin.regions: give different objects below {subjects}")
    for region in origin.regions:
        top, left, bottom, right = region.box
        fits = 0 <= top < bottom <= height and 0 <= left < right <= width
        require(fits, f"origin.regions: the box {region.box} is not within the grid of {height} by {width} cells")


def _distinct(indices: Sequence[int], count: int) -> bool:
    """Whether these are different indices below count."""
    return len(indices) <= count and len(set(indices)) == len(indices) and all(0 <= index < count for index in indices)


def _settings(data: Any, name: str) -> DecodingConfig:
    try:
        config = DecodingConfig.from_dict(data)
        _ = config.total_steps, config.mask_schedule, config.noise_range  # a trace says what was in force
        return config
    except (ValueError, TypeError) as error:
        raise TraceFormatError(f"{name}: {error}") from error


def _check_pictures(trace: Trace) -> None:
    shape = trace.image.shape if isinstance(trace.image, np.ndarray) else ()
    fits = len(shape) == 3 and 1 <= shape[0] <= MAX_IMAGE_PX and 1 <= shape[1] <= MAX_IMAGE_PX and shape[2] == 3
    require(fits, f"image has shape {shape}: give H W 3, each side 1..{MAX_IMAGE_PX} px")
    check_array("image", trace.image, np.uint8, shape)
    if trace.frames is not None:
        check_array("frames", trace.frames, np.uint8, (len(trace.steps), *shape))
    require(len(trace.token_pictures) <= MAX_TOKEN_PICTURES, f"{len(trace.token_pictures)} token pictures: at most {MAX_TOKEN_PICTURES}")
    first = next(iter(trace.token_pictures.values()), None)
    for token, picture in trace.token_pictures.items():
        require(0 <= token < trace.model.codebook_size, f"token picture of id {token}: allowed 0..{trace.model.codebook_size - 1}")
        assert first is not None
        fits = first.ndim == 3 and first.shape[2] == 3 and all(1 <= side <= MAX_TOKEN_PICTURE_PX for side in first.shape[:2])
        require(fits, f"token pictures have shape {first.shape}: give p p 3, p from 1 to {MAX_TOKEN_PICTURE_PX}")
        size = first.size * len(trace.token_pictures)
        require(size <= MAX_TOKEN_PICTURE_BYTES, f"the token pictures have {size} bytes: at most {MAX_TOKEN_PICTURE_BYTES}")
        check_array(f"token picture {token}", picture, np.uint8, first.shape)


def _check_sane(name: str, values: np.ndarray) -> None:
    """What scores are made of is finite, and small enough to be computed with in float32."""
    wrong = values[~(np.abs(values) <= MAX_SCORE)]  # not-a-number is never below
    require(not wrong.size, f"{name}={wrong[0] if wrong.size else 0:g}: give numbers from {-MAX_SCORE:g} to {MAX_SCORE:g}")


def _check_record(record: StepRecord, count: int, codebook: int, columns: int) -> None:
    where = f"step {record.step}: "
    check_array(where + "sampled", record.sampled, np.int32, (count,), 0, codebook - 1)
    check_array(where + "committed", record.committed, np.bool_, (count,))
    check_array(where + "masked_before", record.masked_before, np.bool_, (count,))
    check_array(where + "scores", record.scores, np.float32, (count,))
    for name in ("confidence", "noise", "contrast"):
        check_array(where + name, getattr(record, name), np.float32, (count,))
        _check_sane(where + name, getattr(record, name))
    _check_sane(where + "weight", np.array([record.weight]))
    # Infinite where a step committed nothing.
    _check_sane(where + "cutoff", np.array([0.0 if record.cutoff == np.inf else record.cutoff]))
    _check_sane(f"{where}scores of masked positions", record.scores[record.masked_before])
    require(bool((record.scores[~record.masked_before] == -np.inf).all()), f"{where}scores of committed positions must be -inf")
    require(not (record.committed & ~record.masked_before).any(), f"{where}a position that was not masked is committed")
    require(
        record.passes is None or 0 <= record.passes <= MAX_PASSES, f"{where}passes={record.passes}: give a number from 0 to {MAX_PASSES}"
    )
    shapes: dict[str, tuple[int, ...]] = {"attention": (columns, count), "entropy": (count,)}
    shapes |= dict.fromkeys(("sight", "reopened", "likelihood", "renewed"), (count,))
    if record.attention_full is not None:
        shape = record.attention_full.shape
        fits = len(shape) == 4 and max(shape[0], shape[1]) <= MAX_LAYERS and shape[2:] == (columns, count)
        require(fits, f"{where}attention_full has shape {shape}, expected l h {columns} {count}")
        shapes["attention_full"] = shape
    require((record.alternatives is None) == (record.alternative_probs is None), f"{where}alternatives need their probabilities")
    if record.alternatives is not None:
        shape = record.alternatives.shape
        require(len(shape) == 2 and 1 <= shape[1] <= MAX_ALTERNATIVES, f"{where}alternatives has shape {shape}")
        shapes["alternatives"] = shapes["alternative_probs"] = (count, shape[1])
    for name, shape in shapes.items():
        values = getattr(record, name)
        if values is not None:
            dtype = {"alternatives": np.int32, "sight": np.uint16, "reopened": np.uint8, "renewed": np.bool_}.get(name, np.float32)
            check_array(where + name, values, dtype, shape, *value_range(name, codebook))

    if record.renewed is not None:
        require(not (record.committed & ~record.renewed).any(), f"{where}a position is committed that the model did not run")
