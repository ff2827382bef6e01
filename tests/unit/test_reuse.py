"""Reusing features of the last step that ran the whole grid: a partial forward is the whole one where nothing has changed, and its cost is
told as it is."""

import numpy as np
import pytest
import torch

from tests.tiny_checkpoints import tiny_transformer
from tests.toy_backend import ToyBackend
from tests.unit.test_meissonic import inputs
from tests.unit.test_sampler import PAIR, TINY, N, records
from uncage_demo.backends.attention import ColumnRecorder
from uncage_demo.backends.base import Capture, ForwardOutput, Reuse
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.reuse import cells_run, group_size, partial_steps_after, whole_step
from uncage_demo.decoding.schedule import mask_count

PLAIN = DecodingConfig(num_steps=8, seed=3)
RESOLVED = PLAIN.resolved(TINY.info.defaults, 0.5)
CELLS = np.array([0, 7, 8, 30])


def tokens_with(masked: int = 20) -> torch.Tensor:
    tokens = torch.randint(0, TINY.info.codebook_size, (1, N), generator=torch.Generator().manual_seed(1))
    tokens[0, :masked] = TINY.mask_id
    return tokens


def forward(tokens: torch.Tensor, **more) -> ForwardOutput:
    return TINY.forward(tokens, 3, 8, [TINY.encode_prompt(PAIR)], capture=Capture(full=True), **more)


@pytest.mark.parametrize(
    "words",
    [{}, {"suppress": (2,)}, {"hidden": torch.rand(1, N, TINY.transformer.text_length, generator=torch.Generator().manual_seed(0)) < 0.3}],
)
@pytest.mark.parametrize("unconditional", [True, False])
def test_where_nothing_changed_some_cells_say_what_the_whole_grid_said(words: dict, unconditional: bool) -> None:
    tokens = tokens_with()
    whole = forward(tokens, keep=True, unconditional=unconditional, **words)
    part = forward(tokens, reuse=Reuse(whole.features, CELLS), unconditional=unconditional)
    assert torch.allclose(part.cond, whole.cond[:, CELLS], atol=1e-4)
    assert part.attention is not None
    assert whole.attention is not None
    assert part.attention_full is not None
    assert whole.attention_full is not None
    assert torch.allclose(part.attention, whole.attention[:, :, CELLS], atol=1e-6)
    assert torch.allclose(part.attention_full, whole.attention_full[..., CELLS], atol=1e-6)
    assert (part.uncond is None) == (not unconditional)
    if unconditional:
        assert part.uncond is not None
        assert whole.uncond is not None
        assert torch.allclose(part.uncond, whole.uncond[:, CELLS], atol=1e-4)


def test_a_partial_forward_sees_what_changed_in_its_cells_and_nothing_else() -> None:
    tokens = tokens_with()
    whole = forward(tokens, keep=True)
    inside, outside = tokens.clone(), tokens.clone()
    inside[0, 7], outside[0, 17] = 3, 3  # 17 is no neighbour of the cells, whose own embedding would show it
    again = [forward(one, reuse=Reuse(whole.features, CELLS)).cond for one in (tokens, inside, outside)]
    assert torch.equal(again[0], again[2])
    assert not torch.allclose(again[0][:, 0], again[1][:, 0], atol=1e-4)
    assert torch.equal(whole.features[0].known[0][0], forward(tokens, keep=True).features[0].known[0][0])  # nothing is written to


