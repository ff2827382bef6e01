"""The embedded masked generative transformer: text and image tokens in joint attention.

Shaped like the large models: a small contextual text encoder, multi-modal blocks (each modality has its own weights), then
single-modal blocks (one set of weights over both), whose attention from image to text tokens can be returned. Knows nothing of
decoding, files or words.

Shapes: b batch, n image tokens, t text tokens, d width, h heads, v codebook.
Source: 2410.08261 (block layout), 2309.15505 (codes as digits).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from uncage_demo.backends.attention import additive_mask
from uncage_demo.backends.embedded.blocks import (
    AttentionRequest,
    Features,
    Known,
    Looked,
    MultiBlock,
    Renewed,
    SingleBlock,
    TextBlock,
    Texts,
    attention_read,
    rotary_table,
    turns_after_text,
)
from uncage_demo.backends.embedded.replay import Replays, State, state_of
from uncage_demo.backends.embedded.tokenizer import FSQ


@dataclass
class TransformerOutput:
    """Logits "b n v"; attention "b k n", attention_full "b l h k n" and features on request; text_logits "l b n t" while training."""

    logits: Tensor
    attention: Tensor | None = None
    attention_full: Tensor | None = None
    text_logits: Tensor | None = None
    features: Features | None = None


_KEPT_TEXTS = 256  # captions whose reading is kept: 75 KB each
_KEPT_ASKED = 32  # and for groups of captions that were read together
# What a caption is to the images: see `SceneTransformer._read_images`.
Asked = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Kept:
    """What one state of the weights makes of things that no image changes.

    Args:
        state: address and version of every weight that this was computed from.
        code_tables: "v+1 d", see `SceneTransformer.code_tables`.
        output_weight: "v d", see `SceneTransformer.output_weight`.
        texts: text ids -> what `SceneTransformer.read_text` gives.
        asked: texts of a forward, number of image tokens and what is suppressed -> what `SceneTransformer._asked` gives.
        turns: number of text tokens -> what `turns_after_text` gives.
        replays: of what is done for every image.
    """

    state: State
    code_tables: Tensor
    output_weight: Tensor
    texts: dict[tuple[int, ...], Texts] = field(default_factory=dict)
    asked: dict[Any, Asked] = field(default_factory=dict)
    turns: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    replays: Replays = field(default_factory=Replays)


class SceneTransformer(nn.Module):
    """Predicts image codes of masked positions from a caption and the codes that are already there.

    Args:
        num_words: size of the text vocabulary; id 0 is padding.
        text_length: t.
        grid: (y, x).
        levels: FSQ levels of the image codes.
        width, heads, ratio: d, h, MLP width over d.
        text_layers, multi_layers, single_layers: number of blocks of each kind.
        grounded_heads: heads (of every single-modal block) whose text attention is supervised while training.
    """

    table: Tensor

    def __init__(
        self,
        num_words: int,
        text_length: int = 16,
        grid: Sequence[int] = (12, 12),
        levels: Sequence[int] = (8, 8, 4, 4),
        width: int = 160,
        heads: int = 2,
        ratio: int = 3,
        text_layers: int = 2,
        multi_layers: int = 2,
        single_layers: int = 4,
        grounded_heads: Sequence[int] = (0,),
    ) -> None:
        super().__init__()
        self.config: dict[str, Any] = {
            "num_words": num_words,
            "text_length": text_length,
            "grid": list(grid),
            "levels": list(levels),
            "width": width,
            "heads": heads,
            "ratio": ratio,
            "text_layers": text_layers,
            "multi_layers": multi_layers,
            "single_layers": single_layers,
            "grounded_heads": list(grounded_heads),
        }
        if width % heads or (width // heads) % 4:
            raise ValueError(f"width={width} with heads={heads}: the width of a head must be a multiple of 4")
        self.heads, self.grounded_heads = heads, tuple(grounded_heads)
        self.text_length, self.grid = text_length, (int(grid[0]), int(grid[1]))
        fsq = FSQ(levels)
        self.codebook_size = self.mask_id = fsq.codebook_size
        codes = torch.arange(fsq.codebook_size)
        offsets = torch.tensor([0, *torch.tensor(fsq.levels).cumsum(0)[:-1].tolist()])
        # Codes as digits: one row a level of each channel, so that similar codes share most of their embedding.
        self.register_buffer("digit_rows", fsq.digits(codes) + offsets, persistent=False)
        num_digits = sum(fsq.levels)

        self.word_embedding = nn.Embedding(num_words, width)
        self.word_position = nn.Parameter(torch.zeros(text_length, width))
        self.code_embedding = nn.Embedding(self.codebook_size + 1, width)
        self.digit_embedding = nn.Embedding(num_digits, width)
        self.row_position = nn.Parameter(torch.zeros(self.grid[0], 1, width))
        self.column_position = nn.Parameter(torch.zeros(1, self.grid[1], width))
        self.local = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.text_blocks = nn.ModuleList(TextBlock(width, heads, ratio) for _ in range(text_layers))
        self.multi_blocks = nn.ModuleList(MultiBlock(width, heads, ratio) for _ in range(multi_layers))
        self.single_blocks = nn.ModuleList(SingleBlock(width, heads, ratio) for _ in range(single_layers))
        self.final_norm, self.final = nn.LayerNorm(width), nn.Linear(width, width)
        self.code_output = nn.Embedding(self.codebook_size, width)
        self.digit_output = nn.Embedding(num_digits, width)
        self.output_bias = nn.Parameter(torch.zeros(self.codebook_size))
        self.register_buffer("table", rotary_table(self.grid, width // heads), persistent=False)
        self._weighted = tuple(module for module in self.modules() if module._parameters)
        self._last_kept: Kept | None = None
        for embedding in (self.word_embedding, self.code_embedding, self.digit_embedding, self.code_output, self.digit_output):
            nn.init.normal_(embedding.weight, std=0.02)

    def embed_codes(self, tokens: Tensor, tables: Tensor | None = None) -> Tensor:
        """Embeddings "b n d" of image tokens "b n" (mask_id for masked ones), with absolute and local position.

        Args:
            tokens: "b n" int64.
            tables: what `code_tables` gives, where it is known already.
        """
        b, n = tokens.shape
        y, x = self.grid
        rows = F.embedding(tokens, self.code_tables() if tables is None else tables)
        grid = rows.view(b, y, x, -1) + self.row_position + self.column_position
        local = self.local(grid.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return (grid + local).reshape(b, n, -1)

    def code_tables(self) -> Tensor:
        """Embedding "v+1 d" of every code, its digits added, and of the mask."""
        digits = self.digit_embedding(self.digit_rows).sum(1)
        return self.code_embedding.weight + torch.cat([digits, torch.zeros_like(digits[:1])])

    def output_weight(self) -> Tensor:
        """Weight "v d" that turns activations into logits, the digits' share added."""
        return self.code_output.weight + self.digit_output(self.digit_rows).sum(1)

    def read_text(self, text_ids: Tensor) -> Texts:
        """What the text encoder and the text half of the first multi-modal block make of text ids "b t", before any image is seen."""
        t = text_ids.shape[1]
        text = self.word_embedding(text_ids) + self.word_position[:t]
        mask = (text_ids != 0)[:, None, None]
        for block in self.text_blocks:
            text = block(text, mask)
        return text, *self.multi_blocks[0].read_text(text, turns_after_text(self.table[:, :0], t))  # type: ignore[operator]

    def _known_text(self, text_ids: Tensor, kept: Kept) -> Texts:
        """As read_text, each caption read once and alone, so that its bits do not hang on its company."""
        rows = []
        for ids, row in zip(text_ids.tolist(), text_ids.split(1), strict=True):
            key = tuple(ids)
            known = kept.texts.get(key)
            if known is None:
                if len(kept.texts) >= _KEPT_TEXTS:
                    kept.texts.clear()
                known = kept.texts[key] = self.read_text(row)
            rows.append(known)
        text, both, values = (torch.cat(parts) for parts in zip(*rows, strict=True))
        return text, both, values

    def _kept(self) -> Kept | None:
        """What depends on the weights alone, computed anew when these have changed; None while gradients are wanted."""
        if torch.is_grad_enabled():
            return None
        state = state_of(self._weighted)
        kept = self._last_kept
        if kept is None or kept.state != state:
            kept = self._last_kept = Kept(state, self.code_tables(), self.output_weight())
        return kept

    def forward(
        self,
        tokens: Tensor,
        text_ids: Tensor,
        *,
        request: AttentionRequest | None = None,
        suppress: Sequence[int] = (),
        hidden: Tensor | None = None,
        return_text_logits: bool = False,
        keep: bool = False,
        at_once: bool = False,
    ) -> TransformerOutput:
        """Logits for every position, and attention on request; the logits are the same with and without.

        Args:
            tokens: "b n" int64, mask_id where masked.
            text_ids: "b t" int64, 0 = padding (never attended to); "c*b t" reads the same images with c texts each, and their results come
                one after another ("c*b n v"): what an image is before it meets its text is then computed once.
            request: which attention to return.
            suppress: text token indices that nothing may attend to in the image blocks (word knock-out).
            hidden: "c*b n t" bool, True where an image token may not attend to a text token in the image blocks; None = nowhere.
            return_text_logits: the grounded heads' attention logits to text, for training.
            keep: return the features that `again` reads.
            at_once: see `Replays.run`.
        """
        kept = self._kept()
        asked = self._asked(text_ids, tokens.shape[1], tuple(suppress), hidden, kept)
        read = partial(self._read_images, kept=kept, request=request)
        inputs = (tokens, *asked)
        if kept is not None and not keep and not return_text_logits:
            return _output(kept.replays.run(request, read, inputs, at_once=at_once))
        left: list[Known] | None = [] if keep else None
        text_logits: list[Tensor] | None = [] if return_text_logits else None
        made = read(*inputs, left=left, text_logits=text_logits)
        features = None if left is None else Features(tuple(left), *asked[3:])
        return _output(made, features, None if text_logits is None else torch.stack(text_logits))

    def plays(self, tokens: Tensor, text_ids: Tensor, *, request: AttentionRequest | None = None, suppress: tuple[int, ...] = ()) -> bool:
        """Whether such a forward is played back from a recording (arguments as `forward`)."""
        kept = self._kept()
        return kept is not None and kept.replays.has(request, (tokens, *self._asked(text_ids, tokens.shape[1], suppress, None, kept)))

    def _asked(self, text_ids: Tensor, n: int, suppress: tuple[int, ...], hidden: Tensor | None, kept: Kept | None) -> Asked:
        """What `_read_images` is told beside the images; kept for texts that are asked again."""
        key = (tuple(map(tuple, text_ids.tolist())), n, suppress) if kept is not None and hidden is None else None
        known = None if kept is None else kept.asked.get(key)
        if known is not None:
            return known
        t = text_ids.shape[1]
        text = self.read_text(text_ids) if kept is None else self._known_text(text_ids, kept)
        visible = text_ids != 0
        if suppress:
            visible = visible.clone()
            visible[:, list(suppress)] = False
        key_mask = torch.cat([visible, visible.new_ones(len(visible), n)], dim=1)
        if hidden is not None:
            # Text reads all visible tokens; an image token what is not hidden from it.
            key_mask = key_mask[:, None].repeat(1, key_mask.shape[1], 1)
            key_mask[:, t:, :t] &= ~hidden
        mask = additive_mask(key_mask, text[0].dtype)
        assert mask is not None
        asked = (*text, key_mask, mask)
        if kept is not None and key is not None:
            if len(kept.asked) >= _KEPT_ASKED:
                kept.asked.clear()
            kept.asked[key] = asked
        return asked

    def _read_images(
        self,
        tokens: Tensor,
        text: Tensor,
        text_both: Tensor,
        text_values: Tensor,
        key_mask: Tensor,
        mask: Tensor,
        *,
        kept: Kept | None,
        request: AttentionRequest | None,
        left: list[Known] | None = None,
        text_logits: list[Tensor] | None = None,
    ) -> tuple[Tensor, ...]:
        """Logits "c*b n v", and the attention asked for: see `attention_read`.

        Args:
            tokens: "b n". text, text_both, text_values: as `read_text` gives them, "c*b ...". key_mask, mask: see `SingleBlock.forward`.
            kept: see `_kept`. request: which attention to return.
            left, text_logits: what a later forward reads, and the grounded heads' attention logits to text, are added to them.
        """
        t, n = int(text.shape[1]), int(tokens.shape[1])
        turns = self._turns(t, kept)
        image = self.embed_codes(tokens, None if kept is None else kept.code_tables)
        for number, block in enumerate(self.multi_blocks):
            text, image = block(text, image, mask, turns, None if number else (text_both, text_values), left)
        x = torch.cat([text, image], dim=1)
        looked: list[Looked] = []
        last = len(self.single_blocks) - 1
        for index, block in enumerate(self.single_blocks):
            read = request.heads(index, self.heads) if request is not None else ()
            x, q, k, left_here = block(x, key_mask, mask, turns, t, index == last, request, read, left)
            if left_here is not None:
                looked.append(left_here)
            if text_logits is not None:
                grounded = list(self.grounded_heads)
                text_logits.append((q[:, grounded, -n:] @ k[:, grounded, :t].transpose(-1, -2)).float().mean(1) * q.shape[-1] ** -0.5)
        rows_mask = key_mask[:, t:] if key_mask.ndim == 3 else key_mask
        return self._logits(x, kept), *self._attention(request, looked, rows_mask)

    def again(self, tokens: Tensor, cells: Tensor, features: Features, *, request: AttentionRequest | None = None) -> TransformerOutput:
        """As forward, for some image tokens; text and the other image tokens are read as an earlier forward left them.

        Args:
            tokens: "b n" int64, as they are now.
            cells: "r" int64, the image tokens to run.
            features: of an earlier forward over "c*b" texts; its `suppress` and `hidden` stay in force.
            request: which attention to return.

        Returns:
            Logits "c*b r v" and attention "... r".

        Source: 2505.19089 (ReCAP).
        """
        kept = self._kept()
        t = features.key_mask.shape[-1] - tokens.shape[1]
        rows = cells + t
        by_query = features.mask.shape[2] > 1
        key_mask = features.key_mask[:, rows] if by_query else features.key_mask
        mask = features.mask[:, :, rows] if by_query else features.mask
        own, partner = self._turns(t, kept)
        x = self.embed_codes(tokens, None if kept is None else kept.code_tables)[:, cells]
        x = torch.cat([x] * (len(features.key_mask) // len(x)))
        renewed = [Renewed(known, rows, mask, (own[rows], partner[rows])) for known in features.known]
        for block, part in zip(self.multi_blocks, renewed, strict=False):
            x = block.again(x, part)  # type: ignore[operator]
        looked: list[Looked] = []
        for index, block in enumerate(self.single_blocks):
            read = request.heads(index, self.heads) if request is not None else ()
            x, left_here = block.again(x, key_mask, renewed[len(self.multi_blocks) + index], request, read)  # type: ignore[operator]
            if left_here is not None:
                looked.append(left_here)
        return _output((self._logits(x, kept), *self._attention(request, looked, key_mask)))

    def _turns(self, t: int, kept: Kept | None) -> tuple[Tensor, Tensor]:
        if kept is None:
            return turns_after_text(self.table, t)
        if t not in kept.turns:
            kept.turns[t] = turns_after_text(self.table, t)
        return kept.turns[t]

    def _logits(self, x: Tensor, kept: Kept | None) -> Tensor:
        hidden = F.gelu(self.final(self.final_norm(x)), approximate="tanh")
        return F.linear(hidden, self.output_weight() if kept is None else kept.output_weight, self.output_bias)

    def _attention(self, request: AttentionRequest | None, looked: list[Looked], key_mask: Tensor) -> tuple[Tensor, ...]:
        return () if request is None else attention_read(request, looked, key_mask, self.heads)


def _output(made: tuple[Tensor, ...], features: Features | None = None, text_logits: Tensor | None = None) -> TransformerOutput:
    """Logits, and attention where there is some, put in their places."""
    logits, *read = made
    attention, full, *_ = (*read, None, None)
    return TransformerOutput(logits, attention, full, text_logits, features)
