"""What the trainer shows now and then: pictures of fixed prompts and seeds (or scenes), and success rates where a detector exists.

Written beside the checkpoints. Works on copies, so training is the same with and without.
"""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from uncage_demo.backends.embedded import vocab
from uncage_demo.backends.embedded.backend import STYLES, EmbeddedBackend
from uncage_demo.backends.embedded.detector import Detector
from uncage_demo.backends.embedded.tokenizer import ImageTokenizer
from uncage_demo.bench.run import make_images
from uncage_demo.config import DecodingConfig
from uncage_demo.files import replacing
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.train.loop import Progress, load_checkpoint
from uncage_demo.train.scenes import FULL_MIX, PLAIN_MIX, SpriteAtlas, sample_scene
from uncage_demo.train.token_scenes import TokenScenes

FOLDER = "pictures"
PROMPTS = (
    "a turtle",
    "a red car",
    "a cat and a dog",
    "a frog and a purple crown",
    "a blue clock and a pink apple",
    "a bear with glasses",
    "a bird left of a yellow balloon at night",
    "two frogs and a red bowl",
    "a lion and a green chair and an orange bowl on a beach",
)
SEEDS = (0, 1)
STEPS = 12
SCENE_SEED = 990_006
SCENES = 8


class GeneratedPictures:
    """Draws the fixed prompts with the transformer as it is, one column per prompt and one row per seed.

    Args:
        folder: the training folder; pictures go into its `pictures/`.
        transformer: being trained (copied, never changed). tokenizer: draws its tokens.
        detector: a trained one, or None: then there are no success rates.
    """

    def __init__(self, folder: Path, transformer: nn.Module, tokenizer: ImageTokenizer, detector: Detector | None) -> None:
        self.folder, self.transformer, self.tokenizer, self.detector = folder, transformer, tokenizer, detector

    def __call__(self, progress: Progress) -> dict[str, float]:
        """Write `transformer-<step>.png`; returns shares of the pictures with every object found, and fully correct (0..1)."""
        parts = {
            "transformer": copy.deepcopy(self.transformer),
            "tokenizer": copy.deepcopy(self.tokenizer),
            "detector": copy.deepcopy(self.detector) or Detector(len(vocab.NOUNS), len(STYLES)),
        }
        backend = EmbeddedBackend(parts, {}, "in training", next(self.transformer.parameters()).device)
        prompts = [parse_prompt(text, backend) for _ in SEEDS for text in PROMPTS]
        configs = [DecodingConfig(num_steps=STEPS, seed=seed) for seed in SEEDS for _ in PROMPTS]
        _, images = make_images(backend, prompts, configs)
        _save(self.folder, "transformer", progress.step, images, len(PROMPTS))
        if self.detector is None:
            return {}
        verdicts = backend.judge_many(images, prompts)
        return {
            "shown_found_frac": float(np.mean([all(verdict.objects_found) for verdict in verdicts])),
            "shown_correct_frac": float(np.mean([verdict.all_correct for verdict in verdicts])),
        }


class ReconstructedScenes:
    """Draws fixed unseen scenes: the originals in the first row, the tokenizer's reconstructions below.

    Args:
        folder: the training folder. tokenizer: being trained. atlas: the art.
        stage: names the files.
    """

    def __init__(self, folder: Path, tokenizer: ImageTokenizer, atlas: SpriteAtlas, stage: str = "tokenizer") -> None:
        rng = np.random.default_rng(SCENE_SEED)
        self.folder, self.tokenizer, self.stage = folder, tokenizer, stage
        scenes = [sample_scene(rng, mix=FULL_MIX if tokenizer.tile_codes else PLAIN_MIX) for _ in range(SCENES)]
        self.scenes = np.stack([atlas.render(scene) for scene in scenes])
        self.codes = TokenScenes(atlas, tokenizer).codes(scenes) if tokenizer.tile_codes else None

    @torch.no_grad()
    def __call__(self, progress: Progress) -> None:
        """Write `<stage>-<step>.png`."""
        was_training = self.tokenizer.training
        self.tokenizer.eval()
        device = next(self.tokenizer.parameters()).device
        # While encoder and decoder learn together the codes change; afterwards they stay.
        encoded = self.tokenizer.encode(torch.from_numpy(self.scenes).permute(0, 3, 1, 2).to(device)) if self.codes is None else self.codes
        drawn = self.tokenizer.decode(encoded.to(device))
        self.tokenizer.train(was_training)
        both = np.concatenate([self.scenes, drawn.permute(0, 2, 3, 1).cpu().numpy()])
        _save(self.folder, self.stage, progress.step, (both.clip(0, 1) * 255).round().astype(np.uint8), SCENES)


def trained_detector(folder: Path, model: Detector) -> Detector | None:
    """The detector of the folder's checkpoint, loaded into `model`; None where there is no checkpoint."""
    path = folder / "detector.ckpt"
    if not path.exists():
        return None
    load_checkpoint(path, {"detector": model}, [])
    return model


def _save(folder: Path, stage: str, step: int, images: np.ndarray, columns: int) -> None:
    """Pictures "b H W 3" as one sheet, row by row."""
    rows, height, width = len(images) // columns, *images.shape[1:3]
    sheet = images.reshape(rows, columns, height, width, 3).transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3)
    path = folder / FOLDER / f"{stage}-{step:06d}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as place:
        Image.fromarray(sheet).save(place)
