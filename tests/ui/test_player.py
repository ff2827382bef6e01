"""The player in a real browser, as the stand-alone page: what it shows is what the trace holds."""

import itertools
import re
from typing import Any

import numpy as np
import pytest

from tests.factories import make_prompt
from tests.toy_backend import ToyBackend
from tests.ui.player_page import FRAME, PICTURES_READY, pixel, put, save, state
from uncage_demo import runner
from uncage_demo.branching import branch
from uncage_demo.config import DecodingConfig
from uncage_demo.player.payload import build_payload
from uncage_demo.render.palette import LIGHT, rgb


def test_plays_pauses_steps_and_replays(player):
    assert not state(player)["playing"]
    player.get_by_role("button", name="One step forward").click()
    assert state(player)["step"] == 1
    player.get_by_role("button", name="One step back").click()
    assert state(player)["step"] == 0
    player.get_by_role("button", name=re.compile("Speed")).click()
    assert state(player)["speed"] == 2
    put(player, speed=0.25)  # so slow that a busy machine's click does not come after the end
    player.get_by_role("button", name="Play", exact=True).click()
    player.wait_for_function("() => window.uncage.state.step > 1")
    player.get_by_role("button", name="Pause").click()
    stopped = state(player)
    assert not stopped["playing"]
    player.get_by_role("button", name="Replay").click()
    player.wait_for_function("() => window.uncage.state.playing && window.uncage.state.step < 2")
    put(player, speed=4)
    player.wait_for_function("() => !window.uncage.state.playing && window.uncage.state.step === 11")


def test_keyboard_and_timeline(player):
    timeline = player.get_by_role("slider", name="Step")
    timeline.focus()
    for key, step in (("ArrowRight", 1), ("End", 11), ("ArrowLeft", 10), ("Home", 0)):
        player.keyboard.press(key)
        assert state(player)["step"] == step
    assert timeline.get_attribute("aria-valuetext") == "Step 1 of 12"
    player.keyboard.press("Space")
    assert state(player)["playing"]
    player.keyboard.press("Space")
    box = timeline.bounding_box()
    player.mouse.move(box["x"] + 2, box["y"] + 20)
    player.mouse.down()
    player.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 20, steps=3)
    assert state(player)["step"] == 6
    player.mouse.move(box["x"] + box["width"] * 0.99, box["y"] + 20)
    player.mouse.up()
    assert state(player)["step"] == 11


def test_masked_cells_are_covered_and_decided_ones_are_not(player, pair):
    player.wait_for_function(PICTURES_READY)
    for step in (2, 8):
        put(player, step=step, layer="picture")
        for number, trace in enumerate(pair):
            record = trace.steps[step]
            hidden = record.masked_before & ~record.committed
            for cell in (*np.flatnonzero(hidden)[:8], *np.flatnonzero(hidden)[-4:]):
                assert pixel(player, number, int(cell), at=0.3)[:3] == list(rgb(LIGHT.mask))
            shown = trace.frames[step][8::16, 8::16].reshape(-1, 3).astype(int)
            for cell in np.flatnonzero(~hidden)[:8]:
                assert np.abs(np.array(pixel(player, number, int(cell))[:3]) - shown[cell]).max() < 60


def test_order_map_has_the_colour_of_each_cells_step(player, pair):
    from uncage_demo.render.palette import ORDER_MAP, color_table

    put(player, layer="order", step=11, blend=100)
    table = color_table(ORDER_MAP)
    for cell in range(0, 144, 13):
        expected = table[round(int(pair[1].unmask_step.reshape(-1)[cell]) / 11 * 255)]
        assert np.abs(np.array(pixel(player, 1, cell)[:3]) - expected).max() <= 2
    assert player.locator(".up-scale").inner_text().split()[0] == "1"


