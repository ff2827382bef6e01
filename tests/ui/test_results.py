"""The results tab in a real browser: tiny results made by the tiny real model, read as the shipped ones are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

gr = pytest.importorskip("gradio")

HOSTILE = "<img src=x onerror=window.hacked=1> & a cat"
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of three orders on four prompts with two seeds, compressed as shipped ones are."""
    from uncage_demo.backends.embedded.backend import EmbeddedBackend
    from uncage_demo.bench.experiments import Experiment
    from uncage_demo.bench.records import read_records, write_records
    from uncage_demo.bench.run import run_experiment
    from uncage_demo.bench.scorers_detector import DetectorScorer
    from uncage_demo.bench.suites import BenchPrompt
    from uncage_demo.config import DecodingConfig

    backend = EmbeddedBackend.tiny(seed=0)
    methods = {order: DecodingConfig(order=order, num_steps=4) for order in ("meissonic", "halton", "uncage")}
    texts = {"a cat and a dog": "animals", "a bear and a frog": "animals", "a red car and a blue bow": "objects", "a dog": "animals"}
    prompts = [BenchPrompt(text, "small", category, text) for text, category in texts.items()]
    raw = tmp_path_factory.mktemp("raw") / "table1.jsonl"
    experiment = Experiment("table1", "Orders", methods, "meissonic")
    run_experiment(backend, experiment, prompts, [0, 1], raw, DetectorScorer(backend), own_seeds=False)
    records = read_records(raw)
    for number, record in enumerate(records):  # an untrained detector says the same of every picture; the tab needs different verdicts
        record["metrics"]["correct"] = int(number % 3 == 0 or number % 5 == 0)
    ready = tmp_path_factory.mktemp("results")
    write_records(ready / "table1.jsonl.xz", records)
    return ready


def serve(folder: Path) -> tuple[Any, str]:
    """A page that holds the results tab alone."""
    from uncage_demo.backends.embedded.backend import EmbeddedBackend
    from uncage_demo.ui.handlers import Handlers
    from uncage_demo.ui.models import ModelSlot
    from uncage_demo.ui.results import build
    from uncage_demo.ui.theme import launch_options

    with gr.Blocks(analytics_enabled=False) as demo:
        build(Handlers(ModelSlot(lambda name, allow: EmbeddedBackend.tiny(seed=0))), folder)
    demo.queue()
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, _frontend=False, **{**launch_options(), "mcp_server": False})
    return demo, url


@pytest.fixture(scope="module")
def site(browser: Any, folder: Path) -> Iterator[str]:
    """Its address."""
    demo, url = serve(folder)
    yield url
    demo.close()


@pytest.fixture
def tab(open_page: Callable[..., Any], site: str) -> Any:
    """The tab with its table and its list shown."""
    page = open_page(site)
    ready(page)
    return page


def ready(page: Any) -> None:
    page.wait_for_selector("#uc-results [data-table], #uc-results[data-table]", state="attached")
    page.wait_for_selector("[data-listed]", state="attached")


def choose(page: Any, **values: str) -> None:
    """Set filters and wait until the list has followed."""
    for name, value in values.items():
        page.evaluate("() => { document.querySelector('[data-listed]').dataset.listed = 'old'; }")
        if name == "prompt":
            page.fill(".ur-prompt", value)
        else:
            page.select_option(f".ur-{name}", value)
        page.wait_for_function("() => document.querySelector('[data-listed]').dataset.listed !== 'old'")


