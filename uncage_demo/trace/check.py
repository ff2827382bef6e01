"""What makes a trace valid: shapes, dtypes and ranges of every array, and that the steps tell one consistent story.

The same check runs on traces that were just made and on traces from files.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from uncage_demo.config import DecodingConfig
from uncage_demo.trace.record import StepRecord, Trace, TraceFormatError
from uncage_demo.types import Prompt

# Bounds of anything a trace may claim; checked before memory is taken.
MAX_GRID = 256
MAX_STEPS = 256
MAX_TEXT_TOKENS = 512
MAX_WORDS = 512
MAX_TEXT_CHARS = 4096
MAX_CODEBOOK = 1 << 20
MAX_IMAGE_PX = 4096
MAX_ALTERNATIVES = 16
MAX_LAYERS = 256
MAX_TOKEN_PICTURES = 1 << 14

# Probabilities and attention are float32 sums; they may exceed 1 by rounding.
_PROBABILITY_SLACK = 1e-3


def check_trace(trace: Trace) -> None:
    """Check a whole trace.

    Raises:
        TraceFormatError: naming the part, its value and what is allowed.
    """
    config = _check_config(trace)
    check_prompt(trace.prompt)
    height, width = trace.grid if trace.tokens.ndim == 2 else (0, 0)
    count = height * width
    _require(1 <= height <= MAX_GRID and 1 <= width <= MAX_GRID, f"tokens has shape {trace.tokens.shape}: give y x, each 1..{MAX_GRID}")
    _require(tuple(trace.model.grid) == (height, width), f"tokens is {height}x{width}, the model's grid is {trace.model.grid}")
    _require(1 <= trace.model.codebook_size <= MAX_CODEBOOK, f"model.codebook_size={trace.model.codebook_size}: 1..{MAX_CODEBOOK}")
    check_array("tokens", trace.tokens, np.int32, (height, width), 0, trace.model.codebook_size - 1)
    check_array("unmask_step", trace.unmask_step, np.int32, (height, width), -1, config.total_steps - 1)
    columns = trace.columns
    _require(
        len(set(columns)) == len(columns) and all(0 <= c < len(trace.prompt.tokens) for c in columns),
        f"columns={columns}: give different indices below {len(trace.prompt.tokens)}",
    )
    _check_lineage(trace)
    _check_pictures(trace)
    _require(1 <= len(trace.steps) <= MAX_STEPS, f"{len(trace.steps)} steps: give 1..{MAX_STEPS}")
    for index, record in enumerate(trace.steps):
        expected = config.total_steps - len(trace.steps) + index
        _require(record.step == expected, f"steps[{index}].step={record.step}, expected {expected} (num_steps={config.total_steps})")
        _check_record(record, count, trace.model.codebook_size, len(columns))
    _check_story(trace)


def check_prompt(prompt: Prompt) -> None:
    """Check that a prompt's spans, token indices and word indices exist.

    Raises:
        TraceFormatError: naming the part that does not fit.
    """
    _require(len(prompt.text) <= MAX_TEXT_CHARS, f"prompt of {len(prompt.text)} characters: at most {MAX_TEXT_CHARS}")
    _require(1 <= len(prompt.tokens) <= MAX_TEXT_TOKENS, f"{len(prompt.tokens)} text tokens: give 1..{MAX_TEXT_TOKENS}")
    _require(len(prompt.words) <= MAX_WORDS, f"{len(prompt.words)} words: at most {MAX_WORDS}")
    for piece in (*prompt.tokens, *prompt.words):
        fits = 0 <= piece.start <= piece.end <= len(prompt.text)
        _require(fits, f"{piece.text!r} spans {piece.start}..{piece.end} of a text of {len(prompt.text)} characters")
    for word in prompt.words:
        _require(all(0 <= t < len(prompt.tokens) for t in word.tokens), f"word {word.text!r} has text tokens {word.tokens}")
    for subject in prompt.subjects:
        for group in subject.groups:
            fits = len(group) > 0 and all(0 <= w < len(prompt.words) for w in group)
            _require(fits, f"subject {subject.label!r} has the word group {group}; there are {len(prompt.words)} words")
    for unknown in prompt.unknown:
        _require(0 <= unknown.word < len(prompt.words), f"unknown word {unknown.word}; there are {len(prompt.words)} words")


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


def reopening_steps(trace: Trace) -> set[int]:
    """Steps before which committed positions may be masked again: where a branch took over from its parent, and where a redraw begins."""
    lines = [line for line in (trace.lineage, *trace.lineage.get("earlier", [])) if line]
    configs = [DecodingConfig.from_dict(data) for data in (trace.config, *(line["parent_config"] for line in lines))]
    return {line["at_step"] for line in lines} | {config.draft_steps for config in configs if config.redrawn_steps}


def _check_lineage(trace: Trace) -> None:
    """A lineage is {} or says parent, step, edits, the parent's settings, and the lines before it that still matter."""
    count, words = trace.tokens.size, len(trace.prompt.words)
    earlier = trace.lineage.get("earlier", [])
    _require(isinstance(earlier, list), "lineage.earlier must be a list")
    for line in (trace.lineage, *earlier) if trace.lineage else ():
        wanted = {"parent", "at_step", "edits", "parent_config"}
        _require(isinstance(line, dict) and wanted <= set(line) <= wanted | {"earlier"}, f"lineage needs {', '.join(sorted(wanted))}")
        _require(isinstance(line["parent"], str) and isinstance(line["parent_config"], dict), "lineage.parent and parent_config")
        _settings(line["parent_config"], "lineage.parent_config")
        _require(_is_index(line["at_step"], MAX_STEPS), f"lineage.at_step={line['at_step']!r}: give a step")
        edits = line["edits"]
        fits = isinstance(edits, dict) and set(edits) == {"keep", "drop", "forbid", "suppress_word"}
        _require(fits, "lineage.edits needs keep, drop, forbid and suppress_word")
        lists = all(isinstance(edits[name], list) for name in ("keep", "drop", "forbid"))
        _require(lists and all(_is_index(p, count) for p in (*edits["keep"], *edits["drop"])), f"lineage.edits: positions 0..{count - 1}")
        for pair in edits["forbid"]:
            fits = isinstance(pair, list) and len(pair) == 2 and _is_index(pair[0], count) and isinstance(pair[1], list)
            _require(
                fits and all(_is_index(i, trace.model.codebook_size) for i in pair[1]), "lineage.edits.forbid: pairs of position and ids"
            )
        word = edits["suppress_word"]
        _require(word is None or _is_index(word, words), f"lineage.edits.suppress_word={word!r}: there are {words} words")


