"""Measures the embedded model on held-out seeds and writes its model card; every figure in the card comes from here."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np

from uncage_demo.backends.embedded import EmbeddedBackend
from uncage_demo.bench.quality import quality, quality_markdown
from uncage_demo.decoding.config import DecodingConfig
from uncage_demo.models.vocab import COLORS, NOUNS
from uncage_demo.prompt import parse_prompt
from uncage_demo.runner import compare
from uncage_demo.train import binding, detector, image_tokenizer
from uncage_demo.train.art import PACKAGES
from uncage_demo.train.scenes import SpriteAtlas
from uncage_demo.train.token_scenes import TokenScenes

TOKENIZER_SCENES, DETECTOR_SCENES, BINDING_SCENES = 500, 1000, 256
SPEED_PROMPT = "a turtle and a pink apple"


def measure(folder: Path, art: Path, seeds: tuple[int, ...] = (0, 1)) -> dict[str, Any]:
    """Every figure of the model card.

    Args:
        folder: the model folder.
        art: cache of the downloaded art (scenes are rendered anew from unseen seeds).
        seeds: decoding seeds of each prompt.

    Returns:
        JSON-able dict: "tokenizer", "detector", "quality", "binding", "speed_s", "weight_hash".
    """
    backend = EmbeddedBackend.load(folder)
    atlas = SpriteAtlas(art)
    scenes = TokenScenes(atlas, backend.tokenizer)
    chosen = [(int(layer), int(head)) for layer, head in backend.config["attention_heads"]]
    return {
        "weight_hash": backend.info.weight_hash,
        "tokenizer": image_tokenizer.evaluate(backend.tokenizer, atlas, TOKENIZER_SCENES),
        "detector": detector.evaluate(backend.detector, backend.tokenizer, atlas, DETECTOR_SCENES),
        "binding": {
            "chosen_heads": chosen,
            "chosen": binding.source_figures(backend.transformer, scenes, chosen, BINDING_SCENES),
            "all": binding.source_figures(backend.transformer, scenes, None, BINDING_SCENES),
            "heads": binding.head_table(backend.transformer, scenes, BINDING_SCENES),
        },
        "quality": quality(backend, seeds=seeds),
        "speed_s": _pair_seconds(backend),
    }


def _pair_seconds(backend: EmbeddedBackend, rounds: int = 5) -> float:
    """Median seconds of one recorded side-by-side pair at default settings, after warm-up."""
    prompt = parse_prompt(SPEED_PROMPT, backend)
    configs = [DecodingConfig(), DecodingConfig(order="uncage")]
    compare(backend, prompt, configs)
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        compare(backend, prompt, configs)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def write_card(folder: Path, metrics: dict[str, Any], training: Path) -> str:
    """Write metrics.json and README.md (the model card) into the model folder; returns the card's text."""
    # What the training left behind is kept beside the weights, so that the card can be written again without the training folder.
    notes_path = folder / "training.json"
    if training.exists():
        notes_path.write_text(training.read_text())
    notes = json.loads(notes_path.read_text()) if notes_path.exists() else {}
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1, default=float) + "\n")
    text = card_text(folder, metrics, notes)
    (folder / "README.md").write_text(text)
    return text


def _share(value: float, count: float) -> str:
    """A share in percent with its Wilson 95 % interval."""
    z2 = 1.96**2
    centre = (value + z2 / (2 * count)) / (1 + z2 / count)
    half = 1.96 / (1 + z2 / count) * math.sqrt(value * (1 - value) / count + z2 / (4 * count**2))
    return f"{100 * value:.1f} [{100 * max(0, centre - half):.1f}, {100 * min(1, centre + half):.1f}]"


