"""CLIP text encoding: pieces with character spans, what a long prompt loses, hidden states and the pooled embedding."""

from __future__ import annotations

from typing import Any

import torch

from uncage_demo.types import TextToken

MAX_TOKENS = 77  # the length every CLIP text encoder was trained with, start and end included


class ClipText:
    """A CLIP tokenizer and text encoder behind two plain calls.

    Args:
        tokenizer: transformers CLIPTokenizer (with offset mapping).
        encoder: transformers CLIPTextModelWithProjection, in evaluation mode.
        max_tokens: length of the token sequence, special tokens included.
    """

    def __init__(self, tokenizer: Any, encoder: Any, max_tokens: int = MAX_TOKENS) -> None:
        limit = int(encoder.config.max_position_embeddings)
        if not 2 < max_tokens <= limit:
            raise ValueError(f"max_tokens={max_tokens}: the text encoder takes 3 to {limit}")
        self.tokenizer = tokenizer
        self.encoder = encoder
        self.max_tokens = max_tokens

    def tokenize(self, text: str) -> tuple[tuple[TextToken, ...], str]:
        """Text tokens with character spans, always `max_tokens` of them, and the text that was cut off.

        Args:
            text: any text; spans refer to it as typed (case and spaces included).

        Returns:
            (tokens, cut): start, pieces, end, padding; `cut` is "" when everything fitted.
        """
        spans = self._spans(text)
        room = self.max_tokens - 2
        kept, lost = spans[:room], spans[room:]
        tokens = [TextToken("<start>", 0, 0, special=True)]
        tokens += [TextToken(text[start:end], start, end) for start, end in kept]
        tokens.append(TextToken("<end>", len(text), len(text), special=True))
        tokens += [TextToken("<pad>", len(text), len(text), special=True)] * (self.max_tokens - len(tokens))
        return tuple(tokens), text[lost[0][0] :] if lost else ""

    @torch.no_grad()
    def encode(self, text: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Hidden states "t c" before the last layer, and the pooled projection "c", on the encoder's device and in its dtype."""
        batch = self.tokenizer([text], padding="max_length", truncation=True, max_length=self.max_tokens, return_tensors="pt")
        output = self.encoder(batch.input_ids.to(self.encoder.device), output_hidden_states=True)
        return output.hidden_states[-2][0], output.text_embeds[0]

    def _spans(self, text: str) -> list[tuple[int, int]]:
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, truncation=False, verbose=False)
        return [(int(start), int(end)) for start, end in encoded["offset_mapping"]]
