"""What one decoding run is: prompt, settings, starting point. Validated against a backend before the first forward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from uncage_demo.backends.base import Backend
from uncage_demo.config import DecodingConfig, parse_attention_source
from uncage_demo.orders.contrast import untokenized_words
from uncage_demo.orders.table import ORDERS
from uncage_demo.prompt.judging import counted
from uncage_demo.trace.origin import Origin
from uncage_demo.types import Prompt


@dataclass(frozen=True)
class WholeStep:
    """A step that ran the whole grid, which a partial one draws on (see `reuse`).

    Args:
        step: s.
        tokens: "n" int, -1 = masked, when it began; sight: as `Start`.
        group: "n" bool, the cells that partial steps run.
    """

    step: int
    tokens: np.ndarray
    sight: np.ndarray | None
    group: np.ndarray


@dataclass(frozen=True)
class Start:
    """Where decoding begins, when not from an all-masked grid: editing, resuming, branching.

    Args:
        tokens: "n" int ids, -1 = masked.
        step: first step to run, 0..T-1.
        unmask_step: "n" int, step at which each present token was committed; -1 = given from outside (an image being edited),
            which the schedule does not count. None = every present token is given.
        keep: {masked position: id} committed with this id in the first step that runs, whatever its score.
        hold: masked positions that the first step that runs must not commit.
        forbid: {position: ids} that may never be sampled there; a present token with a forbidden id is a contradiction.
        sight: "n" uint16, whose words each position may read (see `sight.own_sight`); None = everybody's, or what the regions say.
        origin: how the tokens came about; its regions say where objects are asked for (see `sampler`).
        before: what the model saw one step earlier, tokens "n" and sight: differential sampling compares with it. None = nothing.
        whole: the step that ran the whole grid last, where the first step to run is a partial one; None = it runs the whole grid.
        likelihoods: of each earlier step, "n" float32 log p of the tokens that were there, NaN where masked: what a revision remembers.
    """

    tokens: np.ndarray
    step: int = 0
    unmask_step: np.ndarray | None = None
    keep: Mapping[int, int] = field(default_factory=dict)
    hold: frozenset[int] = frozenset()
    forbid: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    sight: np.ndarray | None = None
    before: tuple[np.ndarray, np.ndarray | None] | None = None
    likelihoods: Sequence[np.ndarray] = ()
    whole: WholeStep | None = None
    origin: Origin | None = None


@dataclass(frozen=True)
class Run:
    """One sample to decode.

    Args:
        prompt: as parsed for the backend.
        config: settings; None values are filled with the backend's defaults.
        start: None = all positions masked, from step 0.
        suppress: text token indices hidden from the model's attention (a causal knock-out); needs a backend that can.
    """

    prompt: Prompt
    config: DecodingConfig
    start: Start | None = None
    suppress: tuple[int, ...] = ()


@dataclass(frozen=True)
class RecordOptions:
    """How much of each step is kept. What is decoded never depends on it.

    Args:
        level: "full" keeps attention, alternatives and entropy of every step; "minimal" only what the decisions themselves need.
        full_attention: also every layer and head (large).
        alternatives: how many of the most probable tokens to keep a position, 1..16.
    """

    level: Literal["full", "minimal"] = "full"
    full_attention: bool = False
    alternatives: int = 4

    def __post_init__(self) -> None:
        if self.level not in ("full", "minimal"):
            raise ValueError(f'level={self.level!r}: choose "full" or "minimal"')
        if not 1 <= self.alternatives <= 16:
            raise ValueError(f"alternatives={self.alternatives!r}: give a whole number from 1 to 16")


def recorded_columns(prompt: Prompt) -> tuple[int, ...]:
    """Text columns whose attention a trace records: every token of the text, and the first of each kind of special token but padding."""
    seen: set[str] = set()
    columns = []
    for index, token in enumerate(prompt.tokens):
        if token.special and (token.text in seen or token.text == "<pad>"):
            continue
        if token.special:
            seen.add(token.text)
        columns.append(index)
    return tuple(columns)


def resolve(backend: Backend, run: Run) -> DecodingConfig:
    """The run's settings with the backend's defaults filled in, checked against the backend, the prompt and the start.

    Returns:
        A config that leaves nothing to the model, and whose redraw_steps is 0 where the prompt has no object to keep.

    Raises:
        ValueError: naming the setting, its value and what is allowed.
    """
    info, prompt = backend.info, run.prompt
    config = run.config.resolved(info.defaults, float(backend.default_blur))
    if config.contrast_steps is not None and config.contrast_steps > config.total_steps:
        if run.config.num_steps is not None:
            raise ValueError(f"contrast_steps={config.contrast_steps}: at most num_steps={config.num_steps}")
        # Whoever leaves the number of steps to the model cannot know it: more than there are is every step.
        config = config.with_(contrast_steps=config.total_steps)
    if config.guidance_scale is not None and config.guidance_scale < backend.least_guidance:
        config = config.with_(guidance_scale=1.0)  # its authors guide only above 1; below, they draw with the conditional half alone
    _, _, last = parse_attention_source(config.attention_source)
    if last >= info.single_layers:
        raise ValueError(f'attention_source="{config.attention_source}": {info.id} has layers 0 to {info.single_layers - 1}')
    for word in prompt.words:
        if any(not 0 <= token < len(prompt.tokens) for token in word.tokens):
            raise ValueError(f"word {word.text!r} refers to text tokens {word.tokens}; the prompt has {len(prompt.tokens)}")
    for subject in prompt.subjects:
        if any(not group or any(not 0 <= w < len(prompt.words) for w in group) for group in subject.groups):
            last_word = len(prompt.words) - 1
            raise ValueError(f"subject {subject.label!r} has word groups {subject.groups}; allowed are words 0 to {last_word}")
    lost = untokenized_words(prompt)
    if config.redrawn_steps and (lost or not prompt.subjects):
        config = config.with_(redraw_steps=0)  # nothing tells which cells to keep
    if config.varies and config.redrawn_steps:
        raise ValueError(
            f'how_many="{config.how_many}" with {counted(config.redrawn_steps, "step")} of redraw: a draft has a fixed number of steps; '
            'give how_many="schedule" or redraw_steps=0'
        )
    if run.start is not None and run.start.origin is not None and run.start.origin.kind == "sketch":
        _check_sketch(config)
    if config.reuse_steps:
        _check_reuse(backend, config)
    if lost and ORDERS[config.order].guided:
        raise ValueError(f"{', '.join(map(repr, lost))}: the text encoder cut this off, so guidance cannot read it; shorten the prompt")
    _check_suppress(run)
    if backend.random_start is not None:
        _check_one_step(info.id, config, run.start)
    if run.start is not None:
        check_start(run.start, config, info.grid[0] * info.grid[1], info.codebook_size)
    return config


def check_start(start: Start, config: DecodingConfig, num_tokens: int, codebook_size: int) -> None:
    """Check a starting point against a grid, a codebook and a number of steps.

    Raises:
        ValueError: naming what is wrong and what is allowed.
    """
    tokens = np.asarray(start.tokens)
    if tokens.shape != (num_tokens,) or not np.issubdtype(tokens.dtype, np.integer):
        raise ValueError(f"start.tokens is {tokens.dtype} of shape {tokens.shape}: give {num_tokens} whole numbers")
    if tokens.min() < -1 or tokens.max() >= codebook_size:
        raise ValueError(f"start.tokens holds {tokens.min()}..{tokens.max()}: allowed are -1 (masked) and 0..{codebook_size - 1}")
    if not 0 <= start.step < config.total_steps:
        raise ValueError(f"start.step={start.step}: allowed are 0..{config.total_steps - 1} for num_steps={config.num_steps}")
    if start.sight is not None and (start.sight.shape != (num_tokens,) or start.sight.dtype != np.uint16):
        raise ValueError(f"start.sight is {start.sight.dtype} of shape {start.sight.shape}: give {num_tokens} numbers of type uint16")
    masked = tokens < 0
    if start.unmask_step is not None:
        steps = np.asarray(start.unmask_step)
        if steps.shape != (num_tokens,) or (steps[~masked] >= start.step).any():
            raise ValueError(f"start.unmask_step: give {num_tokens} steps, those of present tokens below start.step={start.step}")
    for name, positions in (("keep", start.keep), ("hold", start.hold), ("forbid", start.forbid)):
        wrong = [p for p in positions if not 0 <= p < num_tokens]
        if wrong:
            raise ValueError(f"start.{name}: position {wrong[0]} is outside 0..{num_tokens - 1}")
    for name, positions in (("keep", start.keep), ("hold", start.hold)):
        present = [p for p in positions if not masked[p]]
        if present:
            raise ValueError(f"start.{name}: position {present[0]} is not masked at step {start.step}")
    if set(start.keep) & start.hold:
        raise ValueError(f"start.keep and start.hold both name position {min(set(start.keep) & start.hold)}")
    if start.hold and start.step == config.total_steps - 1:
        raise ValueError(f"position {min(start.hold)} cannot be held back at step {start.step}: the last step commits everything")
    for position, ids in start.forbid.items():
        if any(not 0 <= i < codebook_size for i in ids):
            raise ValueError(f"start.forbid: ids {ids} at position {position}; allowed are 0..{codebook_size - 1}")
        if len(set(ids)) >= codebook_size:
            raise ValueError(f"start.forbid: every id is forbidden at position {position}")
        if int(tokens[position]) in ids or start.keep.get(position, -1) in ids:
            raise ValueError(f"start.forbid: position {position} holds a forbidden id already")
    for position, token in start.keep.items():
        if not 0 <= token < codebook_size:
            raise ValueError(f"start.keep: id {token} at position {position}; allowed are 0..{codebook_size - 1}")


def _check_reuse(backend: Backend, config: DecodingConfig) -> None:
    """A group of cells is named before its steps are run: nothing may change how many these are, or compare them with others."""
    said = f"reuse_steps={config.reuse_steps}"
    if not backend.keeps_features:
        raise ValueError(f"{said}: {backend.info.id} cannot reuse features of an earlier step; give 0")
    if config.varies:
        raise ValueError(f'{said} with how_many="{config.how_many}": give how_many="schedule" or reuse_steps=0')
    if config.revision is not None:
        raise ValueError(f'{said} with revise="{config.revise}": give revise="none" or reuse_steps=0')
    if config.differential:
        raise ValueError(f"{said} with differential={config.differential:g}: give 0 for one of them")


# What a run after the structure of a picture leaves at its usual value: it takes cells back itself, in a fixed number of steps.
SKETCH_SETTINGS: dict[str, Any] = {"revise": "none", "how_many": "schedule", "reuse_steps": 0}


def _check_sketch(config: DecodingConfig) -> None:
    """A sketch decides by itself what is taken back, and in one run of a fixed length."""
    given = next((f"{name}={getattr(config, name)!r}" for name, value in SKETCH_SETTINGS.items() if getattr(config, name) != value), None)
    if config.redrawn_steps:
        given = f"{counted(config.redrawn_steps, 'step')} of redraw"
    if given is not None:
        raise ValueError(f"{given} in a run after the structure of a picture: it takes cells back itself; leave this at its usual value")


def _check_suppress(run: Run) -> None:
    if any(not 0 <= token < len(run.prompt.tokens) for token in run.suppress):
        raise ValueError(f"suppress={run.suppress}: allowed are text tokens 0..{len(run.prompt.tokens) - 1}")


def _check_one_step(model: str, config: DecodingConfig, start: Start | None) -> None:
    if config.num_steps != 1:
        raise ValueError(f"num_steps={config.num_steps}: {model} draws every position in one step, so give 1")
    if start is not None and (np.asarray(start.tokens) >= 0).any():
        raise ValueError(f"start.tokens: {model} draws every position anew in one step, so no token can be given and no picture edited")
