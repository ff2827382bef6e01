"""DecodingConfig: every setting of one decoding run, frozen, validated, stored in every trace. Each is declared once, in `usual` or
`laboratory`."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from uncage_demo.config.laboratory import NO_REVISION, LaboratorySettings
from uncage_demo.config.usual import (
    DEFAULT_STEPS,
    GUIDANCE_SCHEDULES,
    GUIDED_ORDERS,
    LEFT_TO_MODEL,
    MAX_SEED,
    ORDER_NAMES,
    REDRAW_WORDS,
    SCHEDULE_NAMES,
    UsualSettings,
    parse_attention_source,
)
from uncage_demo.orders.base import CONTRAST_MODES, RESCALE_MODES
from uncage_demo.orders.counts import COUNTS
from uncage_demo.orders.revise import REVISIONS, Revision
from uncage_demo.orders.table import ORDERS
from uncage_demo.setting import declared, listed
from uncage_demo.types import ModelDefaults

__all__ = [
    "CONTRAST_MODES",
    "DEFAULT_STEPS",
    "GUIDANCE_SCHEDULES",
    "GUIDED_ORDERS",
    "LATER",
    "LEFT_TO_MODEL",
    "MAX_SEED",
    "ORDER_NAMES",
    "REDRAW_WORDS",
    "RESCALE_MODES",
    "SCHEDULE_NAMES",
    "SETTINGS",
    "DecodingConfig",
    "parse_attention_source",
    "parse_seeds",
]

# Fields that came after the first traces: written only where they are not at their default, so that older runs keep their keys.
LATER = ("redraw_steps", "redraw_words", *(field.name for field in fields(LaboratorySettings)[len(fields(UsualSettings)) :]))


def parse_seeds(text: str, limit: int | None = None) -> tuple[int, ...]:
    """Seeds as people type them: "0,1,7", "5; 8", "0-3", " 1 - 2 " or a mixture -> different seeds in the order given.

    Args:
        text: numbers and ranges (both ends included), with commas or semicolons between them.
        limit: how many are allowed; None = a million, so that a slip of the finger does not fill the memory.

    Raises:
        ValueError: naming what was typed and what is allowed.
    """
    most = 1_000_000 if limit is None else limit
    seeds: dict[int, None] = {}
    for part in re.split("[,;]", re.sub(r"[,;]\s*$", "", str(text))):
        found = re.fullmatch(r"\s*(\d{1,19})(?:\s*-\s*(\d{1,19}))?\s*", part, re.ASCII)
        if not found:
            raise ValueError(f'seeds "{listed([text], 80)}": give whole numbers such as 0,1,7 or a range such as 0-3')
        low, high = int(found[1]), int(found[2] or found[1])
        if high > MAX_SEED:
            raise ValueError(f'seeds "{part}": a seed is at most {MAX_SEED}')
        if not low <= high < low + most:
            raise ValueError(f'seeds "{part}": a range goes from low to high and has at most {most} seeds')
        seeds.update(dict.fromkeys(range(low, high + 1)))
    if not 1 <= len(seeds) <= most:
        raise ValueError(f'seeds "{listed([text], 80)}" are {len(seeds)}: give 1 to {most}')
    return tuple(seeds)


@dataclass(frozen=True)
class DecodingConfig(LaboratorySettings):
    """All settings of one decoding run. What each may be is in its declaration; None leaves it to the model or to other settings.

    Args:
        see `usual.UsualSettings` and `laboratory.LaboratorySettings`.

    Raises:
        ValueError: naming the field, the value and what is allowed.
    """

    def __post_init__(self) -> None:
        for name, setting in SETTINGS.items():
            object.__setattr__(self, name, setting.checked(name, getattr(self, name)))
        if self.guidance_interval[0] > self.guidance_interval[1]:
            raise ValueError(f"guidance_interval={self.guidance_interval}: give a start that is not after the end")
        if self.redraw_steps is not None and self.num_steps is not None and self.redraw_steps >= self.num_steps:
            raise ValueError(f"redraw_steps={self.redraw_steps}: give a whole number from 0 to {self.num_steps - 1}")

    def resolved(self, defaults: ModelDefaults, blur: float | None = None) -> DecodingConfig:
        """The settings with what was left to the model filled in.

        Args:
            defaults: the model's own settings (ModelInfo.defaults).
            blur: the model's own contrast_blur; None leaves it open.
        """
        own = {**asdict(defaults), "contrast_blur": blur}
        return self.with_(**{name: own[name] for name in SETTINGS if name in own and getattr(self, name) is None})

    @property
    def total_steps(self) -> int:
        """T.

        Raises:
            ValueError: it is still left to the model.
        """
        return self._known("num_steps")

    @property
    def mask_schedule(self) -> str:
        """The schedule's name; raises ValueError while it is left to the model."""
        return self._known("schedule")

    @property
    def noise_range(self) -> tuple[float, float]:
        """The noise's temperature at the first and last step; raises ValueError while it is left to the model."""
        return self._known("noise_temperature")

    @property
    def guided_steps(self) -> int:
        """Number of guided steps: contrast_steps, or a quarter of the draft's steps (at least 1), never more than those."""
        steps = max(1, self.draft_steps // 4) if self.contrast_steps is None else self.contrast_steps
        return min(steps, self.draft_steps)

    @property
    def draft_steps(self) -> int:
        """Number of steps before the redraw: all of them where there is none."""
        return self.total_steps - self.redrawn_steps

    @property
    def redrawn_steps(self) -> int:
        """Number of steps of the redraw: redraw_steps, or the order's own share of num_steps."""
        if self.redraw_steps is None:
            share = ORDERS[self.order].redraw_share
            return self.total_steps // share if share else 0
        return self.redraw_steps

    @property
    def varies(self) -> bool:
        """Whether a run may end before its last step, because the model or chance decides how many cells a step commits."""
        return COUNTS[self.how_many].varies

    @property
    def revision(self) -> Revision | None:
        """What opens committed cells again, step by step; None where nothing does."""
        return None if self.revise == NO_REVISION or self.revision_strength == 0 else REVISIONS[self.revise]

    @property
    def revision_strength(self) -> float:
        """How much the revision takes back: revise_strength, or the revision's own strength; 0 without one."""
        if self.revise == NO_REVISION:
            return 0.0
        return REVISIONS[self.revise].strength if self.revise_strength is None else self.revise_strength

    @property
    def redraws_by_own_words(self) -> bool:
        """Whether each place reads only its own object's words in the redraw."""
        return ORDERS[self.order].own_words if self.redraw_words is None else self.redraw_words == "own"

    def with_(self, **changes: Any) -> DecodingConfig:
        """A copy with some fields changed (validated again)."""
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able dict of all fields; LATER ones only where they are given, so that runs made before them keep their keys."""
        data = {name: value for name, value in asdict(self).items() if name not in LATER or value != _AT_REST[name]}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in data.items()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> DecodingConfig:
        """Inverse of to_dict; unknown keys raise ValueError naming them."""
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(data) - known)
        if unknown:
            raise ValueError(f"unknown setting(s) {listed(unknown, 80)}; allowed: {listed(sorted(known), 160)}")
        return cls(**data)

    def _known(self, name: str) -> Any:
        value = getattr(self, name)
        if value is None:
            raise ValueError(f"{name} is left to the model: fill it in with DecodingConfig.resolved(backend.info.defaults)")
        return value


SETTINGS = declared(DecodingConfig)
_AT_REST = {field.name: field.default for field in fields(DecodingConfig)}
