"""WCAG AA by axe-core, from the pinned development dependency of package.json."""

from pathlib import Path
from typing import Any

import pytest

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
_RUN = """async ([where, tags]) => { const said = await axe.run(where, {runOnly: {type: 'tag', values: tags}});
    const why = (node) => [...node.any, ...node.all, ...node.none].map((check) => check.message)[0];
    return said.violations.flatMap((found) => found.nodes.map((node) => [found.id, node.target.join(' '), why(node)].join(': '))); }"""


def violations(page: Any, where: str = "body") -> list[str]:
    """What axe-core finds wrong in a part of a page, one line each; [] where it finds nothing."""
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: run npm ci")
    if not page.evaluate("() => Boolean(window.axe)"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    return page.evaluate(_RUN, [where, list(TAGS)])
