"""From a network and a checkpoint folder to a backend: what loading Meissonic and loading aMUSEd have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from uncage_demo.backends.base import RandomStart
from uncage_demo.backends.large.backend import LargeBackend
from uncage_demo.backends.large.clip import ClipText
from uncage_demo.backends.large.layout import Parts
from uncage_demo.backends.large.network import NetworkFacts
from uncage_demo.backends.large.pictures import VqPictures
from uncage_demo.backends.large.settings import OwnSettings, settings_of
from uncage_demo.backends.large.weights import first_line, load_diffusers, load_text_encoder, load_tokenizer, read_json, weight_hash
from uncage_demo.backends.options import ModelOptions
from uncage_demo.types import ModelInfo

BLUR_CELLS = 2.0  # the paper's sigma, at Meissonic's attention grid of 32 x 32; other grids get the same fraction of the picture
REFERENCE_CELLS = 32
SCHEDULERS = ("AmusedScheduler", "Scheduler")  # aMUSEd's; Meissonic's and its descendants'


@dataclass(frozen=True)
class NetworkShape:
    """What a network's config says about it.

    Args:
        codebook_size, vocab_size: image tokens; rows of the token embedding (mask id included).
        text_width, pooled_width: what it takes from the text encoder.
        layer_heads: heads of each layer that attention can be read from, in the order the layers run.
        default_layers: those read by default.
        joint: text and image attend jointly.
        downsample: attends at half the token grid.
        default_size_px: side of its usual picture.
        time_as_fraction: the timestep that it is given is (T-1-s)/T, not T-1-s.
        random_start: of a one-step model, how it begins; None for the others.
    """

    codebook_size: int
    vocab_size: int
    text_width: int
    pooled_width: int
    layer_heads: tuple[int, ...]
    default_layers: range
    joint: bool
    downsample: bool
    default_size_px: int
    time_as_fraction: bool = False
    random_start: RandomStart | None = None

    @classmethod
    def of(cls, config: Any, *, size_px: tuple[int, int], **own: Any) -> NetworkShape:
        """From a network's config, as far as all networks name things alike.

        Args:
            config: has codebook_size, vocab_size and downsample.
            size_px: usual side of a picture without and with downsampling.
            own: the other fields.
        """
        return cls(
            codebook_size=config.codebook_size,
            vocab_size=config.vocab_size,
            downsample=config.downsample,
            default_size_px=size_px[bool(config.downsample)],
            **own,
        )


@dataclass(frozen=True)
class LoadOptions:
    """How a large model is loaded.

    Args:
        id, title, description: for ModelInfo.
        device, dtype: where and how transformer and text encoder run; the VQ decoder always runs in float32.
        family: which code runs it.
        settings: its authors' settings; None = those of the published model that it resembles.
        chosen: what was asked for beyond that.
        size_px: usual side of its pictures; None = that of the published models whose grid is halved as its is.
    """

    id: str
    title: str
    device: torch.device
    dtype: torch.dtype
    family: str
    description: str = ""
    settings: OwnSettings | None = None
    chosen: ModelOptions = field(default_factory=ModelOptions)
    size_px: int | None = None


def assemble(parts: Parts, network: nn.Module, shape: NetworkShape, options: LoadOptions) -> LargeBackend:
    """Add text encoder, VQ model and facts to a network.

    Args:
        parts: where the checkpoint's parts lie; the transformer is loaded already.
        network: see backend.TokenNetwork.
        shape: of the network.
        options: see LoadOptions.

    Raises:
        ValueError: incomplete or unfitting checkpoint, or a size the model does not allow.
    """
    from diffusers.models.autoencoders.vq_model import VQModel

    mask_id, schedule = read_scheduler(parts.scheduler, shape)
    pictures = VqPictures(load_diffusers(VQModel, parts.vqvae, torch.float32))
    text = ClipText(load_tokenizer(parts.tokenizer), load_text_encoder(parts.text_encoder, options.dtype))
    # Weights may fit by shape and still not run: what is tried here would otherwise fail in the middle of somebody's picture.
    _try(parts.text_encoder, "text encoder", lambda: text.encode("a"))
    _try(parts.vqvae, "picture decoder", lambda: pictures.swatches([0], 1))
    widths = (text.encoder.config.hidden_size, text.encoder.config.projection_dim)
    if widths != (shape.text_width, shape.pooled_width):
        raise ValueError(
            f"{parts.text_encoder}: text encoder of width {widths[0]} and projection {widths[1]}, "
            f"the transformer takes {shape.text_width} and {shape.pooled_width}"
        )
    coarse = 2 if shape.downsample else 1
    side_px = options.size_px or shape.default_size_px
    grid, size_px = grid_of(options.chosen.image_size_px or side_px, pictures.factor, coarse)
    usual = size_px == (side_px, side_px)
    attended = (grid[0] // coarse, grid[1] // coarse)
    layers, default = len(shape.layer_heads), shape.default_layers
    own = options.settings or settings_of(options.family, shape.downsample)
    info = ModelInfo(
        id=options.id,
        title=options.title,
        weight_hash=weight_hash(parts.weighty, [] if parts.lora is None else [parts.lora / "adapter_model.safetensors"]),
        grid=grid,
        codebook_size=shape.codebook_size,
        image_size_px=size_px,
        attention_grid=attended,
        single_layers=layers,
        num_heads=shape.layer_heads[default.start],
        default_source="all" if len(default) == layers else f"layers:{default.start}-{default.stop - 1}",
        default_steps=own.num_steps,
        default_guidance_scale=own.guidance_scale,
        description=options.description,
        default_noise_temperature=own.noise_temperature,
        default_schedule=schedule,
        default_negative_prompt=own.negative_prompt,
    )
    return LargeBackend(
        info,
        NetworkFacts(
            shape.layer_heads,
            default,
            shape.joint,
            attended,
            BLUR_CELLS * attended[0] / REFERENCE_CELLS,
            shape.time_as_fraction,
            shape.random_start,
        ),
        text,
        network,
        pictures,
        mask_id,
        options.device,
        # Asking for the usual size is asking for nothing, in traces and result lines too.
        options=replace(options.chosen, image_size_px=None) if usual else options.chosen,
    )


def read_scheduler(folder: Path, shape: NetworkShape) -> tuple[int, str]:
    """The mask id and our name of the schedule, from a scheduler's config; what it leaves out is as the authors' scheduler has it.

    Raises:
        ValueError: naming file, value and what is allowed.
    """
    path = folder / "scheduler_config.json"
    config = read_json(path)
    kind = config.get("_class_name", SCHEDULERS[0])
    # A fine-tuned copy may call its scheduler what it likes, as long as it counts masked positions; a diffusion model's does not.
    if kind not in SCHEDULERS and "mask_token_id" not in config:
        raise ValueError(f"{path}: _class_name={kind!r} and no mask_token_id; {' and '.join(SCHEDULERS)} are known")
    mask_id = config.get("mask_token_id", shape.vocab_size - 1)
    if type(mask_id) is not int or not shape.codebook_size <= mask_id < shape.vocab_size:
        allowed = f"{shape.codebook_size}..{shape.vocab_size - 1}"
        raise ValueError(f"{path}: mask_token_id={mask_id!r}; the token embedding leaves {allowed} for it")
    schedule = config.get("masking_schedule", "cosine")
    if schedule not in ("cosine", "linear"):
        raise ValueError(f"{path}: masking_schedule={schedule!r}; cosine and linear are known")
    return mask_id, f"{schedule}_float32"


def _try(folder: Path, part: str, run: Callable[[], Any]) -> None:
    """Run a freshly loaded part once; what goes wrong becomes a ValueError that names its folder."""
    try:
        run()
    except Exception as error:  # any kind: the config decides where it fails
        raise ValueError(f"{folder}: the {part} does not run with this config ({first_line(error)})") from None


def grid_of(size_px: int | tuple[int, int], factor: int, multiple: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Token grid (y, x) and picture size (height, width) of a wanted size.

    Args:
        size_px: one number for a square, or (height, width).
        factor: pixels a token side.
        multiple: what the token grid must be divisible by.

    Raises:
        ValueError: naming the size and the step that sizes must keep to.
    """
    height, width = (size_px, size_px) if isinstance(size_px, int) else size_px
    step = factor * multiple
    if height < step or width < step or height % step or width % step:
        raise ValueError(f"image size {height} × {width} px: both sides must be multiples of {step}")
    return (height // factor, width // factor), (height, width)
