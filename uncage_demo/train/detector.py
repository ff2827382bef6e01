"""Stage 3: the detector, trained on rendered scenes and on tokenizer reconstructions of them; never on generated pictures."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from uncage_demo.backends.embedded import vocab
from uncage_demo.backends.embedded.detector import Detector, peaks
from uncage_demo.backends.embedded.tokenizer import ImageTokenizer
from uncage_demo.train import loop
from uncage_demo.train.scenes import GRID, SPRITE_CELLS, STYLES, Scene, SpriteAtlas, sample_scene
from uncage_demo.train.token_scenes import TokenScenes

EVAL_SEED = 990_003
CENTRE = SPRITE_CELLS // 2
COUNT_WEIGHTS = (0.15, 0.35, 0.5)
CORRUPT_MAX_FRAC = 0.08


def with_slips(codes: Tensor, rng: np.random.Generator, codebook_size: int) -> Tensor:
    """Codes "b y x" of which a few are replaced by random ones, as generated pictures have such slips."""
    share = rng.uniform(0, CORRUPT_MAX_FRAC, size=(len(codes), 1, 1))
    hit = torch.from_numpy(rng.random(codes.shape) < share)
    return torch.where(hit, torch.from_numpy(rng.integers(codebook_size, size=codes.shape)), codes)


def targets(scenes: list[Scene]) -> tuple[Tensor, Tensor]:
    """Centre targets "b noun y x" in {0, 1} and colour targets "b y x" (-1 = does not count)."""
    centre = torch.zeros(len(scenes), len(vocab.NOUNS), GRID, GRID)
    style = torch.full((len(scenes), GRID, GRID), -1)
    for b, scene in enumerate(scenes):
        for placed in scene.objects:
            y, x = placed.y + CENTRE, placed.x + CENTRE
            centre[b, vocab.NOUNS.index(placed.noun), y, x] = 1
            style[b, y - 1 : y + 2, x - 1 : x + 2] = STYLES.index(placed.color)
    return centre, style


def train(
    atlas: SpriteAtlas,
    tokenizer: ImageTokenizer,
    folder: Path,
    *,
    budget_s: float,
    seed: int = 0,
    batch: int = 32,
    device: torch.device | str = "cpu",
    max_steps: int | None = None,
    model: Detector | None = None,
) -> Detector:
    """Train the detector for a time budget; returns it.

    Args:
        atlas: the art. tokenizer: trained, for the reconstructions.
        folder: checkpoints and log.
        budget_s: seconds of training.
        seed, batch, device, max_steps: as in the other stages.
        model: what to train (in place); None = the shipped architecture.
    """
    device = torch.device(device)
    torch.manual_seed(seed)
    composed = TokenScenes(atlas, tokenizer.cpu())
    tokenizer = tokenizer.to(device).eval()
    network = Detector(len(vocab.NOUNS), len(STYLES)) if model is None else model
    network = network.to(device).train().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, betas=(0.9, 0.98), weight_decay=0.01)

    def make_batch(step: int, fraction: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        rng = loop.batch_rng(seed, "detector", step)
        scenes = [sample_scene(rng, COUNT_WEIGHTS) for _ in range(batch)]
        half = batch // 2
        rendered = torch.from_numpy(np.stack([atlas.render(scene) for scene in scenes[:half]])).permute(0, 3, 1, 2)
        codes = with_slips(composed.codes(scenes[half:]), rng, tokenizer.fsq.codebook_size)
        return rendered, codes, *targets(scenes)

    def train_step(step: int, fraction: float, data: tuple[Tensor, Tensor, Tensor, Tensor]) -> tuple[dict[str, float], int]:
        rendered, codes, centre_target, style_target = (part.to(device) for part in data)
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 100) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * fraction)))
        with torch.no_grad(), loop.autocast(device):
            drawn = tokenizer.decode(codes).float()
        images = torch.cat([rendered, drawn]).contiguous(memory_format=torch.channels_last)
        with loop.autocast(device):
            centre, style = network(images)
        centre, style = centre.float(), style.float()
        # Focal weighting: nearly all of the 24 x 144 outputs are easy zeros.
        probability = centre.sigmoid()
        miss = torch.where(centre_target > 0, 1 - probability, probability)
        bce = F.binary_cross_entropy_with_logits(centre, centre_target, reduction="none")
        centre_loss = (miss.detach().square() * bce).sum() / centre_target.sum()
        style_loss = F.cross_entropy(style, style_target, ignore_index=-1)
        optimizer.zero_grad(set_to_none=True)
        (centre_loss + style_loss).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        return {"centre_loss": centre_loss.item(), "color_loss": style_loss.item()}, batch

    def report(_: loop.Progress) -> dict[str, float]:
        figures = evaluate(network, tokenizer, atlas, count=128)
        return {key: value for key, value in figures.items() if not key.endswith("_n")}

    loop.run(
        "detector",
        folder,
        modules={"detector": network},
        optimizers=[optimizer],
        make_batch=make_batch,
        train_step=train_step,
        device=device,
        budget_s=budget_s,
        max_steps=max_steps,
        report=report,
        report_every_s=120,
    )
    return network.eval()


@torch.no_grad()
def evaluate(model: Detector, tokenizer: ImageTokenizer, atlas: SpriteAtlas, count: int = 1000, seed: int = EVAL_SEED) -> dict[str, float]:
    """Share of unseen scenes (0..1) in which all objects (and all colours) are right, nothing extra: rendered and reconstructed.

    Returns:
        "<kind>_objects_frac", "<kind>_colors_frac" (objects and colours right) for kind "rendered" and "reconstructed", and "scenes_n".
    """
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    rng = np.random.default_rng(seed)
    composed = TokenScenes(atlas, tokenizer.cpu())
    tokenizer.to(device)
    right = {f"{kind}_{what}_frac": 0 for kind in ("rendered", "reconstructed") for what in ("objects", "colors")}
    for start in range(0, count, 32):
        scenes = [sample_scene(rng) for _ in range(min(32, count - start))]
        images = torch.from_numpy(np.stack([atlas.render(scene) for scene in scenes])).permute(0, 3, 1, 2).to(device)
        for kind, pictures in (("rendered", images), ("reconstructed", tokenizer.decode(composed.codes(scenes).to(device)))):
            for scene, found in zip(scenes, peaks(*model(pictures)), strict=True):
                wanted = sorted((vocab.NOUNS.index(p.noun), STYLES.index(p.color), p.y + CENTRE, p.x + CENTRE) for p in scene.objects)
                seen = sorted((noun, style, y, x) for noun, style, _, y, x in found)
                same_objects = [(w[0], w[2], w[3]) for w in wanted] == [(s[0], s[2], s[3]) for s in seen]
                right[f"{kind}_objects_frac"] += same_objects
                right[f"{kind}_colors_frac"] += same_objects and wanted == seen
    model.train(was_training)
    return {key: value / count for key, value in right.items()} | {"scenes_n": float(count)}
