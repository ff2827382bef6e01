"""Modules put together as one script, so that a page in a single file can hold them. Only the plain forms that our modules use are read.

A module imports with `import { a, b } from "./x.js";` in one line and exports with `export` before a function, class or constant.
"""

from __future__ import annotations

import re
from pathlib import Path

STATIC = Path(__file__).parent / "static"
_IMPORT = re.compile(r'^import \{ ([\w, ]+) \} from "(\.{1,2}/[\w./-]+\.js)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?function\*?|class|const) (\w+)", re.MULTILINE)
_OTHER = re.compile(r"^(?:import|export)\b.*$", re.MULTILINE)
# The one export clause at the end of the runtime's own module.
_CLAUSE = re.compile(r"export\s*\{([^{}]*)\}\s*;?")


def bundle(entry: Path) -> str:
    """A module and all that it imports, each in a function of its own, as a script. Its exports are in the constant `entry`.

    Args:
        entry: a file below STATIC.

    Raises:
        FileNotFoundError: a module that is not there.
        ValueError: a form of import or export that is not read, or modules that import each other.
    """
    order: list[Path] = []
    _visit(entry.resolve(), order, [])
    number = {path: index for index, path in enumerate(order)}
    return "\n".join(_wrapped(path, number) for path in order) + f"\nconst entry = module{len(order) - 1};\n"


def _visit(path: Path, order: list[Path], above: list[Path]) -> None:
    if path in above:
        raise ValueError(f"{path.name} and {above[-1].name} import each other: one of the two must do without")
    if path in order:
        return
    for match in _IMPORT.finditer(path.read_text(encoding="utf-8")):
        _visit((path.parent / match[2]).resolve(), order, [*above, path])
    order.append(path)


def _wrapped(path: Path, number: dict[Path, int]) -> str:
    text = path.read_text(encoding="utf-8")
    names = [match[2] for match in _EXPORT.finditer(text)]

    def taken(match: re.Match[str]) -> str:
        return f"const {{ {match[1]} }} = module{number[(path.parent / match[2]).resolve()]};"

    text = _EXPORT.sub(r"\1 \2", _IMPORT.sub(taken, text))
    strange = _OTHER.search(text)
    if strange:
        raise ValueError(f"{path.name}: {strange[0]!r} is no form of import or export that is put together here")
    return f"const module{number[path]} = (() => {{\n{text}\nreturn {{ {', '.join(names)} }};\n}})();"


def runtime_as_constant(text: str, name: str = "ort") -> str:
    """An ES module as a plain script, with a constant that holds its exports.

    A worker of a page that was opened from disk may not be a module: browsers give such pages no origin to load modules from.

    Args:
        text: a module whose exports stand in one clause.
        name: of the constant.

    Raises:
        ValueError: no such clause, or more than one.
    """
    clauses = _CLAUSE.findall(text)
    if len(clauses) != 1:
        raise ValueError(f"the runtime has {len(clauses)} export clauses, expected 1: it is another version than the pinned one")
    pairs = []
    for part in clauses[0].split(","):
        inside, _, outside = part.strip().partition(" as ")
        pairs.append(f"{outside or inside}: {inside}")
    text = _CLAUSE.sub(lambda _: f"return {{ {', '.join(pairs)} }};", text).replace("import.meta.url", "globalThis.location.href")
    return f"const {name} = (() => {{\n{text}\n}})();"
