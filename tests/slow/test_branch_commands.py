"""Branches are made again by the command that is printed for them: one after another, with the very tokens of the page's."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest

from uncage_demo.backends import load_backend
from uncage_demo.branching import branch
from uncage_demo.cli import main as cli
from uncage_demo.config import DecodingConfig
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.runner import generate
from uncage_demo.trace.record import Trace
from uncage_demo.trace.reproduce import command_line

TEXT = "a cat and a -- 'red' dog"


def test_a_chain_of_branches_is_made_again_by_its_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backend = load_backend("embedded")
    root = generate(backend, parse_prompt(TEXT, backend), DecodingConfig(order="uncage", num_steps=6, seed=2), frames=False)
    waiting = int(np.flatnonzero(root.steps[1].masked_before & ~root.steps[1].committed)[0])
    first = branch(backend, root, 1, keep=(waiting,), forbid={3: (int(root.steps[1].sampled[3]),)})
    second = branch(backend, first, 3, suppress_word=1, config=DecodingConfig.from_dict({**first.config, "order": "halton"}))
    for number, trace in enumerate((first, second)):
        words = shlex.split(command_line([trace], out=str(tmp_path / str(number))))
        assert words.count("--branch") == number + 1
        assert cli.main([*words[3 : words.index("--")], "--formats", "npz", "--quiet", *words[words.index("--") :]]) == 0
        again = Trace.load(next((tmp_path / str(number)).glob("*.npz")))
        assert again.id == trace.id
        np.testing.assert_array_equal(again.tokens, trace.tokens)
    path = second.save(tmp_path / "second.npz")
    capsys.readouterr()
    assert cli.main(["reproduce", str(path)]) == 0
    assert capsys.readouterr().out.count("--branch") == 2
    assert len(command_line([root, first]).splitlines()) == 2
    # a run that came out differently is no parent of this branch
    words = shlex.split(command_line([first], out=str(tmp_path / "other")))
    words[words.index("--seed") + 1] = "3"
    assert cli.main(words[3:]) == 2
    assert "the run that came out is" in capsys.readouterr().err
