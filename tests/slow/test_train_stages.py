"""Every training stage keeps its tensors on the device it is told, and learns the same there."""

from __future__ import annotations

import pytest

from tests.device_training import pretended_accelerator, report_one_step
from tests.pretended_device import DEVICE, place
from tests.small_training import assert_same_weights, train


@pytest.fixture
def accelerator(monkeypatch):
    with pretended_accelerator(monkeypatch):
        yield


@pytest.mark.parametrize("stage", ["tokenizer", "decoder", "detector", "transformer"])
def test_stage_trains_on_the_device_with_the_same_data(stage, accelerator, tmp_path):
    # The curriculum asks how far training is, which processes that are ahead cannot know exactly.
    options = {"curriculum": False} if stage == "transformer" else {}
    there = train(stage, tmp_path / "there", 2, device=DEVICE, **options)
    assert {place(p) for p in there.parameters()} == {DEVICE}
    assert_same_weights(there.cpu(), train(stage, tmp_path / "here", 2, **options))


@pytest.mark.parametrize("stage", ["tokenizer", "decoder", "detector"])  # the transformer's pictures: test_train_device_pictures
def test_reports_work_on_the_device(stage, accelerator, tmp_path, monkeypatch):
    assert len(report_one_step(stage, tmp_path, monkeypatch)) == 1
