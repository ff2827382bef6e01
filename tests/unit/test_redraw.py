"""Draft and redraw: which cells are kept, that both phases are whole runs, and that traces, branches and files carry it."""

import numpy as np
import pytest

from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.branching import branch
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.redraw import KEPT_REACH_FRAC, kept_cells, object_places, phase_at
from uncage_demo.decoding.run import Run, Start
from uncage_demo.decoding.sampler import RecordOptions, decode
from uncage_demo.decoding.schedule import mask_count
from uncage_demo.diagnosis.diagnose import diagnose
from uncage_demo.diagnosis.health import health
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.render.frames import fresh_at, masked_after
from uncage_demo.runner import generate
from uncage_demo.trace.record import Trace, TraceFormatError
from uncage_demo.types import Subject

pytestmark = pytest.mark.shapes

TINY = EmbeddedBackend.tiny(seed=0)
PAIR = parse_prompt("a turtle and a pink apple", TINY)
SUBJECTS = (Subject(object=(0,), label="turtle", noun="turtle"), Subject(object=(1,), label="apple", noun="apple"))
GRID = (12, 12)
CONFIG = DecodingConfig(order="redraw", num_steps=8, seed=3)


def blob(y: int, x: int, strength: float = 1.0) -> np.ndarray:
    """Attention to one word: a square of 3 x 3 cells."""
    field = np.zeros(GRID)
    field[y - 1 : y + 2, x - 1 : x + 2] = strength
    return field.reshape(-1)


def kept(attention: np.ndarray) -> np.ndarray:
    places = object_places(attention, np.eye(2), SUBJECTS, grid=GRID, sigma=0.0, radius_frac=0.33)
    return np.any(kept_cells(*places, GRID), axis=0).reshape(GRID)


def test_one_place_an_object_is_kept_the_one_that_is_attended_to_most() -> None:
    turtle, apple = blob(2, 2) + blob(9, 9, 0.8), blob(2, 9)
    expected = (blob(2, 2) + blob(2, 9)).reshape(GRID) > 0
    assert np.array_equal(kept(np.stack([turtle, apple])), expected)


def test_an_object_that_no_cell_belongs_to_keeps_none() -> None:
    everywhere = np.full(144, 0.5)
    assert not kept(np.stack([everywhere, everywhere])).any()
    turtle = blob(2, 2)
    assert np.array_equal(kept(np.stack([turtle, turtle * 0.5])), np.zeros(GRID, bool))


def test_nothing_is_kept_beyond_the_reach() -> None:
    wide = np.zeros(GRID)
    wide[:, :6] = 1
    cells = kept(np.stack([wide.reshape(-1), 1 - wide.reshape(-1)]))
    assert cells.any()
    rows, columns = np.nonzero(cells[:, :6])
    assert np.hypot(np.ptp(rows), np.ptp(columns)) <= 2 * KEPT_REACH_FRAC * 12 * np.sqrt(2)


