"""Runs in a visitor's browser against runs on the server, as ratios. Starts the page and a headless Chromium, measures, stops both.

    python -m tools.measure_browser                     one line a figure, and the goals that were missed
    python -m tools.measure_browser --runs 5 --json     the figures as JSON
    python -m tools.measure_browser --on wasm webgpu --switches="--enable-unsafe-webgpu --enable-features=Vulkan --use-angle=vulkan"
                                                        WebAssembly, then WebGPU; the switches are those of Chromium on Linux

The server's times are those of one thread of the same machine, of the same prompt, orders and steps. Beside the time by the clock stands
the processor time (of the browser's processes, of the server's thread), which other programs' work does not lengthen by much. Every pair
of the browser's is held against the server's of the same seed, cell by cell. Exit code 1 when a goal was missed by the clock, or when
something else computed than was asked for. Wants Chromium, the npm packages and the extra "web"; CHROMIUM names the browser where it is
not on the path.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import os
import shlex
import statistics
import sys
import time
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import numpy as np

from tools.chromium import FLAGS, MISSING, chromium_path

if TYPE_CHECKING:
    from uncage_demo.trace.record import Trace

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
# What the page may be told to compute with, and what the trace then says; "software" is WebGPU computed by the processor, for tests.
COMPUTED_ON = {"wasm": "WebAssembly", "webgpu": "WebGPU", "auto": "", "software": "WebGPU"}
ADAPTER = """async () => { if (!navigator.gpu) return {};
    const adapter = await navigator.gpu.requestAdapter().catch(() => null);
    if (!adapter) return null;
    const { vendor, architecture, device, description, isFallbackAdapter } = adapter.info;
    return { vendor, architecture, device, description, software: Boolean(isFallbackAdapter) }; }"""
FILES = """async (ids) => { const file = await window.UncagePage.here.file({ kind: "npz", ids, notes: {} });
    if (file.error) throw new Error(file.error);
    return file.data; }"""
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


@dataclass(frozen=True)
class Drawn:
    """The pairs of one browser.

    Args:
        pair: medians of the pairs.
        computed_on: what computed them, as their traces say.
        open_s, again_s: from calling up the page until the model is ready, on the first and on the second visit.
        again_bytes: of model and runtime that the second visit transferred.
        block_ms, block_cpu_ms: the longest piece of work of the page's own thread during a run, by the clock and in processor time.
        memory_mb: of the page's process after the runs.
        differing, cells: of all cells of all pairs, how many hold another token than on the server; and their number.
        tokens: digits of the hash of the first pair's tokens, seed 0.
    """

    pair: Run
    computed_on: str
    open_s: float
    again_s: float
    again_bytes: int
    block_ms: float
    block_cpu_ms: float
    memory_mb: float
    differing: int
    cells: int
    tokens: str


@dataclass
class Report:
    """What was measured.

    Args:
        server: medians of the pairs in one thread here.
        tokens: as `Drawn.tokens`, of the server.
        browsers: what Chromium drew, by what was asked to compute (COMPUTED_ON).
        load_before, load_after: of this machine.
        adapter: what the browser tells of its graphics processor; {} = it has no WebGPU, None = WebGPU, but no adapter.
    """

    server: Run
    tokens: str
    browsers: dict[str, Drawn]
    load_before: float
    load_after: float
    adapter: dict[str, Any] | None

    def ratio(self, wish: str) -> float:
        """The browser's pair against the server's, by the clock."""
        return self.browsers[wish].pair.whole_s / self.server.whole_s

    def missed(self) -> list[str]:
        """Goals that were missed, in words."""
        lines = []
        for wish, drawn in self.browsers.items():
            goals = (
                ("pair against the server", self.ratio(wish), MOST_RATIO),
                ("seconds to the first picture", drawn.pair.first_s, MOST_FIRST_S),
                ("milliseconds of the page's own thread in one piece", drawn.block_ms, MOST_BLOCK_MS),
                ("bytes of the second visit", drawn.again_bytes, 0),
            )
            lines += [f"{wish}: {name}: {value:.3g}, the goal is {most:g}" for name, value, most in goals if value > most]
            if not drawn.computed_on.startswith(COMPUTED_ON[wish]):
                lines.append(f"{wish}: {drawn.computed_on} computed")
        return lines

    def lines(self) -> list[str]:
        """The report for a terminal."""
        lines = [
            f"load of the machine: {self.load_before:.1f} before, {self.load_after:.1f} after",
            f"graphics processor:  {told_of(self.adapter)}",
            f"server, one thread:  {self.server}; tokens {self.tokens}",
        ]
        for wish, drawn in self.browsers.items():
            processor = drawn.pair.cpu_s / self.server.cpu_s
            lines += [
                f"browser, {drawn.computed_on}: {drawn.pair}",
                f"  ratio of the pair:   {self.ratio(wish):.2f} by the clock, {processor:.2f} in processor time",
                f"  longest block:       {drawn.block_ms:.0f} ms by the clock, {drawn.block_cpu_ms:.0f} ms in processor time",
                f"  memory of the page:  {drawn.memory_mb:.0f} MB",
                f"  model ready after:   {drawn.open_s:.1f} s on the first visit, {drawn.again_s:.1f} s on the second, "
                f"which transferred {drawn.again_bytes} bytes",
                f"  tokens:              {drawn.differing} of {drawn.cells} cells differ from the server's; {drawn.tokens} with seed 0",
            ]
        return lines


def told_of(adapter: Mapping[str, Any] | None) -> str:
    """The graphics processor in words. Args: adapter: as `Report.adapter`."""
    if not adapter:
        return "this browser has WebGPU, but no adapter for it here" if adapter is None else "this browser has no WebGPU"
    said = " ".join(str(adapter[name]) for name in ("vendor", "architecture", "device", "description") if adapter[name])
    return f"{said or 'unnamed'}{' (computed by the processor itself)' if adapter['software'] else ''}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and tell; 1 when a goal was missed."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--runs", type=int, default=3, help="pairs on either side, at least 1 (default 3)")
    parser.add_argument("--steps", type=int, default=16, help="steps of a run (default 16)")
    parser.add_argument("--model", default="embedded", help="an embedded model (default embedded)")
    parser.add_argument(
        "--on", nargs="+", default=["wasm"], choices=COMPUTED_ON, help="what computes in the browser, one after the other (default wasm)"
    )
    parser.add_argument("--switches", default="", help="further switches of Chromium, as in a shell")
    parser.add_argument("--screenshots", type=Path, metavar="FOLDER", help="keep a picture of each page when its runs are done")
    parser.add_argument("--json", action="store_true", help="tell the figures as JSON")
    asked = parser.parse_args(arguments)
    if asked.runs < 1:
        parser.error(f"--runs {asked.runs}: give at least 1")
    report = measured(asked.model, asked.steps, asked.runs, asked.on, shlex.split(asked.switches), asked.screenshots)
    print(json.dumps(asdict(report), indent=1) if asked.json else "\n".join(report.lines()))
    for line in report.missed():
        print(f"missed: {line}", file=sys.stderr)
    return int(bool(report.missed()))


def measured(model: str, steps: int, count: int, wishes: Sequence[str], switches: Sequence[str], folder: Path | None) -> Report:
    """All figures, the server's first."""
    load = os.getloadavg()[0]
    server = Server(model, steps)
    seeds = range(count + 1)  # what all pairs share (code, pictures of codes) is there after the first one
    run = middle([server.pair(seed)[0] for seed in seeds][1:])
    browsers, adapter = in_browsers(server, count, wishes, switches, folder)
    return Report(run, digest(server.pair(0)[1]), browsers, load, os.getloadavg()[0], adapter)


