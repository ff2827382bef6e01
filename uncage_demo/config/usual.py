"""The settings that masked generative transformers usually have, and those of UNCAGE and of this project's orders: each declared once."""

from __future__ import annotations

import re
from dataclasses import dataclass

from uncage_demo.orders.base import CONTRAST_MODES, RESCALE_MODES
from uncage_demo.orders.table import ORDERS
from uncage_demo.setting import declare, shortened

ORDER_NAMES = tuple(ORDERS)
# The orders that add w_a times a term read from attention.
GUIDED_ORDERS = tuple(name for name, order in ORDERS.items() if order.guided)
# The "float32" ones count as the schedulers of Meissonic and aMUSEd do: now and then one position fewer than exact arithmetic.
SCHEDULE_NAMES = ("cosine", "linear", "arccos", "power", "cosine_float32", "linear_float32")
REDRAW_WORDS = ("every", "own")
GUIDANCE_SCHEDULES = ("constant", "ramp")
MAX_SEED = 2**63 - 1
# The embedded model is trained for this many steps on its 144 cells: single objects come out right and about two of three pairs, so
# that orders have something to mend.
DEFAULT_STEPS = 16
LEFT_TO_MODEL = "the model's own"


def _names(**marks: bool) -> str:
    """The orders whose entries have these marks, as people list them: "redraw or mend"."""
    return " or ".join(name for name, order in ORDERS.items() if all(getattr(order, mark) == value for mark, value in marks.items()))


def _redrawing() -> str:
    """Which share of the steps redraws, by order: "T/4 with the order redraw, T/3 with mend"."""
    return ", ".join(f"T/{order.redraw_share} with {name}" for name, order in ORDERS.items() if order.redraw_share)


def parse_attention_source(source: str) -> tuple[str, int, int]:
    """("default" | "all" | "layers", first, last) of an attention_source string; first = last = -1 unless "layers".

    Raises:
        ValueError: when the string is none of "default", "all", "layers:A-B" with 0 <= A <= B.
    """
    if source in ("default", "all"):
        return source, -1, -1
    band = re.fullmatch(r"layers:(\d{1,6})-(\d{1,6})", str(source), re.ASCII)
    if band and int(band[1]) <= int(band[2]):
        return "layers", int(band[1]), int(band[2])
    raise ValueError(f'attention_source={shortened(source)}: use "default", "all" or "layers:A-B" with A <= B')


