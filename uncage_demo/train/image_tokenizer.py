"""Stage 1: the image tokenizer, trained on random scenes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from uncage_demo.backends.embedded.tokenizer import PATCH_PX, ImageTokenizer
from uncage_demo.backends.embedded.vocab import PLACES
from uncage_demo.train import loop
from uncage_demo.train.pictures import ReconstructedScenes
from uncage_demo.train.places import TILES_PER_PLACE, plain_tile
from uncage_demo.train.scenes import GRID, PICTURE_MIX, PLAIN_MIX, SPRITE_CELLS, Mix, Scene, SpriteAtlas, sample_scene
from uncage_demo.train.token_scenes import TokenScenes

EVAL_SEED = 990_001
# Busy scenes teach more a picture: mostly two and three objects.
COUNT_WEIGHTS = (0.15, 0.35, 0.5)
DECORATION_WEIGHT = 4.0
# Share of pictures that hold nothing but a place's decorations: a scene shows each of them too seldom to learn them from.
SHEET_FRAC = 0.12
# In a named place the paper behind an object's edge has to be worked out from the cells around it: such cells are the hardest to draw.
PLACED_WEIGHT = 5.0
# White art on pale paper differs from it by a few grey levels: it is drawn more often and counts more, else it fades into the paper.
FAINT_COLOR = "white"
FAINT_FRAC = 0.3
FAINT_WEIGHT = 3.0


def picture_batch(atlas: SpriteAtlas, rng: np.random.Generator, size: int, mix: Mix) -> tuple[list[Scene], Tensor, Tensor]:
    """Scenes, their pictures "b 3 H W" float32 in 0..1, and the weight of every pixel "b 1 H W".

    Decorations and white objects are faint; without the extra weight they fall onto the code of plain paper, or are drawn like it.
    """
    scenes = [_sheet(rng) for _ in range(round(SHEET_FRAC * size) if mix.place_frac else 0)]
    while len(scenes) < size:
        scene = sample_scene(rng, COUNT_WEIGHTS, mix)
        objects = tuple(replace(placed, color=FAINT_COLOR) if rng.random() < FAINT_FRAC else placed for placed in scene.objects)
        scenes.append(replace(scene, objects=objects))
    pictures = np.stack([atlas.render(scene) for scene in scenes])
    cells = np.stack([_cell_weights(atlas, scene) for scene in scenes])
    weight = cells.repeat(PATCH_PX, 1).repeat(PATCH_PX, 2)
    return scenes, torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(weight)[:, None]


def _sheet(rng: np.random.Generator) -> Scene:
    """A place without objects and with a decoration in every cell."""
    place = PLACES[int(rng.integers(len(PLACES)))]
    return Scene((), plain_tile(place) + rng.integers(1 + TILES_PER_PLACE, size=(GRID, GRID)), "", (), place)


def _cell_weights(atlas: SpriteAtlas, scene: Scene) -> np.ndarray:
    """Weight of every cell "y x" float32: 1, more where a decoration or a faint object is."""
    weight = 1 + DECORATION_WEIGHT * (atlas.visible_tiles(scene) != plain_tile(scene.place)).astype(np.float32)
    for placed in scene.objects:
        box = weight[placed.y : placed.y + SPRITE_CELLS, placed.x : placed.x + SPRITE_CELLS]
        if placed.color == FAINT_COLOR and not scene.place:
            box[atlas.touched[placed.noun]] = 1 + FAINT_WEIGHT
        elif scene.place:
            box[atlas.touched[placed.noun]] = 1 + PLACED_WEIGHT
    return weight


def reconstruction_loss(output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """L1 + L2 + L1 of the image gradients (the last keeps edges crisp), every pixel with its weight."""
    difference = output - target
    edges_y = (weight[..., 1:, :] * (difference[..., 1:, :] - difference[..., :-1, :]).abs()).mean()
    edges_x = (weight[..., :, 1:] * (difference[..., :, 1:] - difference[..., :, :-1]).abs()).mean()
    return (weight * difference.abs()).mean() + 4 * (weight * difference.square()).mean() + 0.5 * (edges_y + edges_x)


def train(
    atlas: SpriteAtlas,
    folder: Path,
    *,
    budget_s: float,
    seed: int = 0,
    batch: int = 16,
    device: torch.device | str = "cpu",
    max_steps: int | None = None,
    model: ImageTokenizer | None = None,
    codes_stay: bool = False,
) -> ImageTokenizer:
    """Train the tokenizer for a time budget; returns it.

    Args:
        atlas: the art.
        folder: checkpoints and log.
        budget_s: seconds of training.
        seed: data order and initial weights.
        batch: scenes a step.
        device: where to train.
        max_steps: stop after this many steps instead of a time.
        model: what to train (in place); None = the shipped architecture.
        codes_stay: train the decoder alone (stage "decoder"), on scenes in all places composed from codes; codes stay what a generator
            was trained on. Otherwise encoder and decoder learn together, on plain paper.
    """
    device = torch.device(device)
    torch.manual_seed(seed)
    network = ImageTokenizer() if model is None else model
    stage = "decoder" if codes_stay else "tokenizer"
    network.encoder.requires_grad_(not codes_stay)
    network = network.to(device).train().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    parameters = [p for p in network.parameters() if p.requires_grad]
    composed = TokenScenes(atlas, network) if codes_stay else None
    mix = PICTURE_MIX if codes_stay else PLAIN_MIX
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, betas=(0.9, 0.98), weight_decay=0.01)

    def make_batch(step: int, fraction: float) -> tuple[Tensor, Tensor, Tensor]:
        scenes, images, weight = picture_batch(atlas, loop.batch_rng(seed, stage, step), batch, mix)
        return images, weight, torch.empty(0) if composed is None else composed.codes(scenes)

    def train_step(step: int, fraction: float, data: tuple[Tensor, Tensor, Tensor]) -> tuple[dict[str, float], int]:
        rate = 2e-3 * min(1.0, (step + 1) / 100) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * fraction)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        images, weight, codes = (part.to(device) for part in data)
        images = images.contiguous(memory_format=torch.channels_last)
        with loop.autocast(device):
            output = network.decode_values(network.code_values(codes)) if codes_stay else network(images)[0]
        loss = reconstruction_loss(output.float(), images, weight)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        mse = F.mse_loss(output.detach().float().clamp(0, 1), images).item()
        return {"loss": loss.item(), "psnr_db": -10 * math.log10(mse)}, batch

    show = ReconstructedScenes(folder, network, atlas, stage)

    def report(progress: loop.Progress) -> dict[str, float]:
        show(progress)
        return {key: value for key, value in evaluate(network, atlas, count=64).items() if not key.endswith("_n")}

    loop.run(
        stage,
        folder,
        modules={"tokenizer": network},
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
def evaluate(model: ImageTokenizer, atlas: SpriteAtlas, count: int = 500, seed: int = EVAL_SEED) -> dict[str, float]:
    """Figures on unseen scenes: mean PSNR (dB, a picture at a time), its 95 % half width, share of the codebook in use (0..1), scenes."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    values, used = [], torch.zeros(model.fsq.codebook_size, dtype=torch.bool)
    for images, codes in _scenes(model, atlas, count, seed, device):
        used[codes.flatten().cpu()] = True
        mse = (model.decode(codes) - images).square().mean(dim=(1, 2, 3))
        values += (-10 * mse.log10()).tolist()
    model.train(was_training)
    return {
        "psnr_db": float(np.mean(values)),
        "psnr_ci_db": float(1.96 * np.std(values) / math.sqrt(len(values))),
        "codebook_use_frac": float(used.float().mean()),
        "scenes_n": float(len(values)),
    }