def test_scale_is_shared_labelled_and_says_when_it_is_not(player, pair):
    put(player, layer="object", object=0)
    first = player.locator("[data-up=high]").inner_text()
    put(player, step=7)
    assert player.locator("[data-up=high]").inner_text() == first
    assert "attention" in player.locator("[data-up=unit]").inner_text()
    player.get_by_label("one scale for all stages and steps").uncheck()
    player.evaluate(FRAME)
    assert "not comparable" in player.locator("[data-up=unit]").inner_text()
    own = re.findall(r"[AB] ([\d.]+)", player.locator("[data-up=high]").inner_text())
    true = [trace.word_maps(7)[1].max() for trace in pair]
    np.testing.assert_allclose([float(v) for v in own], true, atol=2e-3)


def test_every_layer_draws_something_of_its_own(player):
    player.wait_for_function(PICTURES_READY)
    seen = set()
    layers = player.locator("[role=radio]")
    count = player.evaluate("() => window.UncagePlayer.layers.length")  # these runs have every one of them
    assert layers.count() == count >= 8
    for index in range(count):
        layers.nth(index).click()
        player.evaluate("() => window.uncage.setStep(6)")
        player.evaluate(FRAME)
        assert layers.nth(index).get_attribute("aria-checked") == "true"
        seen.add(player.evaluate("() => document.querySelectorAll('.up-canvas')[1].toDataURL()"))
    assert len(seen) == count


def test_first_difference_is_marked_and_one_click_away(player, pair):
    first = next(
        s for s, (a, b) in enumerate(zip(pair[0].steps, pair[1].steps, strict=True)) if not np.array_equal(a.committed, b.committed)
    )
    put(player, step=11)
    player.get_by_role("button", name=f"First difference: go to step {first + 1}").click()
    assert state(player)["step"] == first


def numbers(page: Any, run: int) -> dict[str, float]:
    """The numbers of one run's column of the card; what is shown of them is checked: three significant digits, at most four decimals."""
    texts = page.evaluate(
        """(run) => Object.fromEntries([...document.querySelectorAll(`.up-value[data-run="${run}"]`)]
          .map((n) => [n.dataset.term, [n.textContent, n.dataset.value]]))""",
        run,
    )
    weight = page.locator(f'.up-value[data-run="{run}"][data-term=contrast]')
    found = {}
    for term in ("confidence", "noise", "contrast", "score", "cutoff", "margin"):
        shown, found[term] = texts[term][0].replace("−", "-"), float(texts[term][1])
        assert abs(float(shown) - found[term]) <= max(5e-5, 5.01e-3 * abs(found[term])), term
        assert re.fullmatch(r"0|-?([0-9]{3,}|[0-9]{2}\.[0-9]|[0-9]\.[0-9]{2}|0\.[0-9]{3,4})", shown), shown
    found["weight"], found["F_a"] = float(weight.get_attribute("data-weight")), float(weight.get_attribute("data-contrast"))
    found["rank"] = float(texts["rank"][0].split()[0])
    return found


@pytest.mark.parametrize("step", [0, 1, 7])
def test_card_adds_up_to_the_engines_score(player, pair, step):
    record = pair[1].steps[step]
    for cell in np.flatnonzero(record.masked_before)[::29]:
        put(player, step=step, pin=int(cell))
        for run, trace in enumerate(pair):
            own = trace.steps[step]
            if not own.masked_before[cell]:
                continue
            shown = numbers(player, run)
            assert abs(shown["confidence"] + shown["noise"] + shown["contrast"] - own.scores[cell]) < 1e-4
            assert abs(shown["confidence"] + shown["noise"] + shown["weight"] * shown["F_a"] - shown["score"]) < 1e-4
            assert abs(shown["score"] - own.scores[cell]) < 1e-4
            assert abs(shown["cutoff"] - own.cutoff) < 1e-4
            assert abs(shown["margin"] - (own.scores[cell] - own.cutoff)) < 1e-4
            assert shown["weight"] == own.weight
            ranked = np.flatnonzero(own.masked_before)[np.argsort(-own.scores[own.masked_before], kind="stable")]
            assert shown["rank"] == 1 + int(np.flatnonzero(ranked == cell)[0])


