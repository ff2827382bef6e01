"""The payload says what the trace says, is small enough, and refuses what does not belong together."""

import base64
import copy
import io
import json

import numpy as np
import pytest
from PIL import Image

from tests.factories import make_prompt, make_trace
from tests.toy_backend import ToyBackend
from uncage_demo import runner
from uncage_demo.branching import branch
from uncage_demo.config import DecodingConfig
from uncage_demo.diagnosis.health import health
from uncage_demo.player.page import one_file_page, player_script, script_json, standalone_html
from uncage_demo.player.payload import build_payload
from uncage_demo.player.run_view import score_terms
from uncage_demo.player.titles import stage_titles
from uncage_demo.types import Verdict


def values(entry):
    """A payload array as numpy."""
    return np.frombuffer(base64.b64decode(entry["d"]), np.dtype(entry["t"]).newbyteorder("<")).reshape(entry["s"])


@pytest.fixture(scope="module")
def pair():
    return [make_trace(0, steps=12, order="meissonic"), make_trace(0, steps=12)]


@pytest.fixture(scope="module")
def payload(pair):
    return build_payload(pair)


def test_packed_terms_are_the_traces_own_float32(pair, payload):
    for trace, run in zip(pair, payload["runs"], strict=True):
        assert run["scores"] is None  # the terms give them bit for bit
        for name in ("confidence", "noise"):
            expected = np.concatenate([getattr(r, name)[r.masked_before] for r in trace.steps])
            assert run["maps"][name]["values"]["t"] == "f4"
            np.testing.assert_array_equal(values(run["maps"][name]["values"]), expected)
        contrast = np.concatenate([r.contrast[r.masked_before] for r in trace.steps])
        np.testing.assert_array_equal(values(run["maps"]["contrast"]["values"]), contrast)
        masked = np.unpackbits(values(run["masked"]), axis=1, bitorder="little")[:, :144]
        np.testing.assert_array_equal(masked.astype(bool), np.stack([r.masked_before for r in trace.steps]))
        np.testing.assert_array_equal(values(run["drawn"]), np.concatenate([r.sampled[r.masked_before] for r in trace.steps]))
        np.testing.assert_array_equal(values(run["tokens"]), trace.tokens.reshape(-1))
        np.testing.assert_array_equal(values(run["unmask_step"]), trace.unmask_step.reshape(-1))


def test_start_and_end_keep_their_own_attention():
    trace = make_trace(steps=3)
    rows = [next(k for k, token in enumerate(trace.columns) if trace.prompt.tokens[token].text == text) for text in ("<start>", "<end>")]
    for record in trace.steps:
        assert record.attention is not None
        record.attention[rows[0]], record.attention[rows[1]] = 0.75, np.linspace(0, 0.25, 144)
    marks = build_payload([trace])["runs"][0]["marks"]
    assert marks["names"] == ["start", "end"]
    start, end = np.moveaxis((values(marks["codes"]) / 255) ** 2 * marks["max"], 1, 0)
    np.testing.assert_allclose(start, 0.75, atol=1e-6)
    np.testing.assert_allclose(end, np.tile(np.linspace(0, 0.25, 144), (3, 1)), atol=3e-3)


def test_scores_that_are_no_exact_sum_travel(pair):
    other = copy.deepcopy(pair[0])
    record = other.steps[2]
    record.scores[record.masked_before] += np.float32(1e-6)
    run = build_payload([other])["runs"][0]
    np.testing.assert_array_equal(values(run["scores"]), np.concatenate([r.scores[r.masked_before] for r in other.steps]))


def test_attention_codes_are_within_half_a_code(pair, payload):
    entry = payload["runs"][1]["attention"]
    decoded = entry["max"] * (values(entry["codes"]).astype(np.float64) / 255) ** 2
    true = np.stack([pair[1].word_maps(s)[entry["words"]] for s in range(12)])
    assert np.abs(np.sqrt(decoded / entry["max"]) - np.sqrt(true / entry["max"])).max() <= 0.5 / 255 + 1e-6


