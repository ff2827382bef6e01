"""The parts of the embedded model while it is made: fresh ones, those of checkpoints, and the model folder they become."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from uncage_demo.backends.ages import age_file, ages_in
from uncage_demo.backends.embedded import vocab
from uncage_demo.backends.embedded.backend import STYLES
from uncage_demo.backends.embedded.detector import Detector
from uncage_demo.backends.embedded.files import SHARED_PARTS, load_parts
from uncage_demo.backends.embedded.tokenizer import ImageTokenizer
from uncage_demo.backends.embedded.transformer import SceneTransformer
from uncage_demo.config import DEFAULT_STEPS
from uncage_demo.files import replacing, write_atomically
from uncage_demo.train.binding import REPORT_SEED, choose_heads
from uncage_demo.train.export import export
from uncage_demo.train.loop import Progress, load_checkpoint, save_checkpoint
from uncage_demo.train.place_codes import assign
from uncage_demo.train.places import PAPER, PLACE_PAPER
from uncage_demo.train.scenes import PLAIN_MIX, SpriteAtlas, sample_scene
from uncage_demo.train.token_scenes import TokenScenes
from uncage_demo.train.worlds import CLEAN, World

PARTS = ("tokenizer", "detector", "transformer")
# Tables with a row for every word, or for every place in the caption.
GROWING = ("word_embedding.weight", "word_position")


def new_parts(tiny: bool) -> dict[str, Any]:
    """Fresh modules of the shipped architecture, or of a very small one."""
    words, nouns, styles = len(vocab.WORDS), len(vocab.NOUNS), len(STYLES)
    if tiny:
        return {
            "tokenizer": ImageTokenizer(encoder_width=64, decoder_widths=(32, 16, 16), blocks=(1, 1, 0)),
            "transformer": SceneTransformer(words, vocab.TEXT_LENGTH, width=64, ratio=2, text_layers=1, multi_layers=1, single_layers=2),
            "detector": Detector(nouns, styles, widths=(16, 32, 48)),
        }
    return {
        "tokenizer": ImageTokenizer(),
        "transformer": SceneTransformer(words, vocab.TEXT_LENGTH),
        "detector": Detector(nouns, styles),
    }


def load_grown(folder: Path, parts: dict[str, Any]) -> None:
    """Start from the weights of a model folder whose vocabulary or text length may be smaller (words are only ever added at the end).

    What is new keeps its fresh values; everything else must fit.

    Args:
        folder: a model folder (config.json and safetensors). parts: modules to fill, in place.

    Raises:
        FileNotFoundError: a part's file is missing.
        ValueError: the architecture differs in more than that.
    """
    for name, module in parts.items():
        path = folder / f"{name}.safetensors"
        if not path.exists():
            raise FileNotFoundError(
                f"{path} is missing; --init takes a model folder with {', '.join(f'{part}.safetensors' for part in parts)}"
            )
        old, state = load_file(path), module.state_dict()
        for key, fresh in state.items():
            value = old.get(key)
            if value is None or value.shape[1:] != fresh.shape[1:] or len(value) > len(fresh):
                has = "nothing" if value is None else tuple(value.shape)
                raise ValueError(f"{path}: {key} has {has}, wanted {tuple(fresh.shape)}; only rows may be added")
            if value.ndim and len(value) < len(fresh) and key not in GROWING:
                raise ValueError(f"{path}: {key} has {len(value)} rows, wanted {len(fresh)}; only {', '.join(GROWING)} may grow")
            if value.ndim:
                fresh[: len(value)] = value.float()
            else:
                state[key] = value.float()
        module.load_state_dict(state)


def own_parts(shared: Path | None) -> list[str]:
    """The parts that a training folder trains itself; `shared`: the model folder whose tokenizer and detector it uses, None = its own."""
    return [part for part in PARTS if shared is None or part not in SHARED_PARTS]


def has_checkpoints(folder: Path, shared: Path | None = None) -> bool:
    """Whether every part that the training folder trains itself has a checkpoint there (`shared` as in `own_parts`)."""
    return all((folder / f"{part}.ckpt").exists() for part in own_parts(shared))


def restore(folder: Path, stage: str, parts: dict[str, Any], part: str | None = None) -> None:
    """Load a stage's weights into `part` (by default the part named like the stage).

    Raises:
        FileNotFoundError: the stage has not been run.
    """
    path = folder / f"{stage}.ckpt"
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; run the stage {stage!r} first")
    load_checkpoint(path, {part or stage: parts[part or stage]}, [])


def restore_decoder(folder: Path, parts: dict[str, Any]) -> None:
    """The tokenizer with the decoder of the stage "decoder", whose codes must be those of the stage "tokenizer".

    Raises:
        ValueError: the tokenizer was trained on after its decoder.
    """
    before = [p.detach().clone() for p in parts["tokenizer"].encoder.parameters()]
    restore(folder, "decoder", parts, "tokenizer")
    after = parts["tokenizer"].encoder.parameters()
    if not all(torch.equal(one, other) for one, other in zip(before, after, strict=True)):
        raise ValueError(
            f"{folder / 'decoder.ckpt'} belongs to other image codes than tokenizer.ckpt; remove it and run the stage 'decoder'"
        )


def restored(folder: Path, atlas: SpriteAtlas, tiny: bool = False, *, shared: Path | None = None) -> dict[str, Any]:
    """All parts as the training folder's checkpoints have them, and those of the model folder `shared` that it uses."""
    parts = new_parts(tiny)
    for part in own_parts(shared):
        restore(folder, part, parts)
    if shared is not None:
        return parts | shared_parts(shared)
    if (folder / "decoder.ckpt").exists():
        restore_decoder(folder, parts)
    assign(parts["tokenizer"], atlas, folder)
    return parts


