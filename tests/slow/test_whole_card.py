"""The model card: everything is measured, drawn and written by one call."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from tests.drawings import drawn_atlas
from tests.small_training import write_untrained_model
from uncage_demo.bench.quality import FAILURE_KINDS
from uncage_demo.train import card

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
