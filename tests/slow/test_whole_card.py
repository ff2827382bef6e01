"""The model card: everything is measured, drawn and written by one call."""

from __future__ import annotations

import json

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from PIL import Image

from tests.drawings import drawn_atlas
from tests.small_training import write_untrained_model
from uncage_demo.backends.embedded import vocab
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.bench.quality import FAILURE_KINDS
from uncage_demo.train import card
from uncage_demo.train.binding_figure import binding_figure, example_scene
from uncage_demo.train.token_scenes import TokenScenes

SMALL = card.Size(tokenizer=20, detector=32, binding=4, prompts=1, poster=(("single-object", 2), ("attend-excite", 1)), steps=2)


def test_the_whole_card(tmp_path, monkeypatch):
    model, atlas = write_untrained_model(tmp_path / "model"), drawn_atlas()
    tmp_path = tmp_path / "card"
    monkeypatch.setattr(card, "_pair_seconds", lambda backend, num_steps: num_steps / 8)
    metrics = card.measure(model, atlas, (0,), out=tmp_path, work=tmp_path / "steps.json", size=SMALL)
    text = card.write_card(model, metrics, tmp_path / "none.json", tmp_path)
    assert json.loads((tmp_path / "metrics.json").read_text())["pictures"] == metrics["pictures"]
    for name in card.PICTURES:
        assert f"]({name})" in text
        assert Image.open(tmp_path / name).width > 400
    for kind in FAILURE_KINDS:
        assert f"| {kind}: " in text
    assert "| layer 1, head 1 |" in text
    assert "took 2.00 s in 16 steps, 4.00 s in 32 steps" in text
    # A killed run continues: nothing is worked out again, unless a picture is no longer what was drawn.
    monkeypatch.setattr(card, "quality", None)
    assert card.measure(model, atlas, (0,), out=tmp_path, work=tmp_path / "steps.json", size=SMALL)["pictures"] == metrics["pictures"]
    (tmp_path / "failures.webp").write_bytes(b"another")
    with pytest.raises(TypeError):
        card.measure(model, atlas, (0,), out=tmp_path, work=tmp_path / "steps.json", size=SMALL)


def test_heads_that_guidance_reads_are_framed_and_maps_share_a_scale(tmp_path):
    model, atlas = write_untrained_model(tmp_path / "model"), drawn_atlas()
    backend = EmbeddedBackend.load(model)
    row = {f"{kind}_{part}": 0.7 for kind in ("noun", "color") for part in ("auc", "auc_ci", "ratio", "gain")}
    figures = {"heads": [{"layer": layer, "head": head, **row} for layer in (0, 1) for head in (0, 1)], "chosen_heads": [[1, 0]]}
    example = example_scene(backend, TokenScenes(atlas, backend.tokenizer))
    figure = binding_figure(figures, example)
    nouns = figure.axes[0]
    assert np.asarray(nouns.images[0].get_array()).tolist() == [[0.7, 0.7], [0.7, 0.7]]
    frame = nouns.patches[0]
    assert isinstance(frame, Rectangle)
    assert (frame.get_x() + frame.get_width() / 2, frame.get_y() + frame.get_height() / 2) == pytest.approx((0, 1))
    assert len(example.words) == 2
    assert all(words[-1][0] in vocab.NOUNS and all(word in vocab.COLORS for word, _ in words[:-1]) for words in example.words)
    assert {word for words in example.words for word, _ in words} <= set(example.caption.split())
    scales = [image.get_clim() for axes in figure.axes for image in axes.images if image.get_cmap().name == "magma"]
    assert len(set(scales[:4])) == 1  # the first source's four words
