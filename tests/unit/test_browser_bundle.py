"""Modules put together as one script, and the runtime that goes with them."""

import json
from pathlib import Path

import pytest

from uncage_demo.browser import runtime
from uncage_demo.browser.bundle import STATIC, bundle, runtime_as_constant
from uncage_demo.browser.live_page import _plain

ROOT = Path(__file__).parents[2]


def written(folder: Path, **modules: str) -> Path:
    for name, text in modules.items():
        (folder / f"{name}.js").write_text(text, encoding="utf-8")
    return folder


def test_modules_come_after_what_they_import(tmp_path):
    folder = written(
        tmp_path,
        entry='import { two } from "./middle.js";\nexport const four = two() * 2;\n',
        middle='import { one } from "./last.js";\nexport function two() {\n  return one + one;\n}\n',
        last="export const one = 1;\n",
    )
    text = bundle(folder / "entry.js")
    assert text.index("const one = 1") < text.index("function two()") < text.index("const four")
    assert "import " not in text
    assert "export " not in text
    assert text.rstrip().endswith("const entry = module2;")


@pytest.mark.parametrize(
    "line",
    ['import * as all from "./last.js";', "export default 1;", 'export { one } from "./last.js";', 'import("./last.js");\nimport x;'],
)
def test_other_forms_are_refused(line, tmp_path):
    folder = written(tmp_path, entry=f"{line}\n", last="export const one = 1;\n")
    with pytest.raises(ValueError, match="is no form of import or export"):
        bundle(folder / "entry.js")


def test_a_circle_is_refused(tmp_path):
    folder = written(
        tmp_path, a='import { b } from "./b.js";\nexport const a = b;\n', b='import { a } from "./a.js";\nexport const b = a;\n'
    )
    with pytest.raises(ValueError, match="import each other"):
        bundle(folder / "a.js")


def test_the_engine_and_the_page_can_be_put_together():
    for name in ("worker.js", "live/live.js"):
        text = bundle(STATIC / name)
        assert _plain(text) == text


def test_the_runtime_becomes_a_constant():
    script = runtime_as_constant("var a=1,b=import.meta.url;export{a as one,b};", "held")
    assert script.startswith("const held = (() => {")
    assert "return { one: a, b: b };" in script
    assert "import.meta" not in script
    with pytest.raises(ValueError, match="0 export clauses"):
        runtime_as_constant("var a=1;")


def test_what_would_end_its_element_is_refused():
    with pytest.raises(ValueError, match="end its element"):
        _plain("const text = '</SCRIPT>';")


def test_the_runtime_is_the_pinned_package(tmp_path):
    pinned = json.loads((ROOT / "package.json").read_text())["devDependencies"]
    assert pinned[runtime.PACKAGE] == runtime.VERSION
    with pytest.raises(runtime.RuntimeMissing, match=f"npm install {runtime.PACKAGE}@{runtime.VERSION}"):
        runtime.find_runtime(tmp_path)
    (tmp_path / "package.json").write_text(json.dumps({"name": runtime.PACKAGE, "version": "0.1.0"}))
    with pytest.raises(runtime.RuntimeMissing, match=rf"0\.1\.0: {runtime.PACKAGE} {runtime.VERSION} is needed"):
        runtime.find_runtime(tmp_path)
