"""Would a Space accept and start this repository? `python -m tools.space_check [folder] [--start]`

File sizes, README front matter, requirements (pinned, consistent, complete for what the code imports); with --start also: does the page
come up without a GPU and without network. Needs no network itself.
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

MAX_FILE_BYTES = 10_000_000  # larger files need large-file storage, which a plain push does not have
COLORS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
MAX_SHORT_DESCRIPTION = 60
NOT_ON_A_SPACE = ("tests", "train")  # folders whose code a Space never runs; requirements-dev.txt serves them


def main(arguments: list[str] | None = None) -> int:
    """Print what is wrong; exit status 0 when nothing is."""
    parser = argparse.ArgumentParser(prog="python -m tools.space_check", description="Would a Space accept and start this repository?")
    parser.add_argument("folder", nargs="?", type=Path, default=Path.cwd(), help="repository root (default: here)")
    parser.add_argument("--start", action="store_true", help="also start the page without GPU and network (takes a while)")
    options = parser.parse_args(arguments)
    problems = check_all(options.folder)
    if options.start and not problems:
        from tools.space_start import check_start

        problems = check_start(options.folder)
    for problem in problems:
        print(f"- {problem}")
    print("not ready" if problems else "ready for a Space")
    return 1 if problems else 0


def check_all(folder: Path) -> list[str]:
    """Every problem of a repository folder, as sentences; empty when it is ready.

    Raises:
        ValueError: when the folder does not exist.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    pins, problems = read_requirements(folder / "requirements.txt")
    problems += check_sizes(folder, repository_files(folder))
    problems += check_front_matter(folder, pins)
    problems += check_pins(pins)
    problems += check_imports(folder, pins)
    return problems


def repository_files(folder: Path) -> list[Path]:
    """Files that a push would carry: what git tracks, or every file where there is no git."""
    listing = subprocess.run(["git", "-C", str(folder), "ls-files", "-z"], capture_output=True, check=False)
    if listing.returncode == 0 and listing.stdout:
        return [folder / name for name in listing.stdout.decode().split("\0") if name]
    return sorted(path for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts)


def check_sizes(folder: Path, files: Iterable[Path]) -> list[str]:
    """Files that are too large for a plain push."""
    large = [(path, path.stat().st_size) for path in files if path.is_file() and path.stat().st_size > MAX_FILE_BYTES]
    return [f"{path.relative_to(folder)}: {size / 1e6:.1f} MB, the limit is {MAX_FILE_BYTES / 1e6:.0f} MB" for path, size in large]


def front_matter(text: str) -> dict[str, Any]:
    """The YAML block between the first two `---` lines of a README.

    Raises:
        ValueError: when there is none or it cannot be read.
    """
    import yaml

    lines = text.splitlines()
    if not lines or lines[0].strip() != "---" or "---" not in [line.strip() for line in lines[1:]]:
        raise ValueError("README.md: does not begin with a front matter block between two --- lines")
    end = [line.strip() for line in lines[1:]].index("---") + 1
    try:
        data = yaml.safe_load("\n".join(lines[1:end]))
    except yaml.YAMLError as error:
        raise ValueError(f"README.md: the front matter is not valid YAML ({str(error).splitlines()[0]})") from None
    if not isinstance(data, dict):
        raise ValueError("README.md: the front matter is not a list of names and values")
    return data


def check_front_matter(folder: Path, pins: dict[str, str]) -> list[str]:
    """What a Space would complain about in README.md's front matter."""
    path = folder / "README.md"
    if not path.is_file():
        return ["README.md: missing"]
    try:
        data = front_matter(path.read_text(encoding="utf-8"))
    except ValueError as error:
        return [str(error)]
    problems = [f"README.md: front matter lacks {name}" for name in ("title", "sdk", "app_file", "license") if not data.get(name)]
    if data.get("sdk") not in (None, "gradio"):
        problems.append(f"README.md: sdk is {data['sdk']!r}, expected gradio")
    wanted = pins.get("gradio")
    if str(data.get("sdk_version")) != str(wanted):
        problems.append(f"README.md: sdk_version is {data.get('sdk_version')}, requirements.txt pins gradio {wanted}")
    if data.get("app_file") and not (folder / str(data["app_file"])).is_file():
        problems.append(f"README.md: app_file {data['app_file']} does not exist")
    for name in ("colorFrom", "colorTo"):
        if data.get(name) not in (None, *COLORS):
            problems.append(f"README.md: {name} is {data[name]!r}, choose one of {', '.join(COLORS)}")
    if len(str(data.get("short_description", ""))) > MAX_SHORT_DESCRIPTION:
        problems.append(f"README.md: short_description is longer than {MAX_SHORT_DESCRIPTION} characters")
    python = str(data.get("python_version", ""))
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    if python and ".".join(python.split(".")[:2]) != running:
        problems.append(f"README.md: python_version is {python}, the project is tested with {running}")
    return problems


