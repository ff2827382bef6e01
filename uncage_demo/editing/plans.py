"""Runs that do not start from an empty grid: what is given, what is drawn anew. Plans are `Run`s for `runner.stream`.

Nothing is decoded here, but a remix asks the model about a picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64

from uncage_demo.backends.base import Backend
from uncage_demo.backends.options import TRACE_KEY, ModelOptions, check_same
from uncage_demo.branching import check_weights, state_before
from uncage_demo.config import MAX_SEED, DecodingConfig
from uncage_demo.decoding.batching import Request, forward_all
from uncage_demo.decoding.run import SKETCH_SETTINGS, Run, Start
from uncage_demo.decoding.tokens import TokenOpinion, apply_guidance, guidance_at
from uncage_demo.editing.cells import MASKED, mask_of, moved, regions_of
from uncage_demo.prompt.judging import counted
from uncage_demo.prompt.parse import check_drawable, parse_prompt
from uncage_demo.setting import shortened, whole_number
from uncage_demo.trace.origin import Kind, Origin
from uncage_demo.trace.record import Trace
from uncage_demo.types import Prompt

Given = Trace | np.ndarray
# Disjoint groups of cells that are hidden one after the other to ask the model how likely the picture's own tokens are.
ASKED_GROUPS = 4
MAX_ROUNDS = 16


def plan_edit(
    backend: Backend,
    given: Given,
    mask: Any,
    *,
    prompt: Prompt | str | None = None,
    config: DecodingConfig | None = None,
    after_step: int | None = None,
    regions: Mapping[int, Sequence[int]] | None = None,
) -> Run:
    """The run that draws masked cells anew; everything else is given and stays.

    Args, Raises: as `editing.edit`.
    """
    tokens = tokens_of(backend, given, after_step)
    tokens[mask_of(mask, backend.info.grid)] = MASKED
    if not (tokens < 0).any():
        raise ValueError("mask: no cell is masked, so there is nothing to draw; mask at least one")
    return _run(backend, given, tokens, prompt, config, "edit", after_step=after_step, regions=regions)


def plan_extend(
    backend: Backend,
    given: Given,
    shift: tuple[int, int],
    *,
    prompt: Prompt | str | None = None,
    config: DecodingConfig | None = None,
) -> Run:
    """The run that moves a picture and draws the freed border.

    Args, Raises: as `editing.extend`.
    """
    tokens = moved(tokens_of(backend, given, None), shift, backend.info.grid)
    return _run(backend, given, tokens, prompt, config, "extend", shift=(int(shift[0]), int(shift[1])))


def plan_compose(
    backend: Backend,
    prompt: Prompt | str,
    *,
    pins: Mapping[int, int] | None = None,
    regions: Mapping[int, Sequence[int]] | None = None,
    config: DecodingConfig | None = None,
) -> Run:
    """The run that starts with pinned tokens and with regions for objects.

    Args, Raises: as `editing.compose`.
    """
    count, codebook = backend.info.grid[0] * backend.info.grid[1], backend.info.codebook_size
    tokens = np.full(count, MASKED, np.int64)
    for cell, token in (pins or {}).items():
        tokens[whole_number("pins: cell", cell, 0, count - 1)] = whole_number(f"pins: token at cell {cell}", token, 0, codebook - 1)
    if not (tokens < 0).any():
        raise ValueError(f"pins: all {count} cells are pinned, so there is nothing to draw; leave at least one open")
    if not pins and not regions:
        raise ValueError("nothing is pinned and no object has a region: give pins or regions, or use generate")
    return _run(backend, None, tokens, prompt, config, "compose", regions=regions)


def _check_whole(tokens: np.ndarray) -> None:
    if masked := int((tokens < 0).sum()):
        raise ValueError(f"tokens: {counted(masked, 'cell')} {'is' if masked == 1 else 'are'} masked; give a whole picture")


def plan_picture(backend: Backend, tokens: np.ndarray, prompt: Prompt | str, config: DecodingConfig | None = None) -> Run:
    """The run of one step in which a model reads a whole picture and draws nothing: what each cell attends to.

    Args:
        backend, prompt, config: as `editing.edit`.
        tokens: "y x" or "n" ids without masked cells.

    Raises:
        ValueError: as `editing.edit`.
    """
    whole = tokens_of(backend, tokens, None)
    _check_whole(whole)
    one_step = _fitted((config or DecodingConfig()).with_(num_steps=None, contrast_steps=None, redraw_steps=None), 1)
    return _run(backend, tokens, whole, prompt, one_step, "picture")


def plan_sketch(
    backend: Backend, given: Given, *, strength: float, prompt: Prompt | str | None = None, config: DecodingConfig | None = None
) -> Run:
    """The run that draws a whole picture after the structure of another one.

    Args, Raises: as `editing.sketch`.
    """
    if isinstance(strength, bool) or not isinstance(strength, (int, float)) or not 0 <= strength <= 1:
        raise ValueError(f"strength={shortened(strength)}: give a number from 0 to 1")
    guide = tokens_of(backend, given, None)
    _check_whole(guide)
    settings = _settings(given, config)
    if config is None:  # a run's own settings for taking cells back give way: a sketch does this itself
        settings = settings.with_(**SKETCH_SETTINGS)
    empty = np.full(len(guide), MASKED, np.int64)
    facts: dict[str, Any] = {"strength": float(strength), "guide": tuple(map(int, guide))}
    return _run(backend, given, empty, prompt, settings.with_(redraw_steps=0), "sketch", **facts)


def plan_remix(
    backend: Backend,
    given: Given,
    prompt: Prompt | str,
    *,
    strength: float,
    rounds: int,
    number: int,
    config: DecodingConfig | None = None,
) -> Run:
    """One round of a remix: the cells whose tokens the prompt finds least likely are opened and drawn.

    Args:
        backend, given, prompt, strength, rounds, config: as `editing.remix`; `given` is what the round before left.
        number: of the round, from 1.

    Raises:
        ValueError: as `editing.remix`.
    """
    check_remix(strength, rounds)
    tokens = tokens_of(backend, given, None)
    asked = prompt_of(backend, given, prompt)
    settings = _settings(given, config)
    likely = token_log_likelihood(backend, tokens, asked, settings)
    opened = opened_in_round(len(tokens), strength, rounds)
    tokens[np.argsort(likely, kind="stable")[:opened]] = MASKED
    return _run(backend, given, tokens, asked, config, "remix", strength=float(strength), round=number)


def check_remix(strength: float, rounds: int) -> None:
    """Raises ValueError for a strength outside 0..1 (0 draws nothing) or a number of rounds that is not allowed."""
    if isinstance(strength, bool) or not isinstance(strength, (int, float)) or not 0 < strength <= 1:
        raise ValueError(f"strength={shortened(strength)}: give a number above 0, at most 1")
    whole_number("rounds", rounds, 1, MAX_ROUNDS)


def opened_in_round(count: int, strength: float, rounds: int) -> int:
    """How many of `count` cells each round of a remix opens: together the share `strength` of them, at least one per round."""
    return min(count, max(1, round(count * strength / rounds)))


def token_log_likelihood(
    backend: Backend, tokens: Int64[np.ndarray, " n"], prompt: Prompt, config: DecodingConfig
) -> Float[np.ndarray, " n"]:
    """How likely a picture's own tokens are under a prompt: log p of each while it and others, a quarter of the cells, are hidden.

    Args:
        backend: the model.
        tokens: "n" ids of a whole picture.
        prompt: as parsed for the backend.
        config: guidance and seed (the seed says which cells are hidden together).

    Returns:
        "n" float32 log-probabilities, after guidance.

    Source: Muse (2301.00704, section 2.9) lets the model resample what a new prompt does not fit; asking in groups is this project's.
    """
    config = config.resolved(backend.info.defaults, float(backend.default_blur))
    group = np.random.default_rng([config.seed, len(tokens)]).permutation(len(tokens)) % ASKED_GROUPS
    conditioning = backend.encode_prompt(prompt)
    scale = guidance_at(config, config.total_steps - 1)
    requests = [
        Request(
            tokens=np.where(group == number, MASKED, tokens),
            step=ASKED_GROUPS - 1,
            num_steps=ASKED_GROUPS,
            conditioning=conditioning,
            text_length=len(prompt.tokens),
            unconditional=scale != 1.0,
            capture=None,
        )
        for number in range(ASKED_GROUPS)
    ]
    likely = np.zeros(len(tokens), np.float32)
    with torch.inference_mode():
        for number, output in enumerate(forward_all(backend, requests)):
            logits = apply_guidance(output.cond[0], None if output.uncond is None else output.uncond[0], scale)
            likely = np.where(group == number, TokenOpinion.from_logits(logits).confidence(tokens), likely)
    return likely


def tokens_of(backend: Backend, given: Given, after_step: int | None) -> np.ndarray:
    """The tokens "n" int64 that an edit starts from, -1 = masked; a copy.

    Args:
        backend: the model.
        given: a run of this model, or token ids "y x" or "n".
        after_step: of a run, the step after which its tokens are taken; None = at the end.

    Raises:
        ValueError: a run of other weights, a step that it does not have, or tokens that are not a grid of this model.
    """
    grid, codebook = backend.info.grid, backend.info.codebook_size
    if isinstance(given, Trace):
        check_weights(backend, given)
        check_same(ModelOptions.from_json(given.versions.get(TRACE_KEY)), backend.options, given.model, backend.info)
        last = given.steps[-1].step
        if after_step is None or after_step == last:
            return given.tokens.reshape(-1).astype(np.int64)
        return state_before(given, whole_number("after_step", after_step, given.steps[0].step, last) + 1)[0]
    if after_step is not None:
        raise ValueError(f"after_step={shortened(after_step)}: only a run has steps; these are tokens")
    tokens = np.asarray(given)
    if tokens.shape not in (grid, (grid[0] * grid[1],)) or not np.issubdtype(tokens.dtype, np.integer):
        raise ValueError(f"tokens are {tokens.dtype} of shape {tokens.shape}: give whole numbers of shape {grid} or ({grid[0] * grid[1]},)")
    if tokens.min() < MASKED or tokens.max() >= codebook:
        raise ValueError(f"tokens hold {tokens.min()}..{tokens.max()}: allowed are -1 (masked) and 0..{codebook - 1}")
    return tokens.reshape(-1).astype(np.int64)


def prompt_of(backend: Backend, given: Given | None, prompt: Prompt | str | None) -> Prompt:
    """The prompt of an edit: the given one, read where it is text, else the run's.

    Raises:
        ValueError: no prompt for tokens, or one that the model cannot draw.
    """
    if prompt is None:
        if not isinstance(given, Trace):
            raise ValueError("prompt=None: tokens have no prompt of their own, so give one")
        return given.prompt
    if isinstance(prompt, Prompt):
        return prompt
    read = parse_prompt(prompt, backend)
    check_drawable(read, backend)
    return read


def _run(
    backend: Backend,
    given: Given | None,
    tokens: np.ndarray,
    prompt: Prompt | str | None,
    config: DecodingConfig | None,
    kind: Kind,
    *,
    regions: Mapping[int, Sequence[int]] | None = None,
    **facts: Any,
) -> Run:
    asked = prompt_of(backend, given, prompt)
    source = given if isinstance(given, Trace) else None
    where = regions_of(regions or {}, asked, backend.info.grid)
    origin = Origin(kind, source.id if source else "", source.prompt.text if source else "", regions=where, **facts)
    steps = max(1, int((tokens < 0).sum()))
    settings = _settings(given, config)
    if settings.num_steps is None:
        settings = settings.with_(num_steps=backend.info.default_steps)
        settings = _fitted(settings, min(settings.total_steps, steps))
    elif config is None:
        settings = _fitted(settings, min(settings.total_steps, steps))
    return Run(asked, settings, Start(tokens=tokens, origin=origin))


def own_settings(trace: Trace) -> DecodingConfig:
    """The settings that an edit of a run begins with: the run's own; of a picture that was only read, whose one step drew nothing, the
    number of steps is left to the model."""
    config = DecodingConfig.from_dict(trace.config)
    if trace.origin is not None and trace.origin.kind == "picture":
        return config.with_(num_steps=None, contrast_steps=None, redraw_steps=None)
    return config


def _settings(given: Given | None, config: DecodingConfig | None) -> DecodingConfig:
    """The settings of an edit: those given, else the run's with the next seed, so that another picture can come."""
    if config is not None:
        return config
    if not isinstance(given, Trace):
        return DecodingConfig()
    own = own_settings(given)
    return own.with_(seed=(own.seed + 1) % (MAX_SEED + 1))


def _fitted(config: DecodingConfig, steps: int) -> DecodingConfig:
    """The settings with so many steps: no more steps than cells, or some would have nothing to do."""
    guided = None if config.contrast_steps is None else min(config.contrast_steps, steps)
    redrawn = None if config.redraw_steps is None else min(config.redraw_steps, steps - 1)
    return config.with_(num_steps=steps, contrast_steps=guided, redraw_steps=redrawn)
