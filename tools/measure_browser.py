"""Runs in a visitor's browser against runs on the server, as ratios. Starts the page and a headless Chromium, measures, stops both.

    python -m tools.measure_browser                     one line a figure, and the goals that were missed
    python -m tools.measure_browser --runs 5 --json     the figures as JSON

The server's times are those of one thread of the same machine, of the same prompt, orders and steps. Beside the time by the clock stands
the processor time (of the browser's processes, of the server's thread), which other programs' work does not lengthen by much. Exit code 1
when a goal was missed by the clock. Wants Chromium, the npm packages and the extra "web"; CHROMIUM names the browser where it is not on
the path.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tools.chromium import FLAGS, MISSING, chromium_path

PROMPT = "a turtle and a pink apple"
PAIR = ("meissonic", "uncage")
PATIENCE_MS = 600_000
# Goals: pair against the server's one thread; seconds to the first picture; milliseconds of the page's own thread in one piece.
MOST_RATIO, MOST_FIRST_S, MOST_BLOCK_MS = 3.0, 0.5, 50.0
TRACED = ("toplevel", "__metadata")
SINCE = """(since) => Object.fromEntries(performance.getEntriesByType('mark')
    .filter((m) => m.name.startsWith('uncage:') && m.startTime >= since).map((m) => [m.name.slice(7), m.startTime]))"""
DONE = """(since) => [...document.querySelectorAll('.uc-problem')].some((n) => n.textContent)
    || performance.getEntriesByName('uncage:shown').some((m) => m.startTime >= since)"""
GPU = """async () => { if (!navigator.gpu) return 'this browser has no WebGPU';
    const adapter = await navigator.gpu.requestAdapter().catch(() => null);
    return adapter ? '' : 'this browser has WebGPU, but no adapter for it here'; }"""
TRANSFERRED = """() => performance.getEntriesByType('resource').filter((e) => e.name.includes('/uncage-web/'))
    .map((e) => [e.name, e.transferSize])"""


@dataclass(frozen=True)
class Run:
    """One pair. Args: first_s, whole_s: until its first picture, until all of it is on stage; cpu_s: processor time of the whole."""

    first_s: float
    whole_s: float
    cpu_s: float

    def __str__(self) -> str:
        return f"pair {self.whole_s:.2f} s ({self.cpu_s:.2f} s of processor time), first picture {self.first_s:.2f} s"


@dataclass
class Report:
    """What was measured.

    Args:
        server, browser: medians of the pairs, in one thread here and in Chromium.
        open_s, again_s: from calling up the page until the model is ready, on the first and on the second visit.
        again_bytes: of model and runtime that the second visit transferred.
        block_ms, block_cpu_ms: the longest piece of work of the page's own thread during a run, by the clock and in processor time.
        memory_mb: of the page's process after the runs.
        load_before, load_after: of this machine.
        gpu: why WebGPU was not measured; "" = it was there.
    """

    server: Run
    browser: Run
    open_s: float
    again_s: float
    again_bytes: int
    block_ms: float
    block_cpu_ms: float
    memory_mb: float
    load_before: float
    load_after: float
    gpu: str

    @property
    def ratio(self) -> float:
        """The browser's pair against the server's, by the clock."""
        return self.browser.whole_s / self.server.whole_s

    def missed(self) -> list[str]:
        """Goals that were missed, in words."""
        goals = (
            ("pair against the server", self.ratio, MOST_RATIO),
            ("seconds to the first picture", self.browser.first_s, MOST_FIRST_S),
            ("milliseconds of the page's own thread in one piece", self.block_ms, MOST_BLOCK_MS),
            ("bytes of the second visit", self.again_bytes, 0),
        )
        return [f"{name}: {value:.3g}, the goal is {most:g}" for name, value, most in goals if value > most]

    def lines(self) -> list[str]:
        """The report for a terminal."""
        server, browser = self.server, self.browser
        again = f"{self.again_s:.1f} s on the second, which transferred {self.again_bytes} bytes"
        return [
            f"load of the machine: {self.load_before:.1f} before, {self.load_after:.1f} after",
            f"server, one thread:  {server}",
            f"browser, WebAssembly: {browser}",
            f"ratio of the pair:   {self.ratio:.2f} by the clock, {browser.cpu_s / server.cpu_s:.2f} in processor time",
            f"longest block:       {self.block_ms:.0f} ms by the clock, {self.block_cpu_ms:.0f} ms in processor time",
            f"memory of the page:  {self.memory_mb:.0f} MB",
            f"model ready after:   {self.open_s:.1f} s on the first visit, {again}",
            f"WebGPU:              {self.gpu or 'there is an adapter'}",
        ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and tell; 1 when a goal was missed."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--runs", type=int, default=3, help="pairs on either side, at least 1 (default 3)")
    parser.add_argument("--steps", type=int, default=16, help="steps of a run (default 16)")
    parser.add_argument("--model", default="embedded", help="an embedded model (default embedded)")
    parser.add_argument("--json", action="store_true", help="tell the figures as JSON")
    asked = parser.parse_args(arguments)
    if asked.runs < 1:
        parser.error(f"--runs {asked.runs}: give at least 1")
    report = measured(asked.model, asked.steps, asked.runs)
    print(json.dumps(asdict(report), indent=1) if asked.json else "\n".join(report.lines()))
    for line in report.missed():
        print(f"missed: {line}", file=sys.stderr)
    return int(bool(report.missed()))


def measured(model: str, steps: int, count: int) -> Report:
    """All figures, the server's first."""
    load = os.getloadavg()[0]
    server = on_the_server(model, steps, count)
    found = in_the_browser(model, steps, count)
    return Report(server=server, load_before=load, load_after=os.getloadavg()[0], **found)


