"""A class on the page: many visitors press Generate within a second. Starts the page on a free port, measures, stops it.

    python -m tools.load --visitors 60             60 visitors, half of them on the same example, the others all different
    python -m tools.load --visitors 30 --equal 1   30 visitors who all ask for the same

The result is ratios of one run: the last visitor's time divided by one visitor's, on this machine at this load. Exit code 1 when somebody
was refused, somebody got another's picture, or the server did not answer in time.
"""

from __future__ import annotations

import argparse
import json
import os
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

ANIMALS = ("cat", "dog", "bear", "bird", "frog", "horse", "lion", "monkey", "mouse", "rabbit", "turtle", "elephant")
EXAMPLE = "a turtle and a pink apple"
START_LIMIT_S = 120.0
ANSWER_LIMIT_S = 0.5


@dataclass
class Report:
    """What a class met.

    Args:
        visitors, equal: how many there were, how many of them asked for the same.
        refused, mixed_up: how many got an error, or a run of another prompt.
        single_s: one visitor alone, on a request that nobody had made before.
        last_s, median_s: from the common start until the last, the median visitor had the pictures.
        last_ratio: last_s / single_s.
        slowest_config_s: the longest that the server took to answer GET /config meanwhile.
        memory_mb: resident memory before and after.
    """

    visitors: int
    equal: int
    refused: int
    mixed_up: int
    single_s: float
    last_s: float
    median_s: float
    last_ratio: float
    slowest_config_s: float
    memory_mb: tuple[float, float]


def prompts(visitors: int, equal: int) -> list[str]:
    """One prompt a visitor: the first `equal` ask for the example, the others for a pair of animals each, no two the same."""
    pairs = [f"a {one} and a {other}" for one in ANIMALS for other in ANIMALS if one != other]
    wanted = visitors - equal
    if wanted > len(pairs):
        raise ValueError(f"{wanted} different visitors: there are {len(pairs)} different prompts")
    return [EXAMPLE] * equal + pairs[:wanted]


def ask(address: str, prompt: str, steps: int, seed: int) -> tuple[float, str]:
    """Ask for a pair as a program does; (seconds, prompt of the run that came back).

    Raises:
        Exception: what the server answered instead.
    """
    from gradio_client import Client

    with tempfile.TemporaryDirectory() as folder:
        client = Client(address, verbose=False, download_files=folder)
        began = time.perf_counter()
        *_, said = client.predict(prompt, ["meissonic", "uncage"], seed, steps, 3.0, "embedded", api_name="/compare")
        return time.perf_counter() - began, said[0]["prompt"]


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


def measure(address: str, process: int, visitors: int, equal: int, steps: int) -> Report:
    """Let a class in and report.

    Args:
        address: of the running page.
        process: its process id, for its memory.
        visitors, equal: how many, and how many of them ask for the same.
        steps: decoding steps of every run.
    """
    ask(address, "a red car", steps, 1)  # loads the model
    single_s = ask(address, "a blue chair and a bench", steps, 2)[0]
    before = memory_mb(process)
    took: list[float] = []
    refused, mixed_up = 0, 0
    asked = prompts(visitors, equal)

    def visit(number: int) -> None:
        nonlocal refused, mixed_up
        time.sleep(number / max(1, visitors))  # all within a second
        try:
            _, drawn = ask(address, asked[number], steps, 0)
        except Exception as error:
            refused += 1
            print(f"visitor {number} was refused: {error}", file=sys.stderr)
            return
        mixed_up += drawn != asked[number]
        took.append(time.perf_counter() - began)

    with Watched(address) as watched, ThreadPoolExecutor(visitors) as pool:
        began = time.perf_counter()
        list(pool.map(visit, range(visitors)))
    last = max(took, default=float("nan"))
    median = statistics.median(took) if took else float("nan")
    memory = (before, memory_mb(process))
    return Report(visitors, equal, refused, mixed_up, single_s, last, median, last / single_s, watched.slowest_s, memory)


def memory_mb(process: int) -> float:
    """Resident memory of a process in MB; 0 where the system does not tell."""
    status = Path(f"/proc/{process}/status")
    if not status.exists():
        return 0.0
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


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
    parser.add_argument("--visitors", type=int, default=60, help="how many press Generate within a second (default 60)")
    parser.add_argument("--equal", type=float, default=0.5, help="share of them that ask for the same, 0 to 1 (default 0.5)")
    parser.add_argument("--steps", type=int, default=16, help="decoding steps (default 16)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options: Any = parser.parse_args(arguments)
    if options.visitors < 1 or not 0 <= options.equal <= 1:
        parser.error(f"--visitors {options.visitors} --equal {options.equal}: give at least one visitor and a share from 0 to 1")
    with tempfile.TemporaryDirectory(prefix="uncage-load-") as scratch:
        process, address = start(Path(scratch))
        try:
            report = measure(address, process.pid, options.visitors, round(options.visitors * options.equal), options.steps)
        finally:
            process.terminate()
            process.wait(30)
    if options.json:
        print(json.dumps(asdict(report)))
    else:
        print(f"{report.visitors} visitors, {report.equal} of them alike: {report.refused} refused, {report.mixed_up} mixed up")
        print(
            f"one alone {report.single_s:.2f} s; last {report.last_s:.2f} s = {report.last_ratio:.1f} times; median {report.median_s:.2f} s"
        )
        print(f"/config within {report.slowest_config_s:.2f} s; memory {report.memory_mb[0]:.0f} -> {report.memory_mb[1]:.0f} MB")
    return int(report.refused > 0 or report.mixed_up > 0 or report.slowest_config_s > ANSWER_LIMIT_S)


if __name__ == "__main__":
    sys.exit(main())
