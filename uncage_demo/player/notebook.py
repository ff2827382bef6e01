"""The player in a notebook: each in a frame of its own with everything in it; several stand in one notebook, none needs a network."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from uncage_demo.diagnosis.diagnose import diagnose
from uncage_demo.files import write_atomically
from uncage_demo.player.head_maps import recorded_heads
from uncage_demo.player.page import standalone_html
from uncage_demo.player.payload import build_payload
from uncage_demo.prompt.judging import counted
from uncage_demo.trace.record import Trace
from uncage_demo.types import Verdict

HEIGHT_PX = 860
MOST_RUNS = 6  # of one player, as on the page


@dataclass(frozen=True)
class Shown:
    """Runs as players, one for each prompt and model. The last value of a notebook's cell shows itself.

    Args:
        pages: HTML of each player, whole.
        height_px: of each frame.
    """

    pages: tuple[str, ...]
    height_px: int = HEIGHT_PX

    def _repr_html_(self) -> str:
        """Each page in a frame that shares nothing with the notebook: no cookies, no network, no access to the document around it."""
        look = f"width:100%;height:{self.height_px}px;border:0;resize:vertical;overflow:auto"
        return "\n".join(
            f'<iframe title="Uncage player" sandbox="allow-scripts allow-downloads" style="{look}" srcdoc="{html.escape(page)}"></iframe>'
            for page in self.pages
        )

    def __repr__(self) -> str:
        count = len(self.pages)
        return f"<{count} player{'s' * (count != 1)}: the last value of a notebook's cell shows itself; save(path) writes a page>"

    def save(self, path: str | Path) -> Path:
        """Write the player as a page that opens offline; of several, each into a file of its own ("name-2.html").

        Args:
            path: ends in .html.

        Returns:
            The first file.
        """
        first = Path(path)
        for number, page in enumerate(self.pages, 1):
            write_atomically(first if number == 1 else first.with_stem(f"{first.stem}-{number}"), page)
        return first


def show(traces: Trace | Sequence[Trace], *, verdicts: Sequence[Verdict | None] | None = None, height_px: int = HEIGHT_PX) -> Shown:
    """The player of some runs, as a notebook shows it.

    Args:
        traces: one run, or several; up to six of one prompt and model stand side by side, others below each other.
        verdicts: what a scorer says of each (`backend.judge(trace, trace.prompt)`), or None.
        height_px: of each player's frame, 200 to 4000.

    Raises:
        ValueError: no runs, another number of verdicts, or a height out of range.
    """
    runs = [traces] if isinstance(traces, Trace) else list(traces)
    if not runs:
        raise ValueError("0 traces: give at least one")
    if verdicts is not None and len(verdicts) != len(runs):
        raise ValueError(f"{counted(len(verdicts), 'verdict')} of {counted(len(runs), 'trace')}: give one for each, or None")
    if isinstance(height_px, bool) or not isinstance(height_px, int) or not 200 <= height_px <= 4000:
        raise ValueError(f"height_px={height_px!r}: give a whole number from 200 to 4000")
    judged = list(zip(runs, verdicts or [None] * len(runs), strict=True))
    groups: dict[object, list[tuple[Trace, Verdict | None]]] = {}
    for trace, verdict in judged:
        groups.setdefault((trace.prompt.text, trace.model.id, trace.grid, trace.model.codebook_size), []).append((trace, verdict))
    parts = [group[at : at + MOST_RUNS] for group in groups.values() for at in range(0, len(group), MOST_RUNS)]
    return Shown(tuple(_page(part) for part in parts), height_px)


def _page(part: Sequence[tuple[Trace, Verdict | None]]) -> str:
    traces, verdicts = [trace for trace, _ in part], [verdict for _, verdict in part]
    ids = [str(number) for number in range(len(traces))]
    findings = [diagnose(trace, verdict) for trace, verdict in part]
    payload = build_payload(traces, verdicts, findings, ids=ids) | {"heads": recorded_heads(traces, ids)}
    return standalone_html(payload, traces[0].prompt.text)
