"""Backends: masked generative transformers behind one protocol."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING

from uncage_demo.backends.options import ModelOptions

if TYPE_CHECKING:
    from uncage_demo.backends.base import Backend


def load_backend(
    name: str = "embedded",
    device: str = "cpu",
    dtype: str | None = None,
    *,
    image_size_px: int | tuple[int, int] | None = None,
    text_encoder: str | None = None,
    negative_prompt: str | None = None,
    offload: bool = False,
    compile: bool = False,
    age: str | float | Fraction | None = None,
    lora: str | None = None,
    family: str | None = None,
    download: bool = True,
    report: Callable[[str, int], None] | None = None,
) -> Backend:
    """Load a model by name.

    All options after `device` but `age` are for large models; embedded ones always run in float32, at one size, and ship with the project.

    Args:
        name: "embedded", "embedded-web", "embedded-blind" (ship with the project), "meissonic", "monetico", "muddit-512",
            "muddit-1024", "dimo", "amused-256", "amused-512", a local folder, or a hub id.
        device: "cpu", "cuda", "cuda:N" or "auto" (cuda where there is one); Apple's mps is refused.
        dtype: "float32", "bfloat16" or "float16"; None = bfloat16 on GPUs that have it, float16 on others, float32 on CPUs.
        image_size_px: (height, width) or one number for a square, 1..4096, in steps that the model can draw; None = its usual size.
        text_encoder: folder or hub id of another CLIP text encoder of the same width; None = the model's usual one.
        negative_prompt: text of the unconditional half, which guidance steers away from, at most 500 characters; "" = an empty one,
            "authors" = the long text of Meissonic's authors, None = the model's own.
        offload: keep only the part in use on the device (for small GPUs; slower).
        compile: torch.compile the blocks around attention: needs a C++ compiler on CPU, Triton on CUDA; the first steps take a minute
            or more, and numbers differ from uncompiled ones in the last bits.
        age: weights as they were after this part of the training, such as "1/5", of embedded models that keep them; None = all of it.
        lora: folder or hub id of a LoRA adapter of aMUSEd's transformer, as peft saves it; needs peft.
        family: "meissonic", "muddit", "dimo" or "amused", for a folder or hub id whose config does not tell it.
        download: fetch what is missing; False = only what is on this machine. UNCAGE_DOWNLOAD=0 forbids it everywhere.
        report: called with (source, bytes) before a download; raise in it to stop.

    Returns:
        A Backend.

    Raises:
        ValueError: an unknown name, a damaged model, an option's value that is not allowed, or an option or age that the model does not
            have; FileNotFoundError: missing files.
    """
    from pathlib import Path

    from uncage_demo.backends.ages import WHOLE
    from uncage_demo.backends.devices import parse_device
    from uncage_demo.backends.embedded.backend import EmbeddedBackend
    from uncage_demo.backends.embedded.files import is_model_folder
    from uncage_demo.shipped import EMBEDDED

    told_age = None if age is None else str(age)
    options = ModelOptions(dtype, image_size_px, text_encoder, negative_prompt, offload, compile, lora, family, told_age)
    place = parse_device(device)
    folder = EMBEDDED.get(name, Path(name))
    if name in EMBEDDED or (folder.is_dir() and is_model_folder(folder)):
        options.refuse_for("the embedded model" if name in EMBEDDED else f"{name}, an embedded model,")
        return EmbeddedBackend.load(folder, place, options.age or WHOLE)
    if options.age is not None:
        raise ValueError(f"age={options.age!r}: {name} keeps no weights of its training; embedded-web does")
    from uncage_demo.backends.large.hub import load_large

    return load_large(name, device, download=download, report=report, **options.given())
