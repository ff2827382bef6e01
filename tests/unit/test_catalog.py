"""The catalogue's entries (that its sizes are those of the shapes: tests/slow/test_catalog_sizes.py)."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from uncage_demo.backends.large.catalog import ENTRIES
from uncage_demo.backends.large.settings import AUTHORS
from uncage_demo.backends.large.sizes import MODELS
from uncage_demo.decoding.presets import named_preset


def test_every_model_to_download_has_sizes_and_settings_and_says_what_it_costs() -> None:
    assert {entry.id for entry in ENTRIES if entry.source} == set(MODELS) == set(AUTHORS)
    for entry in ENTRIES:
        if entry.sizes is None:
            assert entry.download_gb == 0
            continue
        said = re.search(r"transformer of ([\d.]+) billion parameters: about ([\d.]+) GB .*\(([\d.]+) GB with offloading", entry.cost)
        assert said is not None
        assert float(said[1]) == round(entry.sizes.transformer / 1e9, 1)
        assert float(said[3]) < float(said[2])
        assert "not on Apple's mps" in entry.cost


def test_what_meissonic_needs() -> None:
    """Weights in half precision, the VQ decoder in float32, and 3.2 GB of its activations for one picture of 1024 px."""
    sizes = MODELS["meissonic"]
    assert sizes.memory_bytes() == pytest.approx(2 * (1.0069e9 + 0.354e9) + 0.585e9 + 3.22e9, rel=2e-3)
    assert sizes.memory_bytes(width=4) - sizes.memory_bytes() == 2 * (sizes.transformer + sizes.text)
    assert sizes.memory_bytes(offload=True) == pytest.approx(0.585e9 + 3.22e9, rel=2e-3)


def test_the_authors_settings() -> None:
    steps = {"meissonic": 64, "monetico": 48, "muddit-512": 64, "muddit-1024": 64, "dimo": 1, "amused-256": 12, "amused-512": 12}
    assert {name: own.num_steps for name, own in AUTHORS.items()} == steps
    guidance = {"dimo": 1.0, "amused-256": 10.0, "amused-512": 10.0}
    assert {name: own.guidance_scale for name, own in AUTHORS.items()} == dict.fromkeys(steps, 9.0) | guidance
    assert all(own.noise_temperature == (2.0, 0.0) and own.schedule == "cosine_float32" for own in AUTHORS.values())
    told = {name for name, own in AUTHORS.items() if own.negative_prompt}
    assert told == {"meissonic", "monetico", "muddit-512", "muddit-1024"}


def test_the_page_on_large_models_says_the_same() -> None:
    page = (Path(__file__).parents[2] / "docs/LARGE.md").read_text()
    told = page.partition("<!-- memory -->\n")[2].partition("\n\n")[0].splitlines()[2:]
    rows = []
    for entry in ENTRIES:
        if entry.sizes is not None and entry.settings is not None:
            memory = [entry.sizes.memory_bytes(width=width, offload=away) / 1e9 for width, away in ((2, False), (2, True), (4, False))]
            scale = entry.settings.guidance_scale
            cells = [f"`{entry.id}`", f"{entry.sizes.download_bytes / 1e9:.1f} GB", *(f"{gb:.1f} GB" for gb in memory)]
            rows.append(f"| {' | '.join(cells)} | {entry.settings.num_steps} | {f'{scale:g}' if scale > 1 else 'none'} |")
    assert told == rows


def test_its_commands_are_commands() -> None:
    from uncage_demo.cli.main import build_parser

    page = (Path(__file__).parents[2] / "docs/LARGE.md").read_text().replace(" \\\n", "")  # a long command goes on in the next line
    lines = re.findall(r"^\.venv/bin/python -m uncage_demo (.+)$", page, re.MULTILINE)
    lines += ["edit " + found for found in re.findall(r"`edit (photo.+?)`", page)]
    assert len(lines) == 7
    for line in lines:
        words = shlex.split(line, comments=True)
        assert build_parser(words).parse_args(words).command == words[0]
    for name in re.findall(r"`?--preset ([a-z_]+)`", page):
        assert named_preset(name)


def test_each_model_says_by_itself_what_it_draws() -> None:
    """Whoever chooses the second model has not read what the first one says."""
    for entry in ENTRIES:
        what = (
            "Scenes of a few coloured everyday objects"
            if entry.family == "embedded"
            else r"Anything you can describe|Simple pictures of anything"
        )
        assert re.match(what, entry.draws), entry.id
        assert not re.search(r"\bsame\b|\bas above\b", entry.draws), entry.id
