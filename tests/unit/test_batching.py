"""Forwards together: only where each sample gets the bits that it gets alone, in every part of the output."""

from dataclasses import fields, replace

import pytest
import torch

from uncage_demo.backends.base import ForwardOutput
from uncage_demo.decoding.batching import _same

ALL = ForwardOutput(torch.zeros(1, 4, 3), torch.ones(1, 4, 3), torch.full((1, 2, 4), 0.5), torch.full((1, 1, 2, 2, 4), 0.25))


def test_equal_outputs_are_the_same() -> None:
    assert _same(ALL, replace(ALL, cond=ALL.cond.clone(), attention_full=torch.full((1, 1, 2, 2, 4), 0.25)))


# Features are not compared: a forward that keeps them goes by itself.
@pytest.mark.parametrize("name", [field.name for field in fields(ForwardOutput) if field.name != "features"])
def test_one_other_bit_in_any_part_is_told(name: str) -> None:
    values = getattr(ALL, name).clone()
    values.view(-1)[-1] = torch.nextafter(values.view(-1)[-1], torch.tensor(9.0))
    assert not _same(ALL, replace(ALL, **{name: values}))
    if name != "cond":
        assert not _same(ALL, replace(ALL, **{name: None}))
