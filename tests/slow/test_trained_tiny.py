"""A very small trained model (`train --tiny`, shipped in tests/data) for what only a trained model can show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from uncage_demo.backends.base import Capture
from uncage_demo.backends.embedded import vocab
from uncage_demo.backends.embedded.backend import EmbeddedBackend, build_parts
from uncage_demo.bench.run import make_images
from uncage_demo.config import DecodingConfig
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.train import binding
from uncage_demo.train.parts import new_parts
from uncage_demo.train.token_scenes import TokenBatch

FOLDER = Path(__file__).parents[1] / "data" / "tiny-model"


@pytest.fixture(scope="module")
def backend():
    return EmbeddedBackend.load(FOLDER)


@pytest.fixture(scope="module")
def examples():
    """Unseen scenes of two coloured objects."""
    with np.load(FOLDER / "scenes.npz") as data:
        return TokenBatch(**{name: torch.from_numpy(data[name].astype(np.int64)) for name in data.files})


@pytest.fixture(scope="module")
def half_masked(backend, examples):
    """(tokens with half of the cells masked, the mask)."""
    rng = np.random.default_rng(0)
    masked = torch.from_numpy(rng.random(examples.tokens.shape).argsort(1).argsort(1) < examples.tokens.shape[1] // 2)
    return torch.where(masked, backend.mask_id, examples.tokens), masked


def object_loss(backend, examples, half_masked, text_ids) -> float:
    """Cross-entropy of the masked cells of objects, in nats."""
    tokens, masked = half_masked
    logits = backend.forward(tokens, 0, 1, list(text_ids), unconditional=False).cond
    wanted = masked & (examples.owner >= 0)
    return float(F.cross_entropy(logits[wanted], examples.tokens[wanted]))


def test_it_is_small_and_what_the_trainer_makes_today(backend):
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 1_000_000
    fresh = new_parts(tiny=True)
    for name, part in build_parts(backend.config).items():
        shapes = {key: tuple(value.shape) for key, value in part.state_dict().items()}
        assert shapes == {key: tuple(value.shape) for key, value in fresh[name].state_dict().items()}, f"{name}: train it anew"


def test_it_predicts_far_better_than_an_untrained_one(backend, examples, half_masked):
    loss = object_loss(backend, examples, half_masked, examples.text_ids)
    torch.manual_seed(0)
    untrained = EmbeddedBackend(build_parts(backend.config), backend.config, "untrained")
    before = object_loss(untrained, examples, half_masked, examples.text_ids)
    assert before == pytest.approx(np.log(backend.info.codebook_size), abs=0.5)
    assert loss < 0.6 * before


def test_it_reads_the_caption(backend, examples, half_masked):
    """The true caption helps, and another scene's does not."""
    right = object_loss(backend, examples, half_masked, examples.text_ids)
    wrong = object_loss(backend, examples, half_masked, examples.text_ids.roll(1, 0))
    assert right < wrong - 0.3


def test_binding_can_be_read_in_the_chosen_heads(backend, examples, half_masked):
    tokens, masked = half_masked
    columns = tuple(range(vocab.TEXT_LENGTH))
    capture = Capture(columns=columns, source="default", full=True)
    output = backend.forward(tokens, 0, 1, list(examples.text_ids), unconditional=False, capture=capture)
    chosen = binding.readability(output.attention, examples, masked)
    blind = binding.readability(torch.full_like(output.attention, 0.1), examples, masked)
    assert chosen["noun_auc"] > 0.85
    assert chosen["color_auc"] > 0.85
    assert chosen["noun_gain"] > 2
    assert blind["noun_auc"] == 0.5
    others = [(layer, head) for layer in (0, 1) for head in (0, 1) if [layer, head] not in backend.config["attention_heads"]]
    rest = torch.stack([output.attention_full[:, layer, head] for layer, head in others]).mean(0)
    assert binding.readability(rest, examples, masked)["noun_auc"] < chosen["noun_auc"]


def test_the_detector_finds_what_is_drawn(backend, examples):
    """Decoded true grids: most objects are found, and far more than a shuffled judge would find."""
    pictures = backend.decode_tokens(examples.tokens)
    wanted = [{vocab.WORDS[int(examples.text_ids[b, noun])] for noun, _ in binding.object_words(examples, b)} for b in range(len(pictures))]
    seen = [{found.noun for found in detections} for detections in backend.detect(pictures)]
    share = sum(len(w & s) for w, s in zip(wanted, seen, strict=True)) / sum(map(len, wanted))
    chance = sum(len(w & s) for w, s in zip(wanted[1:] + wanted[:1], seen, strict=True)) / sum(map(len, wanted))
    assert share > 0.75
    assert chance < 0.3


def test_decoding_ends_in_grids_that_the_model_finds_likelier_than_chance(backend):
    prompt = parse_prompt("a red car and a blue clock", backend)
    grids, _ = make_images(backend, [prompt] * 4, [DecodingConfig(num_steps=8, seed=seed) for seed in range(4)])
    drawn = torch.from_numpy(grids.astype(np.int64))
    masked = torch.arange(drawn.shape[1]).remainder(2).bool().expand_as(drawn)
    noise = torch.randint(backend.info.codebook_size, drawn.shape, generator=torch.Generator().manual_seed(0))
    losses = []
    for tokens in (drawn, noise):
        text = [backend.encode_prompt(prompt)] * len(tokens)
        logits = backend.forward(torch.where(masked, backend.mask_id, tokens), 0, 1, text, unconditional=False).cond
        losses.append(float(F.cross_entropy(logits[masked], tokens[masked])))
    assert losses[0] < 0.5 * losses[1]
