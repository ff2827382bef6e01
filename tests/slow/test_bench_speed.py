"""Speed: the arithmetic of paired rounds on a clock of our own, and every measurement run once. No timing is asserted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.bench.speed import PeakMemory, attention_kernels, features, first_frame, throughput, time_paired
from uncage_demo.bench.speed_report import machine, overhead_section, to_markdown
from uncage_demo.bench.speed_rivals import KeepAttention, against_diffusers, tiny_amused


class Clock:
    """A clock that only the variants move."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def takes(self, durations: list[float]) -> Callable[[], None]:
        waiting = iter(durations)

        def run() -> None:
            self.now += next(waiting)

        return run


def test_ratios_are_medians_of_ratios_within_a_round() -> None:
    clock = Clock()
    # The first duration of each is the warm-up. Rounds: 10/20, 1/3, 2/2 -> ratios 2, 3, 1.
    variants = {"a": clock.takes([99, 10, 1, 2]), "b": clock.takes([99, 20, 3, 2])}
    # Half of the time that passes is this process's own.
    timings = time_paired(variants, 3, clock=clock, cpu_clock=lambda: clock.now / 2)
    assert [t.seconds for t in timings] == [2, 3]
    assert (timings[1].ratio, timings[1].ratio_low, timings[1].ratio_high) == (2, 1, 3)
    assert timings[0].ratio == 1
    assert [t.cpu_seconds for t in timings] == [1, 1.5]
    assert (timings[1].cpu_ratio, timings[1].cpu_ratio_low, timings[1].cpu_ratio_high) == (2, 1, 3)


def test_short_variants_are_repeated() -> None:
    clock = Clock()
    timings = time_paired({"a": clock.takes([1.0] * 99), "b": clock.takes([2.0] * 99)}, 2, min_seconds=4.0, clock=clock)
    assert [t.seconds for t in timings] == [1.0, 2.0]
    # warm-up 1 + 2, calibration 1, two rounds of four repeats of each
    assert clock.now == 1 + 2 + 1 + 2 * 4 * (1 + 2)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="0 variants"):
        time_paired({}, 1)
    with pytest.raises(ValueError, match="rounds=0"):
        time_paired({"a": lambda: None}, 0)


def test_peak_memory_sees_an_allocation() -> None:
    with PeakMemory() as memory:
        block = np.ones(64 << 20, np.uint8)
        torch.ones(8)
    assert block.sum() == 64 << 20
    assert memory.peak_bytes == 0 or memory.peak_bytes > 32 << 20


def test_every_measurement_runs_and_is_reported() -> None:
    backend = EmbeddedBackend.tiny(0)
    names = [t.name for t in features(backend, 2, 1)]
    assert names[0] == "plain decode"
    assert len(names) == len(set(names)) == 9
    rows = throughput(backend, [1, 2], [2], 1)
    assert [(r["batch"], r["steps"]) for r in rows] == [(1, 2), (2, 2)]
    assert first_frame(backend, 2, 1) > 0
    rivals = against_diffusers(1, num_steps=1)
    assert rivals[0].name == "diffusers AmusedPipeline"
    kernels = attention_kernels(torch.device("cpu"), 1, [("small", 1, 2, 9, 4, 8)])
    result = {
        "model": {"id": "m", "weight_hash": "0"},
        "machine": {**machine(), "threads": "1", "device": "cpu"},
        "num_steps": 2,
        "rounds": 1,
        "features": [asdict(t) for t in rivals],
        "first_frame_s": 0.5,
        "throughput": rows,
        "against_diffusers": [asdict(t) for t in rivals],
        "attention": {name: [asdict(t) for t in timings] for name, timings in kernels.items()},
    }
    text = to_markdown(result)
    assert "1 (reference)" in text
    assert "| 2 | " in text
    assert "0.500 s" in text
    costs = overhead_section(result, "speed.md")
    assert f"{rows[1]['images_per_s']:.2f} in batches of 2, {rows[0]['images_per_s']:.2f} one at a time" in costs
    assert "processor time a step" in costs
    assert "[All measurements](speed.md)" in costs


def test_the_machine_is_named(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Fast One 9\n")
    assert machine(cpuinfo)["processor"] == "Fast One 9"
    assert machine(tmp_path / "none")["processor"]
    assert int(machine()["cores"]) >= 1


def test_the_rival_that_keeps_attention_draws_the_same_and_keeps_whole_rows() -> None:
    """Otherwise the comparison would be with something else than what a user would run."""
    _, pipeline = tiny_amused(0)
    module = pipeline.transformer.transformer_layers[0].attn2
    hidden = torch.randn(1, 6, module.to_q.in_features, generator=torch.Generator().manual_seed(0))
    text = torch.randn(1, 5, module.to_k.in_features, generator=torch.Generator().manual_seed(1))
    kept: list[torch.Tensor] = []
    with torch.inference_mode():
        plain = module(hidden, encoder_hidden_states=text)
        module.set_processor(KeepAttention(kept))
        again = module(hidden, encoder_hidden_states=text)
    assert torch.allclose(plain, again, atol=1e-5)
    assert kept[0].shape == (module.heads, 6, 5)
    assert torch.allclose(kept[0].sum(-1), torch.ones(module.heads, 6), atol=1e-5)
