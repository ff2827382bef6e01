"""Editing with large models, through tiny checkpoints laid out as the published ones: nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import uncage_demo as ud
from tests.tiny_checkpoints import write_tiny
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.backends.large.hub import load_large
from uncage_demo.cli import main as cli
from uncage_demo.config import DecodingConfig
from uncage_demo.editing.cells import mask_of
from uncage_demo.player.payload import build_payload
from uncage_demo.runner import generate
from uncage_demo.trace.record import Trace

TEXT, OTHER = "a red turtle and a blue apple", "a red turtle and a green apple"
CONFIG = DecodingConfig("meissonic", 4, seed=2)


@pytest.fixture(scope="module", params=["meissonic", "amused"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def backend(folder: Path) -> Any:
    return load_large(str(folder), image_size_px=32)


@pytest.fixture(scope="module")
def parent(backend: Any) -> Trace:
    return generate(backend, ud.parse_prompt(TEXT, backend), CONFIG)


def from_file(trace: Trace) -> Trace:
    trace.validate()
    return Trace.from_bytes(trace.to_bytes())


def given_stay(made: Trace, tokens: np.ndarray, drawn: np.ndarray) -> None:
    assert np.array_equal(made.tokens.reshape(-1)[~drawn], tokens.reshape(-1)[~drawn])
    assert np.array_equal(made.steps[0].masked_before, drawn)
    assert (made.unmask_step.reshape(-1)[drawn] >= 0).all()


@pytest.mark.parametrize("order", ["meissonic", "uncage", "halton", "redraw"])
def test_what_is_not_erased_stays_in_every_order(backend: Any, parent: Trace, order: str) -> None:
    cells = [0, 1, 8, 9, 27]
    made = from_file(ud.edit(backend, parent, cells, prompt=OTHER, config=CONFIG.with_(order=order)))
    given_stay(made, parent.tokens, mask_of(cells, backend.info.grid))
    assert made.origin is not None
    assert (made.origin.source, made.origin.source_prompt, made.prompt.text) == (parent.id, TEXT, OTHER)
    both = build_payload([parent, made])
    assert [one["text"] for one in both["prompts"]] == [TEXT, OTHER]


def test_extending_and_remixing(backend: Any, parent: Trace) -> None:
    rows, columns = backend.info.grid
    moved = from_file(ud.extend(backend, parent, (0, 2)))
    assert np.array_equal(moved.tokens[:, 2:], parent.tokens[:, :-2])
    assert moved.steps[0].masked_before.reshape(rows, columns)[:, :2].all()
    rounds = ud.remix(backend, parent, OTHER, strength=0.25, rounds=2)
    assert [one.origin.round for one in rounds if one.origin] == [1, 2]
    given_stay(from_file(rounds[1]), rounds[0].tokens, rounds[1].steps[0].masked_before)


def test_regions_and_pins(backend: Any) -> None:
    rows, columns = backend.info.grid
    made = from_file(ud.compose(backend, TEXT, pins={5: 3}, regions={1: (0, 0, rows // 2, columns // 2)}, config=CONFIG))
    assert made.tokens.reshape(-1)[5] == 3
    first = made.steps[0].committed.reshape(rows, columns)
    assert first[: rows // 2, : columns // 2].sum() == first.sum(), "cells of the region go first"
    assert made.steps[0].sight is not None
    assert set(np.unique(made.steps[0].sight).tolist()) == {1, 2}, "inside the apple's words, outside the turtle's"
    plain = generate(backend, ud.parse_prompt(TEXT, backend), CONFIG)
    assert not np.array_equal(plain.steps[0].confidence, made.steps[0].confidence), "hidden words change what the model says"


def test_a_picture_of_ones_own(backend: Any, tmp_path: Path) -> None:
    path = tmp_path / "mine.jpg"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(path)
    own = ud.encode_picture(backend, path)
    assert own.tokens.shape == backend.info.grid
    assert 0 <= own.tokens.min() <= own.tokens.max() < backend.info.codebook_size
    assert own.error.shape == backend.info.grid
    assert any("from 60 × 40 to 32 × 32 px" in note for note in own.notes)
    # the nearest code of each cell: what the decoder is given back is what the encoder said
    assert np.array_equal(own.tokens, backend.encode_image(own.given))
    seen = from_file(ud.look(backend, own.tokens, TEXT))
    assert np.array_equal(seen.tokens, own.tokens)
    assert seen.steps[0].attention is not None
    made = ud.edit(backend, own.tokens, [0, 1], prompt=OTHER, config=CONFIG.with_(num_steps=2))
    given_stay(made, own.tokens, mask_of([0, 1], backend.info.grid))


def test_the_command_line_edits_a_large_models_run(folder: Path, parent: Trace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = parent.save(tmp_path / "run.npz")
    said = ["edit", str(path), "--model", str(folder), "--erase", "0-3", "--prompt", OTHER, "--formats", "npz", "--quiet"]
    assert cli.main([*said, "--out", str(tmp_path / "out")]) == 0, capsys.readouterr().err
    (made,) = (Trace.load(one) for one in (tmp_path / "out").rglob("*.npz"))
    given_stay(made, parent.tokens, mask_of(range(4), parent.grid))


def test_what_does_not_fit_is_named(backend: Any, parent: Trace) -> None:
    other = EmbeddedBackend.tiny(seed=0)
    for call, message in (
        (lambda: ud.edit(other, parent, [0]), "made by|weights|model"),
        (lambda: ud.edit(backend, generate(other, ud.parse_prompt("a cat", other), CONFIG), [0]), "made by|weights|model"),
        (lambda: ud.edit(backend, np.zeros((3, 3), np.int64), [0], prompt=TEXT), r"shape \(3, 3\): give whole numbers of shape"),
        (lambda: ud.edit(backend, np.full(backend.info.grid, 10**6), [0], prompt=TEXT), "allowed are -1"),
        (lambda: ud.compose(backend, TEXT, pins={0: backend.info.codebook_size}), "pins: token at cell 0"),
        (lambda: ud.compose(backend, TEXT, regions={2: (0, 0, 1, 1)}), "region of object 2"),
        (lambda: backend.encode_image(np.zeros((16, 16, 3), np.uint8)), r"give uint8 of shape \(32, 32, 3\)"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
