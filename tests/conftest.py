"""Shape annotations of the engine's tensor functions are checked in tests marked `shapes`; side by side, each process takes one thread."""

import gc
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jaxtyping import config as checks
from jaxtyping import install_import_hook

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is first imported, which is later

# The tables of `orders` are checked by pyright: their settings are a protocol, which costs a check of every field at run time.
# What `run` and `sampler` are given comes from users, and is refused by their own checks.
_CHECKED = [f"uncage_demo.decoding.{module}" for module in ("noise", "order", "redraw", "schedule", "sight", "tokens")]
install_import_hook([*_CHECKED, "uncage_demo.orders.contrast", "uncage_demo.orders.halton"], "beartype.beartype")


checks.update("jaxtyping_disable", True)


@pytest.fixture(autouse=True)
def _shapes_checked(request: pytest.FixtureRequest) -> Iterator[None]:
    """Checking takes a third of a small decode's time, and every order and method is decoded in some test that is marked."""
    checks.update("jaxtyping_disable", request.node.get_closest_marker("shapes") is None)
    yield
    checks.update("jaxtyping_disable", True)


# Drawings of every noun; checkpoint folders and the page, whose libraries take seconds to load.
_SHARED = ("tests.drawings", "tests.tiny_checkpoints", "tests.late")

# Half a million objects are made while tests are collected, and none of them goes away: the collector need not look at them.
gc.disable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """As `--dist=loadfile`, but unit tests that share something go to one process, where it is made or loaded once."""
    from xdist.scheduler import LoadFileScheduling

    if config.getvalue("dist") != "loadfile":
        return None

    class SharedScheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _shared_by(nodeid.split("::", 1)[0])

    return SharedScheduling(config, log)


@cache
def _shared_by(file: str) -> str:
    path = Path(__file__).parents[1] / file
    source = path.read_text(encoding="utf-8") if path.parent.name == "unit" and path.is_file() else ""
    return next((shared for shared in _SHARED if shared in source), file)


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()
