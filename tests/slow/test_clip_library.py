"""CLIP and BLIP scores of tiny random models through the real library (the rest: tests/unit/test_bench_clip.py)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.unit.test_bench_clip import prompt_of
from uncage_demo.bench.scorers_clip import ClipScorer, blip_captioner, clip_embedders, fill_templates


@pytest.fixture(scope="module")
def tokenizer_files(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A CLIP tokenizer of single letters."""
    import json

    folder = tmp_path_factory.mktemp("clip")
    letters = list("abcdefghijklmnopqrstuvwxyz.-")
    words = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return str(folder)


def test_tiny_random_clip_through_the_library(tokenizer_files: str) -> None:
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

    torch.manual_seed(0)
    tokenizer = CLIPTokenizer(f"{tokenizer_files}/vocab.json", f"{tokenizer_files}/merges.txt")
    small = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={**small, "vocab_size": len(tokenizer), "max_position_embeddings": 77, "eos_token_id": tokenizer.eos_token_id},
        vision_config={**small, "image_size": 32, "patch_size": 16},
        projection_dim=16,
    )
    model = CLIPModel(config).eval()
    processor = CLIPProcessor(CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}), tokenizer)
    images, texts = clip_embedders(model, processor)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 3), dtype=np.uint8)
    assert images(pictures).shape == (2, 16)
    # Padding must not change a text's feature.
    assert torch.allclose(texts(["a cat"])[0], texts(["a cat", "a photo of a very long thing"])[0], atol=1e-5)
    scorer = ClipScorer(images, texts)
    prompt = prompt_of("a cat and a dog", ["cat", "dog"])
    first, second = scorer.score(pictures, [prompt, replace(prompt)])
    assert first["metrics"] != second["metrics"]
    for value in (*first["metrics"].values(), *second["metrics"].values()):
        assert -100 <= value <= 100
    # The same by the definition, one template at a time.
    stacked = torch.stack([texts([filled])[0] for filled in fill_templates(prompt.text)])
    mean = (stacked / stacked.norm(dim=-1, keepdim=True)).mean(0)
    feature = images(pictures)[0]
    cosine = float(mean @ feature / mean.norm() / feature.norm())
    assert first["metrics"]["text_image"] == pytest.approx(100 * cosine, abs=1e-2)


def test_tiny_random_blip_captions_repeat() -> None:
    from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration, BlipImageProcessor, BlipProcessor

    torch.manual_seed(0)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat", "dog", "and", "red", "of", "photo"]
    tokenizer = BertTokenizer({w: i for i, w in enumerate(words)})
    small = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BlipConfig(
        text_config={
            **small,
            "vocab_size": len(words),
            "encoder_hidden_size": 32,
            "max_position_embeddings": 64,
            "bos_token_id": 2,
            "eos_token_id": 3,
            "sep_token_id": 3,
            "pad_token_id": 0,
        },
        vision_config={**small, "image_size": 32, "patch_size": 16},
        projection_dim=16,
        image_text_hidden_size=16,
    )
    model = BlipForConditionalGeneration(config).eval()
    processor = BlipProcessor(BlipImageProcessor(size={"height": 32, "width": 32}), tokenizer)
    caption = blip_captioner(model, processor)
    pictures = np.random.default_rng(1).integers(0, 256, (2, 40, 40, 3), dtype=np.uint8)
    first = caption(pictures)
    assert len(first) == 2
    assert all(isinstance(text, str) for text in first)
    assert caption(pictures) == first