def test_a_cell_is_kept_for_its_contrast_and_its_distance() -> None:
    contrasts = np.array([[1.0, 1.0, 0.2, 0.21], [0.0, 0.0, 0.1, 0.0]])
    distances = np.array([[3.4, 3.5, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])  # within 0.29 of 12 cells: 3.48
    assert kept_cells(contrasts, distances, (8, 12)).tolist() == [[True, False, False, True], [False] * 4]


def test_a_quarter_of_the_steps_redraws_by_default_and_only_for_the_order_redraw() -> None:
    assert [DecodingConfig(order="redraw", num_steps=t).redrawn_steps for t in (1, 3, 4, 12, 32)] == [0, 0, 1, 3, 8]
    assert DecodingConfig(order="uncage").redrawn_steps == 0
    assert DecodingConfig(order="uncage", num_steps=12, redraw_steps=4).draft_steps == 8
    assert DecodingConfig(order="uncage", num_steps=12, redraw_steps=4).guided_steps == 2
    for wrong in (-1, 8, True, 2.0):
        with pytest.raises(ValueError, match="redraw_steps"):
            DecodingConfig(num_steps=8, redraw_steps=wrong)  # pyright: ignore[reportArgumentType]


def test_settings_of_runs_without_a_redraw_are_written_as_before() -> None:
    assert "redraw_steps" not in DecodingConfig().to_dict()
    given = DecodingConfig(num_steps=8, redraw_steps=0)
    assert DecodingConfig.from_dict(given.to_dict()) == given


def test_each_phase_is_a_whole_run_and_the_redraw_is_not_guided() -> None:
    config = DecodingConfig(order="uncage", num_steps=12, redraw_steps=4)
    phases = [phase_at(config, step) for step in range(12)]
    assert [step for _, step in phases] == [*range(8), *range(4)]
    assert [inner.num_steps for inner, _ in phases] == [8] * 8 + [4] * 4
    assert [inner.guided_steps for inner, _ in phases] == [2] * 8 + [0] * 4


@pytest.mark.parametrize("order", ["redraw", "halton", "uncage", "anchored"])
def test_the_draft_is_full_before_it_is_opened_and_the_end_leaves_nothing_masked(order: str) -> None:
    config = DecodingConfig(order=order, num_steps=8, redraw_steps=3, seed=1)
    steps = list(decode(TINY, Run(PAIR, config)))
    assert [r.step for r in steps] == list(range(8))
    assert not (steps[4].masked_before & ~steps[4].committed).any()
    opened = steps[5].masked_before
    assert opened.any()
    for k, record in enumerate(steps[5:]):
        stay = mask_count("cosine", k, 3, int(opened.sum()), int(record.masked_before.sum()))
        assert int((record.masked_before & ~record.committed).sum()) == stay
        assert np.array_equal(record.sampled[~opened], steps[4].sampled[~opened])
    assert not (steps[-1].masked_before & ~steps[-1].committed).any()


def test_the_draft_is_the_baseline_of_that_many_steps() -> None:
    draft = list(decode(TINY, Run(PAIR, CONFIG)))[:6]
    plain = list(decode(TINY, Run(PAIR, CONFIG.with_(order="meissonic", num_steps=6))))
    assert all(a.same_commits(b) for a, b in zip(draft, plain, strict=True))


def test_no_forward_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []
    forward = TINY.forward
    monkeypatch.setattr(TINY, "forward", lambda *args, **more: (counts.append(len(args[0])), forward(*args, **more))[1])
    list(decode(TINY, Run(PAIR, CONFIG), record=RecordOptions(level="minimal")))
    assert counts == [1] * CONFIG.total_steps


def test_what_is_recorded_changes_nothing() -> None:
    full = list(decode(TINY, Run(PAIR, CONFIG)))
    lean = list(decode(TINY, Run(PAIR, CONFIG), record=RecordOptions(level="minimal")))
    assert all(a.same_commits(b) for a, b in zip(full, lean, strict=True))


def test_a_prompt_without_objects_is_drawn_in_one_go() -> None:
    nothing = parse_prompt("and", TINY)
    assert not nothing.subjects
    trace = generate(TINY, nothing, CONFIG, frames=False)
    assert trace.config["redraw_steps"] == 0
    plain = generate(TINY, nothing, CONFIG.with_(order="meissonic"), frames=False)
    assert np.array_equal(trace.tokens, plain.tokens)


def test_given_cells_and_cells_kept_by_an_edit_are_never_opened() -> None:
    tokens = np.full(36, -1, np.int64)
    tokens[[0, 7]] = [5, 9]
    steps = list(decode(TINY, Run(PAIR, CONFIG, Start(tokens=tokens, keep={3: 11}))))
    assert not steps[6].masked_before[[0, 3, 7]].any()
    assert list(steps[-1].sampled[[0, 3, 7]]) == [5, 11, 9]


def test_the_trace_is_valid_survives_a_file_and_reports_no_fault() -> None:
    trace = generate(TINY, PAIR, CONFIG, frames=False)
    trace.validate()
    again = Trace.from_bytes(trace.to_bytes())
    assert again.id == trace.id
    found = health(again)
    assert found.counts_ok
    assert found.changed == 0
    opened, again.steps[5].reopened = again.steps[5].reopened, None
    assert opened is not None
    with pytest.raises(TraceFormatError, match="step 6: a committed position is masked again"):
        again.validate()
    told = DecodingConfig.from_dict(trace.config).with_(order="meissonic", redraw_steps=None)
    trace.config = told.to_dict()
    with pytest.raises(TraceFormatError, match="masked again"):
        trace.validate()


def test_pictures_show_the_full_draft_and_then_the_opened_cells() -> None:
    trace = generate(TINY, PAIR, CONFIG, frames=False)
    assert not masked_after(trace, 5).any()
    opened = trace.steps[6].masked_before.reshape(trace.grid)
    assert np.array_equal(masked_after(trace, 6) | fresh_at(trace, 6), opened)
    assert (trace.unmask_step[opened] >= 6).all()


def test_the_diagnosis_tells_what_was_opened() -> None:
    trace = generate(TINY, PAIR, CONFIG, frames=False)
    (told,) = (finding for finding in diagnose(trace) if finding.kind == "redraw")
    opened = trace.steps[6].masked_before
    changed = (trace.steps[5].sampled != trace.tokens.reshape(-1))[opened].sum()
    assert told.evidence == {"opened": opened.sum(), "changed": changed}
    assert told.step == 6
    assert "full after step 6" in told.text
    plain = generate(TINY, PAIR, CONFIG.with_(order="meissonic"), frames=False)
    assert not [finding for finding in diagnose(plain) if finding.kind == "redraw"]


@pytest.mark.parametrize("step", [2, 5, 6, 7])
def test_a_branch_without_edits_equals_its_parent(step: int) -> None:
    parent = generate(TINY, PAIR, CONFIG, frames=False)
    child = branch(TINY, parent, step)
    child.validate()
    assert np.array_equal(child.tokens, parent.tokens)
    assert np.array_equal(child.unmask_step, parent.unmask_step)
    assert health(child).changed == 0


def test_a_branch_may_drop_the_redraw() -> None:
    parent = generate(TINY, PAIR, CONFIG, frames=False)
    late = branch(TINY, parent, 7, config=CONFIG.with_(order="meissonic"))
    late.validate()
    assert health(late).changed == 0


def test_a_cell_is_an_objects_own_where_its_contrast_is_above_a_fifth() -> None:
    contrasts = np.array([[0.19, 0.2, 0.21, 0.5], [0.0, 0.0, 0.0, 0.0]])
    near = np.zeros((2, 4))
    assert kept_cells(contrasts, near, (2, 2)).any(axis=0).tolist() == [False, False, True, True]