@pytest.mark.parametrize("downsample", [False, True])
@torch.no_grad()
def test_meissonic_some_cells_say_what_the_whole_grid_said(downsample: bool) -> None:
    model, batch, kept = tiny_transformer(downsample), inputs(), []
    side = 2 if downsample else 1
    recorder = ColumnRecorder([1, 4], range(3), rows=slice(9, None))
    whole = model(*batch, recorder=recorder, keep=kept)
    assert torch.equal(whole, model(*batch))
    cells = torch.tensor([0, 2, 5])
    some = ColumnRecorder([1, 4], range(3))
    tokens, _, pooled, micro, timestep = batch
    part = model.again(tokens, cells, pooled, micro, timestep, kept[0], some)
    blocks = whole.view(2, 6 // side, side, 4 // side, side, -1).transpose(2, 3).reshape(2, 24 // side**2, side * side, -1)
    assert torch.allclose(part, blocks[:, cells], atol=1e-4)
    assert torch.allclose(some.mean(), recorder.mean()[..., cells], atol=1e-6)


def test_which_steps_are_whole() -> None:
    config = RESOLVED.with_(reuse_steps=2)  # a quarter of 8 steps is whole in any case: 0, 1, then 2 with 3 and 4 after it
    assert [whole_step(config, s) for s in range(8)] == [0, 1, 2, 2, 2, 5, 5, 5]
    assert [whole_step(config.with_(reuse_from=0), s) for s in range(8)] == [0, 0, 0, 3, 3, 3, 6, 6]
    assert [whole_step(config.with_(reuse_steps=0), s) for s in range(8)] == list(range(8))
    guided = config.with_(order="uncage", contrast_steps=4, reuse_from=0)
    assert [whole_step(guided, s) for s in range(8)] == [0, 1, 2, 3, 4, 4, 4, 7]
    redrawn = config.with_(order="redraw", reuse_from=0)  # a draft of 6 steps, whose last one tells the places, and 2 of redraw
    assert [whole_step(redrawn, s) for s in range(8)] == [0, 0, 0, 3, 3, 5, 6, 6]
    halves = config.with_(guidance_interval=(0.0, 0.5))
    assert [whole_step(halves, s) for s in range(8)] == [0, 1, 2, 2, 4, 5, 5, 5]
    assert partial_steps_after(config, 2) == [3, 4]


@pytest.mark.parametrize("order", ["meissonic", "uncage", "halton", "redraw", "mend"])
@pytest.mark.shapes
def test_what_is_committed_was_run_and_the_schedule_holds(order: str) -> None:
    config = RESOLVED.with_(order=order, reuse_steps=2, num_steps=12)
    steps = records(config)
    told = [whole_step(config, r.step) == r.step for r in steps]
    assert [r.renewed is None for r in steps] == told
    assert not all(told)
    plain = records(config.with_(reuse_steps=0))
    if order in ("meissonic", "uncage", "halton"):
        assert [int(r.committed.sum()) for r in steps] == [int(r.committed.sum()) for r in plain]
    for r in steps:
        assert r.renewed is None or not (r.committed & ~r.renewed).any()
    assert not (steps[-1].masked_before & ~steps[-1].committed).any()


def test_a_group_is_what_its_steps_commit_and_a_partial_step_costs_its_share() -> None:
    config = RESOLVED.with_(reuse_steps=2)
    steps = records(config)
    left = [mask_count("cosine", s, 8, N, N) for s in range(8)]
    assert group_size(config, 2, N, left[2]) == left[2] - left[4]
    group = steps[2].committed | steps[3].committed | steps[4].committed
    assert steps[3].renewed is not None
    assert np.array_equal(steps[3].renewed, group)
    assert [r.passes for r in steps[2:5]] == [2, 2 * group.sum() / N, 2 * group.sum() / N]
    cells = np.zeros(16, bool)
    cells[[0, 1, 4]] = True
    assert cells_run(cells, (4, 4), (4, 4)) == 3 / 16
    assert cells_run(cells, (4, 4), (2, 2)) == 1 / 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"how_many": "entropy"}, 'reuse_steps=2 with how_many="entropy"'),
        ({"revise": "remask"}, 'reuse_steps=2 with revise="remask"'),
        ({"differential": 0.5}, "reuse_steps=2 with differential=0.5"),
    ],
)
def test_what_does_not_go_together_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        records(PLAIN.with_(reuse_steps=2, **changes))


def test_a_model_that_keeps_no_features_is_refused() -> None:
    with pytest.raises(ValueError, match="reuse_steps=2: toy cannot reuse features"):
        records(PLAIN.with_(reuse_steps=2), backend=ToyBackend())