def test_table_plot_and_filters_show_what_the_lines_say(tab: Any, folder: Path) -> None:
    from uncage_demo.bench.results import load_shipped
    from uncage_demo.bench.tables import to_rows

    shipped = load_shipped(folder)
    table = shipped.table("table1", "small")
    headings, cells = to_rows(table)
    assert tab.locator(".ur-plot button.ur-name").all_inner_texts() == ["Baseline", "Halton", "UNCAGE"]
    assert tab.inner_text(".ur-base .ur-name") == "Baseline"
    tab.click(".ur-numbers summary")
    assert [row[0] for row in cells] == ["Baseline", "Halton", "UNCAGE"]
    assert [r.split("\t") for r in tab.inner_text(".ur-scroll table").split("\n")] == [headings, *cells]
    groups = tab.evaluate("() => [...document.querySelectorAll('.ur-experiment optgroup')].map((g) => [g.label, g.innerText])")
    assert groups == [["Emoji scenes (embedded)", "Orders on the prompt list “small”"]]
    places = [
        float(str(d)) for d in tab.evaluate("() => [...document.querySelectorAll('.ur-rate .ur-dot')].map(d => parseFloat(d.style.left))")
    ]
    rates = [row.estimates["correct"].value for row in table.rows]
    assert sorted(range(3), key=lambda i: places[i]) == sorted(range(3), key=lambda i: rates[i])
    assert table.caption in tab.inner_text(".ur-caption")
    assert "a difference is bold and its dot filled where its interval excludes zero. p (Holm) is another test" in tab.inner_text(
        ".ur-caption"
    )
    differences = tab.locator(".ur-row:not(.ur-head, .ur-base) .ur-difference-text")
    weights = differences.evaluate_all("(nodes) => nodes.map((node) => getComputedStyle(node).fontWeight)")
    others = [row.comparison.difference for row in table.rows if row.comparison is not None]
    assert [weight == "650" for weight in weights] == [one.low > 0 or one.high < 0 for one in others]
    assert "here it has" in tab.inner_text(".ur-warning")  # these weights are not the shipped ones

    for filters in ({"outcome": "wrong"}, {"outcome": "better"}, {"outcome": "", "method": "halton"}, {"prompt": "DOG"}):
        choose(tab, **filters)
        now = {name: tab.input_value(f".ur-{name}") for name in ("method", "outcome", "failure", "prompt")}
        found = shipped.find(experiment="table1", suite="small", **now)
        shown = [tuple(item.inner_text().split("\n")[:2]) for item in tab.locator(".ur-item").all()]
        assert shown == [(own.prompt, f"seed {own.seed}") for own, _ in found], now
    assert 0 < len(shown) < 8
    choose(tab, category="objects", prompt="")
    assert {item.inner_text().split("\n")[0] for item in tab.locator(".ur-item").all()} == {"a red car and a blue bow"}
    tab.wait_for_function("() => document.querySelector('[data-table]').dataset.table.includes('objects')")
    tab.select_option(".ur-metric", "missing")
    tab.wait_for_function("() => document.querySelector('[data-table]').dataset.table.endsWith('missing')")
    assert "Lower is better." in tab.inner_text(".ur-caption")


def test_a_line_opens_beside_its_baseline_bit_for_bit(tab: Any) -> None:
    choose(tab, outcome="", method="uncage")
    tab.click(".ur-draw")
    tab.wait_for_function("() => document.querySelectorAll('.ur-run img').length === 8")
    tab.locator(".ur-open").nth(1).click()
    tab.wait_for_selector(".ur-opened .up-stage canvas")
    assert tab.inner_text(".ur-same") == "the measured pictures, bit for bit"
    titles = tab.evaluate("() => [...document.querySelectorAll('.ur-opened .up-stage')].map(s => s.innerText)")
    assert ["Baseline" in titles[0], "UNCAGE" in titles[1]] == [True, True]
    assert tab.inner_text(".ur-opened-title") == "a cat and a dog, seed 1"
    # the player's own inputs keep their looks
    assert (
        tab.evaluate("() => Math.max(...[...document.querySelectorAll('.ur-opened input[type=checkbox]')].map(b => b.offsetWidth), 0)") < 30
    )


def test_on_a_phone_nothing_is_wider_than_the_screen(open_page: Callable[..., Any], site: str) -> None:
    page = open_page(site, **PHONE, has_touch=True)
    ready(page)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    small = page.evaluate(
        """() => [...document.querySelectorAll('.ur button:not(.ur-name), .ur select, .ur input')]
            .filter(n => n.offsetWidth && n.offsetHeight < 40).map(n => n.className)"""
    )
    assert small == []
    assert page.locator(".ur-difference .ur-dot").count() == 2  # the comparison is drawn here too


