"""Moving pictures from frames: GIF, animated WebP and MP4, with timing and size bounds. Knows Pillow pictures and files only."""

from __future__ import annotations

import errno
import importlib
import importlib.util
import itertools
import os
import shutil
import signal
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from uncage_demo.files import replacing

FORMATS = ("gif", "webp", "mp4")
MAX_FRAMES = 600
MAX_SIDE_PX = 4096
MAX_TOTAL_PIXELS = 1_000_000_000  # of all frames together
MIN_SIDE_PX = 96  # a size bound never shrinks the longer side below this
MAX_SHRINKS = 6


class EncoderMissing(RuntimeError):
    """No program for this format is installed; the message says what to install."""


@dataclass(frozen=True)
class Timing:
    """How fast an animation runs.

    Args:
        step_s: seconds each frame is shown, 0.02..10.
        start_s, hold_s: seconds the first and the last frame are shown, 0.02..60.
        loop: times it plays; 0 = for ever (MP4 leaves that to the player).

    Raises:
        ValueError: naming the field, the value and what is allowed.
    """

    step_s: float = 0.14
    start_s: float = 0.6
    hold_s: float = 2.5
    loop: int = 0

    def __post_init__(self) -> None:
        for name, value, high in (("step_s", self.step_s, 10), ("start_s", self.start_s, 60), ("hold_s", self.hold_s, 60)):
            if not 0.02 <= value <= high:
                raise ValueError(f"{name}={value!r}: give seconds from 0.02 to {high}")
        if isinstance(self.loop, bool) or not isinstance(self.loop, int) or not 0 <= self.loop <= 1000:
            raise ValueError(f"loop={self.loop!r}: give a whole number from 0 (for ever) to 1000")

    def durations_ms(self, frames: int) -> list[int]:
        """Milliseconds of each of n frames, multiples of 10 as GIF stores them; a single frame gets the hold."""
        durations = [self.step_s] * frames
        if frames > 1:
            durations[0] = self.start_s
        if frames:
            durations[-1] = self.hold_s
        return [max(20, round(d * 100) * 10) for d in durations]


@dataclass(frozen=True)
class AnimationInfo:
    """What was written.

    Args:
        path: the file.
        frames: number of frames given.
        size_px: (width, height) as stored.
        size_bytes: of the file.
        duration_s: of one pass.
        shrunk: True when a size bound made the pictures smaller than the frames given.
    """

    path: Path
    frames: int
    size_px: tuple[int, int]
    size_bytes: int
    duration_s: float
    shrunk: bool


def save_animation(
    frames: Iterable[Image.Image],
    path: str | Path,
    timing: Timing = Timing(),
    *,
    max_bytes: int | None = None,
    quality: int = 82,
) -> AnimationInfo:
    """Write frames as an animation; the suffix chooses the format.

    Args:
        frames: 1..600 RGB pictures of one size.
        path: ends in .gif, .webp or .mp4.
        timing: seconds a frame, start and hold.
        max_bytes: pictures are made smaller, step by step, until the file fits; None = no bound.
        quality: of WebP and MP4, 1..100.

    Returns:
        What was written, with `shrunk` telling whether the bound applied.

    Raises:
        ValueError: for no frames, too many or too large ones, different sizes, another suffix, or a bound that even small pictures miss.
        EncoderMissing: for .mp4 where no ffmpeg is installed.
        OSError: the disk is full.
    """
    path = Path(path)
    kind = path.suffix.lower().lstrip(".")
    if kind not in FORMATS:
        raise ValueError(f"{path.name!r}: an animation ends in one of {', '.join('.' + f for f in FORMATS)}")
    if not 1 <= quality <= 100:
        raise ValueError(f"quality={quality!r}: give a whole number from 1 to 100")
    if max_bytes is not None and max_bytes < 1:
        raise ValueError(f"max_bytes={max_bytes!r}: give a number of bytes of at least 1, or None")
    pictures = _checked(frames)
    encoder = find_ffmpeg() if kind == "mp4" else None
    durations = timing.durations_ms(len(pictures))
    original = pictures[0].size
    current = pictures
    with replacing(path) as place:
        for attempt in itertools.count():
            if kind == "gif":
                _save_gif(current, place, durations, timing.loop)
            elif kind == "webp":
                _save_webp(current, place, durations, timing.loop, quality)
            else:
                _save_mp4(current, place, durations, quality, str(encoder))
            size_bytes = place.stat().st_size
            if max_bytes is None or size_bytes <= max_bytes:
                break
            # bytes grow a little slower than pixels do; aim below the bound so that few rounds are needed
            factor = min(0.9, 0.95 * (max_bytes / size_bytes) ** 0.5)
            width, height = (max(1, round(side * factor)) for side in current[0].size)
            if attempt == MAX_SHRINKS or max(width, height) < MIN_SIDE_PX:
                raise ValueError(f"max_bytes={max_bytes}: even {current[0].width}x{current[0].height} pixels take {size_bytes} bytes")
            current = [p.resize((width, height), Image.Resampling.LANCZOS) for p in pictures]
    with_even = tuple(side + side % 2 for side in current[0].size) if kind == "mp4" else current[0].size
    return AnimationInfo(path, len(pictures), (with_even[0], with_even[1]), size_bytes, sum(durations) / 1000, current[0].size != original)


