"""Your own picture: read from a file that is not trusted, fitted to a model, and turned into tokens."""

from __future__ import annotations

import io
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from uncage_demo.backends.base import Backend

MAX_FILE_BYTES = 64 << 20
MAX_PIXELS = 64_000_000
MAX_SIDE_PX = 20_000
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
PAPER = (255, 255, 255)


@dataclass(frozen=True)
class OwnPicture:
    """A picture as a model's tokens can hold it.

    Args:
        given: "H W 3" uint8, fitted to the model's size.
        tokens: "y x" int64.
        decoded: "H W 3" uint8: what the tokens give.
        error: "y x" float32 mean absolute difference of the two in each cell, 0..255.
        notes: what was done to the file, one sentence each.
    """

    given: np.ndarray
    tokens: np.ndarray
    decoded: np.ndarray
    error: np.ndarray
    notes: tuple[str, ...] = ()


def read_picture(source: Any, size_px: tuple[int, int]) -> tuple[np.ndarray, tuple[str, ...]]:
    """A picture from a file, bytes or an array, turned upright, in RGB, cropped to the middle and scaled to a size.

    Args:
        source: path, bytes, open binary file, PIL picture, or "H W 3" uint8.
        size_px: (height, width) wanted.

    Returns:
        "H W 3" uint8, and what was done to it, one sentence each. A picture of the right size keeps its pixels.

    Raises:
        ValueError: not a picture, a damaged or truncated one, too large, or of a type that is not allowed; it says what is.
        OSError: the file cannot be read.
    """
    from PIL import Image, ImageOps

    notes: list[str] = []
    picture = _opened(source)
    frames = getattr(picture, "n_frames", 1)
    if frames > 1:
        notes.append(f"It is animated ({frames} frames): the first frame is used.")
        picture.seek(0)
    try:
        picture.load()
        orientation = picture.getexif().get(0x0112, 1)
        if orientation not in (0, 1):
            notes.append("It was turned upright, as its EXIF data say.")
        picture = ImageOps.exif_transpose(picture)
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"the picture is damaged or cut short ({str(error) or type(error).__name__}): give a whole {_formats()} file"
        ) from error
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        clear = picture.convert("RGBA")
        notes.append("Its transparent parts were laid on white.")
        picture = Image.alpha_composite(Image.new("RGBA", clear.size, (*PAPER, 255)), clear)
    elif picture.mode not in ("RGB", "L", "P", "1"):
        notes.append(f"Its colours were turned from {picture.mode} into RGB.")
    if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
        picture = _eight_bits(picture)
    picture = picture.convert("RGB")
    height, width = size_px
    if picture.size != (width, height):
        old = f"{picture.size[0]} × {picture.size[1]}"
        picture_shape = picture.size[0] / picture.size[1]
        picture = ImageOps.fit(picture, (width, height), Image.Resampling.LANCZOS)
        crop = "cropped to its middle and " if abs(picture_shape - width / height) > 0.01 else ""
        notes.append(f"It was {crop}scaled from {old} to {width} × {height} px, this model's size.")
    return np.array(picture), tuple(notes)  # a copy: what Pillow lends cannot be written to


def encode_picture(backend: Backend, source: Any) -> OwnPicture:
    """A picture of one's own as a model's tokens, with what is lost.

    Args:
        backend: the model whose image tokenizer reads it.
        source: as `read_picture`.

    Raises:
        ValueError, OSError: as `read_picture`.
    """
    given, notes = read_picture(source, backend.info.image_size_px)
    tokens = backend.encode_image(given)
    decoded = backend.decode_tokens(torch.from_numpy(np.ascontiguousarray(tokens))[None].to(backend.device))[0]
    return OwnPicture(given, tokens, decoded, error_map(given, decoded, backend.info.grid), notes)


def error_map(one: np.ndarray, other: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Mean absolute difference of two pictures "H W 3" uint8 in each cell: "y x" float32, 0..255."""
    rows, columns = grid
    far = np.abs(one.astype(np.float32) - other.astype(np.float32))
    height, width = far.shape[0] // rows, far.shape[1] // columns
    return far.reshape(rows, height, columns, width, 3).mean(axis=(1, 3, 4))


def _opened(source: Any) -> Any:
    """A picture, opened but not unpacked; its size is checked first, so that a small file cannot fill the memory."""
    from PIL import Image, UnidentifiedImageError

    if isinstance(source, Image.Image):
        picture = source
    elif isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim != 3 or source.shape[2] != 3 or 0 in source.shape:
            raise ValueError(f"picture is {source.dtype} of shape {source.shape}: give uint8 of shape (height, width, 3)")
        picture = Image.fromarray(source)
    else:
        file = _bounded(source)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the bound below is ours
                picture = Image.open(file, formats=FORMATS)
        except Image.DecompressionBombError as error:
            raise ValueError(f"the picture is too large: at most {MAX_PIXELS:,} pixels are allowed") from error
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError) as error:
            raise ValueError(f"this is no picture that can be read: give a {_formats()} file") from error
    width, height = picture.size
    if not (1 <= width <= MAX_SIDE_PX and 1 <= height <= MAX_SIDE_PX) or width * height > MAX_PIXELS:
        raise ValueError(f"the picture has {width} × {height} px: at most {MAX_SIDE_PX:,} px per side and {MAX_PIXELS:,} in all")
    return picture


def _bounded(source: str | Path | bytes | BinaryIO) -> io.BytesIO:
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ValueError(f"{path.name} has {size:,} bytes: a picture may have {MAX_FILE_BYTES:,}")
        data = path.read_bytes()
    elif isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
    elif hasattr(source, "read"):
        data = source.read(MAX_FILE_BYTES + 1)
    else:
        raise ValueError(f"picture is {'missing' if source is None else type(source).__name__}: give a {_formats()} file")
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(f"the picture has more than {MAX_FILE_BYTES:,} bytes, which is the most that is allowed")
    if not data:
        raise ValueError(f"the picture's file is empty: give a {_formats()} file")
    return io.BytesIO(data)


def _eight_bits(picture: Any) -> Any:
    """A picture of more than 8 bits a channel with its own range stretched to 0..255 where it exceeds that."""
    from PIL import Image

    values = np.nan_to_num(np.asarray(picture).astype(np.float64))
    high = values.max() if values.size else 0
    top = 255.0 if high <= 255 else 65535.0 if high <= 65535 else float(high)
    return Image.fromarray((np.clip(values, 0, top) * (255 / top)).round().astype(np.uint8))


def _formats() -> str:
    return f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
