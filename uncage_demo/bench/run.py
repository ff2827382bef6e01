"""Run an experiment: prompts x seeds x methods in batches, scored and written as they are finished; and make one image of it again."""

from __future__ import annotations

import hashlib
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from uncage_demo.backends.base import Backend
from uncage_demo.backends.options import model_facts
from uncage_demo.backends.threads import in_lanes
from uncage_demo.bench.best_of import candidates, placement
from uncage_demo.bench.experiments import Experiment
from uncage_demo.bench.records import SCHEMA_VERSION, Record, RecordFile, digest, image_key, record_key, same_bits
from uncage_demo.bench.suites import BenchPrompt
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.run import RecordOptions, Run
from uncage_demo.decoding.sampler import decode_many
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.trace.record import StepRecord
from uncage_demo.types import ModelInfo, Prompt

_LOGITS_BYTES = 2 << 30  # of all pictures of a batch, in float32; the results do not depend on how many there are


class Scorer(Protocol):
    """Scores pictures. `name` goes into the results; `score` gives {"metrics": {...}, "scorer": name and version, ...} for each picture."""

    name: str

    def score(self, images: np.ndarray, prompts: Sequence[Prompt]) -> list[dict[str, Any]]:
        """One dict for each of the pictures "b H W 3" uint8."""
        ...


@dataclass(frozen=True)
class Job:
    """One line of results that is still missing.

    Args:
        key, image_key, method, item: its place.
        config: settings, with the seed that methods are paired by.
        best_of: of how many drawn pictures the best is kept.
        drawn: settings of the picture that was kept, once it is made.
        number: the seed asked for, which is the noise itself only where all prompts share it.
    """

    key: str
    image_key: str
    method: str
    item: BenchPrompt
    config: DecodingConfig
    best_of: int = 1
    drawn: DecodingConfig | None = None
    number: int = 0


@dataclass(frozen=True)
class Summary:
    """What a run did.

    Args:
        made: images generated now; reused: lines filled from an equal image; kept: lines that were there before.
        seconds: wall time of generation and scoring.
    """

    made: int
    reused: int
    kept: int
    seconds: float

    @property
    def images_per_s(self) -> float:
        """Throughput of generation and scoring together (0 when nothing was made)."""
        return self.made / self.seconds if self.made else 0.0


def run_experiment(
    backend: Backend,
    experiment: Experiment,
    prompts: Sequence[BenchPrompt],
    seeds: Sequence[int],
    path: str | Path,
    scorer: Scorer,
    *,
    batch: int = 64,
    shard: tuple[int, int] = (0, 1),
    own_seeds: bool = True,
    on_batch: Callable[[int, int, float], None] | None = None,
    on_images: Callable[[Sequence[Job], np.ndarray], None] | None = None,
) -> Summary:
    """Make what is missing of an experiment in a results file.

    Lines that the file has are kept; an interrupted run continues where it stopped and never counts an image twice. A picture that
    another experiment in the file has already made is not made again.

    Args:
        backend: the model.
        experiment: the methods.
        prompts: what to draw; seeds: which noise, the same for every method.
        path: a .jsonl file.
        scorer: what judges the pictures.
        batch: pictures decoded together, >= 1.
        shard: (i, n): make only every n-th group of prompt and seed, starting with the i-th (for several processes; shards merge).
        own_seeds: each prompt has noise of its own (see `own_seed`), so that intervals over prompts speak of other noise too. False: all
            prompts share the noise of each seed; whole orders then rise and fall with it.
        on_batch: called after each batch with (images made, images to make, images a second so far).
        on_images: called with each batch's jobs and pictures "b H W 3" uint8 (to save them).

    Raises:
        ValueError: for bad arguments, or a results file that cannot be continued.
    """
    if batch < 1:
        raise ValueError(f"batch={batch!r}: give a whole number from 1")
    index, count = shard
    if not 0 <= index < count:
        raise ValueError(f"shard={index}/{count}: the first number counts from 0 and is below the second")
    jobs = list_jobs(backend, experiment, prompts, seeds, scorer.name, own_seeds=own_seeds)
    groups = [list(group) for _, group in groupby(jobs, key=lambda job: (job.item, job.config.seed))]
    jobs = [job for group in groups[index::count] for job in group]
    parsed: dict[str, Prompt] = {}
    with RecordFile(path) as file:
        kept = sum(job.key in file.records for job in jobs)
        jobs = [job for job in jobs if job.key not in file.records]
        known = {record["image_key"]: record for record in file}
        reused = [_with_role(known[job.image_key], experiment, job) for job in jobs if job.image_key in known]
        file.append(reused)
        jobs = [job for job in jobs if job.image_key not in known]
        started = time.perf_counter()
        made = 0
        for part in _batches(jobs, pictures_at_once(batch, backend.info)):
            for job in part:
                if job.item.text not in parsed:
                    parsed[job.item.text] = parse_prompt(job.item.text, backend)
            prompts_of = [parsed[job.item.text] for job in part]
            part, tokens, images, costs = _make(backend, part, prompts_of)
            scores = scorer.score(images, prompts_of)
            file.append([_record(backend, experiment, *line) for line in zip(part, tokens, images, scores, costs, strict=True)])
            made += len(part)
            if on_images is not None:
                on_images(part, images)
            if on_batch is not None:
                on_batch(made, len(jobs), made / (time.perf_counter() - started))
        return Summary(made, len(reused), kept, time.perf_counter() - started)


