"""Which token: guidance, sampling by inverse CDF, and what the model thought."""

import numpy as np
import pytest
import torch

from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.tokens import TokenOpinion, apply_guidance, forbid_ids, guidance_at

pytestmark = pytest.mark.shapes


def logits(rows: int = 5, codes: int = 7, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, codes, generator=torch.Generator().manual_seed(seed)) * 3


def test_guidance_is_u_plus_g_times_c_minus_u() -> None:
    cond, uncond = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.5, -1.0]])
    assert apply_guidance(cond, uncond, 3.0).tolist() == [[2.0, 8.0]]
    assert torch.equal(apply_guidance(cond, uncond, 0.0), uncond)


def test_guidance_of_1_is_the_conditional_half_to_the_bit_and_needs_no_other() -> None:
    cond = logits()
    assert torch.equal(apply_guidance(cond, None, 1.0), cond)
    with pytest.raises(ValueError, match="guidance_scale=3"):
        apply_guidance(cond, None, 3.0)


def test_guidance_is_computed_in_float32_whatever_the_models_dtype() -> None:
    cond, uncond = logits().bfloat16(), logits(seed=1).bfloat16()
    expected = uncond.float() + 9 * (cond.float() - uncond.float())
    assert torch.equal(apply_guidance(cond, uncond, 9.0), expected)


def test_guidance_ramps_from_1_to_the_scale() -> None:
    config = DecodingConfig(num_steps=5, guidance_scale=9.0, guidance_schedule="ramp")
    assert [guidance_at(config, s) for s in range(5)] == [1, 3, 5, 7, 9]
    assert [guidance_at(config.with_(guidance_schedule="constant"), s) for s in (0, 4)] == [9, 9]
    assert guidance_at(config.with_(num_steps=1), 0) == 9
    with pytest.raises(ValueError, match="guidance_scale is left to the model"):
        guidance_at(config.with_(guidance_scale=None), 0)


def test_inverse_cdf_picks_the_first_id_whose_cdf_exceeds_the_uniform() -> None:
    opinion = TokenOpinion.from_logits(torch.tensor([[0.1, 0.2, 0.7]]).log().repeat(6, 1))
    drawn = opinion.sample(np.array([0.0001, 0.0999, 0.1001, 0.2999, 0.3001, 0.9999]))
    assert drawn.tolist() == [0, 0, 1, 1, 2, 2]


def test_sampling_follows_the_probabilities_at_any_temperature() -> None:
    row = torch.tensor([[0.1, 0.2, 0.7]]).log()
    uniforms = (np.arange(10_000) + 0.5) / 10_000
    for temperature in (1.0, 0.5, 2.0):
        expected = torch.softmax(row[0] / temperature, -1)
        drawn = TokenOpinion.from_logits(row.repeat(10_000, 1)).sample(uniforms, temperature)
        assert np.bincount(drawn, minlength=3) / 10_000 == pytest.approx(expected.numpy(), abs=2e-4)


def test_temperature_0_takes_the_most_probable_and_the_first_of_equals() -> None:
    opinion = TokenOpinion.from_logits(torch.tensor([[1.0, 5.0, 5.0], [7.0, 0.0, 0.0]]))
    assert opinion.sample(np.array([0.99, 0.99]), 0.0).tolist() == [1, 0]


def test_a_row_is_sampled_the_same_beside_other_rows() -> None:
    many = logits(3000, 50)
    uniforms = np.random.default_rng(0).random(3000)
    alone = np.concatenate([TokenOpinion.from_logits(many[i : i + 1]).sample(uniforms[i : i + 1]) for i in range(0, 3000, 97)])
    assert np.array_equal(TokenOpinion.from_logits(many).sample(uniforms)[::97], alone)


def test_forbidden_ids_are_never_drawn_and_poison_nothing() -> None:
    given = logits(4, 6)
    changed = forbid_ids(given, {1: (0, 1, 2, 3, 4), 3: (5,)})
    opinion = TokenOpinion.from_logits(changed)
    for u in (1e-12, 0.5, 1 - 2**-53):
        drawn = opinion.sample(np.full(4, u))
        assert drawn[1] == 5
        assert drawn[3] != 5
    assert opinion.entropy()[1] == 0
    assert np.isfinite(opinion.entropy()).all()
    assert opinion.confidence(np.array([0, 5, 0, 0]))[1] == 0
    assert torch.equal(changed[0], given[0])
    assert torch.isfinite(given).all()
    assert forbid_ids(given, {}) is given


