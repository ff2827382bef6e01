"""What reading attention and guiding by it cost a Meissonic-shaped transformer: one decoding step, plain and with each feature.

    python -m uncage_demo.bench.large_overhead --width 512 --blocks 4,8 --grid 32 --rounds 5

Weights are random (cost does not depend on them), so nothing is downloaded. A step is one forward of the guidance batch (unconditional
and conditional half) and, where it guides, the contrast score on the CPU.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict

import torch

from uncage_demo.backends.attention import ColumnRecorder
from uncage_demo.backends.large.meissonic_blocks import Features
from uncage_demo.backends.large.meissonic_transformer import MeissonicTransformer, TransformerConfig
from uncage_demo.bench.speed import Timing, time_paired
from uncage_demo.orders.contrast import attention_contrast
from uncage_demo.types import Subject

HEAD_WIDTH, TEXT_TOKENS, TEXT_WIDTH = 64, 77, 512
# Of the cells, what a partial step runs where about an eighth of the picture is drawn between two whole steps.
PARTIAL_SHARE = 1 / 8
SUBJECT_COLUMNS = (2, 3, 6, 7)  # "a red turtle and a blue apple": two objects, two attributes


def random_network(width: int, blocks: tuple[int, int], device: torch.device, dtype: torch.dtype, downsample: bool) -> MeissonicTransformer:
    """A random transformer of Meissonic's structure.

    Args:
        width: channels, a multiple of 64.
        blocks: (multi-modal, single-modal) blocks.
        device, dtype: where and how it runs.
        downsample: attend at half the token grid.

    Raises:
        ValueError: for a width that is no multiple of 64.
    """
    if width < HEAD_WIDTH or width % HEAD_WIDTH:
        raise ValueError(f"width={width}: give a multiple of {HEAD_WIDTH}")
    config = TransformerConfig(
        num_layers=blocks[0],
        num_single_layers=blocks[1],
        attention_head_dim=HEAD_WIDTH,
        num_attention_heads=width // HEAD_WIDTH,
        joint_attention_dim=TEXT_WIDTH,
        pooled_projection_dim=width,
        axes_dims_rope=(8, 28, 28),
        downsample=downsample,
        upsample=downsample,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return MeissonicTransformer(config).to(device=device, dtype=dtype).eval()


def measure(network: MeissonicTransformer, grid: int, rounds: int, compiled: MeissonicTransformer | None = None) -> list[Timing]:
    """Time one decoding step of one picture, paired.

    Args:
        network: see random_network.
        grid: side of the token grid; even where the network downsamples.
        rounds: of the paired timing.
        compiled: the same network with compiled blocks, or None.

    Returns:
        Plain forward; reading the subjects' columns; reading all text columns (what a full trace records); guiding (reading all
        columns and the contrast score); a partial step, which reuses the features of a whole one; with `compiled`, also its plain forward.
    """
    weight = network.context_embedder.weight
    config, device, generator = network.config, weight.device, torch.Generator().manual_seed(0)
    tokens = torch.randint(0, config.codebook_size, (2, grid, grid), generator=generator).to(device)
    text = torch.randn(2, TEXT_TOKENS, config.joint_attention_dim, generator=generator).to(device, weight.dtype)
    pooled = torch.randn(2, config.pooled_projection_dim, generator=generator).to(device, weight.dtype)
    size = 16.0 * grid
    micro = torch.tensor([[size, size, 0.0, 0.0, 6.0]], device=device).expand(2, -1)
    batch = (tokens, text, pooled, micro, torch.full((2,), 10.0, device=device))
    attended = grid // 2 if config.downsample else grid
    subjects = (Subject((1,), ((0,),), "red turtle"), Subject((3,), ((2,),), "blue apple"))
    words = torch.zeros(4, TEXT_TOKENS)
    words[range(4), SUBJECT_COLUMNS] = 1.0

    def read(columns: Sequence[int]) -> torch.Tensor:
        recorder = ColumnRecorder(columns, range(config.num_single_layers), rows=slice(TEXT_TOKENS, None), samples=slice(1, 2))
        network(*batch, recorder=recorder)
        return recorder.mean()

    def guide() -> object:
        maps = read(range(TEXT_TOKENS))[0].cpu().numpy()
        return attention_contrast(maps, words.numpy(), subjects, grid=(attended, attended), sigma=2.0)

    kept: list[Features] = []
    with torch.inference_mode():
        network(*batch, keep=kept)
    count = attended * attended
    cells = torch.randperm(count, generator=generator)[: max(1, round(PARTIAL_SHARE * count))].sort().values.to(device)
    variants: dict[str, Callable[[], object]] = {
        "plain step": lambda: network(*batch),
        "reading 4 text columns": lambda: read(SUBJECT_COLUMNS),
        "reading all 77 text columns": lambda: read(range(TEXT_TOKENS)),
        "guided step": guide,
        "partial step, an eighth of it": lambda: network.again(tokens, cells, pooled, micro, batch[-1], kept[0]),
    }
    if compiled is not None:
        variants["plain step, compiled"] = lambda: compiled(*batch)
    with torch.inference_mode():
        # On a CPU the processor's own seconds, which other programs on the machine do not stretch.
        return time_paired(variants, rounds, device, clock=time.process_time if device.type == "cpu" else time.perf_counter)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: print a table, or JSON with --json."""
    from uncage_demo.backends.devices import parse_device, parse_dtype
    from uncage_demo.backends.large.compiling import require_compiler

    parser = argparse.ArgumentParser(prog="python -m uncage_demo.bench.large_overhead", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--blocks", default="4,8", help="multi-modal,single-modal")
    parser.add_argument("--grid", type=int, default=32, help="side of the token grid")
    parser.add_argument("--downsample", action="store_true", help="attend at half the grid, as at 1024 px")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default=None)
    parser.add_argument("--compile", action="store_true", help="also time a plain step with compiled blocks")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    multi, comma, single = options.blocks.partition(",")
    if not (comma and multi.isdigit() and single.isdigit() and int(single)):
        parser.error(f'--blocks {options.blocks!r}: write two numbers, such as "4,8"')
    device = parse_device(options.device)
    shape = (options.width, (int(multi), int(single)), device, parse_dtype(options.dtype, device), options.downsample)
    network, compiled = random_network(*shape), None
    if options.compile:
        require_compiler(device)
        compiled = random_network(*shape)
        compiled.compile_blocks()
    timings = measure(network, options.grid, options.rounds, compiled)
    if options.json:
        print(json.dumps([asdict(timing) for timing in timings]))
        return 0
    parameters = sum(parameter.numel() for parameter in network.parameters())
    clock = "of the processor" if device.type == "cpu" else "of the clock"
    threads = torch.get_num_threads()
    print(
        f"{parameters / 1e6:.0f} million parameters, {options.grid} x {options.grid} tokens, {device}, {threads} threads; seconds {clock}"
    )
    for timing in timings:
        print(f"{timing.name:30} {timing.seconds:8.3f} s   x {timing.ratio:.3f}  ({timing.ratio_low:.3f} to {timing.ratio_high:.3f})")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
