"""The laboratory, whole: runs, tables against each rival, and the plot."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.figures import legends_over_lines
from tests.unit.test_sampler import TINY
from uncage_demo.bench.experiments import Experiment
from uncage_demo.bench.laboratory import curves, methods_at, series_in
from uncage_demo.bench.plots import plot_forwards
from uncage_demo.bench.records import read_many
from uncage_demo.bench.report import write_report
from uncage_demo.bench.run import run_experiment
from uncage_demo.bench.suites import attend_excite
from uncage_demo.config import DecodingConfig
from uncage_demo.types import Prompt

BASE = DecodingConfig(num_steps=8).resolved(TINY.info.defaults, 0.5)


class _Scorer:
    """A picture is correct where its first pixel is even: a stand-in that depends on the picture alone."""

    name = "even"

    def score(self, images: np.ndarray, prompts: Sequence[Prompt]) -> list[dict]:
        return [{"metrics": {"correct": int(image[0, 0, 0] % 2 == 0)}, "scorer": "even"} for image in images]


def test_tables_show_forwards_and_the_plot_has_a_panel_for_each_rival(tmp_path: Path) -> None:
    chosen = ("meissonic", "uncage", "redraw", "experts 1")
    path = tmp_path / "lab.jsonl"
    for count in (4, 8):
        methods = {label: config for label, config in methods_at(BASE, count).items() if label in chosen}
        methods["at once"] = BASE.with_(how_many="confidence", confidence_threshold=0.0)
        experiment = Experiment(f"laboratory-{count}", f"{count}", methods, "meissonic")
        run_experiment(TINY, experiment, attend_excite()[:3], [0], path, _Scorer())
    records = read_many([path])
    found = curves(records, "attend-excite")
    assert {rival: list(tables) for rival, tables in found.items()} == {"redraw": [4, 8], "uncage": [4, 8]}
    table = found["redraw"][8]
    assert table.row("redraw").comparison is None
    assert table.row("uncage").adjusted_p is not None
    costs = {label: table.row(label).estimates["forwards"].value for label in (*chosen, "at once")}
    assert costs["meissonic"] == costs["redraw"] == costs["experts 1"] == 8
    assert costs["at once"] == 1
    figure = plot_forwards("lab", found)
    assert len(figure.axes) == 3
    assert figure.axes[0].get_legend() is not None
    assert not legends_over_lines(figure)
    write_report(records, tmp_path / "report")
    assert (tmp_path / "report" / "laboratory-attend-excite.webp").exists()
    assert "| forward passes |" in (tmp_path / "report" / "laboratory-8-attend-excite.md").read_text()
    assert series_in(records, least=2) == [("laboratory", "attend-excite")]
    other = [{**record, "experiment": record["experiment"].replace("laboratory", "laboratory-web")} for record in records]
    write_report([*records, *(r for r in other if r["experiment"].endswith("-4"))], tmp_path / "both")
    assert not (tmp_path / "both" / "laboratory-web-attend-excite.webp").exists(), "one number of forwards is no curve"
    assert list(curves([*records, *other], "attend-excite", "laboratory-web")["uncage"]) == [4, 8]
    with pytest.raises(ValueError, match="no results of the laboratory"):
        plot_forwards("lab", curves([], "attend-excite"))
