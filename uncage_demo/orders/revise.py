"""Revise: which committed cells a step opens again. Pure arrays; knows no model, no settings class, no user interface.

A revision is the fourth decision of a step, beside which token, how many, and where. What it opens is masked again when the step ends,
and the step commits as many cells more, so that as many stay masked as the schedule says.
Shapes: n image tokens (y x grid, row-major). T = number of steps, s = 0-based step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np


class Reason(NamedTuple):
    """Why a cell was opened again. Traces store its place in REASONS.

    Args:
        name: short, for code.
        told: what people read after "Opened again: ".
    """

    name: str
    told: str


# A trace stores the place in this list; add at its end only. The first means "not opened".
REASONS = (
    Reason("", ""),
    Reason("chance", "in every step some of the committed cells, chosen at random, are opened."),
    Reason("outranked", "the model now finds its token less probable than one that waited."),
    Reason("doubted", "since it was committed, the model has found its token less probable than any other cell's."),
    Reason("criticised", "with the cell itself hidden, the model finds its token less probable than any other cell's."),
    Reason("elsewhere", "it belongs to no object's kept place."),
    Reason("unvouched", "attention cannot vouch for the attributes of the object in this place."),
    Reason("unfitting", "beside what this step commits, the model without the prompt finds its token less probable than any other cell's."),
    Reason("unlike", "it looks around in the picture less as the guiding picture does than cells that wait."),
)
REASON_CODE = {reason.name: code for code, reason in enumerate(REASONS)}


@dataclass(frozen=True)
class Committed:
    """What a revision may look at when a step ends; all arrays "n", row-major.

    Args:
        step, num_steps: s and T.
        held: bool, committed in an earlier step and free to be opened (not given, not kept by an edit).
        masked: bool, masked when the step began.
        likelihood: float32, log p of each held cell's token in this step's forward.
        trust: float32, mean of that over all forwards since the cell was committed.
        left_out: float32, log p of the token in the revision's own forward where that judges it, NaN elsewhere; None for a revision that
            asks for no such forward.
        confidence: float32, log p of the token drawn for each masked cell.
        total: cells that the schedule counts over.
        stay: cells that are masked when the step has ended.
        lots: float64, uniform in (0, 1).
    """

    step: int
    num_steps: int
    held: np.ndarray
    masked: np.ndarray
    likelihood: np.ndarray
    trust: np.ndarray
    left_out: np.ndarray | None
    confidence: np.ndarray
    total: int
    stay: int
    lots: np.ndarray


@dataclass(frozen=True)
class Revision:
    """One way of revising, told once: page, command line, API and player read this entry.

    Args:
        name: as settings store it.
        title: as people read it.
        about: what it takes back, in one clause.
        cost: what it costs, in one clause.
        reason: name of the reason that its cells are opened for.
        strength: its own strength, where the settings leave it open.
        doubt: "n" float, higher = opened sooner; minus infinity = never.
        count: how many cells to open at most, by what is committed and the strength.
        hides: whether it needs a second forward that hides a part of what is committed.
        ahead: whether it needs a second forward that sees what the step is about to commit, and judges without the prompt.
    """

    name: str
    title: str
    about: str
    cost: str
    reason: str
    strength: float
    doubt: Callable[[Committed], np.ndarray]
    count: Callable[[Committed, float], int]
    hides: bool = False
    ahead: bool = False

    def open(self, look: Committed, strength: float) -> np.ndarray:
        """Which cells are opened again: "n" bool; never one that is not held, never more than stay masked, none at strength 0.

        Args:
            look: what is committed.
            strength: >= 0.
        """
        import numpy as np

        doubt = np.where(look.held, self.doubt(look), -np.inf)
        ranked = np.argsort(-doubt, kind="stable")
        ranked = ranked[doubt[ranked] > -np.inf]
        count = min(self.count(look, strength), look.stay, len(ranked)) if strength > 0 else 0
        opened = np.zeros(len(look.held), bool)
        opened[ranked[: max(0, count)]] = True
        return opened


def lots_drawn(look: Committed, strength: float) -> int:
    """ReMDM's cap: each held cell is opened with probability min(strength, sigma_max), sigma_max = min(1, (1 - alpha_s) / alpha_t).

    alpha_t is the unmasked share when the step begins, alpha_s when it ends.

    Source: 2503.00307, section 4.1.
    """
    held = int(look.held.sum())
    unmasked = look.total - int(look.masked.sum())
    most = min(1.0, look.stay / unmasked) if unmasked else 0.0
    return int((look.lots[look.held] < min(strength, most)).sum()) if held else 0


def outranked(look: Committed, strength: float) -> int:
    """P2: of all cells those of the highest log p stay or become unmasked; held ones that are not among them are opened.

    The log p of held cells is multiplied by the strength, so 0 never opens one.

    Source: 2502.03540, path planning with self-planning (eta = strength).
    """
    import numpy as np

    held = np.sort(-(strength * look.likelihood[look.held].astype(np.float64)))[::-1]  # doubts, the greatest first
    waiting = np.sort(look.confidence[look.masked].astype(np.float64))[::-1]
    committed = max(0, len(waiting) - look.stay)  # that the schedule commits without a revision
    # The k most doubted give way to the next k of those that wait, as long as each of these is more probable.
    count = 0
    while count < min(len(held), look.stay) and committed + count < len(waiting) and waiting[committed + count] > -held[count]:
        count += 1
    return count


def tapered(look: Committed, strength: float) -> int:
    """A share `strength` of all cells after 40 % of the steps, half of it after 60 %, a quarter after 80 %, none in the last step.

    Source: the schedule that the authors of 2602.02927 published (16, 8 and 4 of 1,024 tokens).
    """
    # 5 s against 2 T, so that whole numbers decide.
    fifths = 5 * look.step // look.num_steps
    if 5 * look.step <= 2 * look.num_steps or look.step == look.num_steps - 1:
        return 0
    return round(strength * look.total / (1, 1, 1, 2, 4)[min(fifths, 4)])


def share_of_tested(look: Committed, strength: float) -> int:
    """A share `strength` of the cells that the second forward judged."""
    import numpy as np

    return 0 if look.left_out is None else round(strength * int((~np.isnan(look.left_out) & look.held).sum()))


def _by_lot(look: Committed) -> np.ndarray:
    return -look.lots


def _by_likelihood(look: Committed) -> np.ndarray:
    return -look.likelihood


def _by_trust(look: Committed) -> np.ndarray:
    return -look.trust


def _by_left_out(look: Committed) -> np.ndarray:
    import numpy as np

    assert look.left_out is not None
    return np.where(np.isnan(look.left_out), -np.inf, -look.left_out)


_ENTRIES = (
    Revision(
        "remask",
        "Random remasking (ReMDM)",
        "a random share of the committed cells is masked again in every step",
        "no extra forward pass",
        "chance",
        0.05,
        _by_lot,
        lots_drawn,
    ),
    Revision(
        "plan",
        "Path planning (P2)",
        "a cell whose token the model finds less probable than a waiting one changes places with it",
        "no extra forward pass",
        "outranked",
        1.0,
        _by_likelihood,
        outranked,
    ),
    Revision(
        "correct",
        "Self-correction",
        "after 40 % of the steps, the cells that the model has doubted most since they were committed are opened",
        "no extra forward pass",
        "doubted",
        1 / 64,
        _by_trust,
        tapered,
    ),
    Revision(
        "critic",
        "Critic",
        "a second forward pass hides half of what is committed; the tokens that it finds least probable are opened",
        "one more forward pass per step",
        "criticised",
        0.1,
        _by_left_out,
        share_of_tested,
        hides=True,
    ),
    # 2411.10781 steps, inverts without guidance, masks again and steps once more. Here the next step is the one that steps once more.
    Revision(
        "zigzag",
        "Zigzag (after masked Z-sampling)",
        "a second forward pass sees what the step is about to commit; tokens that it finds least probable without the prompt are opened",
        "one more forward pass per step",
        "unfitting",
        0.1,
        _by_left_out,
        share_of_tested,
        ahead=True,
    ),
)
REVISIONS: dict[str, Revision] = {revision.name: revision for revision in _ENTRIES}
