"""What the large models cost on a GPU: time of a step and of what is read from it, picture decoding, peak memory; JSON and a table.

    python -m tools.gpu_report --device cuda --out gpu-report.json
    python -m tools.gpu_report --device cpu --tiny --rounds 1 --out tiny.json      # tries the script itself

Weights are random (cost does not depend on them) and of the published shapes, built on the machine: nothing is downloaded. Parts that
fail, for want of memory or of a compiler, are reported with their error, and the others go on. After it, the GPU tests:

    python -m pytest tests/unit/test_gpu.py
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from uncage_demo.backends.base import Capture
from uncage_demo.backends.devices import parse_device, parse_dtype
from uncage_demo.backends.large.amused import AmusedNetwork
from uncage_demo.backends.large.backend import LargeBackend
from uncage_demo.backends.large.clip import ClipText
from uncage_demo.backends.large.meissonic_transformer import MeissonicTransformer, TransformerConfig
from uncage_demo.backends.large.network import NetworkFacts
from uncage_demo.backends.large.pictures import VqPictures
from uncage_demo.backends.large.settings import AUTHORS
from uncage_demo.backends.large.sizes import MODELS
from uncage_demo.backends.options import ModelOptions
from uncage_demo.bench.speed import time_paired
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.run import Run
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.runner import stream
from uncage_demo.types import ModelInfo

PROMPT = "a red turtle and a blue apple"
SUBJECT_COLUMNS = (2, 3, 6, 7)
# What the project promises: reading and guiding cost next to nothing, compiling is worth its wait.
GOALS = {"reading 4 text columns": 1.01, "guided step": 1.01, "compiled step, times faster": 1.3}


@dataclass(frozen=True)
class Plan:
    """A model to build: which transformer, how many tokens a side, how small.

    Args:
        name: in the catalogue.
        grid: side of the token grid.
        tiny: a few thousand parameters instead of the published shapes.
        network: of a tiny Meissonic: what its transformer has otherwise (see TransformerConfig).
    """

    name: str
    grid: int
    tiny: bool
    network: dict[str, Any] = field(default_factory=dict)


def random_backend(plan: Plan, device: torch.device, dtype: torch.dtype, *, offload: bool = False, compile: bool = False) -> LargeBackend:
    """A backend of random weights in the published shapes, the same on every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network, attended, width = _network(plan, dtype)
        vq, (tokenizer, encoder) = _vq(plan), _text(width, plan.tiny, dtype)
    own, heads = AUTHORS[plan.name], network.heads if isinstance(network, AmusedNetwork) else _heads(network)
    layers = network.main_layers if isinstance(network, AmusedNetwork) else range(len(heads))
    pictures = VqPictures(vq)
    info = ModelInfo(
        id=f"{plan.name}-random",
        title=f"{plan.name}, random weights",
        weight_hash="0" * 16,
        grid=(plan.grid, plan.grid),
        codebook_size=pictures.codebook_size,
        image_size_px=(plan.grid * pictures.factor,) * 2,
        attention_grid=(attended, attended),
        single_layers=len(heads),
        num_heads=heads[layers.start],
        default_steps=own.num_steps,
        default_guidance_scale=own.guidance_scale,
        default_noise_temperature=own.noise_temperature,
        default_schedule=own.schedule,
    )
    facts = NetworkFacts(heads, layers, not isinstance(network, AmusedNetwork), (attended, attended), 2.0 * attended / 32)
    options = ModelOptions(offload=offload, compile=compile)
    mask_id = pictures.codebook_size + 7
    return LargeBackend(info, facts, ClipText(tokenizer, encoder), network, pictures, mask_id, device, options=options)


def _heads(network: MeissonicTransformer) -> tuple[int, ...]:
    return (network.config.num_attention_heads,) * network.config.num_single_layers


