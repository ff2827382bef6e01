"""Training on the pretended device, and a report after every step."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drawings import drawn_atlas
from tests.pretended_device import DEVICE, PretendedDevice
from tests.small_training import few_pictures, small_detector, small_tokenizer, small_transformer, train
from uncage_demo.train import loop, pictures
from uncage_demo.train import transformer as transformer_stage
from uncage_demo.train.token_scenes import TokenScenes


@contextlib.contextmanager
def pretended_accelerator(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """The pretended device, in float32, so that a run there can be compared with one on the CPU; two loading processes."""
    patch.setattr(loop, "autocast", lambda device: contextlib.nullcontext())
    patch.setattr(loop, "has_bf16", lambda device: False)
    patch.setattr(loop, "loader_workers", lambda device: 2 if device.type == DEVICE else 0)
    with PretendedDevice():
        yield


def report_one_step(stage: str, folder: Path, patch: pytest.MonkeyPatch) -> list[str]:
    """One step of a stage on the device with a report after it; returns the lines of the stage's log."""
    run = loop.run
    patch.setattr(loop, "run", lambda *args, **options: run(*args, **options | {"report_every_s": 0.0}))
    few_pictures(patch)
    if stage == "transformer":
        scenes, network = TokenScenes(drawn_atlas(), small_tokenizer().eval()), small_transformer()
        show = pictures.GeneratedPictures(folder, network, small_tokenizer(), small_detector())
        transformer_stage.train(scenes, folder, budget_s=1e9, batch=4, max_steps=1, model=network, show=show, device=DEVICE)
    else:
        train(stage, folder, 1, device=DEVICE)
    return (folder / f"{stage}.jsonl").read_text().splitlines()
