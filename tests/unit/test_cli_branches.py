"""What a branch may be is checked before anything is drawn (commands that make branches again: tests/slow/test_branch_commands.py)."""

from __future__ import annotations

import pytest

from uncage_demo.trace.wish import parse_branch


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[]", "give a JSON object with at_step"),
        ('{"keep": [1]}', "give a JSON object with at_step"),
        ('{"at_step": 1, "speed": 2}', "some of keep"),
        ('{"at_step": -1}', "--branch at_step=-1"),
        ('{"at_step": 1, "keep": [true]}', "--branch keep=True"),
        ('{"at_step": 1, "forbid": {"a": [1]}}', "give positions with token ids"),
        ('{"at_step": 1, "settings": {"speed": 1}}', "unknown setting"),
        ("[" * 100_000, "give a JSON object"),
    ],
)
def test_what_is_no_branch_is_named(text: str, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        parse_branch(text)