def read_requirements(path: Path) -> tuple[dict[str, str], list[str]]:
    """Pinned versions by canonical name (extras as "name[extra]" too), and what is wrong with the other lines."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    if not path.is_file():
        return {}, ["requirements.txt: missing"]
    pins: dict[str, str] = {}
    problems = []
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.split("#")[0].strip()
        if not text:
            continue
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            problems.append(f"requirements.txt: {text!r} is not a plain requirement")
            continue
        versions = [spec.version for spec in wanted.specifier if spec.operator == "=="]
        if wanted.url or len(versions) != 1 or len(list(wanted.specifier)) != 1 or "*" in versions[0]:
            problems.append(f"requirements.txt: {text!r} is not pinned to one version (name==version)")
            continue
        name = canonicalize_name(wanted.name)
        if name in pins:
            problems.append(f"requirements.txt: {name} is listed twice")
        pins[name] = versions[0]
        pins.update({f"{name}[{extra}]": versions[0] for extra in wanted.extras})
    return pins, problems


def check_pins(pins: dict[str, str]) -> list[str]:
    """Whether the pins can be installed together, proved by this environment: it holds them, and all that they ask for in turn."""
    return closure(pins)[1]


def closure(pins: dict[str, str]) -> tuple[set[str], list[str]]:
    """Canonical names of everything that the pins bring along, and every requirement that this environment contradicts."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    names: set[str] = set()
    problems: list[str] = []
    queue: list[tuple[str, str, str, str]] = []  # distribution, extra, wanted versions, who wants it
    for pin, version in pins.items():
        base, _, extra = pin.partition("[")
        queue.append((base, extra.rstrip("]"), f"=={version}", "requirements.txt"))
    seen: set[tuple[str, str]] = set()
    while queue:
        name, extra, wanted, asker = queue.pop()
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            problems.append(f"{asker} wants {name}{wanted}, which is not installed here, so the set cannot be checked")
            continue
        names.add(name)
        if not Requirement(f"{name}{wanted}").specifier.contains(found.version, prereleases=True):
            problems.append(f"{asker} wants {name}{wanted}, installed is {found.version}")
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for text in found.requires or ():
            inner = Requirement(text)
            if inner.marker is not None and not inner.marker.evaluate({"extra": extra}):
                continue
            child, who = canonicalize_name(inner.name), f"{name}[{extra}]" if extra else name
            queue += [(child, part, str(inner.specifier), who) for part in ("", *inner.extras)]
    return names, sorted(set(problems))


def check_imports(folder: Path, pins: dict[str, str]) -> list[str]:
    """Third-party modules that the package or app.py imports but requirements.txt does not bring."""
    from packaging.utils import canonicalize_name

    brought, _ = closure(pins)
    owners = installed_modules()
    problems = []
    for module, file in sorted(imported_modules(folder).items()):
        names = {canonicalize_name(name) for name in owners.get(module, ())}
        if not names & brought:
            problems.append(f"{file.relative_to(folder)} imports {module}, which requirements.txt does not bring")
    return problems


@cache
def installed_modules() -> Mapping[str, Sequence[str]]:
    """Names of the installed distributions that bring each top-level module; read once, as it lists every installed file."""
    return metadata.packages_distributions()


def imported_modules(folder: Path) -> dict[str, Path]:
    """Top-level names of the third-party modules that the code of a Space imports, with one file that does."""
    found: dict[str, Path] = {}
    packages = [path.parent for path in folder.glob("*/__init__.py") if path.parent.name not in NOT_ON_A_SPACE]
    own = {package.name for package in packages} | {"app"}
    inner = [file for package in packages for file in sorted(package.rglob("*.py"))]
    for path in [*folder.glob("app.py"), *inner]:
        if any(part in NOT_ON_A_SPACE for part in path.relative_to(folder).parts[:-1]):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            for name in names:
                top = name.partition(".")[0]
                if top not in sys.stdlib_module_names and top not in own:
                    found.setdefault(top, path)
    return found


if __name__ == "__main__":
    sys.exit(main())
