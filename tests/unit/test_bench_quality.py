"""Quality of a model: the tiny random one, so rates are near zero, but every part is there and adds up."""

from __future__ import annotations

import json

import pytest

from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.bench.quality import quality, quality_markdown
from uncage_demo.config import DecodingConfig


def test_quality_reports_rates_failures_and_spread() -> None:
    backend = EmbeddedBackend.tiny(0)
    base = DecodingConfig(num_steps=2)
    result = quality(backend, ["single-object", "three-subjects"], [0, 1], base=base, orders=["random", "halton"], limit=2)
    assert json.loads(json.dumps(result)) == result
    single = result["rates"]["single-object"]
    assert set(single) == {"plain", "coloured", "all"}
    assert single["plain"]["correct"]["count"] == 4
    assert single["plain"]["correct"]["clusters"] == 2
    assert single["all"]["correct"]["count"] == 8
    assert "colored" in single["coloured"]
    assert "colored" not in single["plain"]
    assert "two" in result["rates"]["three-subjects"]["animals"]
    assert "two" not in single["plain"]
    for categories in result["rates"].values():
        for found in categories.values():
            for entry in found.values():
                assert 0 <= entry["low"] <= entry["value"] <= entry["high"] <= 1
    assert result["failures"]["single-object"]["missing"]["of"] == 8
    values = [entry["value"] for entry in result["orders"]["rates"].values()]
    assert result["orders"]["spread_points"] == pytest.approx(100 * (max(values) - min(values)))
    assert result["model"]["weight_hash"] == "tiny-0"
    text = quality_markdown(result)
    assert "| three-subjects | images | at least one object | at least two objects |" in text
    assert "Spread between" in text


def test_bad_arguments_are_refused() -> None:
    backend = EmbeddedBackend.tiny(0)
    with pytest.raises(ValueError, match="seeds"):
        quality(backend, ["single-object"], [])
    with pytest.raises(ValueError, match="limit=0"):
        quality(backend, ["single-object"], [0], limit=0)
    with pytest.raises(ValueError, match="no-such"):
        quality(backend, ["no-such"], [0])