@torch.no_grad()
def codebook_use(model: ImageTokenizer, atlas: SpriteAtlas, count: int = 2000, seed: int = EVAL_SEED) -> dict[str, float]:
    """Share of the codebook (0..1) that unseen scenes use. Rare codes (one object in one colour) need many scenes to be met.

    Args:
        model: image tokenizer; atlas: the art; count: scenes, rounded up to a multiple of 20; seed: of the scenes.
    """
    used, scenes = torch.zeros(model.fsq.codebook_size, dtype=torch.bool), 0
    for images, codes in _scenes(model, atlas, count, seed, next(model.parameters()).device):
        used[codes.flatten().cpu()] = True
        scenes += len(images)
    return {"use_frac": float(used.float().mean()), "scenes_n": float(scenes)}


def _scenes(model: ImageTokenizer, atlas: SpriteAtlas, count: int, seed: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Pictures "20 3 H W" of unseen scenes and their codes "20 y x", `count` rounded up; on plain paper while tiles have no codes."""
    rng = np.random.default_rng(seed)
    composed = TokenScenes(atlas, model.cpu()) if model.tile_codes else None
    model.to(device)
    for _ in range(math.ceil(count / 20)):
        scenes = [sample_scene(rng, mix=PICTURE_MIX if composed else PLAIN_MIX) for _ in range(20)]
        images = torch.from_numpy(np.stack([atlas.render(scene) for scene in scenes])).permute(0, 3, 1, 2).to(device)
        yield images, composed.codes(scenes).to(device) if composed else model.encode(images)
