"""What a trace shows about its objects: which cells each word leads in, when that settled, how objects and attributes mix. Numbers only.

Shapes: s recorded step, o object, n cell (y x grid, row-major). A map here is *relative*: attention divided by its own average over
the picture at that step, so that words with a loud map and words with a quiet one can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from uncage_demo.decoding.order import select
from uncage_demo.trace.record import Trace

NOBODY = -1


@dataclass(frozen=True)
class Thresholds:
    """Every number the diagnosis decides by.

    Args:
        own_gap: an object leads in a cell when its share of the objects' relative maps there exceeds the next one's by this (0..1);
            0.2 is 60 % against 40 %.
        own_floor: and its map there is at least this many times its own average.
        evidence_at: "commit" reads each cell when it was committed, "final" all cells at the last recorded step.
        smooth_steps: maps are averaged over this many neighbouring steps (odd).
        missing_share: an object whose largest connected patch of led cells is at most this share of the picture is called missing.
        faint_doubt: an object is called faint when the model was at least this unsure where the object's map is highest, compared with the
            cells that no object leads in (mean entropy against mean entropy when committed; 1 is as unsure as there, at most 10).
        twice_spread: an object is called drawn twice when its cells, parted into two halves, lie at least this far apart (distance of the
            halves' middles by the root of the number of cells: 0.5 for one square, 0.71 for two that touch, at most 10).
        mixture_mix: two objects are called mixed when at least this share of the borders among their cells lies between them.
        mixture_overlap: or when the parts of their maps above average coincide at least this much (0..1), both maps being peaked:
        peaked: a map is peaked when at least this share of it (0..1) would have to move to make it flat.
        leak_share: an attribute leaks when the other object has at least this share of the attribute's map (mean over its cells against
            the mean over its own object's cells; 0.5 is even).
        settled_overlap: an object is settled from the first step on after which its cells always overlap the final ones (intersection
            over union) at least this much.
        weak_strength: evidence is weak below this (the lead of the leading object, at its best tenth of cells).
        strong_strength: and strong from this on.
        weak_margin: a statement is weak when it is past its threshold by less than this share of the way that is left (0..1).
        strong_margin: and can be strong from this on.
    """

    own_gap: float = 0.2
    own_floor: float = 1.1
    evidence_at: str = "commit"
    smooth_steps: int = 3
    missing_share: float = 0.03
    faint_doubt: float = 0.18
    twice_spread: float = 0.7
    mixture_mix: float = 0.25
    mixture_overlap: float = 0.75
    peaked: float = 0.2
    leak_share: float = 0.55
    settled_overlap: float = 0.6
    weak_strength: float = 0.2
    strong_strength: float = 0.4
    weak_margin: float = 0.1
    strong_margin: float = 0.3

    def __post_init__(self) -> None:
        if self.evidence_at not in ("commit", "final"):
            raise ValueError(f'evidence_at={self.evidence_at!r}: choose "commit" or "final"')
        if self.smooth_steps < 1 or self.smooth_steps % 2 == 0:
            raise ValueError(f"smooth_steps={self.smooth_steps}: give an odd number, at least 1")
        highest = {"own_floor": 100, "faint_doubt": 10, "twice_spread": 10}
        for name in fields(self):
            value, most = getattr(self, name.name), highest.get(name.name, 1)
            if name.name not in ("evidence_at", "smooth_steps") and not 0 <= value <= most:
                raise ValueError(f"{name.name}={value!r}: give a number from 0 to {most}")


@dataclass(frozen=True)
class Evidence:
    """Measurements of one trace.

    Args:
        steps: the s recorded steps that hold attention, ascending.
        owner: "s n" int: index of the object that leads in each cell at each recorded step, NOBODY where none does.
        cells: "n" int: the same where the verdict reads it (Thresholds.evidence_at).
        maps: "o n" float: relative maps, read at the same place.
        attributes: {(object, attribute number): "n" relative map read at the same place}.
        read_at: "n" int: the recorded step (index into `steps`) at which each cell was read.
        doubt: "n" float: entropy (nats) of the model's choice in each cell when it was committed; nan where it was not recorded.
        strength: 0..1, how clearly objects are told apart.
        silent: objects whose words have no recorded attention; nothing can be said of them.
    """

    steps: tuple[int, ...]
    owner: np.ndarray
    cells: np.ndarray
    maps: np.ndarray
    attributes: dict[tuple[int, int], np.ndarray]
    read_at: np.ndarray
    doubt: np.ndarray
    strength: float
    silent: tuple[int, ...]


def measure(trace: Trace, thresholds: Thresholds) -> Evidence | None:
    """Measurements of a trace; None when it has no subjects or no recorded attention."""
    steps = tuple(k for k, record in enumerate(trace.steps) if record.attention is not None)
    subjects = trace.prompt.subjects
    if not steps or not subjects:
        return None
    words = np.stack([trace.word_maps(k) for k in steps]).astype(np.float64)  # s w n
    recorded = set(trace.columns)
    heard = [bool(recorded & set(word.tokens)) for word in trace.prompt.words]
    silent = tuple(o for o, subject in enumerate(subjects) if not any(heard[w] for w in subject.object))
    read_at = read_steps(trace, steps, thresholds.evidence_at)
    relative = np.stack([_relative(words, s.object, heard, thresholds.smooth_steps) for s in subjects], axis=1)  # s o n
    lead, owner = _owners(relative, thresholds)
    cell = np.arange(relative.shape[2])
    attributes = {
        (o, a): _relative(words, group, heard, thresholds.smooth_steps)[read_at, cell]
        for o, subject in enumerate(subjects)
        for a, group in enumerate(subject.attributes)
        if any(heard[w] for w in group)
    }
    leads = np.sort(lead[read_at, cell])
    strength = float(leads[-max(1, len(leads) // 10) :].mean())
    maps = relative[read_at, :, cell].T
    return Evidence(steps, owner, owner[read_at, cell], maps, attributes, read_at, _doubt(trace), strength, silent)


def patches(cells: np.ndarray, grid: tuple[int, int]) -> list[list[int]]:
    """The 4-connected patches of a "n" bool mask over a (y, x) grid as lists of cells, the largest first."""
    height, width = grid
    left = set(np.flatnonzero(cells).tolist())
    found = []
    while left:
        stack = [min(left)]
        left.remove(stack[0])
        patch = []
        while stack:
            patch.append(stack.pop())
            y, x = divmod(patch[-1], width)
            for ny, nx in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                cell = ny * width + nx
                if 0 <= ny < height and 0 <= nx < width and cell in left:
                    left.remove(cell)
                    stack.append(cell)
        found.append(sorted(patch))
    return sorted(found, key=len, reverse=True)


def largest_patch(cells: np.ndarray, grid: tuple[int, int]) -> int:
    """Number of cells in the largest 4-connected patch of a "n" bool mask over a (y, x) grid."""
    return max(map(len, patches(cells, grid)), default=0)


def parted(cells: np.ndarray, grid: tuple[int, int], least: int) -> tuple[float, list[int], list[int]]:
    """How far two halves of an object's cells lie apart: one thing, or two?

    The cells are parted by two-means, started along their longest axis; patches smaller than `least` are left out.

    Args:
        cells: "n" bool mask over the (y, x) grid.
        least: a half has at least this many cells, 1 or more.

    Returns:
        (distance of the halves' middles by the root of the number of cells, cells of the larger half, cells of the smaller); (0, all, [])
        when there are not two such halves.
    """
    kept = [cell for patch in patches(cells, grid) if len(patch) >= least for cell in patch]
    kept.sort()
    if len(kept) < 2 * least:
        return 0.0, kept, []
    points = np.stack(np.divmod(np.array(kept), grid[1]), axis=1).astype(np.float64)
    centered = points - points.mean(axis=0)
    side = centered @ np.linalg.eigh(centered.T @ centered)[1][:, -1] > 0
    for _ in range(20):  # two-means of some dozen points settles in fewer rounds
        if min(side.sum(), (~side).sum()) < least:
            return 0.0, kept, []
        near = ((points - points[side].mean(axis=0)) ** 2).sum(axis=1) < ((points - points[~side].mean(axis=0)) ** 2).sum(axis=1)
        if (near == side).all():
            break
        side = near
    halves = [[cell for cell, on in zip(kept, mask.tolist(), strict=True) if on] for mask in (side, ~side)]
    larger, smaller = sorted(halves, key=len, reverse=True)
    if len(smaller) < least:
        return 0.0, kept, []
    apart = np.linalg.norm(points[side].mean(axis=0) - points[~side].mean(axis=0))
    return float(apart / np.sqrt(len(points))), larger, smaller


def mix(cells: np.ndarray, a: int, b: int, grid: tuple[int, int]) -> float:
    """Share of the borders among the cells of two objects that lie between them: about 0.05 for neighbouring blobs, 1 for a chessboard."""
    field = cells.reshape(grid)
    between = within = 0
    for one, two in ((field[:, :-1], field[:, 1:]), (field[:-1], field[1:])):
        mine = np.isin(one, (a, b)) & np.isin(two, (a, b))
        between += int((mine & (one != two)).sum())
        within += int((mine & (one == two)).sum())
    return between / (between + within) if between + within else 0.0


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """How much the above-average parts of two relative maps "n" coincide, each scaled to sum 1: 0 apart, 1 the same."""
    parts = [np.maximum(m - 1.0, 0.0) for m in (first, second)]
    if any(part.sum() <= 0 for part in parts):
        return 0.0
    return float(np.minimum(*(part / part.sum() for part in parts)).sum())


def peakedness(relative: np.ndarray) -> float:
    """Share of a relative map "n" that would have to move to make it flat: 0 flat, near 1 a single cell."""
    return float(np.maximum(relative - 1.0, 0.0).mean())


def leak(attribute: np.ndarray, own: np.ndarray, other: np.ndarray) -> float | None:
    """Share of an attribute's relative map "n" that another object's cells have (mean against mean); None when either has no cells."""
    if not own.any() or not other.any():
        return None
    mine, theirs = float(attribute[own].mean()), float(attribute[other].mean())
    return theirs / (mine + theirs) if mine + theirs > 0 else None


def settled_at(owner: np.ndarray, index: int, threshold: float) -> int | None:
    """Index of the first recorded step from which on an object's cells stay those of the end; None when it has none at the end."""
    mine = owner == index
    final = mine[-1]
    if not final.any():
        return None
    union = (mine | final).sum(axis=1)
    agree = (mine & final).sum(axis=1) / np.maximum(union, 1) >= threshold
    changed = np.flatnonzero(~agree)
    return int(changed[-1]) + 1 if len(changed) else 0


def swapped_picks(trace: Trace) -> dict[int, int]:
    """For each guided step, how many of the committed cells would not have been picked without the contrast term.

    Picks are re-ranked exactly as the engine ranks: highest score first, ties by index, as many as were committed, and as far apart as the
    settings ask for.
    """
    changes = {}
    spacing = float(trace.config.get("spacing") or 0)
    for index, record in enumerate(trace.steps):
        if record.weight == 0:
            continue
        plain = np.asarray(record.scores, np.float64) - record.weight * np.asarray(record.contrast, np.float64)
        plain = np.where(record.masked_before, plain, -np.inf)
        count = int(record.committed.sum())
        picks = select(plain, record.masked_before, count, grid=trace.grid, spacing=spacing)
        changes[index] = int((picks & ~record.committed).sum())
    return changes


def _doubt(trace: Trace) -> np.ndarray:
    """Entropy "n" of the model's choice in each cell at its commit; nan where nothing was committed or recorded."""
    doubt = np.full(trace.tokens.size, np.nan)
    for record in trace.steps:
        if record.entropy is not None:
            doubt[record.committed] = record.entropy[record.committed]
    return doubt


def read_steps(trace: Trace, steps: Sequence[int], when: str) -> np.ndarray:
    """Index into `steps` at which each cell is read: its commit step (the first recorded one after it), or the last."""
    commits = np.asarray(trace.unmask_step).reshape(-1)
    if when == "final":
        return np.full(commits.shape, len(steps) - 1)
    first = trace.steps[0].step
    return np.minimum(np.searchsorted([trace.steps[k].step for k in steps], np.maximum(commits, first)), len(steps) - 1)


def _relative(words: np.ndarray, group: Sequence[int], heard: Sequence[bool], window: int) -> np.ndarray:
    """Relative map "s n" of a word group: mean of its heard words, averaged over neighbouring steps, divided by its average."""
    rows = [w for w in group if heard[w]]
    if not rows:
        return np.ones((words.shape[0], words.shape[2]))
    raw = words[:, rows].mean(axis=1)
    half = window // 2
    smooth = np.stack([raw[max(0, k - half) : k + half + 1].mean(axis=0) for k in range(len(raw))])
    mean = smooth.mean(axis=1, keepdims=True)
    return np.where(mean > 0, smooth / np.where(mean > 0, mean, 1), 1.0)


def _owners(relative: np.ndarray, thresholds: Thresholds) -> tuple[np.ndarray, np.ndarray]:
    """Lead of the leading object "s n" (0..1) and who it is, NOBODY where the lead or the map is too small.

    One object alone is compared with a flat map.
    """
    field = relative if relative.shape[1] > 1 else np.concatenate([relative, np.ones_like(relative)], axis=1)
    total = field.sum(axis=1, keepdims=True)
    shares = np.where(total > 0, field / np.where(total > 0, total, 1), 1 / field.shape[1])
    ranked = np.sort(shares, axis=1)
    lead = ranked[:, -1] - ranked[:, -2]
    best = shares.argmax(axis=1)
    value = np.take_along_axis(field, best[:, None], axis=1)[:, 0]
    owns = (lead >= thresholds.own_gap) & (value >= thresholds.own_floor) & (best < relative.shape[1])
    return np.where(best < relative.shape[1], lead, 0.0), np.where(owns, best, NOBODY)
