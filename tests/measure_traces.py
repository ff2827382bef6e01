"""What hostile trace files cost: memory and time until each is refused, or opened and made into every format.

    python -m tests.measure_traces [--package FOLDER] [--only WORD]

FOLDER holds another version of the package (a checkout), for figures of before and after. Each file is opened in a process of its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.hostile_traces import FILES

LIMIT_S = 120
PROBE = """
import sys, tempfile, time
from pathlib import Path
from uncage_demo.diagnosis.diagnose import diagnose
from uncage_demo.export import write_view
from uncage_demo.player.payload import build_payload
from uncage_demo.trace.record import Trace
def peak():
    # not ru_maxrss, which a process inherits from the one that started it
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) / 1024
Trace.load(sys.argv[2])
base, start = peak(), time.perf_counter()
try:
    trace = Trace.load(sys.argv[1])
except Exception as error:
    name = type(error).__name__
    text = f"refused: {name}, {len(str(error))} characters: {str(error)[:70]}"
    print(f"{peak() - base:.0f}|{time.perf_counter() - start:.2f}|{text}")
    sys.exit()
loaded, opened = peak() - base, time.perf_counter() - start
done = []
for name in ("payload", "diagnosis", "heatmaps.png", "curves.svg", "side-by-side.png", "reveal.gif", "player.html"):
    begun = time.perf_counter()
    try:
        if name == "payload":
            build_payload([trace])
        elif name == "diagnosis":
            diagnose(trace)
        else:
            write_view(Path(tempfile.mkdtemp()) / name, [trace], name.split(".")[0])
        done.append(f"{name} {time.perf_counter() - begun:.1f} s")
    except Exception as error:
        done.append(f"{name} FAILED {type(error).__name__}")
print(f"{loaded:.0f}|{opened:.2f}|opened; {', '.join(done)}; peak in all {peak() - base:.0f} MB")
"""


def main() -> None:
    """Print one line for each file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", type=Path, default=Path(__file__).parents[1], help="folder that holds uncage_demo")
    parser.add_argument("--only", default="", help="files whose name has this word")
    args = parser.parse_args()
    print("| file | KB | peak MB | seconds | what came of it |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        harmless = Path(folder) / "harmless.npz"
        from tests.factories import make_trace

        make_trace(steps=2).save(harmless)
        for name, make in FILES.items():
            if args.only not in name:
                continue
            path = Path(folder) / "file.npz"
            path.write_bytes(make())
            command = [sys.executable, "-c", PROBE, str(path), str(harmless)]
            environment = {**os.environ, "PYTHONPATH": str(args.package.resolve())}
            try:
                run = subprocess.run(command, cwd=args.package, env=environment, capture_output=True, text=True, timeout=LIMIT_S)
                said = (
                    run.stdout.strip() or f"?|?|died: {run.stderr.strip().splitlines()[-1][:90] if run.stderr.strip() else run.returncode}"
                )
            except subprocess.TimeoutExpired:
                said = f"?|> {LIMIT_S}|not ready"
            memory, seconds, text = said.split("|", 2)
            print(f"| {name} | {path.stat().st_size // 1024} | {memory} | {seconds} | {text} |", flush=True)


if __name__ == "__main__":
    main()
