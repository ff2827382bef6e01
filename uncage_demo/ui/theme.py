"""Looks of the page: system fonts (nothing is fetched), a quiet neutral theme, and the static files that every page load gets."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from gradio import themes
from starlette.middleware import Middleware

from uncage_demo.browser.bundle import STATIC as ENGINE
from uncage_demo.browser.bundle import bundle
from uncage_demo.player.page import player_script, player_style, scripts_of
from uncage_demo.render.palette import DARK, LIGHT, theme_properties
from uncage_demo.ui import light_sessions, memory, scratch
from uncage_demo.ui.browser_files import BrowserFiles
from uncage_demo.ui.first_script import FirstScript
from uncage_demo.ui.kept_answers import KeptAnswers
from uncage_demo.ui.models import MAX_THREADS

STATIC = Path(__file__).parent / "static"
STYLES = ("page.css", "results.css", "here.css")

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
        body_background_fill=LIGHT.ground,
        body_background_fill_dark=DARK.ground,
        body_text_color=LIGHT.ink,
        body_text_color_dark=DARK.ink,
        body_text_color_subdued=LIGHT.muted,
        body_text_color_subdued_dark=DARK.muted,
        background_fill_primary=LIGHT.background,
        background_fill_primary_dark=DARK.background,
        background_fill_secondary=LIGHT.panel,
        background_fill_secondary_dark=DARK.panel,
        block_background_fill=LIGHT.background,
        block_background_fill_dark=DARK.background,
        block_border_width="0px",
        block_shadow="none",
        block_label_text_color=LIGHT.muted,
        block_label_text_color_dark=DARK.muted,
        border_color_primary=LIGHT.line,
        border_color_primary_dark=DARK.line,
        input_background_fill=LIGHT.background,
        input_background_fill_dark=DARK.background,
        input_border_width="1px",
        checkbox_border_width="1px",
        layout_gap="10px",
        form_gap_width="12px",
        button_small_radius="8px",
        input_border_color=LIGHT.strong,
        input_border_color_dark=DARK.strong,
        input_border_color_focus=LIGHT.accent,
        input_border_color_focus_dark=DARK.accent,
        button_primary_background_fill=LIGHT.accent,
        button_primary_background_fill_hover="#4a37bd",
        button_primary_background_fill_dark=DARK.accent,
        button_primary_background_fill_hover_dark="#beb5ff",
        button_primary_text_color=LIGHT.accent_ink,
        button_primary_text_color_dark=DARK.accent_ink,
        button_secondary_background_fill=LIGHT.background,
        button_secondary_background_fill_dark=DARK.background,
        button_secondary_border_color=LIGHT.strong,
        button_secondary_border_color_dark=DARK.strong,
        checkbox_background_color_selected=LIGHT.accent,
        checkbox_background_color_selected_dark="#7a6af0",  # the tick on it is white
        checkbox_border_color_selected_dark="#7a6af0",
        checkbox_border_color_selected=LIGHT.accent,
        slider_color=LIGHT.accent,
        slider_color_dark=DARK.accent,
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
    colors = f"body {{ {theme_properties(LIGHT, 'uc')} }}\nbody.dark {{ {theme_properties(DARK, 'uc')} }}"
    for text in (player_style(), colors, *map(static_text, STYLES)):
        if "</style" in text.lower():
            raise ValueError("a style sheet in ui/static contains a closing style tag and cannot be inlined")
        parts.append(f"<style>{text}</style>")
    engine = f"window.UncageEngine = (() => {{ {bundle(ENGINE / 'live/engine.js')} return entry; }})();"
    for text in (player_script(), engine, scripts_of(STATIC)):
        if "</script" in text.lower():
            raise ValueError("a script in ui/static contains a closing script tag and cannot be inlined")
        parts.append(f"<script>{text}</script>")
    return "\n".join(parts)


def launch_options() -> dict[str, Any]:
    """Arguments of launch() that belong to the page: theme, styles, scripts, MCP where its package is installed."""
    import importlib.util

    assistants = importlib.util.find_spec("mcp") is not None
    if assistants:
        from uncage_demo.ui.tools import install

        install()
    scratch.end_cleanly_on_sigterm()
    memory.share_arenas()
    light_sessions.install()
    draw_without_a_screen()
    memory.settle()
    return {
        "theme": theme(),
        "head": head(),
        "footer_links": ["api", "gradio", "settings"],
        "run_history": False,
        "mcp_server": assistants,
        "max_file_size": "64mb",
        "ssr_mode": False,
        "show_error": True,
        "max_threads": MAX_THREADS,
        "app_kwargs": {
            "middleware": [
                Middleware(KeptAnswers),
                Middleware(BrowserFiles),
                Middleware(FirstScript, script=static_text("first-frames.js")),
            ]
        },
    }


def draw_without_a_screen() -> None:
    """Load matplotlib, for files only: Gradio asks it at every event where it draws, and the first time it would look for a screen, which
    holds the event loop for seconds."""
    import matplotlib

    matplotlib.use("agg")


def attach_script(name: str, events: tuple[str, ...] = ()) -> str:
    """js_on_load of a component whose behaviour lives in a static script. It may run before or after the scripts of the page's head:
    a component queues up, and attach.js, the last of them, serves the queue and whoever comes later.

    Args:
        name: path below `window`, e.g. "UncagePage.attach.stage" or "UncageChips.attach".
        events: names that Python listens to; they must occur in this text.
    """
    listed = ", ".join(f'"{event}"' for event in events)
    return (
        f"const events = [{listed}];\n"
        "const context = { element, trigger, props, server: typeof server === 'undefined' ? {} : server, watch, upload, events };\n"
        f"(window.uncageAttach = window.uncageAttach || []).push([{name!r}, context]);\n"
    )
