"""Runs in the visitor's browser: the page's switch, with the real model in a worker. The server reads prompts and never decodes."""

import json
import re
import zipfile
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.browser import test_engine, test_whole_runs
from tests.ui.visitor import WIDE, run_to_end, set_prompt, shared
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.browser.served import SHELF
from uncage_demo.config import DecodingConfig
from uncage_demo.diagnosis.diagnose import diagnose
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.runner import generate
from uncage_demo.trace.record import Trace

pytest.importorskip("gradio")
node, web = test_engine.node, test_whole_runs.web
PROMPT = "a yellow bird and a green frog"
STEPS = 6
PATIENCE_MS = 300_000
FOLLOWED = """(weight) => { const { runs } = window.UncagePage.shared.stage.player.model;
    return runs.length === 4 && runs[3].raw.config.contrast_weight === Number(weight); }"""
# As a phone answers that has no room for the model.
NO_MEMORY = """const Plain = globalThis.Worker;
globalThis.Worker = class extends Plain {
    constructor(address) {
        const failing = "class { constructor() { throw new RangeError('WebAssembly.Memory(): could not allocate memory'); } }";
        const said = `Object.defineProperty(WebAssembly, "Memory", { value: ${failing} });`;
        super(URL.createObjectURL(new Blob([said + `importScripts("${address}");`], { type: "text/javascript" })));
    }
};"""
# A page that is told of a graphics processor, which its workers do not have.
NO_GRAPHICS = """Object.defineProperty(navigator, "gpu", { value: { requestAdapter: async () => ({ info: { vendor: "maker" } }) } });"""
# All that the page says of the model, in order.
TOLD = """window.told = []; new MutationObserver(() => {
    const text = document.querySelector(".uc-here-status")?.textContent;
    if (text && text !== window.told[window.told.length - 1]) window.told.push(text);
}).observe(document, { subtree: true, childList: true, characterData: true });"""
OFFER = ".uc-problem button >> visible=true"
MODEL_FILES = r"/uncage-web/[0-9a-f]+/"


@pytest.fixture(scope="module")
def here(browser: Any, examples: Any) -> Iterator[SimpleNamespace]:
    """A running page with the real model, and how many forwards the server has made."""
    from uncage_demo.ui.examples import Examples
    from uncage_demo.ui.layout import build_ui
    from uncage_demo.ui.models import ModelSlot
    from uncage_demo.ui.theme import launch_options

    backend, seen = EmbeddedBackend.load(), SimpleNamespace(forwards=0, address="")
    forward = backend.forward

    def counted(*args: Any, **kwargs: Any) -> Any:
        seen.forwards += 1
        return forward(*args, **kwargs)

    backend.forward = counted  # type: ignore[method-assign]
    demo = build_ui(ModelSlot(lambda name, allowed: backend), Examples(examples))
    _, seen.address, _ = demo.launch(prevent_thread_lock=True, quiet=True, _frontend=False, **{**launch_options(), "mcp_server": False})
    yield seen
    demo.close()


@pytest.fixture
def visit_here(browser: Any, here: SimpleNamespace) -> Iterator[Callable[..., Any]]:
    """Opens the page with "in this browser" chosen, after scripts that run before the page's own. A script error fails the test."""
    contexts, errors = [], []

    def opened(*scripts: str, context: Any = None) -> Any:
        if context is None:
            context = browser.new_context(viewport=WIDE, accept_downloads=True, reduced_motion="reduce")
            context.set_default_timeout(PATIENCE_MS)
            contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        for script in ("localStorage.setItem('uncage-runs', 'browser')", *scripts):
            page.add_init_script(script)
        page.goto(here.address, wait_until="domcontentloaded")
        page.wait_for_selector("#uc-stage [data-ready]", state="attached")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not errors, errors


