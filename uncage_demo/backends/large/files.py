"""Which weight files of a component are read, decided from their names alone: plain or half-precision, single or in shards.

Knows nothing of the hub and opens nothing, so that the same choice is made among a folder's files and a repository's.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable
from pathlib import PurePath

STEMS = ("diffusion_pytorch_model", "model")  # what diffusers and transformers write
VARIANTS = ("", ".fp16", ".bf16")  # the plain file first: it holds what the authors published, the others are rounded copies of it
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
_CONVERT = (
    "import sys, torch; from safetensors.torch import save_file; out, *files = sys.argv[1:]; "
    "tensors = {name: value for file in files for name, value in torch.load(file, map_location='cpu', weights_only=True).items()}; "
    "save_file({name: value.clone().contiguous() for name, value in tensors.items()}, out)"
)


def index_of(names: Collection[str]) -> str | None:
    """The name of the index that lists a component's shards, or None where there is no index of the preferred variant."""
    for variant in VARIANTS:
        for stem in STEMS:
            for name in (f"{stem}{variant}.safetensors.index.json", f"{stem}.safetensors.index{variant}.json"):
                if name in names:
                    return name
            if f"{stem}{variant}.safetensors" in names:
                return None
    return None


def choose(names: Collection[str]) -> list[str]:
    """The files that are fetched and read of one component: the plain weights, or a half-precision copy where there is nothing else.

    Args:
        names: of the files in the component's folder, without the folder.

    Returns:
        One safetensors file, or an index and its shards; empty when there are no such weights.
    """
    index = index_of(names)
    if index is not None:
        variant = next((v for v in VARIANTS[1:] if f"{v}." in index), "")
        numbered = re.compile(rf"({'|'.join(STEMS)}){re.escape(variant)}-\d{{5}}-of-\d{{5}}(\.safetensors)")
        shards = [name for name in sorted(names) if numbered.fullmatch(name)]
        # An index may call its shards anything; then only reading it would tell, so all are taken.
        return [index, *(shards or [name for name in sorted(names) if name.endswith(".safetensors")])]
    for variant in VARIANTS:
        for stem in STEMS:
            if f"{stem}{variant}.safetensors" in names:
                return [f"{stem}{variant}.safetensors"]
    return []


def choose_in(paths: Iterable[str]) -> set[str]:
    """The weight files to fetch among the paths of a repository, component by component."""
    folders: dict[str, set[str]] = {}
    for path in paths:
        folder, _, name = path.rpartition("/")
        folders.setdefault(folder, set()).add(name)
    return {f"{folder}/{name}".lstrip("/") for folder, names in folders.items() for name in choose(names)}


def pickles(names: Iterable[str]) -> list[str]:
    """The files among them that hold weights as Python pickles, which are not read because loading one can run code."""
    return sorted(name for name in names if name.endswith(_PICKLES) and not name.startswith(("optimizer", "scheduler", "random_states")))


def conversion_command(files: Iterable[PurePath]) -> str:
    """The shell command that turns pickled weights of one component into the safetensors file that is read.

    Args:
        files: of one component, all shards.
    """
    parts = list(files)
    stem = STEMS[0] if parts[0].name.startswith(STEMS[0]) else STEMS[1]
    return shlex.join(["python", "-c", _CONVERT, str(parts[0].with_name(f"{stem}.safetensors")), *map(str, parts)])
