"""The embedded backend: protocol, capture, knock-out, loading, verdicts."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from uncage_demo.backends import load_backend
from uncage_demo.backends.base import Backend, Capture
from uncage_demo.backends.embedded import vocab
from uncage_demo.backends.embedded.backend import PARTS, EmbeddedBackend, rival_of
from uncage_demo.backends.embedded.verdict import place_of, verdict_of
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.train.export import export
from uncage_demo.types import FoundObject

BOX = (0.0, 0.0, 0.5, 0.5)


@pytest.fixture(scope="module")
def backend():
    return EmbeddedBackend.tiny()


def forward(backend, prompts=("a turtle and a pink apple",), **options):
    conditioning = [backend.encode_prompt(parse_prompt(text, backend)) for text in prompts]
    tokens = torch.full((len(prompts), backend.info.grid[0] * backend.info.grid[1]), backend.mask_id)
    tokens[:, ::3] = 5
    return backend.forward(tokens, 0, 8, conditioning, **options)


def test_is_a_backend(backend):
    assert isinstance(backend, Backend)


def test_capture_changes_no_logit(backend):
    plain = forward(backend)
    captured = forward(backend, capture=Capture(full=True))
    assert torch.equal(plain.cond, captured.cond)
    assert torch.equal(plain.uncond, captured.uncond)
    assert plain.attention is None


def test_captured_columns_are_the_softmax(backend):
    """Against an eager softmax over all keys, computed here from the block's own queries and keys."""
    block = backend.transformer.single_blocks[1]
    seen = {}
    handle = block.register_forward_hook(lambda module, args, result: seen.update(q=result[1], k=result[2], mask=args[1][:, None, None]))
    try:
        output = forward(backend, capture=Capture(source="layers:1-1"), unconditional=False)
    finally:
        handle.remove()
    t = backend.transformer.text_length
    scores = seen["q"] @ seen["k"].transpose(-1, -2) * seen["q"].shape[-1] ** -0.5
    scores = scores.masked_fill(~seen["mask"], float("-inf"))
    expected = scores.softmax(-1)[:, :, -36:, :t].mean(1).transpose(1, 2)  # the last block asks for the 36 image tokens alone
    assert output.attention is not None
    torch.testing.assert_close(output.attention, expected, atol=1e-5, rtol=0)


def test_chosen_columns_and_full_maps(backend):
    everything = forward(backend, capture=Capture(source="all", full=True))
    some = forward(backend, capture=Capture(source="all", columns=(3, 1)))
    assert everything.attention_full.shape == (1, 2, 2, vocab.TEXT_LENGTH, 36)
    torch.testing.assert_close(some.attention, everything.attention[:, [3, 1]])
    torch.testing.assert_close(everything.attention, everything.attention_full.mean(dim=(1, 2)))
    default = forward(backend, capture=Capture(full=True))
    torch.testing.assert_close(default.attention, everything.attention_full[:, 1, 0])


def test_padding_gets_no_attention(backend):
    maps = forward(backend, ("a cat",), capture=Capture(source="all")).attention
    assert maps[0, 4:].abs().max() == 0
    assert maps[0, :4].min() > 0


def test_knocked_out_word_gets_no_attention_and_changes_the_logits(backend):
    tokens, _ = backend.tokenize("a turtle and a pink apple")
    column = [token.text for token in tokens].index("turtle")
    plain = forward(backend, capture=Capture(source="all"))
    silenced = forward(backend, capture=Capture(source="all"), suppress=[column])
    assert silenced.attention[0, column].abs().max() == 0
    assert plain.attention[0, column].min() > 0
    assert not torch.equal(plain.cond, silenced.cond)
    torch.testing.assert_close(plain.uncond, silenced.uncond)


def test_unconditional_half_ignores_the_prompt(backend):
    torch.testing.assert_close(forward(backend, ("a cat",)).uncond, forward(backend, ("two red cars",)).uncond)


def test_pictures(backend):
    ids = torch.arange(36).reshape(1, 36) % backend.info.codebook_size
    pictures = backend.decode_tokens(ids)
    assert pictures.shape == (1, 96, 96, 3)
    assert pictures.dtype == np.uint8
    assert np.array_equal(pictures, backend.decode_tokens(ids.reshape(1, 6, 6)))
    assert backend.token_pictures([0, 7], 24).shape == (2, 24, 24, 3)
    assert not np.array_equal(*backend.token_pictures([0, 7]))


def test_attention_source_out_of_range(backend):
    with pytest.raises(ValueError, match="layers run from 0 to 1"):
        forward(backend, capture=Capture(source="layers:0-2"))


