"""A real browser for the tests of this folder. CHROMIUM names the executable where it is not on the path."""

import functools
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.factories import make_trace
from tests.ui.player_page import FINDING, VERDICTS, save
from tests.ui.visitor import EXAMPLES, PACE
from tools import chromium
from tools.chromium import MISSING, chromium_path
from uncage_demo.player.payload import build_payload

FLAGS = ("--disable-gpu", *chromium.FLAGS)
TIMEOUT_MS = 120_000  # a machine that trains at the same time is slow; nothing here waits that long by itself


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs a browser."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.ui)


def _missing(reason: str) -> None:
    """Skip with a reason, or fail where a browser is required."""
    if os.environ.get("UNCAGE_REQUIRE_BROWSER") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium, one for all tests."""
    path = chromium_path()
    if path is None:
        _missing(MISSING)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _missing("playwright is not installed")
        raise
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield running
        running.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page: open_page(url, width, height, **context options). A script error in it fails the test."""
    contexts, errors = [], []

    def open_url(url: str, width: int = 1280, height: int = 900, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(TIMEOUT_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.requests = []
        page.on("request", lambda request: page.requests.append(request.url))
        page.goto(url, wait_until="load")
        return page

    yield open_url
    for context in contexts:
        context.close()
    assert not errors, errors


@pytest.fixture(scope="session")
def pair() -> list[Any]:
    """Two short runs of one prompt and seed: the baseline order and the guided one."""
    return [make_trace(0, steps=12, order="meissonic"), make_trace(0, steps=12)]


@pytest.fixture(scope="session")
def player_url(pair: list[Any], tmp_path_factory: pytest.TempPathFactory) -> str:
    """Address of the stand-alone player of the pair, at its first step."""
    return save(tmp_path_factory.mktemp("pair"), build_payload(pair, VERDICTS, [[FINDING], []]), {"step": 0})


@pytest.fixture
def player(open_page: Callable[..., Any], player_url: str) -> Any:
    """A page with the player of the pair, paused at its first step."""
    return open_page(player_url, reduced_motion="reduce")


@pytest.fixture(scope="session")
def examples(tmp_path_factory) -> Path:
    """A folder of finished examples as they are shipped."""
    folder = tmp_path_factory.mktemp("examples")
    for seed, (name, text) in enumerate(EXAMPLES):
        for order in ("meissonic", "uncage"):
            make_trace(seed, steps=16, prompt_text=text, order=order).save(folder / f"{name}.{order}.npz")
    said = [asdict(verdict) for verdict in VERDICTS]
    index = {
        name: {"title": text, "about": f"About {name}.", "verdicts": {f"{name}.meissonic": said[0], f"{name}.uncage": said[1]}}
        for name, text in EXAMPLES
    }
    (folder / "index.json").write_text(json.dumps(index))
    return folder


@pytest.fixture(scope="session")
def site(browser: Any, examples: Path) -> Iterator[str]:
    """The running page's address. The model is the tiny real one, slowed so that a run can be watched and cancelled."""
    pytest.importorskip("gradio")
    from uncage_demo.backends.embedded.backend import EmbeddedBackend
    from uncage_demo.ui.examples import Examples
    from uncage_demo.ui.layout import build_ui
    from uncage_demo.ui.models import ModelSlot
    from uncage_demo.ui.theme import launch_options

    def load(name: str, allow_download: bool) -> EmbeddedBackend:
        backend = EmbeddedBackend.tiny(seed=0)
        forward = backend.forward

        @functools.wraps(forward)
        def slower(*args: Any, **kwargs: Any) -> Any:
            PACE.wait()
            return forward(*args, **kwargs)

        backend.forward = slower  # type: ignore[method-assign]
        return backend

    demo = build_ui(ModelSlot(load), Examples(examples))
    # the launcher's own look at the page gives up after 3 s, which a busy machine may need
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, _frontend=False, **{**launch_options(), "mcp_server": False})
    yield url
    demo.close()
