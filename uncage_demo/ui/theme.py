"""Looks of the page: system fonts (nothing is fetched), a quiet neutral theme, and the static files that every page load gets."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from gradio import themes

from uncage_demo.player.page import player_script, player_style

STATIC = Path(__file__).parent / "static"
SCRIPTS = (
    "page.js",
    "page-progress.js",
    "page-stage.js",
    "page-take.js",
    "page-examples.js",
    "chips.js",
    "grid.js",
    "lessons.js",
    "results.js",
)
STYLES = ("page.css", "results.css")

_SANS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif"]
_MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]


def theme() -> themes.Base:
    """Neutral greys with one accent, the player's; object colours are the only other strong colours on the page."""
    return themes.Base(
        primary_hue="slate",
        secondary_hue="slate",
        neutral_hue="slate",
        radius_size="md",
        spacing_size="md",
        font=_SANS,
        font_mono=_MONO,
    ).set(
        body_background_fill="#f7f8fa",
        body_background_fill_dark="#0e1015",
        body_text_color="#1b1f27",
        body_text_color_dark="#e8eaee",
        body_text_color_subdued="#5a6372",
        body_text_color_subdued_dark="#a3acba",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#12141a",
        background_fill_secondary="#f1f3f6",
        background_fill_secondary_dark="#191c24",
        block_background_fill="#ffffff",
        block_background_fill_dark="#12141a",
        block_border_width="0px",
        block_shadow="none",
        block_label_text_color="#5a6372",
        block_label_text_color_dark="#a3acba",
        border_color_primary="#dde1e7",
        border_color_primary_dark="#333943",
        input_background_fill="#ffffff",
        input_background_fill_dark="#15181d",
        input_border_width="1px",
        checkbox_border_width="1px",
        layout_gap="10px",
        form_gap_width="12px",
        button_small_radius="8px",
        input_border_color="#c9cfd8",
        input_border_color_dark="#3c434f",
        input_border_color_focus="#5b46d6",
        input_border_color_focus_dark="#a79bff",
        button_primary_background_fill="#5b46d6",
        button_primary_background_fill_hover="#4a37bd",
        button_primary_background_fill_dark="#a79bff",
        button_primary_background_fill_hover_dark="#beb5ff",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#14102e",
        button_secondary_background_fill="#ffffff",
        button_secondary_background_fill_dark="#22262d",
        button_secondary_border_color="#c9cfd8",
        button_secondary_border_color_dark="#3c434f",
        checkbox_background_color_selected="#5b46d6",
        checkbox_background_color_selected_dark="#7a6af0",
        checkbox_border_color_selected="#5b46d6",
        checkbox_border_color_selected_dark="#7a6af0",
        slider_color="#5b46d6",
        slider_color_dark="#a79bff",
    )


@cache
def static_text(name: str) -> str:
    """Text of a file in ui/static.

    Raises:
        FileNotFoundError: when the installation lacks it.
    """
    return (STATIC / name).read_text(encoding="utf-8")


def head() -> str:
    """What goes into the page's head: styles and scripts, inline so that any root path works, and the viewport.

    Styles do not go through launch(css=...), which rewrites selectors and drops container queries.
    """
    parts = ['<meta name="viewport" content="width=device-width, initial-scale=1">']
    for text in (player_style(), *map(static_text, STYLES)):
        if "</style" in text.lower():
            raise ValueError("a style sheet in ui/static contains a closing style tag and cannot be inlined")
        parts.append(f"<style>{text}</style>")
    for text in (player_script(), *map(static_text, SCRIPTS)):
        if "</script" in text.lower():
            raise ValueError("a script in ui/static contains a closing script tag and cannot be inlined")
        parts.append(f"<script>{text}</script>")
    return "\n".join(parts)


def launch_options() -> dict[str, Any]:
    """Arguments of launch() that belong to the page: theme, styles, scripts, MCP where its package is installed."""
    import importlib.util

    return {
        "theme": theme(),
        "head": head(),
        "footer_links": ["api", "gradio", "settings"],
        "run_history": False,
        "mcp_server": importlib.util.find_spec("mcp") is not None,
        "max_file_size": "64mb",
        "ssr_mode": False,
    }


def attach_script(name: str, events: tuple[str, ...] = ()) -> str:
    """js_on_load of a component whose behaviour lives in a static script.

    Args:
        name: path below `window`, e.g. "UncagePage.attach.stage" or "UncageChips.attach".
        events: names that Python listens to; they must occur in this text.
    """
    listed = ", ".join(f'"{event}"' for event in events)
    return (
        f"const events = [{listed}];\n"
        "(function start(tries) {\n"
        f"  const found = {name!r}.split('.').reduce((o, k) => (o ? o[k] : undefined), window);\n"
        "  if (!found) return tries ? setTimeout(() => start(tries - 1), 50) : undefined;\n"
        "  found({ element, trigger, props, server: typeof server === 'undefined' ? {} : server, watch, upload, events });\n"
        "})(200);\n"
    )
