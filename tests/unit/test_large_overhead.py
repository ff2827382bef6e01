"""The measurement of a Meissonic-shaped model: every variant is timed, and reading is not what a plain step does."""

from __future__ import annotations

import json

import pytest
import torch

from uncage_demo.bench.large_overhead import main, measure, random_network


def test_all_variants_are_timed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--width", "64", "--blocks", "1,2", "--grid", "4", "--rounds", "1", "--downsample", "--json"]) == 0
    timings = json.loads(capsys.readouterr().out)
    names = ["plain step", "reading 4 text columns", "reading all 77 text columns", "guided step", "partial step, an eighth of it"]
    assert [timing["name"] for timing in timings] == names
    assert all(timing["seconds"] > 0 for timing in timings)
    assert timings[0]["ratio"] == 1


def test_weights_are_the_same_every_time_and_other_randomness_is_left_alone() -> None:
    torch.manual_seed(5)
    want = torch.rand(1)
    torch.manual_seed(5)
    one = random_network(64, (1, 1), torch.device("cpu"), torch.float32, False)
    assert torch.equal(torch.rand(1), want)
    two = random_network(64, (1, 1), torch.device("cpu"), torch.float32, False)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert len(measure(one, 4, 1)) == 5


def test_bad_sizes_are_named() -> None:
    with pytest.raises(ValueError, match="width=100"):
        random_network(100, (1, 1), torch.device("cpu"), torch.float32, False)
    with pytest.raises(SystemExit):
        main(["--blocks", "4"])
