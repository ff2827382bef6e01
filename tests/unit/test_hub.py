"""Names and hub ids to checkpoints: what is offered, what is here, what may be fetched, and errors that say what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants, errors

from uncage_demo.backends import load_backend
from uncage_demo.backends.arguments import NAMES
from uncage_demo.backends.devices import parse_device, parse_dtype
from uncage_demo.backends.large import catalog, download, hub
from uncage_demo.backends.large.download import Checkpoint, ModelUnavailable, obtain, present

WANTED = Checkpoint("owner/name", ("transformer/config.json", "transformer/*.safetensors"))


@pytest.fixture(autouse=True)
def _nothing_cached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.delenv("UNCAGE_DOWNLOAD", raising=False)
    monkeypatch.delenv("UNCAGE_MODELS", raising=False)


class FakeHub:
    """Stands for snapshot_download: lists files, "fetches" them into a folder, remembers what it was asked."""

    def __init__(self, folder: Path, files: dict[str, int], error: Exception | None = None) -> None:
        self.folder, self.files, self.error = folder, files, error
        self.calls: list[dict[str, Any]] = []

    def __call__(self, repo: str, **options: Any) -> Any:
        self.calls.append(options)
        if options.get("local_files_only"):
            if not self.folder.exists():
                raise errors.LocalEntryNotFoundError("not cached")
            return str(self.folder)
        if self.error is not None:
            raise self.error
        if options.get("dry_run"):
            return [SimpleNamespace(filename=name, file_size=size, will_download=True) for name, size in self.files.items()]
        for name in options["allow_patterns"]:
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text("{}")
        return str(self.folder)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., FakeHub]:
    def make(files: dict[str, int] | None = None, error: Exception | None = None) -> FakeHub:
        complete = {"transformer/config.json": 100, "transformer/model.safetensors": 2_000_000}
        one = FakeHub(tmp_path / "snapshot", complete if files is None else files, error)
        monkeypatch.setattr(huggingface_hub, "snapshot_download", one)
        return one

    return make


def test_a_download_is_reported_before_and_happens_once(fake: Callable[..., FakeHub]) -> None:
    fetched = fake()
    reports: list[tuple[str, int]] = []

    def report(source: str, size: int) -> None:
        assert not fetched.folder.exists()
        reports.append((source, size))

    folder = obtain(WANTED, download=True, report=report)
    assert reports == [("owner/name", 2_000_100)]
    assert present(WANTED) == folder
    assert obtain(WANTED, download=True, report=report) == folder
    assert len(reports) == 1
    assert "*.fp16.*" in fetched.calls[0]["ignore_patterns"]


def test_only_the_files_that_are_needed_are_fetched(fake: Callable[..., FakeHub]) -> None:
    weights = "transformer/diffusion_pytorch_model"
    shards = [f"{weights}-0000{i}-of-00002.safetensors" for i in (1, 2)]
    half = [f"{weights}.fp16.safetensors"]
    index = f"{weights}.safetensors.index.json"
    wanted = Checkpoint("owner/name", ("transformer/config.json", "transformer/*.safetensors"), ("transformer/*.json",))
    for there, chosen in (
        ([f"{weights}.safetensors", *half, "transformer/other.safetensors"], [f"{weights}.safetensors"]),
        (half, half),
        ([*shards, index, *half], [*shards, index]),
    ):
        fetched = fake({"transformer/config.json": 1} | dict.fromkeys(there, 10))
        reports: list[int] = []
        obtain(wanted, download=True, report=lambda _, size, reports=reports: reports.append(size))
        assert sorted(fetched.calls[-1]["allow_patterns"]) == sorted(["transformer/config.json", *chosen])
        assert reports == [1 + 10 * len(chosen)]
        for path in sorted(fetched.folder.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        fetched.folder.rmdir()


def test_a_report_may_stop_the_download(fake: Callable[..., FakeHub]) -> None:
    fetched = fake()

    def refuse(source: str, size: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        obtain(WANTED, download=True, report=refuse)
    assert not fetched.folder.exists()


def test_nothing_is_fetched_unasked(fake: Callable[..., FakeHub], monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = fake()
    with pytest.raises(ModelUnavailable, match="not asked for"):
        obtain(WANTED)
    monkeypatch.setenv("UNCAGE_DOWNLOAD", "0")
    with pytest.raises(ModelUnavailable, match="UNCAGE_DOWNLOAD=0"):
        obtain(WANTED, download=True)
    assert all(call.get("local_files_only") for call in fetched.calls)


def test_an_interrupted_download_counts_as_absent(fake: Callable[..., FakeHub]) -> None:
    fetched = fake()
    (fetched.folder / "transformer").mkdir(parents=True)
    (fetched.folder / "transformer" / "config.json").write_text("{}")
    assert present(WANTED) is None
    assert present(WANTED.__class__("owner/name", WANTED.needs[:1])) == fetched.folder
    obtain(WANTED, download=True)
    assert present(WANTED) == fetched.folder


def response(status: int) -> Any:
    return SimpleNamespace(status_code=status, headers={}, request=None)


def hub_error(kind: type[Exception], status: int = 0) -> Exception:
    error = kind.__new__(kind)
    Exception.__init__(error, "the hub says no")
    error.response = response(status) if status else None  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    ("error", "match"),
    [
        (hub_error(errors.RepositoryNotFoundError, 404), "no such model on the hub"),
        (hub_error(errors.RevisionNotFoundError, 404), "no such model on the hub"),
        (hub_error(errors.GatedRepoError, 403), "agreement"),
        (hub_error(errors.HfHubHTTPError, 401), "no such model on the hub"),
        (hub_error(errors.HfHubHTTPError, 500), "the download failed"),
        (errors.OfflineModeIsEnabled("offline"), "cannot be reached"),
        (errors.LocalEntryNotFoundError("no network"), "cannot be reached"),
        (ConnectionError("refused"), "cannot be reached"),
        (OSError("disk full"), "disk full"),
    ],
)
def test_what_goes_wrong_on_the_way_is_said_clearly(fake: Callable[..., FakeHub], error: Exception, match: str) -> None:
    fake(error=error)
    with pytest.raises(ModelUnavailable, match=match):
        obtain(WANTED, download=True)


def test_the_cause_behind_a_failed_listing_is_said(fake: Callable[..., FakeHub]) -> None:
    listing = errors.DryRunError("cannot list")
    listing.__cause__ = errors.OfflineModeIsEnabled("offline")
    fake(error=listing)
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        obtain(WANTED, download=True)


def test_offline_is_said_by_the_real_client() -> None:
    with pytest.raises(ModelUnavailable, match="hub cannot be reached"):
        obtain(WANTED, download=True)
    assert present(WANTED) is None


def test_a_repository_without_the_files_and_a_full_disk(fake: Callable[..., FakeHub], monkeypatch: pytest.MonkeyPatch) -> None:
    fake({"transformer/config.json": 10, "transformer/model.bin": 10})
    with pytest.raises(ModelUnavailable, match=r"no file matching transformer/\*\.safetensors"):
        obtain(WANTED, download=True)
    fake()
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: SimpleNamespace(free=1_000))
    with pytest.raises(ModelUnavailable, match="GB are free"):
        obtain(WANTED, download=True)


@pytest.mark.parametrize("name", ["", "nonsense", "../secret", "a/b/c", "owner/na me", "https://host/model", "owner/.."])
def test_names_that_mean_nothing(name: str) -> None:
    with pytest.raises(ModelUnavailable):
        hub.load_large(name)


def test_the_catalogue_and_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [entry.id for entry in catalog.offered()]
    shipped = ["embedded", "embedded-web", "embedded-blind"]
    assert names == [*shipped, "meissonic", "monetico", "muddit-512", "muddit-1024", "dimo", "amused-256", "amused-512"]
    assert NAMES.split(", ") == names, "what the command line's help lists"
    described = catalog.describe()
    assert json.loads(json.dumps(described)) == described
    assert [item["present"] for item in described] == [True] * 3 + [False] * 7
    monkeypatch.setenv("UNCAGE_MODELS", " monetico , embedded")
    assert [entry.id for entry in catalog.offered()] == ["embedded", "monetico"]
    for refused in ("meissonic", "owner/name"):
        with pytest.raises(ValueError, match="not offered here; choose from embedded, monetico"):
            hub.find(refused)
    assert hub.find("monetico").source == "Collov-Labs/Monetico"
    monkeypatch.setenv("UNCAGE_MODELS", "embeded")
    with pytest.raises(ValueError, match="unknown embeded"):
        catalog.offered()


def test_hub_ids_of_known_models_are_those_models() -> None:
    assert hub.find("MeissonFlow/Meissonic").id == "meissonic"
    assert hub.find("owner/name").family is None
    text = hub.find("meissonic").checkpoints()[1]
    assert text.source == catalog.CLIP_H
    assert len(hub.find("monetico").checkpoints()) == 1


@pytest.mark.parametrize(
    ("device", "match"), [("toaster", "toaster"), ("cuda:77", "CUDA devices"), ("mps", "not run on mps"), ("meta", "use auto, cpu")]
)
def test_devices_that_are_not_there(device: str, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        parse_device(device)
    with pytest.raises(ValueError, match=match):
        load_backend("embedded", device=device)


def test_dtypes_by_name() -> None:
    cpu = torch.device("cpu")
    assert parse_dtype(None, cpu) == torch.float32
    assert parse_dtype("bf16", cpu) == parse_dtype("bfloat16", cpu) == parse_dtype(torch.bfloat16, cpu) == torch.bfloat16
    for wrong in ("int8", torch.int64):
        with pytest.raises(ValueError, match="use fp32, fp16 or bf16"):
            parse_dtype(wrong, cpu)