def _network(plan: Plan, dtype: torch.dtype) -> tuple[Any, int, int]:
    """A transformer, the side of the grid at which it attends, and the width of its text."""
    resample = plan.name in ("meissonic", "amused-512")
    attended = plan.grid // 2 if resample else plan.grid
    if not plan.name.startswith("amused"):
        small: dict[str, Any] = {
            "num_layers": 1,
            "num_single_layers": 2,
            "attention_head_dim": 16,
            "num_attention_heads": 2,
            "joint_attention_dim": 32,
            "pooled_projection_dim": 32,
            "axes_dims_rope": (4, 6, 6),
            "vocab_size": 32,
            "codebook_size": 24,
        }
        config = TransformerConfig(downsample=resample, upsample=resample, **(small | plan.network if plan.tiny else {}))
        return MeissonicTransformer(config).to(dtype).eval(), attended, config.joint_attention_dim
    from diffusers.models.unets.uvit_2d import UVit2DModel

    small = {
        "hidden_size": 32,
        "cond_embed_dim": 32,
        "encoder_hidden_size": 32,
        "vocab_size": 32,
        "codebook_size": 24,
        "in_channels": 16,
        "block_out_channels": 16,
        "num_res_blocks": 1,
        "block_num_heads": 2,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
    }
    model: Any = UVit2DModel(downsample=resample, upsample=resample, **(small if plan.tiny else {}))
    model.to(dtype).eval()
    return AmusedNetwork(model), attended, model.config.encoder_hidden_size


def _vq(plan: Plan) -> Any:
    from diffusers.models.autoencoders.vq_model import VQModel

    blocks = (8, 8, 16) if plan.tiny else (128, 256, 256, 512, 768)
    return VQModel(
        down_block_types=("DownEncoderBlock2D",) * len(blocks),
        up_block_types=("UpDecoderBlock2D",) * len(blocks),
        block_out_channels=blocks,
        latent_channels=6 if plan.tiny else 64,
        layers_per_block=1 if plan.tiny else 2,
        num_vq_embeddings=plan.network.get("codebook_size", 24) if plan.tiny else 8192,
        norm_num_groups=4 if plan.tiny else 32,
        mid_block_add_attention=False,
        lookup_from_codebook=True,
    ).eval()


def _text(width: int, tiny: bool, dtype: torch.dtype) -> tuple[Any, Any]:
    """A tokenizer of single letters and a CLIP text encoder of the width that the transformer takes (ViT-H or ViT-L)."""
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

    letters = list("abcdefghijklmnopqrstuvwxyz")
    pieces = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer({piece: i for i, piece in enumerate(pieces)}, [], model_max_length=77)
    config = CLIPTextConfig(
        vocab_size=len(pieces) if tiny else 49408,
        hidden_size=width,
        intermediate_size=4 * width,
        projection_dim=width,
        num_hidden_layers=2 if tiny else 24 if width == 1024 else 12,
        num_attention_heads=2 if tiny else width // 64,
        bos_token_id=len(pieces) - 2,
        eos_token_id=len(pieces) - 1,
        pad_token_id=len(pieces) - 1,
    )
    encoder: Any = CLIPTextModelWithProjection(config)
    return tokenizer, encoder.to(dtype).eval()


def peak_gb(device: torch.device, run: Callable[[], object]) -> float | None:
    """GB (10^9 bytes) of GPU memory at the highest while something runs, what was there before included; None on a CPU."""
    if device.type != "cuda":
        run()
        return None
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    run()
    torch.cuda.synchronize(device)
    return round(torch.cuda.max_memory_allocated(device) / 1e9, 3)


def measure_steps(backend: LargeBackend, rounds: int) -> dict[str, Any]:
    """Seconds of one step of one picture, paired with a plain guided step, and of decoding its picture."""
    prompt = parse_prompt(PROMPT, backend)
    given = [backend.encode_prompt(prompt)]
    tokens = torch.full((1, backend.info.grid[0] * backend.info.grid[1]), backend.mask_id, device=backend.device)
    ids = tokens.clamp(max=backend.info.codebook_size - 1)

    def step(capture: Capture | None = None, *, guided: bool = True) -> object:
        return backend.forward(tokens, 0, 8, given, unconditional=guided, capture=capture)

    def guide() -> object:
        config = DecodingConfig("uncage", 1, contrast_steps=1)
        return list(stream(backend, [Run(prompt, config)], frames=False))[-1]

    def draw() -> object:
        return list(stream(backend, [Run(prompt, DecodingConfig("meissonic", 1))], frames=False))[-1]

    variants: dict[str, Callable[[], object]] = {
        "plain step": step,
        "conditional half alone": lambda: step(guided=False),
        "reading 4 text columns": lambda: step(Capture(columns=SUBJECT_COLUMNS)),
        "reading all 77 text columns": lambda: step(Capture()),
        "every layer and head of 4 columns": lambda: step(Capture(columns=SUBJECT_COLUMNS, full=True)),
        "decoding a picture": lambda: backend.decode_tokens(ids),
        "a run of one step, recorded": draw,
        "a run of one step, guided by attention": guide,
    }
    clock = time.process_time if backend.device.type == "cpu" else time.perf_counter
    timings = {one.name: asdict(one) for one in time_paired(variants, rounds, backend.device, clock=clock)}
    plain, guided = timings["a run of one step, recorded"], timings["a run of one step, guided by attention"]
    timings["guided step"] = {"name": "guided step", "ratio": guided["seconds"] / plain["seconds"]}
    return timings