def loaded(page: Any, text: str | None = None) -> None:
    """Wait until the model is in the page, and the prompt is read."""
    page.wait_for_selector(".uc-here[data-opened]", state="attached")
    if text is not None:
        set_prompt(page, text)
        page.wait_for_selector(f'.uc-here[data-read="{text}"]', state="attached")


def few_steps(page: Any, steps: int = STEPS) -> None:
    page.click("#uc-settings button")
    page.get_by_label("number input for Steps").fill(str(steps))
    page.keyboard.press("Tab")
    page.click("#uc-settings button")


def copied(page, part):
    """Wait until the text that was copied is shown and holds a part: the clipboard answers when it likes."""
    page.wait_for_function("part => document.querySelector('.uc-take-texts').innerText.includes(part)", arg=part)


def explained(page: Any, times: int) -> None:
    page.wait_for_function("(n) => Number(document.querySelector('.uc-here').dataset.explained || 0) >= n", arg=times)


def taken(page: Any, kind: str, folder: Any) -> Any:
    with page.expect_download() as download:
        page.click(f'#uc-takeaway [data-kind="{kind}"]')
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_a_run_here_is_a_run_like_the_servers_and_the_server_decodes_nothing(visit_here, here, tmp_path):
    before = here.forwards
    page = visit_here(TOLD)
    assert page.is_checked('.uc-here input[value="browser"]'), "remembered"
    loaded(page, PROMPT)
    few_steps(page)
    run_to_end(page)
    assert shared(page, "ids") == ["here:0", "here:1"]
    assert page.locator("#uc-stage .up-stage").count() == 2
    assert page.locator("#uc-stage .up-verdict").count() == 2
    explained(page, 1)
    # What only the server draws is there, and says so; what was loaded was told in bytes.
    assert page.locator(".up-edit-elsewhere").is_hidden()
    page.click("[data-up=editOpen]")
    assert page.inner_text(".up-edit-elsewhere").startswith("Editing needs the server")
    size = sum(SHELF.model("embedded")["bytes"].values()) / 1e6
    assert page.evaluate("() => window.told").count(f"Loading the model: 0.0 of {size:.1f} MB") == 1
    assert f"Starting the model ({size:.1f} MB)…" in page.evaluate("() => window.told")
    # The diagnosis and the binding table are the server's rules, told of the trace that was sent.
    assert page.locator("#uc-stage .up-finding").count() > 0
    assert page.locator("#uc-stage .up-bind").count() == 2
    # Trace files open here, and hold what Python would decode.
    with zipfile.ZipFile(taken(page, "npz", tmp_path)) as archive:
        traces = [Trace.from_bytes(archive.read(name)) for name in archive.namelist()]
    assert [trace.config["order"] for trace in traces] == ["meissonic", "uncage"]
    backend = EmbeddedBackend.load()
    prompt = parse_prompt(PROMPT, backend)
    for trace in traces:
        assert trace.prompt == prompt
        again = generate(backend, prompt, DecodingConfig.from_dict(trace.config))
        assert (again.tokens == trace.tokens).mean() > 0.9
        assert {finding.kind for finding in diagnose(trace)} == {finding.kind for finding in diagnose(again)}
    # Link, command and Python are told; a film is made of what is sent.
    assert f"prompt={PROMPT.replace(' ', '+')}" in page.url.replace("%20", "+")
    page.click('#uc-takeaway [data-copies="command"]')
    copied(page, f"--num-steps {STEPS}")
    assert taken(page, "still", tmp_path).stat().st_size > 10_000
    # A branch joins the stages, and names its parent as Python does.
    page.evaluate("() => window.UncagePage.shared.stage.setStep(2)")
    page.locator("#uc-stage .up-branch select").nth(1).select_option("confidence")
    page.wait_for_function("() => window.UncagePage.shared.ids.length === 3")
    explained(page, 2)
    with zipfile.ZipFile(taken(page, "npz", tmp_path)) as archive:
        branch = Trace.from_bytes(archive.read(archive.namelist()[2]))
    assert branch.lineage is not None
    assert branch.lineage.parent == traces[0].id
    assert branch.config["order"] == "confidence"
    page.click('#uc-takeaway [data-copies="python"]')
    copied(page, "ud.branch(backend, traces[0], at_step=2")
    # The weight of the steps that follow: the rest is decoded again at once, and takes the place of the last one.
    page.evaluate("() => window.UncagePage.shared.stage.setStep(0)")
    for weight in ("9", "0"):
        page.locator("#uc-stage .uc-follow input").fill(weight)
        page.wait_for_function(FOLLOWED, arg=weight)
    assert page.evaluate("() => window.UncagePage.shared.stage.player.model.runs[3].weight.every((w) => w === 0)")
    # Layers and heads are read here as well.
    heads = page.evaluate("() => window.UncagePage.shared.stage.player.options.heads({ id: 'here:1', step: 1, word: 2 })")
    assert heads.get("heads", {}).get("layers") == traces[1].model.single_layers, heads
    assert here.forwards == before, "the server decoded"


