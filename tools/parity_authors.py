"""Muddit and Di[M]O against their authors' own code, with random weights: logits and whole decodes. JSON on stdout.

    pip install --target OLD --no-deps diffusers==0.34.0       # their modules do not run with newer ones
    PYTHONPATH=OLD:. python -m tools.parity_authors --muddit MUDDIT --dimo DIMO

MUDDIT and DIMO are checkouts of github.com/M-E-AGI-Lab/Muddit and github.com/yuanzhi-zhu/DiMO. Their random numbers are replaced by ours,
everything else is theirs. The weights are those of the tests' tiny checkpoints, so nothing is downloaded.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from tests.tiny_checkpoints import MASK_ID
from tests.unit.test_large_family import write_muddit
from uncage_demo.backends.large.hub import load_large
from uncage_demo.backends.large.weights import read_tensors
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.noise import gumbel, random_start, uniforms
from uncage_demo.decoding.run import Run
from uncage_demo.decoding.sampler import decode
from uncage_demo.prompt.parse import parse_prompt

TEXT, SEED = "a red turtle and a blue apple", 11
SIZES_PX = ((32, 32), (32, 48), (48, 32))
STEPS = (5, 8, 12, 48, 64)


def theirs(folder: Path, package: str, module: str) -> Any:
    """A module of a checkout; its package is forgotten first, as both checkouts may use the same names."""
    for name in [name for name in sys.modules if name == package or name.startswith(package + ".")]:
        del sys.modules[name]
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(f"{package}.{module}")
    finally:
        sys.path.remove(str(folder))


def their_network(kind: Any, backend: Any, folder: Path) -> Any:
    """Their transformer with a checkpoint's weights."""
    config = asdict(backend.network.config) | {"in_channels": backend.network.config.width}
    network = kind(**{name: value for name, value in config.items() if name in kind.__init__.__code__.co_varnames})
    network.load_state_dict(read_tensors(folder / "transformer"))
    return network.eval()


