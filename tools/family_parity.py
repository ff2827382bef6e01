"""Muddit and Di[M]O against their authors' own code: names at full size, logits and whole decodes at toy size. JSON on stdout.

    git clone https://github.com/M-E-AGI-Lab/Muddit && git clone https://github.com/yuanzhi-zhu/DiMO
    pip install --target older --no-deps diffusers==0.34.0        # their modules do not run with the one that we use
    PYTHONPATH=older:. python -m tools.family_parity --muddit Muddit --dimo DiMO

Their transformer, scheduler and sampling function run as they are; only their random numbers are replaced by ours. Weights are random and
of a few thousand parameters; at full size networks are built on the meta device, without values. Needs less than 2 GB of memory and refuses
to take more than 6 GB: their classes build billions of parameters where a setting is left out.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import json
import resource
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from tests.tiny_checkpoints import MASK_ID, write_meissonic, write_muddit
from uncage_demo.backends.large.hub import load_large
from uncage_demo.backends.large.meissonic_transformer import MeissonicTransformer, TransformerConfig
from uncage_demo.backends.large.weights import read_tensors
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.noise import gumbel, random_start, uniforms
from uncage_demo.decoding.run import Run
from uncage_demo.decoding.sampler import decode
from uncage_demo.prompt.parse import parse_prompt

MEMORY_BYTES = 6 << 30
TEXT, SEED = "a red turtle and a blue apple", 11
SIZES_PX = ((32, 32), (32, 48), (48, 32))
STEPS = (1, 5, 8, 12, 48, 64)
MASKED_SHARE, NOISE_SHARE = 0.6, 0.1  # the defaults of their sample_Meissonic.py


def theirs(folder: Path, package: str, module: str) -> Any:
    """A module of a checkout.

    Args:
        folder: the checkout.
        package: its package; one of that name from another checkout is forgotten.
        module: its name in the package.
    """
    for name in [name for name in sys.modules if name == package or name.startswith(package + ".")]:
        del sys.modules[name]
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(f"{package}.{module}")
    finally:
        sys.path.remove(str(folder))


def functions_of(script: Path, *names: str) -> dict[str, Any]:
    """Functions of a script that cannot be imported, because importing it runs it."""
    tree = ast.parse(script.read_text(encoding="utf-8"))
    wanted = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in names]
    scope: dict[str, Any] = {"torch": torch}
    exec(compile(ast.Module(wanted, type_ignores=[]), str(script), "exec"), scope)
    return {name: scope[name] for name in names}


def their_network(kind: Any, config: TransformerConfig) -> Any:
    """Their transformer for a config of ours, every setting of ours given.

    Raises:
        ValueError: their class lacks a setting, so that it would build something else.
    """
    given = asdict(config) | {"in_channels": config.width}
    # the signature, not __code__: their __init__ is wrapped, and what it does not find takes defaults of twelve billion parameters
    known = set(inspect.signature(kind.__init__).parameters)
    lacking = {name for name in given if name not in known and not (name == "tokenizer_vocab_size" and given[name] is None)}
    if lacking:
        raise ValueError(f"{kind.__name__} has no setting {', '.join(sorted(lacking))}")
    return kind(**{name: value for name, value in given.items() if name in known}).eval()


def different_names(kind: Any, **settings: Any) -> list[str]:
    """Names or shapes that their full-size network and ours do not share; built on the meta device."""
    config = TransformerConfig(**settings)
    with torch.device("meta"):
        networks = (their_network(kind, config), MeissonicTransformer(config))
    ours, them = ({(name, tuple(value.shape)) for name, value in network.state_dict().items()} for network in networks)
    return sorted(f"{name} {shape}" for name, shape in ours ^ them)


def filled(kind: Any, folder: Path) -> Any:
    """Their transformer with a tiny checkpoint's weights."""
    tensors = read_tensors(folder / "transformer")
    config = TransformerConfig.from_dict(json.loads((folder / "transformer" / "config.json").read_text()))
    network = their_network(kind, config)
    network.load_state_dict(tensors)
    return network


