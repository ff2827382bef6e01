"""The player for everybody and everywhere: many runs, live runs, phones, keyboard, themes, hostile text, offline."""

import copy
import re
from pathlib import Path

import pytest

from tests.factories import make_trace
from tests.ui.player_page import FRAME, PICTURES_READY, VERDICTS, put, save, state
from uncage_demo.player.payload import build_payload
from uncage_demo.types import Verdict

# The player of a page that draws edits.
MOUNTED_FOR_EDITS = """() => {
    const { model } = window.uncage.player, root = window.uncage.player.root;
    window.uncage.destroy();
    root.replaceChildren();
    window.uncage = window.UncagePlayer.mount(root, model, { actions: ["edit"] });
}"""


def test_grid_of_24_runs_on_one_clock(open_page, tmp_path):
    traces = [
        make_trace(seed, steps=6, order=order)
        for order in ("meissonic", "uncage", "confidence", "random", "halton", "maskgit")
        for seed in range(4)
    ]
    page = open_page(save(tmp_path, build_payload(traces, [VERDICTS[0]] * 24), {"step": 0}), reduced_motion="reduce")
    assert page.locator(".up-canvas").count() == 24
    assert page.locator(".up-grid-row").count() == 6
    assert page.locator(".up-verdict").count() == 24
    page.get_by_role("slider", name="Step").focus()
    page.keyboard.press("End")
    page.wait_for_function(PICTURES_READY)
    page.evaluate(FRAME)
    pictures = page.evaluate("() => [...document.querySelectorAll('.up-canvas')].map((c) => c.toDataURL())")
    assert len(set(pictures)) >= 4


@pytest.fixture(scope="module")
def six(tmp_path_factory):
    """Address of a player with six runs, a cell pinned after all of them decided it."""
    orders = ("meissonic", "uncage", "confidence", "random", "halton", "maskgit")
    traces = [make_trace(0, steps=6, order=order) for order in orders]
    return save(tmp_path_factory.mktemp("six"), build_payload(traces, [VERDICTS[0]] * 6), {"step": 2, "pin": 40})


@pytest.mark.parametrize("width", [1280, 1060, 900, 768])
def test_the_card_of_six_runs_shows_every_column(open_page, six, width):
    page = open_page(six, width, 900, reduced_motion="reduce")
    page.evaluate(FRAME)
    box = page.locator(".up-card > .up-scroll").bounding_box()
    last = page.locator(".up-sum .up-col").last.bounding_box()
    assert last["x"] + last["width"] <= box["x"] + box["width"] + 1


def test_on_a_phone_the_card_of_six_runs_scrolls_and_says_so(open_page, six):
    page = open_page(six, 390, 844, reduced_motion="reduce")
    page.evaluate(FRAME)
    scroll = page.locator(".up-card > .up-scroll")
    assert "gradient" in scroll.evaluate("(node) => getComputedStyle(node).backgroundImage"), "a shadow where more is hidden"
    label, column = page.locator(".up-row-score th"), page.locator(".up-sum .up-col").last
    before = label.bounding_box()["x"]
    scroll.evaluate("(node) => node.scrollBy(1000, 0)")
    assert label.bounding_box()["x"] == before, "the rows keep their names"
    assert column.bounding_box()["x"] + column.bounding_box()["width"] <= 390
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    values = page.locator(".up-attends .up-attend-value").last.bounding_box()
    assert values["x"] + values["width"] <= 380


@pytest.mark.parametrize("size", [(1280, 800), (768, 900)], ids=str)
def test_the_edited_one_of_six_pictures_and_its_panel_are_seen_together(open_page, six, size):
    width, height = size
    page = open_page(six, width, height, reduced_motion="reduce")
    page.evaluate(MOUNTED_FOR_EDITS)
    page.evaluate(FRAME)
    page.locator(".up-edit-open").click()
    for run in (0, 5, 2):
        page.locator("[data-edit=picture]").select_option(str(run))
        page.evaluate(FRAME)
        canvas, panel = page.locator(".up-edited .up-canvas").bounding_box(), page.locator(".up-edit").bounding_box()
        assert canvas["y"] >= 0
        assert canvas["y"] + canvas["height"] <= panel["y"]
        assert panel["y"] + panel["height"] <= height


def test_the_way_to_the_step_that_decided_is_named(open_page, six):
    page = open_page(six, 1280, 900, reduced_motion="reduce")
    put(page, step=5)
    name = page.locator(".up-card .up-hint button").inner_text()
    found = re.fullmatch(r"Go to step ([1-6])(, of [A-F])?", name)
    assert found, name
    page.get_by_role("button", name=name).click()
    assert state(page)["step"] == int(found[1]) - 1


def test_an_unfinished_run_opens_at_its_last_record(open_page, tmp_path, pair):
    part = copy.copy(pair[1])
    part.steps, part.frames = pair[1].steps[:3], pair[1].frames[:3]
    page = open_page(save(tmp_path, build_payload([part])), reduced_motion="reduce")
    assert state(page)["step"] == 2
    page.evaluate("() => window.uncage.setStep(11)")
    assert state(page)["step"] == 2


