"""Edits on the device: by way of the line, judged, kept. The brush, a picture of one's own and the endpoints all go this way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from uncage_demo import runner
from uncage_demo.backends.zero_gpu import borrows_gpu
from uncage_demo.config import DecodingConfig
from uncage_demo.editing.plans import Given, own_settings
from uncage_demo.editing.request import EditRequest, cost_of, stream_request
from uncage_demo.trace.record import Trace
from uncage_demo.types import Prompt
from uncage_demo.ui import device_runs
from uncage_demo.ui.device_runs import Finished
from uncage_demo.ui.handlers import Handlers
from uncage_demo.ui.jobs import Job, Shown, check_cost
from uncage_demo.ui.listeners import while_heard
from uncage_demo.ui.models import own_steps
from uncage_demo.ui.runs import Made


def seconds_for(slot: int, model: str, given: Given | None, request: EditRequest) -> int:
    """As device_runs.seconds_for, for an edit."""
    config = request.config or (own_settings(given) if isinstance(given, Trace) else DecodingConfig())
    prompt = Prompt("", (), ())
    return device_runs.seconds_for(slot, model, [runner.Run(prompt, config)] * cost_of(request, 1))


@borrows_gpu(seconds_for)
def stream_edit(slot: int, model: str, given: Given | None, request: EditRequest) -> Iterator[runner.Progress | Finished]:
    """editing.request.stream_request on the slot's model, judged before the device is given back."""
    backend = device_runs.backend_of(slot, model)
    yield from device_runs.judged(backend, stream_request(backend, given, request))


def follow(handlers: Handlers, model: str, given: Given | None, request: EditRequest, edits: str = "") -> Iterator[str | Made]:
    """Progress messages of an edit and its end, by way of the line. Closing it leaves; what nobody waits for stops.

    Args:
        handlers: of the page.
        model: name of the backend with its age.
        given, request: as `request.stream_request`.
        edits: the corrections of the prompt, kept with the runs.

    Raises:
        ValueError: a request that would hold the device for too long, or that does not fit.
    """
    backend = handlers.slot.get(model)
    config = request.config or (own_settings(given) if isinstance(given, Trace) else DecodingConfig())
    steps = config.num_steps or own_steps(model)
    check_cost(cost_of(request, 1), 1, steps)

    def make() -> Job:
        return Job(
            work=lambda together: stream_edit(handlers.slot_number, model, given, request),
            runs=(),
            cost=cost_of(request, steps),
            grid=backend.info.grid,
            keep=lambda finished: handlers.keep(finished, edits),
            shared_device=handlers.slot.shares_cores(model),
            gate=handlers.slot.gate(model),
        )

    for item in while_heard(handlers.line.follow(None, make)):
        # the runs on stage stay while an edit is decoded
        yield from handlers._news(replace(item, pictures=None) if isinstance(item, Shown) else item, (), {})