def own_seed(text: str, seed: int) -> int:
    """A seed 0..2**32-1 that belongs to one prompt, the same on every machine.

    Under one seed all prompts share their noise: an order that it suits does well everywhere, and no interval over prompts shows it.

    Args:
        text: the prompt. seed: the first, second, ... of its seeds.
    """
    return int.from_bytes(hashlib.sha256(f"{seed} {text}".encode()).digest()[:4], "big")


def list_jobs(
    backend: Backend, experiment: Experiment, prompts: Sequence[BenchPrompt], seeds: Sequence[int], scorer: str, *, own_seeds: bool = True
) -> list[Job]:
    """Every line an experiment should have: all methods of one prompt and seed beside each other, so that they share forwards."""
    jobs: dict[str, Job] = {}
    for item in prompts:
        for number in seeds:
            seed = own_seed(item.text, number) if own_seeds else number
            for method, settings in experiment.methods.items():
                config = resolve(settings.with_(seed=seed), backend)
                model = (backend.info.id, backend.info.weight_hash)
                best_of = experiment.best_of.get(method, 1)
                settings_told = config.to_dict() | ({"best_of": best_of} if best_of > 1 else {})
                image = image_key(item.text, settings_told, *model, scorer, backend.options.deciding())
                key = record_key(experiment.name, method, item.suite, image)
                jobs.setdefault(key, Job(key, image, method, item, config, best_of, number=number))
    return list(jobs.values())


def resolve(config: DecodingConfig, backend: Backend) -> DecodingConfig:
    """The configuration with the model's own defaults filled in, so that a result line says what was in force."""
    config = config.resolved(backend.info.defaults, float(backend.default_blur))
    changes: dict[str, Any] = {"contrast_steps": config.guided_steps}
    if config.redrawn_steps:
        changes["redraw_steps"] = config.redrawn_steps
    return config.with_(**changes)


def make_images(backend: Backend, prompts: Sequence[Prompt], configs: Sequence[DecodingConfig]) -> tuple[np.ndarray, np.ndarray]:
    """Token grids "b n" int32 and pictures "b H W 3" uint8."""
    tokens, _ = _make_tokens(backend, prompts, configs)
    return tokens, _draw(backend, tokens)


def tokens_and_images(backend: Backend, runs: Sequence[Run]) -> tuple[np.ndarray, np.ndarray]:
    """Token grids "b n" int32 and pictures "b H W 3" uint8 of runs that may have a starting point."""
    tokens, _ = _decoded(backend, runs)
    return tokens, _draw(backend, tokens)


def _make_tokens(backend: Backend, prompts: Sequence[Prompt], configs: Sequence[DecodingConfig]) -> tuple[np.ndarray, np.ndarray]:
    """As _decoded, of runs from an empty grid."""
    return _decoded(backend, [Run(prompt, config) for prompt, config in zip(prompts, configs, strict=True)])


def _decoded(backend: Backend, runs: Sequence[Run]) -> tuple[np.ndarray, np.ndarray]:
    """Token grids "b n" int32, and "b" float64 how many forwards each took (1 = the whole grid, with and without the prompt)."""
    last: list[StepRecord] | None = None
    passes = np.zeros(len(runs))
    for records in decode_many(backend, runs, record=RecordOptions(level="minimal")):
        # A run that is over repeats its last record.
        passes += [0.0 if last is not None and last[i] is one else one.passes or 0.0 for i, one in enumerate(records)]
        last = records
    if last is None:
        raise ValueError("nothing to decode: no prompt was given")
    # At the last step every position is committed, so `sampled` holds the finished grid.
    return np.stack([record.sampled for record in last]).astype(np.int32), passes / 2


def _draw(backend: Backend, tokens: np.ndarray) -> np.ndarray:
    """Pictures "b H W 3" uint8 of token grids "b n"."""
    # One at a time: in a batch, a convolution may differ in its last bit, and a picture must not depend on what is beside it.
    jobs = [partial(backend.decode_tokens, one) for one in torch.from_numpy(tokens.astype(np.int64)).to(backend.device).split(1)]
    return np.concatenate(in_lanes(jobs, backend.device) if backend.one_thread_each else [draw() for draw in jobs])


