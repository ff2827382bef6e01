"""Prints the payload's size and the main-thread time a frame while scrubbing: python -m tests.ui.frame_times [grid] [steps] [objects].

Drives the stand-alone player in Chromium, one step a frame over all layers, and reads the main thread's own CPU time (thread ticks), so
other load on the machine does not count. A frame has 16.7 ms at 60 frames a second.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from tests.factories import make_trace
from tests.ui.conftest import FLAGS, TIMEOUT_MS, chromium_path
from tests.ui.player_page import PICTURES_READY, save
from uncage_demo.player.payload import build_payload
from uncage_demo.shipped import EXAMPLES
from uncage_demo.trace.record import Trace
from uncage_demo.ui.examples import Examples

LIMIT_MB, PAIR_LIMIT_MB = 6, 1  # of a pair at 32 x 32 x 64 steps; of a shipped example
COLORS = ("red", "blue", "green", "pink", "black", "white", "gray", "brown")
NEXT_FRAME = "await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));"
SCRUB = f"async (steps) => {{ for (let s = 0; s < steps; s++) {{ window.uncage.setStep(s); {NEXT_FRAME} }} }}"


def pair(grid: int = 32, steps: int = 64, objects: int = 8) -> dict[str, Any]:
    """Payload of a baseline and a guided run of this size."""
    prompt = " and ".join(f"a {COLORS[i]} thing{i}" for i in range(objects))
    image_px = grid * max(1, 192 // grid)
    return build_payload([make_trace(0, (grid, grid), steps, prompt, image_px, order=order) for order in ("meissonic", "uncage")])


def shipped_sizes_mb() -> dict[str, float]:
    """Size of every shipped example's payload as JSON, in MB of a million bytes."""
    sizes = {}
    for example in Examples().all:
        traces = [Trace.load(EXAMPLES / f"{identity.removeprefix('example:')}.npz") for identity in example.ids[:2]]
        sizes[example.name] = len(json.dumps(build_payload(traces))) / 1e6
    return sizes


def measure(payload: dict[str, Any], steps: int) -> dict[str, dict[str, float]]:
    """Milliseconds a frame, by layer: {"script": player's own code, "all": everything on the main thread}.

    Args:
        payload: what the player plays; steps: how many of its steps are scrubbed through.
    """
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=list(FLAGS))
        page = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce").new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.goto(save(Path(folder), payload, {"step": 0}))
        page.wait_for_function(PICTURES_READY)
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})

        def now() -> dict[str, float]:
            return {m["name"]: 1000 * m["value"] for m in session.send("Performance.getMetrics")["metrics"]}

        for layer in page.evaluate("() => window.UncagePlayer.layers"):
            page.evaluate("(layer) => window.uncage.setState({ layer, of: 'object', object: 0, pin: 100 })", layer)
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
    sizes = dict(zip(("grid", "steps", "objects"), map(int, sys.argv[1:4]), strict=False))
    made = pair(**sizes)
    print(f"payload of this pair: {len(json.dumps(made)) / 1e6:.2f} MB (at most {LIMIT_MB} at 32 x 32 x 64)")
    for example, size in shipped_sizes_mb().items():
        print(f"payload of {example}: {size:.2f} MB (at most {PAIR_LIMIT_MB})")
    for name, times in measure(made, sizes.get("steps", 64)).items():
        print(f"{name:12s} script {times['script']:6.2f} ms a frame, whole main thread {times['all']:6.2f} ms", flush=True)
