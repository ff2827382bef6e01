"""The contrastive score: the paper's identities, rescaling, blur, and every empty case."""

import numpy as np
import pytest

from tests.factories import make_prompt
from uncage_demo.orders.base import RESCALE_MODES
from uncage_demo.orders.contrast import (
    anchored_score,
    anchors,
    attention_contrast,
    blur_in_cells,
    blur_maps,
    contrastive_score,
    object_contrasts,
    rescale_maps,
    squared_distances,
    word_matrix,
)
from uncage_demo.types import Subject, Word

pytestmark = pytest.mark.shapes


def maps(words: int, n: int = 30, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((words, n)).astype(np.float32)


def test_two_plain_objects_give_the_absolute_difference() -> None:
    m = maps(2)
    assert np.array_equal(contrastive_score(m, [Subject((0,)), Subject((1,))]), np.abs(m[0] - m[1]))


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_negative_only_is_the_full_method_on_prompts_without_attributes(count: int) -> None:
    m, subjects = maps(count), [Subject((i,)) for i in range(count)]
    assert np.array_equal(contrastive_score(m, subjects, "negative"), contrastive_score(m, subjects, "both"))


def test_equations_2_and_3_by_hand() -> None:
    m = np.array([[0.9, 0.1], [0.5, 0.2], [0.3, 0.8], [0.6, 0.4]], np.float32)
    subjects = [Subject((0,), ((1,),)), Subject((2,), ((3,),))]
    # object 0: min(m0, m1) - max(m2, m3); object 1: min(m2, m3) - max(m0, m1)
    assert contrastive_score(m, subjects).tolist() == pytest.approx([max(0.5 - 0.6, 0.3 - 0.9), max(0.1 - 0.8, 0.4 - 0.2)])
    assert contrastive_score(m, subjects, "positive").tolist() == pytest.approx([0.5, 0.4])
    assert contrastive_score(m, subjects, "negative").tolist() == pytest.approx([0.9 - 0.6, 0.8 - 0.2])


def test_attributes_of_other_objects_are_negatives_too() -> None:
    m = np.array([[0.9], [0.1], [0.8]], np.float32)
    plain, coloured = [Subject((0,)), Subject((1,))], [Subject((0,)), Subject((1,), ((2,),))]
    assert contrastive_score(m, plain).tolist() == pytest.approx([0.8])
    assert contrastive_score(m, coloured).tolist() == pytest.approx([0.1])


def test_one_object_has_no_negatives_and_subtracts_0() -> None:
    m = maps(2)
    assert np.array_equal(contrastive_score(m, [Subject((0,))]), m[0])
    assert np.array_equal(contrastive_score(m, [Subject((0,), ((1,),))]), np.minimum(m[0], m[1]))
    assert np.array_equal(contrastive_score(m, [Subject((0,))], "negative"), m[0])


def test_no_subjects_give_zeros() -> None:
    assert contrastive_score(maps(3), []).tolist() == [0] * 30


def test_a_group_of_several_words_is_their_mean() -> None:
    m = maps(3)
    expected = np.abs(m[:2].astype(np.float64).mean(0) - m[2]).astype(np.float32)
    assert np.array_equal(contrastive_score(m, [Subject((0, 1)), Subject((2,))]), expected)


def test_the_order_of_subjects_does_not_matter() -> None:
    m = maps(5)
    subjects = [Subject((0,), ((1,),)), Subject((2,)), Subject((3,), ((4,),))]
    assert np.array_equal(contrastive_score(m, subjects), contrastive_score(m, subjects[::-1]))


@pytest.mark.parametrize("bad", [[Subject((5,))], [Subject((-1,))], [Subject(())], [Subject((0,), ((),))]])
def test_words_that_are_not_there_are_named(bad: list[Subject]) -> None:
    with pytest.raises(ValueError, match="word group"):
        contrastive_score(maps(2), bad)
    with pytest.raises(ValueError, match="mode='sideways'"):
        contrastive_score(maps(2), [Subject((0,))], "sideways")


def test_rescaling_by_hand() -> None:
    m = np.array([[1.0, 2.0, 5.0], [0.0, 0.5, 0.25]])
    assert rescale_maps(m, "none").tolist() == m.tolist()
    assert rescale_maps(m, "max").tolist() == [[0.2, 0.4, 1.0], [0.0, 1.0, 0.5]]
    assert rescale_maps(m, "minmax").tolist() == [[0.0, 0.25, 1.0], [0.0, 1.0, 0.5]]
    assert rescale_maps(m, "mean").tolist() == [[0.375, 0.75, 1.875], [0.0, 2.0, 1.0]]
    with pytest.raises(ValueError, match="contrast_rescale='loud'"):
        rescale_maps(m, "loud")


@pytest.mark.parametrize("mode", RESCALE_MODES)
def test_empty_and_flat_maps_never_become_nan(mode: str) -> None:
    rescaled = rescale_maps(np.array([[0.0, 0.0], [0.3, 0.3]], np.float32), mode)
    assert np.isfinite(rescaled).all()
    assert rescaled[0].tolist() == [0, 0]


def test_rescaling_makes_a_weak_and_a_strong_word_comparable() -> None:
    m = maps(2)
    m[1] *= 0.01
    subjects = [Subject((0,)), Subject((1,))]
    assert np.array_equal(np.argsort(contrastive_score(rescale_maps(m, "none"), subjects)), np.argsort(m[0] - m[1]))
    expected = np.abs(m[0] / m[0].max() - m[1] / m[1].max())
    assert contrastive_score(rescale_maps(m, "max"), subjects) == pytest.approx(expected, abs=1e-6)


def test_blur_is_a_normalised_gaussian_and_0_does_nothing() -> None:
    impulse = np.zeros((1, 41 * 41))
    impulse[0, 20 * 41 + 20] = 1
    blurred = blur_maps(impulse, (41, 41), 2.0).reshape(41, 41)
    line = np.exp(-0.5 * ((np.arange(41) - 20) / 2.0) ** 2)
    line[np.abs(np.arange(41) - 20) > 8] = 0
    assert blurred[20] / blurred[20, 20] == pytest.approx(line)
    assert blurred.sum() == pytest.approx(1)
    assert np.array_equal(blur_maps(impulse, (41, 41), 0.0), impulse)


def test_blur_keeps_constants_up_to_the_border_and_does_not_mix_maps() -> None:
    flat = np.stack([np.full(35, 0.3), np.full(35, 0.7)])
    assert blur_maps(flat, (5, 7), 40.0) == pytest.approx(flat)
    impulse = np.zeros((1, 5, 7))
    impulse[0, 2, 3] = 1
    blurred = blur_maps(np.stack([impulse.reshape(-1), np.zeros(35)]), (5, 7), 1.0).reshape(2, 5, 7)
    assert not blurred[1].any(), "maps are not mixed"
    assert blurred[0, 2] / blurred[0, 2, 3] == pytest.approx(blurred[0, 0] / blurred[0, 0, 3]), "rows differ by a factor: separable"
    assert blurred[0].argmax() == 2 * 7 + 3


def test_blur_is_given_in_attention_cells() -> None:
    assert blur_in_cells(2.0, (64, 64), (32, 32)) == 4.0
    assert blur_in_cells(0.75, (12, 12), (12, 12)) == 0.75


def test_a_word_of_several_tokens_is_the_mean_of_its_columns() -> None:
    prompt = make_prompt("a turtle")
    split = (*prompt.words[:1], Word("turtle", 2, 8, (2, 3), "object"))
    matrix = word_matrix(type(prompt)(prompt.text, prompt.tokens, split, (Subject((1,)),)), columns=(1, 3, 2))
    assert matrix.tolist() == [[1, 0, 0], [0, 0.5, 0.5]]


def test_a_word_without_tokens_has_no_map() -> None:
    prompt = make_prompt("a turtle")
    cut = (*prompt.words[:1], Word("turtle", 2, 8, (), "object"))
    assert word_matrix(type(prompt)(prompt.text, prompt.tokens, cut), (0, 1)).tolist() == [[0, 1], [0, 0]]


def test_the_whole_chain_rescales_before_it_blurs() -> None:
    prompt = make_prompt("a turtle and a bird")
    columns = tuple(range(len(prompt.tokens)))
    attention = maps(len(columns), 30, seed=3)
    score = attention_contrast(
        attention, word_matrix(prompt, columns), prompt.subjects, grid=(6, 5), sigma=0.8, rescale="minmax", mode="both"
    )
    word = [attention[prompt.words[s.object[0]].tokens[0]].astype(np.float64) for s in prompt.subjects]
    word = [(w - w.min()) / (w - w.min()).max() for w in word]
    expected = np.abs(np.subtract(*[blur_maps(w[None], (6, 5), 0.8)[0] for w in word]))
    assert score == pytest.approx(expected, abs=1e-6)
    assert score.dtype == np.float32


def bump(grid: tuple[int, int], y: int, x: int, height: float = 1.0) -> np.ndarray:
    rows, columns = np.mgrid[: grid[0], : grid[1]]
    return (height * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 2)).reshape(-1).astype(np.float32)