@pytest.mark.parametrize("size", [(1280, 800), (1366, 768), (1600, 1000), (1920, 1080), (390, 844)], ids=str)
def test_the_first_screen_holds_both_pictures_their_verdicts_and_the_clock(open_page, player_url, size):
    width, height = size
    page = open_page(player_url, width, height, reduced_motion="reduce")
    page.evaluate(FRAME)
    clock = page.locator(".up-clock").bounding_box()
    assert clock["y"] + clock["height"] <= height
    for stage in page.locator(".up-canvas").all():
        box = stage.bounding_box()
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= clock["y"]
        assert box["x"] + box["width"] <= width
        assert box["width"] >= min(height - 480, (width - 60) / 2)
    for verdict in page.locator(".up-verdict").all():
        box = verdict.bounding_box()
        assert box["y"] + box["height"] <= clock["y"]


def test_wherever_the_player_begins_its_pictures_keep_their_size(open_page, player_url):
    """Smaller pictures broke the verdict into more lines, which left them no room, which made them larger: twenty times a second."""
    page = open_page(player_url, 1280, 800, reduced_motion="reduce")
    restless = page.evaluate(
        """async () => {
          const frame = () => new Promise((done) => requestAnimationFrame(done));
          const spacer = document.createElement("div"), root = document.querySelector("[data-up=root]"), seen = [];
          document.body.prepend(spacer);
          for (let height = 0; height <= 700; height += 10) {
            spacer.style.height = `${height}px`;
            for (let k = 0; k < 8; k++) await frame();
            const looks = new Set();
            for (let k = 0; k < 6; k++) {
              await frame();
              const { width, height: tall } = root.querySelector(".up-canvas").getBoundingClientRect();
              looks.add([root.classList.contains("up-further-down"), width, tall].join());
            }
            if (looks.size > 1) seen.push([height, ...looks]);
          }
          return seen;
        }"""
    )
    assert restless == []


def test_on_a_phone_the_answer_to_a_tap_is_a_sheet(open_page, player_url):
    page = open_page(player_url, 390, 844, has_touch=True, is_mobile=True, reduced_motion="reduce")
    canvas = page.locator(".up-canvas").first
    size = canvas.bounding_box()["width"]
    canvas.tap(position={"x": size * 2.5 / 12, "y": size * 3.5 / 12})
    page.evaluate(FRAME)
    assert state(page)["pin"] == 38
    sheet, clock, stage = (page.locator(s).bounding_box() for s in (".up-sheet", ".up-clock", ".up-canvas >> nth=0"))
    assert stage["y"] >= 0
    assert sheet["y"] >= stage["y"] + stage["height"], "the picture stays in view"
    assert sheet["y"] + 120 <= 844
    assert sheet["y"] + sheet["height"] <= clock["y"] + 1
    assert clock["y"] + clock["height"] <= 844
    page.get_by_role("button", name="Unpin").tap()
    page.evaluate(FRAME)
    assert page.locator(".up-sheet").count() == 0


def test_on_a_phone_every_layer_is_in_view(open_page, player_url):
    page = open_page(player_url, 390, 844, has_touch=True, is_mobile=True, reduced_motion="reduce")
    for layer in page.locator("[role=radio]").all():
        box = layer.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390


def test_phone_shows_the_stages_side_by_side_and_works_by_touch(open_page, player_url):
    page = open_page(player_url, 360, 740, has_touch=True, is_mobile=True, device_scale_factor=2, reduced_motion="reduce")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    boxes = [page.locator(".up-canvas").nth(i).bounding_box() for i in range(2)]
    assert boxes[1]["x"] >= boxes[0]["x"] + boxes[0]["width"]
    assert boxes[0]["width"] > 140
    canvas = page.locator(".up-canvas").first
    size = canvas.bounding_box()["width"]
    canvas.tap(position={"x": size * 0.5 / 12, "y": size * 1.5 / 12})
    assert state(page)["pin"] == 12
    page.get_by_role("button", name="Play", exact=True).tap()
    page.wait_for_function("() => window.uncage.state.step > 0")


def test_cells_are_reached_by_keyboard(player):
    player.locator(".up-canvas").first.focus()
    player.keyboard.press("ArrowRight")
    start = state(player)["hover"]
    player.keyboard.press("ArrowRight")
    player.keyboard.press("ArrowDown")
    assert state(player)["hover"] == start + 13
    assert state(player)["step"] == 0
    live = player.locator("[data-up=live]")
    assert re.match(r"Row \d+, column \d+\. A: (picked|waits), rank", live.inner_text())
    player.keyboard.press("Enter")
    assert state(player)["pin"] == start + 13
    assert live.inner_text().startswith("Pinned. Row ")
    player.keyboard.press("Escape")
    assert state(player)["pin"] == -1


