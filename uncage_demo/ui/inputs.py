"""Numbers that programs send: checked, and named when they do not fit."""

from __future__ import annotations

import math
from typing import Any

import gradio as gr


class CheckedNumber(gr.Number):
    """A number field that refuses what it would otherwise round or choke on, and names itself in the error.

    `precision=0` takes whole numbers only; the label is the argument's name.
    """

    is_template = True  # drawn as a gr.Number

    def preprocess(self, payload: Any) -> float | int | None:
        """The number as sent.

        Raises:
            gr.Error: naming the argument, the value and what is allowed.
        """
        if payload is None:
            return None
        whole = self.precision == 0
        low, high = self.minimum, self.maximum
        fits = isinstance(payload, (int, float)) and not isinstance(payload, bool) and math.isfinite(payload)
        fits = fits and not (whole and payload != int(payload)) and not (low is not None and payload < low)
        if not fits or (high is not None and payload > high):
            bounds = f" from {low:g}" if low is not None else ""
            bounds += f" to {high}" if high is not None else ""
            kind = "whole number" if whole else "number"
            raise gr.Error(f"{self.label}={str(payload)[:60]!r}: give a {kind}{bounds}", print_exception=False)
        return int(payload) if whole else float(payload)
