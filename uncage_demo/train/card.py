"""Measures the embedded model on held-out seeds and writes its model card; every figure in the card comes from here."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.backends.embedded.vocab import COLORS, NOUNS, PLACE_SAID, POSITION_SAID
from uncage_demo.bench.quality import MARKS, quality, quality_markdown, quality_summary
from uncage_demo.bench.report import replace_section
from uncage_demo.config import DEFAULT_STEPS, DecodingConfig
from uncage_demo.files import write_atomically
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.runner import compare
from uncage_demo.train import binding, detector, image_tokenizer
from uncage_demo.train.art import PACKAGES
from uncage_demo.train.binding_figure import binding_figure, example_scene, to_image
from uncage_demo.train.card_world import attention_text, caption_lines, part_rows, world_of
from uncage_demo.train.gallery import POSTER_PARTS, FailureSamples, failure_sheet, poster, save_webp
from uncage_demo.train.scenes import SpriteAtlas
from uncage_demo.train.steps import Steps, file_hashes
from uncage_demo.train.token_scenes import TokenScenes
from uncage_demo.train.transformer import BLANK_FRAC

FAILURES, BINDING, POSTER = PICTURES = ("failures.webp", "binding.webp", "samples.webp")
PICTURE_BYTES, POSTER_BYTES = 125_000, 175_000
SPEED_PROMPT = "a turtle and a pink apple"
SPEED_STEPS = (DEFAULT_STEPS, 32)


# How many times the tokenizer's scenes the use of its codebook is counted over.
CODEBOOK_SHARE = 4


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Args:
        tokenizer, detector, binding: number of unseen scenes.
        prompts: prompts of each category; None = all.
        poster: (suite, number of prompts) of the poster.
        steps: decoding steps; None = the model's default.
    """

    tokenizer: int = 500
    detector: int = 1000
    binding: int = 256
    prompts: int | None = None
    poster: tuple[tuple[str, int], ...] = POSTER_PARTS
    steps: int | None = None

    def config(self, backend: EmbeddedBackend) -> DecodingConfig:
        """The baseline order with these steps."""
        return DecodingConfig(num_steps=self.steps or backend.info.default_steps)


FULL = Size()


def measure(
    folder: Path,
    atlas: SpriteAtlas,
    seeds: tuple[int, ...] = (0, 1),
    *,
    out: Path | None = None,
    work: Path | None = None,
    size: Size = FULL,
) -> dict[str, Any]:
    """Every figure and every picture of the model card.

    Args:
        folder: the model folder.
        atlas: the art (scenes are rendered anew from unseen seeds).
        seeds: decoding seeds of each prompt.
        out: where the pictures go; None = the model folder.
        work: a file that keeps what is measured, so that a killed run continues; None = no such file.
        size: how much is measured.

    Returns:
        JSON-able dict: "tokenizer", "codebook", "detector", "quality", "binding", "poster", "speed_s", "weight_hash", and "pictures": {name: hash}.
    """
    backend = EmbeddedBackend.load(folder)
    out = folder if out is None else out
    out.mkdir(parents=True, exist_ok=True)
    paths = {name: out / name for name in PICTURES}
    steps = Steps(work, f"{backend.info.weight_hash} seeds {seeds} {size}")
    metrics = {
        "weight_hash": backend.info.weight_hash,
        "tokenizer": steps("image tokenizer", lambda: image_tokenizer.evaluate(backend.tokenizer, atlas, size.tokenizer)),
        "codebook": steps("codebook", lambda: image_tokenizer.codebook_use(backend.tokenizer, atlas, CODEBOOK_SHARE * size.tokenizer)),
        "detector": steps("detector", lambda: detector.evaluate(backend.detector, backend.tokenizer, atlas, size.detector)),
        "binding": steps(
            "binding", lambda: _binding(backend, TokenScenes(atlas, backend.tokenizer), size.binding, paths[BINDING]), [paths[BINDING]]
        ),
        "quality": steps("quality and failures", lambda: _quality(backend, seeds, size, paths[FAILURES]), [paths[FAILURES]]),
        "poster": steps("poster", lambda: _poster(backend, size, paths[POSTER]), [paths[POSTER]]),
        "speed_s": steps("speed", lambda: {str(t): _pair_seconds(backend, t) for t in SPEED_STEPS}),
    }
    return metrics | {"pictures": file_hashes(list(paths.values()))}


