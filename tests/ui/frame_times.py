"""Prints the main-thread time a frame while scrubbing: python -m tests.ui.frame_times [grid] [steps] [objects].

Drives the stand-alone player in Chromium, one step a frame over all layers, and reads the main thread's own CPU time (thread ticks), so
other load on the machine does not count. A frame has 16.7 ms at 60 frames a second.
"""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.factories import make_trace
from tests.ui.conftest import FLAGS, TIMEOUT_MS, chromium_path
from tests.ui.player_page import PICTURES_READY, save
from uncage_demo.render.payload import build_payload

COLORS = ("red", "blue", "green", "pink", "black", "white", "gray", "brown")
NEXT_FRAME = "await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));"
SCRUB = f"async (steps) => {{ for (let s = 0; s < steps; s++) {{ window.uncage.setStep(s); {NEXT_FRAME} }} }}"


def measure(grid: int = 32, steps: int = 64, objects: int = 8) -> dict[str, dict[str, float]]:
    """Milliseconds a frame, by layer: {"script": player's own code, "all": everything on the main thread}.

    Args:
        grid: cells a side; steps: T; objects: 1..8 coloured objects in the prompt.
    """
    prompt = " and ".join(f"a {COLORS[i]} thing{i}" for i in range(objects))
    image_px = grid * max(1, 192 // grid)
    traces = [make_trace(0, (grid, grid), steps, prompt, image_px, order=order) for order in ("meissonic", "uncage")]
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=list(FLAGS))
        page = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce").new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.goto(save(Path(folder), build_payload(traces), {"step": 0}))
        page.wait_for_function(PICTURES_READY)
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})

        def now() -> dict[str, float]:
            return {m["name"]: 1000 * m["value"] for m in session.send("Performance.getMetrics")["metrics"]}

        for layer in page.evaluate("() => window.UncagePlayer.layers"):
            page.evaluate("(layer) => window.uncage.setState({ layer, pin: 100 })", layer)
            page.evaluate(SCRUB, 4)
            before = now()
            page.evaluate(SCRUB, steps)
            after = now()
            # two animation frames pass a step: one draws it, the next is empty
            found[layer] = {
                "script": (after["ScriptDuration"] - before["ScriptDuration"]) / steps,
                "all": (after["TaskDuration"] - before["TaskDuration"]) / steps,
            }
        browser.close()
    return found


if __name__ == "__main__":
    for name, times in measure(*map(int, sys.argv[1:4])).items():
        print(f"{name:12s} script {times['script']:6.2f} ms a frame, whole main thread {times['all']:6.2f} ms")
