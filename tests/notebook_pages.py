"""What a notebook's cell shows, taken apart; no notebook program is needed."""

from __future__ import annotations

import html
import json
import re
from typing import Any

FRAME = re.compile(r'<iframe title="Uncage player" sandbox="([^"]*)" style="[^"]*" srcdoc="([^"]*)"></iframe>')


def pages(shown: str) -> list[str]:
    """The pages in the frames of what a cell shows; nothing stands outside them."""
    assert not FRAME.sub("", shown).strip()
    found = FRAME.findall(shown)
    for sandbox, _ in found:
        assert "allow-same-origin" not in sandbox
    return [html.unescape(page) for _, page in found]


def payload(page: str) -> Any:
    return json.loads(re.findall(r'<script type="application/json" id="payload">(.*?)</script>', page, re.DOTALL)[0])