def test_alternatives_are_those_of_the_trace(pair, payload):
    entry = payload["runs"][0]["alternatives"]
    ids = np.concatenate([r.alternatives[r.masked_before] for r in pair[0].steps])
    probs = np.concatenate([r.alternative_probs[r.masked_before] for r in pair[0].steps])
    np.testing.assert_array_equal(values(entry["ids"]), ids)
    np.testing.assert_allclose(values(entry["probs"]) / 65535, np.clip(probs, 0, 1), atol=1 / 65535)


def test_divergence_is_the_first_step_with_another_commit(pair, payload):
    steps = [s for s, (a, b) in enumerate(zip(pair[0].steps, pair[1].steps, strict=True)) if not np.array_equal(a.committed, b.committed)]
    assert payload["runs"][0]["divergence"] is None
    assert payload["runs"][1]["divergence"] == steps[0]
    assert build_payload([pair[0], pair[0]])["runs"][1]["divergence"] is None


def test_health_of_a_sound_run(payload):
    for run in payload["runs"]:
        assert run["health"]["counts_ok"]
        assert run["health"]["changed"] == 0
        assert values(run["health"]["special"]).shape == (12, 3)


def test_health_tells_of_a_changed_token_and_a_wrong_count(pair):
    broken = copy.deepcopy(pair[0])
    cell = int(np.flatnonzero(broken.steps[0].committed)[0])
    broken.steps[5].sampled[cell] += 1
    assert health(broken).changed == 2  # changed, and changed back in the next step
    broken = copy.deepcopy(pair[0])
    broken.steps[3].committed[np.flatnonzero(broken.steps[3].committed)[0]] = False
    assert not health(broken).counts_ok


def test_health_of_a_branch_that_opened_a_cell_again():
    backend = ToyBackend()
    trace = runner.generate(backend, make_prompt(), DecodingConfig(num_steps=6))
    cell = int(np.flatnonzero(trace.steps[0].committed)[0])
    made = branch(backend, trace, 3, drop=(cell,))
    assert health(made).changed == 0
    assert health(made).counts_ok


def test_titles_of_branches_begin_with_what_tells_them_apart():
    backend = ToyBackend()
    trace = runner.generate(backend, make_prompt(), DecodingConfig(num_steps=6))
    cell = int(np.flatnonzero(~trace.steps[3].committed & trace.steps[3].masked_before)[0])
    switched, delayed = (
        branch(backend, trace, 3, config=DecodingConfig(num_steps=6, order="halton")),
        branch(backend, trace, 3, keep=(cell,)),
    )
    place = f"row {cell // trace.grid[1] + 1}, column {cell % trace.grid[1] + 1}"
    assert stage_titles([trace, switched, delayed]) == [
        "Baseline",
        "Halton · step 4 · switch from Baseline",
        f"Commit now at {place} · step 4 · Baseline",
    ]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"order": "meissonic"}, (True, True, False)),
        ({"order": "random"}, (False, True, False)),
        ({"order": "uncage", "use_noise": False}, (True, False, True)),
        ({"order": "uncage", "use_confidence": False}, (False, True, True)),
        ({"order": "halton"}, None),
        ({"order": "margin"}, None),
    ],
)
def test_terms_of_the_score(settings, expected):
    trace = runner.generate(ToyBackend(), make_prompt(), DecodingConfig(num_steps=6, **settings), frames=False)
    terms = score_terms(trace)
    assert terms[0] == (None if expected is None else dict(zip(("confidence", "noise", "contrast"), expected, strict=True)))


def test_words_carry_their_subject_role_and_colour(payload):
    words = payload["prompt"]["words"]
    assert [(w["text"], w["subject"], w["role"]) for w in words if w["role"]] == [
        ("turtle", 0, "object"),
        ("pink", 1, "attribute"),
        ("apple", 1, "object"),
    ]
    assert [s["color"] for s in payload["prompt"]["subjects"]] == ["#D55E00", "#0072B2"]


def test_frames_are_webp_of_the_right_size(pair, payload):
    frames = payload["runs"][0]["frames"]
    assert len(frames) == 12
    picture = Image.open(io.BytesIO(base64.b64decode(frames[-1])))
    assert picture.format == "WEBP"
    assert picture.size == (192, 192)
    difference = np.abs(np.asarray(picture.convert("RGB"), float) - pair[0].frames[-1])
    assert difference.mean() < 6