def measure_memory(backend: LargeBackend) -> dict[str, float | None]:
    """Peak memory of whole two-step runs, one picture and two side by side, pictures of the steps included."""
    prompt = parse_prompt(PROMPT, backend)

    def runs(count: int) -> Callable[[], object]:
        configs = [DecodingConfig("uncage", 2), DecodingConfig("random", 2)][:count]
        return lambda: [item.step for item in stream(backend, [Run(prompt, config) for config in configs])]

    return {f"{count} picture{'s' * (count > 1)}": peak_gb(backend.device, runs(count)) for count in (1, 2)}


def report(plans: Sequence[Plan], device: torch.device, dtypes: Sequence[str], rounds: int, *, compile: bool) -> dict[str, Any]:
    """Everything, part by part; a part that fails leaves its error in its place."""
    results: list[dict[str, Any]] = []

    def part(plan: Plan, what: str, dtype: str, run: Callable[[LargeBackend], Any], **options: bool) -> Any:
        began = time.perf_counter()
        line: dict[str, Any] = {"model": plan.name, "part": what, "dtype": dtype}
        backend = None
        try:
            backend = random_backend(plan, device, parse_dtype(dtype, device), **options)
            line["result"] = run(backend)
        except Exception as error:  # whatever stops one part must not take the others with it
            line["error"] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:300]
        del backend
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
        line["took_s"] = round(time.perf_counter() - began, 1)
        results.append(line)
        print(f"{plan.name}, {what}, {dtype}: {line.get('error', 'done')} ({line['took_s']} s)", flush=True)
        return line.get("result")

    for plan in plans:
        for dtype in dtypes:
            part(plan, "steps", dtype, lambda backend: measure_steps(backend, rounds))
            part(plan, "memory", dtype, measure_memory)
        part(plan, "memory, offload", dtypes[0], measure_memory, offload=True)
        if compile:
            part(plan, "steps, compiled", dtypes[0], lambda backend: measure_steps(backend, rounds), compile=True)
        if plan.name.startswith("amused"):
            part(plan, "against AmusedPipeline", dtypes[0], lambda backend: against_pipeline(backend, rounds))
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "CPU"
    promised = {plan.name: round(MODELS[plan.name].memory_bytes() / 1e9, 2) for plan in plans}
    versions = {"torch": torch.__version__, "python": platform.python_version()}
    tiny = any(plan.tiny for plan in plans)
    return {"device": name, "tiny": tiny, "goals": GOALS, "promised_memory_gb": promised, "versions": versions, "results": results}


def against_pipeline(backend: LargeBackend, rounds: int) -> dict[str, Any]:
    """Whole pictures with diffusers' AmusedPipeline and with ours, 12 steps, the same weights."""
    from diffusers.pipelines.deprecated.amused.pipeline_amused import AmusedPipeline
    from diffusers.schedulers.scheduling_amused import AmusedScheduler

    network: Any = backend.network
    pipeline: Any = AmusedPipeline(
        vqvae=backend.pictures.model,
        tokenizer=backend.text.tokenizer,
        text_encoder=backend.text.encoder,
        transformer=network.model,
        scheduler=AmusedScheduler(mask_token_id=backend.mask_id),
    )
    pipeline.set_progress_bar_config(disable=True)
    prompt, side = parse_prompt(PROMPT, backend), backend.info.image_size_px[0]
    config = DecodingConfig("meissonic")

    def theirs() -> object:
        return pipeline(PROMPT, height=side, width=side, num_inference_steps=12, generator=torch.Generator().manual_seed(0))

    def ours() -> object:
        return list(stream(backend, [Run(prompt, config)], frames=False))[-1]

    clock = time.process_time if backend.device.type == "cpu" else time.perf_counter
    variants: dict[str, Callable[[], object]] = {"AmusedPipeline": theirs, "ours, fully recorded": ours}
    return {one.name: asdict(one) for one in time_paired(variants, rounds, backend.device, clock=clock)}


