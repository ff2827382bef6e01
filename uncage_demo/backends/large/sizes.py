"""What the catalogue's models weigh: bytes of weights and of GPU memory, computed from the shapes of the published configs.

Plain arithmetic, so that the catalogue can be read without torch; tests build the same modules on the meta device and compare.
"""

from __future__ import annotations

from dataclasses import dataclass, field

FLOAT32, HALF = 4, 2
# What the VQ decoder holds at once per pixel of the picture, in channels of float32: the widest layer at full size, its normalised copy
# and its result. Measured at 1024 px: 3.22 GB, 768 channels.
_DECODER_CHANNELS = 768


@dataclass(frozen=True)
class Sizes:
    """Parameters of a model's parts.

    Args:
        transformer, vq, text: numbers of parameters.
        side_px: side of its usual picture.
        published_text: parameters of the file that its text encoder is fetched in, where that holds more than the text encoder.
    """

    transformer: int
    vq: int
    text: int
    side_px: int
    published_text: int | None = field(default=None)

    @property
    def parameters(self) -> int:
        """Of the transformer."""
        return self.transformer

    @property
    def download_bytes(self) -> int:
        """Weights in float32, as published; tokenizers, a few MB, are left out."""
        return FLOAT32 * (self.transformer + self.vq + (self.published_text or self.text))

    def memory_bytes(self, *, width: int = HALF, offload: bool = False) -> int:
        """GPU memory at its highest, while a picture is decoded: the weights that stay and the VQ decoder's activations.

        Args:
            width: bytes of a number in transformer and text encoder; the VQ decoder always runs in float32.
            offload: only the part in use stays.

        Pictures of 1024 px are decoded one at a time, so that several side by side need no more.
        """
        decoding = FLOAT32 * (self.vq + _DECODER_CHANNELS * self.side_px**2)
        if offload:
            return max(decoding, width * self.transformer, width * self.text)
        return decoding + width * (self.transformer + self.text)


def linear(inputs: int, outputs: int, bias: bool = True) -> int:
    """Parameters of a linear layer."""
    return inputs * outputs + (outputs if bias else 0)


def meissonic(*, resample: bool, words: int = 0, c: int = 1024, heads_of: int = 128, vocab: int = 8256, codes: int = 8192) -> int:
    """Parameters of a Meissonic transformer: 14 multi-modal and 28 single-modal blocks.

    Args:
        resample: it halves and doubles the grid.
        words: rows of Muddit's text decoder.
        c: width; heads_of: width of a head; vocab: rows of the token embedding; codes: v.
    """
    attention = 3 * linear(c, c) + 2 * heads_of
    feed_forward = linear(c, 4 * c) + linear(4 * c, c)
    multi = 2 * linear(c, 6 * c) + 2 * attention + 2 * linear(c, c) + 2 * feed_forward
    single = linear(c, 3 * c) + linear(c, 4 * c) + linear(5 * c, c) + attention
    time_text = linear(256, c) + 3 * linear(c, c)
    condition = linear(1280 + c, c, bias=False) + linear(c, c, bias=False)
    tokens = vocab * c + c + c * c + 2 * (c * c + c) + linear(c, c) + c
    head = c * c + c + codes * c
    return 14 * multi + 28 * single + time_text + condition + tokens + head + (2 * (4 * c * c + c) if resample else 0) + words * c


def clip_text(*, c: int, inner: int, layers: int, vocab: int = 49408, places: int = 77) -> int:
    """Parameters of a CLIP text encoder with its projection."""
    layer = 4 * linear(c, c) + linear(c, inner) + linear(inner, c) + 4 * c
    return (vocab + places) * c + layers * layer + 2 * c + c * c


def clip_vision(*, c: int, inner: int, layers: int, patch: int, places: int, projection: int) -> int:
    """Parameters of CLIP's picture half, with its projection and the scale of the logits."""
    layer = 4 * linear(c, c) + linear(c, inner) + linear(inner, c) + 4 * c
    return c + 3 * patch * patch * c + places * c + layers * layer + 4 * c + projection * c + 1


