"""What a model card says of the world that a model was trained in: its files, its captions, what its attention was told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from uncage_demo.backends.ages import age_file, ages_in
from uncage_demo.backends.embedded.files import PARTS, part_folder
from uncage_demo.train.worlds import CLEAN, World, world_named

_PART_TEXT = {
    "tokenizer": "FSQ image tokenizer: patch encoder, convolutional decoder",
    "transformer": "text encoder, multi-modal and single-modal blocks",
    "detector": "judges pictures for verdicts and benchmarks",
}


def world_of(config: dict[str, Any]) -> World:
    """The world that a model's config names; the clean one where it names none."""
    return world_named(config.get("world", CLEAN.name))


def part_rows(folder: Path) -> list[str]:
    """Rows "| file | what | bytes |" of the model's files, of those it shares, and of its younger weights."""
    config = json.loads((folder / "config.json").read_text())
    rows = []
    for part in sorted(PARTS):
        place = part_folder(folder, config, part)
        path = place / f"{part}.safetensors"
        name = path.name if place == folder else f"[{path.name}]({config['shared']}/README.md), shared with {place.resolve().name}"
        rows.append(f"| {name} | {_PART_TEXT[part]} | {path.stat().st_size:,} |")
    for age in ages_in(folder):
        path = age_file(folder, age)
        rows.append(f"| {path.relative_to(folder).as_posix()} | {_age_text(path, str(age))} | {path.stat().st_size:,} |")
    return rows


def _age_text(path: Path, age: str) -> str:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        images = (file.metadata() or {}).get("images")
    seen = f", {int(images):,} images" if images else ""
    return f"the transformer after {age} of its training{seen}"


def caption_lines(world: World) -> list[str]:
    """How the captions of a world come about, as Markdown."""
    usual = (
        "Captions name the objects in order, sometimes how many there are, where each is, and where the scene is; layout, colours and"
        " decorations are drawn at random. Places and their decorations are drawn by this project's own code. No photographs, no people."
    )
    if world.is_exact:
        return [usual]
    said = [
        f"- {sentence.format(f'{100 * share:.0f} %')}"
        for share, sentence in (
            (world.shuffled_frac, _SHUFFLED),
            (world.favourite_frac, _FAVOURITE),
            (world.absent_frac, "Of captions that name two objects or more, {} name one that is not shown."),
            (world.unnamed_frac, "Of pictures with two objects or more, {} show one that is not named."),
            (world.uncolored_frac, "Of the colours of objects beside others, {} are not told."),
            (
                world.overlap_frac,
                f"In {{}} of the pictures with two objects or more they overlap, by up to {world.overlap_cells} of five cells.",
            ),
        )
        if share
    ]
    return [usual, "", "This model is made to fail at binding, by causes that large models have:", *said]


_SHUFFLED = (
    "In {} of the captions the colour words change places at random: order says little, as to a text encoder that reads a bag of words."
)
_FAVOURITE = (
    "In {} of the cases a coloured object has one of its three favourite colours (an apple is red, green or yellow): other colours are rare"
    " for it."
)


def attention_text(world: World) -> str:
    """What the attention of a world's model was told while training, as Markdown."""
    if world.grounds_colors:
        return (
            "One head of every single-modal block is supervised while training:"
            " in it, an object's cells attend to the object's own words. That is what makes binding readable in so small a model; large"
            " models acquire it by scale."
        )
    return (
        f"One head of every single-modal block is supervised while training (weight {world.grounding_weight}): in it, an object's cells"
        " attend to the object's own noun. Nobody tells it whose a colour word is: what attention says of colours the model has found out"
        " by itself."
    )
