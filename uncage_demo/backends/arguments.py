"""The command line's options of a model, shared by every command that loads one: what they are called, and loading what they ask for."""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from uncage_demo.backends.device import parse_device
from uncage_demo.backends.options import ModelOptions

if TYPE_CHECKING:
    from uncage_demo.backends.base import Backend


def add_model_arguments(parser: argparse.ArgumentParser, *, model: str | None = "embedded", device: str | None = "auto") -> None:
    """Add --model, --device and --dtype, and the group of options that only large models have.

    Args:
        parser: of one command.
        model: the default; None = the command finds it elsewhere.
        device: the default; None = the command is told its device in another way, so there is no --device.
    """
    note = " (default: the one the line names)" if model is None else " (default: %(default)s)"
    parser.add_argument("--model", default=model, help="embedded, meissonic, monetico, amused-256, amused-512, a folder or a hub id" + note)
    if device is not None:
        parser.add_argument("--device", default=device, help="auto (cuda where there is one), cpu, cuda, cuda:1 (default: %(default)s)")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), help="precision of the model (default: the device's usual)")
    group = parser.add_argument_group("large models", "The embedded model has none of these.")
    group.add_argument(
        "--image-size",
        type=parse_size,
        metavar="PX",
        help="side of the picture in pixels, or HEIGHTxWIDTH, such as 512 or 512x768 (default: the model's usual)",
    )
    group.add_argument("--text-encoder", metavar="FOLDER", help="folder or hub id of another CLIP text encoder of the same width")
    group.add_argument("--negative-prompt", default="", metavar="TEXT", help="what guidance steers away from (default: an empty text)")
    group.add_argument("--offload", action="store_true", help="keep only the part in use on the GPU: needs less of its memory, slower")
    group.add_argument(
        "--compile",
        action="store_true",
        help="compile the blocks around attention: needs a C++ compiler on CPU, Triton on CUDA; the first steps take a minute or more",
    )
    group.add_argument("--no-download", action="store_true", help="fail instead of fetching a model that is not on this machine")


def parse_size(text: str) -> tuple[int, int]:
    """ "512" or "512x768" (height x width) -> (height, width).

    Raises:
        argparse.ArgumentTypeError: naming the text and what is allowed.
    """
    found = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", text.strip(), re.ASCII)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r}: give one number or HEIGHTxWIDTH, such as 512 or 512x768")
    return int(found[1]), int(found[2] or found[1])


def options_from(arguments: argparse.Namespace, told: ModelOptions | None = None) -> ModelOptions:
    """The model's options that a command line gives.

    Args:
        arguments: parsed, with what add_model_arguments added.
        told: what holds where the command line is silent (such as what a result line names).

    Raises:
        ValueError: naming the value and what is allowed.
    """
    given = ModelOptions(
        dtype=arguments.dtype,
        image_size_px=arguments.image_size,
        text_encoder=arguments.text_encoder,
        negative_prompt=arguments.negative_prompt,
        offload=arguments.offload,
        compile=arguments.compile,
    ).given()
    return replace(told or ModelOptions(), **given)


def load_model(
    arguments: argparse.Namespace, *, name: str = "embedded", device: str | None = None, told: ModelOptions | None = None
) -> Backend:
    """Load the model that a command line asks for; before something is fetched, its source and size go to stderr.

    Args:
        arguments: parsed, with what add_model_arguments added.
        name: the model where --model is silent.
        device: instead of --device.
        told: see options_from.

    Raises:
        ValueError: see load_backend; also a device that is not on this machine.
    """
    from uncage_demo.backends import load_backend

    options = options_from(arguments, told)
    return load_backend(
        arguments.model or name,
        device=device or pick_device(arguments.device),
        download=not arguments.no_download,
        report=_tell_download,
        **options.given(),
    )


def pick_device(name: str) -> str:
    """The device that --device means, as a name; "auto" is cuda where there is one, else cpu.

    Raises:
        ValueError: naming what was given and what is allowed, or a device that is not on this machine.
    """
    return str(parse_device(name))


def _tell_download(source: str, size: int) -> None:
    sys.stderr.write(f"uncage: fetching {size / 1e9:.1f} GB from {source} (--no-download forbids it)\n")
