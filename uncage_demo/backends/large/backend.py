"""One backend for all large models: CLIP text encoder, a token network, a VQ decoder; guidance as one batch, exact capture.

What differs between models sits in their network (meissonic_transformer.py, amused.py) and in `NetworkFacts` (network.py).
Shapes: b batch, n image tokens (y x grid, row-major), t text tokens, v codebook, l layers, h heads, k columns.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from einops import repeat
from torch import nn

from uncage_demo.backends.attention import ColumnRecorder
from uncage_demo.backends.base import Capture, ForwardOutput, Reuse, check_picture
from uncage_demo.backends.large.clip import ClipText
from uncage_demo.backends.large.compiling import require_compiler
from uncage_demo.backends.large.finite import check_finite, first_not_finite
from uncage_demo.backends.large.memory import Residency, memory_told
from uncage_demo.backends.large.network import NetworkFacts, ReusingNetwork, TokenNetwork
from uncage_demo.backends.large.pictures import VqPictures
from uncage_demo.backends.options import ModelOptions
from uncage_demo.config import parse_attention_source
from uncage_demo.types import ModelInfo, Prompt, TextToken

_CACHED_PROMPTS = 64
_AESTHETIC_SCORE = 6.0  # the value both model families are used with


@dataclass(frozen=True, eq=False)
class TextCondition:
    """One prompt's conditioning: hidden states "t c" and pooled embedding "c"."""

    states: torch.Tensor
    pooled: torch.Tensor


