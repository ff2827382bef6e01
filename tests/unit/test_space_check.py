"""What the Space check finds, on a small repository made for it; and the borrowed GPU's decorator."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from tools import space_check
from tools.space_start import check_start, free_port, offline_environment
from uncage_demo.backends.zero_gpu import borrows_gpu

NUMPY = metadata.version("numpy")
GRADIO = metadata.version("gradio")
README = f"""---
title: Demo
sdk: gradio
sdk_version: {GRADIO}
app_file: app.py
license: apache-2.0
colorFrom: blue
---
# Demo
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "README.md").write_text(README)
    (tmp_path / "requirements.txt").write_text(f"numpy=={NUMPY}  # arrays\n\n")
    (tmp_path / "app.py").write_text("import json\nimport numpy\nfrom package import tool\n")
    for folder in ("package", "package/train"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text("")
    (tmp_path / "package" / "tool.py").write_text("from . import train\n\ndef late():\n    import numpy.linalg\n")
    (tmp_path / "package" / "train" / "art.py").write_text("import resvg_py\n")
    return tmp_path


def problems(folder: Path) -> list[str]:
    """Problems other than the version of gradio, which the small repository does not pin."""
    return [text for text in space_check.check_all(folder) if "sdk_version" not in text]


def test_a_good_repository_has_no_problems(repository: Path) -> None:
    assert problems(repository) == []


def test_large_files_are_found_tracked_or_not(repository: Path) -> None:
    with (repository / "weights.bin").open("wb") as file:
        file.truncate(space_check.MAX_FILE_BYTES + 1)
    assert problems(repository) == ["weights.bin: 10.0 MB, the limit is 10 MB"]
    subprocess.run(["git", "init", "-q", str(repository)], check=True)
    subprocess.run(["git", "-C", str(repository), "add", "README.md"], check=True)
    assert problems(repository) == []  # an untracked file is not pushed
    subprocess.run(["git", "-C", str(repository), "add", "weights.bin"], check=True)
    assert len(problems(repository)) == 1


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("title: Demo\n", "", "lacks title"),
        ("app_file: app.py", "app_file: main.py", "app_file main.py does not exist"),
        ("colorFrom: blue", "colorFrom: teal", "colorFrom is 'teal'"),
        ("license: apache-2.0", f"license: apache-2.0\nshort_description: {'x' * 61}", "longer than 60"),
        ("license: apache-2.0", "license: apache-2.0\npython_version: '2.7'", "python_version is 2.7"),
        ("sdk: gradio", "sdk: docker", "sdk is 'docker'"),
        ("---\ntitle", "title", "does not begin with a front matter"),
        ("title: Demo", "title: [Demo", "not valid YAML"),
    ],
)
def test_front_matter(repository: Path, before: str, after: str, complaint: str) -> None:
    assert before in README
    (repository / "README.md").write_text(README.replace(before, after, 1))
    assert any(complaint in text for text in problems(repository)), problems(repository)


def test_sdk_version_must_be_the_pinned_gradio(repository: Path) -> None:
    pins, _ = space_check.read_requirements(repository / "requirements.txt")
    assert any("pins gradio None" in text for text in space_check.check_front_matter(repository, pins))
    assert not space_check.check_front_matter(repository, pins | {"gradio": GRADIO})
    assert any("pins gradio 1.0" in text for text in space_check.check_front_matter(repository, pins | {"gradio": "1.0"}))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("numpy", "not pinned"),
        ("numpy>=1.0", "not pinned"),
        (f"numpy=={NUMPY},<99", "not pinned"),
        ("numpy==1.*", "not pinned"),
        ("-r other.txt", "not a plain requirement"),
        ("numpy @ https://host.example/numpy.whl", "not pinned"),
        (f"numpy=={NUMPY}\nNumPy=={NUMPY}", "listed twice"),
        ("numpy==0.0.1", f"wants numpy==0.0.1, installed is {NUMPY}"),
        (f"numpy=={NUMPY}\nno-such-package-here==1.0", "wants no-such-package-here==1.0, which is not installed here"),
    ],
)
def test_requirements(repository: Path, line: str, complaint: str) -> None:
    (repository / "requirements.txt").write_text(line + "\n")
    assert any(complaint in text for text in problems(repository)), problems(repository)


def test_imports_that_nothing_brings(repository: Path) -> None:
    (repository / "package" / "tool.py").write_text("def late():\n    import pytest\n")
    assert problems(repository) == ["package/tool.py imports pytest, which requirements.txt does not bring"]


def test_what_a_requirement_brings_along_counts() -> None:
    names, trouble = space_check.closure({"safetensors": metadata.version("safetensors")})
    assert names == {"safetensors"}
    assert trouble == []
    names, _ = space_check.closure({"huggingface-hub": metadata.version("huggingface_hub")})
    assert {"pyyaml", "tqdm"} <= names


def test_the_command_says_and_returns_it(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (repository / "README.md").unlink()
    assert space_check.main([str(repository)]) == 1
    assert "README.md: missing" in capsys.readouterr().out
    with pytest.raises(ValueError, match="no such folder"):
        space_check.check_all(repository / "nothing")


PAGE = """
import http.server, os, socket
{extra}
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"{body}")
http.server.HTTPServer(("127.0.0.1", int(os.environ["GRADIO_SERVER_PORT"])), Page).serve_forever()
"""


@pytest.mark.parametrize(
    ("extra", "body", "complaint"),
    [
        ("assert os.environ['CUDA_VISIBLE_DEVICES'] == ''", "<gradio-app>", ""),
        ("raise SystemExit(3)", "", "ended with status 3"),
        ("", "something else", "but not with the page"),
        ("try:\n    socket.create_connection(('192.0.2.1', 80), 1)\nexcept OSError: pass", "<gradio-app>", "tries to reach 192.0.2.1"),
        ("try:\n    socket.getaddrinfo('host.example', 80)\nexcept OSError: pass", "<gradio-app>", "tries to reach host.example"),
    ],
)
def test_start_without_gpu_and_network(tmp_path: Path, extra: str, body: str, complaint: str) -> None:
    (tmp_path / "app.py").write_text(PAGE.format(extra=extra, body=body))
    found = check_start(tmp_path, limit_s=120)
    assert (found == []) if not complaint else any(complaint in text for text in found), found


def test_the_started_page_sees_no_proxy_and_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy")
    environment = offline_environment("scratch", free_port())
    assert "https_proxy" not in environment
    assert environment["CUDA_VISIBLE_DEVICES"] == ""
    assert environment["HF_HUB_OFFLINE"] == "1"


def test_the_gpu_is_borrowed_on_zero_gpu_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def draw() -> int:
        return 7

    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    assert borrows_gpu(30)(draw) is draw
    asked: list[object] = []
    monkeypatch.setitem(sys.modules, "spaces", SimpleNamespace(GPU=lambda duration: asked.append(duration) or (lambda f: lambda: f() + 1)))
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    assert borrows_gpu(30)(draw)() == 8
    assert asked == [30]
    for wrong in (0, 4000, True):
        with pytest.raises(ValueError, match="1 to 3600"):
            borrows_gpu(wrong)