class TestTokenize:
    def test_spans_point_at_the_text(self):
        text = "A Turtle, and a pink-ish apple!"
        tokens, ids, truncated = vocab.tokenize(text)
        assert all(token.special or text[token.start : token.end] == token.text for token in tokens)
        assert ids[2] == vocab.WORD_ID["turtle"]
        assert truncated == ""
        assert len(ids) == vocab.TEXT_LENGTH

    def test_long_prompt_reports_what_was_cut(self):
        text = "a cat and " * 8 + "a dog"
        tokens, ids, truncated = vocab.tokenize(text)
        assert text.endswith(truncated)
        assert "dog" in truncated
        assert len(ids) == len(tokens) == vocab.TEXT_LENGTH
        assert ids[-1] == vocab.END

    @pytest.mark.parametrize(("word", "meant"), [("Grey", "gray"), ("apples", "apple"), ("mice", "mouse"), ("bunny", "rabbit")])
    def test_aliases(self, word, meant):
        assert vocab.word_id(word) == vocab.WORD_ID[meant]

    def test_unknown_word_is_read_over(self):
        assert vocab.word_id("zeppelin") == vocab.UNKNOWN
        tokens, ids, _ = vocab.tokenize("a zeppelin near a cat")
        assert [token.text for token in tokens[1:6]] == ["a", "zeppelin", "near", "a", "cat"]
        assert ids[2] == ids[3] == vocab.PAD
        assert ids[5] == vocab.WORD_ID["cat"]


class TestVerdict:
    def found(self, *pairs):
        return [FoundObject(noun, color, 0.9, BOX) for noun, color in pairs]

    def verdict(self, backend, text, *pairs):
        return verdict_of(self.found(*pairs), parse_prompt(text, backend))

    def test_all_right(self, backend):
        verdict = self.verdict(backend, "a turtle and a pink apple", ("apple", "pink"), ("turtle", ""))
        assert verdict.all_correct
        assert verdict.extra_objects == 0

    def test_wrong_color_is_found_but_not_right(self, backend):
        verdict = self.verdict(backend, "a turtle and a pink apple", ("apple", "red"), ("turtle", "pink"))
        assert verdict.objects_found == (True, True)
        assert verdict.colors_right == (True, False)
        assert not verdict.all_correct

    def test_duplicate_is_extra(self, backend):
        verdict = self.verdict(backend, "a turtle and a pink apple", ("turtle", ""), ("turtle", ""))
        assert verdict.objects_found == (True, False)
        assert verdict.extra_objects == 1

    def test_two_of_one_noun_match_by_color_first(self, backend):
        verdict = self.verdict(backend, "a red car and a blue car", ("car", "blue"), ("car", "green"))
        assert verdict.objects_found == (True, True)
        assert verdict.colors_right == (False, True)

    def test_as_many_as_asked_for(self, backend):
        assert self.verdict(backend, "two cats", ("cat", ""), ("cat", "")).all_correct
        one = self.verdict(backend, "two cats", ("cat", ""))
        assert (one.objects_found, one.extra_objects) == ((False,), 0)
        three = self.verdict(backend, "two cats", *[("cat", "")] * 3)
        assert (three.objects_found, three.extra_objects, three.all_correct) == ((True,), 1, False)
        mixed = self.verdict(backend, "two red cars and a dog", ("car", "red"), ("dog", ""), ("car", "blue"))
        assert (mixed.objects_found, mixed.colors_right) == ((True, True), (False, True))

    @pytest.mark.parametrize(("said", "right"), [("left of", True), ("right of", False), ("above", False), ("under", False)])
    def test_positions(self, backend, said, right):
        found = [FoundObject("cat", "", 0.9, (0.3, 0.0, 0.7, 0.4)), FoundObject("car", "red", 0.9, (0.4, 0.5, 0.8, 0.9))]
        verdict = verdict_of(found, parse_prompt(f"a cat {said} a red car", backend))
        assert [(wish.kind, wish.met) for wish in verdict.wishes] == [("position", right)]
        assert verdict.all_correct == right

    @pytest.mark.parametrize(
        ("prompt", "wishes"),
        [
            ("a cat on the left and a red car on the right", {"cat on the left": True, "car on the right": True}),
            ("a cat on the right and a red car", {"cat on the right": False}),
            ("a cat and a red car at the bottom", {"car at the bottom": True}),
            ("a cat on the left of a red car", {"cat left of car": True}),
            ("a cat on the right, a red car", {"cat on the right": False}),
            ("a cat under the sea and a red car", {}),
        ],
    )
    def test_sides(self, backend, prompt, wishes):
        found = [FoundObject("cat", "", 0.9, (0.0, 0.0, 0.4, 0.4)), FoundObject("car", "red", 0.9, (0.5, 0.5, 0.9, 0.9))]
        verdict = verdict_of(found, parse_prompt(prompt, backend))
        assert {wish.label: wish.met for wish in verdict.wishes} == wishes
        assert verdict.all_correct == all(wishes.values())

    def test_under_the_sea_is_no_position(self):
        ids = vocab.tokenize("a cat under the sea and a dog under a car")[1]
        assert ids.count(vocab.WORD_ID["below"]) == 1
        assert vocab.WORD_ID["sea"] in ids

    def test_a_position_of_something_missing_is_not_right(self, backend):
        verdict = verdict_of([FoundObject("cat", "", 0.9, BOX)], parse_prompt("a cat above a dog", backend))
        assert [wish.met for wish in verdict.wishes] == [False]

    def test_places(self, backend):
        papers = {"": (220, 232, 236), "night": (57, 64, 122), "snow": (201, 219, 245)}
        image = np.full((32, 32, 3), (60, 60, 120), np.uint8)
        image[:12] = 255
        assert place_of(image, papers) == "night"
        assert place_of(np.full((32, 32, 3), 90, np.uint8), papers) == ""
        found = [FoundObject("cat", "", 0.9, BOX)]
        for place, right in (("night", True), ("", False), ("snow", False)):
            verdict = verdict_of(found, parse_prompt("a cat in the night sky", backend), place)
            assert [(wish.kind, wish.label, wish.met) for wish in verdict.wishes] == [("place", "night", right)]
            assert verdict.all_correct == right
        assert verdict_of(found, parse_prompt("a cat at night", backend)).wishes == ()
        assert verdict_of(found, parse_prompt("a cat", backend), "snow").wishes == ()

    def test_nothing_found(self, backend):
        assert not self.verdict(backend, "a cat").all_correct

    def test_a_second_noun_in_one_place_is_a_rival(self):
        probability = torch.zeros(3, 6, 6)
        probability[0, 2, 2], probability[1, 2, 3], probability[2, 2, 5] = 0.9, 0.4, 0.8
        assert rival_of(probability, 0, 0, 0.9, 2, 2) == vocab.NOUNS[1]
        probability[1, 2, 3] = 0.1
        assert rival_of(probability, 0, 0, 0.9, 2, 2) == ""