def on_the_server(model: str, steps: int, count: int) -> Run:
    """Pairs on one thread of this process; what they share with a first one (code, pictures of codes) is there already."""
    import torch

    from uncage_demo.backends.embedded.backend import EmbeddedBackend
    from uncage_demo.config import DecodingConfig
    from uncage_demo.prompt.parse import parse_prompt
    from uncage_demo.runner import compare
    from uncage_demo.shipped import EMBEDDED

    torch.set_num_threads(1)
    backend = EmbeddedBackend.load(EMBEDDED[model])
    prompt = parse_prompt(PROMPT, backend)
    runs = []
    for seed in range(count + 1):
        firsts: list[float] = []
        began, cpu = time.perf_counter(), time.process_time()
        configs = [DecodingConfig(order=order, num_steps=steps, seed=seed) for order in PAIR]
        traces = compare(
            backend, prompt, configs, on_step=lambda *_, began=began, firsts=firsts: firsts.append(time.perf_counter() - began)
        )
        for trace in traces:
            backend.detect(trace.image[None])
        runs.append(Run(firsts[0], time.perf_counter() - began, time.process_time() - cpu))
    return middle(runs[1:])


def in_the_browser(model: str, steps: int, count: int) -> dict[str, Any]:
    """The same in Chromium, on the app's page with "in this browser"."""
    from playwright.sync_api import sync_playwright

    from uncage_demo.browser.served import SHELF
    from uncage_demo.ui.layout import build_ui
    from uncage_demo.ui.theme import launch_options

    SHELF.model(model)  # written before anybody waits for it
    demo = build_ui()
    _, address, _ = demo.launch(prevent_thread_lock=True, quiet=True, _frontend=False, **{**launch_options(), "mcp_server": False})
    link = f"{address}?{urlencode({'prompt': PROMPT, 'model': model, 'orders': ','.join(PAIR), 'num_steps': steps, 'seed': 0})}"
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
            system = browser.new_browser_cdp_session()
            context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
            context.set_default_timeout(PATIENCE_MS)
            # Goals are WebAssembly's, which is there everywhere.
            context.add_init_script("localStorage.setItem('uncage-runs', 'browser'); localStorage.setItem('uncage-device', 'wasm')")
            page = context.new_page()
            gone = []
            page.on("pageerror", lambda error: gone.append(str(error)))
            page.goto(link, wait_until="domcontentloaded")
            finished(page, 0)  # the first pair warms the page up, as the first one warms the server up
            open_s = page.evaluate(SINCE, 0)["opened"] / 1000
            runs, blocks = [], []
            for _ in range(count):
                since, cpu = page.evaluate("() => performance.now()"), processor_time(system)
                browser.start_tracing(page=page, categories=list(TRACED))
                page.evaluate("() => window.UncagePage.here.anotherSeed()")
                marks = finished(page, since)
                cpu = processor_time(system) - cpu
                blocks.append(longest_block(json.loads(browser.stop_tracing())["traceEvents"]))
                runs.append(Run((marks["first"] - marks["asked"]) / 1000, (marks["shown"] - marks["asked"]) / 1000, cpu))
            memory = max(map(resident_mb, renderers(system)))
            gpu = page.evaluate(GPU)
            second = context.new_page()
            second.goto(link, wait_until="domcontentloaded")
            finished(second, 0)
            again_s, files = second.evaluate(SINCE, 0)["opened"] / 1000, second.evaluate(TRANSFERRED)
            browser.close()
    finally:
        demo.close()
    if gone:
        raise RuntimeError(f"the page failed: {gone[0]}")
    return {
        "browser": middle(runs),
        "open_s": open_s,
        "again_s": again_s,
        "again_bytes": int(sum(size for _, size in files)),
        "block_ms": max(block for block, _ in blocks),
        "block_cpu_ms": max(cpu for _, cpu in blocks),
        "memory_mb": memory,
        "gpu": gpu,
    }


