"""Settings, links, seeds, presets, the store of runs and the chips: the page's logic without a page."""

import argparse
import dataclasses
import json
import shlex
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.factories import make_prompt, make_trace
from uncage_demo.backends.embedded.vocab import VOCABULARY
from uncage_demo.backends.options import TRACE_KEY
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.presets import NAMED, named_preset, preset
from uncage_demo.prompt.parse import overrides_of, parse_prompt
from uncage_demo.trace.reproduce import command_line, python_snippet
from uncage_demo.types import Verdict
from uncage_demo.ui import chips, settings
from uncage_demo.ui.models import EmbeddedReader, WordReader
from uncage_demo.ui.session import TraceStore, held_bytes
from uncage_demo.ui.settings import Settings

HOSTILE = "a ${6*7} {{x}} <img src=x onerror=alert(1)> turtle"


def test_link_restores_prompt_settings_step_and_corrections():
    chosen = Settings(
        "embedded",
        ("halton", "uncage"),
        {"seed": 0, "num_steps": 12, "contrast_weight": 7.5, "noise_temperature": (2.0, 0.0), "contrast_steps": 5, "use_noise": False},
    )
    query = settings.to_query("a turtle & <b>", chosen, '[{"object":[1],"attributes":[]}]')
    text, back, step, edits = settings.from_query({**query, "step": "7", "utm_source": "elsewhere"})
    assert (text, step, edits) == ("a turtle & <b>", 7, '[{"object":[1],"attributes":[]}]')
    assert back.configs() == chosen.configs()
    assert query["seed"] == "0"  # 0 is a seed like any other, and is always named


@pytest.mark.parametrize(
    "query",
    [
        {"seed": "-1"},
        {"num_steps": "many"},
        {"orders": "meissonic,nonsense"},
        {"contrast_weight": "nan"},
        {"step": "x"},
        {"prompt": "a" * 501},
        {"use_noise": "yes"},
        {"orders": ",".join(["random"] * 7)},
    ],
)
def test_a_link_with_nonsense_is_refused_with_a_reason(query):
    with pytest.raises(ValueError, match=r"\w"):
        settings.from_query(query)


def test_every_field_of_the_config_travels_in_a_link():
    values = {
        "num_steps": 7,
        "seed": 2**53 - 1,
        "schedule": "power",
        "schedule_power": 3.5,
        "guidance_scale": 2.5,
        "guidance_schedule": "ramp",
        "token_temperature": 0.5,
        "noise_temperature": (2.0, 0.5),
        "contrast_weight": -1.5,
        "contrast_steps": 3,
        "contrast_blur": 0.25,
        "contrast_mode": "negative",
        "contrast_rescale": "none",
        "anchor_radius": 0.5,
        "redraw_steps": 2,
        "redraw_words": "own",
        "use_confidence": False,
        "use_noise": False,
        "attention_source": "layers:0-1",
        "halton_randomize": True,
        "guidance_interval": (0.1, 0.9),
        "composition": 0.5,
        "self_guidance": 0.25,
        "logit_noise": 2.0,
        "differential": 0.125,
        "entropy_heat": 0.5,
        "entropy_decay": 2.0,
        "how_many": "entropy",
        "entropy_budget": 3.0,
        "confidence_threshold": 0.5,
        "reuse_steps": 2,
        "reuse_from": 0.5,
        "spacing": 2.0,
        "revise": "plan",
        "revise_strength": 0.5,
    }
    assert set(values) == set(settings.SHARED_FIELDS)
    chosen = Settings(shared=values)
    assert settings.from_query(settings.to_query("a cat", chosen))[1].configs() == chosen.configs()


def test_blank_fields_mean_defaults_only_where_there_are_some():
    assert settings.tidy("guidance_scale", None) is None
    assert settings.tidy("seed", 3.0) == 3
    assert isinstance(settings.tidy("token_temperature", 1), float), "a browser sends 1.0 as 1"
    with pytest.raises(ValueError, match="seed"):
        settings.tidy("seed", None)
    with pytest.raises(ValueError, match="whole"):
        settings.tidy("num_steps", 2.5)


