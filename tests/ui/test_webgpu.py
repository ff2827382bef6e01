"""WebGPU against WebAssembly in Chromium, whose software WebGPU stands in for a graphics processor: slow, but the same shaders.

Minutes of compiling, so only with UNCAGE_WEBGPU=1. What chooses between the two is tested always (tests/browser/device.test.mjs,
tests/ui/test_page_here.py).
"""

import base64
import gzip
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from tests.browser import test_engine, test_whole_runs
from tests.ui.conftest import _missing
from tools import chromium
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.browser.bundle import STATIC, bundle
from uncage_demo.browser.export_model import write_model
from uncage_demo.browser.runtime import BUILDS, find_runtime
from uncage_demo.browser.served import worker_script
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.trace.record import Trace

node, web = test_engine.node, test_whole_runs.web
pytestmark = pytest.mark.skipif(os.environ.get("UNCAGE_WEBGPU") != "1", reason="takes minutes; UNCAGE_WEBGPU=1 asks for it")
SOFTWARE = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader")
PATIENCE_MS = 600_000
STEPS = 3
# Lets a page take the graphics processor away from a worker, or keep it from ever answering.
BREAKABLE = """(() => {
    const ask = GPUAdapter.prototype.requestDevice, devices = [];
    GPUAdapter.prototype.requestDevice = async function (...args) {
        const device = await ask.apply(this, args);
        devices.push(device);
        return device;
    };
    addEventListener("message", ({ data }) => data.kind === "break" && devices.forEach((device) => device.destroy()));
    addEventListener("message", ({ data }) => {
        if (data.kind === "hang") GPUBuffer.prototype.mapAsync = GPUQueue.prototype.onSubmittedWorkDone = () => new Promise(() => {});
    });
})();
"""
DRAWN = """async ([wish, runs, failAt = -1, failure = "break"]) => {
    const { Engine, devices } = window.UncageEngine;
    const device = await devices.chooseDevice(wish);
    if (failure === "hang" && device.patience) device.patience.least_ms = 5000;
    const manifest = await (await fetch("manifest.json")).json();
    const address = (name) => new URL(name, location.href).href;
    const parts = Object.fromEntries(Object.keys(manifest.files).map((part) => [part, address(`${part}.gz`)]));
    let settle;
    const said = () => new Promise((resolve, reject) => (settle = { resolve, reject }));
    const engine = new Engine(address(`worker-${device.build}.js`), {
        opened: () => settle.resolve(),
        finished: (message) => settle.resolve(message),
        failed: (text) => settle.reject(new Error(text)),
        progress(message) {
            console.log("step", message.step, Math.round(performance.now()));
            if (message.step === failAt) for (const worker of engine.workers) worker.postMessage({ kind: failure });
        },
        device: (device, text, silent) => told.push([device.name, text, silent]),
        saved() {},
    });
    const told = [];
    try {
        const opened = said();
        engine.open(manifest, address(`${device.build}.wasm.gz`), parts, device);
        await opened;
        console.log("opened on", device.name, Math.round(performance.now()));
        const finished = said();
        engine.draw(runs);
        await finished;
        return { device, told, files: (await engine.files()).map(({ data }) => data) };
    } finally {
        engine.end();
    }
}"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page with the engine, the tiny model and both builds of the runtime, on this machine."""
    folder = tmp_path_factory.mktemp("webgpu")
    write_model(EmbeddedBackend.tiny(seed=0), folder)
    for part, file in json.loads((folder / "manifest.json").read_text())["files"].items():
        (folder / f"{part}.gz").write_bytes(gzip.compress((folder / file["file"]).read_bytes(), 1))
    for build in BUILDS:
        runtime = find_runtime(build=build)
        (folder / f"{build}.wasm.gz").write_bytes(runtime.binary)
        (folder / f"worker-{build}.js").write_text(BREAKABLE * (build == "webgpu") + worker_script(runtime), encoding="utf-8")
    engine = f"window.UncageEngine = (() => {{ {bundle(STATIC / 'live/engine.js')} return entry; }})();"
    (folder / "index.html").write_text(f"<!doctype html><title>t</title><script>{engine}</script>", encoding="utf-8")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/index.html"
    server.shutdown()