def their_logits(network: Any, backend: Any, tokens: torch.Tensor, timestep: torch.Tensor, **more: Any) -> torch.Tensor:
    """Logits "1 n v" of their transformer for the prompt TEXT, with position ids as their pipelines make them."""
    y, x = backend.info.grid
    condition = backend.encode_prompt(parse_prompt(TEXT, backend))
    ids = torch.zeros(y // 2, x // 2, 3)
    ids[..., 1], ids[..., 2] = torch.arange(y // 2)[:, None], torch.arange(x // 2)[None]
    output = network(
        hidden_states=tokens.view(1, y, x),
        encoder_hidden_states=condition.states[None],
        pooled_projections=condition.pooled[None],
        micro_conds=torch.tensor([[x * 4.0, y * 4.0, 0, 0, 6]]),
        img_ids=ids.view(-1, 3),
        txt_ids=torch.zeros(condition.states.shape[0], 3),
        timestep=timestep,
        **more,
    )
    logits = output[0] if isinstance(output, tuple) else output
    return getattr(logits, "sample", logits).flatten(2).transpose(1, 2)


@torch.no_grad()
def muddit_logits(checkout: Path, folder: Path) -> dict[str, float]:
    """Largest differences of logits over several grids and steps."""
    kind = theirs(checkout, "src", "transformer").SymmetricTransformer2DModel
    found = {}
    for size in SIZES_PX:
        backend = load_large(str(folder), image_size_px=size)
        network = their_network(kind, backend, folder)
        tokens = torch.from_numpy(np.where(uniforms(3, 0, "start", backend.info.grid[0] * backend.info.grid[1]) < 0.5, MASK_ID, 7))[None]
        given = [backend.encode_prompt(parse_prompt(TEXT, backend))]
        for step, count in ((0, 64), (7, 12), (47, 48)):
            ours = backend.forward(tokens, step, count, given, unconditional=False).cond
            them = their_logits(network, backend, tokens, torch.tensor([(count - 1 - step) / count]))
            found[f"{backend.info.grid}, step {step} of {count}"] = float((ours - them).abs().max())
    return found


@torch.no_grad()
def muddit_decodes(checkout: Path, folder: Path) -> dict[str, int]:
    """Tokens that differ after any step of a whole decode with their pipeline's loop and scheduler, guidance 9, their negative prompt."""
    kind, scheduling = theirs(checkout, "src", "transformer").SymmetricTransformer2DModel, theirs(checkout, "src", "scheduler")
    backend = load_large(str(folder), image_size_px=32)
    network, (y, x) = their_network(kind, backend, folder), backend.info.grid
    given = backend.encode_prompt(parse_prompt(TEXT, backend))
    negative = backend._encode(backend.negative_prompt)
    ids = torch.zeros(y // 2, x // 2, 3)
    ids[..., 1], ids[..., 2] = torch.arange(y // 2)[:, None], torch.arange(x // 2)[None]
    found = {}
    for count in STEPS:
        run = Run(parse_prompt(TEXT, backend), DecodingConfig("meissonic", count, SEED))
        ours = [np.where(r.masked_before & ~r.committed, MASK_ID, r.sampled) for r in decode(backend, run)]
        scheduler = scheduling.Scheduler(mask_token_id=MASK_ID)
        scheduler.set_timesteps(count, (2, 0))
        tokens, different = torch.full((1, y, x), MASK_ID), 0
        for step, timestep in enumerate(scheduler.timesteps):
            logits, _ = network(
                hidden_states=torch.cat([tokens] * 2),
                micro_conds=torch.tensor([[x * 4.0, y * 4.0, 0, 0, 6]]).expand(2, -1),
                pooled_projections=torch.stack([negative.pooled, given.pooled]),
                encoder_hidden_states=torch.stack([negative.states, given.states]),
                img_ids=ids.view(-1, 3),
                txt_ids=torch.zeros(given.states.shape[0], 3),
                timestep=torch.tensor([timestep / count]),
            )
            none, guided = logits.chunk(2)

            def draw(probabilities: torch.Tensor, samples: int, generator: Any = None, step: int = step) -> torch.Tensor:
                wanted = torch.from_numpy(uniforms(SEED, step, "token", y * x))[:, None]
                return torch.searchsorted(probabilities.double().cumsum(-1), wanted, right=True)

            def noise(like: torch.Tensor, generator: Any = None, step: int = step) -> torch.Tensor:
                return torch.from_numpy(gumbel(SEED, step, y * x))[None].to(like)

            with mock.patch.object(torch, "multinomial", draw), mock.patch.object(scheduling, "gumbel_noise", noise):
                tokens = scheduler.step(none + 9.0 * (guided - none), timestep, tokens).prev_sample
            different += int((tokens.flatten().numpy() != ours[step]).sum())
        found[f"T = {count}"] = different
    return found


@torch.no_grad()
def dimo_logits(checkout: Path, folder: Path) -> dict[str, float]:
    """Largest differences of logits of the one forward, with the same start and the same noise on the embedded tokens."""
    kind = theirs(checkout, "Meissonic_src", "transformer").Transformer2DModel
    found = {}
    for size in SIZES_PX:
        backend = load_large(str(folder), image_size_px=size, family="dimo")
        them = their_network(kind, backend, folder)
        count = backend.info.grid[0] * backend.info.grid[1]
        start = random_start(SEED, count, backend.info.codebook_size, 0.6)
        tokens = torch.from_numpy(np.where(start < 0, MASK_ID, start))[None]
        given = [backend.encode_prompt(parse_prompt(TEXT, backend))]
        drawn: list[torch.Tensor] = []
        plain = torch.randn

        def ours_draws(*shape: Any, **how: Any) -> torch.Tensor:
            drawn.append(plain(*shape, **how))  # noqa: B023 (called within this turn)
            return drawn[-1]  # noqa: B023

        with mock.patch.object(torch, "randn", ours_draws):
            ours = backend.forward(tokens, 0, 1, given, unconditional=False).cond
        # their script's timestep: the share of masked positions as a whole number, which is 0
        timestep = torch.tensor([0.6], dtype=torch.long) * 1000
        with mock.patch.object(torch, "randn_like", lambda like: drawn[0][None].to(like)):  # noqa: B023
            other = their_logits(them, backend, tokens, timestep, noise_emb_perturb=0.1)
        assert len(drawn) == 1
        found[str(backend.info.grid)] = float((ours - other).abs().max())
        found[f"{backend.info.grid}, range"] = float(other.max() - other.min())
    return found


def main() -> None:
    """Run what there is code for, and print what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--muddit", type=Path, help="checkout of Muddit")
    parser.add_argument("--dimo", type=Path, help="checkout of Di[M]O")
    options = parser.parse_args()
    report: dict[str, Any] = {"torch": torch.__version__, "diffusers": importlib.import_module("diffusers").__version__}
    with tempfile.TemporaryDirectory() as place:
        from tests.tiny_checkpoints import write_meissonic

        if options.muddit:
            folder = write_muddit(Path(place) / "muddit")
            report["muddit, logits, largest difference"] = muddit_logits(options.muddit, folder)
            report["muddit, whole decodes, tokens that differ"] = muddit_decodes(options.muddit, folder)
        if options.dimo:
            folder = write_meissonic(Path(place) / "dimo", downsample=True)
            report["dimo, logits, largest difference"] = dimo_logits(options.dimo, folder)
    json.dump(report, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