def test_atlas_holds_every_alternative(pair, payload):
    atlas = payload["atlas"]
    assert set(np.unique(np.concatenate([r.alternatives.reshape(-1) for r in pair[0].steps])).tolist()) <= set(atlas["ids"])
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(atlas["image"]))).convert("RGB"), float)
    number, tile = 5, atlas["tile"]
    x, y = number % atlas["columns"] * tile, number // atlas["columns"] * tile
    true = pair[0].token_pictures[atlas["ids"][number]].reshape(-1, 3).mean(axis=0)
    assert np.abs(sheet[y + 4 : y + 12, x + 4 : x + 12].reshape(-1, 3).mean(axis=0) - true).max() < 40


def test_unfinished_run_ends_where_its_records_end(pair):
    part = copy.copy(pair[0])
    part.steps, part.frames = pair[0].steps[:4], pair[0].frames[:4]
    run = build_payload([part])["runs"][0]
    assert (run["steps_done"], run["num_steps"], run["image"]) == (4, 12, None)
    assert (values(run["unmask_step"]) >= -1).all()
    assert run["health"]["counts_ok"]


def test_trace_without_attention_and_frames():
    built = build_payload([make_trace(0, steps=6, frames=False, attention=False)])
    run = built["runs"][0]
    assert run["attention"] is None
    assert run["mass"] is None
    assert run["frames"] is None
    json.dumps(built, allow_nan=False)


def test_verdicts_and_findings_are_plain_data(pair):
    verdict = Verdict((True, False), (True, False), 1, False, (), "detector 1")
    built = build_payload(pair, [verdict, None], [[{"text": "a", "step": np.int64(2), "score": float("nan")}], []])
    assert built["runs"][0]["verdict"]["objects_found"] == [True, False]
    assert built["runs"][1]["verdict"] is None
    assert built["runs"][0]["findings"] == [{"text": "a", "step": 2, "score": None}]
    with pytest.raises(ValueError, match="finding="):
        build_payload(pair, None, [["words"], []])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: [], "0 runs"),
        (lambda t: [t, make_trace(0, grid=(8, 8), steps=12)], "grids"),
    ],
)
def test_runs_that_do_not_belong_together(pair, change, message):
    with pytest.raises(ValueError, match=message):
        build_payload(change(pair[0]))


def test_lists_of_another_length(pair):
    with pytest.raises(ValueError, match="titles has 1 entry for 2 runs"):
        build_payload(pair, titles=["one"])


def test_hostile_text_cannot_leave_the_data_element():
    hostile = "a </script><script>alert(1)</script> <img/src=x/onerror=alert(2)> ${6*7} {{x}} cat"
    built = build_payload([make_trace(0, steps=4, prompt_text=hostile)])
    page = standalone_html(built, hostile)
    assert "<img" not in page
    assert page.count("</script>") == page.count("<script") == 4
    data = page.split('id="payload">')[1].split("</script>")[0]
    assert json.loads(data)["prompt"]["text"] == hostile


@pytest.mark.parametrize("notice", ["a --> b", "a ---> b", "a --!> b", "a <!-- b -->"])
def test_a_notice_cannot_leave_its_comment(notice):
    page = one_file_page("title", "", "", [], notice=notice)
    opened, comment = page.count("<!--"), page.split("<!--")[1].split("<style>")[0]
    assert opened == page.count("-->") == 1
    assert comment.count("--") == 1
    assert comment.endswith("\n-->\n")


def test_further_sources_are_those_of_scripts():
    page = one_file_page("title", "", "", ["one()", "two()"], further_sources=" blob:; worker-src blob:")
    assert "; script-src 'unsafe-inline' blob:; worker-src blob:\">" in page
    assert page.index("window.UncagePlayer = ") < page.index("<script>\none()") < page.index("<script>\ntwo()")


def test_script_json_refuses_numbers_that_are_not_finite():
    with pytest.raises(ValueError, match="JSON"):
        script_json({"x": float("nan")})


def test_player_script_can_stand_in_a_page_and_in_a_template():
    script = player_script()
    assert "</script" not in script.lower()
    assert "window.UncagePlayer = " in script
    assert "innerHTML" in script
    assert script.count("innerHTML") == 1  # the fixed skeleton; everything else is textContent
