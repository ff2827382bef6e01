"""The pretended device that training is tested on, and batches that other processes compose (stages: tests/slow/test_train_stages.py)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.pretended_device import DEVICE, MixedDevicesError, PretendedDevice, place
from uncage_demo.train import loop


class TestPretendedDevice:
    def test_marks_follow_operations_and_mixing_is_an_error(self):
        with PretendedDevice():
            there, here = torch.ones(2, 3, device=DEVICE), torch.ones(2, 3)
            assert (there * 2).device.type == there.sum(dim=0).device.type == here.to(DEVICE).device.type == DEVICE
            assert there.cpu().device.type == here.device.type == "cpu"
            assert torch.equal(there.cpu(), here)
            for mixed in (lambda: there + here, lambda: torch.where(here > 0, there, 0), lambda: torch.cat([here, there]), there.numpy):
                with pytest.raises(MixedDevicesError):
                    mixed()

    def test_modules_and_gradients_move(self):
        layer = torch.nn.Linear(3, 2)
        with PretendedDevice():
            layer.to(DEVICE)
            assert {place(p) for p in layer.parameters()} == {DEVICE}
            with pytest.raises(MixedDevicesError):
                layer(torch.ones(1, 3))
            layer(torch.ones(1, 3).to(DEVICE)).sum().backward()
        assert layer.bias.grad is not None


class TestStepBatches:
    @staticmethod
    def draw(step: int, fraction: float) -> tuple[int, float, torch.Tensor]:
        return step, fraction, torch.from_numpy(np.random.default_rng(step).random(3))

    def test_loading_processes_change_neither_data_nor_order(self):
        streams = [loop.StepBatches(self.draw).stream(7, workers) for workers in (0, 2)]
        for step in range(7, 13):
            (a, _, x), (b, _, y) = (next(stream) for stream in streams)
            assert a == b == step
            assert torch.equal(x, y)

    def test_they_know_how_far_training_is(self):
        batches = loop.StepBatches(self.draw)
        batches.fraction.value = 0.25
        assert next(batches.stream(0, 2))[1] == 0.25

    def test_nothing_else_random_depends_on_them(self):
        torch.manual_seed(3)
        expected = torch.rand(2)
        torch.manual_seed(3)
        next(loop.StepBatches(self.draw).stream(0, 0))
        assert torch.equal(torch.rand(2), expected)

    def test_cores_are_left_for_training_on_a_cpu(self, monkeypatch):
        monkeypatch.setattr(loop.os, "cpu_count", lambda: 16)
        assert loop.loader_workers(torch.device("cpu")) == 0
        assert loop.loader_workers(torch.device("cuda")) == loop.MAX_WORKERS
        monkeypatch.setattr(loop.os, "cpu_count", lambda: 4)
        assert loop.loader_workers(torch.device("cuda")) == 2
