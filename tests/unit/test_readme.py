"""The README's promises: the two lines, and Python that runs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

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
