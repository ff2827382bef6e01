"""The README's promises: the two lines, and Python that runs."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path

from uncage_demo.orders.table import ORDERS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def line_after(marker: str) -> str:
    found = re.search(rf"<!-- {marker} -->\n```bash\n(.+)\n```", README)
    assert found, marker
    return found.group(1)


def test_each_line_makes_its_own_environment():
    for marker, tail in (("run line", ".venv/bin/python app.py"), ("test line", ".venv/bin/python -m pytest -n 2")):
        parts = line_after(marker).split(" && ")
        assert parts[0] == "python3 -m venv .venv"
        assert parts[1].startswith(".venv/bin/pip install")
        assert (ROOT / parts[1].split()[-1]).is_file()
        assert parts[-1] == tail


def test_ci_reads_the_test_line():
    script = (ROOT / ".ci/run").read_text()
    command = re.search(r"line=\$\((.+)\)", script)
    assert command
    found = subprocess.run(["bash", "-c", command.group(1)], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == line_after("test line")


def test_every_requirement_is_pinned_once():
    for path in sorted(ROOT.glob("requirements*.txt")):
        lines = [line for line in path.read_text().splitlines() if not line.startswith("-r ")]
        names = [re.fullmatch(r"([\w.-]+)(\[[\w,]+\])?==\d[\w.]*", line) for line in lines]
        assert all(names), f"{path.name}: {[line for line, name in zip(lines, names, strict=True) if not name]}"
        assert len({name.group(1) for name in names if name}) == len(lines)


def test_the_page_is_short_and_its_links_lead_somewhere():
    assert len(README.splitlines()) <= 150
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            assert "://" in target or (page.parent / target).exists(), f"{page.name}: {target}"


def written_by_hand(text: str) -> str:
    """A document without what commands write between their marks."""
    return re.sub(r"<!-- ([^\n]+?):begin .*?<!-- \1:end -->", "", text, flags=re.DOTALL)


def test_a_measured_figure_stands_in_one_place():
    """A rate or a difference with its interval is generated, or written by hand once; elsewhere stands a link."""

    def figures(text: str) -> list[str]:
        return re.findall(r"\d+\.\d \[[-\d., ]+\]", " ".join(text.replace("+", "").split()))

    paths = (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))
    found = [(figure, path.name) for path in paths for figure in figures(written_by_hand(path.read_text()))]
    everywhere = Counter(figure for path in paths for figure in figures(path.read_text()))
    assert len(everywhere) > 100
    assert [one for one in found if everywhere[one[0]] > 1] == []


def test_the_method_names_every_order_as_the_page_does():
    rows = re.findall(r"^\| ([^|]+) \(`([a-z_]+)`\) \|", (ROOT / "docs/METHOD.md").read_text(), re.MULTILINE)
    assert {name: title for title, name in rows} == {name: order.title for name, order in ORDERS.items()}
