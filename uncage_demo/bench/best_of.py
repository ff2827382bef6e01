"""Best of n: draw a picture with n seeds, keep the one whose objects the model's own attention puts into one place each.

Costs n decodings and one forward per picture; the detector has no part in the choice. A row of its own in benchmarks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from uncage_demo.backends.base import Backend, Capture
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.batching import Request, forward_all
from uncage_demo.decoding.redraw import KEPT_REACH_FRAC, object_places
from uncage_demo.decoding.run import recorded_columns
from uncage_demo.orders.contrast import blur_in_cells, word_matrix
from uncage_demo.types import Prompt

MAX_DRAWS = 16
# Candidates of one picture draw their noise from seeds this far apart, so that no benchmark's own seeds are met.
SEED_STRIDE = 1 << 32
# A cell of contrast outside an object's place counts against a picture this much of what one inside counts for it.
STRAY_COST = 0.3


def candidates(config: DecodingConfig, count: int) -> list[DecodingConfig]:
    """The settings of every candidate: the first is the plain run itself, the others have derived seeds.

    Args:
        config: settings; count: 1..MAX_DRAWS.

    Raises:
        ValueError: count out of range.
    """
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MAX_DRAWS:
        raise ValueError(f"best_of={count!r}: give a whole number from 1 to {MAX_DRAWS}")
    return [config.with_(seed=config.seed + draw * SEED_STRIDE) for draw in range(count)]


def placement(backend: Backend, prompts: Sequence[Prompt], tokens: np.ndarray, config: DecodingConfig) -> list[float]:
    """How well each finished picture puts every object into one place, by the model's own contrast; higher is better.

    The least of the objects' contrast near their anchors, minus STRAY_COST times all objects' contrast elsewhere.

    Args:
        backend: the model.
        prompts: one per picture.
        tokens: "b n" finished grids.
        config: whose attention source, blur and anchor radius are used.

    Returns:
        One number per picture; 0 for a prompt without objects.

    Source: this project; the contrast is 2508.05399 eq. 2.
    """
    info = backend.info
    config = config.resolved(info.defaults, float(backend.default_blur))
    assert config.contrast_blur is not None
    requests = [
        Request(
            tokens=np.asarray(row, np.int64),
            step=config.total_steps - 1,
            num_steps=config.total_steps,
            conditioning=backend.encode_prompt(prompt),
            text_length=len(prompt.tokens),
            unconditional=False,
            capture=Capture(config.attention_source),
        )
        for prompt, row in zip(prompts, tokens, strict=True)
    ]
    scores = []
    for prompt, output in zip(prompts, forward_all(backend, requests), strict=True):
        if not prompt.subjects:
            scores.append(0.0)
            continue
        columns = recorded_columns(prompt)
        assert output.attention is not None
        contrasts, distances = object_places(
            output.attention[0].float().cpu().numpy()[list(columns)],
            word_matrix(prompt, columns),
            prompt.subjects,
            grid=info.grid,
            sigma=blur_in_cells(config.contrast_blur, info.grid, info.attention_grid),
            radius_frac=config.anchor_radius,
        )
        near = distances <= KEPT_REACH_FRAC * max(info.grid)
        own = np.maximum(contrasts, 0) * (contrasts.argmax(axis=0) == np.arange(len(contrasts))[:, None])
        scores.append(float((own * near).sum(axis=1).min() - STRAY_COST * (own * ~near).sum()))
    return scores
