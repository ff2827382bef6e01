"""Writes the golden grids anew: `python -m tests.golden.regenerate tiny` (or `embedded`, for the shipped model).

Do this only when results are meant to change, and say why in the commit.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from uncage_demo import runner
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.config import ORDER_NAMES, DecodingConfig
from uncage_demo.prompt.parse import parse_prompt

FOLDER = Path(__file__).parent
PROMPTS = ("a turtle and a pink apple", "a cat")
CONFIGS = {
    **{order: DecodingConfig(order=order, num_steps=8, seed=0) for order in ORDER_NAMES},
    "uncage, other settings": DecodingConfig(
        order="uncage",
        num_steps=5,
        seed=11,
        schedule="arccos",
        guidance_scale=2.0,
        guidance_schedule="ramp",
        token_temperature=0.8,
        contrast_steps=5,
        contrast_mode="positive",
        contrast_rescale="minmax",
        attention_source="all",
    ),
}


def load(kind: str) -> EmbeddedBackend:
    """The model whose grids are golden: "tiny" (random weights) or "embedded" (shipped)."""
    return EmbeddedBackend.tiny(seed=0) if kind == "tiny" else EmbeddedBackend.load()


def grids(backend: EmbeddedBackend) -> dict[str, Any]:
    """Token grids and commit steps of every golden run, with the hash of the weights that made them."""
    runs = {}
    for text in PROMPTS:
        prompt = parse_prompt(text, backend)
        for name, config in CONFIGS.items():
            trace = runner.generate(backend, prompt, config, frames=False)
            runs[f"{text} | {name}"] = {"tokens": trace.tokens.tolist(), "unmask_step": trace.unmask_step.tolist()}
    return {"weight_hash": backend.info.weight_hash, "runs": runs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("tiny", "embedded"))
    kind = parser.parse_args().kind
    path = FOLDER / f"{kind}.json"
    golden = grids(load(kind))
    rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(run, separators=(',', ':'))}" for name, run in golden["runs"].items())
    path.write_text(f'{{"weight_hash": {json.dumps(golden["weight_hash"])}, "runs": {{\n{rows}\n}}}}\n')
    print(f"wrote {path.name}: {len(golden['runs'])} grids of {golden['weight_hash']}")


if __name__ == "__main__":
    main()
