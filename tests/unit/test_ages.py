"""Ages: what names one, and what is said of a model that keeps none."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from uncage_demo.backends import load_backend
from uncage_demo.backends.ages import AGES, WHOLE, age_file, ages_in, parse_age
from uncage_demo.backends.options import ModelOptions

TINY = Path(__file__).resolve().parents[1] / "data" / "tiny-model"


@pytest.mark.parametrize(("given", "meant"), [("1/20", Fraction(1, 20)), (0.6, Fraction(3, 5)), ("1", WHOLE), ("all", WHOLE), (1, WHOLE)])
def test_ages_by_many_names(given, meant):
    assert parse_age(given) == meant


@pytest.mark.parametrize("given", ["1/3", "0", "young", "1/0", float("nan"), float("inf"), None, "2"])
def test_no_age(given):
    with pytest.raises(ValueError, match=r"age .*choose from 1/20, 1/5, 3/5, 1"):
        parse_age(given)


def test_files(tmp_path):
    assert age_file(tmp_path, Fraction(1, 5)) == tmp_path / "ages/1-5.safetensors"
    assert ages_in(tmp_path) == ()
    assert sorted(AGES) == list(AGES)


def test_the_whole_is_the_model_itself():
    assert ModelOptions(age="1").given() == {}
    assert load_backend(str(TINY), age="all").info == load_backend(str(TINY)).info


def test_models_without_ages():
    with pytest.raises(ValueError, match="tiny-model keeps no weights of age 1/5; it has 1"):
        load_backend(str(TINY), age="1/5")
    with pytest.raises(ValueError, match="age='1/5': meissonic keeps no weights of its training; embedded-web does"):
        load_backend("meissonic", age="1/5", download=False)
    with pytest.raises(ValueError, match="age 'old' is no part of the training"):
        load_backend("embedded", age="old")


def test_an_age_is_told_by_traces_and_results():
    options = ModelOptions(age="3/5")
    assert ModelOptions.from_json(options.to_text()) == options
    assert options.deciding() == {"age": "3/5"}
