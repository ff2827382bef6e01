"""Valid traces made by hand, for tests that need a trace but no model. Only numpy and the shared value types.

The pictures are simple shapes (one blob a subject) so that figures and animations made from a factory trace can also be judged by eye.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from uncage_demo.config import DecodingConfig
from uncage_demo.trace.record import StepRecord, Trace
from uncage_demo.types import ModelDefaults, ModelInfo, Prompt, Subject, TextToken, Word, WordKind

COLORS = {
    "red": (214, 54, 48),
    "orange": (236, 138, 40),
    "yellow": (240, 200, 48),
    "green": (70, 160, 84),
    "blue": (56, 110, 200),
    "purple": (130, 80, 180),
    "pink": (240, 130, 176),
    "brown": (140, 92, 58),
    "gray": (128, 128, 132),
    "black": (40, 40, 44),
    "white": (240, 240, 240),
}
FILLERS = ("a", "an", "the", "and", "with", "wearing", "of", ",")
OWN_COLORS = ((96, 150, 84), (200, 120, 60), (90, 110, 170))
NUM_ALTERNATIVES = 3


def make_prompt(text: str = "a turtle and a pink apple") -> Prompt:
    """A prompt of blank-separated words: colours are attributes of the next object, fillers are "other", the rest are objects.

    The text tokens are <start>, one per word, <end> and two of padding.
    """
    words: list[Word] = []
    tokens = [TextToken("<start>", 0, 0, True)]
    position = 0
    for piece in text.split():
        start = text.index(piece, position)
        position = start + len(piece)
        kind: WordKind = "other" if piece.lower() in FILLERS else "attribute" if piece.lower() in COLORS else "object"
        words.append(Word(piece, start, position, (len(tokens),), kind))
        tokens.append(TextToken(piece.lower(), start, position))
    tokens += [TextToken("<end>", len(text), len(text), True)] + [TextToken("<pad>", len(text), len(text), True)] * 2
    subjects, pending = [], []
    for index, word in enumerate(words):
        if word.kind == "attribute":
            pending.append(index)
        elif word.kind == "object":
            colors = tuple(words[i].text.lower() for i in pending)
            label = " ".join((*colors, word.text.lower()))
            subjects.append(Subject((index,), tuple((i,) for i in pending), label, word.text.lower(), colors))
            pending = []
    return Prompt(text, tuple(tokens), tuple(words), tuple(subjects))


def make_trace(
    seed: int = 0,
    grid: tuple[int, int] = (12, 12),
    steps: int = 8,
    prompt_text: str = "a turtle and a pink apple",
    image_px: int = 192,
    *,
    order: str = "uncage",
    frames: bool = True,
    attention: bool = True,
    codebook_size: int = 64,
    **settings: Any,
) -> Trace:
    """A random but valid trace: exact counts a step, scores that add up, committed tokens that never change.

    Args:
        seed: of the trace and of its pictures; a trace is a pure function of the arguments.
        grid: (y, x) of the token grid; image_px (the picture's height) must be a multiple of y.
        steps: T, at most the number of cells.
        order: "uncage" adds 3 times the contrast in its guided steps, any other name does not.
        frames, attention: whether the trace holds them.
        settings: further DecodingConfig fields.
    """
    height, width = grid
    n = height * width
    cell_px = image_px // height
    if steps > n or image_px % height:
        raise ValueError(f"steps={steps}, image_px={image_px}: need steps <= {n} and image_px a multiple of {height}")
    rng = np.random.default_rng([seed, height, width, steps])
    prompt = make_prompt(prompt_text)
    fields: dict[str, Any] = {"contrast_blur": 0.0, **settings}
    config = DecodingConfig(order=order, num_steps=steps, seed=seed, **fields).resolved(ModelDefaults())
    image, membership = _scene(rng, prompt, grid, cell_px)
    final = rng.integers(0, codebook_size, n).astype(np.int32)
    masked, unmask_step = np.ones(n, bool), np.full(n, -1, np.int32)
    records, pictures = [], []
    for step in range(steps):
        rng = np.random.default_rng([seed, height, width, steps, step + 1])  # the same noise at every step whatever the order
        maps = _attention(rng, prompt, membership, step / max(1, steps - 1))
        probs = rng.uniform(0.05, 0.95, n).astype(np.float32) * np.where(membership.sum(axis=0) > 0, 0.6, 1.0).astype(np.float32)
        confidence = np.where(masked, np.log(probs), 0).astype(np.float32)
        start, end = config.noise_range
        tau = start + (end - start) * step / max(1, steps - 1)
        noise = np.where(masked, tau * rng.gumbel(size=n), 0).astype(np.float32)
        contrast = _contrast(maps, prompt)
        weight = config.contrast_weight if order == "uncage" and step < config.guided_steps else 0.0
        scores = np.where(masked, confidence + noise + np.float32(weight) * contrast, -np.inf).astype(np.float32)
        left = int(masked.sum())
        stay = 0 if step == steps - 1 else max(1, min(left - 1, math.floor(n * math.cos(math.pi / 2 * (step + 1) / steps))))
        stay = max(stay, steps - 1 - step)
        chosen = np.argsort(-scores, kind="stable")[: left - stay]
        committed = np.zeros(n, bool)
        committed[chosen] = True
        unmask_step[chosen] = step
        sampled = np.where(masked & ~committed, rng.integers(0, codebook_size, n), final).astype(np.int32)
        alternatives = np.stack([sampled, (sampled + 1) % codebook_size, (sampled + 2) % codebook_size], axis=1).astype(np.int32)
        alternative_probs = np.stack([probs, (1 - probs) * 0.6, (1 - probs) * 0.3], axis=1).astype(np.float32)
        alternative_probs, picks = -np.sort(-alternative_probs, axis=1), np.argsort(-alternative_probs, axis=1, kind="stable")
        records.append(
            StepRecord(
                step=step,
                sampled=sampled,
                committed=committed,
                masked_before=masked.copy(),
                confidence=confidence,
                noise=noise,
                contrast=contrast,
                weight=float(weight),
                scores=scores,
                cutoff=float(scores[chosen].min()),
                attention=maps if attention else None,
                alternatives=np.take_along_axis(alternatives, picks, axis=1),
                alternative_probs=alternative_probs,
                entropy=(-np.log(probs)).astype(np.float32),
            )
        )
        masked = masked & ~committed
        pictures.append(_guess(rng, image, masked.reshape(grid), cell_px))
    return Trace(
        prompt=prompt,
        config=config.to_dict(),
        model=ModelInfo("embedded", "factory model", "0" * 16, grid, codebook_size, image.shape[:2], grid, 4, 2),
        columns=tuple(range(len(prompt.tokens))),
        steps=records,
        tokens=final.reshape(grid),
        unmask_step=unmask_step.reshape(grid),
        image=image,
        frames=np.stack(pictures) if frames else None,
        token_pictures={i: np.full((8, 8, 3), (i * 97 % 256, i * 57 % 256, i * 31 % 256), np.uint8) for i in range(codebook_size)},
        timings_s={"forward": 0.5, "decode": 0.2, "total": 0.75},
        versions={"numpy": np.__version__},
        created="2026-01-01T00:00:00+00:00",
    )


def _scene(rng: np.random.Generator, prompt: Prompt, grid: tuple[int, int], cell_px: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture "H W 3" with one blob a subject, and the share "subjects n" of each cell that a blob covers."""
    height, width = grid[0] * cell_px, grid[1] * cell_px
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    sky = np.stack([190 + 40 * y / height, 214 + 20 * y / height, 236 - 46 * y / height], axis=-1)
    image = np.where((y > 0.72 * height)[..., None], np.array([150, 186, 120]) + 10 * np.sin(x / 9)[..., None], sky)
    count = max(1, len(prompt.subjects))
    shares = np.zeros((len(prompt.subjects), grid[0] * grid[1]), np.float32)
    for index, subject in enumerate(prompt.subjects):
        center_x = width * (index + 0.5 + rng.uniform(-0.08, 0.08)) / count
        center_y = height * (0.58 + rng.uniform(-0.08, 0.08))
        radius_x, radius_y = width * 0.36 / count**0.7, height * 0.24
        distance = ((x - center_x) / radius_x) ** 2 + ((y - center_y) / radius_y) ** 2
        color = np.array(COLORS[subject.colors[0]] if subject.colors else OWN_COLORS[index % len(OWN_COLORS)], np.float32)
        shaded = color * (1.18 - 0.4 * np.clip(distance, 0, 1))[..., None]
        highlight = ((x - center_x + radius_x * 0.35) ** 2 + (y - center_y + radius_y * 0.4) ** 2) < (radius_y * 0.2) ** 2
        shaded = np.where(highlight[..., None], 0.5 * shaded + 127, shaded)
        image = np.where((distance < 1)[..., None], shaded, image)
        inside = (distance < 1).reshape(grid[0], cell_px, grid[1], cell_px).mean(axis=(1, 3))
        shares[index] = inside.reshape(-1)
    return np.clip(image, 0, 255).astype(np.uint8), shares


def _attention(rng: np.random.Generator, prompt: Prompt, membership: np.ndarray, progress: float) -> np.ndarray:
    """Attention "k n" of every text token: a floor of noise, and more on its own subject's cells as decoding goes on; sums stay below 1."""
    n = membership.shape[1]
    maps = rng.uniform(0.01, 0.03, (len(prompt.tokens), n)).astype(np.float32)
    for subject, inside in zip(prompt.subjects, membership, strict=True):
        for group in subject.groups:
            for word in group:
                for token in prompt.words[word].tokens:
                    maps[token] += (0.02 + 0.12 * (0.3 + 0.7 * progress)) * inside * rng.uniform(0.7, 1.0, n).astype(np.float32)
    return maps / np.maximum(1.0, maps.sum(axis=0, keepdims=True))


def _contrast(maps: np.ndarray, prompt: Prompt) -> np.ndarray:
    """Contrast "n" of the subjects' words, each map divided by its maximum: max over objects of (min positive - max negative)."""
    if len(prompt.subjects) < 2:
        return np.zeros(maps.shape[1], np.float32)
    of_word = [maps[list(word.tokens)].mean(axis=0) for word in prompt.words]
    of_word = [m / m.max() for m in of_word]
    groups = [[of_word[w] for group in subject.groups for w in group] for subject in prompt.subjects]
    values = []
    for index, own in enumerate(groups):
        other = [m for k, group in enumerate(groups) if k != index for m in group]
        values.append(np.min(own, axis=0) - np.max(other, axis=0))
    return np.max(values, axis=0).astype(np.float32)


def _guess(rng: np.random.Generator, image: np.ndarray, masked: np.ndarray, cell_px: int) -> np.ndarray:
    """The picture with every still-masked cell replaced by a wrong guess: another cell's content, blended with the mean colour."""
    height, width = masked.shape
    cells = image.reshape(height, cell_px, width, cell_px, 3).transpose(0, 2, 1, 3, 4).copy()
    for y, x in np.argwhere(masked):
        other = cells[rng.integers(0, height), rng.integers(0, width)].astype(np.float32)
        cells[y, x] = (0.5 * other + 0.5 * cells[y, x].mean(axis=(0, 1))).astype(np.uint8)
    return cells.transpose(0, 2, 1, 3, 4).reshape(image.shape)
