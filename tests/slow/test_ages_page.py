"""A model at its ages, from Python to the page: one prompt at all of them, links, commands, the slot and the comparison."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from uncage_demo import runner
from uncage_demo.backends import load_backend
from uncage_demo.backends.ages import AGES, age_file, ages_of, said
from uncage_demo.backends.options import TRACE_KEY
from uncage_demo.cli.main import main
from uncage_demo.config import DecodingConfig
from uncage_demo.player.payload import build_payload
from uncage_demo.shipped import EMBEDDED
from uncage_demo.trace.record import Trace
from uncage_demo.trace.reproduce import command_line, python_snippet
from uncage_demo.ui import settings
from uncage_demo.ui.handlers import Handlers
from uncage_demo.ui.models import ModelSlot, kept_ages
from uncage_demo.ui.panel import age_input
from uncage_demo.ui.settings import Settings

TINY = Path(__file__).resolve().parents[1] / "data" / "tiny-model"
ALL = [*map(str, AGES), ""]
TEXT = "a red turtle and a green apple"


@pytest.fixture
def growing(tmp_path, monkeypatch) -> Path:
    """A tiny model's folder that keeps every age, in the place of the shipped world that does."""
    folder = tmp_path / "growing"
    shutil.copytree(TINY, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "id": "embedded-web"}))
    for age in AGES:
        age_file(folder, age).parent.mkdir(exist_ok=True)
        shutil.copy(folder / "transformer.safetensors", age_file(folder, age))
    monkeypatch.setitem(EMBEDDED, "embedded-web", folder)
    return folder


def last(messages):
    """The end of a handler's messages."""
    found = [one for one in messages if one]
    return json.loads(found[-1][0] if isinstance(found[-1], tuple) else found[-1])


def test_ages_in_words():
    assert (said("1/5"), said(""), said("1")) == ("1/5 of its training", "all of its training", "all of its training")


def test_one_prompt_at_all_ages(growing):
    traces = runner.compare_ages(str(growing), TEXT, DecodingConfig(num_steps=3))
    assert [trace.age for trace in traces] == ALL
    # the same weights at every age here, so each picture is the one that the model draws alone
    backend = load_backend(str(growing))
    alone = runner.generate(backend, traces[0].prompt, DecodingConfig(num_steps=3))
    assert all(np.array_equal(trace.tokens, alone.tokens) for trace in traces)
    titles = [run["title"] for run in build_payload(traces)["runs"]]
    assert titles == [
        "1/20 of its training · Baseline",
        "1/5 of its training · Baseline",
        "3/5 of its training · Baseline",
        "All of its training · Baseline",
    ]


def test_models_without_ages_say_so(growing):
    assert list(map(str, ages_of("embedded-web"))) == [*ALL[:-1], "1"]
    with pytest.raises(ValueError, match=r"model 'embedded' keeps no weights of its training.*embedded-web does"):
        ages_of("embedded")


def test_commands_make_ages_again(growing):
    name = "embedded-web"
    traces = runner.compare_ages(name, TEXT, DecodingConfig(num_steps=3, seed=4))
    command, python = command_line(traces), python_snippet(traces)
    assert "compare --model" in command
    assert "--ages" in command
    assert "--age=" not in command
    scope: dict = {}
    exec(python, scope)
    assert [trace.id for trace in scope["traces"]] == [trace.id for trace in traces]
    some = traces[1:3]
    assert [line.split("--age=")[1].split()[0] for line in command_line(some).splitlines()] == ["1/5", "3/5"]
    exec(python_snippet(some), scope)
    assert [trace.id for trace in scope["traces"]] == [trace.id for trace in some]


def test_the_command_line_draws_all_ages(growing, tmp_path, capsys):
    out = tmp_path / "run"
    arguments = ["compare", TEXT, "--model", str(growing), "--num-steps", "2", "--formats", "npz,html", "--out", str(out), "--quiet"]
    assert main([*arguments, "--ages"]) == 0
    assert [Trace.load(out / f"meissonic-age-{name}.npz").age for name in ("1-20", "1-5", "3-5", "1")] == ALL
    assert "meissonic, seed 0, 1/20 of its training" in capsys.readouterr().out
    assert main([*arguments, "--ages", "--age", "1/5"]) == 2
    assert main([*arguments, "--ages", "--orders", "uncage,halton"]) == 2
    assert "with --ages give one order" in capsys.readouterr().err


def test_links_keep_the_age():
    chosen = Settings("embedded-web", ("uncage",), {"seed": 3}, "1/5")
    assert settings.from_query(settings.to_query("a cat", chosen))[1] == chosen
    assert "age" not in settings.to_query("a cat", Settings())
    with pytest.raises(ValueError, match="age '1/3': choose from"):
        settings.from_query({"prompt": "a cat", "age": "1/3"})


def test_the_input_shows_only_where_ages_are_kept(growing):
    assert age_input("embedded-web", "1/5") == {
        "choices": [("1/20", "1/20"), ("1/5", "1/5"), ("3/5", "3/5"), ("all of it", "")],
        "value": "1/5",
        "visible": True,
    }
    assert not age_input("embedded")["visible"]
    assert kept_ages("meissonic") == ()


def test_the_page_runs_an_age_and_branches_from_it(growing):
    handlers = Handlers()
    chosen = Settings("embedded-web", ("meissonic",), {"num_steps": 3}, "1/5")
    shown = last(handlers.generate(TEXT, "", chosen))
    trace = handlers.store.get(shown["ids"][0]).trace
    assert trace.age == "1/5"
    assert json.loads(trace.versions[TRACE_KEY]) == {"age": "1/5"}
    assert settings.from_query(shown["query"])[1].age == "1/5"
    branch = last(handlers.branch(shown["ids"], {"run": 0, "step": 1, "action": "drop", "cell": 0}))
    assert handlers.store.get(branch["ids"][-1]).trace.age == "1/5"


def test_the_page_compares_all_ages(growing):
    handlers = Handlers()
    grid = last(handlers.compare_ages(TEXT, "", Settings("embedded-web", ("uncage", "halton"), {"num_steps": 2}), [0, 7]))
    assert [count["title"] for count in grid["counts"]] == [f"After {said(age)}" for age in ALL]
    assert len(grid["ids"]) == 2 * len(ALL)
    for row, seed in zip(grid["rows"], (0, 7), strict=True):
        traces = [handlers.store.get(identity).trace for identity in row["ids"]]
        assert [(t.age, t.config["seed"], t.config["order"]) for t in traces] == [(age, seed, "uncage") for age in ALL]
        assert row["query"] is None  # a link names one age
        assert "--ages" in row["command"]


def test_the_slot_keeps_ages_apart():
    loaded = []
    slot = ModelSlot(lambda name, allowed: loaded.append(name) or load_backend(str(TINY)))  # type: ignore[func-returns-value]
    with pytest.raises(ValueError, match=r"age='1/5': Emoji scenes \(embedded\) keeps no weights of its training"):
        slot.get("embedded@1/5")
    slot.get("embedded")
    assert loaded == ["embedded"]
    assert slot.reader("embedded-web@1/5").vocabulary is not None
