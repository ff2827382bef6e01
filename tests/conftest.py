"""Shape annotations of the engine's tensor functions are checked while testing; side by side, each test process takes one thread."""

import os

from jaxtyping import install_import_hook

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is first imported, which is later

# The tables of `orders` are checked by pyright: their settings are a protocol, which costs a check of every field at run time.
install_import_hook(["uncage_demo.decoding", "uncage_demo.orders.contrast", "uncage_demo.orders.halton"], "beartype.beartype")
