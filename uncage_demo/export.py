"""The folder that a run writes: which files, in which format, and never over older ones unasked. Knows traces and render, no models.

Imports nothing heavy by itself, because the command line's help lists the formats.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uncage_demo.files import replacing, write_atomically
from uncage_demo.types import Verdict

if TYPE_CHECKING:
    from uncage_demo.trace.record import Trace

FORMATS = {
    "png": "finished pictures, and all runs side by side",
    "webp": "animation of the reveal with attention maps",
    "gif": "the same, smaller, for places that take no WebP",
    "mp4": "the same as video (needs ffmpeg)",
    "figures": "heatmaps, order maps and curves as PNG and SVG",
    "npz": "trace files: everything that happened, to open again",
    "html": "player that works offline in any browser",
}
DEFAULT_FORMATS = ("png", "webp", "gif", "figures", "npz", "html")
_FIGURES = ("heatmaps", "order", "curves")


@dataclass(frozen=True)
class Look:
    """How animations and side-by-side pictures look.

    Args:
        theme: "light" or "dark".
        stage_px: side of one stage, 96..1024.
        step_s: seconds a step is shown.
        hold_s: seconds the last frame is shown.
    """

    theme: str = "dark"
    stage_px: int = 320
    step_s: float = 0.14
    hold_s: float = 2.5


def planned_files(folder: Path, stems: Sequence[str], formats: Sequence[str]) -> list[Path]:
    """Every file that `write_run` makes for runs of these stems (see `stem_of`) and formats, in the order in which it makes them."""
    names: list[str] = []
    if "npz" in formats:
        names += [f"{stem}.npz" for stem in stems]
    if "png" in formats:
        names += [f"{stem}.png" for stem in stems] + ["side-by-side.png"]
    if "figures" in formats:
        names += [f"{figure}.{kind}" for figure in _FIGURES for kind in ("png", "svg")]
    names += [f"reveal.{kind}" for kind in ("webp", "gif", "mp4") if kind in formats]
    names += ["player.html"] if "html" in formats else []
    return [folder / name for name in [*names, "run.json"]]


def check_free(files: Sequence[Path], force: bool) -> None:
    """Refuse to write over files that exist.

    Raises:
        FileExistsError: naming them, unless forced.
    """
    present = [f for f in files if f.exists()]
    if present and not force:
        shown = ", ".join(f.name for f in present[:4]) + (f" and {len(present) - 4} more" if len(present) > 4 else "")
        raise FileExistsError(f"{present[0].parent} already holds {shown}: give another --out, or --force to replace them")


def check_formats(formats: Sequence[str]) -> None:
    """Check names of formats and that this machine can write them, before anything is decoded.

    Raises:
        ValueError: for an unknown format.
        EncoderMissing: for "mp4" without ffmpeg.
    """
    unknown = [f for f in formats if f not in FORMATS]
    if unknown:
        raise ValueError(f"format {unknown[0]!r}: choose from {', '.join(FORMATS)}")
    if "mp4" in formats:
        from uncage_demo.render.animation import find_ffmpeg

        find_ffmpeg()


def write_run(
    folder: Path,
    traces: Sequence[Trace],
    verdicts: Sequence[Verdict | None],
    formats: Sequence[str] = DEFAULT_FORMATS,
    *,
    look: Look = Look(),
    findings: Sequence[Sequence[Any]] | None = None,
    facts: dict[str, Any] | None = None,
    on_file: Callable[[Path], None] | None = None,
) -> list[Path]:
    """Write a finished comparison.

    Args:
        folder: made when missing; existing files are replaced (`check_free` refuses beforehand).
        traces: 1..6 runs of one prompt that differ in order or in the model's age.
        verdicts: one per run, or None.
        formats: names of FORMATS.
        look: of animations and side-by-side pictures.
        findings: one list a run from `diagnose`, shown by the player.
        facts: further JSON-able entries of run.json.
        on_file: called with each file before it is made.

    Returns:
        The files, as `planned_files` lists them.
    """
    from uncage_demo.trace.record import stem_of

    check_formats(formats)
    ages = len({t.age for t in traces}) > 1
    stems = [stem_of(str(t.config["order"]), (t.age or "1") if ages else "", t.origin and t.origin.round) for t in traces]
    folder.mkdir(parents=True, exist_ok=True)
    files = planned_files(folder, stems, formats)
    by_stem = dict(zip(stems, traces, strict=True))
    for path in files:
        if on_file is not None:
            on_file(path)
        if path.name == "run.json":
            write_atomically(path, json.dumps(_summary(traces, verdicts, facts), indent=2, ensure_ascii=False) + "\n")
        elif path.suffix == ".npz":
            by_stem[path.stem].save(path)
        elif path.stem in by_stem:
            from PIL import Image

            with replacing(path) as place:
                Image.fromarray(by_stem[path.stem].image).save(place)
        else:
            write_view(path, traces, path.stem, verdicts=verdicts, look=look, findings=findings)
    return files


def write_view(
    path: Path,
    traces: Sequence[Trace],
    view: str,
    *,
    step: int | None = None,
    steps: Sequence[int] | None = None,
    verdicts: Sequence[Verdict | None] | None = None,
    look: Look = Look(),
    findings: Sequence[Sequence[Any]] | None = None,
) -> None:
    """Write one view of some traces; the suffix says in which format.

    Args:
        path: .png or .svg for figures; .png for stills; .webp, .gif or .mp4 for "reveal"; .html for "player".
        traces: 1..6 runs of one model; figures take runs of one prompt.
        view: "heatmaps", "order", "curves", "side-by-side", "picture", "reveal" or "player".
        step: 0-based step of "side-by-side" and "picture"; None = finished.
        steps: 0-based columns of "heatmaps"; None = six that span the run.

    Raises:
        ValueError: for a view that the suffix or the traces do not allow.
    """
    kind = path.suffix.lower().lstrip(".")
    allowed = view_formats(view)
    if kind not in allowed:
        raise ValueError(f"{view} as .{kind}: choose {' or '.join('.' + a for a in allowed)}")
    if view in _FIGURES:
        from uncage_demo.render.figures import curves_figure, heatmap_figure, order_figure, save_figure

        figure = heatmap_figure(traces, steps) if view == "heatmaps" else {"order": order_figure, "curves": curves_figure}[view](traces)
        save_figure(figure, path)
    elif view == "player":
        from uncage_demo.player.head_maps import recorded_heads
        from uncage_demo.player.page import standalone_html
        from uncage_demo.player.payload import build_payload

        ids = [str(index) for index in range(len(traces))]
        payload = {**build_payload(traces, verdicts, findings, ids=ids), "heads": recorded_heads(traces, ids)}
        write_atomically(path, standalone_html(payload, traces[0].prompt.text))
    else:
        _write_frames(path, traces, view, step, verdicts, look)


def view_formats(view: str) -> tuple[str, ...]:
    """Suffixes that a view can be written as.

    Raises:
        ValueError: for an unknown view.
    """
    formats = dict.fromkeys(_FIGURES, ("png", "svg"))
    formats |= {"side-by-side": ("png",), "picture": ("png",), "reveal": ("webp", "gif", "mp4"), "player": ("html",)}
    if view not in formats:
        raise ValueError(f"view={view!r}: choose one of {', '.join(formats)}")
    return formats[view]


def _write_frames(
    path: Path, traces: Sequence[Trace], view: str, step: int | None, verdicts: Sequence[Verdict | None] | None, look: Look
) -> None:
    from uncage_demo.render.animation import Timing, save_animation
    from uncage_demo.render.frames import FrameStyle, compare_frame, compare_frames, reveal_frame

    last = max(len(t.steps) for t in traces) - 1
    attention = all(record.attention is not None for t in traces for record in t.steps)
    at = last if step is None else step
    if not -1 <= at <= last:
        raise ValueError(f"step={at + 1}: these runs have steps 1 to {last + 1} (0 = the start)")
    if view == "picture":
        if len(traces) > 1:
            raise ValueError("picture takes one trace; use side-by-side for several")
        with replacing(path) as place:
            reveal_frame(traces[0], at, FrameStyle(stage_px=look.stage_px, theme=look.theme, scale=2)).save(place)
    elif view == "side-by-side":
        style = FrameStyle(stage_px=look.stage_px, theme=look.theme, scale=2, attention=attention)
        with replacing(path) as place:
            compare_frame(traces, at, style, verdicts=verdicts).save(place)
    else:
        # GIF has no good compression for twice the pixels; WebP and MP4 do
        style = FrameStyle(stage_px=look.stage_px, theme=look.theme, scale=1 if path.suffix.lower() == ".gif" else 2, attention=attention)
        save_animation(compare_frames(traces, style, verdicts=verdicts), path, Timing(step_s=look.step_s, hold_s=look.hold_s))


def _summary(traces: Sequence[Trace], verdicts: Sequence[Verdict | None], facts: dict[str, Any] | None) -> dict[str, Any]:
    runs = []
    for trace, verdict in zip(traces, verdicts, strict=True):
        entry: dict[str, Any] = {"id": trace.id, "config": trace.config, "timings_s": trace.timings_s}
        entry["judgement_of_a_model"] = None if verdict is None else asdict(verdict)
        runs.append(entry)
    first = traces[0]
    model = {"id": first.model.id, "title": first.model.title, "weight_hash": first.model.weight_hash}
    return {
        "prompt": first.prompt.text,
        "subjects": [s.label for s in first.prompt.subjects],
        "model": model,
        **(facts or {}),
        "runs": runs,
    }
