"""Is this checkout faster than another one, with the same bits? `python -m tools.compare_speed OTHER_CHECKOUT` says so.

Both checkouts run in a process of their own with the same weights (this checkout's), turn by turn, so that whatever else the machine does
falls on both. A ratio is the median over rounds of other / this: above 1, this checkout is faster. Processor time counts the work of the
process alone and is the fairer figure on a machine that others use, too. Token grids and pictures are compared by their digests.

    git worktree add --detach ../before COMMIT
    python -m tools.compare_speed ../before --rounds 15 --threads 2
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from uncage_demo.shipped import EMOJI_SCENES

# Runs in either checkout, so it names only what both have.
_WORKER = """
import hashlib, json, sys, time
import numpy as np
import torch
weights, steps, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(threads)
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.bench.run import make_images
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.run import RecordOptions, Run
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.runner import compare, stream
backend = EmbeddedBackend.load(weights)
prompt = parse_prompt("a turtle and a pink apple", backend)
plain = DecodingConfig(num_steps=steps)
guided = plain.with_(order="uncage")

def digest(arrays):
    sums = hashlib.sha256()
    for array in arrays:
        sums.update(np.ascontiguousarray(array).tobytes())
    return sums.hexdigest()[:16]

def drawn(config):
    images, *_ = made = make_images(backend, [prompt], [config])
    return digest([np.asarray(images)])

def traced(config):
    for item in stream(backend, [Run(prompt, config)], frames=False, record=RecordOptions()):
        pass
    return digest([item.traces[0].tokens, item.traces[0].image])

def pair():
    made = compare(backend, prompt, [plain, guided])
    return digest([part for trace in made for part in (trace.tokens, trace.unmask_step, trace.frames, trace.image)])

jobs = {
    "plain decode": lambda: drawn(plain),
    "guided decode": lambda: drawn(guided),
    "plain decode + full trace": lambda: traced(plain),
    "pair with a picture per step": pair,
}
print(json.dumps({"jobs": list(jobs), "weight_hash": backend.info.weight_hash}), flush=True)
for line in sys.stdin:
    name = line.strip()
    began, worked = time.perf_counter(), time.process_time()
    bits = jobs[name]()
    print(json.dumps([time.perf_counter() - began, time.process_time() - worked, bits]), flush=True)
"""


class Worker:
    """One checkout's process, which runs a job when it is told to.

    Args:
        checkout: folder that holds `uncage_demo`.
        weights: folder of the model.
        steps, threads: T, and threads of the matrix products.
    """

    def __init__(self, checkout: Path, weights: Path, steps: int, threads: int) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(checkout.resolve())}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WORKER, str(weights.resolve()), str(steps), str(threads)],
            cwd=checkout,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.about = self._answer()

    def run(self, job: str) -> tuple[float, float, str]:
        """Seconds passed, seconds of processor time, digest of what was made."""
        assert self._process.stdin is not None
        self._process.stdin.write(job + "\n")
        self._process.stdin.flush()
        seconds, worked, bits = self._answer()
        return seconds, worked, bits

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process ended with status {self._process.wait()}; what it said stands above")
        return json.loads(line)


def measure(other: Path, rounds: int, steps: int, threads: int, weights: Path = EMOJI_SCENES) -> dict[str, Any]:
    """Both checkouts, turn by turn.

    Args:
        other: the other checkout.
        rounds: counted ones, after one that is not.
        steps, threads: T, and threads of the matrix products.
        weights: folder of the model that both draw with.

    Returns:
        {"jobs": {name: {"time_ratio", "cpu_ratio", "this_s", "other_s", "this_cpu_s", "other_cpu_s", "same_bits",
        "always_the_same": [this, other]}}, ...}, JSON-able.
    """
    load = os.getloadavg()[0]
    workers = [Worker(Path(__file__).parents[1], weights, steps, threads), Worker(other, weights, steps, threads)]
    try:
        names = workers[0].about["jobs"]
        bits = {name: [{worker.run(name)[2]} for worker in workers] for name in names}
        times: dict[str, list[tuple[tuple[float, float], tuple[float, float]]]] = {name: [] for name in names}
        for turn in range(rounds):
            for name in names:
                order = (0, 1) if turn % 2 == 0 else (1, 0)
                told = {}
                for place in order:
                    seconds, worked, made = workers[place].run(name)
                    told[place] = (seconds, worked)
                    bits[name][place].add(made)
                times[name].append((told[0], told[1]))
    finally:
        for worker in workers:
            worker.close()
    jobs = {}
    for name, pairs in times.items():
        jobs[name] = {
            "time_ratio": statistics.median(theirs[0] / ours[0] for ours, theirs in pairs),
            "cpu_ratio": statistics.median(theirs[1] / ours[1] for ours, theirs in pairs),
            "this_s": statistics.median(ours[0] for ours, _ in pairs),
            "other_s": statistics.median(theirs[0] for _, theirs in pairs),
            "this_cpu_s": statistics.median(ours[1] for ours, _ in pairs),
            "other_cpu_s": statistics.median(theirs[1] for _, theirs in pairs),
            "same_bits": len(set.union(*bits[name])) == 1,
            "always_the_same": [len(made) == 1 for made in bits[name]],
        }
    return {
        "rounds": rounds,
        "steps": steps,
        "threads": threads,
        "load_before": load,
        "weights": workers[0].about["weight_hash"],
        "jobs": jobs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("other", type=Path, help="folder of the other checkout")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    asked = parser.parse_args()
    told = measure(asked.other, asked.rounds, asked.steps, asked.threads)
    print(f"{told['rounds']} rounds, {told['steps']} steps, {told['threads']} thread(s), load before {told['load_before']:.1f}")
    print("| | times faster | times less processor time | this | other | same bits |\n|---|---|---|---|---|---|")
    for name, job in told["jobs"].items():
        row = (f"{job['time_ratio']:.2f}", f"{job['cpu_ratio']:.2f}", f"{job['this_s']:.3f} s", f"{job['other_s']:.3f} s")
        varies = [name for name, always in zip(("this varies", "other varies"), job["always_the_same"], strict=True) if not always]
        print("| " + " | ".join([name, *row, "yes" if job["same_bits"] else ", ".join(["NO", *varies])]) + " |")
    traced, plain = told["jobs"]["plain decode + full trace"], told["jobs"]["plain decode"]
    ratios = [traced[key] / plain[key] for key in ("this_s", "this_cpu_s")]
    print(f"full trace / plain decode: time {ratios[0]:.3f}, processor time {ratios[1]:.3f}")
    if asked.json:
        asked.json.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
