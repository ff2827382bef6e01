"""The layers: who may import whom (read from the source, so that a lazy import counts too)."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from uncage_demo.bench.report import current_section, replace_section

PACKAGE = Path(__file__).parents[2] / "uncage_demo"
FILES = sorted(PACKAGE.rglob("*.py"))


OURS = re.compile(r"uncage_demo\.[\w.]*")


@cache
def nodes(path: Path) -> list[ast.AST]:
    """Every part of a file's syntax tree."""
    return list(ast.walk(ast.parse(path.read_text())))


@cache
def imported(path: Path) -> set[str]:
    """Dotted names that a file imports anywhere, relative ones resolved, with the names taken from each module.

    A text that is the name of a module of ours counts too: importlib, sys.modules and tables of modules would import it in disguise.
    """
    found: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and OURS.fullmatch(node.value):
            found.add(node.value)
    return found


def whole_package(path: Path) -> bool:
    """Whether a file imports the package itself, behind whose public names every room stands."""
    calls = [node for node in nodes(path) if isinstance(node, ast.Call) and called(node.func).endswith(("import_module", "__import__"))]
    arguments = {argument.value for call in calls for argument in call.args if isinstance(argument, ast.Constant)}
    return PACKAGE.name in arguments.union(*({alias.name for alias in node.names} for node in nodes(path) if isinstance(node, ast.Import)))


def called(function: ast.expr) -> str:
    """The last name of what is called; "" of what has none."""
    return function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""


def starts(names: set[str], *prefixes: str) -> set[str]:
    return {name for name in names for prefix in prefixes if name == prefix or name.startswith(prefix + ".")}


def inside(path: Path, *folders: str) -> bool:
    return path.relative_to(PACKAGE).parts[0] in folders


# Who stands on whom: each room of the package, and the rooms that it may import. A room that is not named here fails.
GROUND = frozenset({"types", "orders", "setting", "config", "shipped", "files"})
FLOOR = GROUND | {"prompt"}
MAY_IMPORT: dict[str, frozenset[str]] = {
    "types": frozenset(),
    "orders": frozenset({"types", "setting"}),
    "setting": frozenset(),
    "config": frozenset({"types", "orders", "setting"}),
    "shipped": frozenset(),
    "files": frozenset(),
    "prompt": GROUND,
    "backends": FLOOR,
    "trace": FLOOR | {"backends"},
    "decoding": FLOOR | {"backends", "trace"},
    "runner": FLOOR | {"backends", "trace", "decoding"},
    "branching": FLOOR | {"backends", "trace", "decoding", "runner"},
    "editing": FLOOR | {"backends", "trace", "decoding", "runner", "branching"},
    "diagnosis": FLOOR | {"trace", "decoding"},
    "render": FLOOR | {"trace"},
    "player": FLOOR | {"trace", "render", "decoding", "diagnosis"},
    "export": FLOOR | {"trace", "render", "player", "diagnosis"},
    "browser": FLOOR | {"backends", "trace", "render", "player"},
    "bench": FLOOR | {"backends", "trace", "decoding", "runner", "branching", "editing", "diagnosis", "render"},
    "train": FLOOR | {"backends", "trace", "decoding", "runner", "diagnosis", "render", "bench", "player"},
    "ui": FLOOR
    | {"backends", "trace", "decoding", "runner", "branching", "editing", "diagnosis", "render", "player", "export", "browser", "bench"},
}
# The faces: the public names, `python -m uncage_demo` and the command line stand on everything.
FACES = {"__init__", "__main__", "cli"}


