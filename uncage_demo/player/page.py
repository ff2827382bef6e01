"""The player's files put together, and the stand-alone page made of them: opens from disk, needs no server and no network."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from uncage_demo.render.palette import DARK, LIGHT, theme_properties

STATIC = Path(__file__).parent / "static"
ORDER = "load-order.json"
STYLES = ("player.css", "player-edit.css")


def scripts_of(folder: Path) -> str:
    """The scripts of a folder as one text, in the order that its load-order.json gives; each uses what earlier ones put into `window`.

    Raises:
        FileNotFoundError: when the installation lacks one of them.
    """
    names = json.loads((folder / ORDER).read_text(encoding="utf-8"))
    return "".join((folder / name).read_text(encoding="utf-8") for name in names)


def player_markup() -> str:
    """The player's fixed skeleton; it holds no text of any prompt."""
    return (STATIC / "player.html").read_text(encoding="utf-8")


def player_style() -> str:
    """The player's style sheet with the colours of both looks; every rule is under the class "up"."""
    light, dark = (theme_properties(theme, "up") for theme in (LIGHT, DARK))
    return f'.up {{ {light} }}\n.up[data-up-theme="dark"] {{ {dark} }}\n' + "".join(
        (STATIC / name).read_text(encoding="utf-8") for name in STYLES
    )


@lru_cache(maxsize=1)
def player_script() -> str:
    """The player's scripts as one text that defines window.UncagePlayer; the skeleton travels in it as a string.

    Returns:
        JavaScript without module syntax; safe inside a <script> element.
    """
    skeleton = f"(window.UncagePlayerParts = window.UncagePlayerParts || {{}}).skeleton = {script_json(player_markup())};\n"
    return skeleton + scripts_of(STATIC)


def script_json(value: Any) -> str:
    """JSON that may stand inside a <script> element: no "<", ">" or "&", no line separators that end a JavaScript line.

    Args:
        value: anything JSON-able; numbers must be finite.

    Raises:
        ValueError: for a number that is not finite.
    """
    text = json.dumps(value, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def one_file_page(
    title: str, main: str, data: str, scripts: Sequence[str], *, style: str = "", notice: str = "", further_sources: str = ""
) -> str:
    """A page that needs no other file: head, colours of both looks, the player's style, what is given here, and the player's scripts.

    Args:
        title: shown as the page's title and heading; any text.
        main: HTML of the page's body below the heading.
        data: HTML of <script> elements that hold data.
        scripts: JavaScript that runs after the player's, in this order; each becomes an element of its own.
        style: CSS after the player's.
        notice: a text that must travel with the page, such as the licence of what it holds; stands in a comment.
        further_sources: what the content security policy allows besides inline scripts, such as " blob:; worker-src blob:".

    Returns:
        HTML. A content security policy keeps the page from loading or sending anything.
    """
    name = html.escape(title, quote=True)
    policy = f"default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'{further_sources}"
    comment = f"<!--\n{re.sub('-(?=-)', '- ', notice)}\n-->\n" if notice else ""
    elements = "".join(f"<script>\n{script}\n</script>\n" for script in (player_script(), *scripts))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{name}</title>
{comment}<style>
:root {{ {theme_properties(LIGHT, "page")} }}
@media (prefers-color-scheme: dark) {{ :root {{ {theme_properties(DARK, "page")} }} }}
{(STATIC / "report.css").read_text(encoding="utf-8")}
{player_style()}
{style}</style>
</head>
<body>
<header class="page-head"><h1>{name}</h1></header>
<main class="page">{main}</main>
{data}
{elements}</body>
</html>
"""


def standalone_html(payload: dict[str, Any], title: str, state: dict[str, Any] | None = None) -> str:
    """A page with the player and its data in one file.

    Args:
        payload: of `payload.build_payload`.
        title: shown as the page's title and heading.
        state: what the player starts with (step, layer, word, object, pin ...); None = the first step, playing.

    Returns:
        HTML that loads and sends nothing (see `one_file_page`).
    """
    data = "\n".join(
        f'<script type="application/json" id="{name}">{script_json(value)}</script>'
        for name, value in (("payload", payload), ("state", state))
    )
    return one_file_page(title, '<div id="player"></div>', data, [(STATIC / "report.js").read_text(encoding="utf-8")])