def test_presets_are_valid_and_say_what_they_change():
    for one in NAMED.values():
        configs = Settings(orders=one.orders, shared=one.shared).configs()
        assert one.config in configs, "what the page sets is what the command line sets"
        assert len(set(one.orders)) == 2
        assert one.about.endswith((".", ")"))
        assert named_preset(one.title) is one
    assert len({one.title for one in NAMED.values()}) == len(NAMED)
    assert named_preset("UNCAGE in every step").shared["contrast_steps"] >= 256
    assert preset("uncage") == preset("paper")
    with pytest.raises(ValueError, match="choose"):
        preset("nonsense")


def test_settings_come_back_from_traces():
    traces = [make_trace(steps=4, order="meissonic"), make_trace(steps=4, order="uncage")]
    chosen = settings.settings_of_traces(traces)
    assert chosen.orders == ("meissonic", "uncage")
    assert [c.to_dict() for c in chosen.configs()] == [t.config for t in traces]


def test_runs_of_several_ages_leave_the_whole_training_chosen():
    whole = make_trace(steps=4)
    young = dataclasses.replace(whole, versions={TRACE_KEY: json.dumps({"age": "1/20"})})
    assert settings.settings_of_traces([young, young]).age == "1/20"
    assert settings.settings_of_traces([young, whole]).age == ""


def test_the_store_lets_the_oldest_run_go_and_never_the_newest(tmp_path):
    traces = [make_trace(seed, steps=4) for seed in range(3)]
    store = TraceStore(max_bytes=1, max_disk_bytes=1, folder=lambda: tmp_path)
    ids = [store.add(trace) for trace in traces]
    assert len(set(ids)) == 3
    assert len(store) == 1
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="no longer kept"):
        store.get(ids[0])
    assert store.get(ids[2]).trace is traces[2]
    for wrong in (None, 3, "nonsense", ["x"]):
        with pytest.raises(ValueError, match="run"):
            store.get(wrong)


def test_runs_for_which_memory_has_no_room_come_back_from_disk_as_they_were(tmp_path):
    traces = [make_trace(seed, steps=4) for seed in range(4)]
    verdict = Verdict((True,), (False,), 1, False, (), "s")
    store = TraceStore(max_bytes=5 * held_bytes(traces[0]) // 2, folder=lambda: tmp_path)
    ids = [store.add(trace, verdict, "corrected") for trace in traces]
    assert (len(store), store.in_memory) == (4, 2)
    back = store.get(ids[0])
    assert (back.id, back.verdict, back.edits) == (ids[0], verdict, "corrected")
    assert back.trace.to_bytes() == traces[0].to_bytes()
    assert store.get(ids[0]) is back, "it is in memory again"
    assert store.in_memory == 2
    assert [entry.trace.id for entry in store.get_many(ids)] == [trace.id for trace in traces]
    for path in tmp_path.iterdir():
        path.unlink()
    gone = next(identity for identity in ids if identity not in (ids[2], ids[3]))
    with pytest.raises(ValueError, match="no longer kept"):
        store.get(gone)


def test_a_full_disk_loses_old_runs_and_nothing_else(tmp_path):
    store = TraceStore(max_bytes=1, folder=lambda: tmp_path / "missing")
    first, second = store.add(make_trace(0, steps=2)), store.add(make_trace(1, steps=2))
    assert len(store) == 1
    assert store.get(second).id == second
    with pytest.raises(ValueError, match="no longer kept"):
        store.get(first)


def test_threads_that_add_and_read_find_every_run(tmp_path):
    traces = [make_trace(seed, steps=2) for seed in range(8)]
    store = TraceStore(max_bytes=1, folder=lambda: tmp_path)

    def keep_and_find(number: int) -> bool:
        identity = store.add(traces[number % 8])
        return all(store.get(identity).trace.id == traces[number % 8].id for _ in range(3))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(keep_and_find, range(64)))
    assert len(store) == 64


