"""Parts of the embedded model that are small enough to be trained in a test: random weights, the same every time."""

from __future__ import annotations

import torch

from uncage_demo.backends.embedded import vocab
from uncage_demo.backends.embedded.tokenizer import ImageTokenizer
from uncage_demo.backends.embedded.transformer import SceneTransformer


def tokenizer() -> ImageTokenizer:
    torch.manual_seed(0)
    return ImageTokenizer(encoder_width=16, decoder_widths=(8, 8, 8), blocks=(0, 0, 0)).eval()


def small_transformer() -> SceneTransformer:
    torch.manual_seed(0)
    return SceneTransformer(len(vocab.WORDS), vocab.TEXT_LENGTH, width=16, ratio=2, text_layers=1, multi_layers=1, single_layers=2)