def card_text(folder: Path, metrics: dict[str, Any], notes: dict[str, Any]) -> str:
    """The model card in Markdown."""
    sizes = {path.name: path.stat().st_size for path in sorted(folder.glob("*.safetensors"))}
    tokenizer, judge, readable = metrics["tokenizer"], metrics["detector"], metrics["binding"]
    n = judge["scenes_n"]
    lines = [
        "# Emoji scenes: a small masked generative transformer",
        "",
        f"Weights `{metrics['weight_hash']}`. Text to image, 192 x 192 px, 12 x 12 tokens of 1,024 codes; made to teach and to debug masked decoding on a CPU.",
        "",
        "## What it draws",
        f"Up to three of {len(NOUNS)} objects ({', '.join(NOUNS)}) in the art's own colours or one of {len(COLORS)} ({', '.join(COLORS)}).",
        "",
        "## Parts",
        "| file | what | bytes |",
        "| --- | --- | ---: |",
        *(f"| {name} | {_PART_TEXT[name.split('.')[0]]} | {size:,} |" for name, size in sizes.items()),
        "",
        "## Data and licences",
        "Scenes are composed at random by this project's own code from openly licensed art, fetched by pinned package and not redistributed here:",
        *(f"- `{package.name}` {package.version}: {package.licence}" for package in PACKAGES),
        "",
        "Captions name the objects in order; layout, colours and background decorations are drawn at random. No photographs, no people.",
        "",
        "## Training",
        "| part | machine | seconds | images | steps |",
        "| --- | --- | ---: | ---: | ---: |",
        *(
            f"| {part} | {note['machine']} | {note['seconds_s']:,} | {note['images']:,} | {note['steps']:,} |"
            for part, note in notes.items()
        ),
        "",
        "Masking by arccos, 10 % condition dropout, cross-entropy on masked tokens. One head of every single-modal block is supervised while training:"
        " in it, an object's cells attend to the object's own words. That is what makes binding readable in so small a model; large models"
        " acquire it by scale.",
        "",
        "## Measured",
        "All on held-out seeds, by `python -m uncage_demo model-card`.",
        "",
        f"Image tokenizer, {TOKENIZER_SCENES} unseen scenes: PSNR {tokenizer['psnr_db']:.2f} dB (95 % interval +- {tokenizer['psnr_ci_db']:.2f}),"
        f" {100 * tokenizer['codebook_use_frac']:.0f} % of the codebook in use.",
        "",
        f"Detector, {n:.0f} unseen scenes, percent with everything right and nothing extra:",
        "| pictures | all objects | all objects and colours |",
        "| --- | ---: | ---: |",
        *(
            f"| {kind} | {_share(judge[f'{kind}_objects_frac'], n)} | {_share(judge[f'{kind}_colors_frac'], n)} |"
            for kind in ("rendered", "reconstructed")
        ),
        "",
        "Generator, baseline order (`meissonic`), default settings:",
        "",
        quality_markdown(metrics["quality"]),
        f"A finished side-by-side pair (32 steps, fully recorded, every step drawn) took {metrics['speed_s']:.2f} s (median) on the machine of this run.",
        "",
        "## Is binding readable in attention?",
        f"Half-masked unseen scenes with two objects ({BINDING_SCENES}); masked cells only. Area under the curve of own minus other word at telling one"
        " object's cells from the other's; own word over other word inside an object's cells; own word inside against its mean over the picture.",
        "",
        "| source | nouns (AUC) | colours (AUC) | own / other | inside / mean |",
        "| --- | ---: | ---: | ---: | ---: |",
        _binding_row("chosen (default): " + ", ".join(f"{layer}/{head}" for layer, head in readable["chosen_heads"]), readable["chosen"]),
        _binding_row("all (the paper's setting)", readable["all"]),
        *(_binding_row(f"layer {row['layer']}, head {row['head']}", row) for row in readable["heads"]),
        "",
        "The chosen heads are picked on other scenes than these, never on generated pictures.",
        "",
        "## Limits",
        "It knows nothing beyond its vocabulary, one art style, and pale paper. Verdicts are the detector's judgement, which errs as the table says;"
        " on generated pictures, which it never saw while training, it may err more. Counts, positions and backgrounds cannot be asked for.",
        "",
        "Licence of the weights: Apache-2.0.",
        "",
    ]
    return "\n".join(lines)


_PART_TEXT = {
    "tokenizer": "FSQ image tokenizer: patch encoder, convolutional decoder",
    "transformer": "text encoder, multi-modal and single-modal blocks",
    "detector": "judges pictures for verdicts and benchmarks",
}


def _binding_row(name: str, row: dict[str, float]) -> str:
    return f"| {name} | {row['noun_auc']:.3f} | {row['color_auc']:.3f} | {row['noun_ratio']:.2f} | {row['noun_gain']:.2f} |"
