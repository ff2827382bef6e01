"""The experiment "editing": one object of a right picture is erased and asked for in another colour, in every order.

Every method starts from the same picture, drawn by the baseline and fully right by the detector; what differs is the order in which the
erased cells are drawn. Measured of each: whether the new prompt is fully right afterwards, and whether what was not erased still looks
whole at the seam (see `seam_metrics`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from uncage_demo.backends.base import Backend
from uncage_demo.backends.embedded.vocab import COLORS
from uncage_demo.backends.options import model_facts
from uncage_demo.bench.experiments import BASELINE, Experiment
from uncage_demo.bench.records import JUDGE, SCHEMA_VERSION, Record, RecordFile, digest, image_key, record_key
from uncage_demo.bench.run import make_images, own_seed, resolve, tokens_and_images, versions
from uncage_demo.bench.scorers_detector import judge_many, metrics, overlap, summary
from uncage_demo.bench.suites import BenchPrompt
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.run import Run, Start
from uncage_demo.editing.cells import MASKED, cells_named, grown, mask_of, seen_cells, told_cells
from uncage_demo.editing.picture import error_map
from uncage_demo.prompt.judging import match
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.trace.origin import Origin
from uncage_demo.types import Prompt, Verdict

NAME = "editing"
PICTURES = 200
# Cells around the object's box that are erased with it.
MARGIN_CELLS = 1
# A kept object is the same one where its box overlaps the one before by this much (intersection over union).
SAME_PLACE = 0.5
# The image tokenizer's error along the seam may rise by this much (of 255) before the seam counts as broken.
SEAM_RISE = 3.0


@dataclass(frozen=True)
class Case:
    """One right picture with what is to be edited in it.

    Args:
        item: the benchmark's prompt; number: the seed asked for.
        config: settings of the picture.
        prompt: the new prompt.
        erased: cells, row by row.
        tokens: "n" of the picture; image: "H W 3".
        kept: detections of the objects that are not erased.
    """

    item: BenchPrompt
    number: int
    config: DecodingConfig
    prompt: Prompt
    erased: tuple[int, ...]
    tokens: np.ndarray
    image: np.ndarray
    kept: tuple[Any, ...]


@dataclass(frozen=True)
class Done:
    """What a run of the experiment did.

    Args:
        pictures: right pictures found; tried: pictures drawn to find them; made: edits made now; kept: lines that were there before.
    """

    pictures: int
    tried: int
    made: int
    kept: int


def run_editing(
    backend: Backend,
    experiment: Experiment,
    prompts: Sequence[BenchPrompt],
    seeds: Sequence[int],
    path: str | Path,
    *,
    pictures: int = PICTURES,
    batch: int = 8,
    on_batch: Callable[[int, int], None] | None = None,
) -> Done:
    """Make what is missing of the experiment in a results file; an interrupted run continues.

    Args:
        backend: a model with a detector and an image tokenizer that reads pictures.
        experiment: the methods (see `experiments.editing`).
        prompts: those with exactly one coloured object are used. seeds: tried in turn, until enough pictures are right.
        path: a .jsonl file.
        pictures: right pictures wanted.
        batch: pictures decoded together.
        on_batch: called with (right pictures so far, pictures wanted).

    Raises:
        ValueError: a bad number, no usable prompt, or a results file that cannot be continued.
    """
    if pictures < 1 or batch < 1:
        raise ValueError(f"pictures={pictures}, batch={batch}: give whole numbers from 1")
    found = tried = made = 0
    with RecordFile(path) as file:
        before = len(file.records)
        for part in _batches(backend, experiment, prompts, seeds, batch):
            tried += len(part)
            cases = _right_ones(backend, part)[: pictures - found]
            found += len(cases)
            for method, settings in experiment.methods.items():
                lines = [_line(backend, experiment, method, settings, case) for case in cases]
                missing = [(case, line) for case, line in zip(cases, lines, strict=True) if line["key"] not in file.records]
                if missing:
                    file.append(_drawn(backend, [case for case, _ in missing], [line for _, line in missing]))
                    made += len(missing)
            if on_batch is not None:
                on_batch(found, pictures)
            if found >= pictures:
                break
    if not tried:
        raise ValueError("no prompt with exactly one coloured object: give a suite such as attend-excite")
    return Done(found, tried, made, before)


def new_color(text: str, old: str, taken: Sequence[str], number: int) -> str:
    """Another colour for an object, none that the prompt names; the same on every machine."""
    rng = random.Random(f"{NAME} {number} {text}")
    return rng.choice([color for color in COLORS if color != old and color not in taken])


def erased_cells(verdict: Verdict, prompt: Prompt, subject: int, grid: tuple[int, int]) -> np.ndarray:
    """The detector's box of an object with a margin, without the boxes of the others: "n" bool."""
    own = match(prompt.subjects, verdict.detections).own
    mine = seen_cells([verdict.detections[i] for i in own[subject]], grid)
    others = seen_cells([verdict.detections[i] for o, found in enumerate(own) if o != subject for i in found], grid)
    return grown(mine, grid, MARGIN_CELLS) & ~(others & ~mine)


def seam_metrics(backend: Backend, case: Case, image: np.ndarray, verdict: Verdict) -> dict[str, float]:
    """Whether what was not erased still looks whole.

    Two things must hold. The detector finds every kept object as before: noun, colour, place (SAME_PLACE). And the cells along the seam,
    erased or kept, are as good pictures of their tokens as before: the error between the picture and what the image tokenizer makes of it
    rises there by at most SEAM_RISE.

    Returns:
        seam: 0 or 1; seam_rise: of 255.
    """
    grid = backend.info.grid
    erased = mask_of(case.erased, grid)
    ring = grown(erased, grid) & grown(~erased, grid)
    errors = []
    for picture in (case.image, image):
        again = backend.decode_tokens(_batch(backend, backend.encode_image(picture)))[0]
        errors.append(float(error_map(picture, again, grid).reshape(-1)[ring].mean()))
    rise = errors[1] - errors[0]
    there = all(
        any(one.noun == old.noun and one.color == old.color and overlap(one, old) >= SAME_PLACE for one in verdict.detections)
        for old in case.kept
    )
    return {"seam": int(there and rise <= SEAM_RISE), "seam_rise": round(rise, 2)}