def test_an_object_is_hurried_at_its_anchor_and_held_back_at_its_second_place() -> None:
    grid = (12, 12)
    twice = bump(grid, 2, 2) + bump(grid, 9, 9, 0.8)
    m, subjects = np.stack([twice, bump(grid, 2, 9)]), [Subject((0,)), Subject((1,))]
    places = anchors(m, subjects, grid, 0.2)
    assert [own.tolist() for own in places] == [[2 * 12 + 2], [2 * 12 + 9]]
    contrasts = object_contrasts(m, subjects)
    score = anchored_score(contrasts, places, grid, 0.2)
    plain = contrastive_score(m, subjects)
    assert score[2 * 12 + 2] == pytest.approx(plain[2 * 12 + 2])
    assert plain[9 * 12 + 9] > 0.5
    assert score[9 * 12 + 9] < -0.5
    assert score[2 * 12 + 9] == pytest.approx(plain[2 * 12 + 9])
    assert (np.abs(score) <= np.maximum(plain, 0) + 1e-6).all()


def test_the_anchor_is_where_a_neighbourhood_attends_not_one_stray_cell() -> None:
    grid = (12, 12)
    m = bump(grid, 3, 3)
    m[10 * 12 + 10] = 1.2
    assert [own.tolist() for own in anchors(m[None], [Subject((0,))], grid, 0.2)] == [[3 * 12 + 3]]