@dataclass(frozen=True)
class UsualSettings:
    """What each may be is in its declaration; None leaves it to the model or to other settings.

    Args:
        order: which positions are committed next, a key of `orders.table.ORDERS`.
        num_steps: T.
        seed: 0 is a seed like any other.
        schedule: how many positions stay masked after each step.
        schedule_power: exponent of the "power" schedule.
        guidance_scale: g of classifier-free guidance, l = u + g (c - u); 1 = conditional only.
        guidance_schedule: "constant", or "ramp" (from 1 at the first step to guidance_scale at the last).
        token_temperature: divides the logits before sampling x0; 0 = argmax.
        noise_temperature: (start, end) of the Gumbel noise in the order score, linear over the steps.
        contrast_weight: w_a of UNCAGE (eq. 4); 0 = baseline exactly.
        contrast_steps: number of guided steps from the start.
        contrast_blur: sigma of the Gaussian blur in attention-grid cells.
        contrast_mode: "both", "positive" or "negative" (eq. 2 and its ablations).
        contrast_rescale: how a word's map is rescaled before the contrast: "none", "max" (divide by its maximum),
            "minmax" (to 0..1), "mean" (divide by its mean).
        anchor_radius: order "anchored" only: how far from its anchor an object's cells are hurried rather than held back, as a
            fraction of the grid's longer side (sigma of a Gaussian).
        redraw_steps: how many of the num_steps draw again everything but one place per object, after a draft in the others (see
            `redraw`). Works with every order. Without a subject in the prompt there is nothing to keep, and nothing is redrawn.
        redraw_words: in the redraw each place reads "every" word or only its "own" object's (see `sight`), and a place for
            whose attributes attention cannot vouch is opened again.
        use_confidence, use_noise: keep F_c / F_g in the score (the paper's Table 5).
        attention_source: "default" (the model's measured choice), "all" (the paper: every single-modal block, every head),
            or "layers:A-B" (an inclusive band).
        halton_randomize: roll the Halton list by a per-sample offset.

    Source: 2508.05399 section 3 and Table 1-5; 2202.04200; 2503.17076.
    """

    order: str = declare("meissonic", "choice", "which cells are committed next", "Order", choices=ORDER_NAMES)
    num_steps: int | None = declare(
        None,
        "whole",
        "decoding steps T, 1 to 256",
        "Steps",
        group="first",
        low=1,
        high=256,
        left_open=LEFT_TO_MODEL,
        slider=(1, 64, 1),
        metavar="T",
    )
    seed: int = declare(0, "whole", "0 to 2^63-1; 0 is a seed like any other", "Seed", low=0, high=MAX_SEED, metavar="N")
    schedule: str | None = declare(
        None,
        "choice",
        "how many cells stay masked after each step",
        "Schedule",
        group="how_many",
        choices=SCHEDULE_NAMES,
        left_open=LEFT_TO_MODEL,
    )
    schedule_power: float = declare(
        2.0,
        "number",
        'exponent of the "power" schedule, 0.01 to 100',
        "Power (power schedule)",
        group="how_many",
        low=0.01,
        metavar="P",
    )
    guidance_scale: float | None = declare(
        None,
        "number",
        "classifier-free guidance, 0 to 100; 1 = none",
        "Guidance scale (CFG)",
        group="which",
        left_open=LEFT_TO_MODEL,
        metavar="G",
    )
    guidance_schedule: str = declare(
        "constant",
        "choice",
        "guidance at full strength throughout (constant), or growing from 1 at the first step (ramp)",
        "CFG over the steps",
        group="which",
        choices=GUIDANCE_SCHEDULES,
    )
    token_temperature: float = declare(
        1.0,
        "number",
        "spread of token sampling, 0 (always the likeliest) to 100",
        "Token temperature",
        group="which",
        metavar="X",
    )
    noise_temperature: tuple[float, float] | None = declare(
        None,
        "pair",
        "noise in the score that orders the cells, at the first and the last step, 0 to 100",
        "Order noise",
        group="where",
        left_open=LEFT_TO_MODEL,
    )
    contrast_weight: float = declare(
        3.0,
        "number",
        "UNCAGE weight w_a, -1000 to 1000; 0 = the baseline exactly",
        "Contrast weight wₐ",
        group="first",
        low=-1000,
        high=1000,
        slider=(0, 20, 0.5),
        metavar="W",
    )
    contrast_steps: int | None = declare(
        None,
        "whole",
        "guided steps from the start, 0 to T",
        "Guided steps",
        group="first",
        low=0,
        high=256,
        left_open="the first quarter",
        metavar="N",
    )
    contrast_blur: float | None = declare(
        None,
        "number",
        "blur of the attention maps in cells, 0 to 64",
        "Blur of the maps, cells",
        group="where",
        high=64,
        left_open=LEFT_TO_MODEL,
        metavar="SIGMA",
    )
    contrast_mode: str = declare(
        "both",
        "choice",
        "own words against other objects' words (both), or only one of the two terms",
        "Contrast terms",
        group="where",
        choices=CONTRAST_MODES,
    )
    contrast_rescale: str = declare(
        "max",
        "choice",
        "how a word's map is rescaled before it is compared",
        "Rescale each map by",
        group="where",
        choices=RESCALE_MODES,
    )
    anchor_radius: float = declare(
        0.33,
        "number",
        "reach of an anchor with the order anchored, as a fraction of the grid's side, 0.02 to 2",
        "Anchor radius",
        group="where",
        low=0.02,
        high=2,
        slider=(0.02, 1, 0.01),
        metavar="F",
    )
    redraw_steps: int | None = declare(
        None,
        "whole",
        "how many of the T steps redraw everything except one place per object, 0 to T-1",
        "Redraw steps",
        group="revise",
        low=0,
        high=255,
        left_open=f"{_redrawing()}, else 0",
        metavar="R",
    )
    redraw_words: str | None = declare(
        None,
        "choice",
        "words that a place reads in the redraw: every word, or only those of its own object",
        "Words read in the redraw",
        group="revise",
        choices=REDRAW_WORDS,
        left_open=f"own with the order {_names(own_words=True)}, else every",
    )
    use_confidence: bool = declare(
        True, "switch", "keep the model's confidence in the order score", "Use confidence in the score", group="where"
    )
    use_noise: bool = declare(True, "switch", "keep the noise in the order score", "Use noise in the score", group="where")
    attention_source: str = declare(
        "default",
        "text",
        'which attention guidance reads: "default", "all" or "layers:A-B"',
        "Attention read from",
        group="where",
        choices=("default", "all", "layers:0-0"),
        metavar="SOURCE",
        check=parse_attention_source,
    )
    halton_randomize: bool = declare(False, "switch", "shift the Halton order by the seed", "Shift Halton order by seed", group="where")