def verdicts(found: dict[str, Any]) -> list[str]:
    """Each goal that was measured, as a sentence with the figure and whether it is met; at toy size none are.

    Args:
        found: what `report` gives.
    """
    if found["tiny"]:
        return []
    lines = [line for line in found["results"] if "result" in line]
    plain = {(line["model"], line["dtype"]): line["result"]["plain step"]["seconds"] for line in lines if line["part"] == "steps"}
    told = []

    def judged(line: dict[str, Any], what: str, value: float, goal: str, met: bool) -> None:
        told.append(f"{line['model']}, {line['dtype']}: {what} {value:.3g}, goal {goal}: {'met' if met else 'missed'}")

    for line in lines:
        key, result = (line["model"], line["dtype"]), line["result"]
        if line["part"] == "steps":
            for name in ("reading 4 text columns", "guided step"):
                judged(line, f"{name}, times a plain one:", result[name]["ratio"], f"{GOALS[name]}", result[name]["ratio"] <= GOALS[name])
        if line["part"] == "steps, compiled" and key in plain:
            faster = plain[key] / result["plain step"]["seconds"]
            goal = GOALS["compiled step, times faster"]
            judged(line, "compiled, times faster:", faster, f"{goal}", faster >= goal)
        if line["part"].startswith("memory") and result.get("2 pictures") is not None:
            half, offload = line["dtype"] != "float32", line["part"] != "memory"
            allowed = MODELS[line["model"]].memory_bytes(width=2 if half else 4, offload=offload) / 1e9
            what = f"2 pictures{', offloaded' if offload else ''}, GB:"
            judged(line, what, result["2 pictures"], f"{allowed:.2f}", result["2 pictures"] <= allowed)
    return told


def table(found: dict[str, Any]) -> str:
    """The results as a Markdown table, and the goals below it."""
    lines = [
        f"{found['device']}, torch {found['versions']['torch']}",
        "",
        "| model | part | dtype | what | value |",
        "|---|---|---|---|---|",
    ]
    for line in found["results"]:
        shown = {"error": line["error"]} if "error" in line else line["result"]
        for name, value in shown.items():
            if isinstance(value, dict):
                seconds = f"{value['seconds'] * 1000:.1f} ms, " if "seconds" in value else ""
                text = f"{seconds}x {value['ratio']:.3f}"
            else:
                text = "-" if value is None else f"{value:.2f} GB" if isinstance(value, float) else str(value)
            lines.append(f"| {line['model']} | {line['part']} | {line['dtype']} | {name} | {text} |")
    goals = [f"- {verdict}" for verdict in verdicts(found)]
    return "\n".join([*lines, *(["", *goals] if goals else [])]) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: measure, write JSON and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tools.gpu_report", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--models", default="meissonic,amused-512", help="of meissonic, monetico, amused-256, amused-512")
    parser.add_argument("--dtypes", default="bfloat16,float16,float32", help="the first one also with offloading and compiled")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--tiny", action="store_true", help="a few thousand parameters: tries the script, measures nothing of use")
    parser.add_argument("--out", type=Path, default=Path("gpu-report.json"))
    options = parser.parse_args(arguments)
    grids = {"meissonic": 64, "monetico": 32, "amused-256": 16, "amused-512": 32}
    names = options.models.split(",")
    if not set(names) <= set(grids):
        parser.error(f"--models {options.models!r}: choose from {', '.join(grids)}")
    device = parse_device(options.device)
    dtypes = options.dtypes.split(",")
    try:
        for dtype in dtypes:
            parse_dtype(dtype, device)
    except ValueError as error:
        parser.error(str(error))
    plans = [Plan(name, 8 if options.tiny else grids[name], options.tiny) for name in names]
    found = report(plans, device, dtypes, options.rounds, compile=not options.no_compile)
    options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(table(found))
    return 1 if any("error" in line for line in found["results"]) else 0


if __name__ == "__main__":
    raise SystemExit(main())
