"""Computations on one thread each, side by side: in order, as many at once as there are threads, and with the bits of one thread."""

import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from uncage_demo.backends.base import Capture
from uncage_demo.backends.embedded import replay
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.backends.threads import all_threads, in_lanes, lanes, one_thread, side_by_side
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.run import Run
from uncage_demo.decoding.sampler import decode_many
from uncage_demo.prompt.parse import parse_prompt

CPU = torch.device("cpu")
CAPTURES = [None, Capture("default", None, False), Capture("all", (3, 1), True)]


@pytest.fixture(autouse=True)
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(replay, "_made", 0)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_parts_are_computed_side_by_side_in_order_on_one_thread_each() -> None:
    seen: list[tuple[str, int, bool]] = []
    meeting = threading.Barrier(2, timeout=30)  # passed only if both parts are computed at the same time

    def compute(part: torch.Tensor) -> torch.Tensor:
        meeting.wait()
        seen.append((threading.current_thread().name, torch.get_num_threads(), torch.is_grad_enabled()))
        return part * 2

    with torch.no_grad():
        assert side_by_side(compute, torch.arange(5.0), 16).tolist() == [0, 2, 4, 6, 8]
    assert len({name for name, *_ in seen}) == 2
    assert [rest for _, *rest in seen] == [[1, False]] * 2
    assert torch.get_num_threads() == 2


def test_no_more_are_computed_at_once_than_there_are_lanes() -> None:
    busy, most, lock = [0], [0], threading.Lock()
    together = threading.Barrier(2, timeout=30)

    def job(number: int) -> int:
        with lock:
            busy[0] += 1
            most[0] = max(most[0], busy[0])
        together.wait()  # the other lane is busy, too
        with lock:
            busy[0] -= 1
        together.wait()
        return number

    assert in_lanes([lambda i=i: job(i) for i in range(6)], CPU) == list(range(6))
    assert most == [2]


def test_a_lane_has_no_lanes_of_its_own_and_the_callers_modes() -> None:
    def seen() -> tuple[int, int, bool, bool]:
        return lanes(CPU), torch.get_num_threads(), torch.is_grad_enabled(), torch.is_inference_mode_enabled()

    assert in_lanes([seen, seen], CPU) == [(1, 1, True, False)] * 2
    with torch.no_grad():
        assert in_lanes([seen, seen], CPU) == [(1, 1, False, False)] * 2
    with torch.inference_mode():
        assert in_lanes([seen, seen], CPU) == [(1, 1, False, True)] * 2
    assert seen() == (2, 2, True, False)


def test_inside_one_thread_the_lanes_and_all_threads_are_still_there() -> None:
    with one_thread(CPU):
        assert (torch.get_num_threads(), lanes(CPU)) == (1, 2)
        with one_thread(CPU):
            assert (torch.get_num_threads(), lanes(CPU)) == (1, 2)
        with all_threads(CPU):
            assert (torch.get_num_threads(), lanes(CPU)) == (2, 2)
        assert (torch.get_num_threads(), lanes(CPU)) == (1, 2)
    with all_threads(CPU):
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_has_lanes_of_its_own() -> None:
    assert in_lanes([lambda: 1, lambda: 2], CPU) == [1, 2]  # the threads are there
    child = multiprocessing.get_context("fork").Process(target=_in_lanes)
    child.start()
    child.join(60)
    code = child.exitcode
    child.kill()
    assert code == 0


def _in_lanes() -> None:
    assert in_lanes([lambda: 1, lambda: 2], CPU) == [1, 2]


