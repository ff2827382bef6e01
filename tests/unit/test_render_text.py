"""Typography: clean strings, fitting, coloured prompt lines."""

import pytest
from PIL import Image, ImageDraw

from tests.factories import make_prompt
from uncage_demo.render import text
from uncage_demo.render.palette import DARK, LIGHT, contrast_ratio, readable, subject_colors

HOSTILE = ["${6*7}", "{{x}}", "<img onerror>", "$\\frac{1}{2}$", "%s %n", "a\u202eb\u0000c\nd"]


@pytest.mark.parametrize("given", HOSTILE)
def test_clean_keeps_printable_text_and_drops_what_redirects_it(given):
    cleaned = text.clean(given)
    assert len(cleaned) == len(given)
    assert not set(cleaned) & {"\u202e", "\u0000", "\n"}
    assert cleaned.replace(" ", "") == "".join(c for c in given if c.isprintable() and c not in " \u202e")


def test_clean_shortens_with_an_ellipsis():
    assert text.clean("abcdef", 4) == "abc…"
    assert len(text.clean("x" * 100_000)) == text.MAX_CHARACTERS


@pytest.mark.parametrize("given", ["hello", "Ünïcödé", "漢字", "ы", "→", ""])
def test_fit_never_exceeds_its_width(given):
    for width in (0, 5, 20, 1000):
        assert text.text_width(text.fit(given, 16, width), 16) <= width
    assert text.fit(given, 16, 1000) == given


def test_characters_that_the_first_font_lacks_come_from_the_fallback():
    faces = {face.getname()[0] for _, face in text._runs("aЖ", 20)}
    assert "DejaVu Sans" in faces
    assert len(faces) == 2


@pytest.mark.parametrize("size", [0, 401, 2.5, True])
def test_font_sizes_are_checked(size):
    with pytest.raises(ValueError, match="size_px"):
        text.font(size)


@pytest.mark.parametrize(("align", "low", "high"), [("left", 99, 103), ("right", 0, 100), ("center", 60, 100)])
def test_draw_text_keeps_to_its_anchor(align, low, high):
    image = Image.new("L", (300, 60))
    end = text.draw_text(ImageDraw.Draw(image), 100, 40, "apple", 24, "#FFFFFF", align)
    box = image.getbbox()
    assert box is not None
    assert low <= box[0] <= high
    assert abs(box[2] - end) <= 3
    with pytest.raises(ValueError, match="align"):
        text.draw_text(ImageDraw.Draw(image), 0, 0, "a", 12, "#FFFFFF", "justify")


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_prompt_spans_color_the_subjects_words_and_keep_the_text(theme):
    prompt = make_prompt()
    spans = text.prompt_spans(prompt, theme)
    assert "".join(s.text for s in spans) == prompt.text
    turtle, apple = (readable(c, theme.background) for c in subject_colors(2))
    assert [(s.text, s.color, s.underline) for s in spans if s.color != theme.ink] == [
        ("turtle", turtle, True),
        ("pink", apple, False),
        ("apple", apple, True),
    ]
    assert all(contrast_ratio(s.color, theme.background) >= 4.5 for s in spans)


def test_wrapping_breaks_at_blanks_and_ends_in_an_ellipsis():
    spans = text.prompt_spans(make_prompt("a turtle and a pink apple and a blue clock and a frog"), LIGHT)
    lines = text.wrap_spans(spans, 20, 160, max_lines=2)
    assert len(lines) == 2
    assert lines[-1][-1].text == "…"
    assert all(sum(text.text_width(s.text, 20) for s in line) <= 160 + text.text_width("…", 20) for line in lines)
    whole = text.wrap_spans(spans, 20, 4000)
    assert len(whole) == 1
    assert "".join(s.text for s in whole[0]) == "a turtle and a pink apple and a blue clock and a frog"
    assert text.wrap_spans([], 20, 100) == [[]]


def test_one_endless_word_is_cut():
    lines = text.wrap_spans([text.Span("x" * 300, "#000000")], 20, 100)
    assert text.text_width(lines[0][0].text, 20) <= 100