def _binding(backend: EmbeddedBackend, scenes: TokenScenes, count: int, path: Path) -> dict[str, Any]:
    """Readability of binding by source, layer and head, and its picture."""
    chosen = [(int(layer), int(head)) for layer, head in backend.config["attention_heads"]]
    figures = {
        "chosen_heads": chosen,
        "chosen": binding.source_figures(backend.transformer, scenes, chosen, count),
        "all": binding.source_figures(backend.transformer, scenes, None, count),
        "heads": binding.head_table(backend.transformer, scenes, count),
        "scenes_n": count,
    }
    save_webp(to_image(binding_figure(figures, example_scene(backend, scenes))), path, PICTURE_BYTES)
    return figures


def _quality(backend: EmbeddedBackend, seeds: tuple[int, ...], size: Size, path: Path) -> dict[str, Any]:
    """Success and failure rates of the generator, and the picture of its failures."""
    samples = FailureSamples()
    result = quality(backend, seeds=seeds, limit=size.prompts, base=size.config(backend), watch=samples)
    save_webp(failure_sheet(samples, result["failures"]), path, PICTURE_BYTES)
    return result


def _poster(backend: EmbeddedBackend, size: Size, path: Path) -> dict[str, int]:
    drawn = poster(backend, size.poster, size.config(backend))
    save_webp(drawn.image, path, POSTER_BYTES)
    return {"correct": drawn.correct, "count": drawn.count}


def _pair_seconds(backend: EmbeddedBackend, num_steps: int, rounds: int = 5) -> float:
    """Median seconds of one recorded side-by-side pair with this many steps, after warm-up."""
    prompt = parse_prompt(SPEED_PROMPT, backend)
    configs = [DecodingConfig(order=order, num_steps=num_steps) for order in ("meissonic", "uncage")]
    compare(backend, prompt, configs)
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        compare(backend, prompt, configs)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def write_card(folder: Path, metrics: dict[str, Any], training: Path, out: Path | None = None) -> str:
    """Write metrics.json and README.md (the model card) into `out` (None = the model folder); returns the card's text."""
    out = folder if out is None else out
    # What the training left behind is kept beside the weights, so that the card can be written again without the training folder.
    source = training if training.exists() else folder / "training.json"
    notes = json.loads(source.read_text()) if source.exists() else {}
    write_atomically(out / "training.json", json.dumps(notes, indent=2) + "\n")
    write_atomically(out / "metrics.json", json.dumps(metrics, indent=1, default=float) + "\n")
    text = card_text(folder, metrics, notes)
    write_atomically(out / "README.md", text)
    return text


def write_summary(page: Path, metrics: dict[str, Any]) -> None:
    """Write what the generator draws right, in short, between a document's marks.

    Args:
        page: a Markdown file with `quality.MARKS`; metrics: from `measure`.

    Raises:
        ValueError: when the marks are not there exactly once.
    """
    text = page.read_text(encoding="utf-8")
    write_atomically(page, replace_section(text, quality_summary(metrics["quality"]), MARKS))


def _share(value: float, count: float) -> str:
    """A share in percent with its Wilson 95 % interval."""
    z2 = 1.96**2
    centre = (value + z2 / (2 * count)) / (1 + z2 / count)
    half = 1.96 / (1 + z2 / count) * math.sqrt(value * (1 - value) / count + z2 / (4 * count**2))
    return f"{100 * value:.1f} [{100 * max(0, centre - half):.1f}, {100 * min(1, centre + half):.1f}]"


