"""Every order, one entry each. To add one, add its entry here: nothing else names orders.

T = number of steps, s = 0-based step, F_c = log p(x0), G = Gumbel noise, F_g = its share of the score, F_a = the attention contrast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uncage_demo.orders.base import AttentionRead, Order, OrderSettings, StepContext, Term
from uncage_demo.setting import one_of

if TYPE_CHECKING:
    import numpy as np

MASKGIT_CHOICE_TEMPERATURE = 4.5


def baseline_terms(settings: OrderSettings, step: int) -> tuple[Term, ...]:
    """F = F_c + F_g (2508.05399 eq. 1); use_confidence and use_noise drop a term."""
    switches: dict[Term, bool] = {"confidence": settings.use_confidence, "noise": settings.use_noise}
    return tuple(term for term, on in switches.items() if on)


def guided_terms(settings: OrderSettings, step: int) -> tuple[Term, ...]:
    """F = F_c + F_g + w_a F_a during the guided steps, afterwards the whole baseline (2508.05399 eq. 4).

    use_confidence and use_noise drop a term of the guided score only (the paper's Table 5).
    """
    return (*baseline_terms(settings, step), "contrast") if step < settings.guided_steps else ("confidence", "noise")


def annealed_noise(settings: OrderSettings, step: int) -> float:
    """tau_s: from noise_temperature[0] at the first step to noise_temperature[1] at the last, in a straight line."""
    start, end = settings.noise_range
    return start if settings.total_steps == 1 else start + (end - start) * step / (settings.total_steps - 1)


def maskgit_noise(settings: OrderSettings, step: int) -> float:
    """4.5 (1 - (s+1)/T) (2202.04200, google-research/maskgit)."""
    return MASKGIT_CHOICE_TEMPERATURE * (1.0 - (step + 1) / settings.total_steps)


def published_contrast(read: AttentionRead, settings: OrderSettings, anchor_radius: float | None = None) -> np.ndarray:
    """F_a as published (2508.05399 eq. 2 and 3); with a radius, F_n (see `contrast.attention_contrast`)."""
    from uncage_demo.orders.contrast import attention_contrast

    return attention_contrast(
        read.attention,
        read.words,
        read.subjects,
        grid=read.grid,
        sigma=read.sigma,
        rescale=settings.contrast_rescale,
        mode=settings.contrast_mode,
        anchor_radius=anchor_radius,
    )


def anchored_contrast(read: AttentionRead, settings: OrderSettings) -> np.ndarray:
    """F_n: the published contrast, held to one place per object (this project; see `contrast.anchored_score`)."""
    return published_contrast(read, settings, settings.anchor_radius)


def halton_visits(height: int, width: int) -> np.ndarray:
    """Cells in the order of Halton points (see `halton.halton_order`)."""
    from uncage_demo.orders.halton import halton_order

    return halton_order(height, width)


def halton_value(context: StepContext) -> np.ndarray:
    """F = minus the place in the Halton visiting list, whatever the model thinks (2503.17076)."""
    assert context.rank is not None
    return -context.rank.astype("float32")


def aware_halton_value(context: StepContext) -> np.ndarray:
    """F = w_a F_a - place / n: in the guided steps the Halton list begins where the prompt's objects are (this project; 2503.17076)."""
    import numpy as np

    assert context.rank is not None
    place = (context.rank / len(context.rank)).astype(np.float32)
    return np.float32(context.weight) * context.contrast - place if context.weight else -place


def margin_value(context: StepContext) -> np.ndarray:
    """F = p(1st) - p(2nd) (2502.06768)."""
    assert context.margin is not None
    return context.margin


def entropy_value(context: StepContext) -> np.ndarray:
    """F = minus the entropy of p."""
    assert context.entropy is not None
    return -context.entropy


_ENTRIES = (
    Order(
        "random",
        "Random",
        "noise alone decides (F = G)",
        terms=lambda settings, step: ("noise",),
        noise=lambda settings, step: 1.0,
    ),
    Order(
        "confidence",
        "Confidence",
        "the most probable tokens first, without noise (F = log p)",
        terms=lambda settings, step: ("confidence",),
    ),
    Order(
        "meissonic",
        "Baseline",
        "confidence plus annealed noise, as Meissonic does",
        terms=baseline_terms,
        noise=annealed_noise,
    ),
    Order(
        "maskgit",
        "MaskGIT",
        "confidence plus MaskGIT's own noise, 4.5 falling to 0",
        terms=baseline_terms,
        noise=maskgit_noise,
    ),
    Order(
        "halton",
        "Halton",
        "a fixed list of cells that spreads evenly, whatever the model thinks",
        value=halton_value,
        needs=frozenset({"rank"}),
        visits=halton_visits,
    ),
    Order(
        "halton_aware",
        "Halton from the objects",
        "the Halton list, but in the guided steps first where attention tells the prompt's objects apart (this project)",
        value=aware_halton_value,
        contrast=published_contrast,
        needs=frozenset({"rank"}),
        visits=halton_visits,
    ),
    Order(
        "margin",
        "Margin",
        "the clearest choices first: probability of the first token minus the second",
        value=margin_value,
        needs=frozenset({"margin"}),
    ),
    Order(
        "entropy",
        "Entropy",
        "the lowest entropy first",
        value=entropy_value,
        needs=frozenset({"entropy"}),
    ),
    Order(
        "uncage",
        "UNCAGE",
        "the baseline plus the attention contrast between objects",
        terms=guided_terms,
        noise=annealed_noise,
        contrast=published_contrast,
    ),
    Order(
        "anchored",
        "Anchored UNCAGE",
        "the contrast held to one place per object (this project)",
        terms=guided_terms,
        noise=annealed_noise,
        contrast=anchored_contrast,
    ),
    Order(
        "redraw",
        "Draft and redraw",
        "the baseline twice: a draft, then everything but one place per object again (this project)",
        terms=baseline_terms,
        noise=annealed_noise,
        redraw_share=4,
    ),
    Order(
        "mend",
        "Draft and mend",
        "UNCAGE's draft, then a redraw in which each object's place reads only that object's words (this project)",
        terms=guided_terms,
        noise=annealed_noise,
        contrast=published_contrast,
        redraw_share=3,
        own_words=True,
    ),
)
ORDERS: dict[str, Order] = {order.name: order for order in _ENTRIES}
assert len(ORDERS) == len(_ENTRIES), "two orders have the same name"
# The baseline and the paper's order come first wherever people choose.
COMPARED = ("meissonic", "uncage")


def order_of(name: str) -> Order:
    """The entry of that name.

    Raises:
        ValueError: naming the orders there are.
    """
    return ORDERS[one_of("order", name, ORDERS)]


def order_choices() -> list[tuple[str, str]]:
    """(title, name) of every order, the two that are compared first."""
    return [(ORDERS[name].title, name) for name in (*COMPARED, *(name for name in ORDERS if name not in COMPARED))]