def test_it_draws_in_a_tab_that_nobody_sees(visit_here):
    page = visit_here()
    loaded(page, PROMPT)
    few_steps(page)
    page.evaluate("() => { window.frames_asked = 0; window.requestAnimationFrame = () => { window.frames_asked += 1; return 0; }; }")
    page.click("#uc-generate")
    page.wait_for_function("() => performance.getEntriesByName('uncage:first').length > 0")
    assert page.evaluate("() => window.frames_asked") > 0, "the run is to wait for a frame where there are some"


def test_it_draws_with_the_network_cut(visit_here, here):
    page = visit_here()
    loaded(page, PROMPT)
    few_steps(page)
    page.context.set_offline(True)
    run_to_end(page)
    assert shared(page, "ids") == ["here:0", "here:1"]
    explained(page, 1)
    assert "out of reach" in page.inner_text("#uc-takeaway .uc-take-status")
    before = page.get_attribute("#uc-stage [data-ready]", "data-ready")
    page.locator("#uc-stage .uc-follow input").fill("7")
    page.wait_for_function("(old) => document.querySelector('#uc-stage [data-ready]').dataset.ready !== old", arg=before)
    assert len(shared(page, "ids")) == 3
    # A prompt that nobody has read yet is said to be so.
    page.evaluate("() => window.UncagePage.here.generate(['a cat', ...Array(60).fill(null)])")
    page.wait_for_selector(".uc-problem >> visible=true")


def test_what_is_wrong_with_the_words_is_said_once_beside_them(visit_here):
    page = visit_here()
    loaded(page, PROMPT)
    set_prompt(page, "three")
    page.click("#uc-generate")
    page.wait_for_selector("#uc-chips .uc-note[role=alert]:has-text('Nothing was drawn')")
    assert page.locator("#uc-chips .uc-note").count() == 1
    assert page.locator(".uc-problem").is_hidden()


def test_a_second_visit_loads_nothing_of_the_model_again(visit_here, here):
    first = visit_here()
    loaded(first)
    second = first.context.new_page()
    came = []
    session = first.context.new_cdp_session(second)
    session.send("Network.enable")
    session.on("Network.responseReceived", lambda event: came.append(event))
    sizes: dict[str, float] = {}
    session.on("Network.loadingFinished", lambda event: sizes.__setitem__(event["requestId"], event["encodedDataLength"]))
    second.goto(here.address, wait_until="domcontentloaded")
    loaded(second)
    entries = second.evaluate("() => performance.getEntriesByType('resource').map((e) => [e.name, e.transferSize])")
    files = {url: size for url, size in entries if re.search(MODEL_FILES, url)}
    assert files, entries
    assert set(files.values()) == {0}, files
    answers = [event for event in came if re.search(MODEL_FILES, event["response"]["url"])]
    page_files = [(sizes.get(event["requestId"]), event["response"].get("fromDiskCache")) for event in answers]
    assert page_files
    assert all(cached or not size for size, cached in page_files), page_files


