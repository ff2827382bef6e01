"""Per-image results as JSON lines: written a batch at a time, safe against being killed, resumable, mergeable.

A line names everything that made its picture (prompt, configuration with seed, model and weight hash, versions), so the picture can
be made again. Knows files and plain dicts; nothing of models or statistics.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import io
import json
import lzma
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from uncage_demo.files import append_whole, in_order, write_atomically

SCHEMA_VERSION = 1
JUDGE = "detector"  # the scorer's name in the key of a line that the embedded models' detector judged
PACKED_DIGITS = 8  # of a digest in a packed file: one picture in four thousand million would pass for another
SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.xz")
SHIPPED_SUFFIX = ".jsonl.xz"  # how results stand in the repository: the smallest, without what the line itself says (see `slim`)
UNJUDGED = "none"  # what stands for the scorer of pictures that nobody judged
REQUIRED = (
    "schema",
    "key",
    "image_key",
    "experiment",
    "method",
    "suite",
    "category",
    "cluster",
    "prompt",
    "seed",
    "config",
    "model",
    "metrics",
)

DIGESTS = ("tokens_hash", "image_hash")

Record = dict[str, Any]


def digest(data: Any) -> str:
    """First 16 hex digits of the sha256 of bytes, or of the canonical JSON of anything else."""
    raw = data if isinstance(data, bytes) else json.dumps(data, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(raw).hexdigest()[:16]


def image_key(
    prompt: str, config: dict[str, Any], model_id: str, weight_hash: str, scorer: str, options: dict[str, Any] | None = None
) -> str:
    """What decides a picture and its score: equal keys mean that the work need not be done again.

    Args:
        prompt, config, model_id, weight_hash, scorer: as in the line.
        options: what the model was loaded with where that is not its usual way.
    """
    facts = {"prompt": prompt, "config": config, "model": model_id, "weights": weight_hash, "scorer": scorer}
    return digest(facts | ({"options": options} if options else {}))


def record_key(experiment: str, method: str, suite: str, image: str) -> str:
    """Identity of a line: one picture in one role (experiment, method, suite)."""
    return digest({"experiment": experiment, "method": method, "suite": suite, "image": image})


def derived_keys(record: Record, scorer: str = JUDGE) -> tuple[str, str]:
    """(image_key, key) of a line as they follow from its other fields.

    Args:
        record: the line, with or without keys.
        scorer: who judges, by the name that keys have it by; the line names it with its version.
    """
    model = record["model"]
    image = image_key(record["prompt"], record["config"], model["id"], model["weight_hash"], scorer, model.get("options"))
    return image, record_key(record["experiment"], record["method"], record["suite"], image)


def slim(record: Record) -> Record:
    """A line without what can be derived from it, for a small file: digests and places are most of what does not compress.

    Keys that follow from the other fields are left out (`whole` puts them back); digests of tokens and picture keep their first
    `PACKED_DIGITS` digits (`same_digest` compares them). Of what a judge saw, the places go: the picture drawn again is judged again.
    """
    kept = dict(record)
    verdict = kept.get("verdict")
    if isinstance(verdict, dict) and "seen" in verdict:
        kept["verdict"] = verdict | {"seen": [thing[:3] for thing in verdict["seen"]]}
    if (record["image_key"], record["key"]) == derived_keys(record):
        del kept["image_key"], kept["key"]
    return kept | {name: kept[name][:PACKED_DIGITS] for name in DIGESTS if name in kept}


def whole(record: Any) -> Any:
    """A line of a packed file with its keys; anything else is handed back as it is, for `validate` to judge."""
    if not isinstance(record, dict) or "key" in record or "image_key" in record:
        return record
    try:
        image, key = derived_keys(record)
    except (KeyError, TypeError, AttributeError):
        return record
    return record | {"image_key": image, "key": key}


def same_digest(known: str, made: str) -> bool:
    """Whether a line's digest, which a packed file cut short, is that of what was made now. An empty one is nobody's."""
    return bool(known) and made.startswith(known)


def same_bits(known: tuple[str, str], tokens: np.ndarray, image: np.ndarray) -> bool:
    """Whether tokens and picture are those that a line was made from, bit for bit.

    Args:
        known: the line's digests, in the order of `DIGESTS`.
        tokens: "n" int32; image: "H W 3" uint8.
    """
    made = (digest(np.ascontiguousarray(part).tobytes()) for part in (tokens, image))
    return all(map(same_digest, known, made))


def validate(record: Any) -> Record:
    """The record itself when it has the fields and types of this schema.

    Raises:
        ValueError: naming what is missing or wrong.
    """
    if not isinstance(record, dict):
        raise ValueError(f"a result line must be a JSON object, got {type(record).__name__}")
    missing = [name for name in REQUIRED if name not in record]
    if missing:
        raise ValueError(f"result line without {', '.join(missing)}")
    if record["schema"] != SCHEMA_VERSION:
        raise ValueError(f"result line of schema {record['schema']!r}; this version reads {SCHEMA_VERSION}")
    for name, kind in (("config", dict), ("model", dict), ("metrics", dict), ("prompt", str), ("seed", int)):
        if not isinstance(record[name], kind):
            raise ValueError(f"result line: {name} must be {kind.__name__}, got {type(record[name]).__name__}")
    return record


def read_records(path: str | Path) -> list[Record]:
    """All complete lines of a result file (see `SUFFIXES`); a torn last line (the writer was killed) is left out.

    Raises:
        ValueError: naming file and line where a complete line is damaged, or the file where it cannot be unpacked.
    """
    path = Path(path)
    raw = _unpack(path.read_bytes(), path)
    records = []
    for number, line in enumerate(raw[: raw.rfind(b"\n") + 1].splitlines(), start=1):
        if not line.strip():
            continue
        try:
            records.append(validate(whole(json.loads(line))))
        except (json.JSONDecodeError, UnicodeDecodeError, ValueError) as error:
            raise ValueError(f"{path.name}, line {number}: {error}") from error
    return records


def read_many(paths: Iterable[str | Path]) -> list[Record]:
    """Records of several files (a folder stands for the result files in it), each key once."""
    files = [file for path in map(Path, paths) for file in (record_files(path) if path.is_dir() else [path])]
    return merge(read_records(path) for path in files)


def record_files(folder: Path) -> list[Path]:
    """The result files of a folder, by name with 8 before 12; none where there is no such folder."""
    return in_order(path for path in folder.iterdir() if path.name.endswith(SUFFIXES)) if folder.is_dir() else []


def merge(shards: Iterable[Sequence[Record]], *, keep_first: bool = False) -> list[Record]:
    """Union of shards by key, in order of appearance; the same line from two machines counts once.

    Args:
        shards: lists of records.
        keep_first: on a contradiction keep the first line instead of refusing.

    Raises:
        ValueError: when two lines of one key hold different pictures or scores (other hardware or library versions).
    """
    union: dict[str, Record] = {}
    for shard in shards:
        for record in shard:
            known = union.setdefault(record["key"], record)
            if known is not record and not keep_first and not _same_outcome(known, record):
                raise ValueError(
                    f"two results for {record['method']!r}, seed {record['seed']}, prompt {record['prompt']!r} contradict each other "
                    f"(made with {known.get('versions')} and {record.get('versions')})"
                )
    return list(union.values())


def write_records(path: str | Path, records: Iterable[Record]) -> None:
    """Write a whole result file, packed as its suffix says (see `SUFFIXES`). Equal records give equal bytes.

    A file of `SHIPPED_SUFFIX` holds its lines as `slim` leaves them. The old file stays until the new one is complete on disk.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = map(slim, records) if path.name.endswith(SHIPPED_SUFFIX) else records
    write_atomically(path, _pack(b"".join(_encode(record) for record in kept), path))


