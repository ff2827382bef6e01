"""What the Python engine decided, step by step, with the logits that it was given: the truth that the browser's engine is held against.

A folder holds `runs.json` and `arrays.bin` (float32, little-endian): `python -m tests.browser.make_fixture tiny FOLDER`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tests.golden.regenerate import CONFIGS, PROMPTS, load
from uncage_demo.backends.base import ForwardOutput
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.config import LATER, SCHEDULE_NAMES, DecodingConfig
from uncage_demo.decoding.noise import PURPOSES, gumbel, roll_offset, uniforms
from uncage_demo.decoding.run import Run, Start
from uncage_demo.decoding.sampler import decode
from uncage_demo.decoding.schedule import mask_count
from uncage_demo.orders.halton import halton_order
from uncage_demo.orders.table import ORDERS
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.trace.record import StepRecord

# Beyond the golden runs: settings that no golden run has, so that every branch of the engine is walked.
FURTHER = {
    "schedules": DecodingConfig(order="meissonic", num_steps=9, schedule="cosine_float32", seed=3, token_temperature=0.0),
    "power": DecodingConfig(order="confidence", num_steps=7, schedule="power", schedule_power=1.3, seed=2**62 + 1),
    "linear": DecodingConfig(order="random", num_steps=6, schedule="linear", seed=5),
    "linear_float32": DecodingConfig(order="random", num_steps=6, schedule="linear_float32", seed=6),
    "rolled": DecodingConfig(order="halton", num_steps=6, halton_randomize=True, seed=7),
    "unguided": DecodingConfig(order="uncage", num_steps=6, guidance_scale=1.0, contrast_rescale="mean", contrast_mode="negative"),
    "unscaled": DecodingConfig(order="uncage", num_steps=6, contrast_rescale="none", use_noise=False, attention_source="layers:0-1"),
    "no confidence": DecodingConfig(order="anchored", num_steps=6, use_confidence=False, anchor_radius=0.5, contrast_steps=6),
    "redraws": DecodingConfig(order="halton", num_steps=8, redraw_steps=3, redraw_words="own"),
    "interval": DecodingConfig(order="meissonic", num_steps=8, guidance_interval=(0.2, 0.7), seed=11),
    "spaced": DecodingConfig(order="uncage", num_steps=5, spacing=2.5, seed=12),
    "heated": DecodingConfig(order="meissonic", num_steps=6, entropy_heat=0.8, entropy_decay=0.7, seed=13),
    "by entropy": DecodingConfig(order="confidence", num_steps=12, how_many="entropy", entropy_budget=20.0, seed=14),
    "by confidence": DecodingConfig(order="meissonic", num_steps=10, how_many="confidence", confidence_threshold=0.2, seed=15),
    "by chance": DecodingConfig(order="meissonic", num_steps=10, how_many="first_hitting", seed=16),
    "one step": DecodingConfig(order="meissonic", num_steps=1),
    "experts": DecodingConfig(order="uncage", num_steps=5, composition=0.4, seed=17),
    "experts unguided": DecodingConfig(order="meissonic", num_steps=5, composition=0.4, guidance_interval=(0.4, 1.0), seed=18),
    "away from itself": DecodingConfig(order="meissonic", num_steps=6, self_guidance=1.5, seed=19),
    "noisy logits": DecodingConfig(order="meissonic", num_steps=6, logit_noise=1.5, seed=20),
    "what grew": DecodingConfig(order="meissonic", num_steps=8, differential=0.5, seed=21),
    "redraws its own doubts": DecodingConfig(order="uncage", num_steps=12, redraw_steps=4, revise="correct", revise_strength=0.2, seed=22),
    "takes nothing back": DecodingConfig(order="meissonic", num_steps=5, revise="plan", revise_strength=0.0, seed=23),
    **{
        f"takes back by {name}": DecodingConfig(order="uncage", num_steps=12, revise=name, revise_strength=strength, seed=24)
        for name, strength in (("remask", 0.3), ("plan", 1.4), ("correct", 0.2), ("critic", 0.3), ("zigzag", 0.3))
    },
}
FURTHER_PROMPT = "two cats and a red car at night"


@dataclass
class _Arrays:
    """Appends arrays to one file and says where each is."""

    file: BinaryIO
    at: int = 0

    def add(self, values: Any) -> dict[str, Any] | None:
        if values is None:
            return None
        data = np.ascontiguousarray(values, dtype="<f4")
        self.file.write(data.tobytes())
        self.at += data.size
        return {"at": self.at - data.size, "shape": list(data.shape)}


def write(backend: EmbeddedBackend, folder: Path, *, further: bool = True) -> None:
    """Write the golden runs of a model, and further ones, with everything that each step was given and decided."""
    runs: list[tuple[str, Run]] = []
    for text in PROMPTS:
        prompt = parse_prompt(text, backend)
        runs += [(f"{text} | {name}", Run(prompt, config)) for name, config in CONFIGS.items()]
    if further:
        prompt = parse_prompt(FURTHER_PROMPT, backend)
        runs += [(f"{FURTHER_PROMPT} | {name}", Run(prompt, config)) for name, config in FURTHER.items()]
        runs += _edited(backend)
    with (folder / "arrays.bin").open("wb") as file:
        arrays = _Arrays(file)
        told = [_told(backend, name, run, arrays) for name, run in runs]
    truth = {
        "model": asdict(backend.info),
        "blur": backend.default_blur,
        "runs": told,
        "defaults": asdict(DecodingConfig()),
        "later": LATER,
        "orders": {name: _order(name) for name in ORDERS},
        "noise": [_noise(seed, step, arrays_count) for seed, step, arrays_count in ((0, 0, 9), (1, 3, 144), (2**63 - 1, 2**32 - 1, 5))],
        "schedule": _schedules(),
        "halton": {f"{y} {x}": halton_order(y, x).tolist() for y, x in ((1, 1), (6, 6), (12, 12), (5, 9))},
    }
    (folder / "runs.json").write_text(json.dumps(truth), encoding="utf-8")


def _edited(backend: EmbeddedBackend) -> list[tuple[str, Run]]:
    """Runs that begin in the middle: given cells, kept, held and forbidden ones, a hidden word."""
    prompt = parse_prompt(PROMPTS[0], backend)
    config = DecodingConfig(order="uncage", num_steps=6, seed=4, contrast_steps=6)
    n, v = backend.info.grid[0] * backend.info.grid[1], backend.info.codebook_size
    tokens, since = np.full(n, -1, np.int64), np.full(n, -1, np.int64)
    tokens[:5], tokens[7] = 3, 4
    since[:3] = 1
    start = Start(tokens, 2, since, keep={10: 6}, hold=frozenset({12, 13}), forbid={20: tuple(range(v // 2)), 21: (0, 1)})
    word = prompt.words[prompt.subjects[0].object[0]].tokens
    # As a branch begins: what the model saw one step earlier, and what a revision remembers.
    seen = np.where(since == 1, -1, tokens)
    remembered = (np.where(seen < 0, np.float32(np.nan), np.float32(-2)),)
    continued = Start(tokens, 2, since, before=(seen, None), likelihoods=remembered)
    later = DecodingConfig(order="uncage", num_steps=6, seed=5, differential=0.6, revise="correct", revise_strength=0.3)
    return [
        ("edited", Run(prompt, config, start)),
        ("word hidden", Run(prompt, config, None, suppress=word)),
        ("continued", Run(prompt, later, continued)),
    ]


def _told(backend: EmbeddedBackend, name: str, run: Run, arrays: _Arrays) -> dict[str, Any]:
    forward, outputs = backend.forward, []

    def recorded(*arguments: Any, **named: Any) -> ForwardOutput:
        outputs.append(forward(*arguments, **named))
        return outputs[-1]

    backend.forward = recorded  # type: ignore[method-assign]
    try:
        records = list(decode(backend, run))
    finally:
        backend.forward = forward  # type: ignore[method-assign]
    start = None
    if run.start is not None:
        start = {
            "tokens": run.start.tokens.tolist(),
            "step": run.start.step,
            "unmask_step": None if run.start.unmask_step is None else run.start.unmask_step.tolist(),
            "keep": [list(pair) for pair in run.start.keep.items()],
            "hold": sorted(run.start.hold),
            "forbid": [[at, list(ids)] for at, ids in run.start.forbid.items()],
            "before": None if run.start.before is None else run.start.before[0].tolist(),
            "likelihoods": [[None if np.isnan(value) else float(value) for value in row] for row in run.start.likelihoods],
        }
    return {
        "name": name,
        "prompt": asdict(run.prompt),
        "text": backend.encode_prompt(run.prompt).tolist(),
        "config": {**run.config.to_dict(), "seed": str(run.config.seed)},
        "start": start,
        "suppress": list(run.suppress),
        "given": [
            {
                "cond": arrays.add(out.cond[0].numpy()),
                "uncond": arrays.add(None if out.uncond is None else out.uncond[0].numpy()),
                "attention": arrays.add(None if out.attention is None else out.attention[0].numpy()),
            }
            for out in outputs
        ],
        "steps": [_step(record, arrays) for record in records],
    }


def _step(record: StepRecord, arrays: _Arrays) -> dict[str, Any]:
    return {
        "step": record.step,
        "sampled": record.sampled.tolist(),
        "committed": np.flatnonzero(record.committed).tolist(),
        "masked": np.flatnonzero(record.masked_before).tolist(),
        "sight": None if record.sight is None else record.sight.tolist(),
        "reopened": None if record.reopened is None else record.reopened.tolist(),
        "likelihood": arrays.add(record.likelihood),
        "passes": record.passes,
        "weight": record.weight,
        "cutoff": None if np.isinf(record.cutoff) else float(record.cutoff),
        "noise": arrays.add(record.noise),
        "confidence": arrays.add(record.confidence),
        "contrast": arrays.add(record.contrast),
        "scores": arrays.add(np.where(np.isinf(record.scores), np.float32(-1e30), record.scores)),
        "entropy": arrays.add(record.entropy),
        "alternative_probs": arrays.add(record.alternative_probs),
    }


def _order(name: str) -> dict[str, Any]:
    order = ORDERS[name]
    return {
        "redraw_share": order.redraw_share,
        "own_words": order.own_words,
        "guided": order.guided,
        "needs": sorted(order.needs),
        "terms": order.terms is not None,
    }


def _noise(seed: int, step: int, count: int) -> dict[str, Any]:
    return {
        "seed": str(seed),
        "step": step,
        "uniforms": {purpose: [value.hex() for value in uniforms(seed, step, purpose, count).tolist()] for purpose in PURPOSES},
        "gumbel": gumbel(seed, step, count).view(np.uint32).tolist(),
        "offset": roll_offset(seed, 144),
    }


def _schedules() -> list[list[Any]]:
    cases = ((144, 16), (144, 24), (36, 8), (144, 3), (10, 16), (100, 64))
    return [[name, s, t, n, mask_count(name, s, t, n, n, 1.7)] for name in SCHEDULE_NAMES for n, t in cases for s in range(t)]


if __name__ == "__main__":
    target = Path(sys.argv[2])
    target.mkdir(parents=True, exist_ok=True)
    write(load(sys.argv[1]), target)
