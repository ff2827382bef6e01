"""What tests of the command line share: a small real backend in place of the shipped one, and how a command fails."""

import re

from tests.toy_backend import ToyBackend
from uncage_demo.cli import main as cli
from uncage_demo.types import TextToken, Verdict


class TalkingToy(ToyBackend):
    """The toy with one text token a word and a scorer that finds only cats."""

    def tokenize(self, text):
        return tuple(TextToken(m.group(), m.start(), m.end()) for m in re.finditer(r"\w+", text)), ""

    def judge(self, image, prompt):
        found = tuple("cat" in s.label for s in prompt.subjects)
        return Verdict(found, found, 1, False, (), "cat finder")


def fails(capsys, *given):
    """The one line on stderr of a command that must fail with status 2."""
    try:
        status = cli.main(list(given))
    except SystemExit as stop:
        status = stop.code
    told = capsys.readouterr().err
    assert status == 2
    assert told.count("\n") == 1
    assert "Traceback" not in told
    return told
