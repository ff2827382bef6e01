"""One editing request as plain values, so that the command line, the API and the page ask for the same things in the same way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import get_args

from uncage_demo.backends.base import Backend
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.run import Run
from uncage_demo.editing.edit import stream_remix
from uncage_demo.editing.plans import Given, plan_compose, plan_edit, plan_extend, plan_picture, plan_sketch, prompt_of
from uncage_demo.orders.table import order_of
from uncage_demo.runner import Frames, Progress, stream
from uncage_demo.setting import listed
from uncage_demo.trace.origin import Kind
from uncage_demo.types import Prompt

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class EditRequest:
    """What is asked for; see the functions of `editing.edit` for each kind.

    Args:
        kind: "edit", "extend", "remix", "compose", "picture" or "sketch".
        prompt: what to draw; None = the run's.
        cells: of "edit", the cells that are erased.
        after_step: of "edit", the step of the run that it starts from; None = the end.
        shift: of "extend", rows down and columns right.
        strength: of "remix" and "sketch"; rounds: of "remix".
        pins: of "compose", (cell, token id).
        regions: of "compose" and "edit", (object of the prompt, box in cells).
        orders: draw it in each of these orders, side by side; () = the order of the settings. A remix takes one at most.
        seed: None = that of the settings.
        config: settings; None = the run's with the next seed, or the usual ones where there is no run.
    """

    kind: Kind
    prompt: str | Prompt | None = None
    cells: tuple[int, ...] = ()
    after_step: int | None = None
    shift: tuple[int, int] = (0, 0)
    strength: float = 0.5
    rounds: int = 3
    pins: tuple[tuple[int, int], ...] = ()
    regions: tuple[tuple[int, Box], ...] = ()
    orders: tuple[str, ...] = ()
    seed: int | None = None
    config: DecodingConfig | None = None


def runs_of(backend: Backend, given: Given | None, request: EditRequest) -> list[Run]:
    """The runs of a request, one an order; not for a remix, whose rounds build on one another.

    Args:
        backend: the model.
        given: a run, or tokens; None for "compose".
        request: what is asked for.

    Raises:
        ValueError: nothing given where something is needed, an unknown kind or order, or as the functions of `editing.edit`.
    """
    if request.kind == "compose":
        prompt = prompt_of(backend, given, request.prompt)
        run = plan_compose(backend, prompt, pins=dict(request.pins), regions=dict(request.regions), config=request.config)
    elif given is None:
        raise ValueError(f"{request.kind} needs a run or a picture to start from")
    elif request.kind == "edit":
        run = plan_edit(
            backend,
            given,
            list(request.cells),
            prompt=request.prompt,
            config=request.config,
            after_step=request.after_step,
            regions=dict(request.regions),
        )
    elif request.kind == "extend":
        run = plan_extend(backend, given, request.shift, prompt=request.prompt, config=request.config)
    elif request.kind == "sketch":
        run = plan_sketch(backend, given, strength=request.strength, prompt=request.prompt, config=request.config)
    elif request.kind == "picture":
        assert not hasattr(given, "steps"), "a run needs no reading"
        run = plan_picture(backend, given, prompt_of(backend, given, request.prompt), request.config)  # pyright: ignore[reportArgumentType]
    else:
        raise ValueError(f"kind={request.kind!r}: choose one of {', '.join(kind for kind in get_args(Kind) if kind != 'remix')}")
    return [_chosen(run, order, request.seed) for order in request.orders or (run.config.order,)]


def stream_request(backend: Backend, given: Given | None, request: EditRequest, *, frames: Frames = True) -> Iterator[Progress]:
    """Do what is asked for, telling after every step as `runner.stream` does; the last item carries the traces.

    Args:
        backend, given, request: as `runs_of`.
        frames: as `runner.stream`.

    Raises:
        ValueError: as `runs_of`, or several orders for a remix; before the first forward.
    """
    if request.kind != "remix":
        yield from stream(backend, runs_of(backend, given, request), frames=frames)
        return
    if given is None:
        raise ValueError("remix needs a run or a picture to start from")
    if len(request.orders) > 1:
        raise ValueError(f"orders={listed(request.orders, 80)}: a remix is drawn in one order at a time, so give one")
    yield from stream_remix(
        backend,
        given,
        prompt_of(backend, given, request.prompt),
        strength=request.strength,
        rounds=request.rounds,
        config=request.config,
        adjust=lambda run: _chosen(run, (request.orders or (run.config.order,))[0], request.seed),
        frames=frames,
    )


def cost_of(request: EditRequest, steps: int) -> int:
    """Decoding steps of a request at most, all its pictures together, for runs of so many steps."""
    return steps * (request.rounds if request.kind == "remix" else max(1, len(request.orders)))


def _chosen(run: Run, order: str, seed: int | None) -> Run:
    order_of(order)
    changes = {"order": order} | ({} if seed is None else {"seed": seed})
    return replace(run, config=run.config.with_(**changes))


def checked_orders(orders: Sequence[str], most: int) -> tuple[str, ...]:
    """Different orders, at most so many.

    Raises:
        ValueError: an unknown order, one twice, or too many.
    """
    for order in orders:
        order_of(order)
    if len(set(orders)) < len(orders) or len(orders) > most:
        raise ValueError(f"orders {listed(orders, 80)}: give at most {most} different ones")
    return tuple(orders)