@pytest.mark.parametrize(("gone", "named"), [("WebAssembly", "WebAssembly"), ("DecompressionStream", "DecompressionStream")])
def test_a_browser_that_cannot_says_so_and_offers_the_server(visit_here, here, gone, named):
    page = visit_here(f"delete globalThis.{gone}")
    page.wait_for_function("(name) => document.querySelector('.uc-here-status').textContent.includes(name)", arg=named)
    page.click("#uc-generate")
    page.wait_for_selector(".uc-problem >> visible=true")
    assert named in page.inner_text(".uc-problem")
    few_steps(page, STEPS + len(gone) % 5)  # runs of its own: the server keeps what it has decoded once
    before, decoded = page.get_attribute("#uc-stage [data-ready]", "data-ready"), here.forwards
    page.click(OFFER)
    page.wait_for_function("(old) => document.querySelector('#uc-stage [data-ready]').dataset.ready !== old", arg=before)
    assert not shared(page, "ids")[0].startswith("here")
    assert here.forwards > decoded
    assert page.evaluate("() => localStorage.getItem('uncage-runs')") == "server"


def test_too_little_memory_is_said_in_a_sentence(visit_here):
    page = visit_here(NO_MEMORY)
    page.wait_for_function("() => /memory/.test(document.querySelector('.uc-here-status').textContent)")
    assert "not enough memory" in page.inner_text(".uc-here-status")
    page.click("#uc-generate")
    page.wait_for_selector(OFFER)
    assert "not enough memory" in page.inner_text(".uc-problem")


def test_webgpu_that_does_not_start_gives_way_to_webassembly(visit_here):
    page = visit_here(NO_GRAPHICS)
    loaded(page, PROMPT)
    said = page.evaluate("() => document.querySelector('.uc-here-status').textContent")
    assert "WebAssembly computes: The model's" in said
    assert "could not be started in this browser" in said
    assert page.get_attribute(".uc-here", "data-device") == "wasm"
    few_steps(page, 2)
    run_to_end(page)
    assert shared(page, "ids") == ["here:0", "here:1"]
    # It is not tried again until the visitor chooses, which is remembered.
    assert "could not be started" in page.evaluate("() => sessionStorage.getItem('uncage-webgpu-refused')")
    page.click("#uc-settings button")
    page.select_option(".uc-here-device select", "wasm")
    page.wait_for_selector(".uc-here[data-opened]", state="attached")
    page.wait_for_function("() => document.querySelector('.uc-here-status').textContent.endsWith('WebAssembly computes.')")
    assert page.evaluate("() => [localStorage.getItem('uncage-device'), sessionStorage.getItem('uncage-webgpu-refused')]") == ["wasm", ""]


def test_settings_of_the_server_alone_are_refused_by_name(visit_here):
    page = visit_here()
    loaded(page, PROMPT)
    page.click("#uc-settings button")
    page.click("#uc-more-settings button")
    page.get_by_label("Partial steps after each whole one").fill("2")
    page.keyboard.press("Tab")
    page.click("#uc-generate")
    page.wait_for_selector(".uc-problem >> visible=true")
    assert "reuse_steps=2: this setting is computed on the server only." in page.inner_text(".uc-problem")


def test_the_page_that_generates_offline_is_downloaded(visit_here, browser, tmp_path):
    page = visit_here()
    with page.expect_download() as download:
        page.click("[data-offline=page]")
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    assert path.suffix == ".html"
    assert 10e6 < path.stat().st_size < 25e6
    text = path.read_text(encoding="utf-8")
    held = re.search(r'id="live-models">(.*?)</script>', text)
    assert held is not None
    assert json.loads(held[1])[0]["name"] == "embedded"
