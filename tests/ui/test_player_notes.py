"""Notes on steps and cells in the player: written, changed, deleted, kept in a copy of the page; never markup, never too many."""

import dataclasses
from typing import Any

import pytest

from tests.ui.player_page import FRAME, put, save, state
from uncage_demo.player.payload import build_payload
from uncage_demo.trace.notes import MAX_NOTE_CHARS, MAX_NOTES, Note, tidy

HOSTILE = "<img src=x onerror=window.hacked=1> ${6*7} {{x}}"


def notes(page: Any) -> list[list[dict[str, Any]]]:
    """The notes of every run."""
    page.evaluate(FRAME)
    return page.evaluate("() => window.uncage.player.model.runs.map((run) => run.notes)")


def write(page: Any, text: str) -> None:
    page.fill(".up-note-text", text)
    page.click(".up-note-form button[type=submit]")
    page.evaluate(FRAME)


def test_a_note_is_written_changed_deleted_and_brought_back(player):
    put(player, step=4)
    assert player.locator(".up-note-form button[type=submit]").is_disabled()
    write(player, "  First the ground. ")
    put(player, step=6, pin=30, touched=1)
    write(player, HOSTILE)
    assert notes(player) == [[{"step": 4, "text": "First the ground.", "cell": None}], [{"step": 6, "text": HOSTILE, "cell": 30}]]
    assert player.locator(".up-note-said").all_inner_texts() == ["First the ground.", HOSTILE]
    assert player.evaluate("() => window.hacked === undefined && !document.querySelector('.up-notes img')")
    assert player.locator(".up-note-ticks i").count() == 2
    player.locator(".up-note-entry", has_text="First").get_by_role("button", name="Edit").click()
    assert state(player)["step"] == 4
    assert player.input_value(".up-note-text") == "First the ground."
    player.fill(".up-note-text", "The ground\ncomes first.")
    player.keyboard.press("Control+Enter")
    assert notes(player)[0] == [{"step": 4, "text": "The ground\ncomes first.", "cell": None}]
    player.locator(".up-note-entry", has_text="onerror").get_by_role("button", name="Delete").click()
    assert notes(player)[1] == []
    player.get_by_role("button", name="Undo delete").click()
    assert notes(player)[1] == [{"step": 6, "text": HOSTILE, "cell": 30}]
    player.locator(".up-note-entry", has_text="onerror").locator(".up-link").first.click()
    assert (state(player)["step"], state(player)["pin"]) == (6, 30)


def test_a_copy_of_the_page_holds_the_notes(player, open_page, tmp_path):
    put(player, step=2)
    write(player, f"kept </script> {HOSTILE}")
    with player.expect_download() as saved:
        player.get_by_role("button", name="Save a copy with the notes").click()
    path = tmp_path / "copy.html"
    saved.value.save_as(path)
    copy = open_page(path.as_uri(), reduced_motion="reduce")
    assert notes(copy)[0] == [{"step": 2, "text": f"kept </script> {HOSTILE}", "cell": None}]
    assert copy.locator(".up-stage").count() == 2
    assert copy.evaluate("() => window.hacked === undefined")
    assert [url for url in copy.requests if not url.startswith(("file:", "data:", "blob:"))] == []


def test_a_traces_notes_are_shown_and_marked_in_the_picture(open_page, tmp_path, pair):
    noted = dataclasses.replace(pair[0], notes=(Note(3, "look here", cell=17),))
    page = open_page(save(tmp_path, build_payload([noted, pair[1]]), {"step": 3}), reduced_motion="reduce")
    assert page.inner_text(".up-note-said") == "look here"
    marked = """() => [0, 1].map((run) => { const canvas = document.querySelectorAll('.up-canvas')[run], w = canvas.width / 12;
        const at = [(17 % 12 + 1) * w - w * 0.15, Math.floor(17 / 12) * w + w * 0.15].map(Math.round);
        return [...canvas.getContext('2d').getImageData(...at, 1, 1).data].join(); })"""
    page.evaluate(FRAME)
    with_note, without = page.evaluate(marked)
    assert with_note != without


def test_number_and_length_are_bounded_as_in_files(player):
    assert player.get_attribute(".up-note-text", "maxlength") == str(MAX_NOTE_CHARS)
    player.evaluate(
        """(most) => { const { notes, model } = window.uncage.player;
            notes.change(model.runs[0], Array.from({ length: most }, () => ({ step: 0, text: 'n', cell: null })), ''); }""",
        MAX_NOTES,
    )
    player.fill(".up-note-text", "one more")
    assert player.locator(".up-note-form button[type=submit]").is_disabled()
    assert f"at most {MAX_NOTES} notes" in player.inner_text(".up-note-form")


@pytest.mark.parametrize("text", ["  a\r\nb\tc\x00\u200b ", "👩\u200d🔬 \u202eabc", "plain"])
def test_texts_are_tidied_as_in_python(player, text):
    assert player.evaluate("(text) => window.UncagePlayerParts.notes.tidy(text)", text) == tidy(text)


def test_what_is_no_note_is_left_out(player):
    given = [
        {"step": 99, "text": "a", "cell": None},
        {"step": 0, "text": 7, "cell": None},
        {"step": 0, "text": "a", "cell": 144},
        None,
        "x",
    ]
    kept = player.evaluate("(given) => window.UncagePlayerParts.notes.checked(given, window.uncage.player.model.runs[0])", given)
    assert kept == []
