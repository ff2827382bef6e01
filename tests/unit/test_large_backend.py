"""The backend of the large models: text alignment, guidance as one batch, capture at the token grid, knock-out, offloading, bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.tiny_checkpoints import MASK_ID, write_meissonic
from uncage_demo.backends.base import Backend, Capture
from uncage_demo.backends.large.backend import LargeBackend
from uncage_demo.backends.large.hub import load_large
from uncage_demo.backends.large.memory import Residency
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.sampler import Run, decode
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.types import Prompt


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_meissonic(tmp_path_factory.mktemp("checkpoints") / "tiny-meissonic", downsample=True)


@pytest.fixture(scope="module")
def backend(folder: Path) -> LargeBackend:
    return load_large(str(folder), image_size_px=(32, 48))


def prompt_of(backend: LargeBackend, text: str) -> Prompt:
    tokens, cut = backend.tokenize(text)
    return Prompt(text, tokens, (), truncated=cut)


def tokens_of(backend: LargeBackend, batch: int = 1) -> torch.Tensor:
    height, width = backend.info.grid
    tokens = torch.randint(0, 24, (batch, height * width), generator=torch.Generator().manual_seed(1))
    tokens[:, ::2] = MASK_ID
    return tokens


def test_it_is_a_backend(backend: LargeBackend) -> None:
    assert isinstance(backend, Backend)
    info = backend.info
    assert (info.grid, info.image_size_px, info.attention_grid) == ((8, 12), (32, 48), (4, 6))
    assert (info.single_layers, info.num_heads, info.codebook_size) == (3, 2, 24)
    assert backend.vocabulary is None
    assert backend.mask_id == MASK_ID
    assert backend.default_blur == pytest.approx(2.0 * 4 / 32)


def test_pieces_of_words_keep_their_place_in_the_text(backend: LargeBackend) -> None:
    text = "A  Red turtle,\ncafé 🐢"
    tokens, cut = backend.tokenize(text)
    assert len(tokens) == 77
    assert cut == ""
    assert tokens[0].text == "<start>"
    pieces = [token for token in tokens if not token.special]
    assert all(token.text == text[token.start : token.end] != "" for token in pieces)
    assert [token.text for token in pieces[:6]] == ["A", "Red", "tur", "t", "l", "e"]
    covered = {i for token in pieces for i in range(token.start, token.end)}
    assert covered == {i for i, letter in enumerate(text) if not letter.isspace()}
    rest = tokens[1 + len(pieces) :]
    assert rest[0].text == "<end>"
    assert {token.text for token in rest[1:]} == {"<pad>"}
    assert all(token.special and token.start == token.end for token in (tokens[0], *rest))


def test_what_does_not_fit_is_reported(backend: LargeBackend) -> None:
    text = "red " * 75 + "turtle last"
    tokens, cut = backend.tokenize(text)
    assert len(tokens) == 77
    assert tokens[-1].text == "<end>"
    assert cut == "turtle last"
    exact, nothing = backend.tokenize("red " * 75)
    assert nothing == ""
    assert exact[-1].text == "<end>"
    assert backend.tokenize("")[0][:2] == (tokens[0].__class__("<start>", 0, 0, True), tokens[0].__class__("<end>", 0, 0, True))


def test_token_ids_and_spans_come_from_the_same_split(backend: LargeBackend) -> None:
    text = "red turtle red"
    ids = backend.text.tokenizer([text], padding="max_length", truncation=True, max_length=77).input_ids[0]
    tokens, _ = backend.tokenize(text)
    assert ids[0] == backend.text.tokenizer.bos_token_id
    end = next(i for i, token in enumerate(tokens) if token.text == "<end>")
    assert ids[end] == backend.text.tokenizer.eos_token_id
    assert [backend.text.tokenizer.convert_ids_to_tokens(i).removesuffix("</w>") for i in ids[1:end]] == [t.text for t in tokens[1:end]]


def test_words_of_a_prompt_find_their_pieces(backend: LargeBackend) -> None:
    prompt = parse_prompt("a red turtle and a blue apple", backend)
    words = {word.text: "".join(prompt.tokens[i].text for i in word.tokens) for word in prompt.words}
    assert {"turtle": "turtle", "apple": "apple", "red": "red"}.items() <= words.items()
    assert len(prompt.subjects) == 2


def test_guidance_as_one_batch_equals_two_forwards(backend: LargeBackend) -> None:
    one, two, empty = (backend.encode_prompt(prompt_of(backend, text)) for text in ("a red turtle", "an apple", backend.negative_prompt))
    tokens = tokens_of(backend, 2)
    both = backend.forward(tokens, 1, 4, [one, two])
    cond = backend.forward(tokens, 1, 4, [one, two], unconditional=False)
    uncond = backend.forward(tokens, 1, 4, [empty, empty], unconditional=False)
    assert cond.uncond is None
    assert both.uncond is not None
    torch.testing.assert_close(both.cond, cond.cond, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(both.uncond, uncond.cond, atol=1e-5, rtol=1e-4)
    assert both.cond.shape == (2, 96, 24)


def test_capture_is_of_the_conditional_half_at_the_token_grid(backend: LargeBackend) -> None:
    condition = backend.encode_prompt(prompt_of(backend, "a red turtle"))
    tokens = tokens_of(backend)
    plain = backend.forward(tokens, 0, 4, [condition])
    found = backend.forward(tokens, 0, 4, [condition], capture=Capture(columns=(2, 5, 3), full=True))
    assert torch.equal(plain.cond, found.cond)
    assert plain.uncond is not None
    assert found.uncond is not None
    assert torch.equal(plain.uncond, found.uncond)
    assert found.attention is not None
    assert found.attention_full is not None
    assert found.attention.shape == (1, 3, 96)
    assert found.attention_full.shape == (1, 3, 2, 3, 96)
    torch.testing.assert_close(found.attention, found.attention_full.mean(dim=(1, 2)))
    grid = found.attention.view(3, 8, 12)
    assert torch.equal(grid[:, ::2, ::2], grid[:, 1::2, 1::2])  # four tokens share a query
    everything = backend.forward(tokens, 0, 4, [condition], unconditional=False, capture=Capture())
    assert everything.attention is not None
    assert everything.attention.shape == (1, 77, 96)
    torch.testing.assert_close(everything.attention[:, [2, 5, 3]], found.attention, atol=1e-5, rtol=1e-4)
    band = backend.forward(tokens, 0, 4, [condition], capture=Capture("layers:1-2", (2,))).attention
    assert band is not None
    torch.testing.assert_close(band[:, 0], found.attention_full[:, 1:, :, 0].mean(dim=(1, 2)), atol=1e-5, rtol=1e-4)


def test_knock_out_touches_the_conditional_half_only(backend: LargeBackend) -> None:
    condition = backend.encode_prompt(prompt_of(backend, "a red turtle"))
    tokens = tokens_of(backend)
    plain = backend.forward(tokens, 0, 4, [condition])
    hidden = backend.forward(tokens, 0, 4, [condition], capture=Capture(), suppress=(2,))
    again = backend.forward(tokens, 0, 4, [condition], suppress=(2,))
    assert torch.equal(hidden.cond, again.cond)
    assert (hidden.cond - plain.cond).abs().max() > 1e-4
    assert plain.uncond is not None
    assert hidden.uncond is not None
    torch.testing.assert_close(hidden.uncond, plain.uncond, atol=1e-5, rtol=1e-4)
    assert hidden.attention is not None
    assert (hidden.attention[:, 2] == 0).all()
    assert (hidden.attention[:, 3] > 0).all()


def test_the_step_and_the_picture_size_reach_the_network(backend: LargeBackend, folder: Path) -> None:
    condition = backend.encode_prompt(prompt_of(backend, "a red turtle"))
    tokens = tokens_of(backend)
    seen: list[tuple[torch.Tensor, ...]] = []
    hook = backend.network.register_forward_pre_hook(lambda module, args: seen.append(args))
    first = backend.forward(tokens, 0, 4, [condition]).cond
    last = backend.forward(tokens, 3, 4, [condition]).cond
    hook.remove()
    assert (first - last).abs().max() > 1e-4
    assert [args[4].tolist() for args in seen] == [[3.0, 3.0], [0.0, 0.0]]
    assert seen[0][3].tolist() == [[48.0, 32.0, 0.0, 0.0, 6.0]] * 2


def test_a_whole_guided_decode(backend: LargeBackend) -> None:
    prompt = parse_prompt("a red turtle and a blue apple", backend)
    records = list(decode(backend, Run(prompt, DecodingConfig("uncage", 4))))
    assert sum(int(record.committed.sum()) for record in records) == 96
    assert np.abs(records[0].contrast).max() > 0
    assert records[-1].weight == 0
    picture = backend.decode_tokens(torch.from_numpy(records[-1].sampled)[None])
    assert picture.shape == (1, 32, 48, 3)
    assert picture.dtype == np.uint8


def test_pictures_do_not_depend_on_the_batch_bound(backend: LargeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = torch.randint(0, 24, (3, 96), generator=torch.Generator().manual_seed(2))
    whole = backend.decode_tokens(tokens)
    monkeypatch.setattr("uncage_demo.backends.large.pictures._BATCH_PIXELS", 1)
    np.testing.assert_allclose(backend.decode_tokens(tokens).astype(int), whole.astype(int), atol=1)
    assert whole.std() > 0
    assert backend.token_pictures([3, 4], 5).shape == (2, 5, 5, 3)
    assert backend.token_pictures([], 5).shape == (0, 5, 5, 3)
    with pytest.raises(ValueError, match=r"-1\.\.24"):
        backend.decode_tokens(tokens.clone().index_fill_(1, torch.tensor([0]), -1).index_fill_(1, torch.tensor([1]), 24))


@pytest.mark.parametrize(("size_px", "together"), [(1024, 1), (512, 4), (256, 16), (2048, 1)])
def test_large_pictures_are_decoded_one_at_a_time(
    backend: LargeBackend, monkeypatch: pytest.MonkeyPatch, size_px: int, together: int
) -> None:
    pictures, seen = backend.pictures, []
    side = size_px // pictures.factor

    def one_part(part: torch.Tensor) -> np.ndarray:
        seen.append(len(part))
        return np.zeros((len(part), 1, 1, 3), np.uint8)

    monkeypatch.setattr(pictures, "_decode", one_part)
    monkeypatch.setattr(pictures, "_encode", lambda part: (seen.append(len(part)), np.zeros((len(part), 1, 1), np.int64))[1])
    assert len(pictures.decode(torch.zeros(17, side, side, dtype=torch.int64))) == 17
    assert max(seen) == together
    seen.clear()
    pictures.encode(np.broadcast_to(np.zeros((1, 1, 1, 3), np.uint8), (2, size_px, size_px, 3)))
    assert max(seen) == min(together, 2)


def test_text_is_encoded_once(backend: LargeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    encode = backend.text.encode
    monkeypatch.setattr(backend.text, "encode", lambda text: calls.append(text) or encode(text))
    prompt = prompt_of(backend, "never seen before")
    assert backend.encode_prompt(prompt) is backend.encode_prompt(prompt)
    assert calls == ["never seen before"]
    for i in range(70):
        backend.encode_prompt(prompt_of(backend, f"prompt {i}"))
    assert len(backend._cache) == 64


def test_a_full_capture_beyond_the_bound_is_refused(backend: LargeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    condition = backend.encode_prompt(prompt_of(backend, "a turtle"))
    monkeypatch.setattr(backend, "full_attention_limit_bytes", 3 * 2 * 4 * 96 * 4 - 1)
    with pytest.raises(ValueError, match="every layer and head would take"):
        backend.forward(tokens_of(backend), 0, 4, [condition], capture=Capture(columns=(0, 1, 2, 3), full=True))
    backend.forward(tokens_of(backend), 0, 4, [condition], capture=Capture("layers:0-1", (0, 1, 2, 3), full=True))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"capture": Capture(columns=(77,))}, r"text column 77: allowed are 0\.\.76"),
        ({"capture": Capture("layers:0-3")}, "layers 0 to 2"),
        ({"suppress": (80,)}, r"allowed are text tokens 0\.\.76"),
        ({"suppress": tuple(range(77))}, "leave at least one"),
    ],
)
def test_bad_requests_are_named(backend: LargeBackend, options: dict[str, Any], match: str) -> None:
    condition = backend.encode_prompt(prompt_of(backend, "a turtle"))
    with pytest.raises(ValueError, match=match):
        backend.forward(tokens_of(backend), 0, 4, [condition], **options)
    with pytest.raises(ValueError, match="give b x 96 and b prompts"):
        backend.forward(tokens_of(backend, 2), 0, 4, [condition])


def test_with_offloading_one_part_at_a_time_is_on_the_device() -> None:
    parts: dict[str, torch.nn.Module] = {name: torch.nn.Linear(1, 1) for name in ("text", "network", "pictures")}
    residency = Residency(parts, torch.device("cpu"), offload=True)
    moves: list[tuple[str, str]] = []
    for name, module in parts.items():
        module.to = lambda place, name=name: moves.append((name, str(place)))  # type: ignore[method-assign]
    residency.device = torch.device("cuda")
    residency.use("network")
    residency.use("network")
    assert moves == [("text", "cpu"), ("pictures", "cpu"), ("network", "cuda")]
    moves.clear()
    Residency.use(residency, "pictures")
    assert moves == [("text", "cpu"), ("network", "cpu"), ("pictures", "cuda")]


@pytest.mark.parametrize("dtype", ["bf16"])  # every one: tests/slow/test_sweeps.py
def test_offloading_changes_nothing_on_the_cpu(folder: Path, dtype: str) -> None:
    """A whole guided decode and its picture, with every part moved in and out (from the CPU to the CPU: the moves are the same calls)."""
    plain, other = (load_large(str(folder), image_size_px=32, offload=on, dtype=dtype) for on in (False, True))
    used: list[str] = []
    bring = other._residency.use
    other._residency.use = lambda name: used.append(name) or bring(name)  # type: ignore[method-assign]
    config = DecodingConfig("uncage", 3)
    prompt = parse_prompt("a red turtle and a blue apple", plain)
    one, two = (list(decode(backend, Run(prompt, config))) for backend in (plain, other))
    for ours, theirs in zip(one, two, strict=True):
        np.testing.assert_array_equal(ours.sampled, theirs.sampled)
        np.testing.assert_array_equal(ours.attention, theirs.attention)
        assert np.isfinite(ours.scores[ours.masked_before]).all()
    tokens = torch.from_numpy(one[-1].sampled)[None]
    np.testing.assert_array_equal(plain.decode_tokens(tokens), other.decode_tokens(tokens))
    assert {"text", "network", "pictures"} == set(used)
    assert other._residency.active == "pictures"
