"""The Backend protocol: what the decoding engine needs of a masked generative transformer, and nothing more.

Shapes: b batch, n image tokens (y x grid, row-major), t text tokens, v codebook, l layer, h head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from uncage_demo.backends.options import ModelOptions
from uncage_demo.types import ModelInfo, Prompt, TextToken, Verdict, Vocabulary


@dataclass(frozen=True)
class Capture:
    """What attention the caller wants from a forward.

    Args:
        source: "default", "all" or "layers:A-B" (see DecodingConfig.attention_source).
        columns: text token indices wanted, in this order; None = all of the prompt's tokens.
        full: also return every layer and head (costly; only on request).
        image: columns count image tokens, not text tokens: attention within the picture. None = all of them; needs `full`'s memory.
    """

    source: str = "default"
    columns: tuple[int, ...] | None = None
    full: bool = False
    image: bool = False


@dataclass(frozen=True, eq=False)
class Reuse:
    """Ask a forward for some positions only; all else is read as an earlier forward left it.

    Args:
        features: ForwardOutput.features of that forward, which had the same conditioning, `suppress` and `hidden`, and the unconditional
            half where it is wanted now.
        cells: "r" int64, the positions to run, ascending. What else has changed since is not seen.

    Source: 2505.19089 (ReCAP).
    """

    features: Any
    cells: np.ndarray


@dataclass
class ForwardOutput:
    """Result of one forward over a batch of b samples. With `Reuse`, n is r: the positions that were run.

    Args:
        cond: logits "b n v", conditional half.
        uncond: logits "b n v", unconditional half; None when guidance was not asked for.
        attention: "b k n" float32: softmax attention of each image token (query) to each wanted text token (key), averaged over the
            source's layers and heads, at the token grid; conditional half only. None without capture.
        attention_full: "b l h k n" float32, only when Capture.full.
        features: what `Reuse` can read later, opaque to the caller; None unless it was to be kept.
    """

    cond: torch.Tensor
    uncond: torch.Tensor | None = None
    attention: torch.Tensor | None = None
    attention_full: torch.Tensor | None = None
    features: Any = None


@dataclass(frozen=True)
class RandomStart:
    """How a one-step model begins: it draws every position in one forward, from a grid that is partly random.

    Args:
        masked_share: fraction of the positions that are masked, 0..1; the others hold random tokens, which it draws anew, too.
    """

    masked_share: float


@runtime_checkable
class Backend(Protocol):
    """A masked generative transformer behind one face. Concrete backends: embedded, meissonic, monetico, amused."""

    info: ModelInfo
    device: torch.device
    # How it was loaded; nothing given for a model that has no choice.
    options: ModelOptions
    # Samples that one forward takes at most, before the doubling for guidance; callers split larger batches.
    max_batch: int
    # Of a one-step model, how it begins; None for all that unmask step by step.
    random_start: RandomStart | None
    # Whether a forward can keep its features and another one reuse them.
    keeps_features: bool
    # Whether samples are computed on one thread each, as many at once as there are threads; one that is not may use all of them for one.
    one_thread_each: bool
    # Guidance below this is none at all: 1 for models that their authors guide only above 1, else 0.
    least_guidance: float

    @property
    def vocabulary(self) -> Vocabulary | None:
        """What the model can draw; None for open-vocabulary models."""
        ...

    @property
    def default_blur(self) -> float:
        """Blur sigma (attention-grid cells) used where DecodingConfig.contrast_blur is None."""
        ...

    def tokenize(self, text: str) -> tuple[tuple[TextToken, ...], str]:
        """Text tokens (special ones included) with character spans, and the part of the text that was cut off ("" if none)."""
        ...

    def encode_prompt(self, prompt: Prompt) -> Any:
        """Conditioning of one prompt: opaque to the engine, handed back to `forward`. Cached by the backend."""
        ...

    def forward(
        self,
        tokens: torch.Tensor,
        step: int,
        num_steps: int,
        conditioning: Sequence[Any],
        *,
        unconditional: bool = True,
        capture: Capture | None = None,
        suppress: Sequence[int] = (),
        hidden: torch.Tensor | None = None,
        keep: bool = False,
        reuse: Reuse | None = None,
    ) -> ForwardOutput:
        """Logits for every position, or for those of `reuse`.

        Args:
            tokens: "b n" int64; masked positions hold `mask_id`.
            step: 0-based step s; num_steps: T (models with a timestep input use T-1-s).
            conditioning: one a sample, from encode_prompt.
            unconditional: also run the unconditional half (classifier-free guidance).
            capture: which attention to return; the logits are the same with and without.
            suppress: text token indices hidden from the attention of the conditional half (word knock-out).
            hidden: "b n t" bool, True where an image token of the conditional half may not attend to a text token; None = nowhere.
            keep: return the features for reuse; only where `keeps_features`.
            reuse: run some positions only, with the features of an earlier forward; `suppress` and `hidden` are then that forward's.
        """
        ...

    @property
    def mask_id(self) -> int:
        """Id that stands for a masked position in `tokens` (>= codebook_size)."""
        ...

    def decode_tokens(self, tokens: torch.Tensor) -> np.ndarray:
        """Pictures "b H W 3" uint8 of complete token grids "b n" or "b y x" (ids 0..v-1)."""
        ...

    def encode_image(self, image: np.ndarray) -> np.ndarray:
        """Token ids "y x" int64 of a picture "H W 3" uint8 of the model's own size: the other way of decode_tokens, with the losses of
        the model's image tokenizer.

        Raises:
            ValueError: a picture of another size or type.
        """
        ...

    def token_pictures(self, ids: Sequence[int], size_px: int = 16) -> np.ndarray:
        """Small pictures "k p p 3" uint8 of single codebook entries (shown beside alternatives)."""
        ...

    def judge(self, image: Any, prompt: Prompt) -> Verdict | None:
        """What this model's scorer says of a picture ("H W 3" uint8, or a Trace); None where it has none."""
        ...

    def judge_many(self, images: np.ndarray, prompts: Sequence[Prompt]) -> list[Verdict] | None:
        """What it says of pictures "b H W 3" uint8, one per prompt, all at once; None where it has none."""
        ...


def check_picture(image: object, size_px: tuple[int, int]) -> None:
    """Nothing, for a picture "H W 3" uint8 of that size.

    Raises:
        ValueError: naming what was given and what is allowed.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape != (*size_px, 3):
        found = f"{image.dtype} of shape {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(f"picture is {found}: give uint8 of shape {(*size_px, 3)}, so {size_px[0]} × {size_px[1]} px in RGB")
