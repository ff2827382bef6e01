"""Every run of the page goes through the loan of a GPU: told by a stand-in for the platform's package in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("gradio")

# What the platform's decorator does, as far as the page can tell: asks for seconds, runs the call while the GPU is lent.
PLATFORM = """
asked, lent = [], [False]

def GPU(duration):
    def decorate(function):
        def once(*arguments):
            asked.append(duration(*arguments))
            lent[0] = True
            try:
                return function(*arguments)
            finally:
                lent[0] = False
        def items(*arguments):
            asked.append(duration(*arguments))
            work = function(*arguments)
            while True:
                lent[0] = True
                try:
                    item = next(work)
                except StopIteration:
                    return
                finally:
                    lent[0] = False
                yield item
        import inspect
        return items if inspect.isgeneratorfunction(function) else once
    return decorate
"""
VISIT = """
import json
import spaces
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.ui.handlers import Handlers
from uncage_demo.ui.models import ModelSlot
from uncage_demo.ui.settings import Settings

backend = EmbeddedBackend.tiny(seed=0)
seen = {"forward": [], "judge": []}
for name in seen:
    def watch(original, name):
        import functools
        @functools.wraps(original)
        def call(*arguments, **named):
            seen[name].append(spaces.lent[0])
            return original(*arguments, **named)
        return call
    setattr(backend, name, watch(getattr(backend, name), name))
handlers = Handlers(ModelSlot(lambda name, allowed: backend))
settings = Settings(shared={"num_steps": 4})
told = [json.loads(text) for text, _ in handlers.generate("a cat and a dog", "", settings) if text]
ids = told[-1]["ids"]
list(handlers.compare("a cat and a dog", "", settings, (0, 1)))
branched = [json.loads(text) for text in handlers.branch(ids, {"run": 0, "step": 2, "word": 1}) if text]
print(json.dumps({"asked": spaces.asked, "stages": [len(ids), len(branched[-1]["ids"])], **seen}))
"""


def test_runs_comparisons_and_branches_borrow_the_gpu_and_are_judged_on_it(tmp_path: Path) -> None:
    (tmp_path / "spaces.py").write_text(PLATFORM)
    root = Path(__file__).parents[2]
    environment = {**os.environ, "SPACES_ZERO_GPU": "1", "PYTHONPATH": os.pathsep.join((str(tmp_path), str(root)))}
    done = subprocess.run([sys.executable, "-c", VISIT], env=environment, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["stages"] == [2, 3]
    assert len(said["asked"]) == 3
    assert all(20 <= seconds <= 300 for seconds in said["asked"])
    assert said["forward"]
    assert all(said["forward"]), "the model never runs without the GPU"
    assert len(said["judge"]) == 2 + 4 + 1
    assert all(said["judge"]), "the scorer never runs without the GPU"