def card_text(folder: Path, metrics: dict[str, Any], notes: dict[str, Any]) -> str:
    """The model card in Markdown."""
    config = json.loads((folder / "config.json").read_text())
    world = world_of(config)
    tokenizer, codebook, judge, readable = (metrics[name] for name in ("tokenizer", "codebook", "detector", "binding"))
    n = judge["scenes_n"]
    lines = [
        f"# {'Emoji scenes' if world.is_exact else world.title}: a small masked generative transformer",
        "",
        f"Weights `{metrics['weight_hash']}`. Text to image, 192 x 192 px, 12 x 12 tokens of 1,024 codes; made to teach and to debug masked decoding on a CPU.",
        "",
        "## What it draws",
        f"Up to three of {len(NOUNS)} objects ({', '.join(NOUNS)}) in the art's own colours or one of {len(COLORS)} ({', '.join(COLORS)}); two or"
        f" three of a kind (\u201ctwo cats\u201d, with the failures told below); {', '.join(POSITION_SAID.values())}, left or right of another one, above"
        f" or below it; on plain paper with confetti, or {', '.join(PLACE_SAID.values())}.",
        "",
        f"![{metrics['poster']['count']} pictures]({POSTER})",
        "",
        f"{metrics['poster']['count']} pictures, none picked: prompts spread evenly over the benchmark's suites, one seed each, baseline order, default"
        f" settings. The detector finds {metrics['poster']['correct']} of them fully correct; the others' captions are red.",
        "",
        "## Parts",
        "| file | what | bytes |",
        "| --- | --- | ---: |",
        *part_rows(folder),
        "",
        "## Data and licences",
        "Scenes are composed at random by this project's own code from openly licensed art, fetched by pinned package and not redistributed here:",
        *(f"- `{package.name}` {package.version}: {package.licence}" for package in PACKAGES),
        "",
        *caption_lines(world),
        "",
        "## Training",
        "| part | machine | seconds | images | steps |",
        "| --- | --- | ---: | ---: | ---: |",
        *(
            f"| {part} | {note['machine']} | {note['seconds_s']:,} | {note['images']:,} | {note['steps']:,} |"
            for part, note in notes.items()
        ),
        "",
        f"Masking by arccos, and {100 * BLANK_FRAC:.0f} % of the scenes whose caption tells a position masked as a whole: what a position says matters while"
        " nothing is drawn yet. 10 % condition dropout, cross-entropy on masked tokens. " + attention_text(world),
        "",
        "An object's codes are those of its drawing on plain paper, in every place; the tiles of the places have codes that no drawing uses. The"
        " decoder sees from the cells around an object what paper it stands on. So an object is learnt once, not once per place.",
        "",
        "## Measured",
        f"All on held-out seeds, by `python -m uncage_demo model-card{'' if world.is_exact else f' --world {world.name}'}`.",
        "",
        f"Image tokenizer, {tokenizer['scenes_n']:.0f} unseen scenes: PSNR {tokenizer['psnr_db']:.2f} dB (95 % interval +- {tokenizer['psnr_ci_db']:.2f}),"
        f" {100 * tokenizer['codebook_use_frac']:.0f} % of the codebook in use; over {codebook['scenes_n']:,.0f} scenes"
        f" {100 * codebook['use_frac']:.1f} %.",
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
        "A finished side-by-side pair, fully recorded and every step drawn, took "
        + ", ".join(f"{seconds:.2f} s in {num_steps} steps" for num_steps, seconds in metrics["speed_s"].items())
        + " (medians on the machine of this run).",
        "",
        "## What goes wrong",
        f"![Kinds of failure with their rates and pictures]({FAILURES})",
        "",
        "Pictures of the runs above, drawn at random from all that show the failure; the detector counts, and what it saw is written in red. Rates are"
        " percent of all pictures of a suite, with 95 % intervals clustered by prompt.",
        "",
        "## Is binding readable in attention?",
        f"![Area under the curve by layer and head, and the maps of one scene]({BINDING})",
        "",
        f"Half-masked unseen scenes with two objects ({readable['scenes_n']}); masked cells only. AUC: area under the curve of own minus other word at"
        " telling one object's cells from the other's (0.5 = blind), with the half width of its 95 % interval over scenes; own / other: attention"
        " to the own word over that to the other object's, inside an object's cells; inside / chance: attention to the own word inside the"
        " object's cells over its mean over the picture.",
        "",
        "| source | nouns: AUC | own / other | inside / chance | colours: AUC | own / other | inside / chance |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        _binding_row("chosen (default): " + ", ".join(f"{layer}/{head}" for layer, head in readable["chosen_heads"]), readable["chosen"]),
        _binding_row("all (the paper's setting)", readable["all"]),
        *(_binding_row(f"layer {row['layer']}, head {row['head']}", row) for row in readable["heads"]),
        "",
        "The chosen heads are picked on other scenes than these, never on generated pictures.",
        "",
        "## Limits",
        "It knows nothing beyond its vocabulary and one art style. The image tokenizer composes scenes from drawings and tiles; it does not encode"
        " pictures in a named place. Verdicts are the detector's judgement, which errs as the table says;"
        " on generated pictures, which it never saw while training, it may err more. A place is judged by the colour of its paper, a position"
        " by the middles of what was found. Numbers are obeyed less surely than all else: the usual failure is one too many.",
        "",
        "Licence of the weights: Apache-2.0.",
        "",
    ]
    return "\n".join(lines)


def _binding_row(name: str, row: dict[str, float]) -> str:
    parts = [
        f"{row[f'{kind}_auc']:.3f} ± {row[f'{kind}_auc_ci']:.3f} | {row[f'{kind}_ratio']:.2f} | {row[f'{kind}_gain']:.2f}"
        for kind in ("noun", "color")
    ]
    return f"| {name} | {' | '.join(parts)} |"
