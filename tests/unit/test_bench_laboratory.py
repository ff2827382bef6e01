"""The laboratory: equal forwards, counted forwards (its tables and plot: tests/slow/test_laboratory_tables.py)."""

import pytest

from tests.unit.test_sampler import PAIR, TINY
from uncage_demo.bench.experiments import EXPERIMENTS, Setting
from uncage_demo.bench.laboratory import FORWARDS, METHODS, OBJECTS, methods_at, series_of
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.cost import at_forwards, forwards
from uncage_demo.decoding.run import RecordOptions, Run, resolve
from uncage_demo.decoding.sampler import decode

BASE = DecodingConfig(num_steps=8).resolved(TINY.info.defaults, 0.5)
SETTING = Setting(DecodingConfig(num_steps=8), TINY.info, 0.5)  # the rest is left to the model, as the command line does


@pytest.fixture(scope="module")
def at_8_forwards() -> dict[str, DecodingConfig]:
    return methods_at(BASE, 8)


@pytest.mark.parametrize("label", list(METHODS)[::3])  # all of them: tests/slow/test_sweeps.py
def test_what_a_run_costs_is_known_before_it_is_made(label: str, at_8_forwards: dict[str, DecodingConfig]) -> None:
    config = at_8_forwards[label].with_(seed=2)
    steps = list(decode(TINY, Run(PAIR, config), record=RecordOptions(level="minimal")))
    counted = sum(record.passes or 0 for record in steps) / 2
    told = len(steps) if config.varies else forwards(config, OBJECTS)
    # What partial steps run is told before it is rounded to whole cells.
    assert counted == (pytest.approx(told, rel=0.02) if config.reuse_steps else told)
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
