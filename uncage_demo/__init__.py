"""uncage-demo: watch, question and steer the order in which a masked generative transformer draws a picture.

import uncage_demo as ud
backend = ud.load_backend("embedded")
prompt = ud.parse_prompt("a turtle and a pink apple", backend)
baseline, guided = ud.compare(backend, prompt, [ud.DecodingConfig(), ud.DecodingConfig(order="uncage")])
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uncage_demo.backends import load_backend
    from uncage_demo.backends.base import Backend
    from uncage_demo.decoding.config import DecodingConfig
    from uncage_demo.decoding.order import ORDERS, halton_order
    from uncage_demo.decoding.presets import PRESETS, preset
    from uncage_demo.decoding.sampler import decode
    from uncage_demo.decoding.schedule import mask_count
    from uncage_demo.decoding.uncage import contrastive_score
    from uncage_demo.diagnose import diagnose
    from uncage_demo.prompt import parse_prompt
    from uncage_demo.runner import branch, compare, generate, stream
    from uncage_demo.trace import StepRecord, Trace
    from uncage_demo.types import Prompt, Subject, Verdict

# Where each public name lives; imported on first use, so that `import uncage_demo` is quick and loads no torch.
_HOME = {
    "load_backend": "backends",
    "Backend": "backends.base",
    "DecodingConfig": "decoding.config",
    "ORDERS": "decoding.order",
    "halton_order": "decoding.order",
    "PRESETS": "decoding.presets",
    "preset": "decoding.presets",
    "decode": "decoding.sampler",
    "mask_count": "decoding.schedule",
    "contrastive_score": "decoding.uncage",
    "diagnose": "diagnose",
    "parse_prompt": "prompt",
    "branch": "runner",
    "compare": "runner",
    "generate": "runner",
    "stream": "runner",
    "StepRecord": "trace",
    "Trace": "trace",
    "Prompt": "types",
    "Subject": "types",
    "Verdict": "types",
}

__all__ = [
    "ORDERS",
    "PRESETS",
    "Backend",
    "DecodingConfig",
    "Prompt",
    "StepRecord",
    "Subject",
    "Trace",
    "Verdict",
    "branch",
    "compare",
    "contrastive_score",
    "decode",
    "diagnose",
    "generate",
    "halton_order",
    "load_backend",
    "mask_count",
    "parse_prompt",
    "preset",
    "stream",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'uncage_demo' has no attribute {name!r}; it offers {', '.join(__all__)}")
    return getattr(importlib.import_module(f"uncage_demo.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
