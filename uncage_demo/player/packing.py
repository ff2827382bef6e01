"""Values on their way to the browser: typed arrays as base64, dataclasses and numpy values as plain JSON."""

from __future__ import annotations

import base64
import math
from dataclasses import asdict, is_dataclass
from typing import Any

import numpy as np


def array(values: np.ndarray, dtype: str | None = None) -> dict[str, Any]:
    """A typed array for the browser: {"t": type, "s": shape, "d": base64 of little-endian bytes}."""
    data = np.ascontiguousarray(values, np.dtype(dtype).newbyteorder("<") if dtype else None)
    kind = data.dtype.newbyteorder("<")
    return {"t": kind.kind + str(kind.itemsize), "s": list(data.shape), "d": base64.b64encode(data.astype(kind).tobytes()).decode()}


def plain(value: Any) -> Any:
    """Dataclasses, tuples and numpy values as JSON-able ones; numbers that are not finite become None."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (np.generic, np.ndarray)):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