class RecordFile:
    """An open .jsonl file that records are appended to; one process at a time.

    Opening it cuts off a torn last line, so a run that was killed at any moment continues with what is complete.

    Args:
        path: a .jsonl file; made when missing.

    Raises:
        ValueError: when another process writes to it, it is compressed, or a complete line is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.suffix in (".gz", ".xz"):
            raise ValueError(f"{self.path.name}: results are appended to a plain .jsonl file; unpack it first")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = self.path.open("ab+", buffering=0)  # pyright: ignore[reportAttributeAccessIssue]
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise ValueError(f"{self.path.name}: another process is writing to it") from error
        try:
            records = read_records(self.path)
        except ValueError:
            self._file.close()
            raise
        raw = self.path.read_bytes()
        self._file.truncate(raw.rfind(b"\n") + 1)
        self.records: dict[str, Record] = {record["key"]: record for record in records}

    def append(self, records: Sequence[Record]) -> None:
        """Add a batch in one write and wait until it is on disk; a key that is there already is left out.

        Raises:
            OSError: when the disk is full, say; then nothing of the batch is added, and it can be tried again.
        """
        fresh: dict[str, Record] = {}
        for record in records:
            if record["key"] not in self.records:
                fresh[record["key"]] = validate(record)
        append_whole(self._file, b"".join(_encode(record) for record in fresh.values()))
        self.records.update(fresh)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records.values())

    def __enter__(self) -> RecordFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()


def _encode(record: Record) -> bytes:
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def _pack(raw: bytes, path: Path) -> bytes:
    """The lines of a file as they stand on disk: packed as small as can be, the same bytes every time."""
    if path.suffix == ".gz":
        buffer = io.BytesIO()
        with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=9, mtime=0, filename="") as packed:
            packed.write(raw)
        return buffer.getvalue()
    if path.suffix == ".xz":
        # A dictionary as large as the data is as good as the preset's, and a reader needs less memory.
        size = max(4096, 1 << max(0, len(raw) - 1).bit_length())
        return lzma.compress(raw, filters=[{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": size}])
    return raw


def _unpack(data: bytes, path: Path) -> bytes:
    """The opposite of `_pack`.

    Raises:
        ValueError: naming the file, when it is cut short or is not what its suffix says.
    """
    try:
        return {".gz": gzip.decompress, ".xz": lzma.decompress}.get(path.suffix, bytes)(data)
    except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        raise ValueError(f"{path.name} cannot be unpacked: {error}") from error


def _same_outcome(one: Record, other: Record) -> bool:
    pictures = [record.get("image_hash", "") for record in (one, other)]
    length = min(map(len, pictures))
    return one["metrics"] == other["metrics"] and pictures[0][:length] == pictures[1][:length]
