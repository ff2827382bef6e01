"""Training that is killed in the middle of a step continues, and ends in the weights of an uninterrupted run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.small_training import assert_same_weights, train

ROOT = Path(__file__).parents[2]


def test_kill_minus_nine_in_the_middle_of_a_step(tmp_path):
    tmp_path.joinpath("killed").mkdir()
    script = f"from pathlib import Path; from tests.small_training import *; sleep_in_the_middle(Path({str(tmp_path / 'killed')!r}))"
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        while not (tmp_path / "killed/in-the-middle").exists():
            assert process.poll() is None, "the training process ended by itself"
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    finally:
        process.kill()
    # What a kill while writing leaves behind does no harm either.
    (tmp_path / "killed/transformer.partial").write_bytes(b"half a checkpoint")
    assert_same_weights(train("transformer", tmp_path / "straight"), train("transformer", tmp_path / "killed"))
