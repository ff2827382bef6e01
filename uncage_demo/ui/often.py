"""How often a prompt comes out right: counts over many seeds of one prompt, with intervals, order against order."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from uncage_demo import runner
from uncage_demo.bench.statistics import mcnemar_exact
from uncage_demo.orders.table import order_of
from uncage_demo.ui.handlers import Handlers
from uncage_demo.ui.messages import message
from uncage_demo.ui.runs import checked_steps
from uncage_demo.ui.settings import Settings

SEEDS_AT_ONCE = 4  # one request to the line; others get their turn between two of them

Z95 = 1.959963984540054  # two-sided 95 % of a normal distribution


def wilson(correct: int, judged: int) -> tuple[float, float]:
    """95 % interval of a share, 0..1; it holds at 0 of n and n of n, too.

    Args:
        correct: how many of `judged` came out right.
        judged: at least 1.

    Source: E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference, 1927.
    """
    share = correct / judged
    middle = (share + Z95**2 / (2 * judged)) / (1 + Z95**2 / judged)
    half = Z95 / (1 + Z95**2 / judged) * math.sqrt(share * (1 - share) / judged + Z95**2 / (4 * judged**2))
    return (0.0 if correct == 0 else middle - half, 1.0 if correct == judged else middle + half)


def tally(titles: Sequence[str], correct: Sequence[Sequence[bool | None]]) -> list[dict[str, Any]]:
    """One row per order: its counts with their interval, and how it stands against the first order, seed by seed.

    Args:
        titles: the orders' names.
        correct: of each order, whether each seed came out fully correct; None where nobody judged.

    Returns:
        rows {title, correct, judged, low, high (shares; None without a judgement), seeds, better, worse, p}; better, worse: seeds at which
        the order is right and the first one is not, and the other way round; p: of McNemar's exact test, None for the first order.
    """
    rows = []
    for title, own in zip(titles, correct, strict=True):
        judged = [value for value in own if value is not None]
        low, high = wilson(sum(judged), len(judged)) if judged else (None, None)
        pairs = [(mine, base) for mine, base in zip(own, correct[0], strict=True) if mine is not None and base is not None]
        better, worse = sum(mine and not base for mine, base in pairs), sum(base and not mine for mine, base in pairs)
        first = own is correct[0]
        rows.append(
            {
                "title": title,
                "correct": sum(judged),
                "judged": len(judged),
                "low": low,
                "high": high,
                "seeds": list(own),
                "better": 0 if first else better,
                "worse": 0 if first else worse,
                "p": None if first else mcnemar_exact(better, worse),
            }
        )
    return rows


def how_often(handlers: Handlers, text: str, edits: str, chosen: Settings, seeds: int) -> Iterator[str]:
    """How many of the first `seeds` seeds come out fully correct in each order, as a detector judges; counts while it draws.

    Args:
        handlers: of the page.
        text, edits: the prompt and its corrections.
        chosen: orders and settings; its seed does not matter.
        seeds: how many, from 0.

    Yields:
        Messages "progress" and "often" (`tally` rows, and what puts each seed on the stage); "" where Cancel may stop.

    Raises:
        ValueError: settings or a prompt that cannot be drawn, or a model that nobody judges.
    """
    checked_steps(chosen, SEEDS_AT_ONCE)
    title = handlers.slot.title(chosen.backend)
    if not handlers.slot.is_loaded(chosen.backend):
        yield message("progress", phase=f"Loading {title}…")
    prompt, _ = handlers.understood_prompt(text, edits, chosen.backend)
    titles = [order_of(order).title for order in chosen.orders]
    correct: list[list[bool | None]] = [[] for _ in titles]
    rows: list[dict[str, Any]] = []
    for first in range(0, seeds, SEEDS_AT_ONCE):
        part = range(first, min(seeds, first + SEEDS_AT_ONCE))
        said = f"{first} of {seeds} seeds drawn…"
        yield message("progress", phase=said, share=first / seeds)
        alone = [replace(chosen, orders=(order,)).with_shared(seed=seed) for order in chosen.orders for seed in part]
        for answer in handlers.decode(chosen.backend, [runner.Run(prompt, one.configs()[0]) for one in alone], titles, edits):
            if isinstance(answer, str):
                told = json.loads(answer or "{}")
                steps = (told["step"] + 1) / told["num_steps"] if "step" in told else None  # None while it waits in line
                yield "" if steps is None else message("progress", phase=said, share=(first + steps * len(part)) / seeds)
                continue
            # A run's last step need not have been told: it may be over before anybody looks.
            yield message("progress", phase=said, share=(first + len(part)) / seeds)
            judged = [None if verdict is None else verdict.all_correct for verdict in answer.finished.verdicts]
            if all(value is None for value in judged):
                raise ValueError(f"{title} has no detector that could count. Compare its pictures by eye.")
            for number, own in enumerate(correct):
                own += judged[number * len(part) : (number + 1) * len(part)]
            for place, seed in enumerate(part):
                ids = answer.ids[place :: len(part)]
                rows.append({"seed": seed, **handlers.told(ids, chosen.with_shared(seed=seed), edits)})
        yield message("often", prompt=prompt.text, of=seeds, tally=tally(titles, correct), rows=rows)
