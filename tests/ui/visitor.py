"""A visitor of the running page: opening it, and what most visits do."""

import base64
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

EXAMPLES = (("rescue", "a turtle and a pink apple"), ("failure", "a cat and a dog"))
HOSTILE = "a cat ${6*7} {{x}} <img src=x onerror=window.hacked=1> and a dog"
WIDE = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
MOST_HELD_S = 120  # a test that failed releases nothing


class Pace:
    """How fast the pages' model draws: slowly enough to be watched, and not at all once it is held."""

    def __init__(self) -> None:
        self._left: int | None = None
        self._free = threading.Event()
        self._free.set()

    def hold_after(self, forwards: int) -> None:
        """Let so many more forwards pass, then none before release()."""
        self._left = forwards

    def release(self) -> None:
        """Let all forwards pass."""
        self._left = None
        self._free.set()

    def wait(self) -> None:
        """What the model does before each forward."""
        time.sleep(0.03)
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                self._free.clear()
        self._free.wait(MOST_HELD_S)


PACE = Pace()


def visit(browser: Any, address: str, size: dict[str, int], wait_for: str = "#uc-stage [data-ready]", **options: Any) -> Iterator[Any]:
    """A page that is ready: its example (or run) is on stage. A script error fails the test that uses it last."""
    context = browser.new_context(viewport=size, accept_downloads=True, **options)
    context.set_default_timeout(int(os.environ.get("UNCAGE_BROWSER_TIMEOUT_MS", "180000")))
    visitor = context.new_page()
    errors: list[str] = []
    requests: list[str] = []
    visitor.on("pageerror", lambda error: errors.append(str(error)))
    visitor.on("request", lambda request: requests.append(request.url))
    visitor.seen = requests
    visitor.goto(address, wait_until="domcontentloaded")
    visitor.wait_for_selector(wait_for, state="attached")
    yield visitor
    context.close()
    assert not errors, errors


def shared(page: Any, what: str) -> Any:
    return page.evaluate(f"() => window.UncagePage.shared.{what}")


def run_to_end(page: Any) -> None:
    """Press Generate and wait for the next finished run on stage."""
    before = page.get_attribute("#uc-stage [data-ready]", "data-ready")
    page.click("#uc-generate")
    page.wait_for_function("(old) => document.querySelector('#uc-stage [data-ready]').dataset.ready !== old", arg=before)


def set_prompt(page: Any, text: str) -> None:
    page.fill("#uc-prompt textarea, #uc-prompt input", text)


def drop(page: Any, selector: str, path: Path) -> None:
    """Drop a file on an element as a mouse would."""
    held = page.evaluate_handle(
        """([name, text]) => { const files = new DataTransfer(), bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
            files.items.add(new File([bytes], name)); return files; }""",
        [path.name, base64.b64encode(path.read_bytes()).decode()],
    )
    for event in ("dragover", "drop"):
        page.dispatch_event(selector, event, {"dataTransfer": held})


def click_cell(page: Any, stage: str, cell: int, grid: tuple[int, int]) -> None:
    """Click a cell (row-major index) of the first canvas that a selector names."""
    canvas = page.locator(stage).first
    box, (y, x) = canvas.bounding_box(), divmod(int(cell), grid[1])
    canvas.click(position={"x": box["width"] * (x + 0.5) / grid[1], "y": box["height"] * (y + 0.5) / grid[0]})
