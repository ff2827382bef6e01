"""Shape annotations of the engine's tensor functions are checked while testing; side by side, each test process takes one thread."""

import gc
import os

from jaxtyping import install_import_hook

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is first imported, which is later

# The tables of `orders` are checked by pyright: their settings are a protocol, which costs a check of every field at run time.
# What `run` and `sampler` are given comes from users, and is refused by their own checks.
_CHECKED = [f"uncage_demo.decoding.{module}" for module in ("noise", "order", "redraw", "schedule", "sight", "tokens")]
install_import_hook([*_CHECKED, "uncage_demo.orders.contrast", "uncage_demo.orders.halton"], "beartype.beartype")

# Half a million objects are made while tests are collected, and none of them goes away: the collector need not look at them.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()