def finished(page: Any, since: float) -> dict[str, float]:
    """Wait for a pair that began after `since` (milliseconds of the page's clock); its marks.

    Raises:
        RuntimeError: what the page says is wrong.
    """
    page.wait_for_function(DONE, arg=since, polling=100)
    said = page.evaluate("() => document.querySelector('.uc-problem').textContent")
    if said:
        raise RuntimeError(f"the page says: {said}")
    return page.evaluate(SINCE, since)


def longest_block(events: Iterable[Mapping[str, Any]]) -> tuple[float, float]:
    """The longest task of a page's own thread: milliseconds by the clock, and the most processor time of one.

    Args:
        events: of Chromium's trace, with the category "toplevel".
    """
    kept = list(events)
    threads = {(e["pid"], e["tid"]) for e in kept if e.get("name") == "thread_name" and e["args"].get("name") == "CrRendererMain"}
    tasks = [e for e in kept if e.get("ph") == "X" and str(e.get("name")).endswith("RunTask") and (e["pid"], e["tid"]) in threads]
    return max((e["dur"] / 1000 for e in tasks), default=0.0), max((e.get("tdur", 0) / 1000 for e in tasks), default=0.0)


def renderers(system: Any) -> list[int]:
    """Process ids of the browser's pages."""
    return [one["id"] for one in system.send("SystemInfo.getProcessInfo")["processInfo"] if one["type"] == "renderer"]


def processor_time(system: Any) -> float:
    """Seconds of all the browser's processes."""
    return sum(one["cpuTime"] for one in system.send("SystemInfo.getProcessInfo")["processInfo"])


def resident_mb(process: int) -> float:
    """Memory of a process, its share of what several use counted in part; not a number where the system does not tell."""
    try:
        told = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="utf-8")
    except OSError:
        return float("nan")
    return next(int(line.split()[1]) / 1024 for line in told.splitlines() if line.startswith("Pss:"))


def middle(runs: Sequence[Run]) -> Run:
    """The median of each figure."""
    return Run(*(statistics.median(getattr(run, name) for run in runs) for name in ("first_s", "whole_s", "cpu_s")))


def chromium() -> str:
    """The browser.

    Raises:
        SystemExit: there is none.
    """
    path = chromium_path()
    if path is None:
        raise SystemExit(MISSING)
    return path


if __name__ == "__main__":
    sys.exit(main())
