"""Settings: each declared once and checked, left to the model where open; seeds; orders; who owns a word."""

from dataclasses import fields

import pytest

from tests.factories import make_prompt
from uncage_demo.config import ORDER_NAMES, SETTINGS, DecodingConfig, parse_seeds
from uncage_demo.decoding.presets import PRESETS
from uncage_demo.orders.base import Order
from uncage_demo.orders.table import ORDERS, order_choices, order_of
from uncage_demo.types import ModelDefaults, Prompt, Subject, Word

OWN = ModelDefaults(48, 9.0, (2.0, 0.0), "arccos")


def test_every_field_is_declared_with_what_people_read() -> None:
    assert list(SETTINGS) == [field.name for field in fields(DecodingConfig)]
    for name, setting in SETTINGS.items():
        assert setting.help, name
        assert setting.label, name
        assert (getattr(DecodingConfig(), name) is None) == bool(setting.left_open), name


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("order", "jet", f"order='jet': choose one of {ORDER_NAMES[0]}"),
        ("schedule", "sine", "schedule='sine': choose one of cosine"),
        ("num_steps", 0, "num_steps=0: give a whole number from 1 to 256"),
        ("num_steps", True, "num_steps=True"),
        ("num_steps", 2.0, "num_steps=2.0"),
        ("seed", None, "seed=None"),
        ("seed", 2**63, "give a whole number from 0 to 9223372036854775807"),
        ("guidance_scale", float("nan"), "give a number from 0 to 100"),
        ("noise_temperature", 1.0, "noise_temperature=1.0: give a pair"),
        ("noise_temperature", (1.0, -1.0), "noise_temperature end=-1.0"),
        ("use_noise", "no", "use_noise='no': give True or False"),
        ("attention_source", "layers:3-1", "A <= B"),
        ("attention_source", "layers:\u00b2-\u00b3", "A <= B"),
    ],
)
def test_a_value_that_is_not_allowed_is_named(name: str, value: object, says: str) -> None:
    with pytest.raises(ValueError, match=name) as told:
        DecodingConfig(**{name: value})  # type: ignore[arg-type]
    assert says in str(told.value)


def test_what_is_left_open_is_the_models_own_and_what_is_given_stays() -> None:
    config = DecodingConfig(schedule="linear").resolved(OWN, blur=0.5)
    assert (config.num_steps, config.guidance_scale, config.noise_temperature) == (48, 9.0, (2.0, 0.0))
    assert (config.schedule, config.contrast_blur, config.guided_steps) == ("linear", 0.5, 12)
    assert config.resolved(ModelDefaults(), blur=3.0) == config
    for read in ("total_steps", "mask_schedule", "noise_range", "guided_steps", "draft_steps"):
        with pytest.raises(ValueError, match="left to the model"):
            getattr(DecodingConfig(), read)


def test_a_redraw_longer_than_the_run_is_found_when_the_steps_are_known() -> None:
    open_steps = DecodingConfig(redraw_steps=20)
    with pytest.raises(ValueError, match="redraw_steps=20: give a whole number from 0 to 15"):
        open_steps.resolved(ModelDefaults(num_steps=16))


def test_guided_steps_are_a_quarter_not_a_third() -> None:
    # 8 steps, as in the golden grids, cannot tell: 8 // 4 == 8 // 3.
    assert [DecodingConfig(order="uncage", num_steps=n).guided_steps for n in (1, 4, 9, 12, 16, 64)] == [1, 1, 2, 3, 4, 16]


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_the_way_through_a_dict(name: str) -> None:
    assert DecodingConfig.from_dict(PRESETS[name].to_dict()) == PRESETS[name]


def test_settings_of_a_trace_from_before_the_redraw() -> None:
    data = DecodingConfig(num_steps=8).resolved(OWN).to_dict()
    assert "redraw_steps" not in data
    assert DecodingConfig.from_dict(data).to_dict() == data
    with pytest.raises(ValueError, match="unknown setting"):
        DecodingConfig.from_dict({"speed": 3})


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("0", (0,)),
        ("0,1,7", (0, 1, 7)),
        ("5;8", (5, 8)),
        ("5, 8 ,13,", (5, 8, 13)),
        (" 1 - 2 ", (1, 2)),
        ("3-5,4, 9", (3, 4, 5, 9)),
        ("2,2,1", (2, 1)),
        ("9223372036854775807", (2**63 - 1,)),
    ],
)
def test_seeds_are_read(text: str, seeds: tuple[int, ...]) -> None:
    assert parse_seeds(text, 32) == seeds


@pytest.mark.parametrize("text", ["", " ", "a", "1-", "-1", "3-1", "0-40", "1,,2", "0-20,30-50", "1.5", "\u00b2", "9223372036854775808"])
def test_bad_seeds_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="seeds"):
        parse_seeds(text, 32)


def test_how_many_seeds_are_allowed_is_the_callers_business() -> None:
    assert len(parse_seeds("0-40")) == 41
    with pytest.raises(ValueError, match="at most 4"):
        parse_seeds("0-4", 4)
    with pytest.raises(ValueError, match="at most 1000000"):
        parse_seeds("0-9999999999")


def test_orders_have_one_name_and_title_each() -> None:
    assert all(order.name == name and order.title and order.about for name, order in ORDERS.items())
    assert len({order.title for order in ORDERS.values()}) == len(ORDERS)
    assert sorted(name for _, name in order_choices()) == sorted(ORDERS)
    assert [name for _, name in order_choices()][:2] == ["meissonic", "uncage"]
    with pytest.raises(ValueError, match="order='jet': choose one of"):
        order_of("jet")
    with pytest.raises(ValueError, match="either terms or a value"):
        Order("x", "X", "nothing")
    with pytest.raises(ValueError, match="a rank needs a list"):
        Order("x", "X", "a list that is not there", value=lambda context: context.confidence, needs=frozenset({"rank"}))


def test_a_word_belongs_to_the_object_that_it_names_and_else_to_the_first_that_has_it() -> None:
    assert make_prompt("a turtle and a pink apple").owners() == {1: (0, "object"), 4: (1, "attribute"), 5: (1, "object")}
    words = tuple(Word(text, 0, 0) for text in ("red", "cat", "hat"))
    shared = Prompt("", (), words, (Subject((1,), ((0,), (2,))), Subject((2,), ((0,),))))
    assert shared.owners() == {0: (0, "attribute"), 1: (0, "object"), 2: (1, "object")}
