"""Editing in one call: erase and draw again, extend, remix without a mask, compose with pins and regions. Each gives ordinary traces.

What is not erased stays token for token. A trace's `origin` says where its given tokens come from; its first step says what was drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from uncage_demo.backends.base import Backend
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.run import Run
from uncage_demo.editing.plans import (
    Given,
    check_remix,
    plan_compose,
    plan_edit,
    plan_extend,
    plan_picture,
    plan_remix,
    plan_sketch,
    prompt_of,
)
from uncage_demo.runner import Frames, OnStep, Progress, finish, stream
from uncage_demo.trace.record import Trace
from uncage_demo.types import Prompt


def edit(
    backend: Backend,
    given: Given,
    mask: Any,
    *,
    prompt: Prompt | str | None = None,
    config: DecodingConfig | None = None,
    after_step: int | None = None,
    regions: Mapping[int, Sequence[int]] | None = None,
    on_step: OnStep | None = None,
    frames: Frames = True,
) -> Trace:
    """Erase cells of a picture and draw them again; everything else stays token for token.

    Args:
        backend: the model; for a run, the one that made it.
        given: a run, or token ids "y x" or "n" (-1 = masked already), such as those of `encode_picture`.
        mask: what is erased: bool "y x" or "n", or numbers of cells, row by row from 0.
        prompt: what the erased cells are drawn for; None = the run's prompt.
        config: settings; None = the run's with the next seed. Where they leave the steps open, there are no more than erased cells.
        after_step: erase from what the run had after this step, 0-based; its open cells are drawn, too. None = the finished picture.
        regions: {object of the prompt: (top, left, bottom, right) in cells, half-open}: where to draw it; see `compose`.
        on_step, frames: as `runner.generate`.

    Returns:
        A trace. Given cells have unmask_step -1.

    Raises:
        ValueError: nothing to draw, a mask, step or region that does not fit, a run of other weights, or settings that do not fit.
        Cancelled: from on_step.

    Source: MaskGIT 2202.04200, section 4.3.
    """
    run = plan_edit(backend, given, mask, prompt=prompt, config=config, after_step=after_step, regions=regions)
    return finish(stream(backend, [run], frames=frames), on_step)[0]


def extend(
    backend: Backend,
    given: Given,
    shift: tuple[int, int],
    *,
    prompt: Prompt | str | None = None,
    config: DecodingConfig | None = None,
    on_step: OnStep | None = None,
    frames: Frames = True,
) -> Trace:
    """Move a picture within its grid and draw the freed border (outpainting).

    Args:
        backend, given, prompt, config, on_step, frames: as `edit`.
        shift: rows down and columns right; negative = up, left. What leaves the grid is lost.

    Raises:
        ValueError: no move, one as large as the grid, or as `edit`.
        Cancelled: from on_step.

    Source: MaskGIT 2202.04200, section 4.3.
    """
    return finish(stream(backend, [plan_extend(backend, given, shift, prompt=prompt, config=config)], frames=frames), on_step)[0]


def compose(
    backend: Backend,
    prompt: Prompt | str,
    *,
    pins: Mapping[int, int] | None = None,
    regions: Mapping[int, Sequence[int]] | None = None,
    config: DecodingConfig | None = None,
    on_step: OnStep | None = None,
    frames: Frames = True,
) -> Trace:
    """Generate with tokens pinned, or with regions for objects, before the first step.

    Inside a region the picture reads the words of the region's objects and of no other one; outside of all regions it reads those of
    objects without a region. The first quarter of the steps commits cells of regions only, as long as there are enough. The verdict says
    whether an object is in its region.

    Args:
        backend, config, on_step, frames: as `edit`.
        prompt: what to draw.
        pins: {cell: token id} that are there from the start and stay; `editing.cells.patch_of` takes them from another picture.
        regions: {object of the prompt, counted from 0: (top, left, bottom, right) in cells, half-open}.

    Raises:
        ValueError: neither pins nor regions, one that does not fit, a backend that cannot hide words, or settings that do not fit.
        Cancelled: from on_step.

    Source: regions bound to phrases by masked cross-attention: 2302.08113; here in every order of a masked model (this project).
    """
    run = plan_compose(backend, prompt, pins=pins, regions=regions, config=config)
    return finish(stream(backend, [run], frames=frames), on_step)[0]


def remix(
    backend: Backend,
    given: Given,
    prompt: Prompt | str,
    *,
    strength: float = 0.5,
    rounds: int = 3,
    config: DecodingConfig | None = None,
    on_step: OnStep | None = None,
    frames: Frames = True,
) -> list[Trace]:
    """Edit without a mask: in some rounds, the cells that a new prompt finds least likely are opened and drawn.

    Args:
        backend, given, config, on_step, frames: as `edit`. Each round after the first takes the settings of the one before, next seed.
        prompt: what the picture should become.
        strength: the share of all cells that the rounds open together, above 0, at most 1. A cell may be opened more than once.
        rounds: 1..16.

    Returns:
        One trace a round; the last one is the result.

    Raises:
        ValueError: a strength or number of rounds that is not allowed, or as `edit`.
        Cancelled: from on_step.

    Source: Muse 2301.00704, section 2.9.
    """
    items = stream_remix(backend, given, prompt, strength=strength, rounds=rounds, config=config, frames=frames)
    return finish(items, on_step)


def stream_remix(
    backend: Backend,
    given: Given,
    prompt: Prompt | str,
    *,
    strength: float = 0.5,
    rounds: int = 3,
    config: DecodingConfig | None = None,
    adjust: Callable[[Run], Run] = lambda run: run,
    frames: Frames = True,
) -> Iterator[Progress]:
    """As `remix`, telling after every step as `runner.stream` does; the last item carries the traces of all rounds.

    Args:
        backend, given, prompt, strength, rounds, config, frames: as `remix`.
        adjust: last changes of the first round's run.

    Raises:
        ValueError: as `remix`, before the first forward.
    """
    check_remix(strength, rounds)
    asked = prompt_of(backend, given, prompt)
    made: list[Trace] = []
    for number in range(1, rounds + 1):
        latest: Given = made[-1] if made else given
        settings = None if made else config
        run = plan_remix(backend, latest, asked, strength=strength, rounds=rounds, number=number, config=settings)
        run = run if made else adjust(run)
        for item in stream(backend, [run], frames=frames):
            if item.traces is None:
                yield item
            else:
                made += item.traces
                if number == rounds:
                    yield Progress(item.step, item.num_steps, item.records, item.elapsed_s, item.frames, made)


def sketch(
    backend: Backend,
    given: Given,
    *,
    prompt: Prompt | str | None = None,
    strength: float = 0.5,
    config: DecodingConfig | None = None,
    on_step: OnStep | None = None,
    frames: Frames = True,
) -> Trace:
    """Draw a new picture after the structure of another one: each cell is to look around in it as the same cell of that one does.

    In every step a further forward reads attention within the picture that was just drawn. Cells whose attention is least like the
    guiding picture's stay masked, or are masked again. The order of the settings is not asked.

    Args:
        backend: an embedded model; for a run, the one that made it.
        given: the guiding picture: a run, or token ids "y x" or "n" without masked ones, such as those of `encode_picture`.
        prompt: what is drawn; None = the run's prompt.
        strength: how much likeness counts against the model's own probability, 0..1.
        config: settings; None = the run's with the next seed. Nothing redraws.
        on_step, frames: as `runner.generate`.

    Raises:
        ValueError: a strength out of range, a picture that is not whole, a model that does not tell attention within the picture, settings
            that take cells back themselves, or as `edit`.
        Cancelled: from on_step.

    Source: 2302.05496 (MaskSketch).
    """
    run = plan_sketch(backend, given, strength=strength, prompt=prompt, config=config)
    return finish(stream(backend, [run], frames=frames), on_step)[0]


def look(backend: Backend, tokens: Any, prompt: Prompt | str, config: DecodingConfig | None = None) -> Trace:
    """A run of one step in which the model reads a whole picture and draws nothing: a picture of one's own, ready to be edited.

    Args:
        backend, tokens, prompt, config: as `plans.plan_picture`.

    Raises:
        ValueError: as `plans.plan_picture`.
    """
    return finish(stream(backend, [plan_picture(backend, tokens, prompt, config)]))[0]