def _is_index(value: Any, count: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < count


def _check_config(trace: Trace) -> DecodingConfig:
    return _settings(trace.config, "config")


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
    _require(fits, f"image has shape {shape}: give H W 3, each side 1..{MAX_IMAGE_PX} px")
    check_array("image", trace.image, np.uint8, shape)
    if trace.frames is not None:
        check_array("frames", trace.frames, np.uint8, (len(trace.steps), *shape))
    _require(len(trace.token_pictures) <= MAX_TOKEN_PICTURES, f"{len(trace.token_pictures)} token pictures: at most {MAX_TOKEN_PICTURES}")
    first = next(iter(trace.token_pictures.values()), None)
    for token, picture in trace.token_pictures.items():
        _require(0 <= token < trace.model.codebook_size, f"token picture of id {token}: allowed 0..{trace.model.codebook_size - 1}")
        assert first is not None
        _require(first.ndim == 3 and first.shape[2] == 3, f"token pictures have shape {first.shape}: give p p 3")
        check_array(f"token picture {token}", picture, np.uint8, first.shape)


def _check_record(record: StepRecord, count: int, codebook: int, columns: int) -> None:
    where = f"step {record.step}: "
    check_array(where + "sampled", record.sampled, np.int32, (count,), 0, codebook - 1)
    check_array(where + "committed", record.committed, np.bool_, (count,))
    check_array(where + "masked_before", record.masked_before, np.bool_, (count,))
    check_array(where + "scores", record.scores, np.float32, (count,))
    for name in ("confidence", "noise", "contrast"):
        check_array(where + name, getattr(record, name), np.float32, (count,))
        _require(bool(np.isfinite(getattr(record, name)).all()), f"{where}{name} is not finite everywhere")
    _require(bool(np.isfinite(record.weight)), f"{where}weight={record.weight}: give a finite number")
    _require(not np.isnan(record.cutoff), f"{where}cutoff is not a number")
    _require(bool(np.isfinite(record.scores[record.masked_before]).all()), f"{where}scores of masked positions are not all finite")
    _require(bool((record.scores[~record.masked_before] == -np.inf).all()), f"{where}scores of committed positions must be -inf")
    _require(not (record.committed & ~record.masked_before).any(), f"{where}a position that was not masked is committed")
    if record.attention is not None:
        check_array(where + "attention", record.attention, np.float32, (columns, count), 0, 1 + _PROBABILITY_SLACK)
    if record.attention_full is not None:
        shape = record.attention_full.shape
        fits = len(shape) == 4 and max(shape[0], shape[1]) <= MAX_LAYERS and shape[2:] == (columns, count)
        _require(fits, f"{where}attention_full has shape {shape}, expected l h {columns} {count}")
        check_array(where + "attention_full", record.attention_full, np.float32, shape, 0, 1 + _PROBABILITY_SLACK)
    if record.entropy is not None:
        check_array(where + "entropy", record.entropy, np.float32, (count,), -_PROBABILITY_SLACK, 64)
    _require((record.alternatives is None) == (record.alternative_probs is None), f"{where}alternatives need their probabilities")
    if record.alternatives is not None:
        shape = record.alternatives.shape
        _require(len(shape) == 2 and 1 <= shape[1] <= MAX_ALTERNATIVES, f"{where}alternatives has shape {shape}")
        check_array(where + "alternatives", record.alternatives, np.int32, (count, shape[1]), 0, codebook - 1)
        check_array(where + "alternative_probs", record.alternative_probs, np.float32, (count, shape[1]), 0, 1 + _PROBABILITY_SLACK)


def _check_story(trace: Trace) -> None:
    """Replay the commits: tokens never change once committed, the last step leaves nothing, the result is what the trace says."""
    tokens, unmask_step = trace.tokens.reshape(-1), trace.unmask_step.reshape(-1)
    reopened = reopening_steps(trace)
    masked = trace.steps[0].masked_before
    held = np.where(masked, -1, trace.steps[0].sampled)
    since = np.where(masked, -2, unmask_step)
    for record in trace.steps:
        where = f"step {record.step}: "
        added = record.masked_before & ~masked
        _require(not (masked & ~record.masked_before).any(), f"{where}a position is no longer masked but was never committed")
        _require(record.step in reopened or not added.any(), f"{where}a committed position is masked again")
        before = ~record.masked_before
        _require(bool((record.sampled[before] == held[before]).all()), f"{where}a committed token changed")
        held = np.where(record.committed, record.sampled, held)
        since = np.where(record.committed, record.step, since)
        masked = record.masked_before & ~record.committed
    _require(not masked.any(), f"{int(masked.sum())} positions are still masked after the last step")
    _require(bool((held == tokens).all()), "tokens is not what the steps committed")
    _require(bool((since == unmask_step).all()), "unmask_step is not when the steps committed")
    first = trace.steps[0].step
    given = ~trace.steps[0].masked_before & (unmask_step >= first)
    early = given & ~np.logical_or.reduce([record.committed for record in trace.steps])
    _require(not early.any(), f"unmask_step of a position present before step {first} must be below {first}")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise TraceFormatError(message)
