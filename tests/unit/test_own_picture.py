"""Pictures of one's own: files that are not trusted become tokens, or a clear error."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tests.pictures import claimed_png, saved
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.editing import picture
from uncage_demo.editing.picture import encode_picture, error_map, read_picture

TINY = EmbeddedBackend.tiny(seed=0)
SIZE = TINY.info.image_size_px
RNG = np.random.default_rng(5)
PIXELS = RNG.integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def test_a_picture_of_the_right_size_keeps_its_pixels() -> None:
    for source in (PIXELS, Image.fromarray(PIXELS), saved(Image.fromarray(PIXELS)), io.BytesIO(saved(Image.fromarray(PIXELS)))):
        read, notes = read_picture(source, SIZE)
        assert np.array_equal(read, PIXELS)
        assert notes == ()


def test_a_picture_becomes_tokens_with_what_is_lost(tmp_path) -> None:
    path = tmp_path / "mine.png"
    path.write_bytes(saved(Image.fromarray(PIXELS)))
    own = encode_picture(TINY, path)
    assert own.tokens.shape == TINY.info.grid
    assert np.array_equal(own.tokens, TINY.encode_image(PIXELS))
    assert np.array_equal(own.error, error_map(PIXELS, own.decoded, TINY.info.grid))
    assert own.error.mean() > 1


def test_the_error_map_is_the_mean_difference_of_each_cell() -> None:
    one, other = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8)
    other[:2, 2:] = 30
    other[3, 3, 0] = 24
    assert error_map(one, other, (2, 2)).tolist() == [[0.0, 30.0], [0.0, 2.0]]


def test_other_sizes_are_cropped_to_the_middle() -> None:
    wide = np.zeros((50, 150, 3), np.uint8)
    wide[:, 50:100] = 200
    read, notes = read_picture(wide, (96, 96))
    assert read.shape == (96, 96, 3)
    assert (read[:, 5:-5] == 200).all()
    assert "from 150 × 50 to 96 × 96 px" in notes[0]


def test_exif_turns_a_picture_upright() -> None:
    tall = np.zeros((SIZE[0], SIZE[1], 3), np.uint8)
    tall[: SIZE[0] // 2] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    read, notes = read_picture(saved(Image.fromarray(tall), exif=exif), SIZE)
    assert read[-1].min() == 255
    assert read[0].max() == 0
    assert any("upright" in note for note in notes)


@pytest.mark.parametrize(
    ("image", "kind", "told"),
    [
        (Image.fromarray(PIXELS).convert("CMYK"), "JPEG", "CMYK"),
        (Image.fromarray(PIXELS).convert("L"), "PNG", ""),
        (Image.fromarray(PIXELS).convert("P"), "GIF", ""),
        (Image.fromarray(PIXELS).convert("1"), "PNG", ""),
        (Image.fromarray(PIXELS).convert("LAB"), "TIFF", "LAB"),
        (Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257), "PNG", "I;16"),
    ],
)
def test_other_colours_become_rgb(image, kind, told) -> None:
    read, notes = read_picture(saved(image, kind), SIZE)
    assert read.shape == (*SIZE, 3)
    assert told in " ".join(notes)
    if told == "I;16":
        assert np.abs(read[..., 0].astype(int) - PIXELS[..., 0]).max() <= 1


def test_transparency_lies_on_white_and_the_first_frame_is_used() -> None:
    clear = Image.new("RGBA", (SIZE[1], SIZE[0]), (0, 0, 0, 0))
    read, notes = read_picture(saved(clear), SIZE)
    assert (read == 255).all()
    assert "white" in notes[0]
    frames = [Image.new("RGB", (SIZE[1], SIZE[0]), color) for color in ((255, 0, 0), (0, 0, 255))]
    read, notes = read_picture(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]), SIZE)
    assert read[0, 0].tolist() == [255, 0, 0]
    assert "2 frames" in notes[0]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"hello", "no picture that can be read: give a PNG, JPEG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no picture that can be read"),
        (saved(Image.fromarray(PIXELS))[:3000], "damaged or cut short"),
        (saved(Image.fromarray(PIXELS), "JPEG")[:900], "damaged or cut short"),
        (claimed_png(30_000, 30_000), "at most"),
        (claimed_png(9_000, 9_000), "9000 × 9000 px: at most 20,000 px per side and 64,000,000 in all"),
        (claimed_png(60_000, 10), "at most 20,000 px per side"),
        (np.zeros((4, 4), np.uint8), "height, width, 3"),
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (None, "picture is missing: give a PNG, JPEG"),
        (7, "picture is int: give a PNG, JPEG"),
    ],
)
def test_bad_files_are_refused_with_what_is_allowed(data, message) -> None:
    with pytest.raises(ValueError, match=message):
        read_picture(data, SIZE)


def test_files_are_bounded(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(picture, "MAX_FILE_BYTES", 100)
    path = tmp_path / "large.png"
    path.write_bytes(b"x" * 101)
    for source in (path, path.read_bytes(), io.BytesIO(path.read_bytes())):
        with pytest.raises(ValueError, match=r"large\.png has 101|more than 100 bytes"):
            read_picture(source, SIZE)
    with pytest.raises(FileNotFoundError):
        read_picture(tmp_path / "none.png", SIZE)