class Server:
    """Pairs on one thread of this process."""

    def __init__(self, model: str, steps: int) -> None:
        import torch

        from uncage_demo.backends.embedded.backend import EmbeddedBackend
        from uncage_demo.prompt.parse import parse_prompt
        from uncage_demo.shipped import EMBEDDED

        torch.set_num_threads(1)
        self.model, self.steps = model, steps
        self.backend = EmbeddedBackend.load(EMBEDDED[model])
        self.prompt = parse_prompt(PROMPT, self.backend)

    def pair(self, seed: int) -> tuple[Run, list[Trace]]:
        """Draw one, detector included."""
        from uncage_demo.config import DecodingConfig
        from uncage_demo.runner import compare

        firsts: list[float] = []
        began, cpu = time.perf_counter(), time.process_time()
        configs = [DecodingConfig(order=order, num_steps=self.steps, seed=seed) for order in PAIR]
        traces = compare(self.backend, self.prompt, configs, on_step=lambda *_: firsts.append(time.perf_counter() - began))
        for trace in traces:
            self.backend.detect(trace.image[None])
        return Run(firsts[0], time.perf_counter() - began, time.process_time() - cpu), traces


def in_browsers(
    server: Server, count: int, wishes: Sequence[str], switches: Sequence[str], folder: Path | None
) -> tuple[dict[str, Drawn], dict[str, Any] | None]:
    """The same in Chromium, on the app's page with "in this browser", a fresh browser for each wish; and `Report.adapter`."""
    from playwright.sync_api import sync_playwright

    from uncage_demo.browser.served import SHELF
    from uncage_demo.ui.layout import build_ui
    from uncage_demo.ui.theme import launch_options

    SHELF.model(server.model)  # written before anybody waits for it
    demo = build_ui()
    _, address, _ = demo.launch(prevent_thread_lock=True, quiet=True, _frontend=False, **{**launch_options(), "mcp_server": False})
    asked = {"prompt": PROMPT, "model": server.model, "orders": ",".join(PAIR), "num_steps": server.steps, "seed": 0}
    link = f"{address}?{urlencode(asked)}"
    browsers, adapter = {}, {}
    try:
        with sync_playwright() as playwright:
            for wish in wishes:
                browser = playwright.chromium.launch(executable_path=chromium(), args=[*FLAGS, *switches])
                try:
                    browsers[wish], adapter = in_one(browser, server, link, count, wish, folder)
                finally:
                    browser.close()
    finally:
        demo.close()
    return browsers, adapter


