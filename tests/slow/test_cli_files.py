"""The command line, whole: pictures, figures and films that it writes (what is parsed and refused: tests/unit/test_cli.py)."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.command_line import fails, serve_toy, write_pair
from uncage_demo.cli import main as cli
from uncage_demo.export import planned_files
from uncage_demo.trace.record import Trace


@pytest.fixture
def pair(tmp_path):
    return write_pair(tmp_path)


@pytest.fixture
def toy(monkeypatch):
    return serve_toy(monkeypatch)


def test_compare_writes_what_it_says(capsys, tmp_path, toy):
    out = tmp_path / "run"
    formats = "png,gif,figures,npz"
    arguments = ["compare", "a cat and a dog", "--orders", "meissonic,uncage", "--num-steps", "5", "--seed", "4", "--formats", formats]
    arguments += ["--stage-px", "96", "--device", "cpu", "--dtype", "float32", "--out", str(out)]
    assert cli.main(arguments) == 0
    told = capsys.readouterr()
    assert toy == [("embedded", "cpu", "float32")]
    assert sorted(p.name for p in out.iterdir()) == sorted(p.name for p in planned_files(out, ("meissonic", "uncage"), formats.split(",")))
    trace = Trace.load(out / "uncage.npz")
    assert trace.config["order"] == "uncage"
    assert (trace.config["seed"], trace.config["num_steps"]) == (4, 5)
    with Image.open(out / "uncage.png") as image:
        assert np.array_equal(np.asarray(image), trace.image)
    with Image.open(out / "reveal.gif") as image:
        assert getattr(image, "n_frames", 1) == 6
    summary = json.loads((out / "run.json").read_text())
    assert [run["id"] for run in summary["runs"]] == [Trace.load(out / f"{o}.npz").id for o in ("meissonic", "uncage")]
    assert "meissonic, seed 4: not all correct (cat found; dog missing; 1 object too many), judged by a detector (cat finder)" in told.out
    assert summary["runs"][0]["judgement_of_a_model"]["objects_found"] == [True, False]
    assert "to do this again" in told.out
    assert "seed 4, step 5 of 5" in told.err

    refused = fails(capsys, *arguments)
    assert "already holds meissonic.npz" in refused
    assert "--force" in refused
    before = (out / "uncage.npz").read_bytes()
    assert cli.main([*arguments, "--formats", "npz", "--force", "--quiet"]) == 0
    again = Trace.load(out / "uncage.npz")
    assert again.id == trace.id, "the same command gives the same run"
    assert len(before) > 0


@pytest.mark.parametrize(("kind", "view"), [("png", "heatmaps"), ("svg", "heatmaps"), ("gif", "reveal"), ("webp", "reveal")])
def test_export_writes_beside_the_trace(capsys, tmp_path, pair, kind, view):
    assert cli.main(["export", *pair, "--to", kind, "--stage-px", "96"]) == 0
    path = tmp_path / f"meissonic-{view}.{kind}"
    assert path.stat().st_size > 1000
    assert capsys.readouterr().out.strip() == str(path)
    assert "--force" in fails(capsys, "export", *pair, "--to", kind)


def test_export_of_views_and_steps(capsys, tmp_path, pair):
    still = tmp_path / "still.png"
    assert cli.main(["export", pair[1], "--to", "png", "--view", "picture", "--step", "3", "--stage-px", "96", "--out", str(still)]) == 0
    with Image.open(still) as image:
        assert image.size == (192, 192)
    assert cli.main(["export", *pair, "--to", "png", "--steps", "1,8", "--out", str(tmp_path / "h.png")]) == 0
    assert "steps 1 to 8" in fails(
        capsys, "export", pair[0], "--to", "png", "--view", "picture", "--step", "9", "--out", str(tmp_path / "x.png")
    )
    assert "--steps '0'" in fails(capsys, "export", pair[0], "--to", "png", "--steps", "0,1", "--out", str(tmp_path / "x.png"))
    assert "cannot be written as svg" in fails(capsys, "export", pair[0], "--to", "svg", "--view", "reveal")
    assert "does not end in .gif" in fails(capsys, "export", pair[0], "--to", "gif", "--out", "x.png")
