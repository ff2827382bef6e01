"""Sweeps over every combination, of which tests/unit tries some; the tests themselves stand there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests import hostile_traces as hostile
from tests.tiny_checkpoints import write_meissonic
from tests.unit import test_bench_laboratory as bench_laboratory
from tests.unit import test_bench_scoring as bench_scoring
from tests.unit import test_editing as editing
from tests.unit import test_laboratory as laboratory
from tests.unit import test_large_backend as large_backend
from tests.unit import test_prompt as prompt
from tests.unit import test_prompt_edit as prompt_edit
from tests.unit import test_revise as revise
from tests.unit import test_sampler as sampler
from tests.unit import test_trace_hostile as trace_hostile
from uncage_demo.bench.export import LAYOUTS
from uncage_demo.bench.laboratory import METHODS, methods_at
from uncage_demo.config import ORDER_NAMES, SCHEDULE_NAMES
from uncage_demo.orders.revise import REVISIONS
from uncage_demo.runner import generate


@pytest.mark.parametrize("order", sampler.WHOLE)
@pytest.mark.parametrize("schedule", SCHEDULE_NAMES)
@pytest.mark.shapes
def test_every_order_commits_each_position_once_under_every_schedule(order: str, schedule: str) -> None:
    sampler.test_every_run_commits_each_position_once_and_never_changes_it(order, schedule)


@pytest.mark.parametrize("order", ORDER_NAMES)
@pytest.mark.parametrize("k", [1, 4, 7])
def test_every_order_can_be_resumed(order: str, k: int) -> None:
    sampler.test_resumed_is_uninterrupted(order, k)


@pytest.mark.parametrize("order", ORDER_NAMES)
@pytest.mark.shapes
def test_every_order_keeps_what_is_not_erased(order: str) -> None:
    parent = generate(editing.TINY, editing.PAIR, editing.CONFIG)
    editing.test_what_is_not_erased_stays_token_for_token_in_every_order(parent, order)


@pytest.mark.parametrize("name", laboratory.ACTIVE)
def test_every_method_can_be_branched_and_saved(name: str) -> None:
    laboratory.test_a_branch_without_edits_is_its_parent_and_files_and_checks_cope(name)


@pytest.mark.parametrize("label", METHODS)
def test_every_method_costs_what_is_said(label: str) -> None:
    bench_laboratory.test_what_a_run_costs_is_known_before_it_is_made(label, methods_at(bench_laboratory.BASE, 8))


@pytest.mark.parametrize("order", ["meissonic", "uncage", "halton", "mend"])
@pytest.mark.parametrize("name", REVISIONS)
@pytest.mark.shapes
def test_every_revision_says_what_it_changes(name: str, order: str) -> None:
    revise.test_tokens_change_only_where_a_step_says_so_and_the_schedule_holds(name, order)


@pytest.mark.parametrize("seed", range(30, 200))
def test_spans_always_match_the_text(seed: int) -> None:
    prompt.test_spans_always_match_the_text(seed)


@pytest.mark.parametrize("seed", range(8, 30))
def test_random_edits_keep_a_prompt_whole(seed: int) -> None:
    prompt_edit.test_random_edits_keep_a_prompt_whole(seed)


@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
def test_offloading_changes_nothing_in_every_format(tmp_path: Path, dtype: str) -> None:
    large_backend.test_offloading_changes_nothing_on_the_cpu(write_meissonic(tmp_path / "tiny", downsample=True), dtype)


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout != "geneval"])
def test_every_layout_can_be_judged_later(tmp_path: Path, layout: str) -> None:
    bench_scoring.test_judged_later_is_judged_at_once(tmp_path, layout)


@pytest.mark.parametrize("make", [trace_hostile.small_bomb, trace_hostile.fitting_bomb, lambda: hostile.long_directory(20_000)])
def test_what_is_refused_takes_little_memory(make: Callable[[], bytes]) -> None:
    trace_hostile.test_what_is_refused_takes_little_memory(make)


def test_very_long_text_is_read() -> None:
    read = prompt.parse_prompt("a red cat and " * 350, prompt.OPEN)
    assert len(read.subjects) == 350
    assert len(prompt.parse_prompt("red " * 1250, prompt.CLOSED).words) == 1250
    assert prompt.parse_prompt("a" * 5000, prompt.CLOSED).unknown[0].suggestions == ()
