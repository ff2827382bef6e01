"""A trace as every format there is."""

from __future__ import annotations

from pathlib import Path

from uncage_demo.diagnosis.diagnose import diagnose
from uncage_demo.export import write_view
from uncage_demo.player.payload import build_payload
from uncage_demo.trace.record import Trace


def assert_every_format(trace: Trace, folder: Path) -> None:
    """Show, diagnose and export it in every way; `folder` is empty before and holds the files after."""
    assert build_payload([trace, trace])["runs"]
    assert diagnose(trace)
    for view, suffixes in {"heatmaps": ("png", "svg"), "curves": ("png",), "order": ("png",), "side-by-side": ("png",)}.items():
        for suffix in suffixes:
            write_view(folder / f"{view}.{suffix}", [trace], view)
    for name in ("reveal.gif", "reveal.webp", "player.html"):
        write_view(folder / name, [trace, trace], name.split(".")[0])
    assert all(path.stat().st_size > 100 for path in folder.iterdir())