def test_hover_shows_the_same_cell_on_every_stage_and_click_pins_it(player, pair):
    put(player, step=3)
    canvas = player.locator(".up-canvas").first
    box = canvas.bounding_box()
    at = {"x": box["width"] * 5.5 / 12, "y": box["height"] * 4.5 / 12}
    canvas.hover(position=at)
    assert state(player)["hover"] == 4 * 12 + 5
    for run, trace in enumerate(pair):
        shown = player.evaluate(
            """(run) => [...document.querySelectorAll('.up-attend')].map((row) =>
              [Number(row.dataset.word), Number(row.querySelector(`.up-attend-value[data-run="${run}"]`).textContent)])""",
            run,
        )
        assert len(shown) == 6
        for word, value in shown:
            assert abs(value - trace.word_maps(3)[word, 53]) < 2e-3
    canvas.click(position=at)
    player.mouse.move(5, 5)
    assert (state(player)["pin"], state(player)["hover"]) == (53, -1)
    assert player.locator(".up-where").inner_text() == "row 5, column 6"
    player.get_by_role("button", name="Unpin").click()
    assert state(player)["pin"] == -1


def test_alternatives_show_probabilities_and_pictures(player, pair):
    cell = int(np.flatnonzero(pair[0].steps[4].masked_before)[3])
    player.wait_for_function(PICTURES_READY)
    put(player, step=4, pin=cell)
    items = player.locator(".up-alts").first.locator(".up-alt:visible")
    assert items.count() == 3
    record = pair[0].steps[4]
    for k in range(3):
        assert abs(float(items.nth(k).locator(".up-alt-prob").inner_text().split()[0]) / 100 - record.alternative_probs[cell, k]) < 6e-3
        color = items.nth(k).locator("canvas").evaluate("(c) => [...c.getContext('2d').getImageData(18, 18, 1, 1).data]")
        true = pair[0].token_pictures[int(record.alternatives[cell, k])].reshape(-1, 3).mean(axis=0)
        assert np.abs(np.array(color[:3]) - true).max() < 40


def test_a_word_is_clicked_for_its_map(player):
    player.locator(".up-word", has_text="apple").click()
    assert (state(player)["layer"], state(player)["word"]) == ("word", 5)
    assert player.locator(".up-word", has_text="apple").get_attribute("aria-pressed") == "true"
    assert "apple" in player.locator("[data-up=unit]").inner_text()


def test_object_colours_are_equal_everywhere(player):
    colors = player.evaluate(
        """() => {
          const css = (node, name) => getComputedStyle(node).getPropertyValue(name).trim().toLowerCase();
          const line = [...document.querySelectorAll('.up-chart')][0].querySelectorAll('.up-line')[1];
          return [
            css(document.querySelector('.up-word.up-object[data-word="5"]'), '--tint'),
            css(document.querySelectorAll('.up-badge')[1], '--tint'),
            line.getAttribute('stroke').toLowerCase(), css(document.querySelector('.up-attend[data-word="5"]'), '--tint'),
            window.uncage.player.model.subjects[1].color.toLowerCase(),
          ];
        }"""
    )
    assert set(colors) == {"#0072b2"}