class TestLoading:
    @pytest.fixture
    def folder(self, backend, tmp_path):
        parts = {name: getattr(backend, name) for name in PARTS}
        for part, settings in backend.config.items():
            if part in parts and not hasattr(parts[part], "config"):
                parts[part].config = settings
        export(tmp_path, parts, {"attention_heads": [[1, 0]], "blur": 0.5})
        return tmp_path

    def test_round_trip(self, backend, folder):
        loaded = load_backend(str(folder))
        assert isinstance(loaded, EmbeddedBackend)
        torch.testing.assert_close(forward(loaded).cond, forward(backend).cond, atol=0.05, rtol=0.05)
        assert loaded.info.weight_hash == load_backend(str(folder)).info.weight_hash

    def test_hash_follows_the_weights(self, folder):
        before = EmbeddedBackend.load(folder).info.weight_hash
        data = bytearray((folder / "detector.safetensors").read_bytes())
        data[-1] ^= 1
        (folder / "detector.safetensors").write_bytes(data)
        assert EmbeddedBackend.load(folder).info.weight_hash != before

    def test_missing_file(self, folder):
        (folder / "detector.safetensors").unlink()
        with pytest.raises(FileNotFoundError, match=r"detector\.safetensors"):
            EmbeddedBackend.load(folder)

    def test_truncated_file(self, folder):
        path = folder / "transformer.safetensors"
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(ValueError, match="transformer"):
            EmbeddedBackend.load(folder)

    def test_config_of_another_architecture(self, folder):
        config = json.loads((folder / "config.json").read_text())
        config["transformer"]["width"] = 32
        (folder / "config.json").write_text(json.dumps(config))
        with pytest.raises(ValueError, match="does not hold"):
            EmbeddedBackend.load(folder)

    def test_not_a_model(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"config\.json"):
            EmbeddedBackend.load(tmp_path)
        (tmp_path / "config.json").write_text("{nonsense")
        with pytest.raises(ValueError, match="does not describe"):
            EmbeddedBackend.load(tmp_path)

    def test_attention_heads_must_exist(self, backend):
        parts = {name: getattr(backend, name) for name in PARTS}
        with pytest.raises(ValueError, match="heads from 0 to 1"):
            EmbeddedBackend(parts, {"attention_heads": [[0, 7]]}, "x")

    def test_dtype_is_said_clearly(self):
        with pytest.raises(ValueError, match="float32"):
            load_backend("embedded", dtype="float16")
