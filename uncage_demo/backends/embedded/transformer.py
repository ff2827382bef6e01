"""The embedded masked generative transformer: text and image tokens in joint attention.

Shaped like the large models: a small contextual text encoder, multi-modal blocks (each modality has its own weights), then
single-modal blocks (one set of weights over both), whose attention from image to text tokens can be returned. Knows nothing of
decoding, files or words.

Shapes: b batch, n image tokens, t text tokens, d width, h heads, v codebook.
Source: 2410.08261 (block layout), 2309.15505 (codes as digits), 2104.09864 (rotary positions).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from uncage_demo.backends.attention import attention, broadcast_mask, scaled_dot_product_with_columns
from uncage_demo.backends.embedded.tokenizer import FSQ


@dataclass(frozen=True)
class AttentionRequest:
    """Which attention to return from a forward.

    Args:
        layers: (layer, head) pairs of the single-modal blocks to average over; None = all of them.
        columns: text token indices.
        full: also return every layer and head.
        samples: read only the first `samples` of the batch (the conditional half); None = all.
    """

    layers: tuple[tuple[int, int], ...] | None
    columns: tuple[int, ...]
    full: bool = False
    samples: int | None = None

    def heads(self, layer: int, count: int) -> tuple[int, ...]:
        """The heads of this layer that are to be read, of `count`; reading no others is what keeps capture cheap."""
        if self.full or self.layers is None:
            return tuple(range(count))
        return tuple(head for wanted, head in self.layers if wanted == layer)


@dataclass
class TransformerOutput:
    """Logits "b n v"; attention "b k n" and attention_full "b l h k n" on request; text_logits "l b n t" while training."""

    logits: Tensor
    attention: Tensor | None = None
    attention_full: Tensor | None = None
    text_logits: Tensor | None = None


_KEPT_TEXTS = 256  # captions whose reading is kept: 75 KB each


@dataclass(frozen=True)
class Kept:
    """What one state of the weights makes of things that no image changes.

    Args:
        state: address and version of every weight that this was computed from.
        code_tables: "v+1 d", see `SceneTransformer.code_tables`.
        output_weight: "v d", see `SceneTransformer.output_weight`.
        texts: text ids -> what `SceneTransformer.read_text` gives.
    """

    state: tuple[Any, ...]
    code_tables: Tensor
    output_weight: Tensor
    texts: dict[tuple[int, ...], tuple[Tensor, Tensor]]


class _Mlp(nn.Sequential):
    def __init__(self, width: int, ratio: int) -> None:
        super().__init__(nn.Linear(width, ratio * width), nn.GELU(approximate="tanh"), nn.Linear(ratio * width, width))


def _heads(x: Tensor, heads: int) -> Tensor:
    b, m, d = x.shape
    return x.view(b, m, heads, d // heads).transpose(1, 2)


def _merge(x: Tensor) -> Tensor:
    b, h, m, d = x.shape
    return x.transpose(1, 2).reshape(b, m, h * d)


def rotary_table(grid: tuple[int, int], head_dim: int) -> Tensor:
    """Cosines and sines "2 n head_dim/2" of 2-D rotary positions: the first half of the pairs turn with y, the second with x."""
    quarter = head_dim // 4
    frequencies = 1.0 / (100.0 ** (torch.arange(quarter).float() / quarter))
    y, x = torch.meshgrid(torch.arange(grid[0]).float(), torch.arange(grid[1]).float(), indexing="ij")
    angles = torch.cat([y.reshape(-1, 1) * frequencies, x.reshape(-1, 1) * frequencies], dim=1)
    return torch.stack([angles.cos(), angles.sin()])


def table_after_text(table: Tensor, t: int) -> Tensor:
    """The rotary table "2 t+n head_dim/2" of text followed by image: text has no position on the grid and turns by angle 0."""
    still = torch.stack([table.new_ones(t, table.shape[-1]), table.new_zeros(t, table.shape[-1])])
    return torch.cat([still, table], dim=1)


def _rotate(x: Tensor, table: Tensor) -> Tensor:
    cos, sin = table.to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


class _TextBlock(nn.Module):
    def __init__(self, width: int, heads: int, ratio: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = _Mlp(width, ratio)

    def forward(self, text: Tensor, mask: Tensor) -> Tensor:
        q, k, v = (_heads(part, self.heads) for part in self.qkv(self.norm1(text)).chunk(3, dim=-1))
        text = text + self.out(_merge(F.scaled_dot_product_attention(q, k, v, attn_mask=mask)))
        return text + self.mlp(self.norm2(text))


class _Stream(nn.Module):
    """One modality's half of a multi-modal block."""

    def __init__(self, width: int, ratio: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = _Mlp(width, ratio)


class _MultiBlock(nn.Module):
    def __init__(self, width: int, heads: int, ratio: int) -> None:
        super().__init__()
        self.heads = heads
        self.text, self.image = _Stream(width, ratio), _Stream(width, ratio)
        self.norm_q, self.norm_k = nn.LayerNorm(width // heads, bias=False), nn.LayerNorm(width // heads, bias=False)

    def read_text(self, text: Tensor) -> Tensor:
        """Queries, keys and values "b t 3d" of the text alone."""
        return self.text.qkv(self.text.norm1(text))

    def forward(self, text: Tensor, image: Tensor, mask: Tensor, table: Tensor, text_read: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """New text and image activations.

        Args:
            mask: "b 1 1 t+n" bool, True where a key may be attended to, or "b 1 t+n t+n" where that differs by query.
            table: rotary table of text and image (see `table_after_text`).
            text_read: what `read_text` gives, where it is known already.
        """
        t = text.shape[1]
        read = self.read_text(text) if text_read is None else text_read
        joined = torch.cat([read, self.image.qkv(self.image.norm1(image))], dim=1)
        q, k, v = (_heads(part, self.heads) for part in joined.chunk(3, dim=-1))
        q, k = _rotate(self.norm_q(q), table), _rotate(self.norm_k(k), table)
        mixed = _merge(F.scaled_dot_product_attention(q, k, v, attn_mask=mask))
        text, image = text + self.text.out(mixed[:, :t]), image + self.image.out(mixed[:, t:])
        return text + self.text.mlp(self.text.norm2(text)), image + self.image.mlp(self.image.norm2(image))


class _SingleBlock(nn.Module):
    """Attention and MLP side by side, one set of weights for both modalities."""

    def __init__(self, width: int, heads: int, ratio: int) -> None:
        super().__init__()
        self.heads, self.split = heads, (width, width, width, ratio * width)
        self.norm = nn.LayerNorm(width)
        self.into, self.out = nn.Linear(width, sum(self.split)), nn.Linear(width + ratio * width, width)
        self.norm_q, self.norm_k = nn.LayerNorm(width // heads, bias=False), nn.LayerNorm(width // heads, bias=False)

    def forward(
        self, x: Tensor, visible: Tensor, table: Tensor, t: int, request: AttentionRequest | None = None, read: tuple[int, ...] = ()
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """New activations "b m d", queries and keys "b h m e", and the wanted attention "b h k n" (None without request).

        Args:
            visible: "b m" bool, keys that may be attended to, or "b m m" bool where that differs by query.
            t: number of text tokens at the front.
            request, read: what to read, and from which heads; nothing without either.
        """
        q, k, v, hidden = self.into(self.norm(x)).split(self.split, dim=-1)
        q, k, v = (_heads(part, self.heads) for part in (q, k, v))
        q, k = _rotate(self.norm_q(q), table), _rotate(self.norm_k(k), table)
        columns = None
        if request is None or not read:
            mixed = attention(q, k, v, key_mask=visible)
        else:
            mixed, columns = scaled_dot_product_with_columns(
                q, k, v, request.columns, key_mask=visible, rows=slice(t, None), samples=slice(request.samples), heads=read
            )
        return x + self.out(torch.cat([_merge(mixed), F.gelu(hidden, approximate="tanh")], dim=-1)), q, k, columns


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
        self.text_blocks = nn.ModuleList(_TextBlock(width, heads, ratio) for _ in range(text_layers))
        self.multi_blocks = nn.ModuleList(_MultiBlock(width, heads, ratio) for _ in range(multi_layers))
        self.single_blocks = nn.ModuleList(_SingleBlock(width, heads, ratio) for _ in range(single_layers))
        self.final_norm, self.final = nn.LayerNorm(width), nn.Linear(width, width)
        self.code_output = nn.Embedding(self.codebook_size, width)
        self.digit_output = nn.Embedding(num_digits, width)
        self.output_bias = nn.Parameter(torch.zeros(self.codebook_size))
        self.register_buffer("table", rotary_table(self.grid, width // heads), persistent=False)
        self._read_before = (
            self.word_embedding,
            *self.text_blocks,
            self.multi_blocks[0].text,
            self.code_embedding,
            self.digit_embedding,
            self.code_output,
            self.digit_output,
        )
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

    def read_text(self, text_ids: Tensor) -> tuple[Tensor, Tensor]:
        """What the text encoder makes of text ids "b t", before any image is seen.

        Returns:
            Activations "b t d", and the queries, keys and values "b t 3d" of the first multi-modal block.
        """
        text = self.word_embedding(text_ids) + self.word_position[: text_ids.shape[1]]
        mask = (text_ids != 0)[:, None, None]
        for block in self.text_blocks:
            text = block(text, mask)
        return text, self.multi_blocks[0].read_text(text)  # type: ignore[operator]

    def _known_text(self, text_ids: Tensor, kept: Kept) -> tuple[Tensor, Tensor]:
        """As read_text, each caption read once and alone, so that its bits do not hang on its company."""
        rows = []
        for ids, row in zip(text_ids.tolist(), text_ids.split(1), strict=True):
            key = tuple(ids)
            if key not in kept.texts:
                if len(kept.texts) >= _KEPT_TEXTS:
                    kept.texts.clear()
                kept.texts[key] = self.read_text(row)
            rows.append(kept.texts[key])
        return torch.cat([text for text, _ in rows]), torch.cat([read for _, read in rows])

    def _kept(self) -> Kept | None:
        """What depends on the weights alone, computed anew when these have changed; None while gradients are wanted."""
        if torch.is_grad_enabled():
            return None
        state = tuple((p.data_ptr(), p._version) for part in self._read_before for p in part.parameters())  # type: ignore[union-attr]
        state += (self.word_position.data_ptr(), self.word_position._version)
        kept = self._last_kept
        if kept is None or kept.state != state:
            kept = self._last_kept = Kept(state, self.code_tables(), self.output_weight(), {})
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
    ) -> TransformerOutput:
        """Logits for every position, and attention on request; the logits are the same with and without.

        Args:
            tokens: "b n" int64, mask_id where masked.
            text_ids: "b t" int64, 0 = padding (never attended to).
            request: which attention to return.
            suppress: text token indices that nothing may attend to in the image blocks (word knock-out).
            hidden: "b n t" bool, True where an image token may not attend to a text token in the image blocks; None = nowhere.
            return_text_logits: the grounded heads' attention logits to text, for training.
        """
        t = text_ids.shape[1]
        kept = self._kept()
        text, text_read = self.read_text(text_ids) if kept is None else self._known_text(text_ids, kept)
        visible = text_ids != 0
        if suppress:
            visible = visible.clone()
            visible[:, list(suppress)] = False
        image = self.embed_codes(tokens, None if kept is None else kept.code_tables)
        key_mask = torch.cat([visible, visible.new_ones(tokens.shape)], dim=1)
        if hidden is not None:
            # Text reads all visible tokens; an image token what is not hidden from it.
            key_mask = key_mask[:, None].repeat(1, key_mask.shape[1], 1)
            key_mask[:, t:, :t] &= ~hidden
        mask, table = broadcast_mask(key_mask), table_after_text(self.table, t)
        for number, block in enumerate(self.multi_blocks):
            text, image = block(text, image, mask, table, None if number else text_read)
        x = torch.cat([text, image], dim=1)
        collected: list[Tensor] = []
        text_logits: list[Tensor] = []
        for index, block in enumerate(self.single_blocks):
            read = request.heads(index, self.heads) if request is not None else ()
            x, q, k, columns = block(x, key_mask, table, t, request, read)
            if columns is not None:
                collected.append(columns)
            if return_text_logits:
                grounded = list(self.grounded_heads)
                text_logits.append((q[:, grounded, t:] @ k[:, grounded, :t].transpose(-1, -2)).float().mean(1) * q.shape[-1] ** -0.5)
        hidden = F.gelu(self.final(self.final_norm(x[:, t:])), approximate="tanh")
        weight = self.output_weight() if kept is None else kept.output_weight
        output = TransformerOutput(F.linear(hidden, weight, self.output_bias))
        if return_text_logits:
            output.text_logits = torch.stack(text_logits)
        if request is not None:
            self._reduce(request, collected, output)
        return output

    def _reduce(self, request: AttentionRequest, collected: list[Tensor], output: TransformerOutput) -> None:
        if request.full:
            output.attention_full = torch.stack(collected, dim=1)
            pairs = request.layers or tuple((layer, head) for layer in range(len(collected)) for head in range(self.heads))
            maps = [collected[layer][:, head] for layer, head in pairs]
        else:
            maps = [values[:, place] for values in collected for place in range(values.shape[1])]
        output.attention = torch.stack(maps).mean(0)