def test_what_if_equals_the_engine(open_page, tmp_path):
    backend, prompt = ToyBackend(), make_prompt()
    base = DecodingConfig(num_steps=8, seed=3, contrast_blur=0.0)
    trace = runner.generate(backend, prompt, base)
    page = open_page(save(tmp_path, build_payload([trace]), {"step": 0}), reduced_motion="reduce")
    changed = 0
    for step in range(8):
        for weight, confidence, noise in ((0.0, True, True), (2.0, True, True), (7.5, True, True), (3.0, False, True), (3.0, True, False)):
            other = base.with_(order="uncage", contrast_weight=weight, contrast_steps=8, use_confidence=confidence, use_noise=noise)
            expected = branch(backend, trace, step, config=other).steps[step].committed
            wish = {"weight": weight, "confidence": confidence, "noise": noise, "contrast": True}
            chosen = page.evaluate("([s, wish]) => [...window.uncage.player.model.runs[0].pick(s, wish)]", [step, wish])
            np.testing.assert_array_equal(np.array(chosen, bool), expected, err_msg=f"step {step}, {wish}")
            changed += int((expected != trace.steps[step].committed).any())
    assert changed > 5  # the settings do change what is picked


def test_what_if_leaves_to_each_stage_what_was_not_touched(player, pair):
    put(player, step=1)
    assert player.locator(".up-whatif output").first.inner_text() == "0.0 / 3.0"
    player.get_by_label("Noise multiplier").fill("1")
    player.evaluate(FRAME)
    player.get_by_label("Noise multiplier").fill("2")
    player.evaluate(FRAME)
    assert state(player)["whatIf"] == {"noiseFactor": 2}
    for run, trace in enumerate(pair):
        record = trace.steps[1]
        total = record.confidence + np.float32(2) * record.noise + np.float32(record.weight) * record.contrast
        scores = np.where(record.masked_before, total, -np.inf)
        wanted = set(np.argsort(-scores, kind="stable")[: record.committed.sum()].tolist())
        same = len(wanted & set(np.flatnonzero(record.committed).tolist()))
        assert player.locator(".up-result").nth(run).get_attribute("data-same") == str(same)


def test_what_if_is_labelled_and_tells_what_would_change(player, pair):
    put(player, step=1)
    assert player.locator(".up-whatif .up-tag").inner_text() == "this step only"
    before = player.evaluate("() => document.querySelectorAll('.up-canvas')[0].toDataURL()")
    player.get_by_label("Weight of the contrast").fill("9")
    player.evaluate(FRAME)
    assert state(player)["whatIf"] == {"weight": 9}  # what was not touched stays as each stage has it
    assert player.locator(".up-result").count() == 2
    record = pair[0].steps[1]
    scores = np.where(record.masked_before, record.confidence + record.noise + np.float32(9) * record.contrast, -np.inf)
    wanted = set(np.argsort(-scores, kind="stable")[: record.committed.sum()].tolist())
    same = len(wanted & set(np.flatnonzero(record.committed).tolist()))
    assert player.locator(".up-result").first.get_attribute("data-same") == str(same)
    assert player.evaluate("() => document.querySelectorAll('.up-canvas')[0].toDataURL()") != before
    player.locator(".up-whatif").get_by_role("button", name="Off").click()
    player.evaluate(FRAME)
    assert state(player)["whatIf"] is None


def test_curves_follow_the_clock_and_health_is_told(player):
    assert player.locator(".up-chart").count() == 6
    heads = [player.locator(".up-head").first.get_attribute("transform")]
    put(player, step=9)
    heads.append(player.locator(".up-head").first.get_attribute("transform"))
    assert heads[0] != heads[1]
    strip = player.locator(".up-health").first.inner_text()
    assert "Right number of cells in each step" in strip
    assert "No decided cell was altered" in strip
    assert "to padding: attention on no word" in strip


def test_verdicts_are_marked_as_a_detectors(player):
    first = player.locator(".up-verdict").first
    for step, said, other in ((0, "At the end:", "Detector:"), (10, "At the end:", "Detector:"), (11, "Detector:", "At the end:")):
        put(player, step=step)
        assert said in first.inner_text(), "before the last step the picture that is judged is still to come"
        assert other not in first.inner_text()
    assert "not found" in first.inner_text()
    assert "judged by detector 1, not the truth" in first.get_attribute("aria-label")


