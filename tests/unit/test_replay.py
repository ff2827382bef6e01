"""Recordings of the embedded model's forward pass: the same bits, dropped with the weights, and bounded."""

import copy
import threading
from collections.abc import Iterator

import pytest
import torch

from uncage_demo.backends.base import Capture
from uncage_demo.backends.embedded import replay
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.backends.embedded.replay import Replays
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.types import Prompt

OFTEN = replay.CALLS_BEFORE + 1


@pytest.fixture(autouse=True)
def nothing_recorded_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "_made", 0)


@pytest.fixture
def backend() -> EmbeddedBackend:
    return EmbeddedBackend.tiny()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """On one thread a forward is one call of the transformer; what is different with more is in test_lanes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def recordings(backend: EmbeddedBackend) -> int:
    kept = backend.transformer._last_kept
    return 0 if kept is None else kept.replays.recorded


@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize(
    "capture", [None, Capture("default", None, False), Capture("all", (3, 1), True), Capture("all", full=True, image=True)]
)
def test_a_recording_has_the_bits_of_the_first_calls(backend: EmbeddedBackend, samples: int, capture: Capture | None) -> None:
    text = [backend.encode_prompt(_prompt(backend, words)) for words in ("a turtle", "a red apple")[:samples]]
    generator = torch.Generator().manual_seed(0)
    grids = [torch.randint(0, backend.mask_id + 1, (samples, 36), generator=generator) for _ in range(3)]
    first = [backend.forward(grid, 0, 4, text, capture=capture) for grid in grids]
    for _ in range(OFTEN):
        backend.forward(grids[0], 0, 4, text, capture=capture)
    assert recordings(backend) == 1
    for grid, before in zip(grids, first, strict=True):
        now = backend.forward(grid, 0, 4, text, capture=capture)
        for name in ("cond", "uncond", "attention", "attention_full"):
            one, other = getattr(before, name), getattr(now, name)
            assert (one is None) == (other is None)
            assert one is None or torch.equal(one, other)


def test_another_prompt_of_the_same_shape_is_played_from_the_same_recording(backend: EmbeddedBackend) -> None:
    grid = torch.full((1, 36), backend.mask_id)
    for _ in range(OFTEN):
        backend.forward(grid, 0, 4, [backend.encode_prompt(_prompt(backend, "a turtle"))])
    apple = backend.encode_prompt(_prompt(backend, "a red apple"))
    fresh = EmbeddedBackend.tiny().forward(grid, 0, 4, [apple])
    played = backend.forward(grid, 0, 4, [apple])
    assert torch.equal(played.cond, fresh.cond)
    assert recordings(backend) == 1


def test_a_changed_weight_drops_what_was_recorded(backend: EmbeddedBackend) -> None:
    grid, text = torch.full((1, 36), backend.mask_id), [backend.encode_prompt(_prompt(backend, "a turtle"))]
    before = [backend.forward(grid, 0, 4, text) for _ in range(OFTEN)][-1]
    other = EmbeddedBackend.tiny()
    for one in (backend, other):
        one.transformer.single_blocks[0].norm_q.weight.mul_(2)  # type: ignore[union-attr]
        one.transformer.single_blocks[1].out.bias.copy_(torch.ones(16))  # type: ignore[union-attr]
    after = backend.forward(grid, 0, 4, text)
    assert not torch.equal(before.cond, after.cond)
    assert torch.equal(after.cond, other.forward(grid, 0, 4, text).cond)


def test_pictures_are_the_same_from_a_recording_and_follow_the_weights(backend: EmbeddedBackend) -> None:
    grid = torch.randint(0, backend.mask_id, (1, 36), generator=torch.Generator().manual_seed(1))
    pictures = [backend.decode_tokens(grid) for _ in range(OFTEN + 1)]
    assert all((one == pictures[0]).all() for one in pictures)
    assert backend.tokenizer._replays.recorded == 1
    next(iter(backend.tokenizer.decoder.parameters())).mul_(0)
    other = EmbeddedBackend.tiny()
    next(iter(other.tokenizer.decoder.parameters())).mul_(0)
    assert (backend.decode_tokens(grid) == other.decode_tokens(grid)).all()
    assert (backend.decode_tokens(grid) != pictures[0]).any()


def test_what_does_not_play_back_the_same_bits_is_not_kept() -> None:
    replays, calls = Replays(), [0]

    def counted(x: torch.Tensor) -> tuple[torch.Tensor]:
        calls[0] += 1
        return (x + calls[0],)

    with torch.no_grad():
        made = [replays.run("counted", counted, (torch.zeros(2),))[0][0].item() for _ in range(OFTEN + 3)]
    assert replays.recorded == 0
    assert made == sorted(set(made))  # each call was a call


def test_where_pytorch_does_not_record_everything_works_without(backend: EmbeddedBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise RuntimeError("not on this version of Python")

    monkeypatch.setattr(torch.jit, "trace", refused)
    grid, text = torch.full((1, 36), backend.mask_id), [backend.encode_prompt(_prompt(backend, "a turtle"))]
    made = [backend.forward(grid, 0, 4, text).cond for _ in range(OFTEN + 1)]
    assert all(torch.equal(one, made[0]) for one in made)
    assert recordings(backend) == 0


def test_a_process_makes_so_many_recordings_and_no_more() -> None:
    both = Replays(), Replays()
    with torch.no_grad():
        for size in range(1, replay._MOST):
            for replays in both:
                for _ in range(OFTEN):
                    (doubled,) = replays.run("double", lambda x: (x * 2,), (torch.ones(1, size),))
                assert doubled.tolist() == [[2.0] * size]
    assert sum(replays.recorded for replays in both) == replay._MOST


def test_many_samples_are_not_recorded() -> None:
    replays = Replays()
    with torch.no_grad():
        for samples in (replay.MOST_SAMPLES, replay.MOST_SAMPLES + 1):
            for _ in range(OFTEN):
                replays.run("double", lambda x: (x * 2,), (torch.ones(samples, 3),))
    assert replays.recorded == 1


def test_under_autocast_and_while_gradients_are_wanted_nothing_is_recorded(backend: EmbeddedBackend) -> None:
    transformer = backend.transformer
    tokens, text = torch.full((1, 36), backend.mask_id), backend.encode_prompt(_prompt(backend, "a turtle"))[None]
    for _ in range(OFTEN):
        transformer(tokens, text)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            half = transformer(tokens, text).logits
    assert recordings(backend) == 0
    assert half.dtype == torch.bfloat16


def test_a_copy_of_the_model_records_for_itself(backend: EmbeddedBackend) -> None:
    grid, text = torch.full((1, 36), backend.mask_id), backend.encode_prompt(_prompt(backend, "a turtle"))[None]
    with torch.no_grad():
        for _ in range(OFTEN):
            whole = backend.transformer(grid, text).logits
        other = copy.deepcopy(backend.transformer)
        other.output_bias.add_(1)
        assert torch.equal(other(grid, text).logits, torch.add(whole, 1))
    assert copy.deepcopy(backend.tokenizer)._replays.recorded == 0


def test_threads_may_ask_at_the_same_time(backend: EmbeddedBackend) -> None:
    grid, text = torch.full((1, 36), backend.mask_id), [backend.encode_prompt(_prompt(backend, "a turtle"))]
    expected = backend.forward(grid, 0, 4, text).cond
    wrong: list[object] = []

    def ask() -> None:
        for _ in range(2 * OFTEN):
            try:
                if not torch.equal(backend.forward(grid, 0, 4, text).cond, expected):
                    wrong.append("other bits")
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert recordings(backend) == 1


def _prompt(backend: EmbeddedBackend, text: str) -> Prompt:
    return parse_prompt(text, backend)
