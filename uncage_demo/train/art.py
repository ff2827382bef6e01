"""Openly licensed emoji art: fetched by pinned package, checked, rasterised, recoloured.

The art is downloaded by the training command through the npm client and is not part of the repository.
Knows nothing of scenes or models.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from uncage_demo.backends.embedded.vocab import COLORS, NOUNS


@dataclass(frozen=True)
class Package:
    """One pinned npm package with its subresource integrity."""

    name: str
    version: str
    licence: str
    integrity: str


PACKAGES = (
    Package(
        "@iconify-json/noto",
        "1.2.9",
        "Apache-2.0 (Noto Emoji, Google Inc)",
        "sha512-DQiuXENbun41ch+XPSV55H9FaWKpHTyz46YIKtSaKYD4fIDDzL1tR6H4np/T38jfrTAeI3rcKF0mqHYeZVAuaw==",
    ),
    Package(
        "@iconify-json/mdi",
        "1.2.3",
        "Apache-2.0 (Material Design Icons, Pictogrammers)",
        "sha512-O3cLwbDOK7NNDf2ihaQOH5F9JglnulNDFV7WprU2dSoZu3h3cWH//h74uQAB87brHmvFVxIOkuBX2sZSzYhScg==",
    ),
)

ICON_OF = {noun: ("@iconify-json/noto", noun) for noun in NOUNS} | {
    "suitcase": ("@iconify-json/noto", "luggage"),
    "bow": ("@iconify-json/noto", "ribbon"),
    "car": ("@iconify-json/noto", "automobile"),
    "bowl": ("@iconify-json/noto", "bowl-with-spoon"),
    "clock": ("@iconify-json/noto", "alarm-clock"),
    "apple": ("@iconify-json/noto", "red-apple"),
    "bench": ("@iconify-json/mdi", "bench-back"),
}

BENCH_TINT = "#a9713f"
RASTER_PX = 512

# shade, colour, tint of each colour word (sRGB 0..255): dark, middle and light luminance of the drawing are mapped onto them.
RAMPS = {
    "black": ((8, 8, 12), (44, 44, 52), (122, 124, 136)),
    "blue": ((16, 34, 110), (38, 104, 226), (150, 198, 255)),
    "brown": ((58, 30, 12), (132, 78, 40), (204, 158, 112)),
    "gray": ((62, 66, 74), (132, 138, 146), (206, 210, 214)),
    "green": ((10, 74, 30), (40, 160, 66), (160, 228, 150)),
    "orange": ((146, 54, 0), (246, 130, 22), (255, 204, 132)),
    "pink": ((164, 40, 104), (250, 116, 176), (255, 206, 228)),
    "purple": ((60, 18, 104), (136, 62, 196), (214, 170, 246)),
    "red": ((104, 6, 16), (218, 30, 40), (255, 146, 138)),
    "white": ((112, 122, 140), (240, 243, 248), (255, 255, 255)),
    "yellow": ((150, 104, 0), (252, 212, 26), (255, 246, 160)),
}


def fetch_icons(cache: Path) -> dict[str, str]:
    """SVG source of every noun's drawing; downloads the pinned packages with npm when the cache lacks them.

    Args:
        cache: folder for the downloaded packages.

    Raises:
        RuntimeError: npm missing or failed, or a package whose contents differ from the pinned integrity.
    """
    cache.mkdir(parents=True, exist_ok=True)
    collections = {package.name: _load_package(package, cache) for package in PACKAGES}
    icons = {}
    for noun, (collection, name) in ICON_OF.items():
        data = collections[collection]
        icon = data["icons"][name]
        width, height = icon.get("width", data.get("width", 16)), icon.get("height", data.get("height", 16))
        body = icon["body"].replace("currentColor", BENCH_TINT)
        namespaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
        icons[noun] = f'<svg {namespaces} viewBox="0 0 {width} {height}">{body}</svg>'
    return icons


def _load_package(package: Package, cache: Path) -> dict:
    archive = cache / f"{package.name.replace('@', '').replace('/', '-')}-{package.version}.tgz"
    if not archive.exists():
        npm = shutil.which("npm")
        if npm is None:
            raise RuntimeError(
                f"npm is needed once to fetch {package.name}@{package.version}; install Node.js, or put {archive.name} into {cache}"
            )
        done = subprocess.run([npm, "pack", f"{package.name}@{package.version}", "--silent"], cwd=cache, capture_output=True, text=True)
        if done.returncode != 0 or not archive.exists():
            raise RuntimeError(f"npm pack {package.name}@{package.version} failed: {done.stderr.strip()[-400:]}")
    payload = archive.read_bytes()
    digest = "sha512-" + base64.b64encode(hashlib.sha512(payload).digest()).decode()
    if digest != package.integrity:
        archive.unlink()
        raise RuntimeError(f"{archive.name} does not match the pinned integrity {package.integrity}; it was removed")
    with tarfile.open(fileobj=io.BytesIO(payload)) as tar:
        member = tar.extractfile("package/icons.json")
        if member is None:
            raise RuntimeError(f"{archive.name} holds no package/icons.json")
        return json.load(member)


def rasterise(svg: str, size_px: int = RASTER_PX) -> np.ndarray:
    """RGBA float32 "h w 4" in 0..1 of an SVG, trimmed to its opaque box, centred and scaled to fill the square.

    Colour channels are not premultiplied.
    """
    try:
        import resvg_py
    except ImportError as error:
        raise RuntimeError("training draws its art with resvg-py; install it with `pip install resvg-py`") from error
    png = resvg_py.svg_to_bytes(svg_string=svg, width=size_px, height=size_px)
    image = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
    box = image.getchannel("A").point(lambda a: 255 if a > 8 else 0).getbbox()  # pyright: ignore[reportOperatorIssue]
    if box is None:
        raise ValueError("the drawing is empty")
    image = image.crop(box)
    side = max(image.size)
    square = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return np.asarray(square.resize((size_px, size_px), Image.Resampling.LANCZOS), np.float32) / 255


def recolour(rgba: np.ndarray, color: str) -> np.ndarray:
    """The drawing in another colour: its own luminance contrast mapped onto shade .. colour .. tint.

    Args:
        rgba: "h w 4" float 0..1.
        color: one of the eleven colour words.

    Returns:
        "h w 4" float32 0..1, same alpha.

    Raises:
        ValueError: for a colour that has no ramp.
    """
    if color not in RAMPS:
        raise ValueError(f"color={color!r}: choose one of {', '.join(COLORS)}")
    alpha = rgba[..., 3]
    luminance = rgba[..., :3] @ np.array([0.299, 0.587, 0.114], np.float32)
    inside = luminance[alpha > 0.5]
    low, middle, high = np.percentile(inside, (3, 50, 97))
    # The median becomes the pure colour, so that drawings that are mostly light or mostly dark keep the colour that was asked for;
    # the 0.25 floor keeps flat drawings flat instead of blowing their small differences up to the full ramp.
    offset = luminance - middle
    span = np.where(offset < 0, max(float(middle - low), 0.25), max(float(high - middle), 0.25))
    level = np.clip(0.5 + 0.5 * offset / span, 0, 1)
    shade, base, tint = (np.array(c, np.float32) / 255 for c in RAMPS[color])
    mix = np.where(
        (level < 0.5)[..., None],
        shade + (base - shade) * (level * 2)[..., None],
        base + (tint - base) * (level * 2 - 1)[..., None],
    )
    return np.concatenate([mix, alpha[..., None]], -1).astype(np.float32)


def sprite(rgba: np.ndarray, size_px: int, margin_px: int = 2) -> np.ndarray:
    """Premultiplied sprite "s s 4" float32 of a drawing at the wanted size, with a small transparent margin."""
    premultiplied = rgba.copy()
    premultiplied[..., :3] *= rgba[..., 3:]
    inner = size_px - 2 * margin_px
    channels = [
        np.asarray(
            Image.fromarray(premultiplied[..., c]).resize((inner, inner), Image.Resampling.LANCZOS if c == 3 else Image.Resampling.BOX)
        )
        for c in range(4)
    ]
    out = np.zeros((size_px, size_px, 4), np.float32)
    out[margin_px : margin_px + inner, margin_px : margin_px + inner] = np.stack(channels, -1)
    return np.clip(out, 0, 1)
