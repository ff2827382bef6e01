"""The card's picture of binding: by layer and head, how well attention tells two objects apart, and one scene's maps as an example."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.patches import Rectangle
from PIL import Image

from uncage_demo.backends.embedded import vocab
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.render.figure_parts import INK, MUTED, axes_text, color_bar, figure_text, image_axes, new_figure
from uncage_demo.render.palette import LIGHT, SEQUENTIAL_MAP, Limits, readable, subject_colors
from uncage_demo.train import binding
from uncage_demo.train.token_scenes import TokenScenes

AUC_MAP = "RdBu"
MASK_GREY = (0.78, 0.8, 0.85)


@dataclass(frozen=True)
class ExampleScene:
    """One half-masked scene of two coloured objects, and what every head makes of it.

    Args:
        caption: its text.
        picture: "H W 3" float 0..1: the scene as the tokenizer draws it, masked cells grey.
        owner: "y x" int: index of the object a cell belongs to, -1 for background.
        attention: "l h t n": attention of the image cells to the text tokens.
        words: for each object (name, token) of its colour and its noun.
    """

    caption: str
    picture: np.ndarray
    owner: np.ndarray
    attention: np.ndarray
    words: tuple[tuple[tuple[str, int], ...], ...]


def example_scene(backend: EmbeddedBackend, scenes: TokenScenes, among: int = 16) -> ExampleScene:
    """The first (not picked) of the unseen scenes with two colour words that the figures are measured on whose nouns differ."""
    attention, examples, masked = binding.half_masked_attention(backend.transformer, scenes, among, binding.REPORT_SEED + 1, colored=True)
    nouns = [{int(examples.text_ids[b, noun]) for noun, _ in binding.object_words(examples, b)} for b in range(among)]
    index = next((b for b in range(among) if len(nouns[b]) == 2), 0)
    grid = backend.info.grid
    picture = backend.decode_tokens(examples.tokens[index : index + 1])[0].astype(np.float32) / 255
    cell = picture.shape[0] // grid[0]
    hidden = masked[index].reshape(grid).numpy().repeat(cell, 0).repeat(cell, 1)
    picture[hidden] = MASK_GREY
    ids = examples.text_ids[index].tolist()
    names = [vocab.WORDS[identity] for identity in ids]
    objects = binding.object_words(examples, index)
    words = tuple(tuple((names[token], token) for token in (color, noun) if token is not None) for noun, color in objects)
    caption = " ".join(name for name in names if name not in vocab.SPECIAL).replace(" ,", ",")
    return ExampleScene(caption, picture, examples.owner[index].reshape(grid).numpy(), attention[index].numpy(), words)


def binding_figure(readable_figures: dict[str, Any], example: ExampleScene) -> Figure:
    """Areas under the curve by layer and head for nouns and colours, and below them one scene's maps from two sources.

    Args:
        readable_figures: "binding" of the card's metrics: "heads" (rows of `binding.head_table`) and "chosen_heads".
        example: the scene.
    """
    rows, chosen = readable_figures["heads"], [tuple(pair) for pair in readable_figures["chosen_heads"]]
    sources = [("the heads that guidance reads", chosen)]
    rest = [(row["layer"], row["head"]) for row in rows if (row["layer"], row["head"]) not in chosen]
    if rest:
        sources.append(("the other heads", rest))
    columns = 1 + sum(len(words) for words in example.words)
    layers = 1 + max(row["layer"] for row in rows)
    cell, width = 1.5, 9.6
    head, upper = 0.75, 0.42 * layers + 0.55
    height = head + upper + 0.65 + len(sources) * (cell + 0.12) + 0.1
    figure = new_figure(width, height)
    title = "Which object does a cell belong to? Area under the curve of own minus other word"
    figure_text(figure, 0.02, 1 - 0.28 / height, title, 11, INK)
    below = 1 - (head + upper - 0.45) / height
    for place, (kind, title) in enumerate((("noun", "nouns"), ("color", "colours"))):
        left = 0.075 + 0.43 * place
        spec = GridSpec(1, 1, figure, left=left, right=left + 0.37, top=1 - head / height, bottom=below)
        _heads_map(figure.add_subplot(spec[0, 0]), rows, kind, title, chosen)
    bar = figure.add_axes((0.895, below, 0.014, (upper - 0.45) / height))
    color_bar(figure, bar, Limits(0.0, 1.0), AUC_MAP, "0.5 = blind")
    top = head + upper + 0.3
    figure_text(
        figure,
        0.02,
        1 - (top - 0.08) / height,
        f"An unseen scene, half masked: “{example.caption}”; attention to each word, outlined: the object's own cells",
        9,
        INK,
    )
    for index, (name, pairs) in enumerate(sources):
        start = top + 0.28 + index * (cell + 0.12)
        spec = GridSpec(1, columns, figure, left=0.10, right=0.885, top=1 - start / height, bottom=1 - (start + cell) / height, wspace=0.06)
        _example_row(figure, spec, example, name, pairs, first=index == 0, bar=(0.895, 1 - (start + cell) / height, 0.014, cell / height))
    return figure


def to_image(figure: Figure, dpi: int = 110) -> Image.Image:
    """The figure as an RGB picture."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return Image.open(buffer).convert("RGB")


