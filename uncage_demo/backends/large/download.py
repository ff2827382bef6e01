"""Where checkpoints come from: a local folder, the hub's cache, or a download that somebody asked for.

Nothing is fetched unless `download` is true; the size is reported before; downloads resume and land in huggingface_hub's cache.
"""

from __future__ import annotations

import fnmatch
import logging
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uncage_demo.backends.large.files import choose_in
from uncage_demo.backends.large.weights import weight_files

logger = logging.getLogger(__name__)
Report = Callable[[str, int], None]
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
# Other formats and training states that repositories keep beside the weights we read, and copies in half precision.
_UNUSED = ("*.bin", "*.msgpack", "*.h5", "*.onnx*", "*.ckpt", "*non_ema*")
_HALF = ("*.fp16.*", "*.fp16-*", "*.bf16.*", "*.bf16-*")


class ModelUnavailable(ValueError):
    """A model is not on this machine and cannot be, or may not be, fetched now."""


@dataclass(frozen=True)
class Checkpoint:
    """A repository (or folder) and the files needed of it.

    Args:
        source: hub id "owner/name" or a local folder.
        needs: file patterns, each of which must match at least one file.
        extras: further patterns to fetch when they exist.
    """

    source: str
    needs: tuple[str, ...]
    extras: tuple[str, ...] = ()


def is_folder(source: str) -> bool:
    """True when the text names an existing local folder (which then wins over a hub id of the same name)."""
    return bool(source.strip()) and Path(source).expanduser().is_dir()


def is_hub_id(source: str) -> bool:
    """True for "owner/name"."""
    return _HUB_ID.fullmatch(source) is not None and ".." not in source


def missing(folder: Path, needs: Sequence[str]) -> list[str]:
    """The patterns that no file below the folder matches."""
    return [pattern for pattern in needs if not any(path.is_file() for path in folder.glob(pattern))]


def present(checkpoint: Checkpoint) -> Path | None:
    """The folder that holds a complete checkpoint on this machine, or None. Touches no network."""
    if is_folder(checkpoint.source):
        folder = Path(checkpoint.source).expanduser()
        return folder if not missing(folder, checkpoint.needs) else None
    if not is_hub_id(checkpoint.source):
        return None
    for unused in ((*_UNUSED, *_HALF), _UNUSED):  # a repository may have nothing but half-precision copies
        folder = _cached(checkpoint, unused)
        if folder is not None and not missing(folder, checkpoint.needs) and _whole(folder, checkpoint.needs):
            return folder
    return None