def test_what_is_asked_for_twice_has_two_anchors_apart_from_each_other() -> None:
    grid = (12, 12)
    m = bump(grid, 3, 3) + bump(grid, 3, 5, 0.9) + bump(grid, 9, 8, 0.5)
    two = anchors(m[None], [Subject((0,), count=2)], grid, 0.2)[0].tolist()
    assert len(two) == 2
    assert two[1] == 9 * 12 + 8
    near = squared_distances([np.array(two)], grid).reshape(grid)
    assert near[9, 8] == 0
    assert near[8, 8] == 1
    assert len(anchors(m[None], [Subject((0,), count=99)], grid, 0.2)[0]) < 20


def test_an_anchor_that_reaches_everywhere_is_the_published_contrast() -> None:
    m, subjects = np.abs(maps(3, 144)), [Subject((0,)), Subject((1,), ((2,),))]
    contrasts = object_contrasts(m, subjects)
    score = anchored_score(contrasts, [np.array([0]), np.array([77])], (12, 12), 1e6)
    assert score == pytest.approx(np.maximum(contrasts.max(0), 0), abs=1e-6)


def test_anchored_contrast_from_attention_differs_from_the_published_one_only_by_its_places() -> None:
    grid, words = (12, 12), np.eye(2)
    attention = np.stack([bump(grid, 2, 2) + bump(grid, 9, 9, 0.5), bump(grid, 2, 9)])
    subjects = [Subject((0,)), Subject((1,))]
    plain = attention_contrast(attention, words, subjects, grid=grid, sigma=0.5)
    anchored = attention_contrast(attention, words, subjects, grid=grid, sigma=0.5, anchor_radius=0.2)
    assert (anchored <= plain + 1e-6).all()
    assert anchored[9 * 12 + 9] < 0 < plain[9 * 12 + 9]
    assert attention_contrast(attention, words, [], grid=grid, sigma=0.0, anchor_radius=0.2).tolist() == [0] * 144