def find_ffmpeg() -> str:
    """Path of an ffmpeg: the one on the path, else the one that the package imageio-ffmpeg brings.

    Raises:
        EncoderMissing: when there is none.
    """
    found = shutil.which("ffmpeg")
    if found:
        return found
    if importlib.util.find_spec("imageio_ffmpeg") is not None:
        return str(importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe())
    raise EncoderMissing("MP4 needs ffmpeg, and none is installed: install ffmpeg, or `pip install imageio-ffmpeg`, or write .webp or .gif")


def _checked(frames: Iterable[Image.Image]) -> list[Image.Image]:
    pictures: list[Image.Image] = []
    for picture in frames:
        if len(pictures) == MAX_FRAMES:
            raise ValueError(f"more than {MAX_FRAMES} frames: give at most {MAX_FRAMES}")
        if pictures and picture.size != pictures[0].size:
            raise ValueError(f"frame {len(pictures)} is {picture.size} pixels, the first is {pictures[0].size}: all must have one size")
        if max(picture.size) > MAX_SIDE_PX:
            raise ValueError(f"frame of {picture.size} pixels: give at most {MAX_SIDE_PX} a side")
        if (len(pictures) + 1) * picture.width * picture.height > MAX_TOTAL_PIXELS:
            raise ValueError(f"more than {MAX_TOTAL_PIXELS} pixels in all frames together: give fewer or smaller frames")
        pictures.append(picture.convert("RGB"))
    if not pictures:
        raise ValueError("0 frames: give at least one")
    return pictures


def _save_gif(pictures: Sequence[Image.Image], path: Path, durations_ms: list[int], loop: int) -> None:
    """One palette for all frames, so that unchanged cells do not flicker and only what changed is stored."""
    palette = _shared_palette(pictures)
    indexed = [p.quantize(palette=palette, dither=Image.Dither.NONE) for p in pictures]
    # GIF counts repeats after the first play, and leaving the entry out means "once"
    extra = {} if loop == 1 else {"loop": max(0, loop - 1)}
    indexed[0].save(
        path, format="GIF", save_all=True, append_images=indexed[1:], duration=durations_ms, optimize=False, disposal=1, **extra
    )


def _shared_palette(pictures: Sequence[Image.Image]) -> Image.Image:
    """The 256 colours that serve a sample of frames (the last one twice: it is looked at longest)."""
    picks = sorted({round(i * (len(pictures) - 1) / 5) for i in range(6)})
    tiles = [pictures[i] for i in picks] + [pictures[-1]]
    width = min(480, tiles[0].width)
    tiles = [t.resize((width, max(1, round(t.height * width / t.width))), Image.Resampling.NEAREST) for t in tiles]
    sheet = Image.new("RGB", (width, sum(t.height for t in tiles)))
    y = 0
    for tile in tiles:
        sheet.paste(tile, (0, y))
        y += tile.height
    return sheet.quantize(256, method=Image.Quantize.MEDIANCUT, kmeans=1)


def _save_webp(pictures: Sequence[Image.Image], path: Path, durations_ms: list[int], loop: int, quality: int) -> None:
    pictures[0].save(
        path,
        format="WEBP",
        save_all=True,
        append_images=list(pictures[1:]),
        duration=durations_ms,
        loop=loop,
        quality=quality,
        method=2,  # half the time of 4 for a file 8 % larger
        minimize_size=False,
    )


def _save_mp4(pictures: Sequence[Image.Image], path: Path, durations_ms: list[int], quality: int, encoder: str) -> None:
    """H.264 at 25 frames a second; frames are repeated to last as long as asked. Sides are padded to even numbers, which 4:2:0 needs."""
    width, height = (side + side % 2 for side in pictures[0].size)
    crf = round(40 - 0.26 * quality)  # 1..100 onto constant rate factors 40..14
    command = [encoder, "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", "25"]
    command += [
        "-i",
        "-",
        "-an",
        "-c:v",
        "libx264",
        "-preset",
        "veryfast",  # somebody waits for the file; flat drawings stay small all the same
        "-pix_fmt",
        "yuv420p",
        "-crf",
        str(crf),
        "-movflags",
        "+faststart",
        "-f",
        "mp4",
        str(path),
    ]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stderr is not None
    shown = total = 0
    try:
        for picture, duration in zip(pictures, durations_ms, strict=True):
            padded = Image.new("RGB", (width, height))
            padded.paste(picture)
            total += duration
            data = padded.tobytes()
            # rounding the running total keeps the whole length right to one frame
            while shown < max(1, round(total / 40)):
                process.stdin.write(data)
                shown += 1
        process.stdin.close()
    except BrokenPipeError:
        pass  # the encoder stopped early; its message below says why
    message = process.stderr.read().decode(errors="replace").strip()
    process.stderr.close()
    ended = process.wait()
    if ended == -signal.SIGXFSZ or (ended and any(os.strerror(code) in message for code in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT))):
        raise OSError(errno.ENOSPC, f"no room for the {path.suffix} file: the disk is full, or no file may be this large")
    if ended != 0:
        raise RuntimeError(f"{Path(encoder).name} could not write a {path.suffix} file: {message or 'no message'}")