@pytest.fixture(scope="module")
def page(browser: Any, address: str) -> Iterator[Any]:
    """The page in a Chromium of its own, with software WebGPU."""
    path = chromium.chromium_path()
    if path is None:
        _missing(chromium.MISSING)
    running = browser.browser_type.launch(executable_path=path, args=[*SOFTWARE, *chromium.FLAGS])
    opened = running.new_page()
    opened.set_default_timeout(PATIENCE_MS)
    opened.on("console", lambda message: print(message.text, flush=True))
    opened.goto(address)
    if not opened.evaluate("async () => Boolean(navigator.gpu && await navigator.gpu.requestAdapter())"):
        running.close()
        _missing("this Chromium has no software WebGPU")
    yield opened
    running.close()


def traces_of(page: Any, wish: str, runs: list[Any], fail_at: int = -1, failure: str = "break") -> tuple[dict[str, Any], list[Trace]]:
    """What computed (and what was told of it meanwhile), and the traces; fail_at = after which step WebGPU goes or hangs."""
    told = page.evaluate(DRAWN, [wish, runs, fail_at, failure])
    return {**told["device"], "told": told["told"]}, [Trace.from_bytes(base64.b64decode(data)) for data in told["files"]]


def test_whole_runs_have_the_same_tokens_on_both(page: Any) -> None:
    prompt = asdict(parse_prompt("a red cat and a blue dog", EmbeddedBackend.tiny(seed=0)))
    orders = ("meissonic", "uncage")
    runs = [{"prompt": prompt, "config": {"order": order, "num_steps": STEPS, "seed": seed}} for seed, order in enumerate(orders)]
    device, graphics = traces_of(page, "software", runs)
    assert device["name"].startswith("WebGPU (")
    device, plain = traces_of(page, "wasm", runs)
    assert device["name"] == "WebAssembly"
    for made, wanted in zip(graphics, plain, strict=True):
        assert made.versions["computed_on"].startswith("WebGPU (")
        assert wanted.versions["computed_on"] == "WebAssembly"
        np.testing.assert_array_equal(made.tokens, wanted.tokens)
        for one, other in zip(made.steps, wanted.steps, strict=True):
            np.testing.assert_array_equal(one.committed, other.committed)
            np.testing.assert_allclose(one.confidence, other.confidence, atol=1e-4)
            assert one.attention is not None
            assert other.attention is not None
            np.testing.assert_allclose(one.attention, other.attention, atol=1e-4)
        assert np.abs(made.image.astype(int) - wanted.image.astype(int)).max() <= 1


@pytest.mark.parametrize("failure", ["break", "hang"])
def test_a_graphics_processor_that_goes_in_the_middle(page: Any, failure: str) -> None:
    """WebAssembly draws the run from the beginning: bit for bit what it would have drawn alone."""
    prompt = asdict(parse_prompt("a red cat and a blue dog", EmbeddedBackend.tiny(seed=0)))
    runs = [{"prompt": prompt, "config": {"order": order, "num_steps": 6, "seed": 1}} for order in ("meissonic", "uncage")]
    device, made = traces_of(page, "software", runs, 1, failure)
    ((name, text, silent),) = device["told"]
    assert name == "WebAssembly"
    assert silent == (failure == "hang") == text.startswith("WebGPU gave no answer for ")
    _, wanted = traces_of(page, "wasm", runs)
    for one, other in zip(made, wanted, strict=True):
        assert one.versions["computed_on"] == "WebAssembly"
        np.testing.assert_array_equal(one.tokens, other.tokens)
        np.testing.assert_array_equal(one.image, other.image)
        for step, same in zip(one.steps, other.steps, strict=True):
            np.testing.assert_array_equal(step.confidence, same.confidence)


def test_one_that_is_slower_is_refused(page: Any) -> None:
    """Software WebGPU is; so the engine that was told to hurry says so, and the page goes on with WebAssembly."""
    prompt = asdict(parse_prompt("a cat", EmbeddedBackend.tiny(seed=0)))
    hurried = DRAWN.replace("devices.chooseDevice(wish)", "devices.chooseDevice(wish).then((device) => ({ ...device, hurry: true }))")
    with pytest.raises(Exception, match=r"WebGPU is slower here \(the (transformer|decoder) takes \d+ instead of \d+ ms\)"):
        page.evaluate(hurried, ["software", [{"prompt": prompt, "config": {"order": "uncage", "num_steps": 2, "seed": 0}}]])
