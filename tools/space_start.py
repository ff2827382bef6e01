"""Start the page as a Space would, but with no GPU to see and no network to reach, and wait until it answers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

START_LIMIT_S = 300.0
_LOOPBACK = ("127.", "::1", "localhost")

# Loaded by the started interpreter before anything else: every connection that leaves this machine fails and is reported.
_GUARD = """
import socket

_connect = socket.socket.connect


def _refuse(self, address):
    host = str(address[0]) if isinstance(address, tuple) else ""
    if isinstance(address, tuple) and not host.startswith(LOOPBACK):
        print(f"NETWORK USED: {host}", flush=True)
        raise OSError(f"no network: {host}")
    return _connect(self, address)


def _lookup(host, *args, _real=socket.getaddrinfo, **kwargs):
    name = host.decode() if isinstance(host, bytes) else str(host or "localhost")
    if not name.startswith(LOOPBACK + ("0.0.0.0",)):
        print(f"NETWORK USED: {name}", flush=True)
        raise socket.gaierror(f"no network: {name}")
    return _real(host, *args, **kwargs)


socket.socket.connect = _refuse
socket.getaddrinfo = _lookup
"""


def check_start(folder: Path, limit_s: float = START_LIMIT_S, arguments: Sequence[str] = ("app.py",)) -> list[str]:
    """Problems of a start without GPU and network; empty when the page answered.

    Args:
        folder: where the page is started; a repository root with app.py unless `arguments` say otherwise.
        limit_s: seconds to wait for the first answer.
        arguments: what Python is started with; "{port}" stands for the port.
    """
    told = " ".join(arguments)
    port = free_port()
    with tempfile.TemporaryDirectory() as scratch:
        guard = Path(scratch) / "sitecustomize.py"
        guard.write_text(f"LOOPBACK = {_LOOPBACK!r}\n{_GUARD}", encoding="utf-8")
        log = Path(scratch) / "log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, *(part.format(port=port) for part in arguments)],
                cwd=folder,
                env=offline_environment(scratch, port),
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
            try:
                problem = _wait(process, f"http://127.0.0.1:{port}/", limit_s)
            finally:
                process.terminate()
                try:
                    process.wait(timeout=30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        output = log.read_text(encoding="utf-8", errors="replace")
    used = sorted({line.removeprefix("NETWORK USED: ") for line in output.splitlines() if line.startswith("NETWORK USED: ")})
    problems = [f"{told}: tries to reach {host} while starting" for host in used]
    if problem:
        tail = " | ".join(output.strip().splitlines()[-3:])
        problems.append(f"{told}: {problem}; last output: {tail}")
    return problems


def offline_environment(scratch: str, port: int) -> dict[str, str]:
    """Environment of the started page: no GPU, nothing cached, no telemetry, our guard loaded first."""
    dropped = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
    environment = {name: value for name, value in os.environ.items() if name.upper() not in dropped}
    return environment | {
        "PYTHONPATH": os.pathsep.join(part for part in (scratch, environment.get("PYTHONPATH", "")) if part),
        "PYTHONUNBUFFERED": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": os.path.join(scratch, "hub"),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": str(port),
    }


def free_port() -> int:
    """A port of the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], url: str, limit_s: float) -> str:
    """ "" once the page answers, else what happened instead."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if process.poll() is not None:
            return f"ended with status {process.returncode} before it answered"
        try:
            with opener.open(url, timeout=10) as answer:
                if answer.status == 200 and b"gradio" in answer.read().lower():
                    return ""
                return f"answered with status {answer.status}, but not with the page"
        except urllib.error.HTTPError as error:
            return f"answered with status {error.code}"
        except OSError:
            time.sleep(1.0)
    return f"did not answer within {limit_s:.0f} s"
