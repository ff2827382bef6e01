"""The command line's options of a model, shared by every command that loads one: what they are called, and loading what they ask for."""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from uncage_demo.backends.options import OPTIONS, ModelOptions

if TYPE_CHECKING:
    from uncage_demo.backends.base import Backend


NAMES = "embedded, embedded-web, embedded-blind, meissonic, monetico, muddit-512, muddit-1024, dimo, amused-256, amused-512"


def add_model_arguments(parser: argparse.ArgumentParser, *, model: str | None = "embedded", device: str | None = "auto") -> None:
    """Add --model and --device, and the group of options that only large models have (see options.OPTIONS).

    Args:
        parser: of one command.
        model: the default; None = the command finds it elsewhere.
        device: the default; None = the command is told its device in another way, so there is no --device.
    """
    note = " (default: the one the line names)" if model is None else " (default: %(default)s)"
    parser.add_argument(
        "--model",
        default=model,
        help=f"{NAMES}, a folder or a hub id" + note,
    )
    if device is not None:
        parser.add_argument("--device", default=device, help="auto (cuda where there is one), cpu, cuda, cuda:1 (default: %(default)s)")
    parser.add_argument(
        "--age",
        metavar="PART",
        help="weights after this part of the training, such as 1/5, for an embedded model that keeps them (default: the whole training)",
    )
    group = parser.add_argument_group("large models", "The embedded model has none of these.")
    for one in OPTIONS:
        how: dict[str, Any] = {"action": "store_true"} if one.kind == "switch" else {"metavar": one.metavar or None}
        if one.kind == "choice":
            how["choices"] = one.choices
        if one.kind == "size":
            how["type"] = parse_size
        group.add_argument(one.flag, dest=one.name, help=one.help.replace("%", "%%"), **how)
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
    given = ModelOptions(**{one.name: getattr(arguments, one.name) for one in OPTIONS}, age=arguments.age).given()
    return replace(told or ModelOptions(), **given)


def load_model(
    arguments: argparse.Namespace,
    *,
    name: str = "embedded",
    device: str | None = None,
    told: ModelOptions | None = None,
    age: str | None = None,
) -> Backend:
    """Load the model that a command line asks for; before something is fetched, its source and size go to stderr.

    Args:
        arguments: parsed, with what add_model_arguments added.
        name: the model where --model is silent.
        device: instead of --device.
        told: see options_from.
        age: instead of --age.

    Raises:
        ValueError: see load_backend; also a device that is not on this machine.
    """
    from uncage_demo.backends import load_backend
    from uncage_demo.backends.devices import parse_device

    options = options_from(arguments, told)
    if age is not None:
        options = replace(options, age=age)
    return load_backend(
        arguments.model or name,
        device=str(parse_device(device or arguments.device)),
        download=not arguments.no_download,
        report=_tell_download,
        **options.given(),
    )


def _tell_download(source: str, size: int) -> None:
    sys.stderr.write(f"uncage: fetching {size / 1e9:.1f} GB from {source} (--no-download forbids it)\n")
