"""Is binding readable in attention? Measured by layer and head on held-out, half-masked scenes with two objects.

Never looks at generated pictures: the heads that guidance reads are chosen here, before any guidance is run.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from uncage_demo.backends.embedded import vocab
from uncage_demo.backends.embedded.blocks import AttentionRequest
from uncage_demo.backends.embedded.transformer import SceneTransformer
from uncage_demo.train.scenes import Mix, sample_scene
from uncage_demo.train.token_scenes import TokenBatch, TokenScenes

CHOICE_SEED = 990_004
REPORT_SEED = 990_005
# Everything but counted objects: two objects of one subject have no other word to be told from.
TWO_SUBJECTS = Mix(number_frac=0.0)
NOUN_IDS, COLOR_IDS = (torch.tensor([vocab.WORD_ID[word] for word in words]) for words in (vocab.NOUNS, vocab.COLORS))


@torch.no_grad()
def half_masked_attention(
    model: SceneTransformer, scenes: TokenScenes, count: int, seed: int, masked_frac: float = 0.5, colored: bool = False
) -> tuple[Tensor, TokenBatch, Tensor]:
    """Attention of every single-modal layer and head on unseen two-object scenes with a part of the cells masked.

    Args:
        colored: only scenes in which both objects have a colour word.

    Returns:
        attention "b l h t n", the scenes, and the mask "b n" bool.
    """
    rng = np.random.default_rng(seed)
    chosen = []
    while len(chosen) < count:
        scene = sample_scene(rng, (0.0, 1.0, 0.0), TWO_SUBJECTS)
        if not colored or all(placed.color for placed in scene.objects):
            chosen.append(scene)
    examples = scenes.collate(chosen)
    n = examples.tokens.shape[1]
    masked = torch.from_numpy(rng.random(examples.tokens.shape).argsort(1).argsort(1) < round(masked_frac * n))
    tokens = torch.where(masked, model.mask_id, examples.tokens)
    request = AttentionRequest(None, tuple(range(vocab.TEXT_LENGTH)), full=True)
    device = next(model.parameters()).device
    maps = []
    for part in torch.arange(count).split(32):
        output = model(tokens[part].to(device), examples.text_ids[part].to(device), request=request)
        assert output.attention_full is not None
        maps.append(output.attention_full.cpu())
    return torch.cat(maps), examples, masked


def object_words(examples: TokenBatch, sample: int) -> list[tuple[int, int | None]]:
    """(noun token, colour token or None) of the two objects of a sample; words of position are an object's too, but neither of these."""
    text, owner = examples.text_ids[sample], examples.word_owner[sample]

    def token_of(index: int, words: Tensor) -> int | None:
        found = ((owner == index) & torch.isin(text, words)).nonzero().flatten().tolist()
        return found[0] if found else None

    found = []
    for index in (0, 1):
        noun = token_of(index, NOUN_IDS)
        assert noun is not None  # every object of a caption has a noun
        found.append((noun, token_of(index, COLOR_IDS)))
    return found


def area_under_curve(positive: Tensor, negative: Tensor) -> float:
    """Probability that a positive score exceeds a negative one (ties half), 0..1."""
    wins = (positive[:, None] > negative[None]).float() + 0.5 * (positive[:, None] == negative[None]).float()
    return float(wins.mean())


def readability(attention: Tensor, examples: TokenBatch, where: Tensor) -> dict[str, float]:
    """How readable binding is in one map.

    Args:
        attention: "b t n" attention of image cells to text tokens.
        examples: the two-object scenes.
        where: "b n" bool: cells that count.

    Returns:
        For "noun" and "color" (colour only where both objects have one; nan where no scene has): "<kind>_auc" (area under the curve of own
        minus other word at telling one object's cells from the other's), "<kind>_auc_ci" (half width of its 95 % interval over scenes),
        "<kind>_ratio" (own over other word inside an object's cells), "<kind>_gain" (attention to the own word inside its cells over its
        mean over the picture: 1 = no better than chance).
    """
    areas: dict[str, list[float]] = {"noun": [], "color": []}
    totals = {kind: np.zeros(3) for kind in areas}
    for b in range(attention.shape[0]):
        words = object_words(examples, b)
        cells = [(examples.owner[b] == index) & where[b] for index in (0, 1)]
        if not (cells[0].any() and cells[1].any()):
            continue
        for name, part in (("noun", 0), ("color", 1)):
            first, second = words[0][part], words[1][part]
            if first is not None and second is not None:
                score = attention[b, first] - attention[b, second]
                areas[name].append(area_under_curve(score[cells[0]], score[cells[1]]))
                for inside, own, other in ((cells[0], first, second), (cells[1], second, first)):
                    maps = attention[b]
                    totals[name] += [float(maps[own][inside].mean()), float(maps[other][inside].mean()), float(maps[own].mean())]
    figures = {}
    for kind, values in areas.items():
        own, other, mean = totals[kind].tolist()
        figures |= {
            f"{kind}_auc": float(np.mean(values)) if values else float("nan"),
            f"{kind}_auc_ci": float(1.96 * np.std(values) / np.sqrt(len(values))) if values else float("nan"),
            f"{kind}_ratio": own / max(other, 1e-12) if values else float("nan"),
            f"{kind}_gain": own / max(mean, 1e-12) if values else float("nan"),
        }
    return figures


def head_table(model: SceneTransformer, scenes: TokenScenes, count: int = 256, seed: int = REPORT_SEED) -> list[dict[str, Any]]:
    """Readability of every layer and head: dicts with layer, head and the figures of `readability` (masked cells only)."""
    attention, examples, masked = half_masked_attention(model, scenes, count, seed)
    colored, colored_examples, colored_masked = half_masked_attention(model, scenes, count // 2, seed + 1, colored=True)
    rows = []
    for layer in range(attention.shape[1]):
        for head in range(attention.shape[2]):
            row = readability(attention[:, layer, head], examples, masked)
            row |= _color_part(readability(colored[:, layer, head], colored_examples, colored_masked))
            rows.append({"layer": layer, "head": head, **row})
    return rows


def source_figures(
    model: SceneTransformer, scenes: TokenScenes, pairs: list[tuple[int, int]] | None, count: int = 256, seed: int = REPORT_SEED
) -> dict[str, float]:
    """Readability of an average over (layer, head) pairs; None = every layer and head (the paper's setting)."""

    def mean_map(attention: Tensor) -> Tensor:
        if pairs is None:
            return attention.mean(dim=(1, 2))
        return torch.stack([attention[:, layer, head] for layer, head in pairs]).mean(0)

    attention, examples, masked = half_masked_attention(model, scenes, count, seed)
    figures = readability(mean_map(attention), examples, masked)
    attention, examples, masked = half_masked_attention(model, scenes, count // 2, seed + 1, colored=True)
    return figures | _color_part(readability(mean_map(attention), examples, masked))


def _color_part(figures: dict[str, float]) -> dict[str, float]:
    """What scenes that have two colour words say of colours; the nouns' figures come from all scenes."""
    return {key: value for key, value in figures.items() if key.startswith("color_")}


def choose_heads(model: SceneTransformer, scenes: TokenScenes, count: int = 256, margin: float = 0.02) -> list[tuple[int, int]]:
    """The (layer, head) pairs that guidance reads by default: the best by mean area under the curve, and those within `margin` of it."""
    rows = head_table(model, scenes, count, CHOICE_SEED)
    score = {(row["layer"], row["head"]): (row["noun_auc"] + row["color_auc"]) / 2 for row in rows}
    best = max(score.values())
    return sorted(pair for pair, value in score.items() if value >= best - margin)