def _make(backend: Backend, jobs: Sequence[Job], prompts: Sequence[Prompt]) -> tuple[list[Job], np.ndarray, np.ndarray, list[float]]:
    """Token grids and pictures of some jobs, and the forwards that each took.

    A job that keeps the best of several comes back with the settings of the picture that was kept.
    """
    owners = [i for i, job in enumerate(jobs) for _ in range(job.best_of)]
    configs = [config for job in jobs for config in candidates(job.config, job.best_of)]
    tokens, forwards = _make_tokens(backend, [prompts[i] for i in owners], configs)
    chosen, made, costs = [], [], []
    for i, job in enumerate(jobs):
        own = [place for place, owner in enumerate(owners) if owner == i]
        costs.append(float(forwards[own].sum()) + (len(own) / 2 if job.best_of > 1 else 0))  # judging looks at each once, unguided
        if job.best_of > 1:
            scores = placement(backend, [prompts[i]] * len(own), tokens[own], job.config)
            own = [own[int(np.argmax(scores))]]
        chosen += own
        made.append(replace(job, drawn=configs[own[0]]))
    return made, tokens[chosen], _draw(backend, tokens[chosen]), costs


@dataclass(frozen=True)
class Replay:
    """A picture made again from its result line.

    Args:
        image: "H W 3" uint8; tokens: "n" int32.
        identical: picture and tokens equal the line's, bit for bit.
        prompt, config: what made it (to go on with: a trace, a comparison).
    """

    image: np.ndarray
    tokens: np.ndarray
    identical: bool
    prompt: Prompt
    config: DecodingConfig


def replay(backend: Backend, record: Record) -> Replay:
    """Make the picture of a result line again.

    Raises:
        ValueError: when the backend is not the line's model, its weights are others, or it was loaded in another way.
    """
    model = record["model"]
    told, here = model.get("options", {}), backend.options.deciding()
    if told != here:
        raise ValueError(f"the line was made with the model options {told}, this model was loaded with {here}")
    if (model["id"], model["weight_hash"]) != (backend.info.id, backend.info.weight_hash):
        raise ValueError(
            f"the line was made by {model['id']} with weights {model['weight_hash']}; "
            f"this is {backend.info.id} with {backend.info.weight_hash}"
        )
    if "edit" in record:
        from uncage_demo.bench.editing import replay_edit

        tokens, image, prompt, config = replay_edit(backend, record)
    else:
        prompt = parse_prompt(record["prompt"], backend)
        config = DecodingConfig.from_dict(record["config"])
        tokens, image = (made[0] for made in make_images(backend, [prompt], [config]))
    return Replay(image, tokens, same_bits((record["tokens_hash"], record["image_hash"]), tokens, image), prompt, config)


def package_version() -> str:
    """This package's version: of the installed package, or of the checkout's pyproject.toml."""
    try:
        return metadata.version("uncage-demo")
    except metadata.PackageNotFoundError:
        project = Path(__file__).resolve().parents[2] / "pyproject.toml"
        return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])


def versions(backend: Backend) -> dict[str, str]:
    """Versions and hardware facts that can change the last bit of a result."""
    device = torch.device(backend.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {
        "uncage-demo": package_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "device": name,
        "threads": str(torch.get_num_threads()),
    }


def pictures_at_once(batch: int, info: ModelInfo) -> int:
    """How many pictures are decoded together: as many as asked for, as long as both halves of their logits fit in 2 GB.

    Args:
        batch: asked for, >= 1.
        info: the model's grid and codebook.
    """
    logits = 2 * 4 * info.grid[0] * info.grid[1] * info.codebook_size
    return max(1, min(batch, _LOGITS_BYTES // logits))


def _batches(jobs: Sequence[Job], size: int) -> list[list[Job]]:
    """Batches of one number of steps each, in the order of the jobs."""
    parts = []
    for steps in dict.fromkeys(job.config.total_steps for job in jobs):
        same = [job for job in jobs if job.config.total_steps == steps]
        parts += [same[i : i + size] for i in range(0, len(same), size)]
    return parts


def _record(
    backend: Backend, experiment: Experiment, job: Job, tokens: np.ndarray, image: np.ndarray, score: dict[str, Any], forwards: float
) -> Record:
    score = score | {"metrics": {**score["metrics"], "forwards": forwards}}
    line: Record = {
        "schema": SCHEMA_VERSION,
        "image_key": job.image_key,
        "prompt": job.item.text,
        "seed": job.config.seed,
        # Where the best of several pictures was kept, with that picture's own seed.
        "config": (job.drawn or job.config).to_dict(),
        "model": model_facts(backend),
        "versions": versions(backend),
        "tokens_hash": digest(tokens.tobytes()),
        "image_hash": digest(np.ascontiguousarray(image).tobytes()),
    }
    return _with_role(line | score, experiment, job)


def _with_role(record: Record, experiment: Experiment, job: Job) -> Record:
    """The same picture as a line of this experiment."""
    role = {"key": job.key, "experiment": experiment.name, "title": experiment.title, "method": job.method, "baseline": experiment.baseline}
    return record | role | {"suite": job.item.suite, "category": job.item.category, "cluster": job.item.cluster}