def test_findings_lead_to_their_evidence(player):
    player.get_by_role("button", name=re.compile("Show step 3: Both words")).click()
    now = state(player)
    assert (now["step"], now["layer"], now["object"], now["pin"]) == (2, "object", 1, 40)


def test_only_what_would_change_something_is_offered(open_page, player_url, pair):
    page = open_page(player_url, reduced_motion="reduce")
    page.evaluate(
        """() => {
          const payload = JSON.parse(document.getElementById('payload').textContent);
          window.uncage.destroy();
          const options = { actions: ['branch'], state: { step: 2 } };
          window.uncage = window.UncagePlayer.mount(document.getElementById('player'), payload, options);
        }"""
    )
    record = pair[0].steps[2]
    waits, picked = np.flatnonzero(record.masked_before & ~record.committed)[0], np.flatnonzero(record.committed)[0]
    for cell, offered in ((waits, ["keep", "forbid"]), (picked, ["drop", "forbid"]), (np.flatnonzero(~record.masked_before)[0], [])):
        put(page, pin=int(cell))
        enabled = page.locator("[data-action]:visible:not(:disabled)")
        assert [n.get_attribute("data-action") for n in enabled.all()] == offered


def test_events_and_branch_requests(open_page, player_url, pair):
    cell = int(np.flatnonzero(pair[0].steps[2].committed)[0])
    page = open_page(player_url, reduced_motion="reduce")
    page.evaluate(
        """(cell) => {
          window.heard = [];
          const payload = JSON.parse(document.getElementById('payload').textContent);
          window.uncage.destroy();
          const state = { step: 2, pin: cell, layer: 'word', word: 1 };
          const onEvent = (n, d) => window.heard.push([n, d]);
          const options = { actions: ['branch', 'knockout'], state, onEvent };
          window.uncage = window.UncagePlayer.mount(document.getElementById('player'), payload, options);
        }""",
        cell,
    )
    page.evaluate(FRAME)
    page.locator("[data-action=drop]").click()
    page.locator("[data-action=forbid]").click()
    page.get_by_label("Continue with another order from this step").select_option("halton")
    page.get_by_role("button", name="Knock out “turtle”").click()
    heard = [(n, d) for n, d in page.evaluate("() => window.heard") if n != "state"]
    assert [n for n, _ in heard] == ["branch", "branch", "branch", "knockout"]
    assert heard[0][1]["action"] == "drop"
    assert (heard[0][1]["step"], heard[0][1]["cell"], heard[0][1]["run"]) == (2, cell, 0)
    assert isinstance(heard[1][1]["token"], int)
    assert heard[2][1]["order"] == "halton"
    assert (heard[3][1]["word"], heard[3][1]["step"]) == (1, 2)


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("steps", [(3, 4, 6), (9, 10, 11), (0, 5, 11)], ids=str)
def test_flags_of_first_differences_never_run_into_each_other(pair, open_page, tmp_path, width, steps):
    payload = build_payload([pair[0], *[pair[1]] * 3])
    for run, step in zip(payload["runs"][1:], steps, strict=True):
        run["divergence"] = step
    page = open_page(save(tmp_path, payload, {"step": 0}), width, 800, reduced_motion="reduce")
    boxes = [flag.bounding_box() for flag in page.locator(".up-fork").all()]
    assert len(boxes) == 3
    boxes.sort(key=lambda box: box["x"])
    for left, right in itertools.pairwise(boxes):
        assert left["x"] + left["width"] <= right["x"]
    card = page.locator(".up-clock").bounding_box()
    assert boxes[0]["x"] >= card["x"]
    assert boxes[-1]["x"] + boxes[-1]["width"] <= card["x"] + card["width"]
    page.locator(f'.up-fork[data-step="{steps[1]}"]').click()
    assert state(page)["step"] == steps[1]
    assert ": first difference from A: go to step" in page.locator(".up-fork").last.get_attribute("aria-label")
