"""The embedded backend: emoji scenes, 12 x 12 tokens, shipped with the project, runs on a CPU.

Weights are safetensors with a config.json beside them; see the model card in the same folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from uncage_demo.backends.ages import WHOLE, parse_age
from uncage_demo.backends.base import Capture, ForwardOutput, RandomStart, Reuse, check_picture
from uncage_demo.backends.embedded import vocab
from uncage_demo.backends.embedded.blocks import AttentionRequest
from uncage_demo.backends.embedded.detector import Detector, peaks
from uncage_demo.backends.embedded.files import PARTS, build_parts, load_parts
from uncage_demo.backends.embedded.reading import Asked, Reader
from uncage_demo.backends.embedded.tokenizer import PATCH_PX, ImageTokenizer
from uncage_demo.backends.embedded.transformer import SceneTransformer
from uncage_demo.backends.embedded.verdict import place_of, verdict_of
from uncage_demo.backends.options import ModelOptions
from uncage_demo.backends.threads import all_threads, one_thread, side_by_side
from uncage_demo.config import DEFAULT_STEPS, parse_attention_source
from uncage_demo.shipped import EMOJI_SCENES
from uncage_demo.types import FoundObject, ModelInfo, Prompt, TextToken, Verdict, Vocabulary

STYLES = ("", *vocab.COLORS)
DETECTOR_THRESHOLD = 0.5
# A second noun above this in the same place is a rival. Far below a detection of its own, because the detector learns from pictures that
# hold one thing a place; still, clean pictures hardly ever reach it (1 detection of 600) and generated ones ten times as often.
RIVAL_THRESHOLD = 0.2
OBJECT_CELLS = 5


class EmbeddedBackend:
    """The embedded masked generative transformer behind the Backend protocol.

    Args:
        parts: tokenizer, transformer and detector modules.
        config: the model's config.json: "attention_heads" [[layer, head], ...] that guidance reads by default, "blur", "defaults", and
            "papers" {place: [red, green, blue]} by which a picture's place is told; "id" and "title" where it is not the first model.
        weight_hash: names the weights in traces.
        device: where it runs.
        age: the part of its training after which these weights were kept.

    Raises:
        ValueError: a part is missing, or the config's attention heads do not exist.
    """

    def __init__(
        self,
        parts: dict[str, nn.Module],
        config: dict[str, Any],
        weight_hash: str,
        device: str | torch.device = "cpu",
        age: Fraction = WHOLE,
    ) -> None:
        missing = [part for part in PARTS if part not in parts]
        if missing:
            raise ValueError(f"the embedded model lacks {', '.join(missing)}; it needs {', '.join(PARTS)}")
        self.device = torch.device(device)
        self.options, self.max_batch, self.least_guidance = ModelOptions(age=str(age)), 8, 0.0
        self.random_start: RandomStart | None = None
        self.keeps_features = self.one_thread_each = True
        for part in parts.values():
            part.requires_grad_(False).eval().to(self.device)
        self.tokenizer: ImageTokenizer = parts["tokenizer"]  # type: ignore[assignment]
        self.transformer: SceneTransformer = parts["transformer"]  # type: ignore[assignment]
        self.detector: Detector = parts["detector"]  # type: ignore[assignment]
        self.tokenizer.decoder.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self._reader = Reader(self.transformer)
        self._nothing = torch.full((1, self.transformer.text_length), vocab.PAD, device=self.device)
        self._nothing[:, 0], self._nothing[:, 1] = vocab.START, vocab.END
        self.config = config
        grid = self.transformer.grid
        self._heads = tuple((int(layer), int(head)) for layer, head in config.get("attention_heads", ()))
        layers, heads = self.transformer.config["single_layers"], self.transformer.heads
        wrong = [pair for pair in self._heads if not (0 <= pair[0] < layers and 0 <= pair[1] < heads)]
        if wrong:
            raise ValueError(f"attention_heads={wrong}: layers run from 0 to {layers - 1}, heads from 0 to {heads - 1}")
        self.papers = {str(place): tuple(int(value) for value in rgb) for place, rgb in config.get("papers", {}).items()}
        defaults = config.get("defaults", {})
        self.info = ModelInfo(
            id=str(config.get("id", "embedded")),
            title=str(config.get("title", "Emoji scenes (embedded)")) + ("" if age == WHOLE else f", after {age} of its training"),
            weight_hash=weight_hash,
            grid=grid,
            codebook_size=self.transformer.codebook_size,
            image_size_px=(grid[0] * PATCH_PX, grid[1] * PATCH_PX),
            attention_grid=grid,
            single_layers=layers,
            num_heads=heads,
            default_source="chosen" if self._heads else "all",
            default_steps=int(defaults.get("num_steps", DEFAULT_STEPS)),
            default_guidance_scale=float(defaults.get("guidance_scale", 3.0)),
            description="Draws 24 emoji objects in 11 colours, up to three at once, in five places, on 12 x 12 tokens; runs on a CPU.",
        )

    @classmethod
    def load(
        cls, folder: str | Path = EMOJI_SCENES, device: str | torch.device = "cpu", age: str | float | Fraction = WHOLE
    ) -> EmbeddedBackend:
        """The model of a folder with config.json and one safetensors file a part (see `files`).

        Args:
            folder: the model's.
            device: where it runs.
            age: after which part of its training, such as "1/5"; 1 = all of it.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: an age that is none or that the folder does not keep, or a file that is damaged or does not fit the config.
        """
        part = parse_age(age)
        loaded = load_parts(Path(folder), part)
        return cls(loaded.parts, loaded.config, loaded.weight_hash, device, part)

    @classmethod
    def tiny(cls, seed: int = 0) -> EmbeddedBackend:
        """A very small model with random weights, for tests: same classes, same protocol, pictures of noise."""
        config = {
            "tokenizer": {"levels": [4, 4, 2], "encoder_width": 8, "decoder_widths": [16, 16, 8], "blocks": [1, 0, 0]},
            "transformer": {
                "num_words": len(vocab.WORDS),
                "text_length": vocab.TEXT_LENGTH,
                "grid": [6, 6],
                "levels": [4, 4, 2],
                "width": 16,
                "heads": 2,
                "ratio": 2,
                "text_layers": 1,
                "multi_layers": 1,
                "single_layers": 2,
            },
            "detector": {"num_nouns": len(vocab.NOUNS), "num_styles": len(STYLES), "widths": [8, 8, 8]},
            "attention_heads": [[1, 0]],
            "blur": 0.5,
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            parts = build_parts(config)
            for parameter in parts["transformer"].parameters():
                if parameter.ndim > 1:
                    # Larger weights than the usual initialisation: an untrained model would be indifferent everywhere.
                    nn.init.normal_(parameter, std=0.3)
        return cls(parts, config, f"tiny-{seed}")

    @property
    def vocabulary(self) -> Vocabulary:
        """24 nouns, 11 colours, and the other words that can be asked for or read over: places, numbers, function words."""
        return vocab.VOCABULARY

    @property
    def default_blur(self) -> float:
        """Blur sigma in cells used where a config leaves it open."""
        return float(self.config.get("blur", 0.0))

    @property
    def mask_id(self) -> int:
        """Id of a masked position."""
        return self.transformer.mask_id

    def tokenize(self, text: str) -> tuple[tuple[TextToken, ...], str]:
        """Word-level text tokens with character spans, and the part of the text beyond the tokens it reads."""
        tokens, _, truncated = vocab.tokenize(text)
        return tokens, truncated

    def encode_prompt(self, prompt: Prompt) -> torch.Tensor:
        """Text ids "t" of what a prompt says to the model."""
        return torch.tensor(vocab.tokenize(prompt.said)[1], device=self.device)

    def _pairs(self, source: str) -> tuple[tuple[int, int], ...] | None:
        kind, first, last = parse_attention_source(source)
        if kind == "all" or (kind == "default" and not self._heads):
            return None
        if kind == "default":
            return self._heads
        if last >= self.info.single_layers:
            raise ValueError(f"attention_source={source!r}: this model's layers run from 0 to {self.info.single_layers - 1}")
        return tuple((layer, head) for layer in range(first, last + 1) for head in range(self.info.num_heads))

    @torch.no_grad()
    def forward(
        self,
        tokens: torch.Tensor,
        step: int,
        num_steps: int,
        conditioning: Sequence[torch.Tensor],
        *,
        unconditional: bool = True,
        capture: Capture | None = None,
        suppress: Sequence[int] = (),
        hidden: torch.Tensor | None = None,
        keep: bool = False,
        reuse: Reuse | None = None,
    ) -> ForwardOutput:
        """Logits for every position, or for those of `reuse` (see Backend.forward); the model has no step input.

        Args:
            suppress: text token indices that image and text may not attend to (word knock-out), conditional half only.
            hidden: "b n t" bool, True where an image token may not attend to a text token, conditional half only.
        """
        request = None
        if capture is not None:
            text_length, n = self.transformer.text_length, tokens.shape[1]
            columns = capture.columns if capture.columns is not None else tuple(range(n if capture.image else text_length))
            if capture.image:
                columns = tuple(column + text_length for column in columns)
            request = AttentionRequest(self._pairs(capture.source), tuple(columns), capture.full)
        if reuse is not None:
            with all_threads(self.device):
                return self._again(tokens, reuse, unconditional, request)
        nothing = self._nothing if unconditional else None
        return self._reader.read(Asked(tokens, torch.stack(tuple(conditioning)), nothing, request, tuple(suppress), hidden, keep))

    def _again(self, tokens: torch.Tensor, reuse: Reuse, unconditional: bool, request: AttentionRequest | None) -> ForwardOutput:
        """Some positions only; the features are those of both halves together, or of each."""
        cells, b = torch.from_numpy(reuse.cells).to(self.device), len(tokens)
        first, *second = reuse.features
        conditional = None if request is None else replace(request, samples=b)
        output = self.transformer.again(tokens, cells, first, request=conditional)
        uncond = output.logits[b:] if len(output.logits) > b else None
        if second and unconditional:
            uncond = self.transformer.again(tokens, cells, second[0]).logits
        if unconditional and uncond is None:
            raise ValueError("the features are those of a forward without its unconditional half")
        return ForwardOutput(output.logits[:b], uncond if unconditional else None, output.attention, output.attention_full)

    @torch.no_grad()
    def decode_tokens(self, tokens: torch.Tensor) -> np.ndarray:
        """Pictures "b H W 3" uint8 of token grids "b n" or "b y x"; the same bits with any number of threads."""
        grid = tokens.to(self.device).reshape(-1, *self.info.grid)
        return side_by_side(lambda part: _pixels(self.tokenizer.decode(part)), grid, 16).cpu().numpy()

    @torch.no_grad()
    def encode_image(self, image: np.ndarray) -> np.ndarray:
        """Token ids "y x" int64 of a picture "H W 3" uint8.

        Every patch of 16 px is read by itself: art on the grid gives its own ids. The decoder draws across the borders of patches and
        nothing takes that back, so a decoded picture need not give the ids that it was decoded from.

        Raises:
            ValueError: a picture of another size or type.
        """
        check_picture(image, self.info.image_size_px)
        pixels = torch.from_numpy(np.array(image)).to(self.device).permute(2, 0, 1)[None].float() / 255
        return self.tokenizer.encode(pixels)[0].cpu().numpy()

    @torch.no_grad()
    def token_pictures(self, ids: Sequence[int], size_px: int = 16) -> np.ndarray:
        """Pictures "k p p 3" uint8 of single codes: the middle of a 3 x 3 field of that code."""
        from PIL import Image

        codes = torch.tensor(list(ids), device=self.device).reshape(-1, 1, 1).expand(-1, 3, 3)
        middle = slice(PATCH_PX, 2 * PATCH_PX)
        pictures = side_by_side(lambda part: _pixels(self.tokenizer.decode(part)[..., middle, middle]), codes, 64).cpu().numpy()
        if size_px == PATCH_PX:
            return pictures
        return np.stack([np.asarray(Image.fromarray(picture).resize((size_px, size_px))) for picture in pictures])

    @torch.no_grad()
    def detect(self, images: np.ndarray) -> list[tuple[FoundObject, ...]]:
        """Objects the detector sees in pictures "b H W 3" uint8, strongest first."""
        found = []
        for start in range(0, len(images), 32):
            batch = torch.from_numpy(np.ascontiguousarray(images[start : start + 32])).to(self.device).permute(0, 3, 1, 2).float() / 255
            with one_thread(self.device):
                centre, color = self.detector(batch)
            for probability, detections in zip(centre.sigmoid(), peaks(centre, color, threshold=DETECTOR_THRESHOLD), strict=True):
                found.append(tuple(self._found(*detection, rival_of(probability, *detection)) for detection in detections))
        return found

    def _found(self, noun: int, style: int, score: float, y: int, x: int, rival: str) -> FoundObject:
        rows, columns = self.info.grid
        half = OBJECT_CELLS / 2
        top, left = max(0.0, (y + 0.5 - half) / rows), max(0.0, (x + 0.5 - half) / columns)
        bottom, right = min(1.0, (y + 0.5 + half) / rows), min(1.0, (x + 0.5 + half) / columns)
        return FoundObject(vocab.NOUNS[noun], STYLES[style], score, (top, left, bottom, right), rival)

    def judge(self, image: Any, prompt: Prompt) -> Verdict:
        """What the detector says of one picture ("H W 3" uint8) or trace, for the prompt's subjects; of a trace, also for their regions."""
        if isinstance(image, np.ndarray):
            return self.judge_many(image[None], [prompt])[0]
        rows, columns = self.info.grid
        asked = () if image.origin is None else image.origin.regions
        regions = {one.subject: tuple(side / size for side, size in zip(one.box, (rows, columns) * 2, strict=True)) for one in asked}
        place = place_of(image.image, self.papers) if self.papers else None
        return verdict_of(self.detect(image.image[None])[0], prompt, place, regions)

    def judge_many(self, images: np.ndarray, prompts: Sequence[Prompt]) -> list[Verdict]:
        """Verdicts of pictures "b H W 3" uint8, one per prompt."""
        if len(images) != len(prompts):
            raise ValueError(f"{len(images)} pictures for {len(prompts)} prompts; give one prompt per picture")
        places = [place_of(image, self.papers) if self.papers else None for image in images]
        return [verdict_of(*seen) for seen in zip(self.detect(images), prompts, places, strict=True)]


def _pixels(pictures: torch.Tensor) -> torch.Tensor:
    """Pictures "b H W 3" uint8 of pictures "b 3 H W" in 0..1."""
    return (pictures.permute(0, 2, 3, 1) * 255).round().to(torch.uint8)


def rival_of(probability: torch.Tensor, noun: int, _style: int, _score: float, y: int, x: int) -> str:
    """The likeliest other noun around a detection, or "" where none is above RIVAL_THRESHOLD.

    Args:
        probability: "noun y x" centre probabilities of the picture, 0..1.
        noun, y, x: the detection (arguments in the order of `peaks`).
    """
    # One cell around: a neighbouring object's own centre is at least three cells away.
    near = probability[:, max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].amax(dim=(1, 2)).clone()
    near[noun] = 0.0
    best = int(near.argmax())
    return vocab.NOUNS[best] if float(near[best]) >= RIVAL_THRESHOLD else ""
