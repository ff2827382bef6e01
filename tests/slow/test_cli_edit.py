"""`uncage edit` on the tiny model: every way of editing, the files, and errors that name what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.cli.main import main
from uncage_demo.config import DecodingConfig
from uncage_demo.editing.edit import compose
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.runner import generate
from uncage_demo.trace.record import Trace

TINY = EmbeddedBackend.tiny(seed=0)
PAIR = parse_prompt("a turtle and a pink apple", TINY)


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uncage_demo.backends.load_backend", lambda *_, **__: TINY)


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    trace = generate(TINY, PAIR, DecodingConfig(order="meissonic", num_steps=4, seed=3))
    return trace.save(tmp_path_factory.mktemp("parent") / "run.npz")


def uncage(folder: Path, *arguments: object) -> int:
    return main(["edit", *map(str, arguments), "--out", str(folder), "--formats", "npz,png", "--quiet"])


def test_erased_cells_are_drawn_in_every_order_asked_for(parent: Path, tmp_path: Path, capsys) -> None:
    asked = ["--erase", "0-2,8", "--erase-box", "4,0,6,1", "--prompt", "a turtle and a blue apple", "--orders", "meissonic,halton"]
    assert uncage(tmp_path / "out", parent, *asked) == 0
    old = Trace.load(parent)
    for order in ("meissonic", "halton"):
        made = Trace.load(tmp_path / "out" / f"{order}.npz")
        assert np.flatnonzero(made.steps[0].masked_before).tolist() == [0, 1, 2, 8, 24, 30]
        assert np.array_equal(made.tokens.flat[[3, 9, 35]], old.tokens.flat[[3, 9, 35]])
        assert (made.prompt.text, made.config["seed"]) == ("a turtle and a blue apple", 4)
    said = capsys.readouterr().out
    assert said.startswith("6 of 36 cells drawn; meissonic, seed 4: ")
    assert uncage(tmp_path / "out", parent, *asked) == 2, "an occupied folder is not written over"
    assert "--force" in capsys.readouterr().err


def test_objects_masks_margins_and_the_other_way_round(parent: Path, tmp_path: Path) -> None:
    assert uncage(tmp_path / "object", parent, "--erase-object", "apple", "--margin", "1") == 0
    picture = np.zeros((96, 96), np.uint8)
    picture[:16, :32] = 255
    Image.fromarray(picture).save(tmp_path / "mask.png")
    assert uncage(tmp_path / "mask", parent, "--mask", tmp_path / "mask.png", "--keep", "--after-step", "4") == 0
    made = Trace.load(tmp_path / "mask" / "meissonic.npz")
    assert np.flatnonzero(~made.steps[0].masked_before).tolist() == [0, 1]


def test_extend_and_remix(parent: Path, tmp_path: Path) -> None:
    assert uncage(tmp_path / "wide", parent, "--shift", "0,-2", "--num-steps", "3") == 0
    assert np.array_equal(Trace.load(tmp_path / "wide" / "meissonic.npz").tokens[:, :4], Trace.load(parent).tokens[:, 2:])
    assert uncage(tmp_path / "remix", parent, "--strength", "0.3", "--rounds", "2", "--prompt", "a cat") == 0
    assert sorted(path.name for path in (tmp_path / "remix").glob("*.npz")) == ["meissonic-round-1.npz", "meissonic-round-2.npz"]


def test_another_picture_of_the_same_structure(parent: Path, tmp_path: Path) -> None:
    assert uncage(tmp_path / "alike", parent, "--structure", "0.5", "--prompt", "a cat") == 0
    made = Trace.load(tmp_path / "alike" / "meissonic.npz")
    assert made.origin is not None
    assert made.origin.guide == tuple(Trace.load(parent).tokens.reshape(-1).tolist())
    assert uncage(tmp_path / "both", parent, "--structure", "0.5", "--strength", "0.5") == 2


def test_an_empty_canvas_with_regions_pins_and_patches(parent: Path, tmp_path: Path) -> None:
    asked = ["--prompt", PAIR.text, "--region", "turtle=0,0,3,3", "--region", "pink apple=3,3,6,6", "--pin", "35=7"]
    assert (
        uncage(tmp_path / "placed", *asked, "--patch", f"{parent}:0,0,1,2@0,4", "--num-steps", "4", "--seed", "5", "--orders", "mend") == 0
    )
    made, old = Trace.load(tmp_path / "placed" / "mend.npz"), Trace.load(parent)
    pins = {4: int(old.tokens[0, 0]), 5: int(old.tokens[0, 1]), 35: 7}
    config = DecodingConfig(order="mend", num_steps=4, seed=5)
    assert made.id == compose(TINY, PAIR, pins=pins, regions={0: (0, 0, 3, 3), 1: (3, 3, 6, 6)}, config=config).id


def test_a_picture_of_ones_own(tmp_path: Path, capsys) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)).save(tmp_path / "mine.png")
    assert uncage(tmp_path / "seen", tmp_path / "mine.png", "--prompt", "a turtle") == 0
    assert "as tokens: off by" in capsys.readouterr().out
    assert {"own-picture.png", "own-tokens.png", "own-error.png"} <= {path.name for path in (tmp_path / "seen").iterdir()}
    assert uncage(tmp_path / "mine", tmp_path / "mine.png", "--prompt", "a turtle", "--erase", "0-9", "--num-steps", "2") == 0
    made = Trace.load(tmp_path / "mine" / "uncage.npz")
    assert int(made.steps[0].masked_before.sum()) == 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["RUN"], "nothing to do"),
        ([], "no run and no picture"),
        (["RUN", "--erase", "36"], "cell 36 is not one of 0..35"),
        (["RUN", "--erase", "a"], "--erase 'a': give cells from 0 to 35"),
        (["RUN", "--erase", "0", "--shift", "0,1"], "one way of editing at a time"),
        (["RUN", "--erase-box", "0,0,7,1"], "--erase-box"),
        (["RUN", "--erase-object", "dog"], "has turtle, pink apple"),
        (["RUN", "--shift", "1"], "write DOWN,RIGHT"),
        (["RUN", "--strength", "2", "--prompt", "a cat"], "strength=2.0"),
        (["RUN", "--pin", "0=1"], "empty canvas"),
        (["RUN", "--region", "turtle=0,0,1,1"], "--region needs"),
        (["RUN", "--shift", "0,1", "--margin", "1"], "go with --erase"),
        (["RUN", "--erase", "0", "--after-step", "9"], "after_step=8"),
        (["--region", "turtle=0,0,1,1"], "--prompt is missing"),
        (["--prompt", "a turtle", "--region", "0,0,1,1"], "write NOUN=TOP"),
        (["--prompt", "a turtle", "--patch", "x"], "write TRACE.npz:TOP"),
        (["none.npz", "--erase", "0"], "none.npz"),
    ],
)
def test_what_does_not_fit_is_one_line(parent: Path, tmp_path: Path, capsys, arguments: list[str], message: str) -> None:
    assert uncage(tmp_path / "out", *[parent if part == "RUN" else part for part in arguments]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
    assert not (tmp_path / "out").exists()
