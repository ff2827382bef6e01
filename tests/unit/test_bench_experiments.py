"""Named experiments, grids, written-down experiments, image layouts, command line."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest

from tests.factories import make_prompt
from tests.result_lines import make
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.bench.commands import add_parsers, choose_experiment, find_record, parse_shard
from uncage_demo.bench.experiments import EXPERIMENTS, Setting, from_json, grid
from uncage_demo.bench.export import ImageFolder, geneval_metadata
from uncage_demo.bench.suites import gather_prompts
from uncage_demo.config import DecodingConfig
from uncage_demo.types import ModelInfo

INFO = ModelInfo("m", "M", "0", (12, 12), 64, (192, 192), (12, 12), 3, 2)
SETTING = Setting(DecodingConfig(num_steps=32, guidance_scale=3.0), INFO, 0.75)


def test_table1_has_the_papers_rows_and_ours() -> None:
    experiment = EXPERIMENTS["table1"](SETTING)
    assert set(experiment.methods) == {
        "random", "confidence", "meissonic", "maskgit", "halton", "margin", "entropy",
        "uncage, negative only", "uncage, positive only", "uncage", "uncage, all steps", "anchored", "redraw", "mend",
    }  # fmt: skip
    assert experiment.methods["uncage"].guided_steps == 8
    assert experiment.methods["uncage, all steps"].guided_steps == 32
    assert all(config.guidance_scale == 3.0 for config in experiment.methods.values())


def test_weights_steps_blur_terms_sources() -> None:
    weights = EXPERIMENTS["weights"](SETTING)
    assert [c.contrast_weight for c in weights.methods.values()] == [i / 2 for i in range(11)]
    steps = EXPERIMENTS["guided-steps"](SETTING)
    assert [c.guided_steps for c in steps.methods.values()] == [0, 1, 2, 4, 8, 16, 32]
    assert steps.baseline == "0 of 32"
    paper = EXPERIMENTS["guided-steps"](Setting(DecodingConfig(num_steps=64), INFO, 2.0))
    assert [c.guided_steps for c in paper.methods.values()] == [0, 1, 2, 4, 8, 16, 32, 64]
    blur = EXPERIMENTS["blur"](SETTING)
    assert [c.contrast_blur for c in blur.methods.values()][1:] == [0, 0.375, 0.75, 1.5]
    terms = EXPERIMENTS["terms"](SETTING)
    assert {(c.use_confidence, c.use_noise) for c in terms.methods.values()} == {(True, True), (True, False), (False, True), (False, False)}
    assert "layer 2 alone" in EXPERIMENTS["sources"](SETTING).methods
    assert EXPERIMENTS["sources"](SETTING).methods["layer 2 alone"].attention_source == "layers:2-2"


def test_settings_changes_one_thing_at_a_time_and_names_no_method_twice() -> None:
    experiment = EXPERIMENTS["settings"](SETTING)
    configs = list(experiment.methods.values())
    assert len(configs) == len({str(config.to_dict()) for config in configs})
    assert len(configs) == 2 + 9 + 5 + 3 + 3 + 4 + 3  # weights, guided steps, blurs, terms, sources, rescalings
    published = experiment.methods["uncage"]
    assert (published.contrast_weight, published.guided_steps, published.contrast_blur) == (3.0, 8, 0.75)
    for name, config in experiment.methods.items():
        changed = {field for field, value in config.to_dict().items() if value != published.to_dict()[field]}
        one = {"use_confidence", "use_noise"} if name == "F_a alone" else {"order"} if name == experiment.baseline else changed
        assert changed == one
        assert len(changed) <= 2


def test_grid_is_the_product_of_its_axes() -> None:
    experiment = grid(SETTING, ["contrast_weight=1,3", "noise_temperature=[1,0.01];[2,0]", "use_noise=true,false"])
    assert len(experiment.methods) == 1 + 8
    assert experiment.methods["contrast_weight=3, noise_temperature=[2, 0], use_noise=False"] == SETTING.base.with_(
        order="uncage", contrast_weight=3, noise_temperature=(2.0, 0.0), use_noise=False
    )
    for axis, message in (("nothing", "field=value"), ("beauty=1,2", "unknown setting"), ("order=best", "order='best'")):
        with pytest.raises(ValueError, match=message):
            grid(SETTING, [axis])


def test_experiments_can_be_written_down() -> None:
    text = json.dumps({"title": "T", "baseline": "b", "methods": {"a": {"order": "halton"}, "b": {}}})
    experiment = from_json(SETTING, text, "mine")
    assert experiment.methods["a"] == SETTING.base.with_(order="halton")
    assert (experiment.title, experiment.baseline) == ("T", "b")
    several = from_json(SETTING, '{"methods": {"a": {"order": "halton", "best_of": 4}, "b": {}}}', "mine")
    assert several.best_of == {"a": 4}
    assert several.methods["a"] == SETTING.base.with_(order="halton")
    for bad in ("{", "[]", '{"methods": {}}', '{"methods": {"a": {"ordre": 1}}}', '{"methods": {"a": {}}, "baseline": "z"}'):
        with pytest.raises(ValueError, match=r"mine|ordre"):
            from_json(SETTING, bad, "mine")


def test_image_layouts(tmp_path: Path) -> None:
    prompt = make_prompt("a turtle and a pink apple")
    image = np.zeros((8, 8, 3), np.uint8)
    texts, seeds = ["first", prompt.text], [7, 9]
    geneval = ImageFolder(tmp_path / "g", "geneval", texts, seeds)
    path = geneval.save("uncage, all steps", prompt, 9, image)
    assert path == tmp_path / "g" / "uncage-all-steps" / "00001" / "samples" / "0001.png"
    metadata = json.loads((path.parents[1] / "metadata.jsonl").read_text())
    assert metadata == {
        "tag": "color_attr",
        "include": [{"class": "turtle", "count": 1}, {"class": "apple", "count": 1, "color": "pink"}],
        "prompt": prompt.text,
    }
    compbench = ImageFolder(tmp_path / "c", "compbench", texts, seeds)
    assert compbench.save("m", prompt, 7, image).name == f"{prompt.text}_000002.png"
    assert geneval_metadata(make_prompt("a cat"))["tag"] == "single_object"
    assert geneval_metadata(make_prompt("a red car"))["tag"] == "colors"
    assert geneval_metadata(make_prompt("a cat and a dog"))["tag"] == "two_object"
    with pytest.raises(ValueError, match="'tree'"):
        ImageFolder(tmp_path, "tree", [], [])


@pytest.mark.parametrize("text", ["../../escape", "/absolute", "a\\b", "..", "x" * 400, "nul\0"])
@pytest.mark.parametrize("layout", ["plain", "geneval", "compbench"])
def test_hostile_prompts_and_methods_stay_in_the_folder(tmp_path: Path, layout: str, text: str) -> None:
    path = ImageFolder(tmp_path, layout, [text], [0]).path("../" + text[:20], text, 0)
    assert path.resolve().is_relative_to(tmp_path.resolve())
    assert len(path.name.encode()) <= 255


def test_shard_arguments() -> None:
    assert parse_shard(None, {}) == (0, 1)
    assert parse_shard(None, {"RANK": "1", "WORLD_SIZE": "4"}) == (1, 4)
    assert parse_shard("0/2", {"RANK": "1", "WORLD_SIZE": "4"}) == (0, 2)
    with pytest.raises(ValueError, match="'2/2'"):
        parse_shard("2/2", {})


def test_command_line_builds_the_experiment() -> None:
    parser = argparse.ArgumentParser()
    add_parsers(parser.add_subparsers())
    backend = EmbeddedBackend.tiny(0)
    args = parser.parse_args(["bench", "--out", "x.jsonl", "--set", "token_temperature=0.5", "--steps", "16", "--experiment", "weights"])
    experiment = choose_experiment(args, backend)
    assert experiment.methods["5"] == DecodingConfig(order="uncage", num_steps=16, token_temperature=0.5, contrast_weight=5.0)
    args = parser.parse_args(["bench", "--out", "x.jsonl", "--set", "token_temperature"])
    with pytest.raises(ValueError, match="SETTING=VALUE"):
        choose_experiment(args, backend)
    assert len(gather_prompts([], [], False, "all", None)) == 276
    assert len(gather_prompts(["single-object"], [], False, "choose", 5)) == 5
    fresh = gather_prompts(["two-coloured-objects"], [], False, "all", None, 1)
    assert not {p.text for p in fresh} & {p.text for p in gather_prompts(["two-coloured-objects"], [], False, "all", None)}
    with pytest.raises(ValueError, match="--suite-seed -1: give a whole number from 0"):
        gather_prompts([], [], False, "all", None, -1)


def test_lines_are_found_by_key_number_and_json(tmp_path: Path) -> None:
    from uncage_demo.bench.records import write_records

    path = tmp_path / "r.jsonl"
    records = [make(i) for i in range(3)]
    write_records(path, records)
    assert find_record("2", path)["seed"] == 1
    assert find_record(records[2]["key"][:9], path)["seed"] == 2
    assert find_record(json.dumps(records[0]), None)["seed"] == 0
    with pytest.raises(ValueError, match="matches 0 of 3"):
        find_record("zz", path)
    with pytest.raises(ValueError, match="--results"):
        find_record("zz", None)


def test_methods_whose_names_hold_commas_can_be_named() -> None:
    from uncage_demo.bench.commands import named_methods

    known = ("mend", "mend, spacing 2", "redraw")
    assert named_methods("mend, spacing 2", known) == ["mend, spacing 2"]
    assert named_methods("mend; mend, spacing 2", known) == ["mend", "mend, spacing 2"]
    assert named_methods("mend, redraw", known) == ["mend", "redraw"]
