"""Picture files as people send them, good and hostile, and what is said of each."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

# What the notes say of a file; with "!" before it, the error.
SAID = {
    "plain.png": "from 64 × 40",
    "cmyk.jpg": "from CMYK into RGB",
    "turned.jpg": "turned upright",
    "animated.gif": "animated (3 frames)",
    "clear.png": "transparent parts were laid on white",
    "deep.png": "from I;16 into RGB",
    "truncated.png": "!damaged or cut short",
    "truncated.jpg": "!damaged or cut short",
    "huge.png": "!9000 × 9000 px: at most 20,000 px per side and 64,000,000 in all",
    "bomb.png": "!at most",
    "empty.png": "!empty",
    "text.png": "!no picture that can be read: give a PNG, JPEG",
    "vector.png": "!no picture that can be read",
}


def hostile_pictures() -> dict[str, bytes]:
    """{file name: bytes}; the names are those of SAID."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 64, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    frames = [Image.new("RGB", (32, 32), color) for color in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    png, jpeg = saved(image), saved(image, "JPEG")
    return {
        "plain.png": png,
        "cmyk.jpg": saved(image.convert("CMYK"), "JPEG"),
        "turned.jpg": saved(image, "JPEG", exif=exif),
        "animated.gif": saved(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "clear.png": saved(Image.new("RGBA", (64, 40), (0, 0, 0, 0))),
        "deep.png": saved(Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)),
        "truncated.png": png[: len(png) // 2],
        "truncated.jpg": jpeg[: len(jpeg) // 2],
        "huge.png": claimed_png(9_000, 9_000),
        "bomb.png": claimed_png(30_000, 30_000),
        "empty.png": b"",
        "text.png": b"hello",
        "vector.png": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    }


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The bytes of a picture file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def claimed_png(width: int, height: int) -> bytes:
    """A small file that claims to be a huge picture."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
