"""The layers: who may import whom (read from the source, so that a lazy import counts too)."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "uncage_demo"
FILES = sorted(PACKAGE.rglob("*.py"))


@cache
def imported(path: Path) -> set[str]:
    """Dotted names that a file imports anywhere, relative ones resolved, with the names taken from each module."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def starts(names: set[str], *prefixes: str) -> set[str]:
    return {name for name in names for prefix in prefixes if name == prefix or name.startswith(prefix + ".")}


def inside(path: Path, *folders: str) -> bool:
    return path.relative_to(PACKAGE).parts[0] in folders


RULES = [
    # (name, applies to, forbidden prefixes)
    ("only ui imports gradio", lambda p: not inside(p, "ui"), ("gradio", "gradio_client")),
    (
        "decoding knows no images, files, grammar or page",
        lambda p: inside(p, "decoding"),
        ("PIL", "matplotlib", "uncage_demo.render", "uncage_demo.prompt", "uncage_demo.ui", "uncage_demo.runner", "uncage_demo.bench"),
    ),
    (
        "render knows arrays, not torch or models",
        lambda p: inside(p, "render"),
        ("torch", "uncage_demo.backends", "uncage_demo.models", "uncage_demo.ui", "uncage_demo.runner", "uncage_demo.bench"),
    ),
    (
        "only backends and benchmark scorers import transformers or diffusers",
        lambda p: not inside(p, "backends") and not p.name.startswith(("scorers_", "speed_rivals")),
        ("transformers", "diffusers"),
    ),
    (
        "trace and types are the ground",
        lambda p: p.name in ("trace.py", "types.py"),
        ("torch", "PIL", "uncage_demo.decoding", "uncage_demo.backends"),
    ),
    ("models know no backend", lambda p: inside(p, "models"), ("uncage_demo.backends", "uncage_demo.decoding", "uncage_demo.train", "PIL")),
    ("the diagnosis reads the trace alone", lambda p: p.name == "diagnose.py", ("torch", "uncage_demo.backends", "uncage_demo.models")),
    ("nobody below the page imports it", lambda p: not inside(p, "ui") and p.name not in ("cli.py", "commands.py"), ("uncage_demo.ui",)),
    ("only the training makes models", lambda p: not inside(p, "train") and p.name != "cli.py", ("uncage_demo.train",)),
]


@pytest.mark.parametrize(("name", "applies", "forbidden"), RULES, ids=[rule[0] for rule in RULES])
def test_layer(name, applies, forbidden):
    files = [path for path in FILES if applies(path)]
    assert files, f"the rule {name!r} applies to no file"
    broken = {str(path.relative_to(PACKAGE)): sorted(starts(imported(path), *forbidden)) for path in files}
    assert not {path: names for path, names in broken.items() if names}


def test_rules_see_lazy_imports(tmp_path):
    source = tmp_path / "lazy.py"
    source.write_text("def f():\n    from gradio import Blocks\n    return Blocks\n")
    assert starts(imported(source), "gradio")
