"""The page's side of a model in the browser, with workers that are played: what is told when WebGPU stops answering, and what follows."""

from pathlib import Path

import uncage_demo.ui

SCRIPT = Path(uncage_demo.ui.__file__).parent / "static" / "page-here-model.js"
# A page whose workers say what the test lets them say; devices.chosen counts how often WebGPU was looked for.
PLAYED = """() => {
    window.said = [];
    window.engines = [];
    window.UncagePage = { parse: (value) => value };
    window.fetch = async () => ({ json: async () => ({ orders: [] }) });
    const webAssembly = (reason = "") => ({ build: "wasm", name: "WebAssembly", hurry: false, reason });
    const devices = {
        WISHES: ["auto", "webgpu", "wasm"], WEBGPU_PATIENCE_MS: 45000, chosen: 0, webAssembly,
        async chooseDevice(wish) {
            if (wish === "wasm") return webAssembly();
            devices.chosen++;
            return { build: "webgpu", name: "WebGPU (a maker)", hurry: wish === "auto", reason: "" };
        },
    };
    class Engine {
        constructor(address, told) { this.told = told; this.ended = false; window.engines.push(this); }
        open(manifest, wasm, parts, device) {
            this.device = device;
            const mute = device.build === "webgpu" && window.mute;
            setTimeout(() => (mute ? this.told.failed("WebGPU gave no answer for 20 seconds", true) : this.told.opened(1)), 0);
        }
        end() { this.ended = true; }
    }
    window.UncageEngine = { devices, unable: () => "", Engine };
}"""
OPENED = """async ([wish, mute]) => {
    const hears = { again: (silent) => said.push(silent), progress() {}, finished() {}, failed() {} };
    window.mute = mute;
    const model = (window.model = new UncagePage.HereModel(hears, { say: (text) => said.push(text), loading() {}, opened() {} }));
    const file = async ({ age }) => ({ files: { manifest: "m", worker: "w", wasm: "r", parts: {}, bytes: {} } });
    model.attach({ here_files: file }, { models: ["embedded"], folder: "f" });
    model.wish = wish;
    await model.open("embedded", "");
    return [engines.at(-1).device.build, said.at(-1)];
}"""
ANOTHER = """async (wish) => {
    if (wish) model.wish = wish;
    const before = UncageEngine.devices.chosen;
    await model.open("embedded", "1/5");
    return [engines.map(({ device, ended }) => [device.build, ended]), UncageEngine.devices.chosen - before, said.at(-1)];
}"""


def played(open_page):
    page = open_page("about:blank")
    page.route("http://played/", lambda route: route.fulfill(body="<!doctype html><title>t</title>", content_type="text/html"))
    page.goto("http://played/")
    page.evaluate(PLAYED)
    page.add_script_tag(path=str(SCRIPT))
    return page


def test_webgpu_that_answers_no_more_is_told_and_not_tried_again(open_page):
    page = played(open_page)
    assert page.evaluate(OPENED, ["webgpu", False])[0] == "webgpu"
    page.evaluate(
        "() => engines[0].told.device({ build: 'wasm', name: 'WebAssembly', hurry: false }, 'WebGPU gave no answer for 5 seconds', true)"
    )
    assert page.evaluate("() => said.slice(-2)") == ["WebGPU gave no answer for 5 seconds, so WebAssembly computes now.", True]
    # Another model: in workers of its own, since those of before wait for good; and whatever is chosen.
    workers, looked, said = page.evaluate(ANOTHER, "webgpu")
    assert (workers, looked) == ([["webgpu", True], ["wasm", False]], 0)
    assert said.endswith("WebAssembly computes: WebGPU gave no answer for 5 seconds.")


def test_webgpu_that_is_lost_may_be_chosen_again(open_page):
    page = played(open_page)
    page.evaluate(OPENED, ["auto", False])
    page.evaluate("() => engines[0].told.device({ build: 'wasm', name: 'WebAssembly', hurry: false }, 'it was reset', false)")
    assert page.evaluate("() => said.slice(-2)") == ["WebGPU failed while it drew (it was reset). WebAssembly computes now.", False]
    assert page.evaluate(ANOTHER, "")[1] == 0, "not by itself"
    assert page.evaluate(ANOTHER.replace("1/5", "3/5"), "webgpu")[1] == 1


def test_webgpu_that_never_answers_while_it_starts(open_page):
    page = played(open_page)
    build, said = page.evaluate(OPENED, ["webgpu", True])
    assert build == "wasm"
    assert said.endswith("WebAssembly computes: WebGPU gave no answer for 20 seconds.")
    assert page.evaluate(ANOTHER, "webgpu")[1] == 0