def replay_edit(backend: Backend, record: Record) -> tuple[np.ndarray, np.ndarray, Prompt, DecodingConfig]:
    """Tokens "n", picture "H W 3", prompt and settings of a line of this experiment, made again."""
    start = record["edit"]
    tokens, _ = make_images(backend, [parse_prompt(start["prompt"], backend)], [DecodingConfig.from_dict(start["config"])])
    prompt, config = parse_prompt(record["prompt"], backend), DecodingConfig.from_dict(record["config"])
    made, images = tokens_and_images(backend, [_run(prompt, config, tokens[0], cells_named(start["erased"], backend.info.grid, "erased"))])
    return made[0], images[0], prompt, config


def _batches(
    backend: Backend, experiment: Experiment, prompts: Sequence[BenchPrompt], seeds: Sequence[int], size: int
) -> Iterator[list[tuple[BenchPrompt, int, Prompt, DecodingConfig]]]:
    """Pictures to try, the first seed of every prompt first."""
    base = experiment.methods[experiment.baseline].with_(order=BASELINE)
    usable = []
    for item in prompts:
        read = parse_prompt(item.text, backend)
        if sum(bool(subject.colors) for subject in read.subjects) == 1 and len(read.subjects) > 1:
            usable.append((item, read))
    jobs = [
        (item, number, read, resolve(base.with_(seed=own_seed(item.text, number)), backend)) for number in seeds for item, read in usable
    ]
    yield from (jobs[i : i + size] for i in range(0, len(jobs), size))


def _right_ones(backend: Backend, jobs: Sequence[tuple[BenchPrompt, int, Prompt, DecodingConfig]]) -> list[Case]:
    """The pictures of some jobs that are fully right."""
    prompts = [read for _, _, read, _ in jobs]
    tokens, images = make_images(backend, prompts, [config for *_, config in jobs])
    cases = []
    for (item, number, read, config), ids, image, verdict in zip(jobs, tokens, images, judge_many(backend, images, prompts), strict=True):
        if not verdict.all_correct:
            continue
        subject = next(o for o, one in enumerate(read.subjects) if one.colors)
        old = read.subjects[subject].colors[0]
        color = new_color(item.text, old, [c for one in read.subjects for c in one.colors], number)
        word = read.words[read.subjects[subject].attributes[0][0]]
        text = item.text[: word.start] + color + item.text[word.end :]
        own = match(read.subjects, verdict.detections).own
        kept = tuple(verdict.detections[i] for o, found in enumerate(own) if o != subject for i in found)
        erased = tuple(np.flatnonzero(erased_cells(verdict, read, subject, backend.info.grid)).tolist())
        cases.append(Case(item, number, config, parse_prompt(text, backend), erased, ids, image, kept))
    return cases


def _line(backend: Backend, experiment: Experiment, method: str, settings: DecodingConfig, case: Case) -> Record:
    """A result line without its picture and scores."""
    config = resolve(settings.with_(seed=own_seed(case.prompt.text, case.number)), backend)
    start = {"prompt": case.item.text, "config": case.config.to_dict(), "erased": told_cells(case.erased)}
    model = (backend.info.id, backend.info.weight_hash)
    image = image_key(case.prompt.text, config.to_dict() | {"edit": start}, *model, JUDGE, backend.options.deciding())
    return {
        "schema": SCHEMA_VERSION,
        "key": record_key(experiment.name, method, case.item.suite, image),
        "image_key": image,
        "experiment": experiment.name,
        "title": experiment.title,
        "method": method,
        "baseline": experiment.baseline,
        "suite": case.item.suite,
        "category": case.item.category,
        "cluster": case.item.cluster,
        "prompt": case.prompt.text,
        "seed": config.seed,
        "config": config.to_dict(),
        "edit": start,
        "model": model_facts(backend),
        "versions": versions(backend),
    }


def _drawn(backend: Backend, cases: Sequence[Case], lines: Sequence[Record]) -> list[Record]:
    """The lines with pictures and scores."""
    runs = [_run(c.prompt, DecodingConfig.from_dict(line["config"]), c.tokens, c.erased) for c, line in zip(cases, lines, strict=True)]
    tokens, images = tokens_and_images(backend, runs)
    verdicts = judge_many(backend, images, [case.prompt for case in cases])
    whole = []
    for case, line, ids, image, verdict in zip(cases, lines, tokens, images, verdicts, strict=True):
        scores = metrics(verdict, case.prompt.subjects) | seam_metrics(backend, case, image, verdict)
        hashes = {"tokens_hash": digest(ids.tobytes()), "image_hash": digest(np.ascontiguousarray(image).tobytes())}
        whole.append(line | hashes | {"metrics": scores, "verdict": summary(verdict), "scorer": verdict.scorer})
    return whole


def _run(prompt: Prompt, config: DecodingConfig, tokens: np.ndarray, erased: Sequence[int]) -> Run:
    given = tokens.astype(np.int64)
    given[list(erased)] = MASKED
    return Run(prompt, config, Start(tokens=given, origin=Origin("edit")))


def _batch(backend: Backend, tokens: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(tokens))[None].to(backend.device)
