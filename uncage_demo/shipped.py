"""Where the files that ship with the project are: in a checkout the top level's `assets`, in an installed package its own copy."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_INSTALLED = _PACKAGE / "assets"

ASSETS = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent / "assets"
EMOJI_SCENES = ASSETS / "emoji-scenes"
# The embedded models by their names in `load_backend`.
EMBEDDED = {
    "embedded": EMOJI_SCENES,
    "embedded-web": ASSETS / "emoji-scenes-web",
    "embedded-blind": ASSETS / "emoji-scenes-blind",
}
EXAMPLES = ASSETS / "examples"
RESULTS = ASSETS / "results"
CALIBRATION = ASSETS / "diagnosis" / "calibration.json"
