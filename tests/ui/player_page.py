"""Helpers for tests of the stand-alone player page."""

from pathlib import Path
from typing import Any

from uncage_demo.player.page import standalone_html
from uncage_demo.types import Verdict

VERDICTS = [
    Verdict((True, False), (True, False), 1, False, (), "detector 1"),
    Verdict((True, True), (True, True), 0, True, (), "detector 1"),
]
FINDING = {
    "text": "Both words look at the same cells.",
    "step": 2,
    "layer": "object",
    "subject": 1,
    "cell": 40,
    "confidence": "weak evidence",
}
FRAME = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
# Until the first part of this selector has stayed where it is for six frames: a smooth scroll begins a frame or two after its cause.
AT_REST = """(selector) => new Promise((done) => {
  let top = NaN, still = 0;
  const look = () => {
    const now = document.querySelector(selector).getBoundingClientRect().top;
    still = now === top ? still + 1 : 0;
    top = now;
    still < 6 ? requestAnimationFrame(look) : done();
  };
  look();
})"""
PICTURES_READY = "() => window.uncage.player.pictures.pending.size === 0"


def save(folder: Path, payload: dict[str, Any], state: dict[str, Any] | None = None, title: str = "a run") -> str:
    """Write the stand-alone page; returns its address."""
    path = folder / "player.html"
    path.write_text(standalone_html(payload, title, state), encoding="utf-8")
    return path.as_uri()


def put(page: Any, **state: Any) -> None:
    """Set the player's state and wait until it is drawn."""
    page.evaluate("(state) => window.uncage.setState(state)", state)
    page.evaluate(FRAME)


def state(page: Any) -> dict[str, Any]:
    """The player's state, after what is pending was drawn."""
    page.evaluate(FRAME)
    return page.evaluate("() => window.uncage.state")


def pixel(page: Any, run: int, cell: int, grid: tuple[int, int] = (12, 12), at: float = 0.5) -> list[int]:
    """Colour inside a cell of a stage; `at` 0.3 is off the dot of masked tiles."""
    return page.evaluate(
        """([run, x, y]) => {
          const canvas = document.querySelectorAll('.up-canvas')[run];
          return [...canvas.getContext('2d').getImageData(Math.floor(x * canvas.width), Math.floor(y * canvas.height), 1, 1).data];
        }""",
        [run, (cell % grid[1] + at) / grid[1], (cell // grid[1] + at) / grid[0]],
    )