class LargeBackend:
    """A published masked generative transformer behind the Backend protocol.

    Args:
        info: facts for traces and people.
        facts: what capture needs of the network.
        text: tokenizer and text encoder; network: the transformer; pictures: the VQ decoder.
        mask_id: id of a masked position.
        device: where it runs.
        options: how it was loaded. negative_prompt, offload and compile take effect here (compiled numbers differ from uncompiled ones
            in the last bits, with and without capture alike); the others did before.
        full_attention_limit_bytes: refuse a full capture beyond this size.
        max_batch: samples a forward takes at most; callers split larger batches.
    """

    def __init__(
        self,
        info: ModelInfo,
        facts: NetworkFacts,
        text: ClipText,
        network: nn.Module,
        pictures: VqPictures,
        mask_id: int,
        device: torch.device,
        *,
        options: ModelOptions | None = None,
        full_attention_limit_bytes: int = 2 << 30,
        max_batch: int = 4,
    ) -> None:
        if info.codebook_size > pictures.codebook_size:
            raise ValueError(f"the transformer predicts {info.codebook_size} tokens, the VQ model has {pictures.codebook_size}")
        if mask_id < info.codebook_size:
            raise ValueError(f"mask_id={mask_id}: must be at least the codebook size {info.codebook_size}")
        self.info, self.facts, self.device = info, facts, device
        self.text, self.network, self.pictures = text, network.eval(), pictures
        self.max_batch, self.random_start, self.least_guidance = max_batch, facts.random_start, 1.0
        self.keeps_features, self.one_thread_each = hasattr(network, "again"), False
        self.full_attention_limit_bytes = full_attention_limit_bytes
        self.options = options = options or ModelOptions()
        self.negative_prompt = info.default_negative_prompt if options.negative_prompt is None else options.negative_prompt
        lost = text.tokenize(self.negative_prompt)[1]
        if lost and self.negative_prompt != info.default_negative_prompt:
            raise ValueError(f"negative_prompt: the text encoder does not read its end, {lost[:60]!r}; give a shorter text")
        self._mask_id = mask_id
        if options.compile:
            require_compiler(device)
            cast(TokenNetwork, network).compile_blocks()
        parts = {"text": text.encoder, "network": network, "pictures": pictures.model}
        with memory_told(f"the weights of {info.id}", device, options):
            self._residency = Residency(parts, device, options.offload)
        self._cache: OrderedDict[str, TextCondition] = OrderedDict()

    @property
    def vocabulary(self) -> None:
        """These models draw from an open vocabulary."""
        return None

    @property
    def default_blur(self) -> float:
        """Blur sigma in attention-grid cells."""
        return self.facts.blur

    @property
    def mask_id(self) -> int:
        """Id of a masked position."""
        return self._mask_id

    def tokenize(self, text: str) -> tuple[tuple[TextToken, ...], str]:
        """Text tokens with character spans (start, pieces, end, padding), and the part of the text beyond the encoder's length."""
        return self.text.tokenize(text)

    def encode_prompt(self, prompt: Prompt) -> TextCondition:
        """The prompt's conditioning; recent ones are kept."""
        return self._encode(prompt.text)

    def _encode(self, text: str) -> TextCondition:
        if text not in self._cache:
            with self._memory("the text encoder"):
                self._residency.use("text")
                states, pooled = self.text.encode(text)
            for name, values in (("hidden states", states), ("pooled embedding", pooled)):
                check_finite(values, f"{name} of the text encoder", "")
            self._cache[text] = TextCondition(states.to(self.device), pooled.to(self.device))
            while len(self._cache) > _CACHED_PROMPTS:
                self._cache.popitem(last=False)
        self._cache.move_to_end(text)
        return self._cache[text]

    def _memory(self, part: str) -> AbstractContextManager[None]:
        return memory_told(f"{part} of {self.info.id}", self.device, self.options)

    @torch.no_grad()
    def forward(
        self,
        tokens: torch.Tensor,
        step: int,
        num_steps: int,
        conditioning: Sequence[TextCondition],
        *,
        unconditional: bool = True,
        capture: Capture | None = None,
        suppress: Sequence[int] = (),
        hidden: torch.Tensor | None = None,
        keep: bool = False,
        reuse: Reuse | None = None,
    ) -> ForwardOutput:
        """Logits of every position, or of those of `reuse`, conditional and unconditional half in one batch (unconditional first).

        Args:
            tokens: "b n" int64; masked positions hold `mask_id`.
            step, num_steps: s and T; the network sees the timestep T-1-s, or that as a fraction of T.
            conditioning: one a sample.
            unconditional: also run the unconditional half.
            capture: attention wanted; logits are bitwise the same without it.
            suppress: text token indices that no query of the conditional half may attend to. What the text encoder mixed into
                the other tokens before stays: the knock-out is of this network's attention, not of the text encoder's.
            hidden: "b n t" bool, True where an image token of the conditional half may not attend to a text token.
            keep, reuse: as Backend.forward; the features of Meissonic at 1024 px take about 0.4 GB in half precision.

        Returns:
            ForwardOutput with logits in the network's dtype and attention in float32 at the token grid.

        Raises:
            ValueError: shapes, columns or layers out of range, or a full capture beyond the memory bound.
            FloatingPointError: logits that are not finite, naming the first layer that gave such values.
            MemoryError: the device has too little memory, with what would help.
        """
        b, n = tokens.shape
        height, width = self.info.grid
        if n != height * width or len(conditioning) != b:
            raise ValueError(f"tokens {tuple(tokens.shape)} with {len(conditioning)} prompts: give b x {height * width} and b prompts")
        halves = [self._encode(self.negative_prompt)] * b if unconditional else []
        rows = [*halves, *conditioning]
        text = torch.stack([row.states for row in rows])
        cond = slice(len(halves), len(rows))
        recorder = None if capture is None else self._recorder(capture, text.shape[1], b, cond, reuse is not None)
        if reuse is not None:
            with self._memory(f"a partial step of {b} x {2 if unconditional else 1} pictures"):
                self._residency.use("network")
                return self._again(tokens, step, num_steps, rows, cond, reuse, recorder)
        inputs = (
            torch.cat([tokens] * (2 if unconditional else 1)).view(-1, height, width),
            text,
            torch.stack([row.pooled for row in rows]),
            self._micro_conditions(len(rows)),
            torch.full((len(rows),), self._timestep(step, num_steps), device=self.device),
            self._text_mask(suppress, hidden, len(halves), len(rows), text.shape[1]),
        )
        kept: list[Any] | None = [] if keep else None
        with self._memory(f"a step of {b} x {2 if unconditional else 1} pictures"):
            self._residency.use("network")
            logits = self.network(*inputs, recorder) if kept is None else self.network(*inputs, recorder, kept)
        if not logits.isfinite().all():
            check_finite(logits, f"logits of step {step + 1}", f"; {first_not_finite(self.network, lambda: self.network(*inputs, None))}")
        output = ForwardOutput(cond=logits[cond], uncond=logits[: cond.start] if unconditional else None, features=kept)
        if recorder is not None:
            full = recorder.stacked()
            output.attention = self._to_token_grid(recorder.mean())
            output.attention_full = None if full is None else self._to_token_grid(full)
        return output

    def _again(
        self,
        tokens: torch.Tensor,
        step: int,
        num_steps: int,
        rows: list[TextCondition],
        cond: slice,
        reuse: Reuse,
        recorder: ColumnRecorder | None,
    ) -> ForwardOutput:
        """Some positions only. Where several tokens share a cell of the attention grid, the network runs all of them."""
        (height, width), (high, wide) = self.info.grid, self.facts.attention_grid
        y, x = np.divmod(reuse.cells, width)
        down, right = height // high, width // wide
        cells, place = np.unique(y // down * wide + x // right, return_inverse=True)
        inside = torch.from_numpy(y % down * right + x % right).to(self.device)
        at = torch.from_numpy(place.reshape(-1)).to(self.device)
        logits = cast(ReusingNetwork, self.network).again(
            torch.cat([tokens] * (len(rows) // len(tokens))).view(-1, height, width),
            torch.from_numpy(cells).to(self.device),
            torch.stack([row.pooled for row in rows]),
            self._micro_conditions(len(rows)),
            torch.full((len(rows),), self._timestep(step, num_steps), device=self.device),
            reuse.features[0],
            recorder,
        )[:, at, inside]
        check_finite(logits, f"logits of step {step + 1}", "")
        output = ForwardOutput(cond=logits[cond], uncond=logits[: cond.start] if cond.start else None)
        if recorder is not None:
            full = recorder.stacked()
            output.attention = recorder.mean()[..., at]
            output.attention_full = None if full is None else full[..., at]
        return output

    def decode_tokens(self, tokens: torch.Tensor) -> np.ndarray:
        """Pictures "b H W 3" uint8 of complete grids "b n" or "b y x" (batched so that memory stays bounded)."""
        with self._memory("the picture decoder"):
            self._residency.use("pictures")
            return self.pictures.decode(tokens.reshape(-1, *self.info.grid))

    def encode_image(self, image: np.ndarray) -> np.ndarray:
        """Token ids "y x" int64 of a picture "H W 3" uint8 of the model's own size, by the VQ model's encoder and nearest codes.

        Raises:
            ValueError: a picture of another size or type; FloatingPointError: the encoder's values are not finite.
        """
        check_picture(image, self.info.image_size_px)
        with self._memory("the picture encoder"):
            self._residency.use("pictures")
            ids = self.pictures.encode(image[None])[0]
        if ids.max() >= self.info.codebook_size:
            raise ValueError(f"picture: the VQ model reads code {ids.max()} in it, the transformer knows 0..{self.info.codebook_size - 1}")
        return ids

    def token_pictures(self, ids: Sequence[int], size_px: int = 16) -> np.ndarray:
        """Small pictures "k p p 3" uint8 of single codebook entries."""
        self._residency.use("pictures")
        return self.pictures.swatches(ids, size_px)

    def judge(self, image: Any, prompt: Prompt) -> None:
        """These models bring no scorer."""
        return None

    def judge_many(self, images: Any, prompts: Sequence[Prompt]) -> None:
        """As `judge`."""
        return None

    def _timestep(self, step: int, num_steps: int) -> float:
        left = num_steps - 1 - step
        return left / num_steps if self.facts.time_as_fraction else float(left)

    def _recorder(self, capture: Capture, text_length: int, batch: int, samples: slice, image_only: bool = False) -> ColumnRecorder:
        if capture.image:
            raise ValueError(f"{self.info.id}: attention within the picture is read from embedded models only")
        kind, first, last = parse_attention_source(capture.source)
        heads = self.facts.layer_heads
        if last >= len(heads):
            raise ValueError(f'attention source "{capture.source}": {self.info.id} has layers 0 to {len(heads) - 1}')
        bands = {"layers": range(first, last + 1), "default": self.facts.default_layers, "all": range(len(heads))}
        layers = bands[kind]
        columns = range(text_length) if capture.columns is None else capture.columns
        for column in columns:
            if not 0 <= column < text_length:
                raise ValueError(f"text column {column}: allowed are 0..{text_length - 1}")
        kinds = {heads[layer] for layer in layers}
        if capture.full and len(kinds) > 1:
            raise ValueError(
                f'attention source "{capture.source}": these layers have {" or ".join(map(str, sorted(kinds)))} heads, so every layer '
                f'and head together is no one array; ask for a band of one kind, such as "{self.info.default_source}"'
            )
        size = 4 * batch * sum(heads[layer] for layer in layers) * len(columns) * self.info.grid[0] * self.info.grid[1]
        if capture.full and size > self.full_attention_limit_bytes:
            raise ValueError(
                f"attention of every layer and head would take {size / 2**30:.1f} GiB a step, the limit is "
                f"{self.full_attention_limit_bytes / 2**30:.1f} GiB: ask for fewer text tokens or a band of layers"
            )
        rows = slice(text_length, None) if self.facts.joint and not image_only else slice(None)
        return ColumnRecorder(list(columns), list(layers), full=capture.full, rows=rows, samples=samples)

    def _micro_conditions(self, count: int) -> torch.Tensor:
        """ "b 5": width, height, crop offsets 0, aesthetic score (this order, for both families)."""
        height_px, width_px = self.info.image_size_px
        return torch.tensor([[width_px, height_px, 0.0, 0.0, _AESTHETIC_SCORE]], device=self.device).expand(count, -1)

    def _text_mask(
        self, suppress: Sequence[int], hidden: torch.Tensor | None, first: int, count: int, text_length: int
    ) -> torch.Tensor | None:
        """What may be attended to: "b t", or "b n t" where that differs by image token; None = everything."""
        if hidden is not None:
            expected = (count - first, self.info.grid[0] * self.info.grid[1], text_length)
            if tuple(hidden.shape) != expected:
                raise ValueError(f"hidden {tuple(hidden.shape)}: give {expected}, one flag for each image token and text token")
        if not suppress and hidden is None:
            return None
        for token in suppress:
            if not 0 <= token < text_length:
                raise ValueError(f"suppress={tuple(suppress)}: allowed are text tokens 0..{text_length - 1}")
        if len(set(suppress)) == text_length:
            raise ValueError("suppress names every text token; leave at least one")
        mask = torch.ones(count, text_length, dtype=torch.bool, device=self.device)
        mask[first:, list(suppress)] = False
        if hidden is None:
            return mask
        by_cell = mask[:, None].repeat(1, hidden.shape[1], 1)
        by_cell[first:] &= ~hidden.to(self.device)
        return by_cell

    def _to_token_grid(self, maps: torch.Tensor) -> torch.Tensor:
        """ "... m" at the attention grid -> "... n" at the token grid: image tokens that share a query share its attention."""
        (y, x), (height, width) = self.facts.attention_grid, self.info.grid
        if (y, x) == (height, width):
            return maps
        lead = maps.shape[:-1]
        fine = repeat(maps.reshape(-1, y, x), "m y x -> m (y fy) (x fx)", fy=height // y, fx=width // x)
        return fine.reshape(*lead, height * width)