def test_chips_show_exactly_the_subjects_that_guidance_uses():
    prompt = parse_prompt("a turtle and a pink apple", EmbeddedReader())
    data = json.loads(chips.chips_value(prompt, VOCABULARY, "model"))
    roles = {w["text"]: (w["role"], w["subject"]) for w in data["words"]}
    assert roles["turtle"] == ("object", 0)
    assert roles["pink"] == ("attribute", 1)
    assert roles["apple"] == ("object", 1)
    moved = chips.edit(prompt, VOCABULARY, "attach", 4, 0)
    data = json.loads(chips.chips_value(moved, VOCABULARY, "model", chips.write_edits(moved)))
    assert next(w for w in data["words"] if w["text"] == "pink")["subject"] == 0
    assert data["edited"]
    again = parse_prompt(prompt.text, EmbeddedReader(), chips.read_edits(chips.write_edits(moved)))
    assert overrides_of(again) == overrides_of(moved)


def test_corrections_do_not_move_to_another_text():
    kept = chips.keep("a blue turtle and a cat", '[{"object":[2]}]')
    assert chips.edits_for(kept, " a blue turtle and a cat ") == '[{"object":[2]}]'
    assert chips.edits_for(kept, "a turtle and a cat") == ""
    assert chips.edits_for("", "anything") == chips.keep("a cat", "") == ""


@pytest.mark.parametrize("text", ["[", "{}", "3", "[" * 5000, "x" * 5000])
def test_corrections_from_outside_are_checked(text):
    with pytest.raises(ValueError, match="JSON list"):
        chips.read_edits(text)


def test_an_unknown_click_is_refused():
    with pytest.raises(ValueError, match="make_object"):
        chips.edit(make_prompt(), None, "__class__", 0)
    with pytest.raises(ValueError, match="word"):
        chips.edit(make_prompt(), None, "detach", 99)


def test_unknown_words_are_named_and_replaced_by_their_suggestion_only():
    prompt = parse_prompt("a blue tutle", EmbeddedReader())
    data = json.loads(chips.chips_value(prompt, VOCABULARY, "model"))
    word = next(i for i, w in enumerate(data["words"]) if w["role"] == "unknown")
    assert "turtle" in data["words"][word]["suggestions"]
    assert chips.replace_word("a blue tutle", prompt, word, "turtle") == "a blue turtle"
    with pytest.raises(ValueError, match="suggestion"):
        chips.replace_word("a blue tutle", prompt, word, "<b>")


@pytest.mark.parametrize(
    ("text", "kind", "word", "result"),
    [
        ("", "object", "turtle", "a turtle"),
        ("a turtle", "object", "apple", "a turtle and an apple"),
        ("a turtle and an apple", "color", "pink", "a turtle and a pink apple"),
        ("a cat", "color", "orange", "an orange cat"),
        ("", "color", "red", "red"),
        ("a red cat and an apple in the sea", "number", "two", "a red cat and two apples in the sea"),
        ("a red cat and an apple in the sea", "position", "left", "a red cat and an apple on the left in the sea"),
        ("a cat on the left and an apple at the top", "position", "right", "a cat on the left and an apple on the right"),
        ("glasses", "number", "three", "three glasses"),
        ("a cat and a dog on the beach", "place", "snow", "a cat and a dog in the snow"),
        ("a cat at night", "object", "elephant", "a cat and an elephant at night"),
    ],
)
def test_choosing_a_word_writes_a_prompt(text, kind, word, result):
    assert chips.add_word(text, kind, word, VOCABULARY) == result