def test_a_thread_that_outlives_the_program_computes_by_itself() -> None:
    """The interpreter starts no more threads by then, and a run that was not finished failed."""
    code = """
import threading, time
import torch
torch.set_num_threads(2)
from uncage_demo.backends.threads import in_lanes

def late():
    threading.main_thread().join()
    time.sleep(0.2)
    print(in_lanes([lambda: 1, lambda: 2], torch.device("cpu")), torch.get_num_threads())

threading.Thread(target=late).start()
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.stdout.strip(), ended.stderr) == ("[1, 2] 2", "")


def test_a_model_that_was_loaded_in_inference_mode_draws_the_same() -> None:
    with torch.inference_mode():
        backend = EmbeddedBackend.tiny()
    grid, text = torch.full((1, 36), backend.mask_id), [backend.encode_prompt(parse_prompt("a turtle", backend))]
    assert torch.equal(backend.forward(grid, 0, 4, text).cond, EmbeddedBackend.tiny().forward(grid, 0, 4, text).cond)


def test_elsewhere_than_on_a_cpu_there_is_one_lane_and_no_thread_is_taken_away() -> None:
    other = torch.device("meta")
    with one_thread(other):
        assert in_lanes([torch.get_num_threads, torch.get_num_threads], other) == [2, 2]
    assert lanes(other) == 1


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_a_fault_in_one_part_is_told_when_the_others_have_ended_and_leaves_the_threads_as_they_were(wrong: int) -> None:
    ended = []

    def job(number: int) -> None:
        if number == wrong:
            raise ValueError(f"part {number}")
        ended.append(number)

    with pytest.raises(ValueError, match=f"part {wrong}"):
        in_lanes([lambda i=i: job(i) for i in range(3)], CPU)
    assert {number for number in range(3) if number % 2 != wrong % 2} <= set(ended)
    assert torch.get_num_threads() == lanes(CPU) == 2


@pytest.mark.parametrize("samples", [1, 2, 3])
@pytest.mark.parametrize("asked", [{}, {"unconditional": False}, {"suppress": (2,)}, {"hidden": True}, {"keep": True}])
@pytest.mark.parametrize("capture", CAPTURES)
def test_a_forward_has_the_same_bits_in_one_piece_and_in_lanes(samples: int, asked: dict[str, Any], capture: Capture | None) -> None:
    one, other = EmbeddedBackend.tiny(), EmbeddedBackend.tiny()
    text = [one.encode_prompt(parse_prompt(words, one)) for words in ("a turtle", "a red apple", "a cat and a pink bow")[:samples]]
    generator = torch.Generator().manual_seed(samples)
    grid = torch.randint(0, one.mask_id + 1, (samples, 36), generator=generator)
    if "hidden" in asked:
        asked = {"hidden": torch.rand(samples, 36, one.transformer.text_length, generator=generator) < 0.3}
    torch.set_num_threads(1)
    expected = one.forward(grid, 0, 4, text, capture=capture, **asked)
    torch.set_num_threads(2)
    for _ in range(replay.CALLS_BEFORE + 2):
        made = other.forward(grid, 0, 4, text, capture=capture, **asked)
        for name in ("cond", "uncond", "attention", "attention_full"):
            before, now = getattr(expected, name), getattr(made, name)
            assert (before is None) == (now is None)
            assert before is None or torch.equal(before, now)
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("suppress", [(), (2,)])
def test_many_samples_go_few_at_a_time_with_the_bits_of_each_alone(monkeypatch: pytest.MonkeyPatch, suppress: tuple[int, ...]) -> None:
    torch.set_num_threads(1)
    backend, sizes = EmbeddedBackend.tiny(), []
    text = [backend.encode_prompt(parse_prompt(words, backend)) for words in ("a turtle", "a red apple", "a cat", "a dog", "a bow")]
    grid = torch.randint(0, backend.mask_id + 1, (5, 36), generator=torch.Generator().manual_seed(0))
    alone = [backend.forward(grid[i : i + 1], 0, 4, text[i : i + 1], capture=CAPTURES[1], suppress=suppress) for i in range(5)]
    forward = backend.transformer.forward
    monkeypatch.setattr(backend.transformer, "forward", lambda tokens, *a, **k: (sizes.append(len(tokens)), forward(tokens, *a, **k))[1])
    made = backend.forward(grid, 0, 4, text, capture=CAPTURES[1], suppress=suppress)
    assert sizes == [2, 2, 1] * (2 if suppress else 1)
    for name in ("cond", "uncond", "attention"):
        assert torch.equal(getattr(made, name), torch.cat([getattr(one, name) for one in alone]))


def test_what_is_asked_often_goes_in_lanes_until_the_weights_change(monkeypatch: pytest.MonkeyPatch) -> None:
    backend, threads = EmbeddedBackend.tiny(), []
    forward = backend.transformer.forward

    def noted(*args: Any, **asked: Any) -> Any:
        threads.append((threading.current_thread().name, torch.get_num_threads()))
        return forward(*args, **asked)

    monkeypatch.setattr(backend.transformer, "forward", noted)
    grid, text = torch.full((1, 36), backend.mask_id), [backend.encode_prompt(parse_prompt("a turtle", backend))]

    def asked() -> list[tuple[str, int]]:
        threads.clear()
        backend.forward(grid, 0, 4, text)
        return sorted(threads, key=lambda seen: seen[0] != threading.current_thread().name)

    here = threading.current_thread().name
    assert [asked() for _ in range(replay.CALLS_BEFORE - 1)] == [[(here, 2)]] * (replay.CALLS_BEFORE - 1)  # one piece, all threads
    assert asked() == [(here, 1)] * 2  # both halves are recorded
    for _ in range(2):
        mine, other = asked()
        assert mine == (here, 1)
        assert other[0].startswith("lane")
        assert other[1] == 1
    backend.transformer.output_bias.add_(1)
    assert asked() == [(here, 2)]


def test_where_some_lanes_would_be_idle_a_forward_goes_in_one_piece_on_all_threads() -> None:
    backend = EmbeddedBackend.tiny()
    torch.set_num_threads(4)
    grid, text = torch.full((1, 36), backend.mask_id), [backend.encode_prompt(parse_prompt("a turtle", backend))]
    for _ in range(replay.CALLS_BEFORE + 1):
        backend.forward(grid, 0, 4, text)
    kept = backend.transformer._last_kept
    assert kept is not None
    assert kept.replays.recorded == 1  # both halves together


def test_between_two_steps_the_caller_has_all_its_threads() -> None:
    backend = EmbeddedBackend.tiny()
    runs = [Run(parse_prompt("a turtle", backend), DecodingConfig(num_steps=3, seed=seed)) for seed in range(2)]
    for count in (1, 2):
        assert [torch.get_num_threads() for _ in decode_many(backend, runs[:count])] == [2] * 3
    assert torch.get_num_threads() == 2
