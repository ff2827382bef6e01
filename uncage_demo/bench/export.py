"""Save pictures in the layouts that other projects' evaluators read. Knows files and prompts; no model.

geneval: METHOD/00000/{metadata.jsonl, samples/0000.png}: one folder per prompt, one picture per seed (2310.11513).
compbench: METHOD/samples/PROMPT_000000.png: the prompt is in the file's name (2307.06350, T2I-CompBench).
plain: METHOD/00000-seed-0.png.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from uncage_demo.files import replacing, write_atomically
from uncage_demo.types import Prompt

LAYOUTS = ("plain", "geneval", "compbench")


class ImageFolder:
    """Saves pictures of a run under one folder.

    Args:
        folder: made when missing.
        layout: "plain", "geneval" or "compbench".
        texts: all prompts of the run, in order; their positions number the folders.
        seeds: all seeds, in order; their positions number the samples.

    Raises:
        ValueError: for an unknown layout.
    """

    def __init__(self, folder: str | Path, layout: str, texts: Sequence[str], seeds: Sequence[int]) -> None:
        if layout not in LAYOUTS:
            raise ValueError(f"layout={layout!r}: choose one of {', '.join(LAYOUTS)}")
        self.folder, self.layout = Path(folder), layout
        self._prompt = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        self._seed = {seed: i for i, seed in enumerate(seeds)}

    def save(self, method: str, prompt: Prompt, seed: int, image: np.ndarray) -> Path:
        """Save one picture "H W 3" uint8 and return its path."""
        path = self.path(method, prompt.text, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.layout == "geneval":
            line = json.dumps(geneval_metadata(prompt), ensure_ascii=False)
            write_atomically(path.parents[1] / "metadata.jsonl", line + "\n")
        with replacing(path) as place:
            Image.fromarray(image).save(place)
        return path

    def path(self, method: str, text: str, seed: int) -> Path:
        """Where a picture goes. Nothing a prompt says can leave the folder."""
        root = self.folder / (re.sub(r"[^\w.-]+", "-", method).strip("-.") or "method")
        prompt, sample = self._prompt[text], self._seed[seed]
        if self.layout == "geneval":
            return root / f"{prompt:05d}" / "samples" / f"{sample:04d}.png"
        if self.layout == "compbench":
            name = text.replace("/", " ").replace("\\", " ").replace("\0", "")
            # File systems allow 255 bytes a name; the evaluators cut at the last underscore.
            name = name.encode()[:230].decode(errors="ignore").strip(". ") or "prompt"
            return root / "samples" / f"{name}_{prompt * len(self._seed) + sample:06d}.png"
        return root / f"{prompt:05d}-seed-{seed}.png"


def geneval_metadata(prompt: Prompt) -> dict[str, Any]:
    """What GenEval's evaluator should look for: {"tag", "include": [{"class", "count", "color"?}], "prompt"}."""
    wanted: Counter[tuple[str, str]] = Counter()
    for subject in prompt.subjects:
        wanted[subject.noun or subject.label, subject.colors[0] if subject.colors else ""] += subject.count
    include: list[dict[str, Any]] = [
        {"class": noun, "count": count} | ({"color": color} if color else {}) for (noun, color), count in wanted.items()
    ]
    colored = any("color" in entry for entry in include)
    if len(include) > 1:
        tag = "color_attr" if colored else "two_object"
    elif include and include[0]["count"] > 1:
        tag = "counting"
    else:
        tag = "colors" if colored else "single_object"
    return {"tag": tag, "include": include, "prompt": prompt.text}