def image_ids(y: int, x: int) -> torch.Tensor:
    """Positions "n 3" of a token grid, at half its sides, as both pipelines make them."""
    ids = torch.zeros(y // 2, x // 2, 3)
    ids[..., 1], ids[..., 2] = torch.arange(y // 2)[:, None], torch.arange(x // 2)[None]
    return ids.view(-1, 3)


def their_inputs(backend: Any, *texts: str) -> tuple[dict[str, Any], torch.Tensor]:
    """What both transformers are given besides tokens and timestep, one row a text; the pooled embeddings apart."""
    y, x = backend.info.grid
    given = [backend._encode(text) for text in texts]
    rest = {
        "encoder_hidden_states": torch.stack([one.states for one in given]),
        "micro_conds": torch.tensor([[x * 4.0, y * 4.0, 0, 0, 6]]).expand(len(texts), -1),
        "img_ids": image_ids(y, x),
        "txt_ids": torch.zeros(given[0].states.shape[0], 3),
    }
    return rest, torch.stack([one.pooled for one in given])


def by_inverse_cdf(probabilities: torch.Tensor, step: int) -> torch.Tensor:
    """One id a row "n 1" from probabilities "n v", with the uniform numbers that our sampler draws with."""
    wanted = torch.from_numpy(uniforms(SEED, step, "token", len(probabilities)))[:, None]
    return torch.searchsorted(probabilities.double().cumsum(-1), wanted, right=True)


def half_masked(backend: Any) -> torch.Tensor:
    """A token grid "1 n" about half of which is masked."""
    count = backend.info.grid[0] * backend.info.grid[1]
    tokens = np.arange(count) % backend.info.codebook_size
    return torch.from_numpy(np.where(uniforms(3, 0, "start", count) < 0.5, MASK_ID, tokens))[None]


@torch.no_grad()
def muddit_logits(kind: Any, folder: Path) -> dict[str, float]:
    """Largest difference of logits, and their range, over several grids and steps."""
    found, low, high = 0.0, np.inf, -np.inf
    for size in SIZES_PX:
        backend = load_large(str(folder), image_size_px=size)
        network, tokens = filled(kind, folder), half_masked(backend)
        prompt = parse_prompt(TEXT, backend)
        rest, pooled = their_inputs(backend, TEXT)
        for step, count in ((0, 64), (7, 12), (47, 48)):
            ours = backend.forward(tokens, step, count, [backend.encode_prompt(prompt)], unconditional=False).cond
            timestep = torch.tensor([(count - 1 - step) / count])
            logits, _ = network(hidden_states=tokens.view(1, *backend.info.grid), pooled_projections=pooled, timestep=timestep, **rest)
            them = logits.flatten(2).transpose(1, 2)
            found, low, high = max(found, float((ours - them).abs().max())), min(low, float(them.min())), max(high, float(them.max()))
    return {"largest difference": found, "range": high - low}


@torch.no_grad()
def muddit_decodes(kind: Any, scheduling: Any, folder: Path) -> dict[str, int]:
    """Tokens that differ after any step of a whole decode: their scheduler, guidance 9, their negative prompt, noise 2 to 0."""
    found = {}
    for size in SIZES_PX:
        backend = load_large(str(folder), image_size_px=size)
        network, (y, x) = filled(kind, folder), backend.info.grid
        rest, pooled = their_inputs(backend, backend.negative_prompt, TEXT)
        for count in STEPS:
            run = Run(parse_prompt(TEXT, backend), DecodingConfig("meissonic", count, SEED))
            ours = [np.where(r.masked_before & ~r.committed, MASK_ID, r.sampled) for r in decode(backend, run)]
            scheduler = scheduling.Scheduler(mask_token_id=MASK_ID)
            scheduler.set_timesteps(count, (2, 0))
            tokens, different = torch.full((1, y, x), MASK_ID), 0
            for step, timestep in enumerate(scheduler.timesteps):
                at = torch.tensor([timestep / count])
                logits, _ = network(hidden_states=torch.cat([tokens] * 2), pooled_projections=pooled, timestep=at, **rest)
                without, with_text = logits.chunk(2)
                with their_noise(scheduling, step, y * x):
                    tokens = scheduler.step(without + 9.0 * (with_text - without), timestep, tokens).prev_sample
                different += int((tokens.flatten().numpy() != ours[step].reshape(-1)).sum())
            found[f"grid {y} x {x}, T = {count}"] = different
    return found


@contextmanager
def their_noise(scheduling: Any, step: int, count: int) -> Iterator[None]:
    """Their scheduler's draws of one step by our numbers."""

    def draw(probabilities: torch.Tensor, samples: int, generator: Any = None) -> torch.Tensor:
        return by_inverse_cdf(probabilities, step)

    def noise(like: torch.Tensor, generator: Any = None) -> torch.Tensor:
        return torch.from_numpy(gumbel(SEED, step, count))[None].to(like)

    with mock.patch.object(torch, "multinomial", draw), mock.patch.object(scheduling, "gumbel_noise", noise):
        yield


def as_their_random_numbers(start: np.ndarray) -> torch.Tensor:
    """Numbers "1 n" from which their code makes the mask of our start: it sorts them and masks where the index found is small enough."""
    order, masked = np.empty(len(start), dtype=int), start < 0
    order[masked], order[~masked] = np.arange(masked.sum()), np.arange(masked.sum(), len(start))
    ranks = np.empty(len(start))
    ranks[order] = np.arange(len(start))
    return torch.from_numpy(ranks)[None]


@torch.no_grad()
def dimo_decode(backend: Any, network: Any, one_step: Any, seed: int) -> tuple[float, float, int]:
    """Their one-step function with our start, our noise and our draws: (largest difference of logits, their range, tokens that differ)."""
    side, codes, prompt = backend.info.grid[0], backend.info.codebook_size, parse_prompt(TEXT, backend)
    start = random_start(seed, side * side, codes, MASKED_SHARE)
    seen = torch.from_numpy(np.where(start < 0, MASK_ID, start))[None]
    drawn: list[torch.Tensor] = []
    plain = torch.randn

    def kept(*shape: Any, **how: Any) -> torch.Tensor:
        drawn.append(plain(*shape, **how))
        return drawn[-1]

    with mock.patch.object(torch, "randn", kept):
        ours = backend.forward(seen, 0, 1, [backend.encode_prompt(prompt)], unconditional=False).cond
    (noise,) = drawn  # "y x c", theirs is "b c y x"
    record = next(iter(decode(backend, Run(prompt, DecodingConfig(seed=seed)))))
    rest, pooled = their_inputs(backend, TEXT)

    def sample(distribution: Any) -> torch.Tensor:
        flat = distribution.probs.reshape(-1, codes)
        wanted = torch.from_numpy(uniforms(seed, 0, "token", len(flat)))[:, None]
        return torch.searchsorted(flat.double().cumsum(-1), wanted, right=True).view(distribution.probs.shape[:-1])

    with (
        mock.patch.object(torch, "randint_like", lambda like, *_: torch.from_numpy(start).view_as(like)),
        mock.patch.object(torch, "rand", return_value=as_their_random_numbers(start)),
        mock.patch.object(torch, "randn_like", lambda like: noise[None].permute(0, 3, 1, 2).to(like)),
        mock.patch.object(torch.distributions.Categorical, "sample", sample),
    ):
        them, tokens = one_step(
            network,
            rest.pop("encoder_hidden_states"),
            pooled,
            fixed_ratio=MASKED_SHARE,
            patch_size=side,
            codebook_size=codes,
            mask_value=MASK_ID,
            device="cpu",
            noise_emb_perturb=NOISE_SHARE,
            **rest,
        )
    different = int((tokens.flatten().numpy() != record.sampled.reshape(-1)).sum())
    return float((ours - them).abs().max()), float(them.max() - them.min()), different


def dimo_decodes(kind: Any, one_step: Any, folder: Path) -> dict[str, float]:
    """The worst of several seeds and sizes; their function makes square pictures."""
    found = []
    for size in (32, 48):
        backend, network = load_large(str(folder), image_size_px=size, family="dimo"), filled(kind, folder)
        found += [dimo_decode(backend, network, one_step, seed) for seed in (SEED, 0, 5)]
    differences, ranges, tokens = zip(*found, strict=True)
    return {"largest difference": max(differences), "range": max(ranges), "tokens that differ": sum(tokens)}


def main() -> None:
    """Run what there is code for, and print what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--muddit", type=Path, help="checkout of Muddit")
    parser.add_argument("--dimo", type=Path, help="checkout of Di[M]O")
    options = parser.parse_args()
    warnings.simplefilter("ignore", FutureWarning)  # their way of reading their own config
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    report: dict[str, Any] = {"torch": torch.__version__, "diffusers": importlib.import_module("diffusers").__version__}
    with tempfile.TemporaryDirectory() as place:
        if options.muddit:
            kind = theirs(options.muddit, "src", "transformer").SymmetricTransformer2DModel
            scheduling = theirs(options.muddit, "src", "scheduler")
            folder = write_muddit(Path(place) / "muddit")
            report["muddit, full size, names or shapes that differ"] = {
                str(side): different_names(kind, tokenizer_vocab_size=49408, downsample=half, upsample=half)
                for side, half in ((512, False), (1024, True))
            }
            report["muddit, logits"] = muddit_logits(kind, folder)
            report["muddit, whole decodes, tokens that differ"] = muddit_decodes(kind, scheduling, folder)
        if options.dimo:
            kind = theirs(options.dimo, "Meissonic_src", "transformer").Transformer2DModel
            folder = write_meissonic(Path(place) / "dimo", downsample=True)
            report["dimo, full size, names or shapes that differ"] = different_names(kind)
            functions = functions_of(options.dimo / "sample_Meissonic.py", "generate_one_step")
            report["dimo, one step"] = dimo_decodes(kind, functions["generate_one_step"], folder)
    json.dump(report, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