def start_from(init: Path, folder: Path, parts: dict[str, Any]) -> None:
    """Begin a training folder with the weights of a model folder; its tokenizer stands for the stage "tokenizer", which is not run.

    Args:
        init: a model folder, see `load_grown`. folder: the training folder. parts: modules to fill, in place; no tokenizer among them
            where it is another world's.
    """
    load_grown(init, parts)
    if "tokenizer" in parts and not (folder / "tokenizer.ckpt").exists():
        save_checkpoint(folder / "tokenizer.ckpt", Progress(), {"tokenizer": parts["tokenizer"]}, [])


def export_scenes(scenes: TokenScenes, path: Path, count: int = 64) -> None:
    """Write unseen scenes of two coloured objects on plain paper as token grids, so that a model can be examined without the art.

    Args:
        scenes: the source.
        path: an .npz file with the arrays of `TokenBatch`.
        count: number of scenes.
    """
    rng = np.random.default_rng(REPORT_SEED + 1)
    drawn = (sample_scene(rng, (0.0, 1.0, 0.0), PLAIN_MIX) for _ in itertools.count())
    colored = (scene for scene in drawn if all(placed.color for placed in scene.objects))
    batch = scenes.collate(list(itertools.islice(colored, count)))
    with replacing(path) as place:
        np.savez_compressed(place, **{name: part.numpy().astype(np.int16) for name, part in vars(batch).items()})


def shared_parts(folder: Path) -> dict[str, Any]:
    """Tokenizer and detector of a finished model, for one of another world.

    Args:
        folder: its model folder.

    Raises:
        FileNotFoundError: a file is missing; ValueError: one is damaged, or the codes of the background tiles are not known.
    """
    loaded = load_parts(folder)
    if not loaded.config["tokenizer"].get("tile_codes"):
        raise ValueError(f"{folder / 'config.json'} has no tile codes: the tokenizer is not finished, run the stage 'decoder' of its world")
    return {name: loaded.parts[name].requires_grad_(False).eval() for name in SHARED_PARTS}


def export_model(
    parts: dict[str, Any], atlas: SpriteAtlas, out: Path, world: World = CLEAN, *, shared: Path | None = None, kept: Path | None = None
) -> list[tuple[int, int]]:
    """Choose the heads that guidance reads, write the model folder; returns the (layer, head) pairs.

    Args:
        parts: tokenizer, transformer, detector.
        atlas: the art.
        out: the model folder.
        world: that the transformer was trained in.
        shared: the model folder whose tokenizer and detector these are: they are named in the config, not copied. None = they are its own.
        kept: training folder whose ages are copied.
    """
    parts = {name: part.cpu().eval() for name, part in parts.items()}
    heads = choose_heads(parts["transformer"], TokenScenes(atlas, parts["tokenizer"]))
    papers = {place: np.rint(255 * rgb).astype(int).tolist() for place, rgb in {"": PAPER, **PLACE_PAPER}.items()}
    settings: dict[str, Any] = {
        "attention_heads": heads,
        "blur": 0.75,
        "defaults": {"num_steps": world.default_steps or DEFAULT_STEPS, "guidance_scale": world.guidance_scale},
        "papers": papers,
    }
    if world != CLEAN:
        settings = {"id": world.model, "title": world.title, "world": world.name} | settings
    if shared is not None:
        settings = {"shared": Path(os.path.relpath(shared.resolve(), out.resolve())).as_posix()} | settings
        parts = {"transformer": parts["transformer"]}
    export(out, parts, settings, world.compact)
    if kept is not None and world.keeps_ages:
        for age in ages_in(kept):
            age_file(out, age).parent.mkdir(exist_ok=True)
            write_atomically(age_file(out, age), age_file(kept, age).read_bytes())
    return heads