def room(path: Path) -> str:
    """The room that a file of the package stands in: its folder at the top, or its own name."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("name", sorted({room(path) for path in FILES} - FACES))
def test_nobody_imports_upward(name):
    assert name in MAY_IMPORT, f"{name} is a new room: say in MAY_IMPORT what it may import"
    for path in (path for path in FILES if room(path) == name):
        rooms = {other.split(".")[1] for other in imported(path) if other.startswith("uncage_demo.")}
        assert rooms <= MAY_IMPORT[name] | {name}, path.relative_to(PACKAGE)
        told = "the public names stand on every room: import from the module that defines them"
        assert not whole_package(path), f"{path.relative_to(PACKAGE)}: {told}"


def test_floors_have_no_circle():
    """The table itself goes down only: the rooms can be put in an order in which each stands on earlier ones."""
    placed: set[str] = set()
    while len(placed) < len(MAY_IMPORT):
        ready = {name for name, below in MAY_IMPORT.items() if name not in placed and below <= placed}
        assert ready, f"a circle among {sorted(set(MAY_IMPORT) - placed)}"
        placed |= ready


def test_few_loose_modules():
    """Rooms, not prefixes: what stands loose at the top of the package is counted."""
    assert len([path for path in PACKAGE.glob("*.py") if not path.name.startswith("__")]) <= 8


RULES = [
    # (name, applies to, forbidden prefixes)
    ("only ui imports gradio", lambda p: not inside(p, "ui"), ("gradio", "gradio_client")),
    ("decoding knows no images, files, grammar or page", lambda p: inside(p, "decoding"), ("PIL", "matplotlib")),
    ("render, player and diagnosis know arrays, not torch", lambda p: inside(p, "render", "player", "diagnosis"), ("torch",)),
    (
        "only backends and benchmark scorers import transformers or diffusers",
        lambda p: not inside(p, "backends") and not p.name.startswith(("scorers_", "speed_rivals")),
        ("transformers", "diffusers"),
    ),
    ("trace and what lies below it know no torch", lambda p: room(p) in ("trace", *GROUND), ("torch", "PIL")),
    (
        "the embedded model's parts know no training and no pictures",
        lambda p: inside(p, "backends") and p.parent.name == "embedded" and p.name != "backend.py",
        ("PIL", "uncage_demo.decoding"),
    ),
    ("backends know no particular model above them", lambda p: p.parent.name == "large", ("uncage_demo.backends.embedded",)),
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


@pytest.mark.parametrize(
    "text",
    [
        'importlib.import_module("uncage_demo.player.notebook").show(traces)',
        'TABLE = {"show": ("uncage_demo.player.notebook", 1)}',
        'import_module(f"uncage_demo.player.{name}")',
        'sys.modules["uncage_demo.player"]',
    ],
)
def test_rules_see_modules_named_in_texts(text, tmp_path):
    source = tmp_path / "disguised.py"
    source.write_text(text)
    assert starts({name.rstrip(".") for name in imported(source)}, "uncage_demo.player")


@pytest.mark.parametrize("text", ["import uncage_demo as ud", 'import_module(".player", "uncage_demo")'])
def test_rules_see_the_whole_package(text, tmp_path):
    source = tmp_path / "disguised.py"
    source.write_text(text)
    assert whole_package(source)


PAGE = PACKAGE.parent / "docs" / "ARCHITECTURE.md"
MARKS = ("<!-- rooms:begin (written by `python -m tests.unit.test_imports`; do not edit) -->", "<!-- rooms:end -->")


def rooms_table() -> str:
    """MAY_IMPORT as Markdown, lower rooms first."""
    lines = [
        f"The ground: {', '.join(f'`{name}`' for name in MAY_IMPORT if name in GROUND)}.",
        "",
        "| room | may import |",
        "| --- | --- |",
    ]
    for name, below in MAY_IMPORT.items():
        ground = ["the ground"] if below >= GROUND else [f"`{other}`" for other in MAY_IMPORT if other in below & GROUND]
        rooms = [f"`{other}`" for other in MAY_IMPORT if other in below - GROUND]
        lines.append(f"| `{name}` | {', '.join([*ground, *rooms]) or 'nothing'} |")
    return "\n".join(lines)


def test_the_architecture_page_tells_this_table():
    assert current_section(PAGE.read_text(encoding="utf-8"), MARKS) == rooms_table(), "run `python -m tests.unit.test_imports`"


if __name__ == "__main__":
    PAGE.write_text(replace_section(PAGE.read_text(encoding="utf-8"), rooms_table(), MARKS), encoding="utf-8")