def vq(*, channels: tuple[int, ...] = (128, 256, 256, 512, 768), latent: int = 64, codes: int = 8192, blocks: int = 2) -> int:
    """Parameters of the VQ model that all of them share: encoder, codebook, decoder."""

    def conv(inputs: int, outputs: int, size: int = 3) -> int:
        return inputs * outputs * size * size + outputs

    def resnet(inputs: int, outputs: int) -> int:
        return (
            2 * inputs
            + conv(inputs, outputs)
            + 2 * outputs
            + conv(outputs, outputs)
            + (conv(inputs, outputs, 1) if inputs != outputs else 0)
        )

    def stack(widths: tuple[int, ...], count: int) -> int:
        pairs = zip((widths[0], *widths[:-1]), widths, strict=True)
        return sum(resnet(before, here) + (count - 1) * resnet(here, here) for before, here in pairs) + sum(conv(w, w) for w in widths[:-1])

    middle = 2 * resnet(channels[-1], channels[-1])
    encoder = conv(3, channels[0]) + stack(channels, blocks) + middle + 2 * channels[-1] + conv(channels[-1], latent)
    upward = channels[::-1]
    decoder = conv(latent, upward[0]) + stack(upward, blocks + 1) + middle + 2 * upward[-1] + conv(upward[-1], 3)
    return encoder + decoder + 2 * conv(latent, latent, 1) + codes * latent


def uvit(
    *, resample: bool, c: int = 1024, wide: int = 768, layers: int = 22, inner: int = 2816, vocab: int = 8256, codes: int = 8192
) -> int:
    """Parameters of aMUSEd's transformer: 22 layers, and a block of 3 residual and attention pairs before and after them.

    Args:
        resample: it halves and doubles the grid.
        c: width; wide: channels of the convolutional blocks; inner: width of the feed-forward.
    """

    def attention(width: int) -> int:
        return 4 * width * width

    layer = 2 * (linear(c, 2 * c, bias=False) + c) + 2 * attention(c) + (linear(c, 2 * c, bias=False) + c) + 3 * inner * c
    residual = 9 * wide + wide + 4 * wide * wide + 4 * wide + 4 * wide + 4 * wide * wide + linear(c, 2 * wide, bias=False)
    block = residual + 2 * (attention(wide) + wide) + linear(c, wide, bias=False)
    resampling = 4 * wide * wide + wide if resample else 0
    condition = linear(1280 + 768, c, bias=False) + linear(c, c, bias=False)
    tokens = vocab * wide + wide + wide * wide
    text = linear(768, c, bias=False) + c
    around = wide + linear(wide, c, bias=False) + linear(c, wide, bias=False) + c
    head = wide * wide + wide + codes * wide
    return layers * layer + 6 * block + 2 * resampling + condition + tokens + text + around + head


_CLIP_H = clip_text(c=1024, inner=4096, layers=24)
_CLIP_H_WHOLE = _CLIP_H + clip_vision(c=1280, inner=5120, layers=32, patch=14, places=257, projection=1024)
_CLIP_L = clip_text(c=768, inner=3072, layers=12)
_WORDS = 49408  # CLIP's own; Muddit's mask word is not among what its text decoder writes
MODELS: dict[str, Sizes] = {
    "meissonic": Sizes(meissonic(resample=True), vq(), _CLIP_H, 1024, _CLIP_H_WHOLE),
    "monetico": Sizes(meissonic(resample=False), vq(), _CLIP_H, 512),
    "muddit-512": Sizes(meissonic(resample=False, words=_WORDS), vq(), _CLIP_H, 512),
    "muddit-1024": Sizes(meissonic(resample=True, words=_WORDS), vq(), _CLIP_H, 1024),
    "dimo": Sizes(meissonic(resample=True), vq(), _CLIP_H, 1024),
    "amused-256": Sizes(uvit(resample=False), vq(), _CLIP_L, 256),
    "amused-512": Sizes(uvit(resample=True), vq(), _CLIP_L, 512),
}
