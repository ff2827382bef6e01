"""Runs show themselves in a notebook: the shipped example is run, and what its cells show is read; no notebook program is needed."""

from __future__ import annotations

import ast
import html
import json
import re
from pathlib import Path
from typing import Any

import pytest

import uncage_demo as ud
from tests.factories import make_trace
from uncage_demo.trace.record import Traces

NOTEBOOK = Path(__file__).parents[2] / "docs" / "example.ipynb"
FRAME = re.compile(r'<iframe title="Uncage player" sandbox="([^"]*)" style="[^"]*" srcdoc="([^"]*)"></iframe>')


def pages(shown: str) -> list[str]:
    """The pages in the frames of what a cell shows; nothing stands outside them."""
    assert not FRAME.sub("", shown).strip()
    found = FRAME.findall(shown)
    for sandbox, _ in found:
        assert "allow-same-origin" not in sandbox
    return [html.unescape(page) for _, page in found]


def payload(page: str) -> Any:
    return json.loads(re.findall(r'<script type="application/json" id="payload">(.*?)</script>', page, re.DOTALL)[0])


def value_of(source: str, names: dict[str, Any]) -> Any:
    """Run a cell as a notebook does: the value of its last expression is what it shows."""
    tree = ast.parse(source)
    last = tree.body[-1]
    if isinstance(last, ast.Expr):
        del tree.body[-1]
    exec(compile(tree, "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if isinstance(last, ast.Expr) else None


def test_the_shipped_notebook_runs_and_shows_players(monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    names: dict[str, Any] = {}
    shown = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            shown.append(value_of("".join(cell["source"]), names))
    pair, judged, branch = (pages(value._repr_html_()) for value in shown[1:4])
    assert shown[0] == ["turtle", "pink apple"]
    assert [run["verdict"] is None for run in payload(pair[0])["runs"]] == [True, True]
    assert all(run["verdict"] for run in payload(judged[0])["runs"])
    assert len(payload(branch[0])["runs"]) == 1
    # several players stand in one notebook: each is a whole page with a policy of its own that lets nothing in or out
    for page in (*pair, *judged, *branch):
        assert page.startswith("<!doctype html>")
        assert "default-src 'none'" in page
        assert not re.findall(r"(?:src|href)=[\"']https?:", page)


def test_a_list_of_runs_shows_itself_and_stays_a_list() -> None:
    traces = Traces([make_trace(steps=4, order=order) for order in ("meissonic", "uncage")])
    (page,) = pages(traces._repr_html_())
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
    with pytest.raises(ValueError, match="1 verdicts of 2 traces"):
        ud.show([trace, trace], verdicts=[None])
    with pytest.raises(ValueError, match="height_px=10"):
        ud.show(trace, height_px=10)
