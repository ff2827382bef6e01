"""What an order is: a name, a title, and how it scores the positions. Pure arrays; knows no model, no settings class, no user interface.

Shapes: n image tokens (y x grid, row-major), k text columns, w words. Scores are float32 on the CPU, so an order is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from uncage_demo.types import Subject

if TYPE_CHECKING:
    # Only the functions need arrays: whoever asks for names and titles (a command's help) should not wait for numpy.
    import numpy as np

Term = Literal["confidence", "noise", "contrast"]
Need = Literal["margin", "entropy", "rank"]
CONTRAST_MODES = ("both", "positive", "negative")
RESCALE_MODES = ("none", "max", "minmax", "mean")


class OrderSettings(Protocol):
    """What an order may read of the settings; a resolved DecodingConfig is one."""

    @property
    def total_steps(self) -> int: ...
    @property
    def guided_steps(self) -> int: ...
    @property
    def noise_range(self) -> tuple[float, float]: ...
    @property
    def use_confidence(self) -> bool: ...
    @property
    def use_noise(self) -> bool: ...
    @property
    def contrast_mode(self) -> str: ...
    @property
    def contrast_rescale(self) -> str: ...
    @property
    def anchor_radius(self) -> float: ...


@dataclass(frozen=True)
class StepContext:
    """What an order may look at; all arrays "n", row-major.

    Args:
        step, num_steps: s and T.
        masked: bool, still masked when the step began.
        confidence: float32, F_c = log p(x0).
        noise: float32, F_g = the order's noise scale times Gumbel noise.
        contrast: float32, F_a before the weight; 0 without subjects or attention.
        weight: w_a in force at this step.
        margin: float32 p(1st) - p(2nd); only where the order needs it.
        entropy: float32 nats; only where the order needs it.
        rank: int, place in the order's fixed visiting list (0 = first); only where the order has one.
    """

    step: int
    num_steps: int
    masked: np.ndarray
    confidence: np.ndarray
    noise: np.ndarray
    contrast: np.ndarray
    weight: float
    margin: np.ndarray | None = None
    entropy: np.ndarray | None = None
    rank: np.ndarray | None = None


@dataclass(frozen=True)
class AttentionRead:
    """The attention that one step read.

    Args:
        attention: "k n" attention of each image token to each recorded text column, at the token grid.
        words: "w k" from `contrast.word_matrix`: averages columns into words.
        subjects: the prompt's subjects.
        grid: token grid (y, x).
        sigma: blur in token-grid cells.
    """

    attention: np.ndarray
    words: np.ndarray
    subjects: Sequence[Subject]
    grid: tuple[int, int]
    sigma: float


@dataclass(frozen=True)
class Order:
    """One order, told once: page, command line, API, player and pictures read this entry.

    Args:
        name: as settings and traces store it.
        title: as people read it.
        about: what it commits first, in one short clause.
        terms: which terms its score is the sum of, at a step; None for a score that is a value of its own.
        value: that value, "n" float32, higher = committed earlier; None for a sum of terms.
        noise: factor of the Gumbel noise at a step, where the noise is one of the terms.
        contrast: F_a "n" float32 from the attention that was read; None for an order that does not use it.
        needs: which further fields of StepContext it reads.
        visits: the fixed list of cells that it goes through on a grid (height, width), "n" int64; what StepContext.rank counts.
        redraw_share: one of how many of the steps redraws, where the settings do not say; 0 = none. 4 is a quarter.
        own_words: whether each place then reads only its own object's words, where the settings do not say.

    Raises:
        ValueError: neither or both of `terms` and `value`, or a rank without a list.
    """

    name: str
    title: str
    about: str
    terms: Callable[[OrderSettings, int], tuple[Term, ...]] | None = None
    value: Callable[[StepContext], np.ndarray] | None = None
    noise: Callable[[OrderSettings, int], float] = lambda settings, step: 0.0
    contrast: Callable[[AttentionRead, OrderSettings], np.ndarray] | None = None
    needs: frozenset[Need] = frozenset()
    visits: Callable[[int, int], np.ndarray] | None = None
    redraw_share: int = 0
    own_words: bool = False

    def __post_init__(self) -> None:
        if (self.terms is None) == (self.value is None):
            raise ValueError(f"order {self.name!r}: give either terms or a value")
        if ("rank" in self.needs) != (self.visits is not None):
            raise ValueError(f"order {self.name!r}: a rank needs a list of visits, and a list serves the rank")

    @property
    def guided(self) -> bool:
        """Whether it adds w_a times a term read from attention."""
        return self.contrast is not None

    def terms_at(self, settings: OrderSettings, step: int) -> tuple[Term, ...]:
        """The terms that the score sums up at a step; none for a value of its own."""
        return () if self.terms is None else self.terms(settings, step)

    def reads_contrast(self, settings: OrderSettings, step: int) -> bool:
        """Whether the contrast counts in the score of a step: as a term, or in the guided steps of a value of its own."""
        if self.terms is None:
            return self.guided and step < settings.guided_steps
        return "contrast" in self.terms(settings, step)

    def score(self, context: StepContext, settings: OrderSettings) -> np.ndarray:
        """Scores "n" float32 of every position, higher = committed earlier.

        Raises:
            ValueError: the context lacks what the order needs.
        """
        for name in sorted(self.needs):
            if getattr(context, name) is None:
                raise ValueError(f"this order needs StepContext.{name}, which is None")
        if self.value is not None:
            return self.value(context)
        return sum_terms(context, self.terms_at(settings, context.step))

    __call__ = score


def sum_terms(context: StepContext, terms: Sequence[Term]) -> np.ndarray:
    """F_c + F_g + w_a F_a, as far as named: "n" float32, added in this order. A weight of 0 adds nothing at all."""
    import numpy as np

    total = context.confidence if "confidence" in terms else np.zeros_like(context.confidence)
    if "noise" in terms:
        total = total + context.noise
    if "contrast" in terms and context.weight != 0:
        total = total + np.float32(context.weight) * context.contrast
    return total
