"""Pictures that nobody judged, and judging them later from the files: the same lines as if they had been judged at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.unit.test_bench_run import EXPERIMENT, PROMPTS, Brightness
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.bench.export import ImageFolder
from uncage_demo.bench.records import read_records, write_records
from uncage_demo.bench.report import write_report
from uncage_demo.bench.run import run_experiment
from uncage_demo.bench.scorers_clip import load_clip_scorer
from uncage_demo.bench.scoring import Unjudged, pictures_in, score_records
from uncage_demo.bench.tables import build_table
from uncage_demo.prompt.parse import parse_prompt


class Words(Brightness):
    """Also says how many objects it was told to look for, so that a prompt read in another way is seen."""

    def score(self, images: np.ndarray, prompts: Sequence[Any]) -> list[dict[str, Any]]:
        lines = super().score(images, prompts)
        return [line | {"asked": [s.noun for s in prompt.subjects]} for line, prompt in zip(lines, prompts, strict=True)]


def drawn(tmp_path: Path, scorer: Any, layout: str = "plain") -> list[dict[str, Any]]:
    """Lines of a run whose pictures lie in tmp_path / layout."""
    backend, path = EmbeddedBackend.tiny(0), tmp_path / f"{scorer.name}-{layout}.jsonl"
    folder = ImageFolder(tmp_path / layout, layout, [item.text for item in PROMPTS], [0, 1])

    def save(jobs: Sequence[Any], images: np.ndarray) -> None:
        for job, image in zip(jobs, images, strict=True):
            folder.save(job.method, parse_prompt(job.item.text, backend), job.number, image)

    run_experiment(backend, EXPERIMENT, PROMPTS, [0, 1], path, scorer, on_images=save)
    return read_records(path)


@pytest.mark.parametrize("layout", ["geneval"])  # every one: tests/slow/test_sweeps.py
def test_judged_later_is_judged_at_once(tmp_path: Path, layout: str) -> None:
    plain, told = drawn(tmp_path, Unjudged(), layout), []
    assert all(line["scorer"] == "none" and set(line["metrics"]) == {"forwards"} for line in plain)
    later = score_records(plain, tmp_path / layout, Words(), batch=5, on_batch=lambda done, total: told.append((done, total)))
    assert told == [(5, 12), (10, 12), (12, 12)]
    assert later == drawn(tmp_path, Words(), layout)
    # from another judge's lines, nothing of it stays
    assert score_records(later, tmp_path / layout, Words()) == later
    # lines of a packed file, which holds the hashes cut short
    write_records(tmp_path / "packed.jsonl.xz", plain)
    packed = score_records(read_records(tmp_path / "packed.jsonl.xz"), tmp_path / layout, Words())
    assert [line["metrics"] for line in packed] == [line["metrics"] for line in later]


def test_tables_of_pictures_without_a_judge_compare_what_they_cost(tmp_path: Path) -> None:
    lines = drawn(tmp_path, Unjudged())
    table = build_table(lines, "mine")
    assert (table.primary, table.metrics) == ("forwards", ("forwards",))
    assert "; not judged" in table.caption
    assert {row.estimates["forwards"].value for row in table.rows} == {3.0}
    assert any(path.suffix == ".md" for path in write_report(lines, tmp_path / "report"))
    bare = [line | {"metrics": {}} for line in lines]
    with pytest.raises(ValueError, match="its lines share none of correct, min_object, text_image, forwards"):
        build_table(bare, "mine")


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    lines = drawn(tmp_path, Unjudged())
    with pytest.raises(ValueError, match="no result lines to judge"):
        score_records([], tmp_path, Words())
    with pytest.raises(ValueError, match="no such folder; give what --images wrote"):
        pictures_in(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no PNG files in it"):
        pictures_in(tmp_path / "empty")
    with pytest.raises(ValueError, match="batch=0"):
        score_records(lines, tmp_path / "plain", Words(), batch=0)
    for path in (tmp_path / "plain").rglob("*.png"):
        Image.fromarray(255 - np.asarray(Image.open(path))).save(path)  # changed: other pictures, so not those of the lines
    with pytest.raises(ValueError, match="12 of 12 pictures are not there, the first is 'a cat and a dog', meissonic, seed "):
        score_records(lines, tmp_path / "plain", Words())
    path.write_bytes(b"PNG")
    with pytest.raises(ValueError, match="cannot be read as a picture"):
        pictures_in(tmp_path / "plain")


def test_a_judge_that_is_not_here_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    monkeypatch.setenv("UNCAGE_DOWNLOAD", "0")
    with pytest.raises(ValueError, match=r"scorer: .*clip-at-home is not \(completely\) on this machine, and UNCAGE_DOWNLOAD=0 forbids"):
        load_clip_scorer(clip_model=str(tmp_path / "clip-at-home"))