def test_a_closed_menu_says_all_of_a_long_title_on_a_phone(open_page: Callable[..., Any], site: str) -> None:
    page = open_page(site, **PHONE, has_touch=True)
    ready(page)
    title = "Orders for redrawing one erased object in another colour on Attend-and-Excite prompts (two objects)"
    box, said, cut = page.evaluate(
        """(title) => {
            const menu = document.querySelector('.ur-experiment');
            menu.selectedOptions[0].text = title;
            menu.dispatchEvent(new Event('change'));
            const said = menu.parentElement.querySelector('.ur-said');
            return [menu.getBoundingClientRect().height, said.getBoundingClientRect().height, said.scrollWidth - said.clientWidth];
        }""",
        title,
    )
    model = page.evaluate("() => document.querySelector('.ur-experiment').selectedOptions[0].parentElement.label")
    assert model
    assert page.inner_text(".ur-said >> nth=0") == f"{model}: {title}", "titles repeat from model to model"
    assert box >= said > 42, "several lines, inside the menu's frame"
    assert cut <= 0
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("size", [(390, 844), (800, 900), (1280, 800)], ids=str)
def test_no_interval_lies_under_a_number(open_page: Callable[..., Any], site: str, size: tuple[int, int]) -> None:
    page = open_page(site, *size)
    ready(page)
    # numbers as long, and intervals as far out, as those of the shipped results
    page.evaluate("""() => {
        for (const row of document.querySelectorAll('.ur-row:not(.ur-head)')) {
            row.classList.add('ur-clear');
            row.querySelector('.ur-difference-text').textContent = '+23.6 [+17.4, +29.7]';
            for (const line of row.querySelectorAll('.ur-interval')) Object.assign(line.style, { left: '60%', width: '34%' });
        }
    }""")
    crossings = page.evaluate("""() => {
        const textBox = (node) => {
            const range = document.createRange();
            range.selectNodeContents(node);
            return range.getBoundingClientRect();
        };
        const apart = (a, b) => a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
        return [...document.querySelectorAll('.ur-row')].flatMap((row) => {
            const seen = (selector) => [...row.querySelectorAll(selector)].filter((node) => node.offsetParent);
            const texts = seen('.ur-number, button.ur-name').filter((node) => node.textContent);
            const marks = seen('.ur-interval, .ur-dot').map((node) => node.getBoundingClientRect());
            return texts.filter((node) => marks.some((mark) => !apart(mark, textBox(node)))).map((node) => node.textContent);
        });
    }""")
    assert crossings == []
    lefts = page.evaluate(
        "() => [...document.querySelectorAll('.ur-track.ur-difference')].map((node) => node.getBoundingClientRect().left)"
    )
    assert max(lefts) - min(lefts) < 0.5, "all rows have one scale"


def test_words_of_the_lines_are_never_markup_and_an_empty_folder_is_said(
    open_page: Callable[..., Any], folder: Path, tmp_path: Path
) -> None:
    from uncage_demo.bench.records import read_records, write_records

    lines = read_records(folder / "table1.jsonl.xz")
    for record in lines:
        record.update(
            prompt=HOSTILE, method=f"{record['method']} {HOSTILE}", baseline=f"meissonic {HOSTILE}", title=HOSTILE, category=HOSTILE
        )
    write_records(tmp_path / "hostile" / "table1.jsonl", lines[:6])
    demo, url = serve(tmp_path / "hostile")
    try:
        page = open_page(url)
        ready(page)
        assert HOSTILE in page.inner_text(".ur-item >> nth=0") or HOSTILE in page.inner_text(".ur-plot")
        assert page.evaluate("() => window.hacked") is None
        assert page.locator("#uc-results img").count() == 0
    finally:
        demo.close()
    demo, url = serve(tmp_path / "nothing")
    try:
        page = open_page(url)
        page.wait_for_selector('.ur-nothing:text("No benchmark results are shipped yet")')
        assert page.is_hidden(".ur-all")
    finally:
        demo.close()
