"""Animations: timing, sizes, formats."""

import stat
import sys

import numpy as np
import pytest
from PIL import Image

from uncage_demo.render import animation
from uncage_demo.render.animation import EncoderMissing, Timing, find_ffmpeg, save_animation


def make_frames(count=5, size=(61, 43), seed=0):
    """A square that moves over a noisy ground."""
    ground = np.random.default_rng(seed).integers(90, 110, (size[1], size[0], 3)).astype(np.uint8)
    frames = []
    for index in range(count):
        picture = ground.copy()
        picture[10:20, 5 + 6 * index : 15 + 6 * index] = (230, 40, 40)
        frames.append(Image.fromarray(picture))
    return frames


def read(path):
    """(frames as arrays, durations in ms, loop) of a file as Pillow reads it."""
    with Image.open(path) as image:
        arrays, durations = [], []
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            image.load()
            arrays.append(np.asarray(image.convert("RGB")))
            durations.append(image.info.get("duration"))
        return arrays, durations, image.info.get("loop")


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_every_frame_comes_back_with_its_time(tmp_path, kind):
    frames = make_frames()
    info = save_animation(frames, tmp_path / f"a.{kind}", Timing(step_s=0.1, start_s=0.5, hold_s=2.0))
    arrays, durations, loop = read(info.path)
    assert len(arrays) == info.frames == 5
    assert durations == [500, 100, 100, 100, 2000]
    assert info.duration_s == pytest.approx(2.8)
    assert loop == 0
    assert info.size_bytes == info.path.stat().st_size
    for given, found in zip(frames, arrays, strict=True):
        assert np.abs(np.asarray(given).astype(int) - found).mean() < 6
    assert not info.shrunk


@pytest.mark.parametrize(("asked", "stored"), [(0, 0), (1, None), (3, 2)])
def test_gif_stores_repeats_after_the_first_play(tmp_path, asked, stored):
    save_animation(make_frames(2), tmp_path / "a.gif", Timing(loop=asked))
    assert read(tmp_path / "a.gif")[2] == stored


def test_gif_keeps_still_regions_still(tmp_path):
    save_animation(make_frames(6), tmp_path / "a.gif")
    arrays, _, _ = read(tmp_path / "a.gif")
    for later in arrays[1:]:
        assert np.array_equal(arrays[0][25:], later[25:])


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_a_size_bound_shrinks_the_picture_and_says_so(tmp_path, kind):
    # Grey noise: as hard to compress as coloured noise, without hundreds of thousands of colours to be mapped onto a palette.
    noise = [np.random.default_rng(i).integers(0, 256, (180, 240, 1)).astype(np.uint8) for i in range(3)]
    frames = [Image.fromarray(part.repeat(3, 2)) for part in noise]
    free = save_animation(frames, tmp_path / f"free.{kind}")
    bound = free.size_bytes // 3
    info = save_animation(frames, tmp_path / f"bound.{kind}", max_bytes=bound)
    assert info.shrunk
    assert info.size_bytes <= bound
    assert info.size_px[0] < 240
    assert info.size_px[0] / info.size_px[1] == pytest.approx(4 / 3, abs=0.03)
    with Image.open(info.path) as image:
        assert image.size == info.size_px


def test_an_impossible_bound_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="max_bytes=10"):
        save_animation(make_frames(), tmp_path / "a.gif", max_bytes=10)
    assert not (tmp_path / "a.gif").exists()


def test_bad_frames_are_refused(tmp_path):
    with pytest.raises(ValueError, match="0 frames"):
        save_animation([], tmp_path / "a.gif")
    with pytest.raises(ValueError, match="one size"):
        save_animation([*make_frames(1), *make_frames(1, (10, 10))], tmp_path / "a.gif")
    with pytest.raises(ValueError, match="4096 a side"):
        save_animation([Image.new("RGB", (5000, 2))], tmp_path / "a.gif")
    with pytest.raises(ValueError, match="more than 600 frames"):
        save_animation((Image.new("RGB", (2, 2)) for _ in range(10**9)), tmp_path / "a.gif")
    with pytest.raises(ValueError, match=r"'a\.png'"):
        save_animation(make_frames(), tmp_path / "a.png")
    with pytest.raises(ValueError, match="quality=0"):
        save_animation(make_frames(), tmp_path / "a.webp", quality=0)


@pytest.mark.parametrize("field", [{"step_s": 0.01}, {"step_s": 11}, {"hold_s": 0}, {"start_s": 61}, {"loop": -1}, {"loop": 1.5}])
def test_timing_is_checked(field):
    with pytest.raises(ValueError, match=next(iter(field))):
        Timing(**field)


def test_one_frame_is_held():
    assert Timing(hold_s=2.0).durations_ms(1) == [2000]
    assert Timing().durations_ms(0) == []


@pytest.mark.parametrize("ending", ["kill -XFSZ $$", "echo 'av_write: No space left on device' >&2; exit 1"])
def test_mp4_says_that_the_disk_is_full(tmp_path, monkeypatch, ending):
    program = tmp_path / "ffmpeg"
    program.write_text(f"#!/bin/sh\ncat > /dev/null\n{ending}\n")
    program.chmod(0o755)
    monkeypatch.setattr("uncage_demo.render.animation.find_ffmpeg", lambda: str(program))
    with pytest.raises(OSError, match=r"no room for the \.mp4 file: the disk is full"):
        save_animation(make_frames(), tmp_path / "a.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["ffmpeg"]


def test_without_an_encoder_mp4_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(animation.shutil, "which", lambda name: None)
    monkeypatch.setattr(animation.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EncoderMissing, match=r"ffmpeg.*\.webp"):
        save_animation(make_frames(), tmp_path / "a.mp4")
    assert not (tmp_path / "a.mp4").exists()


@pytest.fixture
def recorder(tmp_path, monkeypatch):
    """A program on the path under the encoder's name that stores the arguments and raw frames it is given."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "ffmpeg"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nopen(sys.argv[-1], 'wb').write(sys.stdin.buffer.read())\n"
        f"open({str(tmp_path / 'arguments')!r}, 'w').write('\\n'.join(sys.argv[1:]))\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder))
    return program


def test_mp4_hands_the_encoder_even_frames_for_as_long_as_asked(tmp_path, recorder):
    assert find_ffmpeg() == str(recorder)
    frames = make_frames()
    info = save_animation(frames, tmp_path / "a.mp4", Timing(step_s=0.1, start_s=0.5, hold_s=2.0))
    assert info.size_px == (62, 44)
    raw = np.frombuffer((tmp_path / "a.mp4").read_bytes(), np.uint8).reshape(-1, 44, 62, 3)
    assert len(raw) == round(2.8 * 25)
    assert np.array_equal(raw[0, :43, :61], np.asarray(frames[0]))
    assert np.array_equal(raw[-1, :43, :61], np.asarray(frames[-1]))
    arguments = (tmp_path / "arguments").read_text().split("\n")
    assert arguments[arguments.index("-s") + 1] == "62x44"


def test_a_failing_encoder_is_reported_in_its_own_words(tmp_path, recorder):
    recorder.write_text(f"#!{sys.executable}\nimport sys\nsys.stdin.buffer.read()\nsys.stderr.write('no such codec')\nsys.exit(3)\n")
    with pytest.raises(RuntimeError, match="no such codec"):
        save_animation(make_frames(), tmp_path / "a.mp4")
