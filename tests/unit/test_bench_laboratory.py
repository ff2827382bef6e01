"""The laboratory: equal forwards, counted forwards, tables against each rival, and the plot."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.unit.test_sampler import PAIR, TINY
from uncage_demo.bench.experiments import EXPERIMENTS, Experiment, Setting
from uncage_demo.bench.laboratory import FORWARDS, METHODS, OBJECTS, curves, methods_at, series_in, series_of
from uncage_demo.bench.plots import plot_forwards
from uncage_demo.bench.records import read_many
from uncage_demo.bench.report import write_report
from uncage_demo.bench.run import run_experiment
from uncage_demo.bench.suites import attend_excite
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.cost import at_forwards, forwards
from uncage_demo.decoding.run import RecordOptions, Run, resolve
from uncage_demo.decoding.sampler import decode
from uncage_demo.types import Prompt

BASE = DecodingConfig(num_steps=8).resolved(TINY.info.defaults, 0.5)
SETTING = Setting(DecodingConfig(num_steps=8), TINY.info, 0.5)  # the rest is left to the model, as the command line does


@pytest.fixture(scope="module")
def at_8_forwards() -> dict[str, DecodingConfig]:
    return methods_at(BASE, 8)


@pytest.mark.parametrize("label", METHODS)
def test_what_a_run_costs_is_known_before_it_is_made(label: str, at_8_forwards: dict[str, DecodingConfig]) -> None:
    config = at_8_forwards[label].with_(seed=2)
    steps = list(decode(TINY, Run(PAIR, config), record=RecordOptions(level="minimal")))
    counted = sum(record.passes or 0 for record in steps) / 2
    assert counted == (len(steps) if config.varies else forwards(config, OBJECTS))
    resolve(TINY, Run(PAIR, config))


def test_no_method_pays_more_than_the_baseline_and_none_wastes_a_step() -> None:
    for count in FORWARDS[:2]:  # the search is the same for more
        for label, config in methods_at(BASE, count).items():
            paid, more = forwards(config, OBJECTS), forwards(config.with_(num_steps=config.total_steps + 1), OBJECTS)
            assert paid <= count < more, label
    assert at_forwards(BASE.with_(composition=1.0), 16, 2).total_steps == 8
    assert at_forwards(BASE.with_(guidance_interval=(0.0, 0.5)), 16, 2).total_steps == 21


def test_the_experiment_is_named_after_its_forwards() -> None:
    experiment = EXPERIMENTS["laboratory"](SETTING)
    assert (experiment.name, experiment.baseline) == ("laboratory-8", "meissonic")
    assert list(experiment.methods) == list(METHODS)
    assert series_of("laboratory-8") == ("laboratory", 8)
    assert series_of("laboratory-two-web-24") == ("laboratory-two-web", 24)
    assert [series_of(name) for name in ("laboratory", "table1", "laboratory-x", "laboratory-8x")] == [None] * 4


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
    assert len(plot_forwards("lab", found).axes) == 3
    write_report(records, tmp_path / "report")
    assert (tmp_path / "report" / "laboratory-attend-excite.png").exists()
    assert "| forwards |" in (tmp_path / "report" / "laboratory-8-attend-excite.md").read_text()
    assert series_in(records, least=2) == [("laboratory", "attend-excite")]
    other = [{**record, "experiment": record["experiment"].replace("laboratory", "laboratory-web")} for record in records]
    write_report([*records, *(r for r in other if r["experiment"].endswith("-4"))], tmp_path / "both")
    assert not (tmp_path / "both" / "laboratory-web-attend-excite.png").exists(), "one number of forwards is no curve"
    assert list(curves([*records, *other], "attend-excite", "laboratory-web")["uncage"]) == [4, 8]
    with pytest.raises(ValueError, match="no results of the laboratory"):
        plot_forwards("lab", curves([], "attend-excite"))
