"""`export-live` as the command line has it: with the lessons on shipped runs, whose diagnosis its own room does not know."""

from __future__ import annotations

from typing import Any


def add_parsers(commands: Any) -> None:
    """Add the commands that write for browsers.

    Args:
        commands: argparse's subparsers.
    """
    from uncage_demo.browser.commands import add_parsers as add
    from uncage_demo.ui.lessons import held_lessons

    add(commands)
    commands.choices["export-live"].set_defaults(lessons=held_lessons)
