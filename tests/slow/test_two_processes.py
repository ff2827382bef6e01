"""Two real processes (gloo, CPU) generate pictures together: the same pictures as one process, none lost, none made twice."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = """
import sys
from pathlib import Path

from accelerate import PartialState

from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.bench.distributed import generate_pictures
from uncage_demo.config import DecodingConfig

state = PartialState(cpu=True)
prompts = ["a cat and a dog", "a red apple and a blue car", "a turtle"]
lines = generate_pictures(EmbeddedBackend.tiny(seed=0), prompts, [0, 1], DecodingConfig("uncage", 3), Path(sys.argv[1]), state=state)
print("PROCESSES", state.num_processes, "LINES", -1 if lines is None else len(lines))
state.destroy_process_group()
"""


def launch(folder: Path, count: int) -> list[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    root = Path(__file__).resolve().parents[2]
    shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true"}
    processes = []
    for rank in range(count):
        own = {"RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
        launcher = shared if count > 1 else {}
        environment = os.environ | launcher | own if count > 1 else os.environ | {"PYTHONPATH": str(root)}
        processes.append(
            subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder)], env=environment, cwd=root, stdout=subprocess.PIPE, text=True)
        )
    outputs = [process.communicate(timeout=900)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * count
    return outputs


def test_two_processes_make_what_one_makes(tmp_path: Path) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    launch(alone, 1)
    outputs = launch(together, 2)
    assert "PROCESSES 2 LINES 6" in outputs[0]
    assert "PROCESSES 2 LINES -1" in outputs[1]
    one, two = ([json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()] for folder in (alone, together))
    assert one == two
    assert len({line["key"] for line in one}) == 6
    shards = sorted(together.glob("shard-*.jsonl"))
    assert [len(path.read_text().splitlines()) for path in shards] == [3, 3]
    for line in one:
        assert (alone / line["picture"]).read_bytes() == (together / line["picture"]).read_bytes()
