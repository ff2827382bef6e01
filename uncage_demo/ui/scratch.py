"""Files of answers: a folder of this process alone, emptied while it runs and gone when it ends, also by a signal."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

# Answers' files lie here until they are this old; Gradio copies them as soon as they are returned.
KEPT_S = 600
_NAME = re.compile(r"uncage-(\d+)-")
_ANSWER = "answer-"


@cache
def _root() -> tempfile.TemporaryDirectory[str]:
    sweep(Path(tempfile.gettempdir()))
    return tempfile.TemporaryDirectory(prefix=f"uncage-{os.getpid()}-")


def folder() -> Path:
    """A new folder for one answer; folders of earlier answers go."""
    root = Path(_root().name)
    for old in root.glob(f"{_ANSWER}*"):
        with suppress(FileNotFoundError):  # somebody else's answer has removed it in this moment
            if time.time() - old.stat().st_mtime > KEPT_S:
                shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=_ANSWER, dir=root))


def lasting_folder() -> Path:
    """A new folder that stays as long as this process lives; nobody else may look into it."""
    return Path(tempfile.mkdtemp(prefix="kept-", dir=_root().name))


def sweep(where: Path) -> list[Path]:
    """Remove what processes that are no more have left behind (killed, or the power failed).

    Args:
        where: the folder of temporary files.

    Returns:
        The folders that were removed.
    """
    gone = []
    for left in where.glob("uncage-*-*"):
        found = _NAME.match(left.name)
        if found and left.is_dir() and not _lives(int(found[1])):
            shutil.rmtree(left, ignore_errors=True)
            gone.append(left)
    return gone


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        return True
    return True


def end_cleanly_on_sigterm() -> None:
    """Let SIGTERM end this process as its own exit does, so that scratch folders go; nothing where somebody else handles it already."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