def _heads_map(axes: Axes, rows: Sequence[dict[str, Any]], kind: str, title: str, chosen: Sequence[tuple[int, int]]) -> None:
    values = np.zeros((1 + max(row["layer"] for row in rows), 1 + max(row["head"] for row in rows)))
    for row in rows:
        values[row["layer"], row["head"]] = row[f"{kind}_auc"]
    axes.imshow(values, cmap=AUC_MAP, vmin=0, vmax=1, aspect="auto")
    for row in rows:
        value = row[f"{kind}_auc"]
        # Dark ends of the colour map need light text.
        color = "white" if abs(value - 0.5) > 0.38 else INK
        details = values.shape[1] <= 3  # more heads leave no room for them
        axes.text(row["head"], row["layer"] - (0.14 if details else 0), f"{value:.3f}", ha="center", va="center", fontsize=8.5, color=color)
        if details:
            text = f"own/other {row[f'{kind}_ratio']:.1f}, inside/chance {row[f'{kind}_gain']:.1f}"
            axes.text(row["head"], row["layer"] + 0.24, text, ha="center", va="center", fontsize=5.8, color=color)
    for layer, head in chosen:
        axes.add_patch(Rectangle((head - 0.48, layer - 0.46), 0.96, 0.92, fill=False, edgecolor=INK, linewidth=1.6))
    axes.set_xticks(range(values.shape[1]), [f"head {head}" for head in range(values.shape[1])])
    axes.set_yticks(range(values.shape[0]), [f"layer {layer}" for layer in range(values.shape[0])])
    axes.tick_params(labelsize=7.5, colors=MUTED, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title(f"{title} (framed: guidance reads it)", fontsize=8.5, color=INK, loc="left")


def _example_row(
    figure: Figure,
    spec: GridSpec,
    example: ExampleScene,
    name: str,
    pairs: Sequence[tuple[int, int]],
    *,
    first: bool,
    bar: tuple[float, float, float, float],
) -> None:
    """The scene and one map per word, all of a source on one scale from 0 to the largest value."""
    maps = np.mean([example.attention[layer, head] for layer, head in pairs], axis=0)
    wanted = [(index, word, token) for index, words in enumerate(example.words) for word, token in words]
    limits = Limits(0.0, max(float(max(maps[token].max() for _, _, token in wanted)), 1e-6))
    scene = image_axes(figure, spec[0, 0])
    scene.imshow(example.picture)
    axes_text(scene, -0.05, 0.5, "\n".join(_split(name)), 7.5, MUTED, ha="right", va="center")
    colors = [readable(color, LIGHT.background) for color in subject_colors(len(example.words))]
    for column, (index, word, token) in enumerate(wanted, start=1):
        axes = image_axes(figure, spec[0, column])
        axes.imshow(maps[token].reshape(example.owner.shape), cmap=SEQUENTIAL_MAP, vmin=limits.low, vmax=limits.high)
        _outline(axes, example.owner == index)
        if first:
            axes_text(axes, 0, 1.03, f"“{word}”", 8.5, colors[index], va="bottom")
    color_bar(figure, figure.add_axes(bar), limits, SEQUENTIAL_MAP, "attention")


def _outline(axes: Axes, inside: np.ndarray) -> None:
    """The border of a set of cells."""
    padded = np.pad(inside, 1)
    for y, x in np.argwhere(inside):
        for dy, dx, (y0, x0, y1, x1) in (
            (-1, 0, (y, x, y, x + 1)),
            (1, 0, (y + 1, x, y + 1, x + 1)),
            (0, -1, (y, x, y + 1, x)),
            (0, 1, (y, x + 1, y + 1, x + 1)),
        ):
            if not padded[y + 1 + dy, x + 1 + dx]:
                axes.plot([x0 - 0.5, x1 - 0.5], [y0 - 0.5, y1 - 0.5], color="white", linewidth=1.1)


def _split(name: str) -> list[str]:
    words = name.split()
    half = (len(words) + 1) // 2
    return [" ".join(words[:half]), " ".join(words[half:])]
