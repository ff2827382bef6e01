"""The wheel, built and used outside the checkout: everything a run needs is inside, and its dependencies are those of requirements.txt."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from email.parser import HeaderParser
from pathlib import Path

import pytest

from tools.space_start import check_start
from uncage_demo.bench.records import SHIPPED_SUFFIX

ROOT = Path(__file__).parents[2]
BUILT_FROM = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "requirements.txt", "requirements-train.txt", "uncage_demo", "assets")
PACKED_ASSETS = (".safetensors", ".json", ".npz", SHIPPED_SUFFIX)  # what a run reads; cards and pictures stay in the repository


def run(*arguments: str | Path, cwd: Path, site: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Python with these arguments; `site` is the only place beside the environment where packages are found."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"PYTHONPATH": str(site)} if site else {}
    done = subprocess.run([sys.executable, *map(str, arguments)], cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed wheel. It is built from a copy, so that nothing is left behind in the checkout."""
    source, wheels, target = (tmp_path_factory.mktemp(name) for name in ("source", "wheels", "site"))
    for name in BUILT_FROM:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    pip = ("-m", "pip", "-q", "--disable-pip-version-check")
    run(*pip, "wheel", source, "--no-build-isolation", "--no-deps", "--no-index", "-w", wheels, cwd=wheels)
    (wheel,) = wheels.glob("*.whl")
    run(*pip, "install", wheel, "--no-deps", "--no-index", "--target", target, cwd=wheels)
    return target


def test_every_file_that_a_run_needs_is_inside(site: Path) -> None:
    def files(folder: Path) -> set[str]:
        found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return {path.relative_to(folder).as_posix() for path in found}

    inside = files(site / "uncage_demo")
    assert files(ROOT / "uncage_demo") <= inside
    assert {f"assets/{name}" for name in files(ROOT / "assets") if name.endswith(PACKED_ASSETS)} <= inside
    assert not [name for name in inside if name.endswith((".webp", ".tex"))]


def test_dependencies_are_the_requirements(site: Path) -> None:
    (metadata,) = site.glob("uncage_demo-*.dist-info/METADATA")
    wanted = HeaderParser().parsestr(metadata.read_text(encoding="utf-8")).get_all("Requires-Dist") or []
    always = [line for line in wanted if ";" not in line]
    assert always == (ROOT / "requirements.txt").read_text(encoding="utf-8").split()
    (train,) = [line.split(";")[0].strip() for line in wanted if "train" in line]
    assert [train] == (ROOT / "requirements-train.txt").read_text(encoding="utf-8").split()


def test_a_picture_is_made_in_an_empty_folder(site: Path, tmp_path: Path) -> None:
    run("-m", "uncage_demo", "generate", "a turtle and a pink apple", "--out", "run", cwd=tmp_path, site=site)
    assert list((tmp_path / "run").glob("*.npz"))
    code = (
        "import uncage_demo as ud; from uncage_demo import shipped; from uncage_demo.bench.records import read_records, record_files; "
        "from uncage_demo.ui.lessons import all_lessons; from uncage_demo.ui.examples import Examples; "
        "records = read_records(min(record_files(shipped.RESULTS), key=lambda path: path.stat().st_size)); "
        "print(ud.__file__, shipped.ASSETS, len(records), len(all_lessons()), len(Examples().all), sep='\\n')"
    )
    package, assets, *counts = run("-c", code, cwd=tmp_path, site=site).stdout.split()
    assert Path(package).is_relative_to(site)
    assert Path(assets) == site / "uncage_demo" / "assets"
    assert all(int(count) > 0 for count in counts)


def test_the_page_opens_in_an_empty_folder(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(site))
    assert check_start(tmp_path, arguments=("-m", "uncage_demo", "app", "--port", "{port}")) == []