def test_confidence_entropy_alternatives_and_margin_are_those_of_softmax() -> None:
    given = logits(40, 30)
    reference = torch.log_softmax(given.double(), -1)
    opinion = TokenOpinion.from_logits(given)
    ids = np.arange(40) % 30
    assert opinion.confidence(ids) == pytest.approx(reference[np.arange(40), ids].numpy(), abs=1e-5)
    assert opinion.entropy() == pytest.approx(-(reference.exp() * reference).sum(-1).numpy(), abs=1e-5)
    top, probs = opinion.top(4)
    values, indices = reference.exp().topk(4)
    assert np.array_equal(top, indices.numpy())
    assert probs == pytest.approx(values.numpy(), abs=1e-6)
    assert opinion.margin() == pytest.approx((values[:, 0] - values[:, 1]).numpy(), abs=1e-6)
    assert {opinion.entropy().dtype, opinion.margin().dtype, probs.dtype, opinion.confidence(ids).dtype} == {np.dtype(np.float32)}
    assert top.dtype == np.int32


def test_a_codebook_of_one_has_no_second_choice() -> None:
    opinion = TokenOpinion.from_logits(torch.zeros(3, 1))
    assert opinion.margin().tolist() == [1, 1, 1]
    assert opinion.top(4)[0].shape == (3, 1)


def test_large_half_precision_logits_stay_finite() -> None:
    opinion = TokenOpinion.from_logits(torch.tensor([[60000.0, -60000.0, 59990.0]], dtype=torch.float16))
    assert np.isfinite(opinion.entropy()).all()
    assert opinion.sample(np.array([0.3])).tolist() == [0]


def test_weights_next_to_nothing_are_0_and_change_neither_sum_nor_draw() -> None:
    row = torch.tensor([[-200.0, -100.0, 0.0, -88.0, -86.0, -1.0]])
    opinion = TokenOpinion.from_logits(row)
    assert opinion.weights[0, [0, 1, 3]].tolist() == [0.0, 0.0, 0.0]
    assert torch.equal(opinion.weights[0, [2, 4, 5]], row[0, [2, 4, 5]].exp())
    assert opinion.total[0] == row.exp().sum(dtype=torch.float64)
    # 2^-53 is the smallest uniform there is; what is below it cannot be drawn
    assert opinion.sample(np.array([2.0**-53])).tolist() == [2]
    assert np.isnan(TokenOpinion.from_logits(torch.tensor([[float("nan"), 0.0]])).confidence(np.array([0]))).all()


def test_the_most_probable_of_a_sure_row_are_told_apart_below_the_smallest_weight() -> None:
    row = torch.tensor([[0.0, -95.0, -100.0, -90.0, -3.0]])
    ids, probabilities = TokenOpinion.from_logits(row).top(5)
    assert ids.tolist() == [[0, 4, 3, 1, 2]]
    expected = row[0].double().softmax(-1)[[0, 4, 3, 1, 2]]
    assert probabilities[0].tolist() == pytest.approx(expected.tolist(), rel=1e-3)
    assert (probabilities > 0).all()


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0, "each"])
def test_a_look_at_some_positions_says_of_them_what_a_look_at_all_does(temperature: float | str) -> None:
    scores = logits(6, 9)
    uniforms = np.linspace(0.05, 0.95, 6)
    heat = np.linspace(0.0, 2.0, 6) if temperature == "each" else float(temperature)
    only = np.array([True, False, True, True, False, True])
    whole, part = TokenOpinion.from_logits(scores), TokenOpinion.from_logits(scores, only)
    drawn = whole.sample(uniforms, heat)
    assert part.sample(uniforms, heat).tolist() == np.where(only, drawn, 0).tolist()
    assert part.confidence(drawn).tolist() == np.where(only, whole.confidence(drawn), 0).tolist()
