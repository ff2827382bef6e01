"""What visitors and programs send: links give back the very numbers, odd digits are refused, scratch folders go."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.late import late
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.config import parse_seeds
from uncage_demo.prompt.parse import UndrawableError
from uncage_demo.ui import scratch
from uncage_demo.ui.handlers import Handlers
from uncage_demo.ui.models import ModelSlot
from uncage_demo.ui.settings import Settings, from_query, to_query

address, errors = late("uncage_demo.ui.address"), late("uncage_demo.ui.errors")
PACKAGE = Path(__file__).parents[2] / "uncage_demo"


@pytest.mark.parametrize("value", [2.1234567, 0.99999999, 5.0, 1e-05, 12.5])
def test_a_link_gives_back_the_very_number(value: float) -> None:
    """2.1234567 once came back as 2.12346 (findings: reports, 7)."""
    chosen = Settings(shared={"contrast_weight": value, "noise_temperature": (value, 0.1234567)})
    _, again, _, _ = from_query(to_query("a cat", chosen))
    assert again.shared["contrast_weight"] == value
    assert again.shared["noise_temperature"] == (value, 0.1234567)
    assert to_query("a cat", Settings(shared={"contrast_weight": 4.0}))["contrast_weight"] == "4"


@pytest.mark.parametrize(
    "name",
    [
        "seed",
        "num_steps",
        "step",
        "age",
        "contrast_weight",
        "contrast_steps",
        "guidance_scale",
        "noise_temperature",
        "guidance_interval",
        "orders",
        "schedule",
        "attention_source",
        "frames",
        "dtype",
        "image_size_px",
        "family",
    ],
)
@pytest.mark.parametrize("value", ["a" * 100_000, "9" * 5000, "\0" * 5000, "," * 5000 + "x"])
def test_a_link_with_a_huge_value_is_told_in_short(name: str, value: str) -> None:
    """100,000 characters once came back in the message."""
    with pytest.raises(ValueError, match=name.removesuffix("s")) as said:
        from_query({"prompt": "a cat", name: value})
    assert len(str(said.value)) < 300


@pytest.mark.parametrize("prompt", ["three", "red", "two cats and two dogs", "a zebra", "!!!", "a red and blue cat"])
def test_what_the_chips_say_of_the_words_is_marked_as_said(prompt: str) -> None:
    """It was said twice: once among the chips, once above them."""
    handlers = Handlers(ModelSlot(lambda name, allowed: EmbeddedBackend.tiny()))
    drawn = errors.beside_the_field(lambda text: handlers.understood_prompt(text, "", "embedded"), chips=True)
    shown = json.loads(handlers.chips_for(prompt, "", "embedded")[0])
    assert json.loads(drawn(prompt))["words"]
    assert shown["message"] or any(word["role"] == "unknown" for word in shown["words"])
    assert not json.loads(drawn(""))["words"], "no chip says that there is no prompt"


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"model": "zzz"}, "model 'zzz' is not offered here; choose one of embedded"),
        ({"model": "embedded-web"}, "model='embedded-web': a link has settings beside its prompt"),
        ({"order": "zzz"}, "'order' (is orders"),
        ({"steps": "abc"}, "'steps' (is step or num_steps meant?)"),
        ({"orders": "zzz"}, "order='zzz'"),
        ({"seed": "abc"}, "seed="),
        ({"num_steps": "abc"}, "num_steps="),
        ({"tab": "zzz"}, "tab='zzz': choose one of play, compare"),
        ({"lesson": "99"}, "lesson='99': give a whole number from 1 to 9"),
        ({"layer": "zzz"}, "layer='zzz': choose one of picture, guess"),
        ({"of": "difference"}, "of='difference': choose one of picture"),
        ({"step": "abc"}, "step='abc': give a whole number from 0"),
        ({"word": "0"}, "word='0': give a whole number from 1"),
        ({"cell": "3"}, "cell='3': give ROW-COLUMN"),
        ({"region": "1-2-3"}, "region='1-2-3': give TOP"),
        ({"stage": "zz"}, "stage='zz': give the letter"),
        ({"embed": "yes"}, "embed='yes': give 1"),
        ({"branches": "[]"}, "branches: a link has them beside"),
        ({"prompt": "a cat", "orders": "uncage,mend,halton"}, "orders after the first 2"),
        ({"prompt": "a cat", "sede": "1", "layer": "x"}, "'sede' (is seed meant?); layer='x'"),
    ],
)
def test_what_an_address_says_in_vain_is_told(query: dict[str, str], says: str) -> None:
    assert says in address.misunderstood(query)
    long = address.misunderstood({name: value * 10_000 for name, value in query.items()} | {f"{name}s" * 500: "x" for name in query})
    assert len(long) < 1200


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"utm_source": "letter", "fbclid": "1", "__theme": "dark", "ref": "x", "source": "y"},
        {"prompt": "a cat", **to_query("a cat", Settings(shared={"contrast_weight": 5.0}))},
        {"prompt": "a cat", "seed": "abc", "step": "abc"},  # refused as a whole
        {"example": "failure", "step": "4", "layer": "word", "word": "2", "cell": "3-5", "region": "2-3-4-5", "stage": "B", "embed": "1"},
        {"tab": "results", "lesson": "2", "of": "guess", "object": "1", "model": ""},
    ],
)
def test_what_an_address_says_rightly_is_not(query: dict[str, str]) -> None:
    assert address.misunderstood(query) == ""


def test_addresses_know_the_layers_of_the_player_and_the_tabs_of_the_page() -> None:
    source = (PACKAGE / "player/static/player-layers.js").read_text(encoding="utf-8")
    assert tuple(re.findall(r'^ +key: "([a-z]+)"', source, re.MULTILINE)) == address.LAYERS
    assert tuple(re.findall(r'gr\.Tab\("[^"]+", id="([a-z]+)"', (PACKAGE / "ui/layout.py").read_text(encoding="utf-8"))) == address.TABS


def test_huge_arguments_are_told_in_short() -> None:
    from uncage_demo.editing.cells import cells_named
    from uncage_demo.ui.asked import chosen_settings, further_settings, loaded_with

    huge = "x" * 100_000
    for call, says in (
        (lambda: further_settings(huge), "settings='xxx"),
        (lambda: loaded_with(huge), "model_options: 'xxx"),
        (lambda: loaded_with(f'{{"dtype": "{huge}"}}'), "model_options: dtype='xxx"),
        (lambda: loaded_with('{"quality": 1}'), "model_options: .*give an object with some of dtype"),
        (lambda: chosen_settings("embedded", ("uncage",), {}, huge, "", "", "all"), "age 'xxx"),
        (lambda: cells_named(huge, (12, 12), "cells"), "cells 'xxx"),
        (lambda: parse_seeds(huge), 'seeds "xxx'),
    ):
        with pytest.raises(ValueError, match=says) as said:
            call()
        assert len(str(said.value)) < 300


@pytest.mark.parametrize("digits", ["\u00b2", "\u0663", "1\u00b2", "-1", " "])
def test_digits_of_other_scripts_are_no_numbers(digits: str) -> None:
    with pytest.raises(ValueError, match="step="):
        from_query({"prompt": "a cat", "step": digits})
    with pytest.raises(ValueError, match="seeds"):
        parse_seeds(digits)
    assert address.lesson_number(digits) == 0


def test_scratch_of_the_dead_goes_and_of_the_living_stays(tmp_path: Path) -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    dead, alive, other = (tmp_path / name for name in (f"uncage-{done.pid}-x", f"uncage-{os.getpid()}-x", "uncage-notes-x"))
    for folder in (dead, alive, other):
        folder.mkdir()
    assert scratch.sweep(tmp_path) == [dead]
    assert alive.is_dir()
    assert other.is_dir()


def test_answers_that_tidy_up_at_the_same_moment_do_not_disturb_each_other() -> None:
    for _ in range(300):
        os.utime(scratch.folder(), (0, 0))
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: scratch.folder(), range(16)))
    assert all(folder.is_dir() for folder in made)
    assert [old for old in made[0].parent.iterdir() if old.stat().st_mtime == 0] == []


def test_what_the_system_says_names_no_path_of_the_server() -> None:
    with pytest.raises(FileNotFoundError) as found:
        Path("/no/such/secret").read_text()
    assert errors.short_reason(found.value) == "Something went wrong on the server (FileNotFoundError). Nothing was lost; try again."
    assert errors.short_reason(FileNotFoundError("name a folder")) == "Name a folder"


def test_a_prompt_that_cannot_be_drawn_points_to_the_words_that_the_model_knows() -> None:
    said = errors.short_reason(UndrawableError("This model does not know “zebra”.", "This model draws turtle, apple."))
    assert said == "This model does not know “zebra”. The words that this model knows are listed under the prompt."


def test_scratch_goes_at_sigterm(tmp_path: Path) -> None:
    """It once stayed (findings: reliability, 7)."""
    code = (
        "import time; from uncage_demo.ui import scratch; scratch.end_cleanly_on_sigterm(); "
        "(scratch.folder() / 'a').write_text('x'); print('ready', flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    root = Path(__file__).parents[2]
    running = subprocess.Popen([sys.executable, "-c", code], cwd=root, env=environment, stdout=subprocess.PIPE)
    assert running.stdout is not None
    running.stdout.readline()
    assert len(list(tmp_path.glob("uncage-*"))) == 1
    running.send_signal(signal.SIGTERM)
    running.wait(30)
    time.sleep(0.1)
    assert list(tmp_path.glob("uncage-*")) == []
