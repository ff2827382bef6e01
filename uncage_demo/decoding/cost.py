"""What a run costs, before it is made: passes of the network, step by step. A test holds it against what the engine counts."""

from __future__ import annotations

from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.redraw import phase_at
from uncage_demo.decoding.reuse import share_run
from uncage_demo.decoding.tokens import guidance_at


def passes_at(config: DecodingConfig, step: int, objects: int) -> float:
    """Passes of the network over the whole grid in one step of one sample, where no step is skipped.

    Args:
        config: settings, nothing left to the model; step: s, 0..T-1.
        objects: number of objects of the prompt.

    Returns:
        2 for a guided forward, 1 for one without guidance, and what the settings add to it; of a partial step the share of the grid that
        it runs, before that is rounded to whole cells.
    """
    at, local = phase_at(config, step)
    experts = objects if config.composition > 0 and objects > 1 else 0
    guided = guidance_at(at, local) != 1.0 or experts > 0
    passes = (1 + guided) * share_run(config, step) + experts
    begun = local > 0 or step > 0
    passes += config.self_guidance > 0 and begun
    revision = config.revision
    ends = local == at.total_steps - 1
    # A second look needs something that is committed and may be opened, and a step that leaves something masked; a redraw keeps it.
    if revision is not None and local > 0 and not ends:
        passes += 2 if revision.ahead else (1 + guided) * revision.hides
    return passes


def forwards(config: DecodingConfig, objects: int) -> float:
    """Forwards of a whole run that takes all of its T steps: 1 = the whole grid, with and without the prompt.

    Args:
        config, objects: as `passes_at`.
    """
    return sum(passes_at(config, step, objects) for step in range(config.total_steps)) / 2


def at_forwards(config: DecodingConfig, count: float, objects: int) -> DecodingConfig:
    """The same method with as many steps as `count` forwards pay for, at least one.

    Args:
        config: settings whose num_steps is replaced. count: forwards, >= 1. objects: of the prompts.
    """
    steps = max(1, min(256, int(2 * count)))
    while steps > 1 and forwards(config.with_(num_steps=steps), objects) > count:
        steps -= 1
    return config.with_(num_steps=steps)
