"""Typography for Pillow pictures: fonts with glyph fallback, clean-up of hostile strings, fitting, coloured prompt lines.

Knows strings and Pillow only. Text is laid out character run by character run; nothing in it is ever interpreted.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from uncage_demo.render.palette import Theme, readable, subject_colors
from uncage_demo.types import Prompt

MAX_CHARACTERS = 400  # of one drawn string; longer ones end in an ellipsis
ELLIPSIS = "…"
# Characters that change the direction or joining of what follows: drawn text must read as it is stored.
_DROPPED_CATEGORIES = ("Cc", "Cf", "Cs", "Co", "Cn")


@dataclass(frozen=True)
class Span:
    """A piece of a line: its text, its colour, and whether it is underlined."""

    text: str
    color: str
    underline: bool = False


def clean(text: str, limit: int = MAX_CHARACTERS) -> str:
    """Printable text on one line: control, format and unassigned characters become blanks, and it ends in an ellipsis past the limit."""
    plain = "".join(" " if unicodedata.category(c) in _DROPPED_CATEGORIES or c.isspace() else c for c in text[: limit + 1])
    return plain if len(plain) <= limit else plain[: limit - 1] + ELLIPSIS


@lru_cache(maxsize=64)
def font(size_px: int) -> ImageFont.FreeTypeFont:
    """Pillow's bundled scalable sans-serif at a size in pixels (1..400).

    Raises:
        ValueError: for a size outside that range.
        RuntimeError: when Pillow was built without FreeType.
    """
    _check_size(size_px)
    face = ImageFont.load_default(size_px)
    if not isinstance(face, ImageFont.FreeTypeFont):
        raise RuntimeError("this Pillow has no FreeType support, which drawing text needs; install a Pillow wheel from its package index")
    return face


@lru_cache(maxsize=64)
def fallback_font(size_px: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans (shipped inside matplotlib), for characters that the first font lacks."""
    _check_size(size_px)
    from matplotlib import get_data_path  # costs an import; only unusual text pays for it

    return ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), round(size_px * 0.92))


def text_width(text: str, size_px: int) -> float:
    """Width in pixels of a cleaned string as `draw_text` draws it."""
    return sum(face.getlength(run) for run, face in _runs(clean(text), size_px))


def fit(text: str, size_px: int, width_px: float) -> str:
    """The string, shortened with an ellipsis until it is at most so wide; "" when not even the ellipsis fits."""
    text = clean(text)
    if text_width(text, size_px) <= width_px:
        return text
    for length in range(len(text) - 1, 0, -1):
        shorter = text[:length].rstrip() + ELLIPSIS
        if text_width(shorter, size_px) <= width_px:
            return shorter
    return ELLIPSIS if text_width(ELLIPSIS, size_px) <= width_px else ""


def draw_text(draw: ImageDraw.ImageDraw, x: float, baseline_y: float, text: str, size_px: int, color: str, align: str = "left") -> float:
    """Draw one line with its baseline at y.

    Args:
        x: left edge, middle or right edge in pixels, as `align` ("left", "center", "right") says.
        color: "#RRGGBB".

    Returns:
        x of the right end.

    Raises:
        ValueError: for another `align`.
    """
    if align not in ("left", "center", "right"):
        raise ValueError(f"align={align!r}: choose one of left, center, right")
    text = clean(text)
    x -= {"left": 0.0, "center": 0.5, "right": 1.0}[align] * text_width(text, size_px)
    for run, face in _runs(text, size_px):
        draw.text((x, baseline_y), run, font=face, fill=color, anchor="ls")
        x += face.getlength(run)
    return x


def prompt_spans(prompt: Prompt, theme: Theme) -> list[Span]:
    """The prompt as coloured pieces: words of a subject in its colour (the object's own words underlined), the rest in the theme's ink.

    Args:
        prompt: its words and subjects decide the colours.
        theme: colours are darkened or lightened until they read on its background.
    """
    colors = [readable(c, theme.background) for c in subject_colors(len(prompt.subjects))]
    style = {word: (colors[subject], role == "object") for word, (subject, role) in prompt.owners().items()}
    spans, position = [], 0
    for index, word in sorted(enumerate(prompt.words), key=lambda item: item[1].start):
        if word.start < position:
            continue
        if word.start > position:
            spans.append(Span(prompt.text[position : word.start], theme.ink))
        spans.append(Span(prompt.text[word.start : word.end], *style.get(index, (theme.ink, False))))
        position = word.end
    if position < len(prompt.text):
        spans.append(Span(prompt.text[position:], theme.ink))
    return spans


def wrap_spans(spans: list[Span], size_px: int, width_px: float, max_lines: int = 2) -> list[list[Span]]:
    """Spans broken into lines at blanks; what does not fit in the last line is cut with an ellipsis.

    Returns:
        1..max_lines lists of spans; an empty prompt gives one empty line.
    """
    lines: list[list[Span]] = [[]]
    used = 0.0
    for span in spans:
        for piece in _pieces(clean(span.text)):
            width = text_width(piece, size_px)
            if used + width > width_px and lines[-1] and piece.strip():
                if len(lines) == max_lines:
                    lines[-1].append(Span(ELLIPSIS, span.color))
                    return lines
                lines.append([])
                used = 0.0
            if width > width_px:
                piece = fit(piece, size_px, width_px)
                width = text_width(piece, size_px)
            if not lines[-1] and not piece.strip():
                continue
            lines[-1].append(Span(piece, span.color, span.underline))
            used += width
    return lines


def draw_spans(draw: ImageDraw.ImageDraw, x: float, baseline_y: float, spans: list[Span], size_px: int) -> float:
    """Draw one line of coloured pieces; underlines are bars below the baseline. Returns x of the right end."""
    for span in spans:
        end = draw_text(draw, x, baseline_y, span.text, size_px, span.color)
        if span.underline and span.text.strip():
            top = baseline_y + size_px * 0.22
            draw.rounded_rectangle((x, top, end, top + max(1.0, size_px * 0.09)), radius=size_px * 0.05, fill=span.color)
        x = end
    return x


def _pieces(text: str) -> list[str]:
    """Words and the blanks between them, in order."""
    pieces: list[str] = []
    for character in text:
        if pieces and (character == " ") == (pieces[-1][-1] == " "):
            pieces[-1] += character
        else:
            pieces.append(character)
    return pieces


def _runs(text: str, size_px: int) -> list[tuple[str, ImageFont.FreeTypeFont]]:
    runs: list[tuple[str, ImageFont.FreeTypeFont]] = []
    for character in text:
        face = font(size_px) if _covered(character) else fallback_font(size_px)
        if runs and runs[-1][1] is face:
            runs[-1] = (runs[-1][0] + character, face)
        else:
            runs.append((character, face))
    return runs


@lru_cache(maxsize=4096)
def _covered(character: str) -> bool:
    """Whether the first font has its own glyph for the character (a missing one looks like the noncharacter U+FFFF)."""
    if " " <= character <= "~":
        return True
    return _drawn(character) != _drawn("\uffff")


def _drawn(character: str) -> bytes:
    image = Image.new("L", (64, 64))
    ImageDraw.Draw(image).text((8, 8), character, font=font(32), fill=255)
    return image.tobytes()


def _check_size(size_px: int) -> None:
    if isinstance(size_px, bool) or not isinstance(size_px, int) or not 1 <= size_px <= 400:
        raise ValueError(f"size_px={size_px!r}: give a whole number of pixels from 1 to 400")
