"""The examples of README, API page and notebook run, with the shipped weights, and show what they say."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.notebook_pages import pages, payload

ROOT = Path(__file__).parents[2]


def value_of(source: str, names: dict[str, Any]) -> Any:
    """Run a cell as a notebook does: the value of its last expression is what it shows."""
    tree = ast.parse(source)
    last = tree.body[-1]
    if isinstance(last, ast.Expr):
        del tree.body[-1]
    exec(compile(tree, "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if isinstance(last, ast.Expr) else None


def test_python_example_runs(tmp_path, monkeypatch):
    example = re.search(r"```python\n(.+?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert example
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(compile(example.group(1), "README.md", "exec"), names)
    assert (tmp_path / "run.npz").is_file()
    assert names["guided"].unmask_step.shape == (12, 12)
    assert np.isfinite(names["guided"].steps[3].scores.max())
    assert not np.array_equal(names["guided"].unmask_step, names["baseline"].unmask_step)


def test_the_example_of_the_api_page_runs():
    example = re.search(r"```python\n(.+?)```", (ROOT / "docs/API.md").read_text(), re.DOTALL)
    assert example
    names: dict = {}
    exec(compile(example.group(1), "API.md", "exec"), names)
    run, branch = names["run"], names["branch"]
    assert np.array_equal(run.unmask_step < 4, branch.unmask_step < 4)
    assert not np.array_equal(run.unmask_step, branch.unmask_step)


def test_the_shipped_notebook_runs_and_shows_players(monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = json.loads((ROOT / "docs/example.ipynb").read_text(encoding="utf-8"))
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