def test_every_control_has_a_name(player):
    put(player, step=2, pin=30)
    unnamed = player.evaluate(
        """() => [...document.querySelectorAll('.up button, .up input, .up select, .up canvas[tabindex], .up [role=slider]')]
          .filter((n) => n.offsetParent && !(n.getAttribute('aria-label') || n.textContent.trim() || (n.labels && n.labels.length)))
          .map((n) => n.outerHTML)"""
    )
    assert unnamed == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_contrast_is_aa(open_page, player_url, scheme):
    page = open_page(player_url, color_scheme=scheme, reduced_motion="reduce")
    put(page, step=2, pin=30, layer="contrast", whatIf={"weight": 5, "confidence": True, "noise": True, "contrast": True})
    worst = page.evaluate(
        """() => {
          const probe = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
          const rgb = (color) => {
            probe.clearRect(0, 0, 1, 1);
            probe.fillStyle = color;
            probe.fillRect(0, 0, 1, 1);
            return [...probe.getImageData(0, 0, 1, 1).data];
          };
          const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
          const light = (c) => [0.2126, 0.7152, 0.0722].reduce((sum, share, i) => sum + share * linear(c[i] / 255), 0);
          const behind = (node) => {
            for (; node; node = node.parentElement) {
              const c = rgb(getComputedStyle(node).backgroundColor);
              if (c[3] > 250) return c;
            }
            return [255, 255, 255, 255];
          };
          const bad = [];
          for (const node of document.querySelectorAll('.up *')) {
            const own = [...node.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
            if (!own || !node.offsetParent || node.closest('svg') || node.closest('option') || node.matches(':disabled')) continue;
            const [a, b] = [light(rgb(getComputedStyle(node).color)), light(behind(node))].sort((p, q) => q - p);
            const ratio = (a + 0.05) / (b + 0.05);
            if (ratio < 4.5) bad.push([node.className, node.textContent.slice(0, 30), ratio]);
          }
          return bad;
        }"""
    )
    assert worst == []


def test_theme_attribute_wins_over_the_system(open_page, player_url):
    page = open_page(player_url, color_scheme="light", reduced_motion="reduce")
    assert page.locator(".up").get_attribute("data-up-theme") == "light"
    page.evaluate("() => document.documentElement.setAttribute('data-theme', 'dark')")
    page.wait_for_function("() => document.querySelector('.up').dataset.upTheme === 'dark'")


def test_reduced_motion_does_not_start_by_itself(open_page, tmp_path, pair):
    address = save(tmp_path, build_payload(pair))
    calm = open_page(address, reduced_motion="reduce")
    assert not state(calm)["playing"]
    assert state(calm)["step"] == 11, "the finished picture, not a grid of masks"
    lively = open_page(address, reduced_motion="no-preference")
    lively.wait_for_function("() => window.uncage.state.step > 0")


HOSTILE = "a ${6*7} {{x}} <img/src=x/onerror=window.broken=1> </script><script>window.broken=2</script> `${window.broken=3}` cat"


def test_hostile_text_stays_text(open_page, tmp_path):
    traces = [make_trace(0, steps=6, prompt_text=HOSTILE, order=order) for order in ("meissonic", "uncage")]
    evil = '"><img src=x onerror=window.broken=4>'
    verdict = Verdict(tuple([True] * 4), tuple([True] * 4), 0, True, (), evil)
    payload = build_payload(traces, [verdict, None], [[{"text": evil, "step": 1}], []], titles=[evil, "${6*7}"])
    page = open_page(save(tmp_path, payload, None, HOSTILE))
    page.evaluate(FRAME)
    put(page, step=2, pin=3, layer="word", word=1)
    assert page.evaluate("() => window.broken") is None
    assert page.locator(".up img, .up script").count() == 0
    assert page.locator(".up-prompt").inner_text().replace("\n", " ") == HOSTILE
    assert page.locator(".up-title").nth(1).inner_text() == "${6*7}"
    assert page.locator(".up-finding p").inner_text() == evil


def test_stand_alone_page_asks_for_nothing(open_page, player_url):
    page = open_page(player_url)
    page.wait_for_function(PICTURES_READY)
    assert [r for r in page.requests if not r.startswith(("file:", "data:", "blob:"))] == []
    assert Path(player_url.removeprefix("file://")).stat().st_size < 3_000_000


def test_destroy_leaves_nothing_behind(player):
    player.evaluate("() => window.uncage.destroy()")
    assert player.evaluate("() => document.getElementById('player').childElementCount") == 0


def test_an_emoji_in_the_prompt_shifts_no_word(open_page, tmp_path):
    text = "a red 🍎 and a 🐱 next to a cat"
    page = open_page(save(tmp_path, build_payload([make_trace(0, steps=4, prompt_text=text)]), {"step": 0}), reduced_motion="reduce")
    assert page.locator(".up-prompt").inner_text() == text
    assert page.locator(".up-word").last.inner_text() == "cat"
