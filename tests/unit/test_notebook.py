"""Runs show themselves in a notebook: what its cells would show is read (the shipped example: tests/slow/test_documents.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

import uncage_demo as ud
from tests.factories import make_trace
from tests.notebook_pages import pages, payload
from uncage_demo.trace.record import Traces


def test_a_list_of_runs_shows_itself_and_stays_a_list() -> None:
    traces = Traces([make_trace(steps=4, order=order) for order in ("meissonic", "uncage")])
    shown = traces._repr_html_()
    assert shown is not None
    (page,) = pages(shown)
    assert [run["title"] for run in payload(page)["runs"]] == [
        run["title"] for run in payload(pages(ud.show(list(traces))._repr_html_())[0])["runs"]
    ]
    assert Traces()._repr_html_() == ""
    assert isinstance(traces, list)
    assert len(traces[:1] + traces) == 3


def test_runs_that_cannot_stand_side_by_side_stand_below_each_other(tmp_path: Path) -> None:
    several = [make_trace(seed, steps=2) for seed in range(7)]
    other = make_trace(steps=2, prompt_text='a <b>cat</b> & "dog"')
    shown = ud.show([*several, other])
    found = pages(shown._repr_html_())
    assert [len(payload(page)["runs"]) for page in found] == [6, 1, 1]
    assert payload(found[2])["prompt"]["text"] == other.prompt.text
    assert shown.save(tmp_path / "runs.html").read_text(encoding="utf-8") == shown.pages[0]
    assert (tmp_path / "runs-3.html").is_file()
    assert "3 players" in repr(shown)


def test_what_cannot_be_shown_is_said() -> None:
    trace = make_trace(steps=2)
    with pytest.raises(ValueError, match="0 traces"):
        ud.show([])
    with pytest.raises(ValueError, match="1 verdict of 2 traces"):
        ud.show([trace, trace], verdicts=[None])
    with pytest.raises(ValueError, match="height_px=10"):
        ud.show(trace, height_px=10)