def in_one(browser: Any, server: Server, link: str, count: int, wish: str, folder: Path | None) -> tuple[Drawn, dict[str, Any] | None]:
    """One browser's pairs, and its graphics processor."""
    system = browser.new_browser_cdp_session()
    context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    context.set_default_timeout(PATIENCE_MS)
    context.add_init_script(f"localStorage.setItem('uncage-runs', 'browser'); localStorage.setItem('uncage-device', '{wish}')")
    page = context.new_page()
    gone = []
    page.on("pageerror", lambda error: gone.append(str(error)))
    page.goto(link, wait_until="domcontentloaded")
    finished(page, 0)  # the first pair warms the page up, as the first one warms the server up
    open_s = page.evaluate(SINCE, 0)["opened"] / 1000
    runs, blocks, pairs = [], [], [traces_of(page)]
    for _ in range(count):
        since, cpu = page.evaluate("() => performance.now()"), processor_time(system)
        browser.start_tracing(page=page, categories=list(TRACED))
        page.evaluate("() => window.UncagePage.here.anotherSeed()")
        marks = finished(page, since)
        cpu = processor_time(system) - cpu
        blocks.append(longest_block(json.loads(browser.stop_tracing())["traceEvents"]))
        runs.append(Run((marks["first"] - marks["asked"]) / 1000, (marks["shown"] - marks["asked"]) / 1000, cpu))
        pairs.append(traces_of(page))
    memory = max(map(resident_mb, renderers(system)))
    adapter = page.evaluate(ADAPTER)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=folder / f"{wish}.png")
    second = context.new_page()
    second.goto(link, wait_until="domcontentloaded")
    finished(second, 0)
    again_s, files = second.evaluate(SINCE, 0)["opened"] / 1000, second.evaluate(TRANSFERRED)
    if gone:
        raise RuntimeError(f"the page failed: {gone[0]}")
    unlike = [differences(pair, server.pair(int(pair[0].config["seed"]))[1]) for pair in pairs]
    return Drawn(
        pair=middle(runs),
        computed_on=", ".join(dict.fromkeys(trace.versions["computed_on"] for pair in pairs for trace in pair)),
        open_s=open_s,
        again_s=again_s,
        again_bytes=int(sum(size for _, size in files)),
        block_ms=max(block for block, _ in blocks),
        block_cpu_ms=max(cpu for _, cpu in blocks),
        memory_mb=memory,
        differing=sum(unlike),
        cells=sum(trace.tokens.size for pair in pairs for trace in pair),
        tokens=digest(pairs[0]),
    ), adapter


def traces_of(page: Any) -> list[Trace]:
    """The pair on stage."""
    from uncage_demo.trace.record import Trace

    packed = zipfile.ZipFile(io.BytesIO(base64.b64decode(page.evaluate(FILES, [f"here:{place}" for place in range(len(PAIR))]))))
    return [Trace.from_bytes(packed.read(name)) for name in sorted(packed.namelist())]


def differences(made: Sequence[Trace], wanted: Sequence[Trace]) -> int:
    """How many cells hold another token. Args: made, wanted: runs of the same orders."""
    return sum(int(np.sum(one.tokens != other.tokens)) for one, other in zip(made, wanted, strict=True))


def digest(traces: Sequence[Trace]) -> str:
    """Digits of the hash of the tokens."""
    return hashlib.sha256(b"".join(np.ascontiguousarray(trace.tokens, dtype="<i4").tobytes() for trace in traces)).hexdigest()[:12]


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