def test_words_that_the_model_reads_are_told_from_those_it_reads_over():
    data = json.loads(chips.chips_value(parse_prompt("two cats and a car in the night", EmbeddedReader()), VOCABULARY, "model"))
    says = {word["text"]: word["says"] for word in data["words"]}
    assert says == {"two": "number", "night": "place"} | dict.fromkeys(("cats", "and", "a", "car", "in", "the"), "")


def test_a_number_needs_an_object():
    with pytest.raises(ValueError, match="needs an object"):
        chips.add_word("", "number", "two", VOCABULARY)


def test_choosing_a_word_that_the_model_lacks_is_refused():
    with pytest.raises(ValueError, match="not a word"):
        chips.add_word("", "object", "zebra", VOCABULARY)
    with pytest.raises(ValueError, match="not a word"):
        chips.add_word("", "object", "zebra", None)


def test_prompt_text_is_data_in_chips():
    value = chips.chips_value(parse_prompt(HOSTILE, WordReader()), None, "model")
    assert "<" not in value
    assert json.loads(value)["text"] == HOSTILE


def test_the_command_line_shown_is_one_that_the_program_understands():
    import shlex

    from uncage_demo.cli.main import build_parser
    from uncage_demo.trace.reproduce import command_line

    traces = [make_trace(steps=4, order=order, prompt_text="a --turtle; rm -rf and a $(pink) apple") for order in ("meissonic", "uncage")]
    words = shlex.split(command_line(traces))
    assert words[:3] == ["python", "-m", "uncage_demo"]
    options = build_parser(words[3:]).parse_args(words[3:])
    assert isinstance(options, argparse.Namespace)
    assert options.prompt == traces[0].prompt.text
    assert DecodingConfig.from_dict(traces[0].config).num_steps == options.num_steps


def test_chips_show_what_is_not_used_and_what_the_model_is_given():
    data = json.loads(chips.chips_value(parse_prompt("a cat sitting on a red bench", EmbeddedReader()), VOCABULARY, "model"))
    assert [w["text"] for w in data["words"] if w["role"] == "unused"] == ["sitting"]
    assert (data["given"], data["rest"], data["message"]) == ("a cat and a red bench", "", "")


def test_the_rest_of_a_prompt_with_unknown_objects_is_offered():
    data = json.loads(chips.chips_value(parse_prompt("a cat and a frisbee", EmbeddedReader()), VOCABULARY, "model"))
    assert [w["text"] for w in data["words"] if w["role"] == "unknown"] == ["frisbee"]
    assert data["rest"] == "a cat"
    nothing = json.loads(chips.chips_value(parse_prompt("a frisbee", EmbeddedReader()), VOCABULARY, "model"))
    assert nothing["rest"] == ""


def test_what_cannot_be_drawn_is_said_beside_the_chips():
    data = json.loads(chips.chips_value(parse_prompt("one rabbit and three horses", EmbeddedReader()), VOCABULARY, "model"))
    assert data["message"] == "a rabbit and three horses are 4 objects; this model draws at most 3."
    assert (
        "one colour" in json.loads(chips.chips_value(parse_prompt("a red and blue car", EmbeddedReader()), VOCABULARY, "model"))["message"]
    )


def test_corrections_of_an_opened_run_are_kept():
    prompt = parse_prompt("a red car and a blue bench", EmbeddedReader())
    trace = make_trace()
    trace.model = dataclasses.replace(trace.model, id="embedded")
    trace.prompt = prompt
    assert chips.corrections_of(trace) == ""
    assert "--subjects" not in command_line([trace])
    assert "overrides" not in python_snippet([trace])
    moved = [{"object": [2], "attributes": [[1], [5]]}, {"object": [6], "attributes": []}]
    trace.prompt = parse_prompt(prompt.text, EmbeddedReader(), moved)
    assert json.loads(chips.corrections_of(trace)) == moved
    words = shlex.split(command_line([trace]))
    assert json.loads(words[words.index("--subjects") + 1]) == moved
    assert f"overrides={moved!r}" in python_snippet([trace])
