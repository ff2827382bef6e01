"""Everything that depends on a world's weights, made anew by one command: examples, pictures, golden grids, card, calibration, results."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from uncage_demo.backends.ages import AGES, WHOLE
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.bench.commands import shard_path
from uncage_demo.bench.diagnose_calibrate import files_of
from uncage_demo.bench.experiments import EXPERIMENTS
from uncage_demo.bench.records import SHIPPED_SUFFIX, read_records, record_files
from uncage_demo.diagnosis.diagnose import calibrations
from uncage_demo.shipped import ASSETS, CALIBRATION, EXAMPLES, RESULTS
from uncage_demo.train import card, parts, ship
from uncage_demo.train.scenes import SpriteAtlas
from uncage_demo.train.steps import Steps
from uncage_demo.train.worlds import CLEAN, WORLDS, World, world_named

ROOT = ASSETS.parent
GOLDEN = ROOT / "tests" / "golden" / "embedded.json"
DIAGNOSIS = CALIBRATION.parent
RESULTS_PAGE = ROOT / "docs" / "RESULTS.md"
GROWTH = "growth"


@dataclass(frozen=True)
class Wishes:
    """What to make beyond the usual.

    Args:
        world: whose weights, by name.
        seeds: seeds per prompt of the model card, 1..64.
        calibrate: also fit the thresholds of the diagnosis.
        bench: experiments to run anew.
        bench_seeds: their seeds, as the command `bench` takes them.
        bench_steps: their number of decoding steps; None = the model's own.
        bench_processes: how many processes share an experiment, 1..64.
        ages: run the experiment "growth" at every age of the model.
        again: do every step anew.
    """

    world: str = CLEAN.name
    seeds: int = 2
    calibrate: bool = False
    bench: tuple[str, ...] = ()
    bench_seeds: str = "0-3"
    bench_steps: int | None = None
    bench_processes: int = 1
    ages: bool = False
    again: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.seeds <= 64:
            raise ValueError(f"--seeds {self.seeds}: give a whole number from 1 to 64")
        if not 1 <= self.bench_processes <= 64:
            raise ValueError(f"--bench-processes {self.bench_processes}: give a whole number from 1 to 64")
        world = world_named(self.world)
        unknown = [name for name in self.bench if name not in EXPERIMENTS]
        if unknown:
            raise ValueError(f"--bench {unknown[0]}: choose one of {', '.join(EXPERIMENTS)}")
        if self.ages and not world.keeps_ages:
            raise ValueError(f"--ages: the world {self.world!r} keeps none; choose one of {', '.join(_with_ages())}")


def _with_ages() -> list[str]:
    return [name for name, world in WORLDS.items() if world.keeps_ages]


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
    world, atlas = world_named(wishes.world), SpriteAtlas(folder / "art")
    shared = WORLDS[world.shared].folder if world.shared else None
    if parts.has_checkpoints(folder, shared):
        heads = parts.export_model(parts.restored(folder, atlas, shared=shared), atlas, world.folder, world, shared=shared, kept=folder)
        print(f"export: weights written in {time.monotonic() - started:.0f} s; guidance reads {heads}", flush=True)
    else:
        print(f"export: {folder} holds no checkpoints; the weights in {world.folder.name} stay", flush=True)
    backend = EmbeddedBackend.load(world.folder)
    print(f"weights {backend.info.weight_hash}", flush=True)
    kept = folder / "refresh-steps.json"
    if wishes.again:
        for path in (kept, folder / "card-steps.json"):
            path.unlink(missing_ok=True)
    run_steps(
        plan(backend, atlas, folder, wishes),
        Steps(kept, f"{backend.info.weight_hash} {wishes.seeds} {wishes.bench_seeds} {wishes.bench_steps}"),
    )
    stale = stale_results(world)
    if stale:
        names = ", ".join(path.name for path in stale)
        print(f"results of other weights: {names}; run them anew (--bench, --ages) or remove them", flush=True)
    others = [weights for model, weights in calibrations() if model == world.model and weights != backend.info.weight_hash]
    if others:
        print(f"the diagnosis was calibrated on other weights ({', '.join(others)}): --calibrate fits it anew", flush=True)
    print(f"all done in {(time.monotonic() - started) / 60:.1f} min", flush=True)


def run_steps(wanted: list[Step], steps: Steps) -> None:
    """Do the steps in order, but for those that are done and whose files are as they were left."""
    for step in wanted:
        steps(step.name, step.work, step.files)


def plan(backend: EmbeddedBackend, atlas: SpriteAtlas, folder: Path, wishes: Wishes) -> list[Step]:
    """The steps in order."""
    world = world_named(wishes.world)
    own = [name for name, wanted in ship.WANTED.items() if wanted.model == world.model]

    def measure() -> None:
        metrics = card.measure(world.folder, atlas, tuple(range(wishes.seeds)), work=folder / "card-steps.json")
        card.write_card(world.folder, metrics, folder / "training.json")
        if world == CLEAN:
            card.write_summary(RESULTS_PAGE, metrics)

    def examples() -> None:
        ship.write_examples(only=own)

    steps = [Step("examples", examples, lambda: [path for name in own for path in sorted(EXAMPLES.glob(f"{name}.*"))])]
    if any(example in own for example, _ in ship.MOVING.values()):
        steps.append(Step("README pictures", ship.write_shipped_pictures, lambda: list(ship.MOVING)))
    if world == CLEAN:
        steps.append(Step("golden grids", lambda: _command("tests.golden.regenerate", "embedded"), lambda: [GOLDEN]))
    steps.append(
        Step("model card", measure, lambda: [world.folder / name for name in ("README.md", "metrics.json", *card.PICTURES)]),
    )
    if wishes.calibrate:
        command = ("uncage_demo", "calibrate", "--model", world.model, "--fit", "--write")
        steps.append(Step("diagnosis", lambda: _command(*command), lambda: [DIAGNOSIS / path.name for path in files_of(world.model)]))
    work = folder / f"bench-{backend.info.weight_hash}"
    steps += [_bench_step(name, work, wishes, world) for name in wishes.bench]
    if wishes.ages:
        steps.append(_bench_step(GROWTH, work, wishes, world, ages=tuple(str(age) for age in (*AGES, WHOLE))))
    if wishes.bench or wishes.ages:
        report = (
            "uncage_demo",
            "bench-report",
            str(RESULTS),
            "--out",
            str(RESULTS),
            "--readme",
            str(RESULTS_PAGE),
            str(ROOT / "README.md"),
        )
        steps.append(Step("tables", lambda: _command(*report), lambda: record_files(RESULTS)))
    return steps


def _bench_step(name: str, work: Path, wishes: Wishes, world: World, ages: Sequence[str] = ()) -> Step:
    """One experiment: its lines are collected in the training folder (and continue there) and shipped when they are complete.

    Args:
        name: of EXPERIMENTS. work: where the lines are collected. wishes: seeds, steps, processes.
        world: whose model; other worlds than the clean one have their name in that of the file and of the experiment.
        ages: at which ages of the model; () = the whole of its training.
    """
    told = name if world == CLEAN else f"{name}-{world.name}"
    shipped, count = RESULTS / f"{told}{SHIPPED_SUFFIX}", wishes.bench_processes
    lines = [(age, work / (f"{told}-{age.replace('/', '-')}.jsonl" if age else f"{told}.jsonl")) for age in ages or ("",)]

    def shard(i: int) -> None:
        for age, path in lines:
            _command(
                *("uncage_demo", "bench", "--model", world.model, "--experiment", name, "--seeds", wishes.bench_seeds),
                *(("--steps", str(wishes.bench_steps)) if wishes.bench_steps else ()),
                *(("--age", age) if age else ()),
                *("--shard", f"{i}/{count}", "--out", str(path)),
            )

    def run() -> None:
        work.mkdir(parents=True, exist_ok=True)
        RESULTS.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(shard, range(count)))
        shards = [str(shard_path(path, (i, count))) for _, path in lines for i in range(count)]
        role = () if world == CLEAN else ("--experiment", told)
        _command("uncage_demo", "bench-merge", *shards, "--out", str(shipped), *role)

    return Step(f"experiment {told}", run, lambda: [shipped])


def weights_of(world: World) -> set[str]:
    """The hashes of a world's shipped weights, at every age that is kept."""
    ages = (*AGES, WHOLE) if world.keeps_ages else (WHOLE,)
    return {EmbeddedBackend.load(world.folder, age=age).info.weight_hash for age in ages}


def stale_results(world: World, folder: Path = RESULTS, weights: Collection[str] | None = None) -> list[Path]:
    """Shipped result files with lines of a world's model that other weights have made.

    Args:
        world: whose model. folder: of the result files. weights: hashes that are right; None = those of the shipped weights.
    """
    right = weights_of(world) if weights is None else weights
    made_with = {path: _models_in(path, path.stat().st_mtime_ns) for path in record_files(folder)}
    return [path for path, models in made_with.items() if any(name == world.model and weights not in right for name, weights in models)]


@cache
def _models_in(path: Path, changed_ns: int) -> frozenset[tuple[str, str]]:
    """(id, weight hash) of the models that made the lines of a file; read once per version of the file."""
    return frozenset((record["model"]["id"], record["model"]["weight_hash"]) for record in read_records(path))


def _command(module: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", module, *arguments], cwd=ROOT, check=True)
