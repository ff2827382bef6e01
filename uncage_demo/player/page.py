"""The player's files put together, and the stand-alone page made of them: opens from disk, needs no server and no network."""

from __future__ import annotations

import html
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

STATIC = Path(__file__).parent / "static"
# Every file puts its names into one object; later files use what earlier ones put there.
SCRIPTS = (
    "player-dom.js",
    "player-data.js",
    "player-colors.js",
    "player-stage.js",
    "player-layers.js",
    "player-clock.js",
    "player-words.js",
    "player-actions.js",
    "player-cards.js",
    "player-curves.js",
    "player-heads.js",
    "player-arrange.js",
    "player.js",
)


def player_markup() -> str:
    """The player's fixed skeleton; it holds no text of any prompt."""
    return (STATIC / "player.html").read_text(encoding="utf-8")


def player_style() -> str:
    """The player's style sheet; every rule is under the class "up"."""
    return (STATIC / "player.css").read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def player_script() -> str:
    """The player's scripts as one text that defines window.UncagePlayer; the skeleton travels in it as a string.

    Returns:
        JavaScript without module syntax; safe inside a <script> element.
    """
    skeleton = f"(window.UncagePlayerParts = window.UncagePlayerParts || {{}}).skeleton = {script_json(player_markup())};\n"
    return skeleton + "".join((STATIC / name).read_text(encoding="utf-8") for name in SCRIPTS)


def script_json(value: Any) -> str:
    """JSON that may stand inside a <script> element: no "<", ">" or "&", no line separators that end a JavaScript line.

    Args:
        value: anything JSON-able; numbers must be finite.

    Raises:
        ValueError: for a number that is not finite.
    """
    text = json.dumps(value, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def standalone_html(payload: dict[str, Any], title: str, state: dict[str, Any] | None = None) -> str:
    """A page with the player and its data in one file.

    Args:
        payload: of `payload.build_payload`.
        title: shown as the page's title and heading.
        state: what the player starts with (step, layer, word, object, pin ...); None = the first step, playing.

    Returns:
        HTML. A content security policy keeps the page from loading or sending anything.
    """
    name = html.escape(title, quote=True)
    policy = "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{name}</title>
<style>
{(STATIC / "report.css").read_text(encoding="utf-8")}
{player_style()}
</style>
</head>
<body>
<header class="page-head"><h1>{name}</h1></header>
<main class="page"><div id="player"></div></main>
<script type="application/json" id="payload">{script_json(payload)}</script>
<script type="application/json" id="state">{script_json(state)}</script>
<script>
{player_script()}
</script>
<script>
{(STATIC / "report.js").read_text(encoding="utf-8")}
</script>
</body>
</html>
"""
