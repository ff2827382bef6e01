"""The Chromium that measurements and tests drive: where it is, and the flags that keep it from doing anything else."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

FLAGS = (
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
MISSING = "no Chromium: install one or name it in CHROMIUM"


def chromium_path() -> str | None:
    """The executable that CHROMIUM names, or the first one on the path; None where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    return path if path and Path(path).exists() else None
