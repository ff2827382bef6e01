"""Everything that depends on the weights, made anew by one command: examples, pictures, golden grids, card, calibration, results."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.bench.commands import shard_path
from uncage_demo.bench.experiments import EXPERIMENTS
from uncage_demo.config import DEFAULT_STEPS
from uncage_demo.shipped import ASSETS, CALIBRATION, EMOJI_SCENES, EXAMPLES, RESULTS
from uncage_demo.train import card, parts, ship
from uncage_demo.train.scenes import SpriteAtlas
from uncage_demo.train.steps import Steps

ROOT = ASSETS.parent
GOLDEN = ROOT / "tests" / "golden" / "embedded.json"
DIAGNOSIS = CALIBRATION.parent
RESULTS_PAGE = ROOT / "docs" / "RESULTS.md"


@dataclass(frozen=True)
class Wishes:
    """What to make beyond the usual.

    Args:
        seeds: seeds a prompt of the model card, 1..64.
        calibrate: also fit the thresholds of the diagnosis.
        bench: experiments to run anew.
        bench_seeds: their seeds, as the command `bench` takes them.
        bench_steps: their number of decoding steps.
        bench_processes: how many processes share an experiment, 1..64.
        again: do every step anew.
    """

    seeds: int = 2
    calibrate: bool = False
    bench: tuple[str, ...] = ()
    bench_seeds: str = "0-3"
    bench_steps: int = DEFAULT_STEPS
    bench_processes: int = 1
    again: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.seeds <= 64:
            raise ValueError(f"--seeds {self.seeds}: give a whole number from 1 to 64")
        if not 1 <= self.bench_processes <= 64:
            raise ValueError(f"--bench-processes {self.bench_processes}: give a whole number from 1 to 64")
        unknown = [name for name in self.bench if name not in EXPERIMENTS]
        if unknown:
            raise ValueError(f"--bench {unknown[0]}: choose one of {', '.join(EXPERIMENTS)}")


@dataclass(frozen=True)
class Step:
    """One thing to make: its name, how, and the files it writes (known once it is made)."""

    name: str
    work: Callable[[], Any]
    files: Callable[[], list[Path]]


def refresh(folder: Path, wishes: Wishes) -> None:
    """Export the training folder's weights and make everything that belongs to them anew.

    Args:
        folder: training folder (checkpoints, art, notes); keeps what is done, so that a killed run continues.
        wishes: what else to make.
    """
    started = time.monotonic()
    atlas = SpriteAtlas(folder / "art")
    if parts.has_checkpoints(folder):
        heads = parts.export_model(parts.restored(folder, atlas), atlas, EMOJI_SCENES)
        print(f"export: weights written in {time.monotonic() - started:.0f} s; guidance reads {heads}", flush=True)
    else:
        print(f"export: {folder} holds no checkpoints; the weights in {EMOJI_SCENES.name} stay", flush=True)
    backend = EmbeddedBackend.load()
    print(f"weights {backend.info.weight_hash}", flush=True)
    kept = folder / "refresh-steps.json"
    if wishes.again:
        for path in (kept, folder / "card-steps.json"):
            path.unlink(missing_ok=True)
    run_steps(
        plan(backend, atlas, folder, wishes),
        Steps(kept, f"{backend.info.weight_hash} {wishes.seeds} {wishes.bench_seeds} {wishes.bench_steps}"),
    )
    stale = stale_results(backend.info.weight_hash)
    if stale:
        names = ", ".join(path.name for path in stale)
        print(f"results of other weights: {names}; run them anew (--bench) or remove them", flush=True)
    measured_on = json.loads((DIAGNOSIS / "calibration.json").read_text())["weights"] if (DIAGNOSIS / "calibration.json").exists() else ""
    if measured_on not in ("", backend.info.weight_hash):
        print(f"the diagnosis was calibrated on other weights ({measured_on}): --calibrate fits it anew", flush=True)
    print(f"all done in {(time.monotonic() - started) / 60:.1f} min", flush=True)


def run_steps(wanted: list[Step], steps: Steps) -> None:
    """Do the steps in order, but for those that are done and whose files are as they were left."""
    for step in wanted:
        steps(step.name, step.work, step.files)


def plan(backend: EmbeddedBackend, atlas: SpriteAtlas, folder: Path, wishes: Wishes) -> list[Step]:
    """The steps in order."""

    def measure() -> None:
        metrics = card.measure(EMOJI_SCENES, atlas, tuple(range(wishes.seeds)), work=folder / "card-steps.json")
        card.write_card(EMOJI_SCENES, metrics, folder / "training.json")
        card.write_summary(RESULTS_PAGE, metrics)

    def examples() -> None:
        ship.write_examples()

    steps = [
        Step("examples", examples, lambda: sorted(EXAMPLES.glob("*"))),
        Step("README pictures", ship.write_shipped_pictures, lambda: list(ship.MOVING)),
        Step("golden grids", lambda: _command("tests.golden.regenerate", "embedded"), lambda: [GOLDEN]),
        Step("model card", measure, lambda: [EMOJI_SCENES / name for name in ("README.md", "metrics.json", *card.PICTURES)]),
    ]
    if wishes.calibrate:
        command = ("uncage_demo", "calibrate", "--fit", "--write")
        steps.append(Step("diagnosis", lambda: _command(*command), lambda: [DIAGNOSIS / "calibration.json", DIAGNOSIS / "README.md"]))
    for name in wishes.bench:
        steps.append(_bench_step(name, folder / f"bench-{backend.info.weight_hash}", wishes))
    if wishes.bench:
        report = ("uncage_demo", "bench-report", str(RESULTS), "--readme", str(RESULTS_PAGE), str(ROOT / "README.md"))
        steps.append(Step("tables", lambda: _command(*report), lambda: sorted(RESULTS.glob("*.jsonl.gz"))))
    return steps


def _bench_step(name: str, work: Path, wishes: Wishes) -> Step:
    """One experiment: its lines are collected in the training folder (and continue there) and shipped when they are complete."""
    lines, shipped, count = work / f"{name}.jsonl", RESULTS / f"{name}.jsonl.gz", wishes.bench_processes
    shards = [shard_path(lines, (i, count)) for i in range(count)]

    def shard(i: int) -> None:
        _command(
            *("uncage_demo", "bench", "--experiment", name, "--seeds", wishes.bench_seeds, "--steps", str(wishes.bench_steps)),
            *("--shard", f"{i}/{count}", "--out", str(lines)),
        )

    def run() -> None:
        work.mkdir(parents=True, exist_ok=True)
        RESULTS.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(shard, range(count)))
        _command("uncage_demo", "bench-merge", *map(str, shards), "--out", str(shipped))

    return Step(f"experiment {name}", run, lambda: [shipped])


def stale_results(weight_hash: str, folder: Path = RESULTS) -> list[Path]:
    """Shipped result files with lines of the embedded model that other weights have made."""
    from uncage_demo.bench.records import read_records

    files = sorted(path for path in folder.glob("*") if path.name.endswith((".jsonl", ".jsonl.gz")))
    models = {path: [record["model"] for record in read_records(path)] for path in files}
    return [path for path, found in models.items() if any(m["id"] == "embedded" and m["weight_hash"] != weight_hash for m in found)]


def _command(module: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", module, *arguments], cwd=ROOT, check=True)
