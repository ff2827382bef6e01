"""Files are whole or not there: what stood before stays until the new content is complete."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from tests.factories import make_trace
from uncage_demo import export
from uncage_demo.bench.records import write_records
from uncage_demo.files import replacing, write_atomically
from uncage_demo.render.animation import save_animation
from uncage_demo.render.figures import order_figure, save_figure


def write_half(path) -> None:
    with replacing(path) as place:
        place.write_bytes(b"half")
        (path.parent / "none").read_bytes()


def test_text_and_bytes(tmp_path) -> None:
    assert write_atomically(tmp_path / "a.txt", "grün\n") == tmp_path / "a.txt"
    assert (tmp_path / "a.txt").read_bytes() == "grün\n".encode()
    write_atomically(tmp_path / "a.txt", b"\0\1")
    assert (tmp_path / "a.txt").read_bytes() == b"\0\1"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_the_old_file_stays_until_the_new_one_is_complete(tmp_path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    with replacing(path) as place:
        assert place.suffix == ".png"
        assert place.parent == tmp_path
        place.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    with pytest.raises(FileNotFoundError):
        write_half(path)
    assert path.read_bytes() == b"new"
    assert [found.name for found in tmp_path.iterdir()] == ["a.png"]


def test_links_are_followed_and_rights_are_the_usual_ones(tmp_path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"
    (tmp_path / "plain").write_bytes(b"")
    assert (tmp_path / "real").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_device_is_written_to_and_not_replaced() -> None:
    write_atomically(os.devnull, b"anything")
    assert not os.path.isfile(os.devnull)


def test_a_folder_that_is_not_there(tmp_path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "none" / "a", b"")


TRACE = make_trace(grid=(6, 6), steps=3, image_px=48)
WRITERS = {
    "run.npz": lambda path: TRACE.save(path),
    "figure.png": lambda path: save_figure(order_figure([TRACE]), path),
    "side.png": lambda path: export.write_view(path, [TRACE], "side-by-side"),
    "reveal.gif": lambda path: save_animation([Image.new("RGB", (96, 96), color) for color in ("red", "blue")], path),
    "reveal.webp": lambda path: save_animation([Image.new("RGB", (96, 96), color) for color in ("red", "blue")], path),
    "player.html": lambda path: export.write_view(path, [TRACE], "player"),
    "records.jsonl": lambda path: write_records(path, [{"schema": 1, "key": "a"}]),
    "run.json": lambda path: export.write_run(path.parent, [TRACE], [None], ()),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_disk_that_is_full_at_the_end_leaves_the_old_file(tmp_path, monkeypatch, name: str) -> None:
    """Every writer puts its bytes elsewhere first: when the last step fails, the old file is as it was and nothing lies about."""
    path = tmp_path / name
    path.write_bytes(b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            WRITERS[name](path)
    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == [name]
    WRITERS[name](path)
    assert path.stat().st_size > 3


def test_a_picture_of_which_half_is_written(tmp_path, monkeypatch) -> None:
    path = tmp_path / "order.png"
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path)
    old = path.read_bytes()

    def half(self, file, **options):
        file.write_bytes(old[:20])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", half)
    with pytest.raises(OSError, match="No space"):
        export.write_view(path, [TRACE], "picture")
    assert path.read_bytes() == old
    assert [found.name for found in tmp_path.iterdir()] == ["order.png"]
