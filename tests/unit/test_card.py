"""The model card: samples, sheets and the binding figure, with a tiny random model and simple drawings (the whole card: tests/slow)."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from tests.drawings import drawn_atlas
from tests.small_training import write_untrained_model
from uncage_demo.bench.quality import FAILURE_KINDS, JudgedImage
from uncage_demo.bench.suites import BenchPrompt
from uncage_demo.train import gallery
from uncage_demo.train.steps import Steps


@pytest.fixture(scope="module")
def atlas():
    return drawn_atlas()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_untrained_model(tmp_path_factory.mktemp("model"))


def judged(index: int, **shown: int) -> JudgedImage:
    item = BenchPrompt(f"prompt {index}", "suite", "category", str(index))
    numbers: dict[str, float] = {kind: shown.get(kind, 0) for kind in FAILURE_KINDS}
    return JudgedImage(item, "meissonic", 0, numbers, ())


class TestSamples:
    def test_no_more_than_asked_and_only_what_shows_it(self):
        samples = gallery.FailureSamples(keep=3)
        for index in range(20):
            samples(judged(index, missing=index % 2), np.full((4, 4, 3), index, np.uint8))
        assert len(samples.kept["missing"]) == 3
        assert all(int(image[0, 0, 0]) % 2 for _, image in samples.kept["missing"])
        assert samples.kept["leaked"] == []

    def test_every_failure_is_as_likely(self):
        drawn = Counter()
        for seed in range(400):
            samples = gallery.FailureSamples(keep=2, seed=seed)
            for index in range(8):
                samples(judged(index, leaked=1), np.zeros((1, 1, 3), np.uint8))
            drawn.update(item.item.text for item, _ in samples.kept["leaked"])
        assert len(drawn) == 8
        assert min(drawn.values()) > 60
        assert max(drawn.values()) < 140

    def test_sheet_has_a_row_a_kind(self):
        samples = gallery.FailureSamples(keep=2)
        samples(judged(0, missing=1, stranger=1), np.full((8, 8, 3), (200, 0, 0), np.uint8))
        rate = {kind: {"value": 0.5, "low": 0.25, "high": 0.75} for kind in FAILURE_KINDS}
        sheet = np.asarray(gallery.failure_sheet(samples, {"suite": rate}))
        red = (sheet == (200, 0, 0)).all(-1)
        # One picture in the first row, one in the last, none between.
        rows = np.flatnonzero(red.any(1))
        gaps = np.flatnonzero(np.diff(rows) > 1)
        assert len(gaps) == 1
        assert rows[0] < sheet.shape[0] / 6
        assert rows[-1] > sheet.shape[0] * 5 / 6


def test_picture_that_cannot_fit_is_refused(tmp_path):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match="1000 bytes"):
        gallery.save_webp(noise, tmp_path / "noise.webp", 1000)
    assert not (tmp_path / "noise.webp").exists()


class TestSteps:
    def test_kept_results_belong_to_a_key(self, tmp_path):
        path = tmp_path / "steps.json"
        assert Steps(path, "a")("one", lambda: 1) == 1
        assert Steps(path, "a")("one", lambda: 2) == 1
        assert Steps(path, "b")("one", lambda: 2) == 2

    def test_a_step_that_fails_is_not_kept(self, tmp_path):
        steps = Steps(tmp_path / "steps.json", "a")
        with pytest.raises(ZeroDivisionError):
            steps("one", lambda: 1 / 0)
        assert Steps(tmp_path / "steps.json", "a")("one", lambda: 3) == 3