def _cached(checkpoint: Checkpoint, unused: Sequence[str]) -> Path | None:
    """What the hub's cache holds of a repository, if it holds all files that are neither unused nor unwanted."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, IncompleteSnapshotError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(checkpoint.source, local_files_only=True, **_filters(checkpoint, unused)))
    except (LocalEntryNotFoundError, IncompleteSnapshotError, HFValidationError, FileNotFoundError):
        return None


def _whole(folder: Path, needs: Sequence[str]) -> bool:
    """True when every component among the needs has weights that can be read: a single file, or all shards of its index."""
    for pattern in needs:
        if pattern.endswith("*.safetensors"):
            try:
                weight_files(folder / pattern.rpartition("/")[0])
            except ValueError:
                return False
    return True


def obtain(checkpoint: Checkpoint, *, download: bool = False, report: Report | None = None) -> Path:
    """The folder of a checkpoint, fetched if need be and allowed.

    Args:
        checkpoint: what is wanted.
        download: permission to fetch.
        report: called with (source, bytes to fetch) before anything is fetched; raise in it to stop. None = a log line.

    Raises:
        ModelUnavailable: incomplete folder, unknown or gated id, no network, no permission, no room on the disk.
    """
    if is_folder(checkpoint.source):
        folder = Path(checkpoint.source).expanduser()
        lacking = missing(folder, checkpoint.needs)
        if lacking:
            raise ModelUnavailable(f"{folder}: not a complete checkpoint, no file matches {', '.join(lacking)}")
        return folder
    found = present(checkpoint)
    if found is not None:
        return found
    if not is_hub_id(checkpoint.source):
        raise ModelUnavailable(f"{checkpoint.source!r}: no such folder, and not a hub id (owner/name) either")
    if not download or not downloads_allowed():
        raise ModelUnavailable(f"{checkpoint.source} is not on this machine, and downloading was not asked for (or UNCAGE_DOWNLOAD=0)")
    return _fetch(checkpoint, report or log_size)


def downloads_allowed() -> bool:
    """False when the deployment forbids downloads with UNCAGE_DOWNLOAD=0 (or off, no, false)."""
    return os.environ.get("UNCAGE_DOWNLOAD", "1").strip().lower() not in ("0", "off", "no", "false")


def log_size(source: str, num_bytes: int) -> None:
    """Default report: one log line."""
    logger.warning("downloading %s: %.2f GB (resumes if interrupted)", source, num_bytes / 1e9)


def _filters(checkpoint: Checkpoint, unused: Sequence[str] = _UNUSED) -> dict[str, Any]:
    return {"allow_patterns": [*checkpoint.needs, *checkpoint.extras], "ignore_patterns": list(unused)}


def _fetch(checkpoint: Checkpoint, report: Report) -> Path:
    from huggingface_hub import constants, snapshot_download

    listed = _asking_hub(checkpoint.source, lambda: snapshot_download(checkpoint.source, dry_run=True, **_filters(checkpoint)))
    weights = choose_in(file.filename for file in listed)
    files = [file for file in listed if file.filename in weights or not _is_weight(file.filename)]
    names = [file.filename for file in files]
    lacking = [pattern for pattern in checkpoint.needs if not any(fnmatch.fnmatch(name, pattern) for name in names)]
    if lacking:
        kind = " (pickled weights such as .bin are not read)" if any(_is_weight(pattern) for pattern in lacking) else ""
        raise ModelUnavailable(f"{checkpoint.source}: this repository has no file matching {', '.join(lacking)}{kind}")
    size = sum(file.file_size or 0 for file in files if file.will_download)
    report(checkpoint.source, size)
    cache = Path(constants.HF_HUB_CACHE)
    cache.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache).free
    if size > free:
        raise ModelUnavailable(f"{checkpoint.source}: needs {size / 1e9:.1f} GB of disk, {free / 1e9:.1f} GB are free in the hub's cache")
    return Path(_asking_hub(checkpoint.source, lambda: snapshot_download(checkpoint.source, allow_patterns=names)))


def _is_weight(name: str) -> bool:
    return name.endswith((".safetensors", ".safetensors.index.json")) or ".safetensors.index." in name


def _asking_hub(source: str, call: Callable[[], Any]) -> Any:
    """Run a hub call; what goes wrong becomes a ModelUnavailable that says what to do."""
    from huggingface_hub import errors
    from huggingface_hub.errors import HTTPError  # pyright: ignore[reportPrivateImportUsage]

    try:
        return call()
    except errors.DryRunError as error:
        raise _explain(source, error.__cause__ or ConnectionError()) from None
    except (errors.HfHubHTTPError, errors.OfflineModeIsEnabled, HTTPError, OSError) as error:
        raise _explain(source, error) from None


def _explain(source: str, error: BaseException) -> ModelUnavailable:
    from huggingface_hub import errors
    from huggingface_hub.errors import HTTPError  # pyright: ignore[reportPrivateImportUsage]

    if isinstance(error, errors.GatedRepoError):
        return ModelUnavailable(f"{source}: the authors ask for an agreement first; accept it on the hub and log in with your token")
    status = error.response.status_code if isinstance(error, errors.HfHubHTTPError) and error.response is not None else 0
    if isinstance(error, (errors.RepositoryNotFoundError, errors.RevisionNotFoundError)) or status in (401, 404):
        return ModelUnavailable(f"{source}: no such model on the hub (or it is private)")
    offline = (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError, errors.IncompleteSnapshotError)
    if isinstance(error, (*offline, HTTPError, ConnectionError, TimeoutError)) and not status:
        return ModelUnavailable(
            f"{source} is not (completely) on this machine and the hub cannot be reached: connect, or give a local folder"
        )
    text = str(error).strip().splitlines()
    return ModelUnavailable(f"{source}: the download failed ({text[0] if text else type(error).__name__})")
