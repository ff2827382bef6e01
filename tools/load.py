"""A class on the page: many visitors press Generate within a second. Starts the page on a free port, measures, stops it.

    python -m tools.load                           the goals: 60 different, 30 alike, 60 mixed, then memory after 50 and after 500 runs
    python -m tools.load --visitors 60             one class of 60, half of them on the same example, the others all different
    python -m tools.load --visitors 30 --equal 1   one class of 30 who all ask for the same
    python -m tools.load --runs 200                memory alone, after 50 and after 200 runs

The result is ratios of one run: the last visitor's time divided by one visitor's, on this machine at this load. Exit code 1 when somebody
was refused, somebody got another's picture, the server did not answer in time, or a goal was missed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

from tools.load_visitors import Page, PageVisitor, Visitor

ANIMALS = ("cat", "dog", "bear", "bird", "frog", "horse", "lion", "monkey", "mouse", "rabbit", "turtle", "elephant")
EXAMPLE = "a turtle and a pink apple"
PAIR = ("meissonic", "uncage")
START_LIMIT_S = 300.0
ANSWER_LIMIT_S = 0.5
# Goals, as (visitors, share that asks for the same, most that the last one's time may be of one visitor's alone).
CLASSES = ((60, 0.0, 25.0), (30, 1.0, 2.0), (60, 0.5, 25.0))
MEMORY_EARLY, MEMORY_LATE, MEMORY_LIMIT = 50, 500, 1.05


@dataclass
class Report:
    """What a class met.

    Args:
        visitors, equal: how many there were, how many of them asked for the same.
        refused, mixed_up: how many got an error, or a run of another prompt.
        single_s: one visitor alone, on a request that nobody had made before.
        last_s, median_s: from the common start until the last, the median visitor had the finished pictures on the page.
        whole_s: until the last one had the pictures of every step, too, which come later while many wait.
        last_ratio: last_s / single_s.
        last_limit: the most that this may be.
        single_cpu_s, cpu_ratio: processor time that the server took for the visitor alone, and for one of the class compared with that;
            other programs' work does not count here.
        slowest_config_s: the longest that the server took to answer GET /config meanwhile.
        memory_mb: resident memory before and after.
        load_before: load of the machine when it began; other programs' work distorts the ratios.
    """

    visitors: int
    equal: int
    refused: int
    mixed_up: int
    single_s: float
    last_s: float
    median_s: float
    whole_s: float
    last_ratio: float
    last_limit: float
    single_cpu_s: float
    cpu_ratio: float
    slowest_config_s: float
    memory_mb: tuple[float, float]
    load_before: float

    @property
    def good(self) -> bool:
        """Whether everybody was served their own, in time."""
        served = self.refused == 0 and self.mixed_up == 0
        return served and self.slowest_config_s <= ANSWER_LIMIT_S and self.last_ratio <= self.last_limit

    def __str__(self) -> str:
        return (
            f"{self.visitors} visitors, {self.equal} of them alike: {self.refused} refused, {self.mixed_up} mixed up; load before "
            f"{self.load_before:.1f}\n  one alone {self.single_s:.2f} s; last {self.last_s:.2f} s = {self.last_ratio:.1f} times (at most "
            f"{self.last_limit:g}); median {self.median_s:.2f} s\n"
            f"  pictures of every step, too, after {self.whole_s:.2f} s = {self.whole_s / self.single_s:.1f} times\n"
            f"  server's processor time: one alone {self.single_cpu_s:.2f} s, each of the class {self.cpu_ratio:.2f} times that\n"
            f"  /config within {self.slowest_config_s:.2f} s (at most {ANSWER_LIMIT_S}); "
            f"memory {self.memory_mb[0]:.0f} -> {self.memory_mb[1]:.0f} MB"
        )


def prompts(visitors: int, equal: int) -> list[str]:
    """One prompt a visitor: the first `equal` ask for the example, the others for a pair of animals each, no two the same."""
    pairs = [f"a {one} and a {other}" for one in ANIMALS for other in ANIMALS if one != other]
    wanted = visitors - equal
    if wanted > len(pairs):
        raise ValueError(f"{wanted} different visitors: there are {len(pairs)} different prompts")
    return [EXAMPLE] * equal + pairs[:wanted]


class Watched:
    """Asks for /config again and again while a `with` block runs; `slowest_s` is the longest answer."""

    def __init__(self, address: str) -> None:
        self.address, self.slowest_s = address, 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> Watched:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._stop.wait(0.2):
            began = time.perf_counter()
            with urllib.request.urlopen(f"{self.address}/config", timeout=60) as answer:
                answer.read()
            self.slowest_s = max(self.slowest_s, time.perf_counter() - began)


def measure(address: str, process: int, visitors: int, equal: int, steps: int, last_limit: float, seed: int = 0) -> Report:
    """Let a class in and report.

    Args:
        address: of the running page.
        process: its process id, for its memory.
        visitors, equal: how many, and how many of them ask for the same.
        steps: decoding steps of every run.
        last_limit: the most that the last one's time may be of one visitor's.
        seed: of all visitors' runs; another one for every class on the same page, so that nothing was made before.
    """
    load = os.getloadavg()[0]
    page = Page(address)
    everybody = [PageVisitor(address, page) for _ in range(visitors)]
    everybody[0].ask("a red car", steps, 10_000 + seed)  # loads the model
    idle = cpu_s(process)
    single_s = everybody[0].ask("a blue chair and a bench", steps, 20_000 + seed)[0]
    single_cpu_s = cpu_s(process) - idle
    before, busy = memory_mb(process), cpu_s(process)
    took: list[float] = []
    whole: list[float] = []
    refused, mixed_up = 0, 0
    asked = prompts(visitors, equal)

    def visit(number: int) -> None:
        nonlocal refused, mixed_up
        time.sleep(number / max(1, visitors))  # all within a second
        try:
            _, drawn = everybody[number].ask(asked[number], steps, seed)
            took.append(time.perf_counter() - began)
            everybody[number].wait_for_steps()
            whole.append(time.perf_counter() - began)
        except (RuntimeError, httpx.HTTPError) as error:
            refused += 1
            print(f"visitor {number} was refused: {error}", file=sys.stderr)
            return
        mixed_up += drawn != asked[number]

    with Watched(address) as watched, ThreadPoolExecutor(visitors) as pool:
        began = time.perf_counter()
        list(pool.map(visit, range(visitors)))
    last = max(took, default=float("nan"))
    median = statistics.median(took) if took else float("nan")
    memory = (before, memory_mb(process))
    cpu_ratio = (cpu_s(process) - busy) / visitors / max(single_cpu_s, 1e-9)
    served = (visitors, equal, refused, mixed_up, single_s, last, median, max(whole, default=float("nan")), last / single_s, last_limit)
    return Report(*served, single_cpu_s, cpu_ratio, watched.slowest_s, memory, load)


def memory_over_runs(address: str, process: int, runs: int, early: int = MEMORY_EARLY) -> tuple[float, float]:
    """Resident memory in MB after `early` and after `runs` runs, all different, of four steps each.

    Args:
        address: of the running page.
        process: its process id.
        runs: how many in all.
        early: after how many memory is read first: caches have been filled by then.
    """
    texts = prompts(len(ANIMALS) * (len(ANIMALS) - 1), 0)
    visitor, before = Visitor(address), 0.0
    wait_until_idle(process)  # what the server reads ahead, about 100 MB, is not what runs leave behind
    for number in range(runs):
        visitor.ask(texts[number % len(texts)], PAIR[:1], 4, 30_000 + number)
        if number + 1 == early:
            before = memory_mb(process)
    return before, memory_mb(process)


def wait_until_idle(process: int, at_least_s: float = 12.0, quiet_s: float = 3.0, at_most_s: float = 120.0) -> None:
    """Wait until a process has done next to nothing for a while.

    Args:
        process: its id.
        at_least_s: how long to wait in any case: the server begins to read ahead some seconds after its start.
        quiet_s: for how long it must have been idle.
        at_most_s: after which nothing is waited for any more.
    """
    began = time.monotonic()
    since, used = began, cpu_s(process)
    while (now := time.monotonic()) - began < at_least_s or (now - since < quiet_s and now - began < at_most_s):
        time.sleep(0.25)
        if cpu_s(process) - used > 0.1:
            since, used = time.monotonic(), cpu_s(process)


def memory_mb(process: int) -> float:
    """Resident memory of a process in MB; 0 where the system does not tell."""
    status = Path(f"/proc/{process}/status")
    if not status.exists():
        return 0.0
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def cpu_s(process: int) -> float:
    """Processor time of a process so far in seconds, its own and the system's for it; 0 where the system does not tell."""
    status = Path(f"/proc/{process}/stat")
    if not status.exists():
        return 0.0
    user, system = status.read_text().rpartition(") ")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def start(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start the page of this checkout on a free port; returns its process and address once it answers.

    Args:
        folder: for what the page writes.

    Raises:
        RuntimeError: when it does not answer.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"GRADIO_SERVER_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False", "TMPDIR": str(folder)}
    log = (folder / "log").open("wb")
    root = Path(__file__).parents[1]
    process = subprocess.Popen([sys.executable, "app.py"], cwd=root, env={**os.environ, **settings}, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    until = time.monotonic() + START_LIMIT_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/config", timeout=5):
                return process, address
        except OSError:
            time.sleep(0.3)
    process.terminate()
    raise RuntimeError("the page did not start: " + (folder / "log").read_text(errors="replace")[-2000:])


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.load", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--visitors", type=int, help="one class alone: how many press Generate within a second")
    parser.add_argument("--equal", type=float, default=0.5, help="share of them that ask for the same, 0 to 1 (default 0.5)")
    parser.add_argument("--runs", type=int, help=f"memory alone: compare it after {MEMORY_EARLY} with after so many runs")
    parser.add_argument("--steps", type=int, default=16, help="decoding steps (default 16)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options: Any = parser.parse_args(arguments)
    if options.visitors is not None and (options.visitors < 1 or not 0 <= options.equal <= 1):
        parser.error(f"--visitors {options.visitors} --equal {options.equal}: give at least one visitor and a share from 0 to 1")
    if options.runs is not None and options.runs <= MEMORY_EARLY:
        parser.error(f"--runs {options.runs}: give more than {MEMORY_EARLY}")
    alone = options.visitors is not None or options.runs is not None
    classes = CLASSES if not alone else ()
    if options.visitors is not None:
        limit = 2.0 if options.equal == 1 else 25.0
        classes = ((options.visitors, options.equal, limit),)
    runs = options.runs if alone else MEMORY_LATE
    good = True
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the page is stopped, too
    with tempfile.TemporaryDirectory(prefix="uncage-load-") as scratch:
        process, address = start(Path(scratch))
        try:
            for seed, (visitors, share, limit) in enumerate(classes):
                report = measure(address, process.pid, visitors, round(visitors * share), options.steps, limit, seed)
                print(json.dumps(asdict(report)) if options.json else report, flush=True)
                good = good and report.good
            if runs:
                early, late = memory_over_runs(address, process.pid, runs)
                found = {"runs": runs, "memory_early_mb": early, "memory_late_mb": late, "ratio": late / max(early, 1e-9)}
                print(
                    json.dumps(found)
                    if options.json
                    else f"memory after {MEMORY_EARLY} runs {early:.0f} MB, after {runs} {late:.0f} MB = {found['ratio']:.3f} times "
                    f"(at most {MEMORY_LIMIT})",
                    flush=True,
                )
                good = good and found["ratio"] <= MEMORY_LIMIT
        finally:
            process.terminate()
            process.wait(30)
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
